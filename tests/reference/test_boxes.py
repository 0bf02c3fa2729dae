"""The box losses against their definitions, as exact numbers with a derivative (tests/exact.py).

The definition takes torch's and torchvision's conventions: coinciding edges share the derivative of max and min,
boxes that only touch have no derivative through their intersection. 0 / 0 is 0.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from certify.boxes import SUBJECTS, of_pair
from certify.search import PRECISION, measure, share
from exact import agrees, mp, textbook, value_and_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from lossparity import reference

LOSSES = ["iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"]


def check(name, one, other, allowed=1.0, **parameters):
    """No element is further off than the certificate's bar, times the condition number there."""
    subject = next(subject for subject in SUBJECTS if subject.name == name)
    point = {"boxes1": np.array([one]), "boxes2": np.array([other]), **parameters}
    with mp.workprec(PRECISION):
        results = measure(subject, point)
        assert results.keys() == {"value", "gradient:boxes1", "gradient:boxes2"}
        for aspect, result in results.items():
            assert share(subject, point, aspect, result) <= allowed, (one, other, parameters, aspect, result)


def pair_of_numbers(name, eps, distance_eps, *numbers):
    return of_pair(name, eps, distance_eps, numbers[:4], numbers[4:])


PAIRS = {
    "apart": ([0.0, 0.0, 1.0, 1.0], [3.0, 4.0, 5.0, 7.0]),
    "inside": ([0.0, 0.0, 8.0, 6.0], [1.0, 2.0, 3.0, 5.0]),
    "overlap": ([0.0, 0.0, 4.0, 3.0], [1.0, 2.0, 6.0, 5.0]),
    "cross": ([0.0, 2.0, 9.0, 3.0], [4.0, 0.0, 5.0, 7.0]),
    "fractions": ([0.1, 0.2, 0.7, 0.9], [0.3, 0.1, 0.8, 0.55]),
    "negative": ([-3.0, -4.0, -1.0, 0.5], [-2.5, -3.0, 1.0, 1.0]),
    "nearly-identical": ([0.1, 0.2, 0.7, 0.9], [0.1, 0.2, 0.7, 0.9 + 2.0**-52]),
    "barely-overlapping": ([0.0, 0.0, 1.0, 1.0], [1.0 - 2.0**-53, 0.0, 2.0, 1.0]),
    "identical": ([1.0, 2.0, 4.0, 6.0], [1.0, 2.0, 4.0, 6.0]),
    "edge": ([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0]),
    "corner": ([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 5.0, 6.0]),
    "shared-side": ([0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 3.0, 4.0]),
    "same-centre": ([0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 3.0]),
    "same-shape": ([0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 3.0, 4.0]),
    "point": ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 3.0, 3.0]),
    "flat": ([0.0, 1.0, 3.0, 1.0], [0.0, 0.0, 3.0, 3.0]),
    "both-flat": ([0.0, 1.0, 3.0, 1.0], [1.0, 0.0, 1.0, 4.0]),
    "two-points": ([1.0, 1.0, 1.0, 1.0], [2.0, 3.0, 2.0, 3.0]),
    "one-point-twice": ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]),
    "far-from-origin": ([1e6, 1e6, 1e6 + 3, 1e6 + 2], [1e6 + 1, 1e6 + 1, 1e6 + 2, 1e6 + 4]),
    "thin": ([0.0, 0.0, 1e-9, 1e9], [0.0, 0.0, 1e9, 1e-9]),
    "tiny": ([0.0, 0.0, 1e-160, 3e-160], [0.0, 1e-160, 2e-160, 3e-160]),
    "huge": ([0.0, 0.0, 1e200, 3e200], [1e200, 1e200, 2e200, 2e200]),
    "largest": ([-1.7e308, 0.0, 1.7e308, 1e308], [0.0, -1e308, 1e308, 1e308]),
    "huge-and-small": ([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1e300, 1e300]),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradients(name, pair):
    one, other = PAIRS[pair]
    for eps in (1e-7, 1e-3, 0.5, 0.0):
        if eps or pair != "tiny":  # without eps, squares of 1e-160 are 0
            check(name, one, other, eps=eps)
            check(name, other, one, eps=eps)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", LOSSES)
