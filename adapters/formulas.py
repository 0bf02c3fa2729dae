"""Formulas that frameworks compute instead of a loss's textbook form: the same function, with fewer digits.

Each is a textbook form (lossparity.reference.arithmetic) of the loss that `formula` names, for a dialect's
`computed_as`. Exactly computed they are the loss, which tests/adapters/test_formulas.py checks; what they cost in a
dtype is what the dialect forgives, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lossparity.reference import ACTIVATIONS, LOSSES
from lossparity.reference.activations import sigmoid_textbook, softmax_textbook
from lossparity.reference.arithmetic import (
    Operand,
    absolute,
    constant,
    custom,
    exp,
    largest,
    log,
    log1p,
    maximum,
    minimum,
    one_hot,
    power,
    product,
    take_label,
    weighted,
    where,
    with_slopes,
)
from lossparity.reference.arithmetic import clip as bounded
from lossparity.reference.binary import binary_cross_entropy_textbook, binary_cross_entropy_with_logits_textbook
from lossparity.reference.boxes import Boxes, over
from lossparity.reference.classification import cross_entropy_of, kl_div_textbook
from lossparity.reference.core import Loss
from lossparity.reference.elementary import clip_range
from lossparity.reference.focal import sigmoid_focal_textbook
from lossparity.reference.focal_softmax import alphas
from lossparity.reference.probabilities import log_loss_textbook

# loss -> its formulas
FORMULAS: dict[str, list[Callable[..., Any]]] = {}


def formula(loss: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function of the loss's own arguments, all but `reduction`, one of its formulas."""

    def register(form: Callable[..., Any]) -> Callable[..., Any]:
        FORMULAS.setdefault(loss, []).append(form)
        return form

    return register


def loss_of(name: str) -> Loss:
    """The loss that a formula is of."""
    return LOSSES[name] if name in LOSSES else ACTIVATIONS[name]


@formula("sigmoid")
def sigmoid_slope_of_result(input: Operand) -> Operand:
    """The slope is (1 - p) p of the rounded p: no digit of 1 - p is left where p rounds to 1."""
    p = sigmoid_textbook(input)
    p = with_slopes(p, (input, (1.0 - p) * p))  # so that the slope of the slope is of the rounded p as well
    return with_slopes(p, (input, (1.0 - p) * p))


@formula("softmax")
def softmax_slope_of_sum(input: Operand, dim: int) -> Operand:
    """The gradient is p (g - sum g p): of the largest class, where p is near 1, g - sum g p has no digit left."""
    p = softmax_textbook(input, dim)
    return custom(p, (input, lambda g: p * (g - (g * p).sum(axis=dim, keepdims=True))))


@formula("log_softmax")
def log_softmax_of_sum(input: Operand, dim: int) -> Operand:
    """x - m - log sum e^(x - m): the log of 1 and a small rest has only the digits that the rest has beside 1.

    The gradient is g - p sum g with p = e^result, as the frameworks' kernels have it.
    """
    z = input - constant(largest(input, dim))
    result = z - log(exp(z).sum(axis=dim, keepdims=True))
    return custom(result, (input, lambda g: g - exp(result) * g.sum(axis=dim, keepdims=True)))


@formula("cross_entropy")
def cross_entropy_of_sum(
    input: Operand, target: Any, weight: Any, ignore_index: int, label_smoothing: float, unit_targets: bool
) -> Any:
    """That of log_softmax_of_sum: for a confident row neither the loss nor p - 1 has more digits than beside 1."""
    logs = log_softmax_of_sum(input, min(input.ndim - 1, 1))
    return cross_entropy_of(logs, input, target, weight, ignore_index, label_smoothing, unit_targets)


def _log_sigmoid(x: Operand) -> Operand:
    """min(x, 0) - log1p(e^-|x|)."""
    yes = x >= 0.0
    e = exp(where(yes, -x, x))
    slope = where(yes, e / (1.0 + e), 1.0 - e / (1.0 + e))
    return with_slopes(where(yes, -log1p(e), x - log1p(e)), (x, slope))


def _cancelling_logits(x: Operand, y: Operand, positive: Any = 1.0) -> Operand:
    """(1 - y) x - c log sigmoid(x), c = 1, or 1 + (v - 1) y with a pos_weight v."""
    result: Operand = (1.0 - y) * x - positive * _log_sigmoid(x)
    return result


@formula("binary_cross_entropy_with_logits")
def logits_minus_log_sigmoid(input: Operand, target: Operand, weight: Operand | None, pos_weight: Any) -> Operand:
    """(1 - y) x - log sigmoid(x): for y = 0 and x << 0 the difference of two numbers of about x has no digit left."""
    positive = 1.0 if pos_weight is None else 1.0 + (pos_weight - 1.0) * target
    return weighted(_cancelling_logits(input, target, positive), weight)


