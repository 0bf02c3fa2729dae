"""The tolerance: K times what the textbook form may be off by in the dtype, never 0, and as narrow as that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lossparity.adapters.formulas import logits_with_slope_of_probability
from lossparity.conformance import tolerance
from lossparity.conformance.cases import CASES, DTYPES
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.judge import Judge
from lossparity.conformance.tolerance import K, expect, ulp_error
from lossparity.reference.precision import FORMATS

# Where the form itself is not bounded, and why. (loss, a part of the case's name): dtypes
UNBOUNDED = {
    # The slope of (1 - p_t)^0.5 is infinite at 0, which an underflow makes of 1 - p_t.
    ("sigmoid_focal_loss", "gamma0.5"): ("float64", "float32"),
    # Of a box and itself alpha is v / (1 - IoU + v + eps), of which all but eps is rounding, and eps no larger.
    ("complete_box_iou_loss", "identical-none"): ("float32",),
    # -6e38 is -inf in float32.
    ("log_softmax", "huge"): ("float32",),
}


def parts(expected: tolerance.Expected) -> dict[str, tuple[Any, Any]]:
    """Of the value and of each gradient: what is expected, and its tolerance."""
    found = {"value": (expected.value, expected.value_tolerance)}
    for name, gradient in expected.gradients.items():
        found[name] = (gradient, expected.gradient_tolerances[name])
    return found


# --- every case


@pytest.mark.parametrize("loss", CASES)
def test_every_tolerance_is_positive_and_finite_where_the_result_is(
    loss: str, judge_of: Callable[[int], Judge]
) -> None:
    for case in CASES[loss].values():
        if "error" in case.tags:
            continue
        for dtype in case.dtypes:
            excused = any(
                of == loss and name in case.name and dtype in dtypes for (of, name), dtypes in UNBOUNDED.items()
            )
            for name, (want, limit) in parts(judge_of(0).expected(case, dtype, ())).items():
                place = f"{case.name}/{dtype}/{name}"
                assert limit.shape == want.shape, place
                assert not np.any(np.isnan(limit)), place
                assert np.all(limit > 0.0), place
                assert excused or not np.any(np.isinf(limit) & np.isfinite(want)), f"{place}: anything would pass"


# --- one loss, looked at closely

X, Y = np.array([1.5, -2.25, 0.625]), np.array([0.5, 1.0, -3.0])


@pytest.mark.parametrize("dtype", FORMATS)
def test_there_is_room_below_the_smallest_normal_number(dtype: str) -> None:
    zeros = {"input": np.zeros(2), "target": np.zeros(2), "reduction": "none"}
    for want, limit in parts(expect(DEFINITIONS["mse_loss"], zeros, dtype, np.ones(2))).values():
        assert np.all(want == 0.0)
        assert np.all(limit == FORMATS[dtype].underflow)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_roundings_of_a_square_by_hand(dtype: str) -> None:
    """(x - y)^2 of d (1 + a), |a| <= u: 2 u d^2 and the square's own u d^2; its gradient 2 g d has two, and 2 is exact.

    The third of the products, g d, is exact for g = 1.
    """
    x, y, u = np.array([0.1]), np.array([-0.3]), float(np.finfo(dtype).eps) / 2.0
    x, y = x.astype(dtype).astype("float64"), y.astype(dtype).astype("float64")
    expected = expect(DEFINITIONS["mse_loss"], {"input": x, "target": y, "reduction": "none"}, dtype, np.ones(1))
    d = float(x[0] - y[0])
    assert float(expected.value_tolerance[0]) == pytest.approx(K * 3.0 * u * d * d, rel=1e-3)
    assert K * u * 2.0 * d <= float(expected.gradient_tolerances["input"][0]) <= K * 4.01 * u * 2.0 * d


def test_a_cancelling_difference_that_is_exact_costs_nothing() -> None:
    """x - y is exact where they are close (Sterbenz): of the square of 2^-9 only the product may be rounded."""
    near = {"input": np.array([1e4]), "target": np.array([1e4 + 2.0**-9]), "reduction": "none"}
    expected = expect(DEFINITIONS["mse_loss"], near, "float32", np.ones(1))
    assert expected.value[0] == 2.0**-18
    assert float(expected.value_tolerance[0]) <= 1.01 * K * 2.0**-24 * 2.0**-18


def test_a_confident_cross_entropy_keeps_the_digits_of_its_textbook_form() -> None:
    """log1p of the sum without the largest: 1e-13 to within some roundoffs of 1e-13, not of 1."""
    arguments = {"input": np.array([[30.0, 0.0]]), "target": np.array([0]), "reduction": "none"}
    expected = expect(DEFINITIONS["cross_entropy"], arguments, "float32", np.ones(1))
    assert float(expected.value_tolerance[0]) < 100.0 * 2.0**-24 * float(expected.value[0])


@pytest.mark.parametrize(("logit", "digits_left"), [(-4.0, True), (-20.0, False)])
def test_a_less_accurate_formula_costs_what_it_costs(logit: float, digits_left: bool) -> None:
    """(1 - y) x - log sigmoid(x) for y = 0: no correct digit in float32 beyond -16.6, and the definition has all."""
    x = np.array([logit])
    arguments = {"input": x, "target": np.zeros(1), "reduction": "none"}
    loss = DEFINITIONS["binary_cross_entropy_with_logits"]
    own = expect(loss, arguments, "float32", np.ones(1))
    its = expect(loss, arguments, "float32", np.ones(1), logits_with_slope_of_probability)
    assert np.array_equal(own.value, its.value)
    assert float(own.value_tolerance[0]) < 1e-6 * float(own.value[0])
    assert (float(its.value_tolerance[0]) < 1e-3 * float(own.value[0])) == digits_left
    if not digits_left:
        assert float(its.value_tolerance[0]) > float(own.value[0])


def test_a_reduction_in_a_narrower_dtype_costs_its_roundings_and_no_more() -> None:
    arguments = {"input": X, "target": Y * 0.1, "reduction": "mean"}
    double, single, mixed = (
        expect(DEFINITIONS["mse_loss"], arguments, dtype, np.asarray(1.0), reduced_in=reduced)
        for dtype, reduced in (("float64", None), ("float32", None), ("float64", "float32"))
    )
    assert 1e6 * double.value_tolerance < mixed.value_tolerance < single.value_tolerance
    # The gradient 2 d g / n rounds g / n in float32, not d.
    limit, value = mixed.gradient_tolerances["input"], np.abs(mixed.gradients["input"])
    assert np.all(limit <= K * 2.01 * 2.0**-24 * value)


@given(
    name=st.sampled_from(["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"]),
    x=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4),
    y=st.floats(0.0, 1.0),
    reduction=st.sampled_from(["none", "mean", "sum"]),
    dtype=st.sampled_from(DTYPES),
)
def test_finite_input_has_a_finite_positive_tolerance(
    name: str, x: list[float], y: float, reduction: str, dtype: str
) -> None:
    arguments = {"input": np.array(x), "target": np.full(len(x), y), "reduction": reduction}
    shape = (len(x),) if reduction == "none" else ()
    for want, limit in parts(expect(DEFINITIONS[name], arguments, dtype, np.ones(shape))).values():
        assert np.all(np.isfinite(want))
        assert np.all(np.isfinite(limit))
        assert np.all(limit > 0.0)


@given(x=st.floats(-1e3, 1e3), y=st.floats(-1e3, 1e3), dtype=st.sampled_from(DTYPES))
def test_honest_rounding_is_within_it(x: float, y: float, dtype: str) -> None:
    """mse_loss as anyone writes it, in the dtype under test."""
    one, other = np.array([x]).astype(dtype), np.array([y]).astype(dtype)
    arguments = {"input": one, "target": other, "reduction": "none"}
    expected = expect(DEFINITIONS["mse_loss"], arguments, dtype, np.ones(1))
    d = one - other
    assert np.all(np.abs((d * d).astype(np.float64) - expected.value) <= expected.value_tolerance)
    slope = (2 * d).astype(np.float64)
    assert np.all(np.abs(slope - expected.gradients["input"]) <= expected.gradient_tolerances["input"])


# --- the error in units in the last place

ULP: list[tuple[str, float, float, str, float]] = [
    ("the same", 1.5, 1.5, "float64", 0.0),
    ("one unit", 1.0 + 2.0**-52, 1.0, "float64", 1.0),
    ("one unit of float32", 1.0 + 2.0**-23, 1.0, "float32", 1.0),
    ("half a unit, as rounding leaves it", 1.0, 1.0 + 2.0**-24, "float32", 0.5),
    ("a sign", -1.0, 1.0, "float64", 2.0**53),
    ("the smallest denormal", 5e-324, 0.0, "float64", 1.0),
    ("infinity for infinity", np.inf, np.inf, "float64", 0.0),
    ("infinity for a number", np.inf, 1.0, "float64", np.inf),
    ("a number for infinity", 1.0, np.inf, "float64", np.inf),
    ("the other infinity", -np.inf, np.inf, "float64", np.inf),
    ("NaN for NaN", np.nan, np.nan, "float64", 0.0),
    ("NaN for a number", np.nan, 1.0, "float64", np.inf),
    ("a number for NaN", 1.0, np.nan, "float64", np.inf),
    ("infinity for what float32 cannot hold", np.inf, 1e39, "float32", 0.0),
    ("infinity for what float64 can hold", np.inf, 1e39, "float64", np.inf),
    ("minus infinity for what float32 cannot hold", -np.inf, 1e39, "float32", np.inf),
]


@pytest.mark.parametrize(("got", "want", "dtype", "error"), [row[1:] for row in ULP], ids=[row[0] for row in ULP])
def test_units_in_the_last_place(got: float, want: float, dtype: str, error: float) -> None:
    assert ulp_error(np.array([got]), np.array([want]), dtype)[0] == error
