"""dice_loss against its definition, as exact numbers with a derivative (tests/exact.py)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from certify.regression import SUBJECTS
from certify.search import PRECISION, measure, share
from exact import agrees, mp, textbook, total, ulps, value_and_gradient
from hypothesis import given
from hypothesis import strategies as st

from lossparity.reference import dice_loss


def definition(*numbers, smooth=1e-7, smooth_numerator=None):
    x, y = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    above = mp.mpf(smooth if smooth_numerator is None else smooth_numerator)
    overlap = total([a * b for a, b in zip(x, y, strict=True)])
    return 1 - (2 * overlap + above) / (total(x) + total(y) + mp.mpf(smooth))


def check(x, y, **parameters):
    """No element is further off than the certificate's bar, times the condition number there."""
    subject = next(subject for subject in SUBJECTS if subject.name == "dice_loss")
    point = {"input": np.array(x), "target": np.array(y), "axis": None, **parameters}
    with mp.workprec(PRECISION):
        results = measure(subject, point)
        for aspect, result in results.items():
            assert share(subject, point, aspect, result) <= 1.0, (point, aspect, result)


REGIONS = {
    "plain": ([0.3, 0.8, 0.1, 0.6], [0.0, 1.0, 0.0, 1.0]),
    "soft": ([0.3, 0.8, 0.1, 0.6], [0.2, 0.7, 0.05, 0.9]),
    "identical": ([1.0, 0.0, 1.0], [1.0, 0.0, 1.0]),
    "disjoint": ([1.0, 0.0, 1.0], [0.0, 1.0, 0.0]),
    "nothing": ([0.0, 0.0], [0.0, 0.0]),
    "nearly": ([1 - 2.0**-53, 2.0**-60], [1.0, 0.0]),
    "outside": ([-0.5, 3.0, 1e3], [2.0, 0.5, -1.0]),
    "faint": ([1e-12, 1e-30], [0.0, 1e-12]),
}
PARAMETERS = [{}, {"smooth": 1.0}, {"smooth_numerator": 0.0}, {"smooth": 0.5, "smooth_numerator": 2.0}]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_value_and_gradients(region, parameters):
    check(*REGIONS[region], **parameters)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_textbook_form(region, parameters):
    x, y = REGIONS[region]
    value, gradients = textbook(dice_loss, (x, y), parameters)
    want, slopes = value_and_gradient(lambda *n: definition(*n, **parameters), [*x, *y])
    assert agrees(value, [want])
    assert agrees([*gradients["input"], *gradients["target"]], slopes)


def test_axes_of_the_textbook_form():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(size=(2, 3, 4)), rng.uniform(size=(3, 1))
    for axis in (None, 0, -1, (1, 2), [0, -1]):
        value, gradients = textbook(dice_loss, (x, y), {"axis": axis})
        want, pullback = dice_loss.vjp(x, y, axis, reduction="none")
        np.testing.assert_allclose(value.astype(float), np.ravel(want), rtol=1e-14)
        for name, gradient in pullback(np.ones(np.shape(want))).items():
            np.testing.assert_allclose(gradients[name].astype(float), np.ravel(gradient), rtol=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_anywhere(pairs):
    x, y = zip(*pairs, strict=True)
    check(list(x), list(y))


def test_near_perfect_overlap_keeps_its_digits():
    x = np.full(100, 1 - 1e-9)
    want, _ = value_and_gradient(definition, [*x, *np.ones(100)])
    assert ulps(dice_loss(x, np.ones(100)), want) < 16


def test_nothing_anywhere_is_no_loss_but_one_in_keras():
    assert dice_loss([0.0, 0.0], [0.0, 0.0]) == 0.0
    assert dice_loss([0.0, 0.0], [0.0, 0.0], smooth_numerator=0.0) == 1.0
    assert math.isnan(dice_loss([0.0, 0.0], [0.0, 0.0], smooth=0.0))


@pytest.mark.parametrize(
    ("axis", "shape"), [(None, ()), (0, (3, 4)), (-1, (2, 3)), ((1, 2), (2,)), ((), (2, 3, 4)), ([0, -1], (3,))]
)
def test_terms_are_what_axis_leaves(axis, shape):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(size=(2, 3, 4)), rng.integers(0, 2, size=(2, 3, 4)).astype(np.float64)
    value, pullback = dice_loss.vjp(x, y, axis, reduction="none")
    assert value.shape == shape
    axes = tuple(axis) if isinstance(axis, list) else axis
    ratio = (2 * (x * y).sum(axis=axes) + 1e-7) / (x.sum(axis=axes) + y.sum(axis=axes) + 1e-7)
    np.testing.assert_allclose(value, 1 - ratio, rtol=0, atol=4e-16)
    # Each term's gradient by the definition, through a cotangent that tells the terms apart.
    g = rng.normal(size=shape)
    of = np.expand_dims(np.asarray(g), tuple(range(3)) if axes is None else axes)
    size = np.sum(x, axis=axes, keepdims=True) + np.sum(y, axis=axes, keepdims=True) + 1e-7
    kept = (2 * np.sum(x * y, axis=axes, keepdims=True) + 1e-7) / size
    gradients = pullback(g)
    np.testing.assert_allclose(gradients["input"], of * (kept - 2 * y) / size, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradients["target"], of * (kept - 2 * x) / size, rtol=1e-12, atol=1e-15)
    assert dice_loss(x, y, axis) == pytest.approx(np.mean(value))


def test_broadcast_gradients_are_summed():
    x, y = np.full((3, 1), 0.25), np.ones(4)
    _, pullback = dice_loss.vjp(x, y)
    _, full = dice_loss.vjp(np.full((3, 4), 0.25), np.ones((3, 4)))
    np.testing.assert_allclose(pullback()["input"], full()["input"].sum(axis=1, keepdims=True))
    np.testing.assert_allclose(pullback()["target"], full()["target"].sum(axis=0))


def test_nan_in_is_nan_out():
    value = dice_loss([[math.nan, 1.0], [0.5, 1.0]], [[1.0, 1.0], [1.0, 1.0]], 1, reduction="none")
    assert np.isnan(value).tolist() == [True, False]


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "words"),
    [
        ((np.zeros((3, 4)), np.zeros((2, 4))), {}, ValueError, "must broadcast"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"axis": 2}, ValueError, r"axis must lie in \[-2, 1\]"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"axis": (1, -1)}, ValueError, "each axis once"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"axis": 1.0}, TypeError, "axis must be an integer"),
        ((np.zeros((3, 4)), np.zeros((3, 4))), {"smooth": -1.0}, ValueError, "smooth must lie in"),
        ((np.zeros((3, 4)) * 1j, np.zeros((3, 4))), {}, TypeError, "input must be an array of real numbers"),
    ],
)
def test_errors_name_the_argument(args, kwargs, error, words):
    with pytest.raises(error, match=words):
        dice_loss(*args, **kwargs)