@formula("binary_cross_entropy_with_logits")
def logits_with_slope_of_probability(
    input: Operand, target: Operand, weight: Operand | None, pos_weight: Any
) -> Operand:
    """The same, with the slope c p - v y of the rounded p: for y = 1 and x >> 0 no digit of 1 - p is left."""
    p, slope_of_target = sigmoid_textbook(input), -input
    if pos_weight is None:
        value, slope = _cancelling_logits(input, target), p - target
    else:
        yes = pos_weight * target
        value = _cancelling_logits(input, target, 1.0 + (pos_weight - 1.0) * target)
        slope = (yes + 1.0 - target) * p - yes
        slope_of_target = _log_sigmoid(-input) - pos_weight * _log_sigmoid(input)
    return weighted(with_slopes(value, (input, slope), (target, slope_of_target)), weight)


@formula("binary_cross_entropy_with_logits")
def logits_with_log_of_sum(input: Operand, target: Operand, weight: Operand | None, pos_weight: Any) -> Operand:
    """(1 - y) x + c (m + log(e^-m + e^(-x - m))) with m = max(-x, 0): the log of 1 and a rest, beside x and m."""
    m = maximum(-input, 0.0)
    tail = m + log(exp(-m) + exp(-input - m))
    positive = 1.0 if pos_weight is None else 1.0 + (pos_weight - 1.0) * target
    result: Operand = (1.0 - target) * input + positive * tail
    return weighted(result, weight)


def _focal(
    cross_entropy: Callable[[Operand, Operand], Operand],
    inputs: Operand,
    targets: Operand,
    alpha: float,
    gamma: float,
    weight: Any,
    from_logits: bool,
    clip: Any,
    label_smoothing: float,
) -> Any:
    """a_t (1 - p_t)^gamma times the cross entropy, of logits with the rounded p: 1 - p and 1 - p_t by subtraction."""
    if not from_logits:
        return sigmoid_focal_textbook(inputs, targets, alpha, gamma, weight, from_logits, clip, label_smoothing)
    y = targets + label_smoothing * (0.5 - targets) if label_smoothing else targets
    ce = cross_entropy(inputs, y)
    p = sigmoid_slope_of_result(inputs)
    p_t = p * y + (1.0 - p) * (1.0 - y)
    terms = ce * power(1.0 - p_t, gamma)
    if alpha >= 0.0:
        terms = (alpha * y + (1.0 - alpha) * (1.0 - y)) * terms
    if weight is not None and weight.ndim == 1 and inputs.ndim > 1:
        weight = weight.reshape(-1, *(1,) * (inputs.ndim - 1))
    return weighted(terms, weight)


def _cross_entropy(x: Operand, y: Operand) -> Operand:
    """The textbook form, unweighted."""
    result: Operand = binary_cross_entropy_with_logits_textbook(x, y, None, None)
    return result


def _cancelling_entropy(x: Operand, y: Operand) -> Operand:
    """(1 - y) x - log sigmoid(x), with the slope p - y of the rounded p."""
    return with_slopes(_cancelling_logits(x, y), (x, sigmoid_textbook(x) - y), (y, -x))


@formula("sigmoid_focal_loss")
def focal_of_probability(
    inputs: Operand,
    targets: Operand,
    alpha: float,
    gamma: float,
    weight: Any,
    from_logits: bool,
    clip: Any,
    label_smoothing: float,
) -> Any:
    """1 - p and 1 - p_t by subtraction: where the prediction is right, the modulating factor has no digit left."""
    return _focal(_cross_entropy, inputs, targets, alpha, gamma, weight, from_logits, clip, label_smoothing)


@formula("sigmoid_focal_loss")
def focal_of_cancelling_tail(
    inputs: Operand,
    targets: Operand,
    alpha: float,
    gamma: float,
    weight: Any,
    from_logits: bool,
    clip: Any,
    label_smoothing: float,
) -> Any:
    """That, with the cross entropy as (1 - y) x - log sigmoid(x), whose slope is p - y of the rounded p."""
    return _focal(_cancelling_entropy, inputs, targets, alpha, gamma, weight, from_logits, clip, label_smoothing)


