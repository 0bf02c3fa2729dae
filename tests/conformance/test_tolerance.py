"""The tolerance: never 0, never infinite where the result is not, in proportion to u, and as wide as it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from exact import Dual, exp, log1p, total, value_and_gradient
from hypothesis import given

from lossparity.conformance import tolerance
from lossparity.conformance.cases import CASES, DTYPES
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.judge import Judge
from lossparity.conformance.tolerance import K, expect, ulp_error

BOXES = ("iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss")


def unit(dtype: str) -> float:
    return K[dtype] * float(np.finfo(dtype).eps) / 2.0


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
            for name, (want, limit) in parts(judge_of(0).expected(case, dtype, ())).items():
                place = f"{case.name}/{dtype}/{name}"
                assert limit.shape == want.shape, place
                assert not np.any(limit <= 0.0), place
                assert not np.any(np.isinf(limit) & np.isfinite(want)), f"{place}: anything would pass"
                if "nan" not in case.tags:
                    assert np.all(np.isfinite(limit[np.isfinite(want)])), place


@pytest.mark.parametrize("loss", CASES)
def test_a_kink_does_not_widen_the_gradients_tolerance(loss: str, judge_of: Callable[[int], Judge]) -> None:
    """At a jump of the derivative a difference quotient of it is as large as the step is small."""
    degenerate = ("point", "flat", "two-points", "one-point", "small")
    for case in CASES[loss].values():
        if (
            "kink" not in case.tags
            or case.tags & {"error", "nan"}
            or (loss in BOXES and case.name.startswith(degenerate))
        ):
            continue
        for dtype in case.dtypes:
            for name, (want, limit) in parts(judge_of(0).expected(case, dtype, ())).items():
                finite = np.isfinite(want)
                ratio = limit[finite] / (unit(dtype) * (1.0 + np.abs(want[finite])))
                assert np.all(ratio < 32.0), f"{case.name}/{dtype}/{name}: {ratio.max()}"


# --- one loss, looked at closely

X, Y = np.array([1.5, -2.25, 0.625]), np.array([0.5, 1.0, -3.0])  # exact in float32
G = np.array([1.0, -0.75, 0.5])


def test_it_is_in_proportion_to_the_roundoff() -> None:
    arguments = {"input": X, "target": Y, "reduction": "none"}
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        wide, narrow = (parts(expect(DEFINITIONS[name], arguments, dtype, G)) for dtype in ("float32", "float64"))
        for part, (_, limit) in wide.items():
            np.testing.assert_allclose(limit / unit("float32"), narrow[part][1] / unit("float64"), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_64_roundoffs_of_a_well_conditioned_result_are_too_many(dtype: str) -> None:
    arguments = {"input": X, "target": Y, "reduction": "none"}
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        for part, (want, limit) in parts(expect(DEFINITIONS[name], arguments, dtype, G)).items():
            assert np.all(limit < 64.0 * np.finfo(dtype).eps * np.abs(want)), part


@pytest.mark.parametrize("dtype", DTYPES)
def test_there_is_room_below_the_smallest_normal_number(dtype: str) -> None:
    zeros = {"input": np.zeros(2), "target": np.zeros(2), "reduction": "none"}
    for want, limit in parts(expect(DEFINITIONS["mse_loss"], zeros, dtype, np.ones(2))).values():
        assert np.all(want == 0.0)
        assert np.all(limit == np.finfo(dtype).tiny)


# Definitions over dual numbers: the sum of |x df/dx| in 60 digits. Each of a pair of vectors, summed.
SUMMED: dict[str, Callable[..., Any]] = {
    "mse_loss": lambda x, y: total((a - b) * (a - b) for a, b in zip(x, y, strict=True)),
    "l1_loss": lambda x, y: total(abs(a - b) for a, b in zip(x, y, strict=True)),
    "binary_cross_entropy_with_logits": lambda x, y: total(
        log1p(exp(-a)) + (1 - b) * a for a, b in zip(x, y, strict=True)
    ),
}


@pytest.mark.parametrize("name", SUMMED)
def test_the_values_conditioning_is_the_sum_of_x_times_the_slope(name: str) -> None:
    loss = DEFINITIONS[name]
    x, y = X, (np.array([0.25, 1.0, 0.5]) if "cross" in name else Y)

    def definition(*numbers: Dual) -> Any:
        return SUMMED[name](numbers[:3], numbers[3:])

    arguments = {"input": x, "target": y, "reduction": "sum"}
    value, slopes = value_and_gradient(definition, [*x.tolist(), *y.tolist()])
    assert float(loss(**arguments)) == pytest.approx(float(value), rel=1e-15)
    conditioning = float(sum(abs(a * slope) for a, slope in zip([*x.tolist(), *y.tolist()], slopes, strict=True)))
    size, _ = loss.scales(**arguments, cotangent=np.asarray(1.0))
    got = float(expect(loss, arguments, "float64", np.asarray(1.0)).value_tolerance)
    assert got / unit("float64") == pytest.approx(float(size) + conditioning, rel=1e-4)


def test_a_cancelling_difference_is_conditioned_by_what_cancels() -> None:
    near = {"input": np.array([1e4]), "target": np.array([1e4 + 2.0**-10]), "reduction": "none"}
    expected = expect(DEFINITIONS["mse_loss"], near, "float32", np.ones(1))
    d = 2.0**-10
    # |x df/dx| + |y df/dy| = 4 |x| d, far above the d^2 of the result
    np.testing.assert_allclose(expected.value_tolerance / unit("float32"), 4.0 * 1e4 * d, rtol=1e-2)
    assert np.all(expected.value_tolerance > expected.value)


def test_the_gradients_conditioning_is_that_of_its_slope() -> None:
    """d/dx of (x - y)^2 is 2 (x - y): an input rounded once moves it by 2 |x| u."""
    near = {"input": np.array([1e4]), "target": np.array([1e4 + 2.0**-10]), "reduction": "none"}
    limit = expect(DEFINITIONS["mse_loss"], near, "float32", np.ones(1)).gradient_tolerances["input"]
    assert 1.9e4 <= float(limit[0]) / unit("float32") <= 4.1e4


def test_a_confident_cross_entropy_is_measured_against_its_terms() -> None:
    """Its loss is 1e-13; what is added and subtracted on the way is 1."""
    arguments = {"input": np.array([[30.0, 0.0]]), "target": np.array([0]), "reduction": "none"}
    expected = expect(DEFINITIONS["cross_entropy"], arguments, "float32", np.ones(1))
    assert expected.value[0] < 1e-12
    assert 1e-8 < expected.value_tolerance[0] < 1e-4


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