def test_textbook_form(name, pair):
    one, other = PAIRS[pair]
    for eps in (1e-7, 0.5, 0.0):
        for parameters in ({}, {"distance_eps": 1e-3}) if name == "complete_box_iou_loss" else ({},):
            value, gradients = textbook(reference.LOSSES[name], (one, other), {"eps": eps, **parameters})
            exact = functools.partial(pair_of_numbers, name, eps, parameters.get("distance_eps"))
            want, slopes = value_and_gradient(exact, [*one, *other])
            assert agrees(value, [want], 13)
            if name != "complete_box_iou_loss" or eps or pair != "one-point-twice":
                assert agrees([*gradients["boxes1"], *gradients["boxes2"]], slopes, 13), (eps, parameters)


corners = st.tuples(*[st.floats(-50, 50, width=16)] * 4).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])]
)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=100)
@given(one=corners, other=corners)
def test_anywhere(name, one, other):
    check(name, one, other)


def test_values_known_by_hand():
    one, other = [0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]  # I = 1, U = 7, C = 9, centres sqrt(2) apart, c^2 = 18
    value = [float(reference.LOSSES[name](one, other, eps=0)) for name in LOSSES]
    assert value == pytest.approx([1 - 1 / 7, 1 - 1 / 7 + 2 / 9, 1 - 1 / 7 + 2 / 18, 1 - 1 / 7 + 2 / 18], rel=1e-15)
    wide, tall = [0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 2.0]  # I = 1, U = 3, centres sqrt(1/2) apart, c^2 = 8
    v = 4 / math.pi**2 * (math.atan(0.5) - math.atan(2.0)) ** 2
    want = 2 / 3 + 0.5 / 8 + v / (2 / 3 + v) * v
    assert reference.complete_box_iou_loss(wide, tall, eps=0) == pytest.approx(want, rel=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_conventions(name):
    loss = reference.LOSSES[name]
    same = loss([1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 3.0, 3.0], eps=0.0)
    assert same == 0.0
    for eps in (1e-7, 0.0):  # boxes without area share nothing
        assert loss([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], eps=eps) == 1.0
    # Touching boxes: nothing comes through the intersection, so the gradient is that of boxes a hair apart.
    _, touching = loss.vjp([0.0, 0.0, 2.0, 2.0], [2.0, 0.5, 4.0, 2.5])
    _, apart = loss.vjp([0.0, 0.0, 2.0, 2.0], [2.0 + 1e-9, 0.5, 4.0 + 1e-9, 2.5])
    np.testing.assert_allclose(touching(1.0)["boxes1"], apart(1.0)["boxes1"], atol=1e-8)


def test_identical_boxes_share_their_edges():
    # w = h = 2: half of the edge's 2 (1 + iou) / U, less iou / U of the area, cancel.
    _, pullback = reference.iou_loss.vjp([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], eps=0.0)
    np.testing.assert_array_equal(pullback(1.0)["boxes1"], np.zeros(4))
    # Nested with one shared edge: box 1 has half of the derivative there.
    _, pullback = reference.iou_loss.vjp([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 4.0, 4.0], eps=0.0)
    left, _, right, _ = pullback(1.0)["boxes1"]
    assert right == pytest.approx(-2 / 16)  # d(A1 / A2)
    assert left == pytest.approx(-(0.5 * (-2) * (1 + 1 / 4) / 16 + 2 * (1 / 4) / 16))


def test_flat_boxes_in_a_flat_box_without_eps_have_no_gradient():
    # C = 0: the value is 1 however the boxes move along their line.
    value, pullback = reference.generalized_box_iou_loss.vjp([0.0, 1.0, 3.0, 1.0], [1.0, 1.0, 4.0, 1.0], eps=0.0)
    assert value == 1.0
    for gradient in pullback(1.0).values():
        assert gradient.tolist() == [0.0, 0.0, 0.0, 0.0]


def test_the_trade_off_carries_no_gradient():
    one, other = [0.0, 0.0, 2.0, 1.0], [0.5, 0.0, 1.5, 3.0]
    value, pullback = reference.complete_box_iou_loss.vjp(one, other)
    distance, distance_pullback = reference.distance_box_iou_loss.vjp(one, other)
    v = 4 / math.pi**2 * (math.atan(1 / 3) - math.atan(2.0)) ** 2
    alpha = (value - distance) / v
    slope = alpha * 8 / math.pi**2 * (math.atan(1 / 3) - math.atan(2.0)) * -1 / 5  # dt/dw1 = -h / (w^2 + h^2)
    assert pullback(1.0)["boxes1"][2] - distance_pullback(1.0)["boxes1"][2] == pytest.approx(slope, rel=1e-12)


def test_the_distance_part_may_keep_its_own_eps():
    for eps in (1e-7, 0.5):
        check("complete_box_iou_loss", *PAIRS["overlap"], eps=eps, distance_eps=1e-7)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("reduction", "divisor"), [("mean", 6), ("sum", 1)])
