"""The focal losses against their definitions, as exact numbers with a derivative (tests/exact.py)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from bounds import of_form
from exact import Dual, agrees, dual, exp, log, log1p, mp, textbook, total, ulps, value_and_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from lossparity import reference

SMALLEST = 1e-40  # the definitions have 60 digits, and add numbers of the size of 1


# The definitions, of one element or one row. 1 - p is spelled as what it is the probability of.
def sigmoid(x):
    return 1 / (1 + exp(-x))


def bce(x, y):
    return y * log1p(exp(-x)) + (1 - y) * log1p(exp(x))


def sigmoid_focal(x, y, alpha=0.25, gamma=2.0, label_smoothing=0.0):
    smoothing = mp.mpf(label_smoothing)
    y = y * (1 - smoothing) + smoothing / 2
    balance = 1 if alpha < 0 else y * alpha + (1 - y) * (1 - mp.mpf(alpha))
    return balance * (y * sigmoid(-x) + (1 - y) * sigmoid(x)) ** gamma * bce(x, y)


def sigmoid_focal_of_probabilities(p, y, clip, alpha=0.25, gamma=2.0):
    inside = dual(clip) if p < clip else dual(1.0 - clip) if 1.0 - clip < p.value else p
    ce = -(y * log(inside)) - (1 - y) * log(1 - inside)
    return (y * alpha + (1 - y) * (1 - mp.mpf(alpha))) * (y * (1 - p) + (1 - y) * p) ** gamma * ce


def quality_focal(x, y, beta=2.0):
    return abs(y * sigmoid(-x) - (1 - y) * sigmoid(x)) ** beta * bce(x, y)


def varifocal(x, y, alpha=0.75, gamma=2.0, label=None):
    label = mp.mpf(int(y.value > 0) if label is None else label)
    return (y * label + alpha * sigmoid(x) ** gamma * (1 - label)) * bce(x, y)


def softmax_focal(*numbers, alpha=0.25, gamma=2.0, label_smoothing=0.0, clip=0.0, from_logits=True):
    """Of a row x1, ..., xC, y1, ..., yC."""
    x, y = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    alphas = alpha if isinstance(alpha, list) else [alpha] * len(x)
    smoothing = mp.mpf(label_smoothing)
    e = [exp(each - max(x, key=lambda d: d.value).value) for each in x] if from_logits else x
    loss = Dual(0)
    for k, each in enumerate(y):
        others = total(e[:k]) + total(e[k + 1 :])
        rest, log_p = others / (others + e[k]), -log1p(others / e[k])
        if clip and not clip <= (1 - rest).value <= 1.0 - clip:
            p = mp.mpf(clip if 1 - rest < clip else 1.0 - clip)
            rest, log_p = dual(1 - p), log(p)
        loss -= (each * (1 - smoothing) + smoothing / len(x)) * alphas[k] * rest**gamma * log_p
    return loss


def worst(loss, definition, at, allowed, **parameters):
    """At one point, given as arrays: within so many ULP, or within what the textbook form may be off by."""
    names = loss.differentiable[: len(at)]
    value, pullback = loss.vjp(*at, reduction="none", **parameters)
    gradients = pullback(np.ones(np.shape(value)) if np.ndim(value) else None)
    ones = np.ones(np.shape(value)) if np.ndim(value) else None
    of_value, of_gradients = of_form(loss, loss.bind(*at, reduction="none", **parameters), ones)
    numbers = [float(x) for x in np.concatenate([np.ravel(a) for a in at])]
    want, slopes = value_and_gradient(lambda *n: definition(*n, **parameters), numbers)
    got = np.concatenate([np.ravel(value).sum(keepdims=True), *(np.ravel(gradients[n]) for n in names)])
    size = np.concatenate([np.ravel(of_value).sum(keepdims=True), *(np.ravel(of_gradients[n]) for n in names)])
    size = size / (2.0 * allowed) + SMALLEST
    errors = [ulps(*each) for each in zip(got, [want, *slopes], size, strict=True)]
    assert max(errors) <= 2.0 * allowed, (at, parameters, errors)  # an ULP is up to two roundoffs


LOGITS = [0.0, 0.3, -1.7, 5.0, -15.0, 15.0, 20.0, -36.0, 40.0, -40.0, 300.0, -700.0, 720.0, -740.0, 1e3, -1e4, 1e300]
SCORES = [0.0, 1.0, 0.3, 0.75, 1 - 2.0**-53, 1e-20]
ELEMENTWISE = [
    (reference.sigmoid_focal_loss, sigmoid_focal, {}),
    (reference.sigmoid_focal_loss, sigmoid_focal, {"alpha": -1.0, "gamma": 0.0}),
    (reference.sigmoid_focal_loss, sigmoid_focal, {"gamma": 0.5}),
    (reference.sigmoid_focal_loss, sigmoid_focal, {"gamma": 1.0, "alpha": 0.0}),
    (reference.sigmoid_focal_loss, sigmoid_focal, {"gamma": 5.0, "alpha": 1.0}),
    (reference.sigmoid_focal_loss, sigmoid_focal, {"gamma": 1.5, "alpha": 0.9, "label_smoothing": 0.1}),
    (reference.quality_focal_loss, quality_focal, {}),
    (reference.quality_focal_loss, quality_focal, {"beta": 0.0}),
    (reference.quality_focal_loss, quality_focal, {"beta": 0.5}),
    (reference.quality_focal_loss, quality_focal, {"beta": 1.0}),
    (reference.quality_focal_loss, quality_focal, {"beta": 3.0}),
    (reference.varifocal_loss, varifocal, {}),
    (reference.varifocal_loss, varifocal, {"gamma": 0.0, "alpha": 0.3}),
    (reference.varifocal_loss, varifocal, {"gamma": 0.5, "alpha": 2.0}),
    (reference.varifocal_loss, varifocal, {"label": 0.3}),
]


@pytest.mark.parametrize(
    ("loss", "definition", "parameters"), ELEMENTWISE, ids=[f"{loss.name}-{p}" for loss, _, p in ELEMENTWISE]
)
def test_value_and_gradients_of_logits(loss, definition, parameters):
    for x, y in itertools.product(LOGITS, SCORES):
        worst(loss, definition, (x, y), 4.0, **parameters)


def textbook_is(definition, loss, at, **parameters):
    """The textbook form at one point against the definition, both exact."""
    names = loss.differentiable[: len(at)]
    value, gradients = textbook(loss, [np.array(a) for a in at], parameters)
    numbers = [float(x) for x in np.concatenate([np.ravel(a) for a in at])]
    want, slopes = value_and_gradient(lambda *n: definition(*n, **parameters), numbers)
    assert agrees([sum(value)], [want]), (at, parameters)
    assert agrees(np.concatenate([gradients[name] for name in names]), slopes), (at, parameters)


@pytest.mark.parametrize(
    ("loss", "definition", "parameters"), ELEMENTWISE, ids=[f"{loss.name}-{p}" for loss, _, p in ELEMENTWISE]
)
def test_textbook_form_of_logits(loss, definition, parameters):
    for x, y in itertools.product(LOGITS[::2], SCORES):
        textbook_is(definition, loss, (x, y), **parameters)


def test_weights_of_the_textbook_form():
    x, y = np.array([[0.5, -1.0], [2.0, 3.0]]), np.array([[1.0, 0.25], [0.0, 0.75]])
    for weight in ([2.0, 0.5], [[2.0, 0.5]], [[2.0], [0.5]]):
        value, gradients = textbook(reference.sigmoid_focal_loss, (x, y), {"weight": weight})
        plain, pullback = reference.sigmoid_focal_loss.vjp(x, y, weight=weight)
        np.testing.assert_allclose(value.astype(float), plain.ravel(), rtol=1e-14)
        for name, gradient in pullback(np.ones((2, 2))).items():
            np.testing.assert_allclose(gradients[name].astype(float), gradient.ravel(), rtol=1e-14)


@pytest.mark.parametrize(
    ("loss", "definition"), [(reference.sigmoid_focal_loss, sigmoid_focal), (reference.varifocal_loss, varifocal)]
)
def test_confident_predictions_keep_their_digits(loss, definition):
    # 1 - p_t and log p_t are formed without subtraction.
    for x, y in itertools.product([5.0, 15.0, 20.0, 40.0, 200.0], [0.0, 1.0]):
        for logit in (x, -x):
            want, slopes = value_and_gradient(definition, [logit, y])
            value, pullback = loss.vjp(logit, y, reduction="none")
            assert ulps(value, want) < 16
            for got, slope in zip(pullback().values(), slopes, strict=True):
                assert ulps(got, slope) < 16


@settings(max_examples=200)
@given(
    st.floats(-1e3, 1e3), st.floats(0.0, 1.0), st.sampled_from([-1.0, 0.0, 0.25, 1.0]), st.sampled_from([0.0, 0.7, 2.0])
)
def test_sigmoid_focal_anywhere(x, y, alpha, gamma):
    worst(reference.sigmoid_focal_loss, sigmoid_focal, (x, y), 8.0, alpha=alpha, gamma=gamma)


@pytest.mark.parametrize("clip", [0.0, 1e-7, 0.2])
def test_sigmoid_focal_of_probabilities(clip):
    for p, y in itertools.product([1e-100, 1e-9, 0.1, 0.5, 0.7, 0.99, 1 - 2.0**-53], [0.0, 1.0, 0.3]):
        arguments = {"alpha": 0.4, "gamma": 1.5, "from_logits": False, "clip": clip}
        value, pullback = reference.sigmoid_focal_loss.vjp(p, y, **arguments)
        want, slopes = value_and_gradient(
            lambda p, y: sigmoid_focal_of_probabilities(p, y, clip, alpha=0.4, gamma=1.5), [p, y]
        )
        of_value, of_gradients = of_form(reference.sigmoid_focal_loss, {"inputs": p, "targets": y, **arguments}, None)
        assert ulps(value, want, of_value / 4.0 + SMALLEST) < 4, (p, y)
        for (name, got), slope in zip(pullback().items(), slopes, strict=True):
            assert ulps(got, slope, of_gradients[name] / 6.0 + SMALLEST) < 6, (name, p, y)


@pytest.mark.parametrize("clip", [0.0, 1e-7, 0.2])
def test_textbook_form_of_probabilities(clip):
    for p, y in itertools.product([1e-40, 1e-9, 0.1, 0.5, 0.7, 0.99, 1 - 2.0**-53], [0.0, 1.0, 0.3]):
        textbook_is(
            lambda p, y, **_: sigmoid_focal_of_probabilities(p, y, clip, alpha=0.4, gamma=1.5),
            reference.sigmoid_focal_loss, (p, y), alpha=0.4, gamma=1.5, from_logits=False, clip=clip,
        )  # fmt: skip


def test_a_clip_may_be_a_pair_and_takes_the_gradient_beyond_it():
    loss = reference.sigmoid_focal_loss
    low, high = float(np.float32(1e-7)), float(np.float32(1) - np.float32(1e-7))
    value, pullback = loss.vjp([1.0, 0.0], [0.0, 1.0], alpha=-1, gamma=0, from_logits=False, clip=[low, high])
    assert value.tolist() == [-math.log1p(-high), -math.log(low)]
    assert pullback(np.ones(2))["inputs"].tolist() == [0.0, 0.0]


def test_probabilities_zero_and_one_are_exact():
    value, pullback = reference.sigmoid_focal_loss.vjp([0.0, 1.0, 0.0], [0.0, 1.0, 1.0], from_logits=False)
    assert value.tolist() == [0.0, 0.0, math.inf]
    assert pullback(np.ones(3))["inputs"][:2].tolist() == [0.0, 0.0]


ROWS = [
    ([1.0, 2.0, 3.0], [0.0, 0.0, 1.0]),
    ([1.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
    ([30.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
    ([30.0, 0.0, -5.0], [0.0, 0.0, 1.0]),
    ([0.3, -1.2, 2.0], [0.2, 0.5, 0.3]),
    ([700.0, 0.0, -700.0], [1.0, 0.0, 0.0]),
    ([700.0, 0.0, -700.0], [0.0, 0.0, 1.0]),
    ([1e4, 0.0, -1e4], [1.0, 0.0, 0.0]),
    ([1e4, 0.0, -1e4], [0.5, 0.25, 0.25]),
    ([1e300, 0.0, -1e300], [0.0, 1.0, 0.0]),
    ([0.5], [1.0]),
]
ROW_PARAMETERS = [
    {},
    {"gamma": 0.0, "alpha": 1.0},
    {"gamma": 0.5},
    {"gamma": 3.0, "label_smoothing": 0.1},
    {"clip": 1e-7},
]


@pytest.mark.parametrize("parameters", ROW_PARAMETERS, ids=str)
def test_softmax_focal(parameters):
    for x, y in ROWS:
        worst(reference.softmax_focal_loss, softmax_focal, ([x], [y]), 4.0, **parameters)


@pytest.mark.parametrize("parameters", [*ROW_PARAMETERS, {"alpha": [0.1, 2.0, 1]}], ids=str)
def test_textbook_form_of_classes(parameters):
    for x, y in ROWS[:9] if "alpha" in parameters else ROWS:
        if np.ptp(x) < 1e5:  # beyond, 60 digits are too few
            textbook_is(softmax_focal, reference.softmax_focal_loss, ([x], [y]), **parameters)


@pytest.mark.parametrize("clip", [0.0, 1e-7, 0.3])
def test_textbook_form_of_shares(clip):
    for x in ([0.05, 0.9, 0.05], [1.7, 0.4, 0.1], [1e-9, 2.0, 0.3]):
        for y in ([0.0, 0.8, 0.2], [0.0, 1.0, 0.0]):
            textbook_is(softmax_focal, reference.softmax_focal_loss, ([x], [y]), clip=clip, from_logits=False)


def test_textbook_form_of_labels_and_of_a_masked_class():
    x, labels = np.array([[1.0, 2.0, -np.inf], [0.5, 0.25, 3.0]]), np.array([0, 2])
    for axis, of_axis in ((-1, x), (0, x.T)):
        value, gradients = textbook(reference.softmax_focal_loss, (of_axis, labels), {"axis": axis})
        want, pullback = reference.softmax_focal_loss.vjp(of_axis, labels, axis=axis, reduction="none")
        np.testing.assert_allclose(value.astype(float), want, rtol=1e-14)
        gradient = gradients["input"].astype(float).reshape(of_axis.shape)
        np.testing.assert_allclose(gradient, pullback(np.ones(2))["input"], rtol=1e-14)


@pytest.mark.parametrize("from_logits", [True, False])
def test_the_gradient_of_a_confident_row_keeps_its_digits(from_logits):
    # Of the largest class it is what the others add up to: 1e-10 beside 1.
    x, y = [28.0, 0.0] if from_logits else [1.0, 1e-12], [1.0 - 1e-10, 1e-10]
    definition = lambda *n: softmax_focal(*n, gamma=0.0, from_logits=from_logits)  # noqa: E731
    _, pullback = reference.softmax_focal_loss.vjp([x], [y], gamma=0.0, from_logits=from_logits, reduction="sum")
    _, slopes = value_and_gradient(definition, [*x, *y])
    for got, slope in zip(pullback()["input"][0], slopes, strict=False):
        assert ulps(got, slope) <= 100


def test_softmax_focal_with_an_alpha_for_each_class():
    worst(
        reference.softmax_focal_loss, softmax_focal, ([[0.3, -1.2, 2.0]], [[0.2, 0.5, 0.3]]), 4.0, alpha=[0.1, 2.0, 1]
    )


@pytest.mark.parametrize("clip", [0.0, 1e-7, 0.3])
def test_softmax_focal_of_probabilities(clip):
    for x in ([0.05, 0.9, 0.05], [1.7, 0.4, 0.1], [1e-9, 2.0, 0.3]):
        worst(reference.softmax_focal_loss, softmax_focal, ([x], [[0.0, 0.8, 0.2]]), 4.0, clip=clip, from_logits=False)


def test_labels_are_one_hot_rows():
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    labels = np.arange(20).reshape(4, 5) % 3
    value, pullback = reference.softmax_focal_loss.vjp(x, labels)
    hot, hot_pullback = reference.softmax_focal_loss.vjp(x, np.eye(3)[labels])
    assert value == hot
    assert list(pullback()) == ["input"]
    np.testing.assert_array_equal(pullback()["input"], hot_pullback()["input"])
    moved, moved_pullback = reference.softmax_focal_loss.vjp(np.moveaxis(x, -1, 1), labels, axis=1)
    assert moved == value
    np.testing.assert_array_equal(np.moveaxis(moved_pullback()["input"], 1, -1), pullback()["input"])


def test_a_masked_class_counts_nothing():
    value, pullback = reference.softmax_focal_loss.vjp([[1.0, 2.0, -np.inf]], [[0.0, 1.0, 0.0]])
    fewer, fewer_pullback = reference.softmax_focal_loss.vjp([[1.0, 2.0]], [[0.0, 1.0]])
    assert value == fewer
    assert pullback()["input"].tolist() == [[*fewer_pullback()["input"][0], 0.0]]
    assert reference.softmax_focal_loss([[1.0, -np.inf]], [1]) == np.inf


def test_two_classes_are_the_sigmoid():
    x = np.linspace(-30, 30, 13)
    y = (np.arange(13) % 2).astype(np.float64)
    two = reference.softmax_focal_loss(
        np.stack([np.zeros(13), x], 1), np.stack([1 - y, y], 1), alpha=[0.75, 0.25], reduction="none"
    )
    np.testing.assert_allclose(two, reference.sigmoid_focal_loss(x, y), rtol=2e-15)


def test_worked_example():
    # LOSSES.md: the table's numbers, to the digits it prints.
    value = reference.sigmoid_focal_loss([[1, 2, 3], [4, 5, 6]], [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(value, [[0.5264, 1.2376, 2.7321e-5], [2.9062, 3.7049, 3.7840e-9]], rtol=5e-5)


def test_alpha_weighs_the_positives():
    # A write-up gives alpha to the negatives.
    positive, negative = reference.sigmoid_focal_loss([0.0, 0.0], [1.0, 0.0], alpha=0.9)
    assert positive == pytest.approx(9 * negative)
    assert reference.sigmoid_focal_loss(0.0, 1.0, alpha=-1, gamma=0) == pytest.approx(math.log(2))
    assert reference.sigmoid_focal_loss(0.0, 1.0, alpha=-0.5, gamma=0) == pytest.approx(math.log(2))


def test_gradients_are_finite_below_gamma_one_at_saturated_logits():
    for gamma in (0.0, 0.1, 0.5, 1.0):
        _, pullback = reference.sigmoid_focal_loss.vjp([1e4, -1e4, 800.0, -40.0], [1.0, 0.0, 1.0, 0.0], gamma=gamma)
        for gradient in pullback(np.ones(4)).values():
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "varifocal_loss", "quality_focal_loss"])
def test_a_logit_of_minus_0_is_a_logit_of_0(name):
    loss = reference.LOSSES[name]
    (value, pullback), (of_0, pullback_of_0) = (
        loss.vjp([x] * 3, [0.0, 0.25, 1.0], reduction="sum") for x in (-0.0, 0.0)
    )
    assert value == of_0
    for key, gradient in pullback().items():
        assert gradient.tolist() == pullback_of_0()[key].tolist()


@pytest.mark.parametrize(
    ("name", "rate"), [(n, r) for n in ("sigmoid_focal_loss", "varifocal_loss") for r in (2.0, 5.0)]
)
def test_the_largest_logits_have_gradients(name, rate):
    for x, y in itertools.product([1.7e308, -1.7e308], [0.0, 1e-300, 1.0]):
        value, pullback = reference.LOSSES[name].vjp(x, y, gamma=rate, reduction="none")
        assert math.isfinite(value)
        assert all(np.isfinite(gradient) for name, gradient in pullback(1.0).items() if name.startswith("input")), (
            x,
            y,
        )
        assert not any(np.isnan(gradient) for gradient in pullback(1.0).values()), (x, y)


def test_the_smallest_probabilities():
    for p, y in itertools.product([1e-318, 1e-310], [0.0, 0.3, 1.0]):
        value, pullback = reference.sigmoid_focal_loss.vjp(p, y, from_logits=False, clip=1e-7)
        want, slopes = value_and_gradient(lambda p, y: sigmoid_focal_of_probabilities(p, y, 1e-7), [p, y])
        assert ulps(value, want) <= 8
        for got, slope in zip(pullback(1.0).values(), slopes, strict=True):
            assert ulps(got, slope) <= 16, (p, y)


@pytest.mark.parametrize("gamma", [2.0, 5.0, 50.0])
def test_a_power_does_not_multiply_the_error_of_its_base(gamma):
    for x, y in itertools.product([-1.3, -0.3, 1e-3, 0.04, 0.29, 2.5], [0.0, 0.0879, 0.4901, 0.8516, 1.0]):
        for loss, definition in ((reference.sigmoid_focal_loss, sigmoid_focal), (reference.varifocal_loss, varifocal)):
            value = loss(x, y, gamma=gamma, reduction="none")
            want, _ = value_and_gradient(lambda *n: definition(*n, gamma=gamma), [x, y])  # noqa: B023
            assert ulps(value, want) <= 8 + 0.5 * gamma * abs(x)


def test_the_side_of_quality_focals_kink_is_the_exact_one():
    # p and y agree to 16 digits here: a p of float64 calls them equal.
    x, y = -0.29268654029147473, 0.4273462851098499
    _, pullback = reference.quality_focal_loss.vjp(x, y, beta=1.0, reduction="none")
    _, slopes = value_and_gradient(lambda *n: quality_focal(*n, beta=1.0), [x, y])
    for got, slope in zip(pullback(1.0).values(), slopes, strict=True):
        assert ulps(got, slope) <= 16


def test_quality_focal_at_its_kink():
    for beta in (0.5, 1.0, 2.0):
        value, pullback = reference.quality_focal_loss.vjp(0.0, 0.5, beta=beta)
        assert value == 0.0
        assert {name: float(g) for name, g in pullback().items()} == {"input": 0.0, "target": 0.0}


def test_varifocal_negatives_and_label():
    # A target of 0 is a negative; label says otherwise.
    x = [[1.0, -2.0]]
    value = reference.varifocal_loss(x, [[0.0, 0.6]], reduction="none")
    p = 1 / (1 + np.exp(-1.0))
    assert value[0, 0] == pytest.approx(0.75 * p**2 * -np.log1p(-p))
    assert value[0, 1] == pytest.approx(0.6 * (np.log1p(np.exp(-2.0)) + 1.2))
    same = reference.varifocal_loss(x, [[0.0, 0.6]], reduction="none", label=[[0.0, 1.0]])
    assert same.tolist() == value.tolist()
    assert reference.varifocal_loss(1.0, 0.0, label=1.0) == 0.0


def test_weight_of_elements_and_of_rows():
    rng = np.random.default_rng(3)
    x, y, g = rng.normal(size=(4, 3)), rng.uniform(size=(4, 3)), rng.normal(size=(4, 3))
    plain, pullback = reference.sigmoid_focal_loss.vjp(x, y)
    rows = np.array([0.0, 1.0, 2.0, 3.0])
    for weight, full in ((rows, rows[:, None]), (rng.uniform(size=(4, 3)), None), (rng.uniform(size=(1, 3)), None)):
        full = weight if full is None else full
        value, weighted = reference.sigmoid_focal_loss.vjp(x, y, weight=weight)
        np.testing.assert_allclose(value, plain * full, rtol=1e-15)
        for name, gradient in weighted(g).items():
            np.testing.assert_allclose(gradient, pullback(g * full)[name], rtol=1e-14)
    by_factor = reference.sigmoid_focal_loss(x, y, weight=rows, avg_factor=7.0, reduction="mean")
    assert by_factor == pytest.approx(np.sum(plain * rows[:, None]) / 7.0)
    assert reference.sigmoid_focal_loss(x, y, weight=rows, reduction="mean") == pytest.approx(
        np.mean(plain * rows[:, None])
    )
    square = np.ones((3, 3))
    by_row = reference.sigmoid_focal_loss(square, square, weight=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(by_row[1], 2 * by_row[0])


@pytest.mark.parametrize("name", ["sigmoid_focal_loss", "softmax_focal_loss", "varifocal_loss", "quality_focal_loss"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_pass_their_cotangent(name, reduction):
    rng = np.random.default_rng(4)
    loss = reference.LOSSES[name]
    x, y = rng.normal(size=(5, 3)), rng.uniform(size=(5, 3))
    terms, of_terms = loss.vjp(x, y, reduction="none")
    value, pullback = loss.vjp(x, y, reduction=reduction)
    divisor = terms.size if reduction == "mean" else 1
    assert value == pytest.approx(math.fsum(terms.ravel()) / divisor)
    want = of_terms(np.full(terms.shape, -2.5 / divisor))
    for key, gradient in pullback(-2.5).items():
        np.testing.assert_allclose(gradient, want[key], rtol=1e-14)


def test_nan_in_is_nan_out_and_nowhere_else():
    for name in ("sigmoid_focal_loss", "varifocal_loss", "quality_focal_loss"):
        value, pullback = reference.LOSSES[name].vjp([math.nan, 0.5, 0.5], [1.0, math.nan, 0.0], reduction="none")
        assert np.isnan(value).tolist() == [True, True, False]
        for gradient in pullback(np.ones(3)).values():
            assert np.isnan(gradient).tolist() == [True, True, False]
    value, pullback = reference.softmax_focal_loss.vjp([[math.nan, 0.5], [0.5, 1.0]], [0, 1], reduction="none")
    assert np.isnan(value).tolist() == [True, False]
    assert np.isnan(pullback(np.ones(2))["input"]).all(axis=1).tolist() == [True, False]


X = np.zeros((4, 3))
ERRORS = [
    ("sigmoid_focal_loss", (X, X), {"alpha": 1.5}, ValueError, "alpha must lie in .*1.5"),
    ("sigmoid_focal_loss", (X, X), {"gamma": -1}, ValueError, "gamma must lie in .*-1"),
    ("sigmoid_focal_loss", (X, X + 2), {}, ValueError, r"targets must lie in \[0, 1\]"),
    ("sigmoid_focal_loss", (X, X[:2]), {}, ValueError, "targets must have the shape of inputs"),
    ("sigmoid_focal_loss", (X + 1j, X), {}, TypeError, "inputs must be an array of real numbers"),
    ("sigmoid_focal_loss", (X, X), {"weight": np.ones(3)}, ValueError, "weight must broadcast to inputs"),
    ("sigmoid_focal_loss", (X, X), {"weight": -X - 1}, ValueError, "weight must lie in"),
    ("sigmoid_focal_loss", (X, X), {"avg_factor": 2.0, "reduction": "sum"}, ValueError, "avg_factor goes with"),
    ("sigmoid_focal_loss", (X, X), {"clip": 1e-7}, ValueError, "from_logits=False"),
    ("sigmoid_focal_loss", (X + 2, X), {"from_logits": False}, ValueError, r"inputs must lie in \[0, 1\]"),
    ("sigmoid_focal_loss", (X, X), {"from_logits": False, "clip": [0.9, 0.1]}, ValueError, "clip must be one number"),
    ("softmax_focal_loss", (X, [0, 1, 2, 3]), {}, ValueError, r"target must hold labels in \[0, 3\); it holds 3"),
    ("softmax_focal_loss", (X, [0, 1, 2, -1]), {}, ValueError, r"it holds -1"),
    ("softmax_focal_loss", (X, [0.0, 1.0, 2.0, 0.0]), {}, TypeError, "target must hold integer labels"),
    ("softmax_focal_loss", (X, [0, 1]), {}, ValueError, r"in shape \(4,\)"),
    ("softmax_focal_loss", (X, X - 1), {}, ValueError, "target must lie in"),
    ("softmax_focal_loss", (X, X), {"alpha": [1.0, 2.0]}, ValueError, "each of 3 classes"),
    ("softmax_focal_loss", (X, X), {"alpha": [1.0, -2.0, 1.0]}, ValueError, "alpha must not be negative"),
    ("softmax_focal_loss", (X, X), {"axis": 2}, ValueError, "axis must be one of input's axes"),
    ("softmax_focal_loss", (X, X), {"gamma": -0.5}, ValueError, "gamma must lie in"),
    ("softmax_focal_loss", (X - 1, X), {"from_logits": False}, ValueError, "input must lie in"),
    ("varifocal_loss", (X, X - 1), {}, ValueError, "target must lie in"),
    ("varifocal_loss", (X, X), {"alpha": -1}, ValueError, "alpha must lie in"),
    ("quality_focal_loss", (X, X), {"beta": -1}, ValueError, "beta must lie in"),
    ("quality_focal_loss", (X, X), {"reduction": "average"}, ValueError, "reduction must be one of"),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "error", "words"), ERRORS, ids=[f"{e[0]}-{e[4]}" for e in ERRORS])
def test_errors_name_the_argument(name, args, kwargs, error, words):
    with pytest.raises(error, match=words):
        reference.LOSSES[name](*args, **kwargs)


def test_empty_input():
    empty = np.zeros((0, 3))
    value, pullback = reference.sigmoid_focal_loss.vjp(empty, empty)
    assert value.shape == pullback(value)["inputs"].shape == (0, 3)
    assert reference.softmax_focal_loss(empty, empty, reduction="sum") == 0.0
    assert math.isnan(reference.softmax_focal_loss(empty, empty))
