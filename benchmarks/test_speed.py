"""Value and gradient of every loss that torch or torchvision has: the reference against torch's eager mode.

Both sides compute the mean and the gradient of the same arguments, in float64, on one thread. Each round of
pytest-benchmark is one batch of calls of the reference; its setup times the same batch of torch's, so that the two
alternate and share whatever else the machine is doing; what counts is processor time. Run with `pytest benchmarks`.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lossparity import reference

torch = pytest.importorskip("torch")
torchvision_ops = pytest.importorskip("torchvision.ops")
F = torch.nn.functional
torch.set_num_threads(1)

CLASSES = 10


def _real(rng: Any, n: int) -> Any:
    return rng.normal(size=n) * 2.0


def _unit(rng: Any, n: int) -> Any:
    return rng.uniform(size=n)


def _rows(rng: Any, n: int, classes: int = CLASSES) -> Any:
    return rng.normal(size=(n // classes, classes)) * 2.0


def _many(rng: Any, n: int) -> Any:
    return _rows(rng, n, 1000)


def _pixels(rng: Any, n: int) -> Any:
    return rng.normal(size=(1, CLASSES, n // CLASSES)) * 2.0


def _log_rows(rng: Any, n: int) -> Any:
    return np.log(_distributions(rng, n))


def _distributions(rng: Any, n: int) -> Any:
    return rng.dirichlet(np.ones(CLASSES), size=n // CLASSES)


def _random_labels(rng: Any, n: int) -> Any:
    return rng.integers(0, CLASSES, size=n // CLASSES)


def _boxes(rng: Any, n: int) -> Any:
    corner = rng.uniform(0.0, 5.0, size=(n // 4, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, 5.0, size=(n // 4, 2))], axis=1)


# name of the row: torch's function, makers of the arrays, options, and the arrays with a gradient
PAIR = ("input", "target")
LOSSES: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "l1_loss": (F.l1_loss, {"input": _real, "target": _real}, {}, PAIR),
    "mse_loss": (F.mse_loss, {"input": _real, "target": _real}, {}, PAIR),
    "smooth_l1_loss": (F.smooth_l1_loss, {"input": _real, "target": _real}, {}, PAIR),
    "huber_loss": (F.huber_loss, {"input": _real, "target": _real}, {}, PAIR),
    "binary_cross_entropy": (F.binary_cross_entropy, {"input": _unit, "target": _unit}, {}, PAIR),
    "binary_cross_entropy_with_logits": (
        F.binary_cross_entropy_with_logits, {"input": _real, "target": _unit}, {}, PAIR),
    "binary_cross_entropy_with_logits pos_weight": (
        F.binary_cross_entropy_with_logits, {"input": _real, "target": _unit, "pos_weight": _unit}, {}, PAIR),
    "nll_loss": (F.nll_loss, {"input": _log_rows, "target": _random_labels}, {}, ("input",)),
    "cross_entropy": (F.cross_entropy, {"input": _rows, "target": _random_labels}, {}, ("input",)),
    "cross_entropy 1000 classes": (
        F.cross_entropy, {"input": _many, "target": lambda rng, n: rng.integers(0, 1000, n // 1000)}, {}, ("input",)),
    "cross_entropy pixels": (
        F.cross_entropy, {"input": _pixels, "target": lambda rng, n: _random_labels(rng, n)[None]}, {}, ("input",)),
    "cross_entropy label_smoothing": (
        F.cross_entropy, {"input": _rows, "target": _random_labels}, {"label_smoothing": 0.1}, ("input",)),
    "cross_entropy probabilities": (F.cross_entropy, {"input": _rows, "target": _distributions}, {}, PAIR),
    "kl_div": (F.kl_div, {"input": _log_rows, "target": _distributions}, {}, PAIR),
    "kl_div log_target": (F.kl_div, {"input": _log_rows, "target": _log_rows}, {"log_target": True}, PAIR),
    "sigmoid_focal_loss": (
        torchvision_ops.sigmoid_focal_loss, {"inputs": _real, "targets": _unit}, {}, ("inputs", "targets")),
    **{
        name: (getattr(torchvision_ops, name), {"boxes1": _boxes, "boxes2": _boxes}, {}, ("boxes1", "boxes2"))
        for name in ("generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss")
    },
}  # fmt: skip


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")
@pytest.mark.parametrize("elements", [1_000, 1_000_000])
@pytest.mark.parametrize("row", LOSSES)
def test_value_and_gradient(row: str, elements: int, benchmark: Any, report: Callable[[dict[str, Any]], None]) -> None:
    function, makers, options, differentiable = LOSSES[row]
    loss = reference.LOSSES[row.split()[0]]
    rng = np.random.default_rng(1)
    arrays = {name: make(rng, elements) for name, make in makers.items()}
    tensors = {name: torch.tensor(a, requires_grad=name in differentiable) for name, a in arrays.items()}
    leaves = [tensors[name] for name in differentiable]
    calls, rounds = (10, 200) if elements < 10_000 else (1, 20)

    def ours() -> Any:
        value, pullback = loss.vjp(**arrays, **options, reduction="mean")
        return value, pullback()

    def theirs() -> Any:
        value = function(**tensors, **options, reduction="mean")
        return value, torch.autograd.grad(value, leaves)

    def batch_of_ours() -> None:
        for _ in range(calls):
            ours()

    def time_theirs() -> None:
        start = time.process_time()
        for _ in range(calls):
            theirs()
        seconds.append(time.process_time() - start)

    (value, gradients), (torch_value, torch_gradients) = ours(), theirs()
    assert value == pytest.approx(torch_value.item(), rel=1e-9)  # the same computation, to begin with
    for name, want in zip(differentiable, torch_gradients, strict=True):
        np.testing.assert_allclose(gradients[name], want.numpy(), rtol=1e-6, atol=1e-9 / elements)
    del gradients, torch_gradients
    tracemalloc.start()
    ours()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    seconds: list[float] = []
    benchmark.pedantic(batch_of_ours, setup=time_theirs, rounds=rounds, warmup_rounds=3)
    reference_time = min(benchmark.stats.stats.data) / calls  # the fastest: whatever else ran only adds
    torch_time = min(seconds) / calls
    size = sum(array.nbytes for array in arrays.values())
    row_of_table = {
        "loss": row,
        "elements": elements,
        "reference": reference_time,
        "torch": torch_time,
        "ratio": reference_time / torch_time,
        "memory": peak / size,
    }
    benchmark.extra_info.update(row_of_table)
    report(row_of_table)
