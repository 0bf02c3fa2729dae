"""The regression losses against mpmath."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from lossparity import reference

RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(2, 3)) * 2, RNG.normal(size=(2, 3)) * 2
W = RNG.uniform(0.2, 2.0, size=(2, 3))


def _weighted(terms: Any, weight: Any) -> Any:
    return (terms, terms.size) if weight is None else (terms * weight, sum(np.ravel(weight + 0 * terms)))


def l1_loss(input: Any, target: Any, weight: Any = None) -> Any:
    return _weighted(abs(input - target), weight)


def mse_loss(input: Any, target: Any, weight: Any = None) -> Any:
    return _weighted((input - target) ** 2, weight)


def smooth_l1_loss(input: Any, target: Any, beta: float = 1.0) -> Any:
    return _weighted(
        np.frompyfunc(lambda d: d * d / (2 * mpmath.mpf(beta)) if d < beta else d - mpmath.mpf(beta) / 2, 1, 1)(
            abs(input - target)
        ),
        None,
    )


def huber_loss(input: Any, target: Any, delta: float = 1.0, weight: Any = None) -> Any:
    size = abs(input - target)
    return _weighted(
        np.frompyfunc(lambda d: d * d / 2 if d <= delta else delta * (d - mpmath.mpf(delta) / 2), 1, 1)(size), weight
    )


DEFINITIONS = (l1_loss, mse_loss, smooth_l1_loss, huber_loss)
FAR = {"input": [1e300, -1e-300, 1e-200, 1e16, 3.0], "target": [-1e300, 1e-300, 1e-250, 1.0, 3.0 + 2.0**-51]}

ROWS = [
    *[(definition, {}) for definition in DEFINITIONS],
    *[(definition, {"weight": w}) for definition in (l1_loss, mse_loss, huber_loss) for w in (W, W[0])],
    *[(smooth_l1_loss, {"beta": beta}) for beta in (0.0, 1e-300, 0.3, 50.0)],
    *[(huber_loss, {"delta": delta}) for delta in (0.0, 1e-300, 0.3, 50.0)],
]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("definition", "options"), ROWS)
def test_value_and_gradients(definition: Any, options: Any, reduction: str, agrees: Any) -> None:
    loss = reference.LOSSES[definition.__name__]
    agrees(loss, definition, {"input": X, "target": Y, **options}, reduction, elementwise=True)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_far_apart(definition: Any, agrees: Any) -> None:
    agrees(reference.LOSSES[definition.__name__], definition, FAR, "none", elementwise=True)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_broadcast(definition: Any, agrees: Any) -> None:
    agrees(reference.LOSSES[definition.__name__], definition, {"input": X, "target": Y[0]}, "none")
    agrees(reference.LOSSES[definition.__name__], definition, {"input": X[:, :1], "target": Y[:1]}, "none")


def test_worked_examples() -> None:
    x, y = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
    assert reference.l1_loss(x, y, "sum") == 16.0
    assert reference.mse_loss(x, y, "sum") == 64.0
    assert reference.smooth_l1_loss(x, y, "sum") == 14.0
    # d = .2 and -2 at delta = beta = .5
    x, y = [0.2, -2.0], [0.0, 0.0]
    assert reference.huber_loss(x, y, "none", 0.5) == pytest.approx([0.02, 0.875], rel=1e-15)
    assert reference.smooth_l1_loss(x, y, "none", 0.5) == pytest.approx([0.04, 1.75], rel=1e-15)


@pytest.mark.parametrize(
    ("name", "options", "x", "slope"),
    [
        ("l1_loss", {}, 0.0, 0.0),
        ("l1_loss", {}, -0.0, 0.0),
        ("smooth_l1_loss", {"beta": 0.0}, 0.0, 0.0),
        ("smooth_l1_loss", {}, 1.0, 1.0),
        ("smooth_l1_loss", {}, -1.0, -1.0),
        ("huber_loss", {}, 1.0, 1.0),
        ("huber_loss", {"delta": 0.0}, 1.0, 0.0),
        ("l1_loss", {}, math.inf, 1.0),
        ("l1_loss", {}, math.nan, math.nan),
        ("huber_loss", {}, math.nan, math.nan),
        ("smooth_l1_loss", {}, math.nan, math.nan),
    ],
)
def test_kink(name: str, options: Any, x: float, slope: float) -> None:
    value, pullback = reference.LOSSES[name].vjp(x, 0.0, **options)
    assert np.isnan(value) == np.isnan(x)
    gradients = pullback()
    np.testing.assert_equal([gradients["input"], gradients["target"]], [slope, -slope])


def test_overflow_is_infinite() -> None:
    assert reference.mse_loss([1e300], [-1e300]) == math.inf
    assert reference.l1_loss([1.7e308], [-1.7e308]) == math.inf


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("smooth_l1_loss", {"beta": -1.0}, ValueError, r"beta must lie in \[0, inf\]; it is -1.0"),
        ("huber_loss", {"delta": -1.0}, ValueError, "delta must lie in"),
        ("huber_loss", {"delta": "1"}, TypeError, "delta must be a number"),
        ("mse_loss", {"weight": [1.0, 2.0]}, ValueError, "must broadcast"),
        ("mse_loss", {"reduction": "batchmean"}, ValueError, "reduction must be one of none, sum, mean"),
        ("mse_loss", {"beta": 1.0}, TypeError, "no argument 'beta'"),
    ],
)
def test_refusal(name: str, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reference.LOSSES[name]([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], **options)


@pytest.mark.parametrize("subgradient", [-1.0, 0.0, 0.5])
def test_smooth_l1_of_width_0_takes_the_subgradient_asked_for(subgradient: float) -> None:
    """At the kink of |d| any slope from -1 to 1 is one; elsewhere nothing changes."""
    _, pullback = reference.smooth_l1_loss.vjp(
        [1.0, 3.0, -2.0], [1.0, 1.0, 1.0], reduction="sum", beta=0.0, subgradient=subgradient
    )
    assert pullback()["input"].tolist() == [subgradient, 1.0, -1.0]
    assert pullback()["target"].tolist() == [-subgradient, -1.0, 1.0]
