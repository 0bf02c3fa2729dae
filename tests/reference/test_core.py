"""What every loss gets from core: binding, checks, broadcasting, reductions and the pullback."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from lossparity import reference
from lossparity.reference.core import Integer, Number, Real, Terms, loss

X, Y = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]]), np.array([[0.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
TERMS = (X - Y) ** 2  # 1, 9, 4, 2.25, 4, 9
WEIGHT = np.array([[1.0, 0.0, 3.0], [0.0, 2.0, 1.0]])

# reduction, options, what multiplies each squared error
REDUCTIONS: list[tuple[str, dict[str, Any], Any]] = [
    ("sum", {}, 1.0),
    ("mean", {}, 1 / 6),
    ("sum_over_batch_size", {}, 1 / 6),
    ("mean_with_sample_weight", {}, 1 / 6),
    ("sum_by_nonzero_weights", {}, 1 / 6),
    ("mean", {"avg_factor": 4.0}, 1 / 4),
    ("sum", {"sample_weight": WEIGHT}, WEIGHT),
    ("mean", {"sample_weight": WEIGHT}, WEIGHT / 6),
    ("sum_over_batch_size", {"sample_weight": WEIGHT}, WEIGHT / 6),
    ("mean_with_sample_weight", {"sample_weight": WEIGHT}, WEIGHT / 7),
    ("sum_by_nonzero_weights", {"sample_weight": WEIGHT}, WEIGHT / 4),
    ("sum_over_nonzero_weights", {"sample_weight": WEIGHT}, WEIGHT / 4),
    ("mean", {"sample_weight": WEIGHT, "avg_factor": 4.0}, WEIGHT / 4),
    ("sum", {"sample_weight": WEIGHT[:, :1]}, WEIGHT[:, :1] * np.ones(3)),
    ("mean", {"average_last_axis": True}, 1 / 6),
    ("sum", {"average_last_axis": True}, 1 / 3),
    ("sum", {"average_last_axis": True, "sample_weight": [2.0, 5.0]}, np.array([[2 / 3], [5 / 3]])),
    (
        "mean_with_sample_weight",
        {"average_last_axis": True, "sample_weight": [2.0, 5.0]},
        np.array([[2.0], [5.0]]) / 21,
    ),
]


@pytest.mark.parametrize(("reduction", "options", "factor"), REDUCTIONS)
def test_reduction(reduction: str, options: dict[str, Any], factor: Any) -> None:
    value, pullback = reference.mse_loss.vjp(X, Y, reduction, **options)
    assert isinstance(value, np.float64)
    assert value == reference.mse_loss(X, Y, reduction, **options) == pytest.approx((TERMS * factor).sum(), rel=1e-15)
    for cotangent, times in ((None, 1.0), (-2.5, -2.5)):
        gradients = pullback(cotangent)
        np.testing.assert_allclose(gradients["input"], 2 * (X - Y) * factor * times, rtol=1e-15)
        np.testing.assert_allclose(gradients["target"], -2 * (X - Y) * factor * times, rtol=1e-15)


@pytest.mark.parametrize(
    ("options", "factor"),
    [({}, 1.0), ({"sample_weight": WEIGHT}, WEIGHT), ({"sample_weight": WEIGHT[0]}, WEIGHT[0])],
)
def test_no_reduction(options: Any, factor: Any) -> None:
    value, pullback = reference.mse_loss.vjp(X, Y, reduction="none", **options)
    np.testing.assert_allclose(value, TERMS * factor, rtol=1e-15)
    np.testing.assert_allclose(pullback(Y)["input"], 2 * (X - Y) * factor * Y, rtol=1e-15)


def test_batchmean_divides_by_the_first_axis_of_input() -> None:
    assert reference.kl_div(X, [[0.5]], "batchmean") == reference.kl_div(X, [[0.5]], "sum") / 2


def test_pullback_may_be_called_again_and_leaves_its_arguments() -> None:
    for name, each in reference.LOSSES.items():
        if not {"input", "target"} <= set(each.required):
            continue
        x = np.array([[0.3, 0.6], [0.2, 0.9]])
        y = np.array([0, 1]) if name in ("nll_loss", "cross_entropy") else np.array([[1.0, 0.0], [0.0, 1.0]])
        options = {"labels": "binary"} if "labels" in each.arguments else {}
        before = x.copy(), y.copy()
        try:
            value, pullback = each.vjp(x, y, reduction="sum", **options)
        except (TypeError, ValueError):
            continue  # a loss of other shapes
        first = {k: v.copy() for k, v in pullback(2.0).items()}
        for k, v in pullback(2.0).items():
            np.testing.assert_array_equal(v, first[k], err_msg=f"{name} {k}")
        assert each(x, y, reduction="sum", **options) == value
        np.testing.assert_array_equal(x, before[0])
        np.testing.assert_array_equal(y, before[1])


def test_broadcast_gradients_are_summed_to_their_argument() -> None:
    value, pullback = reference.mse_loss.vjp(X, [[1.0], [2.0]], "sum")
    gradients = pullback()
    d = X - [[1.0], [2.0]]
    assert value == (d**2).sum()
    np.testing.assert_array_equal(gradients["target"], -2 * d.sum(axis=1, keepdims=True))
    assert reference.mse_loss.vjp(X, 1.0, "sum")[1]()["target"].shape == ()


def test_scalars() -> None:
    value, pullback = reference.binary_cross_entropy_with_logits.vjp(0.0, 1.0, reduction="none")
    assert value.shape == ()
    assert float(value) == math.log(2)
    slope = pullback()["input"]
    assert isinstance(slope, np.ndarray)
    assert slope.shape == ()
    assert slope == -0.5


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "bool"])
def test_everything_is_computed_in_float64(dtype: str) -> None:
    x = np.array([0, 1], dtype=dtype)
    value, pullback = reference.mse_loss.vjp(x, [0.25, 0.25])
    assert value == (0.0625 + 0.5625) / 2
    assert pullback()["input"].dtype == np.float64


def test_empty() -> None:
    empty = np.zeros((0, 3))
    assert np.isnan(reference.mse_loss(empty, empty))
    assert reference.mse_loss(empty, empty, "sum") == 0.0
    assert reference.mse_loss(empty, empty, zero_division=0.0) == 0.0
    assert reference.mse_loss.vjp(empty, empty)[1]()["input"].shape == (0, 3)


def test_zero_division_is_the_value_where_the_weights_are_all_zero() -> None:
    value, pullback = reference.mse_loss.vjp(
        X, Y, "sum_by_nonzero_weights", sample_weight=np.zeros((2, 3)), zero_division=0.0
    )
    assert value == 0.0
    assert not pullback()["input"].any()
    assert np.isnan(reference.mse_loss(X, Y, "mean_with_sample_weight", sample_weight=0.0))


ERRORS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((X,), {}, TypeError, r"mse_loss\(\) needs target"),
    ((), {"weight": X}, TypeError, "needs input and target"),
    ((X, Y, "mean", None, 1), {}, TypeError, "takes 4 positional arguments; 5 were given"),
    ((X, Y), {"input": X}, TypeError, "got input twice"),
    ((X, Y), {"wieght": X}, TypeError, "no argument 'wieght'; it takes input, target"),
    ((X, Y, "Mean"), {}, ValueError, "reduction must be one of none, sum, mean, .*; it is 'Mean'"),
    ((X, Y, None), {}, TypeError, "reduction must be one of"),
    ((X, Y[:, :2]), {}, ValueError, r"must broadcast against each other: input \(2, 3\), target \(2, 2\)"),
    (("abc", Y), {}, TypeError, "input must be an array of real numbers; its dtype is"),
    (([[1.0], [1.0, 2.0]], Y), {}, TypeError, "input must be an array"),
    ((None, Y), {}, TypeError, "input must be an array of real numbers; its dtype is object"),
    ((X, Y), {"sample_weight": [1.0, 2.0]}, ValueError, "sample_weight must broadcast to the terms"),
    ((X, Y), {"sample_weight": np.ones((4, 2, 3))}, ValueError, "sample_weight must broadcast to the terms"),
    ((X, Y, "sum"), {"avg_factor": 2.0}, ValueError, "avg_factor goes with reduction 'mean' or 'none'"),
    ((X, Y), {"avg_factor": True}, TypeError, "avg_factor must be a number"),
    ((X, Y), {"average_last_axis": 1}, TypeError, "average_last_axis must be True or False"),
]


@pytest.mark.parametrize(("args", "options", "error", "words"), ERRORS)
def test_refusal(args: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reference.mse_loss(*args, **options)


def test_cotangent_must_fit() -> None:
    pullback = reference.mse_loss.vjp(X, Y, "none")[1]
    with pytest.raises(ValueError, match=r"needs a cotangent of that shape"):
        pullback()
    with pytest.raises(ValueError, match=r"cotangent must have the value's shape \(2, 3\); its shape is \(3,\)"):
        pullback([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="cotangent must be an array of real numbers"):
        pullback(X * 1j)


@pytest.mark.parametrize("name", list(reference.LOSSES | reference.ACTIVATIONS))
def test_every_loss_says_what_it_takes(name: str) -> None:
    each = (reference.LOSSES | reference.ACTIVATIONS)[name]
    assert getattr(reference, name) is each
    assert name in reference.__all__
    signature = inspect.signature(each)
    assert set(signature.parameters) == set(each.arguments)
    assert each.__doc__
    for word in ("Shape", "Domain", "Source:"):
        assert word.lower() in each.__doc__.lower(), f"{name}'s docstring does not state: {word}"
    assert each.differentiable
    assert name in repr(each)


def test_a_formula_must_declare_its_arguments() -> None:
    def half(input: Any, other: float = 1.0) -> Terms:
        return Terms(input * other, lambda g: {"input": np.asarray(g * other)})

    with pytest.raises(TypeError, match=r"half: declared and defined arguments differ in \['other'\]"):
        loss({"input": Real(differentiable=True)}, reductions=())(half)
    made = loss({"input": Real(differentiable=True), "other": Number(optional=True)}, reductions=())(half)
    assert made(3.0, other=2.0) == 6.0


def test_optional_integer() -> None:
    assert Integer(optional=True)("n", None) is None
    with pytest.raises(TypeError, match="n must be an integer; it is True"):
        Integer()("n", True)
