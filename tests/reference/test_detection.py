"""distribution_focal_loss against its definition, as exact numbers with a derivative (tests/exact.py)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from exact import agrees, exp, log1p, mp, textbook, total, ulps, value_and_gradient
from hypothesis import given
from hypothesis import strategies as st

from lossparity.reference import distribution_focal_loss


def definition(*numbers):
    """Of a row x0, ..., xn, y. At a whole number the bins are those to its right; at the last bin to its left."""
    *x, y = numbers
    left = min(int(mp.floor(y.value)), len(x) - 2)
    top = max(x, key=lambda d: d.value).value

    def cross_entropy(k):
        e = [exp(each - top) for each in x]
        return log1p((total(e[:k]) + total(e[k + 1 :])) / e[k])

    return cross_entropy(left) * (left + 1 - y) + cross_entropy(left + 1) * (y - left)


def check(x, y, allowed=4.0):
    """At one row, by rounding errors of the result."""
    value, pullback = distribution_focal_loss.vjp(x, y, reduction="none")
    gradients = pullback(1.0)
    with mp.workprec(2300):  # the logarithms of two bins whose scores differ by 1e-308 are to differ too
        want, slopes = value_and_gradient(definition, [*x, y])
    assert ulps(value, want) <= allowed, (x, y)
    for got, slope in zip([*gradients["input"], gradients["target"]], slopes, strict=True):
        assert ulps(got, slope) <= allowed, (x, y)


ROWS = {
    "plain": [0.3, -1.2, 2.0, 0.5],
    "even": [0.0, 0.0, 0.0, 0.0],
    "two-bins": [0.3, -1.2],
    "confident": [40.0, 0.0, -5.0, 1.0],
    "saturated": [1e4, 0.0, -1e4, 30.0],
    "huge": [1e300, 0.0, -1e300, 5.0],
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("y", [0.0, 0.25, 1.0 - 2.0**-53, 1.0, 1e-20, 1.75, 2.5, 3.0])
def test_value_and_gradients(row, y):
    if y <= len(ROWS[row]) - 1:
        check(ROWS[row], y)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("y", [0.0, 0.25, 1.0 - 2.0**-53, 1.0, 1e-20, 1.75, 2.5, 3.0])
def test_textbook_form(row, y):
    if y <= len(ROWS[row]) - 1 and np.ptp(ROWS[row]) < 1e5:
        value, gradients = textbook(distribution_focal_loss, (ROWS[row], y), {})
        want, slopes = value_and_gradient(definition, [*ROWS[row], y])
        assert agrees(value, [want])
        assert agrees([*gradients["input"], *gradients["target"]], slopes)


@given(st.lists(st.floats(-800, 800), min_size=2, max_size=6), st.floats(0, 1))
def test_anywhere(x, share):
    check(x, share * (len(x) - 1), 8.0 + max(x) - min(x))  # rounding x once moves e^x by as much


def test_confident_whole_numbers_keep_their_digits():
    for size in (5.0, 20.0, 40.0, 300.0):
        check([0.0, size, -1.0], 1.0, 8.0)


def test_the_targets_derivative_is_the_difference_of_two_logits():
    # Of x itself: through log(2) + 1e-20 nothing is left of it.
    _, pullback = distribution_focal_loss.vjp([1e-20, 0.0], 0.25, reduction="none")
    assert pullback(1.0)["target"] == 1e-20


def test_whole_targets_are_the_cross_entropy():
    x = np.random.default_rng(0).normal(size=(2, 4, 5))
    y = np.array([[0, 1, 2, 3], [4, 3, 2, 1]])
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    want = -np.take_along_axis(log_p, y[..., None], -1)[..., 0]
    np.testing.assert_allclose(distribution_focal_loss(x, y, reduction="none"), want, rtol=1e-14)


def test_the_targets_derivative_at_whole_numbers():
    # From the right, x_1 - x_2 at 1; at the last bin, 2, from the left: x_1 - x_2 too.
    _, pullback = distribution_focal_loss.vjp([[5.0, 3.0, 2.5]] * 3, [0.0, 1.0, 2.0], reduction="none")
    assert pullback(np.ones(3))["target"].tolist() == [2.0, 0.5, 0.5]


@pytest.mark.parametrize(("reduction", "divisor"), [("mean", 6), ("sum", 1)])
def test_reductions_pass_their_cotangent(reduction, divisor):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 3, 5)), rng.uniform(0, 4, size=(2, 3))
    terms, of_terms = distribution_focal_loss.vjp(x, y, reduction="none")
    value, pullback = distribution_focal_loss.vjp(x, y, reduction=reduction)
    assert value == pytest.approx(math.fsum(terms.ravel()) / divisor)
    want = of_terms(np.full((2, 3), -2.5 / divisor))
    for name, gradient in pullback(-2.5).items():
        np.testing.assert_allclose(gradient, want[name], rtol=1e-14)


def test_nan_stays_in_its_row():
    x = [[0.0, math.nan, 1.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]
    value, pullback = distribution_focal_loss.vjp(x, [0.5, math.nan, 0.5], reduction="none")
    assert np.isnan(value).tolist() == [True, True, False]
    gradients = pullback(np.ones(3))
    assert np.isnan(gradients["input"]).any(axis=1).tolist() == [True, True, False]


def test_a_masked_bin_counts_nothing_at_weight_zero():
    assert distribution_focal_loss([1.0, 2.0, -math.inf], 1.0) == pytest.approx(math.log1p(math.exp(-1.0)))


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        (np.zeros((3, 1)), np.zeros(3), ValueError, "at least two bins"),
        (np.zeros((3, 4)), np.zeros(4), ValueError, r"in shape \(3,\); its shape is \(4,\)"),
        (np.zeros((3, 4)), np.full(3, 3.5), ValueError, r"target must lie in \[0, 3\].*3.5"),
        (np.zeros((3, 4)), np.full(3, -0.5), ValueError, "target must lie in .*-0.5"),
        (np.zeros((3, 4)) + 1j, np.zeros(3), TypeError, "input must be an array of real numbers"),
        (0.0, 0.0, ValueError, "input must be"),
    ],
)
def test_errors_name_the_argument(x, y, error, words):
    with pytest.raises(error, match=words):
        distribution_focal_loss(x, y)


def test_empty_input():
    assert distribution_focal_loss(np.zeros((0, 4)), np.zeros(0), reduction="sum") == 0.0
