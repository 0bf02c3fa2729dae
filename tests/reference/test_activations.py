"""sigmoid, softmax and log_softmax against mpmath."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossparity import reference

RNG = np.random.default_rng(3)
exp = np.frompyfunc(mpmath.exp, 1, 1)
log = np.frompyfunc(mpmath.log, 1, 1)
GRID = RNG.integers(-99, 99, size=(2, 3, 4)) / 16.0  # differences are exact, so that small probabilities are too
FAR = [[1e4, -1e4, 0.0], [1e300, 0.0, -1e300], [-700.0, 0.0, 40.0]]


def sigmoid(input: Any) -> Any:
    return 1 / (1 + exp(-input)), None


def softmax(input: Any, dim: int = -1) -> Any:
    e = exp(input)
    return e / e.sum(axis=dim, keepdims=True), None


def log_softmax(input: Any, dim: int = -1) -> Any:
    return input - log(exp(input).sum(axis=dim, keepdims=True)), None


@pytest.mark.parametrize(
    "x", [[-1e300, -1e4, -745.2, -40.0, -1e-300, 0.0, 1e-300, 0.3, 40.0, 745.2, 1e300], GRID[0]], ids=["edge", "grid"]
)
def test_sigmoid(x: Any, agrees: Any) -> None:
    agrees(reference.sigmoid, sigmoid, {"input": x}, elementwise=True)


@pytest.mark.parametrize("definition", [softmax, log_softmax])
@pytest.mark.parametrize(
    ("x", "dim"), [(GRID, -1), (GRID, 0), (GRID, 1), (GRID, -3), (GRID[0, 0], 0), (FAR, 1)], ids=str
)
def test_along_an_axis(definition: Any, x: Any, dim: int, agrees: Any) -> None:
    # g - p sum(g) cancels: its error is relative to the cotangent, of size 1
    agrees(getattr(reference, definition.__name__), definition, {"input": x, "dim": dim}, floor={"input": 1.0})


def test_worked_example() -> None:
    assert reference.softmax([1.0, 2.0, 3.0]) == pytest.approx([0.0900306, 0.2447285, 0.6652410], abs=5e-8)


def test_a_confident_log_probability_keeps_its_digits() -> None:
    with mpmath.workdps(60):
        true = float(-mpmath.log(1 + mpmath.exp(-50)))
    assert reference.log_softmax([50.0, 0.0])[0] == pytest.approx(true, rel=1e-15)


def test_masked_entries() -> None:
    x = [0.0, -math.inf, 0.0]
    assert reference.softmax(x).tolist() == [0.5, 0.0, 0.5]
    value, pullback = reference.log_softmax.vjp(x)
    assert value.tolist() == [-math.log(2), -math.inf, -math.log(2)]
    assert pullback([1.0, 0.0, 0.0])["input"].tolist() == [0.5, 0.0, -0.5]
    assert reference.sigmoid([-math.inf, math.inf]).tolist() == [0.0, 1.0]


def test_nan_stays_in_its_row() -> None:
    for loss in (reference.softmax, reference.log_softmax):
        value, pullback = loss.vjp([[math.nan, 0.0], [0.0, 0.0]])
        slope = pullback(np.ones((2, 2)))["input"]
        assert np.isnan(value).all(axis=1).tolist() == np.isnan(slope).all(axis=1).tolist() == [True, False]
    assert np.isnan(reference.sigmoid(math.nan))


@pytest.mark.parametrize(
    ("name", "args", "error", "words"),
    [
        ("softmax", ([1.0], 1), ValueError, r"dim must be an axis of input, whose shape is \(1,\); it is 1"),
        ("log_softmax", (1.0,), ValueError, "dim must be an axis of input"),
        ("softmax", (np.zeros((2, 0)),), ValueError, "input must hold at least one class"),
        ("softmax", ([1.0], 0.5), TypeError, "dim must be an integer"),
        ("sigmoid", ([1j],), TypeError, "input must be an array of real numbers"),
        ("sigmoid", ([1.0], "mean"), TypeError, "takes 1 positional"),
    ],
)
def test_refusal(name: str, args: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reference.ACTIVATIONS[name](*args)


def test_a_vector_needs_a_cotangent() -> None:
    with pytest.raises(ValueError, match="needs a cotangent"):
        reference.softmax.vjp([1.0, 2.0])[1]()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_probabilities_sum_to_one(x: list[float]) -> None:
    p = reference.softmax(x)
    assert abs(p.sum() - 1.0) <= 8 * 2.0**-52
    assert (reference.log_softmax(x) <= 0.0).all()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_sigmoid_is_symmetric(x: float) -> None:
    assert reference.sigmoid(x) + reference.sigmoid(-x) == pytest.approx(1.0, abs=2.0**-52)
