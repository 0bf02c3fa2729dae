"""The margin losses against mpmath."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from lossparity import reference

RNG = np.random.default_rng(14)
X1, X2 = RNG.normal(size=(2, 3)) * 2, RNG.normal(size=(2, 3)) * 2
Y = np.array([[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0]])

# One number at a time, and by cases, as the papers have it: another road than the reference's.
_of_pair = np.frompyfunc(lambda x, y, m: x if y == 1 else (m - x if x < m else mpmath.mpf(0)), 3, 1)
_of_lead = np.frompyfunc(lambda lead, m: m - lead if lead < m else mpmath.mpf(0), 2, 1)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0) -> Any:
    terms = _of_pair(input, target, mpmath.mpf(margin))
    return terms, terms.size


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0.0) -> Any:
    higher, lower = np.where(target == 1, input1, input2), np.where(target == 1, input2, input1)
    terms = _of_lead(higher - lower, mpmath.mpf(margin))
    return terms, terms.size


EMBEDDING, RANKING = {"input": X1, "target": Y}, {"input1": X1, "input2": X2, "target": Y}
FAR = [1e300, -1e300, 1e-300, 3.0, 1e16, -1e16]
MARGINS = (0.0, 0.3, 1.0, 50.0, -1.5, 1e-300)

ROWS = [
    *[(hinge_embedding_loss, {**EMBEDDING, "margin": margin}) for margin in MARGINS],
    *[(margin_ranking_loss, {**RANKING, "margin": margin}) for margin in MARGINS],
    (hinge_embedding_loss, EMBEDDING),
    (margin_ranking_loss, RANKING),
    (hinge_embedding_loss, {"input": X1, "target": Y[0]}),
    (hinge_embedding_loss, {"input": X1[:, :1], "target": Y[:1]}),
    (margin_ranking_loss, {"input1": X1[:, :1], "input2": X2[:1], "target": Y}),
    (margin_ranking_loss, {"input1": X1[0], "input2": X2, "target": Y[:, :1]}),
]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("definition", "arguments"), ROWS)
def test_value_and_gradients(definition: Any, arguments: Any, reduction: str, agrees: Any) -> None:
    # The difference of two scores is rounded before it meets the margin.
    floor = {"value": 5.0} if definition is margin_ranking_loss else {}
    agrees(reference.LOSSES[definition.__name__], definition, arguments, reduction, floor=floor)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_far_apart(side: float, agrees: Any) -> None:
    target = [side] * len(FAR)
    agrees(reference.hinge_embedding_loss, hinge_embedding_loss, {"input": FAR, "target": target}, "none")
    scores = {"input1": FAR, "input2": [0.0, 1e300, 1e-250, -1e16, 5.0, 2e16], "target": target}
    agrees(reference.margin_ranking_loss, margin_ranking_loss, scores, "none")


# (input, target, margin, subgradient) -> loss and slope
EMBEDDED: dict[str, tuple[tuple[float, float, float, float], float, float]] = {
    "alike": ((0.25, 1.0, 1.0, 0.0), 0.25, 1.0),
    "alike-negative": ((-0.25, 1.0, 1.0, 0.0), -0.25, 1.0),  # no distance, but it is taken as it is
    "alike-at-margin": ((1.0, 1.0, 1.0, 1.0), 1.0, 1.0),
    "inside": ((0.25, -1.0, 1.0, 0.0), 0.75, -1.0),
    "outside": ((1.5, -1.0, 1.0, 1.0), 0.0, 0.0),
    "kink": ((1.0, -1.0, 1.0, 0.0), 0.0, 0.0),
    "kink-half": ((1.0, -1.0, 1.0, 0.5), 0.0, -0.5),
    "kink-old-torch": ((0.5, -1.0, 0.5, 1.0), 0.0, -1.0),
    "just-inside": ((1.0 - 2.0**-53, -1.0, 1.0, 0.0), 2.0**-53, -1.0),
    "infinite-alike": ((math.inf, 1.0, 1.0, 0.0), math.inf, 1.0),
    "infinite": ((math.inf, -1.0, 1.0, 0.0), 0.0, 0.0),
    "nan": ((math.nan, -1.0, 1.0, 0.0), math.nan, math.nan),
    "nan-alike": ((math.nan, 1.0, 1.0, 0.0), math.nan, 1.0),
    "nan-target": ((0.5, math.nan, 1.0, 0.0), math.nan, math.nan),
    "nan-margin": ((0.5, -1.0, math.nan, 0.0), math.nan, math.nan),
}


@pytest.mark.parametrize("row", EMBEDDED)
def test_embedding_convention(row: str) -> None:
    (x, y, margin, subgradient), loss, slope = EMBEDDED[row]
    value, pullback = reference.hinge_embedding_loss.vjp(x, y, margin, subgradient=subgradient)
    np.testing.assert_equal([value, pullback()["input"]], [loss, slope])


# (input1, input2, target, margin, subgradient) -> loss and slope in input1; that in input2 is its negative
RANKED: dict[str, tuple[tuple[float, float, float, float, float], float, float]] = {
    "right": ((2.0, 1.0, 1.0, 0.0, 1.0), 0.0, 0.0),
    "wrong": ((2.0, 1.0, -1.0, 0.0, 0.0), 1.0, 1.0),
    "too-close": ((2.0, 1.0, 1.0, 1.5, 0.0), 0.5, -1.0),
    "tie": ((2.0, 2.0, 1.0, 0.0, 0.0), 0.0, 0.0),
    "tie-half": ((2.0, 2.0, -1.0, 0.0, 0.5), 0.0, 0.5),
    "tie-old-torch": ((2.0, 2.0, 1.0, 0.0, 1.0), 0.0, -1.0),
    "kink": ((2.0, 1.0, 1.0, 1.0, 0.0), 0.0, 0.0),
    "kink-old-torch": ((1.0, 2.0, -1.0, 1.0, 1.0), 0.0, 1.0),
    "infinite": ((math.inf, 1.0, 1.0, 0.0, 0.0), 0.0, 0.0),
    "two-infinities": ((math.inf, math.inf, 1.0, 0.0, 0.0), math.nan, math.nan),
    "nan": ((math.nan, 1.0, 1.0, 0.0, 0.0), math.nan, math.nan),
    "nan-target": ((2.0, 1.0, math.nan, 0.0, 0.0), math.nan, math.nan),
}


@pytest.mark.parametrize("row", RANKED)
def test_ranking_convention(row: str) -> None:
    (x1, x2, y, margin, subgradient), loss, slope = RANKED[row]
    value, pullback = reference.margin_ranking_loss.vjp(x1, x2, y, margin, subgradient=subgradient)
    gradients = pullback()
    np.testing.assert_equal([value, gradients["input1"], gradients["input2"]], [loss, slope, -slope])


def test_order_and_defaults_are_those_of_torch() -> None:
    assert reference.hinge_embedding_loss([0.5, 0.5], [1.0, -1.0]) == 0.5
    np.testing.assert_array_equal(reference.hinge_embedding_loss([0.5, 0.5], [1.0, -1.0], 2.0, "none"), [0.5, 1.5])
    assert reference.margin_ranking_loss([1.0, 3.0], [2.0, 2.0], [1.0, 1.0]) == 0.5
    np.testing.assert_array_equal(
        reference.margin_ranking_loss([1.0, 3.0], [2.0, 2.0], [1.0, 1.0], 2.0, "none"), [3.0, 1.0]
    )


@pytest.mark.parametrize(
    ("name", "arrays", "options", "error", "words"),
    [
        ("hinge_embedding_loss", ([0.5], [0.0]), {}, ValueError, "target must hold -1 and 1; it holds 0"),
        ("hinge_embedding_loss", ([0.5, 1.0], [math.nan, 2.0]), {}, ValueError, "it holds 2"),
        ("hinge_embedding_loss", ([0.5], [1.0]), {"subgradient": 1.5}, ValueError, r"subgradient must lie in \[0, 1\]"),
        ("hinge_embedding_loss", ([0.5], [1.0]), {"margin": [1.0]}, TypeError, "margin must be a number"),
        ("hinge_embedding_loss", ([0.5] * 3, [1.0] * 2), {}, ValueError, "must broadcast"),
        ("margin_ranking_loss", ([0.5], [1.0], [0.5]), {}, ValueError, "target must hold -1 and 1; it holds 0.5"),
        ("margin_ranking_loss", ([0.5], [1.0], [1.0]), {"subgradient": -1.0}, ValueError, "subgradient must lie in"),
        ("margin_ranking_loss", ([0.5], [1.0]), {}, TypeError, "needs target"),
        ("margin_ranking_loss", ([0.5] * 3, [1.0] * 2, [1.0] * 3), {}, ValueError, "must broadcast"),
    ],
)
def test_refusal(name: str, arrays: Any, options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reference.LOSSES[name](*arrays, **options)
