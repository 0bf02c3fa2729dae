"""What the tests of the reference share: comparison with a definition that mpmath evaluates to 400 digits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import hypothesis
import mpmath
import numpy as np
import numpy.typing as npt
import pytest

from lossparity.conformance.judge import Judge
from lossparity.reference import Loss
from lossparity.reference.precision import Exact

Array = npt.NDArray[Any]
# A definition takes the loss's arguments, arrays as arrays of mpf, and returns the terms and the mean's denominator.
Definition = Callable[..., tuple[Array, Any]]

DIGITS = 400
STEP = mpmath.mpf(10) ** -30  # of a central difference, relative: its error is 1e-60 of the third derivative

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60, database=None)
hypothesis.settings.load_profile("repeatable")

to_mp = np.frompyfunc(mpmath.mpf, 1, 1)


def error_in_ulp(got: Any, want: Any, floor: float) -> float:
    """The largest |got - want| in float64 roundoffs (2^-52) of max(|want|, floor)."""
    worst = 0.0
    for g, w in zip(np.ravel(got), np.ravel(np.asarray(want, dtype=object)), strict=True):
        true = mpmath.mpf(w)
        if mpmath.isnan(true) or mpmath.isinf(float(true)):
            same = np.isnan(g) if mpmath.isnan(true) else g == float(true)
            worst = max(worst, 0.0 if same else np.inf)
        else:
            ulp = max(max(abs(true), floor) * mpmath.mpf(2) ** -52, mpmath.mpf(2) ** -1074)
            worst = max(worst, float(abs(mpmath.mpf(float(g)) - true) / ulp)) if np.isfinite(g) else np.inf
    return worst


def floats(exact: Any) -> list[float]:
    return [float(x) for x in np.ravel(np.asarray(exact, dtype=object))]


def _value(definition: Definition, arguments: Mapping[str, Any], reduction: str | None) -> tuple[Any, Any]:
    """The exact value under a reduction, and what that divides by."""
    terms, denominator = definition(**arguments)
    if reduction in (None, "none"):
        return terms, None
    divisor = {"sum": 1, "mean": denominator, "batchmean": len(next(iter(arguments.values())))}[reduction]
    return sum(np.ravel(terms), mpmath.mpf(0)) / divisor, divisor


def _slopes(definition: Definition, arguments: dict[str, Any], name: str, cotangent: Array, together: bool) -> Array:
    """The derivative of sum(cotangent * terms) in each element of an argument: `together` where term i has only i."""
    x = arguments[name]
    steps = np.frompyfunc(lambda v: STEP * (abs(v) or 1), 1, 1)(x)

    def difference(step: Array) -> Array:
        up, down = (definition(**{**arguments, name: x + side})[0] for side in (step, -step))
        return np.asarray((up - down) * cotangent)

    if together:
        return np.asarray(difference(steps) / (2 * steps))
    slopes = np.empty(x.shape, dtype=object)
    for index in np.ndindex(x.shape):
        one = np.zeros(x.shape, dtype=object)
        one[index] = steps[index]
        slopes[index] = difference(one).sum() / (2 * steps[index])
    return slopes


def check(
    loss: Loss,
    definition: Definition,
    arguments: Mapping[str, Any],
    reduction: str | None = None,
    *,
    ulp: float = 4.0,
    floor: Mapping[str, float] | None = None,
    elementwise: bool = False,
) -> None:
    """Value and every gradient of `loss` are within `ulp` roundoffs of the definition and its derivative.

    Under a reduction to one number the gradient is that of the terms under the cotangent that the reduction's
    divisor gives each of them. reduction None: the loss takes none (an activation).
    floor: for the value and for each gradient the size below which roundoffs are not counted finer (0).
    """
    arguments = {k: np.asarray(v) if isinstance(v, (list, np.ndarray)) else v for k, v in arguments.items()}
    floor = floor or {}
    given = {} if reduction is None else {"reduction": reduction}
    value, pullback = loss.vjp(**arguments, **given)
    cotangent = np.random.default_rng(5).uniform(0.5, 2.0, np.shape(value))
    gradients = pullback(cotangent)
    assert gradients or not loss.differentiable
    with mpmath.workdps(DIGITS):
        exact = {k: to_mp(v) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in arguments.items()}
        want, divisor = _value(definition, exact, reduction)
        assert np.shape(value) == np.shape(want)
        if loss.textbook:
            textbook_value, textbook_gradients = loss.evaluate(Exact(mpmath.mp), {**arguments, **given}, cotangent)
            assert_equals(textbook_value, want, "the textbook form")
        error = error_in_ulp(value, want, floor.get("value", 0.0))
        assert error <= ulp, f"value {value}, want {floats(want)}: {error} ulp"
        for name, gradient in gradients.items():
            assert gradient.shape == arguments[name].shape
            if divisor is None:
                slopes = _slopes(definition, exact, name, to_mp(cotangent), elementwise)
            else:
                terms, of_terms = loss.vjp(**arguments, reduction="none")
                slopes = of_terms(np.full(np.shape(terms), float(cotangent / divisor)))[name]
            error = error_in_ulp(gradient, slopes, floor.get(name, 0.0))
            assert error <= ulp, f"gradient of {name}: {gradient.ravel()}, want {floats(slopes)}: {error} ulp"
            if loss.textbook and divisor is None:
                assert_equals(textbook_gradients[name], slopes, f"the textbook form's gradient of {name}")


def assert_equals(got: Any, want: Any, what: str) -> None:
    """Both are exact: they agree to what a difference quotient of step 1e-30 has of digits."""
    for g, w in zip(np.ravel(np.asarray(got, dtype=object)), np.ravel(np.asarray(want, dtype=object)), strict=True):
        same = (
            g == w
            or (mpmath.isnan(g) and mpmath.isnan(w))
            or abs(g - w) <= abs(w) * mpmath.mpf(10) ** -25 + mpmath.mpf(10) ** -50
        )
        assert same, f"{what} is {mpmath.nstr(g, 20)}, want {mpmath.nstr(w, 20)}"


@pytest.fixture
def agrees() -> Callable[..., None]:
    return check


@functools.cache
def _judge(seed: int) -> Judge:
    engine = SimpleNamespace(__name__="none", MODES={}, REFUSED={}, devices=lambda: ["cpu"], version=lambda: "0")
    nothing: Any = SimpleNamespace(IMPLEMENTATIONS=[], ENGINE=engine)
    return Judge(nothing, seed, {})


@pytest.fixture(scope="session")
def judge_of() -> Callable[[int], Judge]:
    """A judge without a framework, by seed: what it expects of a case is computed once for all tests."""
    return _judge