def test_shapes_and_reductions(name, reduction, divisor):
    rng = np.random.default_rng(2)
    corner = rng.uniform(size=(2, 3, 2))
    boxes1 = np.concatenate([corner, corner + rng.uniform(0.5, 1.0, size=(2, 3, 2))], axis=-1)
    boxes2 = np.array([0.2, 0.1, 0.9, 1.2])
    loss = reference.LOSSES[name]
    terms, of_terms = loss.vjp(boxes1, boxes2)
    assert terms.shape == (2, 3)
    for i in np.ndindex(2, 3):
        assert terms[i] == pytest.approx(float(loss(boxes1[i], boxes2)), rel=1e-15)
    g = rng.normal(size=(2, 3))
    singly = np.stack([loss.vjp(boxes1[i], boxes2)[1](g[i])["boxes2"] for i in np.ndindex(2, 3)])
    np.testing.assert_allclose(of_terms(g)["boxes2"], singly.sum(axis=0), rtol=1e-12)
    value, pullback = loss.vjp(boxes1, boxes2, reduction=reduction)
    assert value == pytest.approx(math.fsum(terms.ravel()) / divisor)
    want = of_terms(np.full((2, 3), -2.5 / divisor))
    for key, gradient in pullback(-2.5).items():
        np.testing.assert_allclose(gradient, want[key], rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_nan_stays_in_its_row(name):
    boxes = np.array([[0.0, 0.0, 1.0, math.nan], [0.0, 0.0, 1.0, 1.0]])
    value, pullback = reference.LOSSES[name].vjp(boxes, np.array([[0.5, 0.5, 2.0, 2.0]] * 2))
    assert np.isnan(value).tolist() == [True, False]
    assert np.isnan(pullback(np.ones(2))["boxes1"]).any(axis=1).tolist() == [True, False]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("boxes1", "boxes2", "kwargs", "error", "words"),
    [
        (np.zeros((3, 5)), np.zeros((3, 4)), {}, ValueError, r"boxes1 must hold x1, y1, x2, y2 .* \(3, 5\)"),
        (np.zeros((3, 4)), np.zeros((3, 1)), {}, ValueError, "boxes2 must hold x1, y1, x2, y2"),
        (np.zeros((3, 4)), 1.0, {}, ValueError, "boxes2 must hold x1, y1, x2, y2"),
        (np.zeros((3, 4)), np.zeros((2, 4)), {}, ValueError, "compared row by row"),
        (np.zeros((2, 4)), [[0, 0, 1, 1], [0, 5, 1, 1]], {}, ValueError, r"boxes2 must have x1 <= x2 .* it holds"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"eps": -1.0}, ValueError, "eps must lie in"),
        (np.zeros((2, 4)), np.zeros((2, 4)) * 1j, {}, TypeError, "boxes2 must be an array of real numbers"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"reduction": "median"}, ValueError, "reduction must be one of"),
    ],
)
def test_errors_name_the_argument(name, boxes1, boxes2, kwargs, error, words):
    with pytest.raises(error, match=words):
        reference.LOSSES[name](boxes1, boxes2, **kwargs)


@pytest.mark.parametrize("name", LOSSES)
def test_no_boxes(name):
    value, pullback = reference.LOSSES[name].vjp(np.zeros((0, 4)), np.zeros((0, 4)))
    assert value.shape == (0,)
    assert pullback(value)["boxes1"].shape == (0, 4)