@formula("softmax_focal_loss")
def softmax_focal_of_probability(
    input: Operand,
    target: Any,
    alpha: Any,
    gamma: float,
    axis: int,
    from_logits: bool,
    clip: Any,
    label_smoothing: float,
) -> Operand:
    """log p and 1 - p of the rounded p: of a confident row both have only the digits that 1 - p has beside 1."""
    x = input.moveaxis(axis, -1)
    classes = x.shape[-1]
    y = target.moveaxis(axis, -1) if isinstance(target, Operand) else one_hot(target, classes)
    y = y + label_smoothing * (1.0 / classes - y) if label_smoothing else y
    p = softmax_slope_of_sum(x, -1) if from_logits else x
    p = bounded(p / p.sum(axis=-1, keepdims=True), *clip_range(clip))
    result: Operand = -product(y, alphas(alpha, classes) * (power(1.0 - p, gamma) * log(p))).sum(axis=-1)
    return result


@formula("binary_cross_entropy")
def log_of_difference(
    input: Operand,
    target: Operand,
    weight: Any,
    clip: Any,
    log_clamp: float,
    gradient_floor: float,
    epsilon: float,
) -> Operand:
    """log(1 - p) by subtraction: of a p near 0 it has only the digits that p has beside 1."""
    if log_clamp > -math.inf or gradient_floor:
        whole: Operand = binary_cross_entropy_textbook(input, target, weight, clip, log_clamp, gradient_floor, epsilon)
        return whole
    p = bounded(input, *clip_range(clip))
    entropy = product(target, log(p + epsilon)) + product(1.0 - target, log(1.0 - p + epsilon))
    result: Operand = weighted(-entropy, weight)
    return result


def bce_second_plus_1e12(
    input: Operand,
    target: Operand,
    weight: Operand | None,
    clip: Any,
    log_clamp: float,
    gradient_floor: float,
    epsilon: float,
) -> Operand:
    """torch's: the loss and its gradient, but in the second derivative 1e-12 is added to p and to 1 - p.

    So it is no formula of the loss: (p^2 - 2 p y + y) / ((p + e)^2 (1 - p + e)^2) in p, and what the motion of p
    contributes in y is -1 / max(p (1 - p), e).
    """
    p, y, e = bounded(input, *clip_range(clip)), target, 1e-12
    over = (p + e) * (1.0 - p + e)
    slope = (p - y) / maximum(p * (1.0 - p), gradient_floor)
    curved = with_slopes(slope, (p, (p * p - 2.0 * (p * y) + y) / (over * over)), (y, -1.0 / (p * (1.0 - p))))
    crossed = with_slopes(log1p(-p) - log(p), (p, -1.0 / maximum(p * (1.0 - p), e)))
    value = binary_cross_entropy_textbook(input, target, None, clip, log_clamp, gradient_floor, epsilon)
    return weighted(with_slopes(value, (p, curved), (y, crossed)), weight)


def log_loss_of_softmax(
    y_true: Any, y_pred: Operand, normalize: bool, sample_weight: Any, labels: Any, clip: Any, renormalize: str
) -> Any:
    """Rows that are divided by their sum as the softmax of their logarithms, which rounds each of these twice."""
    if renormalize != "after_clip":
        return log_loss_textbook(y_true, y_pred, normalize, sample_weight, labels, clip, renormalize)
    t = np.searchsorted(np.unique(y_true if labels is None else labels), y_true)
    logs = log_softmax_of_sum(log(bounded(y_pred, *clip_range(clip))), 1)
    value = -weighted(take_label(logs, t, 1), sample_weight).sum()
    if not normalize:
        return value
    return value / (float(len(t)) if sample_weight is None else sample_weight.sum())


@formula("kl_div")
def log_of_ratio(input: Operand, target: Operand, log_target: bool, clip: Any) -> Operand:
    """q log(q / p) of p = e^x: the quotient is rounded before its logarithm is taken, and near p = q that cancels."""
    if log_target:
        whole: Operand = kl_div_textbook(input, target, log_target, clip)
        return whole
    p, q = exp(input), target
    if clip is not None:
        p, q = bounded(p, *clip_range(clip)), bounded(q, *clip_range(clip))
    return product(q, log(q / p))


@formula("generalized_box_iou_loss")
def giou_of_difference(boxes1: Operand, boxes2: Operand, eps: float) -> Operand:
    """1 - (IoU - (C - U) / (C + eps)): for boxes without an area 1 / C - C / C^2 cancels in the slope."""
    boxes = Boxes(boxes1, boxes2)
    area = boxes.outer[0] * boxes.outer[1]
    return 1.0 - (boxes.iou(eps) - over(area - boxes.union, area + eps))


@formula("huber_loss")
def huber_of_parts(input: Operand, target: Operand, delta: float, weight: Any) -> Any:
    """q^2 / 2 + delta (|d| - q), q = min(|d|, delta), whose slope below delta is q + delta - delta."""
    size = absolute(input - target)
    q = minimum(size, delta, tie=1.0)
    terms = 0.5 * (q * q) + delta * (size - q)
    return terms if weight is None else (weighted(terms, weight), weight.sum())
