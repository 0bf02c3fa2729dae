"""The classification losses against definitions written in mpmath, at ordinary and at hostile points."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossparity import reference

INF = math.inf
RNG = np.random.default_rng(20)
log = np.frompyfunc(lambda x: mpmath.log(x) if x else -mpmath.inf, 1, 1)
exp = np.frompyfunc(mpmath.exp, 1, 1)
# y log x with 0 log 0 = 0
xlogy = np.frompyfunc(lambda y, x: mpmath.mpf(0) if y == 0 else y * mpmath.log(x), 2, 1)


def clipped(p: Any, clip: Any) -> Any:
    low, high = clip if isinstance(clip, tuple) else (clip, 1.0 - clip)
    return np.frompyfunc(lambda x: min(max(x, mpmath.mpf(low)), mpmath.mpf(high)), 1, 1)(p)


# The definitions, each returning the terms and what "mean" divides by.


def binary_cross_entropy(input: Any, target: Any, weight: Any = 1, clip: Any = 0.0, epsilon: float = 0.0) -> Any:
    p = clipped(input, clip)
    terms = -weight * (xlogy(target, p + epsilon) + xlogy(1 - target, 1 - p + epsilon))
    return terms, terms.size


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = 1, pos_weight: Any = 1) -> Any:
    terms = weight * (pos_weight * target * log(1 + exp(-input)) + (1 - target) * log(1 + exp(input)))
    return terms, terms.size


def kl_div(input: Any, target: Any, log_target: bool = False, clip: Any = None) -> Any:
    p, q = exp(input), exp(target) if log_target else target
    if clip is not None:
        p, q = clipped(p, clip), clipped(q, clip)
    terms = xlogy(q, q) - q * log(p)
    return terms, terms.size


def hinge_loss(input: Any, target: Any, labels: str = "signed") -> Any:
    y = 2 * target - 1 if labels != "signed" else target
    terms = np.frompyfunc(lambda z: max(z, mpmath.mpf(0)), 1, 1)(1 - y * input)
    return terms, terms.size


def squared_hinge_loss(input: Any, target: Any, labels: str = "signed") -> Any:
    terms, size = hinge_loss(input, target, labels)
    return terms**2, size


def _row_by_row(input: Any, of_row: Any) -> tuple[Any, Any]:
    """Terms of an input whose classes are on axis 1 (or the only one); of_row(x, index, where) -> (term, weight)."""
    axis = min(input.ndim - 1, 1)
    shape = input.shape[:axis] + input.shape[axis + 1 :]
    terms, total = np.empty(shape, dtype=object), mpmath.mpf(0)
    for index in np.ndindex(shape):
        where = (*index[:axis], slice(None), *index[axis:])
        terms[index], weight = of_row(input[where], index, where)
        total += weight
    return terms, total


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100) -> Any:
    def of_row(x: Any, index: Any, _: Any) -> Any:
        t = int(target[index])
        if t == ignore_index:
            return mpmath.mpf(0), 0
        w = 1 if weight is None else weight[t]
        return -w * x[t], w

    return _row_by_row(input, of_row)


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, label_smoothing: float = 0.0
) -> Any:
    def of_row(x: Any, index: Any, where: Any) -> Any:
        soft = target.shape == input.shape
        if not soft and target[index] == ignore_index:
            return mpmath.mpf(0), 0
        w = [mpmath.mpf(1)] * len(x) if weight is None else weight
        s = mpmath.mpf(label_smoothing)
        q = target[where] if soft else [mpmath.mpf(int(j == target[index])) for j in range(len(x))]
        log_sum = mpmath.log(sum(exp(x)))
        term = sum(w[j] * ((1 - s) * q[j] + s / len(x)) * (log_sum - x[j]) for j in range(len(x)))
        return term, 1 if soft else w[int(target[index])]

    return _row_by_row(input, of_row)


def categorical_hinge_loss(input: Any, target: Any, zero_competes: bool = False) -> Any:
    rows, terms = input.reshape(-1, input.shape[-1]), []
    for n, x in enumerate(rows):
        soft = target.shape == input.shape
        y = target.reshape(rows.shape)[n] if soft else np.eye(len(x))[int(np.ravel(target)[n])]
        if zero_competes:
            best, own = max((1 - y) * x), sum(y * x)
        else:
            best, own = max(v for v, hot in zip(x, y, strict=True) if not hot), x[list(y).index(1)]
        terms.append(max(mpmath.mpf(0), 1 + best - own))
    return np.array(terms, dtype=object).reshape(input.shape[:-1]), len(terms)


# The rows: name, definition, arguments, and where the loss's own terms cancel the size to which errors are relative.

UNIT, UNIT_2 = RNG.uniform(size=(2, 3)), RNG.uniform(size=(2, 3))
BITS = RNG.integers(0, 2, size=(2, 3)).astype(float)
LOGITS = RNG.normal(size=(2, 3)) * 3
W3, W23 = RNG.uniform(0.2, 2.0, size=3), RNG.uniform(0.2, 2.0, size=(2, 3))
P_EDGE = [5e-324, 1e-300, 1e-17, 0.3, 0.5, 1 - 2.0**-30, 1 - 2.0**-53]
X_EDGE = [-1e300, -1e4, -745.0, -40.0, -1e-300, 0.0, 1e-8, 1.0, 40.0, 745.0, 1e4, 1e300]
SOFT = {"input": 1.0, "target": 1.0}

ELEMENTWISE: dict[str, tuple[Any, dict[str, Any], dict[str, float]]] = {
    "bce": (binary_cross_entropy, {"input": UNIT, "target": BITS}, {"target": 1.0}),
    "bce-soft": (binary_cross_entropy, {"input": UNIT, "target": UNIT_2}, SOFT),
    "bce-weight": (binary_cross_entropy, {"input": UNIT, "target": BITS, "weight": W23}, {"target": 1.0}),
    "bce-weight-row": (binary_cross_entropy, {"input": UNIT, "target": BITS, "weight": W3}, {"target": 1.0}),
    "bce-edge-0": (binary_cross_entropy, {"input": P_EDGE, "target": [0.0] * 7}, {"target": 1.0}),
    "bce-edge-1": (binary_cross_entropy, {"input": P_EDGE, "target": [1.0] * 7}, {"target": 1.0}),
    "bce-edge-soft": (binary_cross_entropy, {"input": P_EDGE, "target": [0.25] * 7}, {"target": 1.0}),
    "bce-clip": (binary_cross_entropy, {"input": UNIT, "target": UNIT_2, "clip": 0.25}, SOFT),
    "bce-clip-pair": (
        binary_cross_entropy, {"input": UNIT, "target": BITS, "clip": (0.1, 0.7), "weight": W3}, {"target": 1.0}),
    "bce-epsilon": (binary_cross_entropy, {"input": UNIT, "target": UNIT_2, "epsilon": 1e-3}, SOFT),
    "bce-epsilon-clip": (binary_cross_entropy, {"input": UNIT, "target": BITS, "epsilon": 0.1, "clip": 0.3},
                         {"target": 1.0}),
    "logits": (binary_cross_entropy_with_logits, {"input": LOGITS, "target": BITS}, {}),
    "logits-soft": (binary_cross_entropy_with_logits, {"input": LOGITS, "target": UNIT}, SOFT),
    "logits-any-target": (binary_cross_entropy_with_logits, {"input": LOGITS, "target": LOGITS[::-1].copy()},
                          {"value": 10.0, "input": 10.0}),
    "logits-weight": (binary_cross_entropy_with_logits, {"input": LOGITS, "target": BITS, "weight": W3}, {}),
    "logits-pos": (binary_cross_entropy_with_logits, {"input": LOGITS, "target": BITS, "pos_weight": W3}, SOFT),
    "logits-pos-soft": (binary_cross_entropy_with_logits, {"input": LOGITS, "target": UNIT, "pos_weight": W3}, SOFT),
    "logits-pos-weight": (binary_cross_entropy_with_logits,
                          {"input": LOGITS, "target": BITS, "pos_weight": W3, "weight": W23}, SOFT),
    "logits-edge-0": (binary_cross_entropy_with_logits, {"input": X_EDGE, "target": [0.0] * 12}, {}),
    "logits-edge-1": (binary_cross_entropy_with_logits, {"input": X_EDGE, "target": [1.0] * 12}, {}),
    "logits-edge-soft": (binary_cross_entropy_with_logits, {"input": X_EDGE, "target": [0.25] * 12}, SOFT),
    "logits-edge-pos": (binary_cross_entropy_with_logits,
                        {"input": X_EDGE, "target": [1.0, 0.0] * 6, "pos_weight": [3.0]}, SOFT),
    "kl": (kl_div, {"input": np.log(UNIT), "target": UNIT_2}, {"value": 1.0, "target": 5.0}),
    "kl-log": (kl_div, {"input": np.log(UNIT), "target": np.log(UNIT_2), "log_target": True},
               {"value": 1.0, "target": 5.0}),
    "kl-edge": (kl_div, {"input": [-1e4, -745.0, -1e-300, 0.0, 5.0], "target": [1e-300, 1e-17, 0.5, 1.0, 3.0]},
                {"target": 1.0}),
    "kl-log-edge": (kl_div, {"input": [-1e4, -1.0, 0.0], "target": [-1e4, -1e3, -1e-9], "log_target": True}, {}),
    "kl-clip": (kl_div, {"input": np.log(UNIT), "target": UNIT_2, "clip": (0.3, 0.8)}, {"value": 1.0, "target": 1.0}),
    "kl-log-clip": (kl_div, {"input": np.log(UNIT), "target": np.log(UNIT_2), "log_target": True, "clip": (0.3, 0.8)},
                    {"value": 1.0, "target": 1.0}),
    "hinge": (hinge_loss, {"input": LOGITS, "target": 2 * BITS - 1}, {}),
    "hinge-binary": (hinge_loss, {"input": LOGITS, "target": BITS, "labels": "binary"}, {}),
    "hinge-auto": (hinge_loss, {"input": LOGITS, "target": BITS, "labels": "binary_if_all_are"}, {}),
    "hinge-edge": (hinge_loss, {"input": X_EDGE, "target": [-1.0] * 12}, {}),
    "squared-hinge": (squared_hinge_loss, {"input": LOGITS, "target": 2 * BITS - 1}, {}),
    "squared-hinge-binary": (squared_hinge_loss, {"input": LOGITS, "target": BITS, "labels": "binary"}, {}),
}  # fmt: skip

# On a grid, so that differences of logits are exact and the small probabilities are well conditioned.
ROWS, ROWS_4D = RNG.integers(-99, 99, size=(5, 3)) / 16.0, RNG.integers(-99, 99, size=(2, 3, 2, 2)) / 16.0
LABELS, LABELS_4D = np.array([0, 2, 1, 1, 2]), RNG.integers(0, 3, size=(2, 2, 2))
SIMPLEX, SIMPLEX_4D = RNG.dirichlet([1.0] * 3, size=5), np.moveaxis(RNG.dirichlet([1.0] * 3, size=(2, 2, 2)), -1, 1)
FAR_LABELS = np.array([0, 0, 1, 0, 1, 0])
FAR = [[1e4, -1e4, 0.0], [-1e4, 0.0, 1e4], [100.0, 99.0, -100.0], [30.0, 0.0, 0.0], [1e300, -1e300, 0.0], [700.0, 0, 0]]
ONE = {"input": 1.0}

BY_ROWS: dict[str, tuple[Any, dict[str, Any], dict[str, float]]] = {
    "nll": (nll_loss, {"input": ROWS, "target": LABELS}, {}),
    "nll-weight-ignore": (nll_loss, {"input": ROWS, "target": LABELS, "weight": W3, "ignore_index": 1}, {}),
    "nll-4d": (nll_loss, {"input": ROWS_4D, "target": LABELS_4D, "weight": W3}, {}),
    "nll-1d": (nll_loss, {"input": ROWS[0], "target": np.array(2), "weight": W3}, {}),
    "ce": (cross_entropy, {"input": ROWS, "target": LABELS}, {}),
    "ce-weight": (cross_entropy, {"input": ROWS, "target": LABELS, "weight": W3}, {}),
    "ce-1d": (cross_entropy, {"input": ROWS[0], "target": np.array(2), "weight": W3}, {}),
    "ce-4d": (cross_entropy, {"input": ROWS_4D, "target": LABELS_4D}, {}),
    "ce-far": (cross_entropy, {"input": FAR, "target": FAR_LABELS}, {}),
    "ce-far-smooth": (cross_entropy, {"input": FAR, "target": FAR_LABELS, "label_smoothing": 0.3}, ONE),
    "ce-soft": (cross_entropy, {"input": ROWS, "target": SIMPLEX}, ONE),
    "ce-soft-1d": (cross_entropy, {"input": ROWS[0], "target": SIMPLEX[0], "label_smoothing": 0.1}, ONE),
    "ce-soft-4d": (cross_entropy, {"input": ROWS_4D, "target": SIMPLEX_4D, "weight": W3, "label_smoothing": 0.2}, ONE),
    "ce-one-hot-far": (cross_entropy, {"input": FAR, "target": np.eye(3)[FAR_LABELS]}, {}),
    "ce-many": (cross_entropy, {"input": RNG.integers(-300, 300, (2, 40)) / 16.0, "target": np.array([3, 39])}, {}),
    "categorical-hinge": (categorical_hinge_loss, {"input": ROWS, "target": LABELS}, {"value": 5.0}),
    "categorical-hinge-one-hot": (categorical_hinge_loss, {"input": ROWS, "target": np.eye(3)[LABELS]}, {"value": 5.0}),
    "categorical-hinge-keras": (categorical_hinge_loss, {"input": ROWS, "target": LABELS, "zero_competes": True},
                                {"value": 5.0}),
    "categorical-hinge-keras-soft": (
        categorical_hinge_loss, {"input": ROWS, "target": SIMPLEX, "zero_competes": True}, {"value": 5.0, **ONE}),
    "categorical-hinge-3d": (
        categorical_hinge_loss, {"input": ROWS_4D.reshape(2, 4, 3), "target": LABELS_4D.reshape(2, 4)}, {"value": 9.0}),
}  # fmt: skip
for smoothing in (0.0, 0.2, 1.0):  # weight x ignore_index x label_smoothing, indices and probabilities
    for ignored in (-100, 1):
        BY_ROWS[f"ce-weight-ignore{ignored}-smooth{smoothing}"] = (
            cross_entropy,
            {"input": ROWS, "target": LABELS, "weight": W3, "ignore_index": ignored, "label_smoothing": smoothing},
            ONE,
        )
    BY_ROWS[f"ce-soft-weight-smooth{smoothing}"] = (
        cross_entropy, {"input": ROWS, "target": SIMPLEX, "weight": W3, "label_smoothing": smoothing}, ONE)  # fmt: skip

TABLE = {**ELEMENTWISE, **BY_ROWS}


# A sum over the scales of an edge row would say nothing about the small ones.
CHECKS = [(row, r) for row in TABLE for r in ("none", "mean", "sum") if r == "none" or "edge" not in row]


@pytest.mark.parametrize(("row", "reduction"), CHECKS)
def test_value_and_gradients(row: str, reduction: str, agrees: Any) -> None:
    definition, arguments, floor = TABLE[row]
    agrees(
        reference.LOSSES[definition.__name__],
        definition,
        arguments,
        reduction,
        floor=floor,
        elementwise=row in ELEMENTWISE,
    )


def test_kl_batchmean(agrees: Any) -> None:
    arguments = {"input": np.log(UNIT), "target": UNIT_2}
    agrees(reference.kl_div, kl_div, arguments, "batchmean", floor={"value": 1.0, "target": 5.0})


# log_loss has its own signature: y_true first, and one number as the result.


def log_loss(
    y_true: Any,
    y_pred: Any,
    normalize: bool = True,
    sample_weight: Any = None,
    clip: Any = 0.0,
    renormalize: str = "never",
) -> Any:
    rows = y_pred if y_pred.ndim > 1 else np.stack([1 - y_pred, y_pred], axis=1)
    if renormalize == "before_clip":
        rows = rows / rows.sum(axis=1, keepdims=True)
    rows = clipped(rows, clip)
    if renormalize == "after_clip":
        rows = rows / rows.sum(axis=1, keepdims=True)
    weight = np.ones(len(rows)) if sample_weight is None else sample_weight
    total = sum(-w * mpmath.log(row[t]) for w, row, t in zip(weight, rows, y_true, strict=True))
    return np.array(total / (sum(weight) if normalize else 1), dtype=object), None


PROBABILITIES = RNG.dirichlet([1.0] * 3, size=5)
W5 = RNG.uniform(0.2, 2.0, size=5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": False},
        {"sample_weight": W5},
        {"sample_weight": W5, "normalize": False},
        {"clip": 0.3},
        {"clip": (0.2, 0.5), "renormalize": "before_clip", "sample_weight": W5},
        {"clip": 0.3, "renormalize": "after_clip", "normalize": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["rows", "binary"])
def test_log_loss(kind: str, options: dict[str, Any], agrees: Any) -> None:
    if kind == "binary":
        y_true, y_pred = np.array([0, 1, 1, 0, 1]), np.array([1e-17, 0.9, 1e-300, 1 - 2.0**-53, 0.45])
        options = {k: v for k, v in options.items() if k != "renormalize"}
    else:
        y_true, y_pred = LABELS, PROBABILITIES * (0.7 if "renormalize" in options else 1.0)
    agrees(reference.log_loss, log_loss, {"y_true": y_true, "y_pred": y_pred, **options}, floor={"y_pred": 1.0})


def test_log_loss_labels() -> None:
    rows = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
    assert reference.log_loss([7, 2], rows, labels=[7, 2, 4]) == reference.log_loss([2, 0], rows, labels=[0, 1, 2])
    assert reference.log_loss([3, 5], [[0.4], [0.9]]) == reference.log_loss([0, 1], [0.4, 0.9])
    assert reference.log_loss([0, 1], [[1.0, 0.0], [0.0, 1.0]]) == 0.0
    value, pullback = reference.log_loss.vjp([0, 1], [[math.nan, 0.5], [0.5, 0.5]])
    assert np.isnan(value)
    np.testing.assert_array_equal(pullback()["y_pred"], [[math.nan, 0.0], [0.0, -1.0]])
    assert reference.log_loss([1, 1], [0.0, 0.5], sample_weight=[0.0, 1.0], labels=[0, 1]) == math.log(2)


# Worked examples (their derivations are one line each of arithmetic, in the comments where it is not obvious).


def test_worked_examples() -> None:
    logits, one_hot = [[-1.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]
    sigmoid = reference.ACTIVATIONS["sigmoid"](logits)
    assert reference.binary_cross_entropy(sigmoid, one_hot) == pytest.approx(1.0166782683994102, rel=1e-15)
    assert reference.binary_cross_entropy_with_logits(logits, one_hot) == pytest.approx(1.0166782683994102, rel=1e-15)
    logs = np.log([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.4, 0.5, 0.1]])
    # -(log .2 + log .7 + log .1) / 3; the write-up prints 1.4429
    assert reference.nll_loss(logs, [0, 1, 2]) == pytest.approx(1.422899316455626, rel=1e-15)
    rows = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]]
    ignoring = reference.cross_entropy(rows, [0, 1, 1], ignore_index=0)
    assert ignoring == pytest.approx(1.101942848229244, rel=1e-15)
    scores = [[0.1, 0.2, 99.5], [1.3, 2.4, 0.4]]
    assert reference.nll_loss(scores, [2, 0], reduction="none").tolist() == [-99.5, -1.3]
    confident, labels = [[9, 5, 8, 67, 11], [6, 75, 8, 4, 7]], [3, 1]
    with mpmath.workdps(60):
        true = [
            float(mpmath.log(sum(mpmath.exp(x - row[t]) for x in row)))
            for row, t in zip(confident, labels, strict=True)
        ]
    for target in (labels, np.eye(5)[labels]):
        got = reference.cross_entropy(confident, target, reduction="none")
        assert got == pytest.approx(true, rel=1e-14)
        assert got.max() < 1.1e-24
    # 0.2 / 5 sum_j (x_t - x_j): 0.04 (5 * 67 - 100) = 9.4 and 0.04 (5 * 75 - 100) = 11
    smooth = reference.cross_entropy(confident, labels, reduction="none", label_smoothing=0.2)
    assert smooth == pytest.approx([9.4, 11.0], rel=1e-15)
    wrong = reference.binary_cross_entropy([0.9, 0.1], [0.0, 1.0], reduction="none")
    assert wrong == pytest.approx([math.log(10)] * 2, rel=1e-15)
    three = [[0.121, 0.434, 0.2, 0.3343], [0.3, 0.342, 0.6, 0.123], [5, 2, -1, 3]]
    assert reference.cross_entropy(three, [1, 0, 3]) == pytest.approx(1.6153863011013, rel=1e-13)
    assert reference.log_loss([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]) == pytest.approx(0.19763488164214868, rel=1e-15)


def test_leaving_out_the_first_row_is_ignore_index_0_only_where_it_alone_has_label_0() -> None:
    one = reference.cross_entropy(ROWS, [0, 1, 2, 1, 2], ignore_index=0, reduction="sum")
    assert one == reference.cross_entropy(ROWS[1:], [1, 2, 1, 2], reduction="sum")
    two = reference.cross_entropy(ROWS, [0, 1, 0, 1, 2], ignore_index=0, reduction="sum")
    assert two != reference.cross_entropy(ROWS[1:], [1, 0, 1, 2], reduction="sum")


# Conventions, where the derivative has two sides or the formula a 0 * inf. (loss, arguments, value, gradients)

CONVENTIONS: dict[str, tuple[str, dict[str, Any], Any, dict[str, Any]]] = {
    "bce-at-0-and-1": (
        "binary_cross_entropy", {"input": [0.0, 1.0, 0.0, 1.0], "target": [0.0, 1.0, 1.0, 0.0]},
        [0.0, 0.0, INF, INF], {"input": [1.0, -1.0, -INF, INF], "target": [INF, -INF, INF, -INF]}),
    "bce-soft-at-0-and-1": (
        "binary_cross_entropy", {"input": [0.0, 1.0], "target": [0.25, 0.5]}, [INF, INF], {"input": [-INF, INF]}),
    "bce-nan": (
        "binary_cross_entropy", {"input": [math.nan, 0.5, 0.0], "target": [0.0, math.nan, 0.0]},
        [math.nan, math.nan, 0.0], {"input": [math.nan, math.nan, 1.0]}),
    "bce-weight-0-of-inf": (
        "binary_cross_entropy", {"input": [0.0, 1.0], "target": [1.0, 0.0], "weight": [0.0, 0.0]}, [0.0, 0.0],
        {"input": [0.0, 0.0], "target": [0.0, 0.0]}),
    "bce-clip-edges-count-as-inside": (
        "binary_cross_entropy", {"input": [0.25, 0.75, 0.125, 0.875], "target": [1.0] * 4, "clip": 0.25},
        [math.log(4), math.log(4 / 3), math.log(4), math.log(4 / 3)], {"input": [-4.0, -4 / 3, 0.0, 0.0]}),
    # torch: both logarithms are at least -100, p (1 - p) at least 1e-12; the gradient in target is not clamped
    "bce-torch": (
        "binary_cross_entropy",
        {"input": [0.0, 1.0, 0.0, 0.5], "target": [1.0, 0.0, 0.0, 1.0], "log_clamp": -100.0, "gradient_floor": 1e-12},
        [100.0, 100.0, 0.0, math.log(2)],
        {"input": [-1e12, 1e12, 0.0, -2.0], "target": [INF, -INF, INF, 0.0]}),
    "logits-infinite": (
        "binary_cross_entropy_with_logits", {"input": [INF, -INF, INF, -INF], "target": [1.0, 0.0, 0.0, 1.0]},
        [0.0, 0.0, INF, INF], {"input": [0.0, 0.0, 1.0, -1.0]}),
    "logits-both-zeros": (
        "binary_cross_entropy_with_logits", {"input": [0.0, -0.0], "target": [0.25, 0.25]},
        [math.log(2)] * 2, {"input": [0.25, 0.25]}),
    "kl-0-log-0": (
        "kl_div", {"input": [-1.0, -INF, -INF], "target": [0.0, 0.0, 0.5]},
        [0.0, 0.0, INF], {"input": [0.0, 0.0, -0.5], "target": [-INF, INF, INF]}),
    "kl-log-0-log-0": (
        "kl_div", {"input": [-1.0, -INF], "target": [-INF, -INF], "log_target": True},
        [0.0, 0.0], {"input": [0.0, 0.0], "target": [0.0, 0.0]}),
    "kl-negative-target": ("kl_div", {"input": [-1.0], "target": [-0.5]}, [math.nan], {"input": [0.5]}),
    "nll-masked": (
        "nll_loss", {"input": [[-INF, -1.0]] * 3, "target": [1, 0, -100]}, [1.0, INF, 0.0],
        {"input": [[0.0, -1.0], [-1.0, 0.0], [0.0, 0.0]]}),
    "nll-weight-0-of-inf": ("nll_loss", {"input": [[-INF, -1.0]], "target": [0], "weight": [0.0, 1.0]}, [0.0], {}),
    "ce-masked": (
        "cross_entropy", {"input": [[0.0, -INF, 0.0]] * 2, "target": [0, 1]}, [math.log(2), INF],
        {"input": [[-0.5, 0.0, 0.5], [0.5, -1.0, 0.5]]}),
    "ce-masked-probabilities": (
        "cross_entropy", {"input": [[0.0, -INF, 0.0]], "target": [[1.0, 0.0, 0.0]]}, [math.log(2)],
        {"input": [[-0.5, 0.0, 0.5]], "target": [[math.log(2), INF, math.log(2)]]}),
    "ce-masked-smoothed": (
        "cross_entropy", {"input": [[0.0, -INF]], "target": [0], "label_smoothing": 0.5}, [INF],
        {"input": [[0.25, -0.25]]}),
    "ce-masked-smoothed-weight-0": (
        "cross_entropy", {"input": [[0.0, -INF]], "target": [0], "label_smoothing": 0.5, "weight": [1.0, 0.0]}, [0.0],
        {"input": [[0.0, 0.0]]}),
    "ce-ignored-nan": (
        "cross_entropy", {"input": [[math.nan, 1.0], [0.0, 0.0]], "target": [-100, 0]}, [0.0, math.log(2)],
        {"input": [[0.0, 0.0], [-0.5, 0.5]]}),
    "ce-nan": ("cross_entropy", {"input": [[math.nan, 1.0]], "target": [1]}, [math.nan], {"input": [[math.nan] * 2]}),
    "ce-ties": ("cross_entropy", {"input": [[1e300, 1e300]], "target": [1]}, [math.log(2)], {"input": [[0.5, -0.5]]}),
    "hinge-kink": (
        "hinge_loss", {"input": [1.0, -1.0], "target": [1.0, -1.0]}, [0.0, 0.0], {"input": [0.0, 0.0]}),
    "hinge-kink-keras": (
        "hinge_loss", {"input": [1.0, -1.0], "target": [1.0, -1.0], "subgradient": 1.0}, [0.0, 0.0],
        {"input": [-1.0, 1.0]}),
    "hinge-kink-half": (
        "hinge_loss", {"input": [1.0], "target": [1.0], "subgradient": 0.5}, [0.0], {"input": [-0.5]}),
    "hinge-auto-not-binary": (
        "hinge_loss", {"input": [0.5, 0.5], "target": [0.0, 0.5], "labels": "binary_if_all_are"}, [1.0, 0.75],
        {"input": [0.0, -0.5]}),
    "hinge-nan": ("hinge_loss", {"input": [math.nan], "target": [1.0]}, [math.nan], {"input": [math.nan]}),
    "squared-hinge-kink": (
        "squared_hinge_loss", {"input": [1.0, 0.0], "target": [1.0, 1.0]}, [0.0, 1.0], {"input": [0.0, -2.0]}),
    "categorical-hinge-ties": (
        "categorical_hinge_loss", {"input": [[1.0, 2.0, 2.0]], "target": [0]}, [2.0], {"input": [[-1.0, 0.5, 0.5]]}),
    "categorical-hinge-kink": (
        "categorical_hinge_loss", {"input": [[2.0, 1.0]], "target": [0]}, [0.0], {"input": [[0.0, 0.0]]}),
    "categorical-hinge-kink-keras": (
        "categorical_hinge_loss", {"input": [[2.0, 1.0]], "target": [0], "subgradient": 1.0}, [0.0],
        {"input": [[-1.0, 1.0]]}),
    # in Keras' maximum over (1 - y) x the label's own 0 beats negative scores
    "categorical-hinge-keras": (
        "categorical_hinge_loss", {"input": [[-3.0, -5.0]], "target": [[1.0, 0.0]], "zero_competes": True}, [4.0],
        {"input": [[-1.0, 0.0]]}),
    "categorical-hinge": (
        "categorical_hinge_loss", {"input": [[-3.0, -5.0]], "target": [[1.0, 0.0]]}, [0.0], {"input": [[0.0, 0.0]]}),
    "categorical-hinge-masked": (
        "categorical_hinge_loss", {"input": [[0.0, -INF]], "target": [0]}, [0.0], {"input": [[0.0, 0.0]]}),
    "categorical-hinge-nan": (
        "categorical_hinge_loss", {"input": [[1.0, 2.0], [1.0, 2.0]], "target": [[math.nan, 1.0], [1.0, 0.0]]},
        [math.nan, 2.0], {"input": [[math.nan, math.nan], [-1.0, 1.0]]}),
    "categorical-hinge-one-class": ("categorical_hinge_loss", {"input": [[3.0]], "target": [0]}, [0.0], {}),
}  # fmt: skip


@pytest.mark.parametrize("row", CONVENTIONS)
def test_convention(row: str) -> None:
    name, arguments, value, gradients = CONVENTIONS[row]
    got, pullback = reference.LOSSES[name].vjp(**arguments, reduction="none")
    np.testing.assert_allclose(got, value, rtol=1e-15)
    slopes = pullback(np.ones(np.shape(got)))
    for argument, want in gradients.items():
        np.testing.assert_allclose(slopes[argument], want, rtol=1e-15, err_msg=argument)


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_nothing_to_average(name: str) -> None:
    loss = reference.LOSSES[name]
    for rows, labels in ((ROWS, [-100] * 5), (np.zeros((0, 3)), [])):
        assert np.isnan(loss(rows, labels))
        assert loss(rows, labels, reduction="sum") == 0.0
        assert not loss.vjp(rows, labels)[1]()["input"].any()  # 0 for an ignored row, though the mean is NaN
        value, pullback = loss.vjp(rows, labels, zero_division=0.0)
        assert value == 0.0
        assert not pullback()["input"].any()


def test_unit_targets_is_tensorflows_gradient() -> None:
    target = np.array([[0.5, 0.1, 0.1]])
    value, pullback = reference.cross_entropy.vjp(ROWS[:1], target, unit_targets=True)
    assert value == reference.cross_entropy(ROWS[:1], target)
    np.testing.assert_allclose(pullback()["input"], reference.softmax(ROWS[:1]) - target, rtol=1e-15)


# Each argument refused, with the words that name it.

ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("binary_cross_entropy", ([1.5], [1.0]), {}, ValueError, r"input must lie in \[0, 1\]; it holds 1.5"),
    ("binary_cross_entropy", ([0.5], [-1.0]), {}, ValueError, r"target must lie in \[0, 1\]; it holds -1"),
    ("binary_cross_entropy", ([0.5], [[1.0]]), {}, ValueError, r"target must have the shape of input, \(1,\)"),
    ("binary_cross_entropy", ([0.5], [1.0], [1.0, 2.0]), {"clip": [0.1, 0.2, 0.3]}, ValueError, "clip must be one"),
    ("binary_cross_entropy", ([0.5], [1.0]), {"clip": 0.6}, ValueError, "clip must be one number c <= 0.5"),
    ("binary_cross_entropy", ([0.5], [1.0]), {"clip": -0.1}, ValueError, "clip must lie in"),
    ("binary_cross_entropy", ([0.5], [1.0]), {"clip": None}, TypeError, "clip must be an array of real numbers"),
    ("binary_cross_entropy", ([0.5], [1.0]), {"epsilon": -1.0}, ValueError, "epsilon must lie in"),
    ("binary_cross_entropy", ([0.5], [1.0]), {"log_clamp": 1.0}, ValueError, "log_clamp must lie in"),
    ("binary_cross_entropy", ([0.5j], [1.0]), {}, TypeError, "input must be an array of real numbers"),
    ("binary_cross_entropy", ([0.5], [1.0]), {"reduction": "average"}, ValueError, "reduction must be one of"),
    ("binary_cross_entropy_with_logits", ([0.5], [1.0, 0.0]), {}, ValueError, "target must have the shape of input"),
    ("binary_cross_entropy_with_logits", ([0.5] * 3, [1.0] * 3), {"pos_weight": [1.0, 2.0]}, ValueError, "broadcast"),
    ("kl_div", ([0.5] * 3, [1.0] * 2), {}, ValueError, "must broadcast"),
    ("kl_div", ([0.5], [1.0]), {"log_target": 1}, TypeError, "log_target must be True or False"),
    ("nll_loss", ([[0.0, 0.0]], [2]), {}, ValueError, "target must hold labels from 0 to 1, or be ignore_index -100"),
    ("nll_loss", ([[0.0, 0.0]], [-1]), {}, ValueError, "it holds -1"),
    ("nll_loss", ([[0.0, 0.0]], [0.0]), {}, TypeError, "target must hold integer labels"),
    ("nll_loss", ([[0.0, 0.0]], [0, 1]), {}, ValueError, r"in shape \(1,\); its shape is \(2,\)"),
    ("nll_loss", ([[0.0, 0.0]], [0], [1.0]), {}, ValueError, "weight must hold one number for each of the 2 classes"),
    ("nll_loss", (0.0, 0), {}, ValueError, "input must have shape"),
    ("cross_entropy", (np.zeros((2, 0)), [0, 0]), {}, ValueError, "with one class or more"),
    ("cross_entropy", ([[0.0, 0.0]], [2]), {}, ValueError, "target must hold labels from 0 to 1"),
    ("cross_entropy", ([[0.0, 0.0]], [0.5]), {}, TypeError, "target must hold integer labels"),
    ("cross_entropy", ([[0.0, 0.0]], [[0.5, 0.5]]), {"ignore_index": 1}, ValueError, "ignore_index goes with labels"),
    ("cross_entropy", ([[0.0, 0.0]], [0]), {"ignore_index": 1.0}, TypeError, "ignore_index must be an integer"),
    (
        "cross_entropy",
        ([[0.0, 0.0]], [0]),
        {"label_smoothing": 1.5},
        ValueError,
        r"label_smoothing must lie in \[0, 1\]",
    ),
    ("log_loss", ([0, 1], [0.5, 1.5]), {}, ValueError, "y_pred must lie in"),
    ("log_loss", ([0, 1], [0.5]), {}, ValueError, "y_pred must be"),
    ("log_loss", ([0, 0], [0.5, 0.5]), {}, ValueError, "labels must name the 2 classes"),
    ("log_loss", ([0, 2], [0.5, 0.5]), {"labels": [0, 1]}, ValueError, "y_true must hold only labels"),
    ("log_loss", ([0, 1], [0.5, 0.5]), {"sample_weight": [1.0]}, ValueError, "sample_weight must have y_true's shape"),
    ("log_loss", ([0.5, 1], [0.5, 0.5]), {}, TypeError, "y_true must hold integer labels"),
    ("hinge_loss", ([0.5], [0.0]), {}, ValueError, 'target must hold -1 and 1 .*labels="binary"'),
    ("hinge_loss", ([0.5], [1.0]), {"subgradient": 2.0}, ValueError, "subgradient must lie in"),
    ("hinge_loss", ([0.5], [1.0]), {"labels": "keras"}, ValueError, "labels must be one of"),
    ("squared_hinge_loss", ([0.5], [2.0]), {}, ValueError, "target must hold -1 and 1"),
    ("categorical_hinge_loss", ([[0.5, 0.5]], [[0.5, 0.5]]), {}, ValueError, "target must be one-hot"),
    ("categorical_hinge_loss", ([[0.5, 0.5]], [[1.0, 1.0]]), {}, ValueError, "target must be one-hot"),
    ("categorical_hinge_loss", ([[0.5, 0.5]], [2]), {}, ValueError, "target must hold labels from 0 to 1; it holds 2"),
    ("categorical_hinge_loss", (0.5, 0), {}, ValueError, "input must have shape"),
]


@pytest.mark.parametrize(("name", "args", "options", "error", "words"), ERRORS)
def test_refusal(name: str, args: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reference.LOSSES[name](*args, **options)


def test_labels_that_are_not_indices_may_be_ignored() -> None:
    assert reference.cross_entropy(ROWS, [0, 255, 1, 255, 2], ignore_index=255) == reference.cross_entropy(
        ROWS[[0, 2, 4]], [0, 1, 2]
    )


# Properties.

finite = st.floats(allow_nan=False, allow_infinity=False)
unit = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(finite, unit), min_size=1, max_size=6))
def test_logits_stay_finite_and_positive(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array(column) for column in zip(*pairs, strict=True))
    value, pullback = reference.binary_cross_entropy_with_logits.vjp(x, y, reduction="none")
    assert np.isfinite(value).all()
    assert (value >= 0.0).all()
    slope = pullback(np.ones(x.shape))["input"]
    assert (np.abs(slope) <= 1.0).all()


@given(st.lists(finite, min_size=1, max_size=6), st.data())
def test_cross_entropy_of_any_finite_logits(x: list[float], data: Any) -> None:
    label = data.draw(st.integers(0, len(x) - 1))
    value, pullback = reference.cross_entropy.vjp(x, label)
    assert value >= 0.0  # inf where the true value is beyond float64
    slope = pullback()["input"]
    assert np.isfinite(slope).all()
    assert abs(slope.sum()) <= 4 * 2.0**-52
    one_hot = reference.cross_entropy(x, np.eye(len(x))[label])
    assert one_hot == pytest.approx(value, rel=1e-15)


@given(st.lists(st.tuples(unit, unit), min_size=1, max_size=6))
def test_bce_is_never_nan(pairs: list[tuple[float, float]]) -> None:
    p, y = (np.array(column) for column in zip(*pairs, strict=True))
    value, pullback = reference.binary_cross_entropy.vjp(p, y, reduction="none")
    assert not np.isnan(value).any()
    assert not any(np.isnan(slope).any() for slope in pullback(np.ones(p.shape)).values())
