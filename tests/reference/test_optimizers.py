"""The optimizers against their published algorithms in mpmath, and along torch.optim's own steps."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

from lossparity import adapters, reference

STEPS = 100
ULP = 2.0**-52


def recorded(steps: int = STEPS, shape: tuple[int, ...] = (3, 2)) -> tuple[Any, Any]:
    draw = np.random.default_rng(11)
    return draw.normal(size=shape), draw.normal(size=(steps, *shape)) * 10.0 ** draw.uniform(-3, 1, (steps, 1, 1))


def combinations(**choices: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


SGD = [
    each
    for each in combinations(
        lr=(0.1,),
        momentum=(0.0, 0.9),
        dampening=(0.0, 0.3),
        weight_decay=(0.0, 0.02),
        nesterov=(False, True),
        maximize=(False, True),
    )
    if not each["nesterov"] or (each["momentum"] and not each["dampening"])
]
ADAM = list(
    combinations(
        lr=(0.01,),
        betas=((0.9, 0.999), (0.0, 0.5)),
        eps=(1e-8, 1e-3),
        weight_decay=(0.0, 0.02),
        amsgrad=(False, True),
        maximize=(False, True),
    )
)
ALL = [("sgd", each) for each in SGD] + [(name, each) for name in ("adam", "adamw") for each in ADAM]


# --- the published algorithms, one number at a time, in 60 digits


def exact_sgd(p: Any, gradients: Any, o: dict[str, Any]) -> Iterator[Any]:
    b = None
    for gradient in gradients:
        g = (-gradient if o["maximize"] else gradient) + o["weight_decay"] * p
        if o["momentum"] != 0:
            b = g if b is None else o["momentum"] * b + (1 - o["dampening"]) * g
            g = g + o["momentum"] * b if o["nesterov"] else b
        p = p - o["lr"] * g
        yield p


def exact_adam(p: Any, gradients: Any, o: dict[str, Any], decoupled: bool) -> Iterator[Any]:
    beta1, beta2 = o["betas"]
    m = v = largest = mpmath.mpf(0)
    for t, gradient in enumerate(gradients, 1):
        g = -gradient if o["maximize"] else gradient
        if decoupled:
            p = p * (1 - o["lr"] * o["weight_decay"])
        else:
            g = g + o["weight_decay"] * p
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        largest = max(largest, v)
        unbiased = (largest if o["amsgrad"] else v) / (1 - beta2**t)
        root = mpmath.sqrt(unbiased) + o["eps"] / (mpmath.sqrt(1 - beta2**t) if o.get("epsilon_hat") else 1)
        p = p - o["lr"] * (m / (1 - beta1**t)) / root
        yield p


def exact(name: str, start: float, gradients: Any, options: dict[str, Any]) -> list[Any]:
    def number(x: Any) -> Any:
        return tuple(map(number, x)) if isinstance(x, tuple) else x if isinstance(x, bool) else mpmath.mpf(x)

    o = {key: number(value) for key, value in options.items()}
    p, recorded = mpmath.mpf(float(start)), [mpmath.mpf(float(each)) for each in gradients]
    return list(exact_sgd(p, recorded, o) if name == "sgd" else exact_adam(p, recorded, o, name == "adamw"))


@pytest.mark.parametrize(("name", "options"), ALL, ids=str)
def test_it_follows_the_published_algorithm(name: str, options: dict[str, Any]) -> None:
    params, gradients = recorded(steps=30, shape=(2, 1))
    got = reference.OPTIMIZERS[name](params, gradients, **options)
    assert got.shape == gradients.shape
    with mpmath.workdps(60):
        for index in np.ndindex(params.shape):
            want = exact(name, params[index], gradients[(slice(None), *index)], options)
            largest = max(abs(float(each)) for each in [params[index], *want])
            for t, (g, w) in enumerate(zip(got[(slice(None), *index)], want, strict=True), 1):
                assert abs(mpmath.mpf(float(g)) - w) <= 4 * t * ULP * largest, (t, float(g), float(w))


def test_epsilon_hat_stands_before_the_correction() -> None:
    params, gradients = recorded(steps=5, shape=(1, 1))
    for name in ("adam", "adamw"):
        options = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 0.1, "weight_decay": 0.0, "amsgrad": False}
        options |= {"maximize": False, "epsilon_hat": True}
        got = reference.OPTIMIZERS[name](params, gradients, **options).ravel()
        with mpmath.workdps(60):
            want = [float(each) for each in exact(name, params.item(), gradients.ravel(), options)]
        np.testing.assert_allclose(got, want, rtol=1e-14)
        assert np.abs(got - reference.OPTIMIZERS[name](params, gradients, lr=0.01, eps=0.1).ravel()).max() > 1e-4


def test_decoupled_decay_of_adam_is_adamw() -> None:
    params, gradients = recorded(steps=10)
    mine = reference.adam(params, gradients, weight_decay=0.1, decoupled=True)
    np.testing.assert_array_equal(mine, reference.adamw(params, gradients, weight_decay=0.1))
    assert np.abs(mine - reference.adam(params, gradients, weight_decay=0.1)).max() > 1e-5
    plain = reference.sgd(params, gradients, lr=0.1, weight_decay=0.1, decoupled=True)
    np.testing.assert_allclose(plain, reference.sgd(params, gradients, lr=0.1, weight_decay=0.1), rtol=1e-12)


def test_it_changes_no_argument_and_keeps_the_shape() -> None:
    for name, optimizer in reference.OPTIMIZERS.items():
        params, gradients = recorded(steps=3)
        before = params.copy(), gradients.copy()
        assert optimizer(params, gradients).shape == gradients.shape, name
        np.testing.assert_array_equal(params, before[0])
        np.testing.assert_array_equal(gradients, before[1])
        assert optimizer(1.0, [1.0, 2.0]).shape == (2,)
        assert optimizer(params, gradients[:0]).shape == gradients[:0].shape


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: reference.sgd([1.0], [1.0, 2.0]),
            ValueError,
            "gradients must hold one gradient of the shape",
        ),
        (lambda: reference.sgd([1.0], 1.0), ValueError, "their shape is \\(\\)"),
        (lambda: reference.sgd([1.0], [[1.0]], nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: reference.sgd([1.0], [[1.0]], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "no dampening"),
        (lambda: reference.sgd([1.0], [[1.0]], lr=-1.0), ValueError, "lr must lie in"),
        (lambda: reference.adam([1.0], [[1.0]], betas=(0.9, 1.0)), ValueError, "betas must lie in"),
        (lambda: reference.adam([1.0], [[1.0]], betas=0.9), TypeError, "betas must be two numbers"),
        (lambda: reference.adamw([1.0], [[1.0]], amsgrad=1), TypeError, "amsgrad must be True or False"),
        (lambda: reference.adamw(["a"], [[1.0]]), TypeError, "params must be an array of real numbers"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call()


# --- torch.optim, in a process of its own

TORCH = """
import sys
import numpy as np
import torch
from test_optimizers import ALL, ULP, recorded
from lossparity import reference

params, gradients = recorded()
classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
for name, options in ALL:
    for foreach in (False, True):
        parameter = torch.nn.Parameter(torch.from_numpy(params.copy()))
        optimizer = classes[name]([parameter], foreach=foreach, **options)
        want = reference.OPTIMIZERS[name](params, gradients, **options)
        for t, gradient in enumerate(gradients, 1):
            parameter.grad = torch.from_numpy(gradient.copy())
            optimizer.step()
            error = np.abs(parameter.detach().numpy() - want[t - 1]).max()
            # In Adam torch forms 1 - 0.999^t by subtraction: up to 250 roundoffs of a step of the size of lr.
            limit = 4 * t * ULP * np.abs(want).max() + (0 if name == "sgd" else 300 * t * ULP * options["lr"])
            assert error <= limit, (name, options, foreach, t, error, limit)
print("same")
"""


@pytest.mark.skipif(adapters.BACKENDS["torch"].missing() is not None, reason="torch is not installed")
def test_torch_goes_the_same_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TORCH], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    assert done.stdout.endswith("same\n"), done.stderr
