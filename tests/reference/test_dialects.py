"""What frameworks do differently, as keywords of the reference, against their definitions written out in mpmath."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp, mpf

from lossparity import reference

mp.dps = 50

X = np.array([[0.5, -1.25, 2.0], [3.0, 0.25, -0.75]])
Q = np.array([[0.25, 0.5, 0.25], [0.125, 0.75, 0.125]])
G = np.array([1.5, -0.5])


def _log_p(row):
    whole = sum(mp.exp(mpf(x)) for x in row)
    return [mpf(x) - mp.log(whole) for x in row]


@pytest.mark.parametrize("flag", ["average_last_axis", "sum_last_axis"])
def test_the_last_axis_folds_before_weights_and_reduction(flag):
    log_p = np.array([[float(x) for x in _log_p(row)] for row in X])
    value, pullback = reference.kl_div.vjp(
        log_p, Q, reduction="sum", sample_weight=np.array([2.0, 0.5]), **{flag: True}
    )
    share = mpf(1) / 3 if flag == "average_last_axis" else mpf(1)
    rows = [
        share * sum(mpf(q) * (mp.log(mpf(q)) - mpf(x)) for q, x in zip(*row, strict=True))
        for row in zip(Q, log_p, strict=True)
    ]
    assert value == pytest.approx(float(2 * rows[0] + rows[1] / 2), rel=1e-15)
    expected = -float(share) * Q * np.array([[2.0], [0.5]])
    np.testing.assert_allclose(pullback(1.0)["input"], expected, rtol=1e-15)


def test_the_last_axis_is_averaged_or_summed_not_both():
    with pytest.raises(ValueError, match="exclude each other"):
        reference.mse_loss(X, Q, average_last_axis=True, sum_last_axis=True)


def test_unit_targets_change_the_gradient_alone():
    target = np.array([[0.5, 1.0, 0.25], [0.0, 0.5, 0.0]])
    plain = reference.cross_entropy(X, target, reduction="none")
    value, pullback = reference.cross_entropy.vjp(X, target, reduction="none", unit_targets=True)
    np.testing.assert_array_equal(value, plain)
    for n, row in enumerate(X):
        expected = [float(mpf(G[n]) * (mp.exp(lp) - mpf(t))) for lp, t in zip(_log_p(row), target[n], strict=True)]
        np.testing.assert_allclose(pullback(G)["input"][n], expected, rtol=4e-15)
        assert value[n] == pytest.approx(float(-sum(mpf(t) * lp for lp, t in zip(_log_p(row), target[n], strict=True))))


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.25, 0.5, 0.75, 1.0 - 1e-7, 1.0 - 2.0**-53, 1.0])
@pytest.mark.parametrize("y", [0.0, 0.25, 1.0])
def test_epsilon_inside_both_logarithms(p, y):
    value, pullback = reference.binary_cross_entropy.vjp([p], [y], reduction="sum", epsilon=1e-7)
    eps, p_, y_ = mpf(1e-7), mpf(p), mpf(y)
    a, b = p_ + eps, 1 - p_ + eps
    assert value == pytest.approx(float(-y_ * mp.log(a) - (1 - y_) * mp.log(b)), rel=4e-16, abs=3e-16)
    gradients = pullback()
    assert gradients["input"][0] == pytest.approx(float((1 - y_) / b - y_ / a), rel=1e-14, abs=1e-15)
    assert gradients["target"][0] == pytest.approx(float(mp.log(b) - mp.log(a)), rel=1e-14, abs=3e-16)
