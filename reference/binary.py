"""Losses of the probability of a yes, given as it is or as a logit. Elementwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossparity.reference import elementary
from lossparity.reference.arithmetic import (
    Operand,
    exp,
    log,
    log1p,
    maximum,
    product,
    weighted,
    where,
    with_slopes,
)
from lossparity.reference.arithmetic import (
    clip as clipped,
)
from lossparity.reference.blocks import elementwise
from lossparity.reference.core import Array, Number, Real, Terms, loss, textbook
from lossparity.reference.elementary import clip_range, difference, has_nan

_PROBABILITY = Real(differentiable=True, minimum=0.0, maximum=1.0)
_REAL = Real(differentiable=True)
_WEIGHT = Real(optional=True)
_CLIP = Real(minimum=0.0, maximum=1.0, constant=True)


@loss(
    {
        "input": _PROBABILITY,
        "target": _PROBABILITY,
        "weight": _WEIGHT,
        "clip": _CLIP,
        "log_clamp": Number(maximum=0.0),
        "gradient_floor": Number(minimum=0.0),
        "epsilon": Number(minimum=0.0),
    },
    broadcast=("input", "target", "weight"),
    same_shape=("input", "target"),
)
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    *,
    clip: Any = 0.0,
    log_clamp: float = -math.inf,
    gradient_floor: float = 0.0,
    epsilon: float = 0.0,
) -> Terms:
    """Cross entropy of a probability against the probability of a yes.

    Shapes: input and target alike; weight broadcasts to them. Domain: input and target in [0, 1].
    Conventions: 0 log 0 = 0, and the gradient there is that of the term that is left; weight 0 makes 0 of an infinity.
    Dialects: `clip` moves the probability into [c, 1 - c], or (low, high), with gradient 0 outside (Keras);
    `log_clamp` bounds both logarithms of the value from below and `gradient_floor` the p (1 - p) by which the
    gradient is divided (torch: -100 and float32's 1e-12); `epsilon` is added inside both logarithms (TF v1).
    Errors: ValueError for a probability outside [0, 1].
    Source: torch.nn.functional.binary_cross_entropy,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html
    """
    # a = p + eps, b = 1 - p + eps, p clipped;  l = -w (y log a + (1 - y) log b)
    # dl/dp = w ((1 - y) / b - y / a) = w (p - y + eps (1 - 2 y)) / (a b)
    # dl/dy = w (log b - log a), where a and b are alike w log1p((b - a) / a), b - a = 1 - 2 p
    low, high = clip_range(clip)
    clips = (low, high) != (0.0, 1.0)

    def rule(input: Array, y: Array) -> tuple[Array, Array, Array]:
        p = np.clip(input, low, high) if clips else input
        if epsilon:
            q, lost = difference(1.0, p)
            a, log_a = _logarithm(p, epsilon, 0.0)
            b, log_b = _logarithm(q, epsilon, lost)
        else:
            a, log_a, b, log_b = p, np.log(p), 1.0 - p, np.log1p(-p)
        clamped = log_clamp > -math.inf
        of_yes, of_no = (np.maximum(each, log_clamp) if clamped else each for each in (log_a, log_b))
        value = -(elementary.product(y, of_yes) + elementary.product(1.0 - y, of_no))

        slope = p - y + epsilon * (1.0 - 2.0 * y) if epsilon else p - y
        slope /= np.maximum(a * b, gradient_floor) if gradient_floor else a * b
        if has_nan(slope):  # 0 / 0: p = y = 0 leaves -log(1 - p), p = y = 1 leaves -log p
            slope[(p == 0.0) & (y == 0.0)] = 1.0
            slope[(p == 1.0) & (y == 1.0)] = -1.0
        if clips:
            slope[(input < low) | (input > high)] = 0.0
        of_target = log_b - log_a
        gap = 1.0 - 2.0 * p  # b - a
        alike = np.flatnonzero(np.abs(gap) < 0.25 * a)
        of_target[alike] = np.log1p(gap[alike] / a[alike])
        return value, slope, of_target

    value, slope, of_target = elementwise(rule, input, target)
    slope, of_target = elementary.weighted(slope, weight), elementary.weighted(of_target, weight)

    return Terms(elementary.weighted(value, weight), lambda g: {"input": slope * g, "target": of_target * g})


def _logarithm(p: Array, epsilon: float, lost: Array | float) -> tuple[Array, Array]:
    """p + lost + epsilon, and its logarithm, which keeps its digits where the sum is near 1."""
    total, rounding = difference(p, -epsilon)
    return total, np.log(total) + (rounding + lost) / total


@textbook(binary_cross_entropy)
def binary_cross_entropy_textbook(
    input: Operand,
    target: Operand,
    weight: Operand | None,
    clip: Array,
    log_clamp: float,
    gradient_floor: float,
    epsilon: float,
) -> Operand:
    """-w (y log p + (1 - y) log(1 - p)), log(1 - p) as log1p(-p); with epsilon added inside both, log(1 - p + eps).

    With torch's clamp and floor, derivatives are those that torch writes: (p - y) / max(p (1 - p), floor), and in y the
    difference of the logarithms before they are clamped.
    """
    p = clipped(input, *clip_range(clip))
    log_p = log(p + epsilon)
    log_q = log(1.0 - p + epsilon) if epsilon else log1p(-p)

    def entropy(of_yes: Operand, of_no: Operand) -> Operand:
        return -(product(target, of_yes) + product(1.0 - target, of_no))

    if log_clamp == -math.inf and not gradient_floor:
        return weighted(entropy(log_p, log_q), weight)
    value = entropy(maximum(log_p, log_clamp), maximum(log_q, log_clamp))
    slope = (p - target) / maximum(p * (1.0 - p), gradient_floor)
    return weighted(with_slopes(value, (p, slope), (target, log_q - log_p)), weight)


@loss(
    {"input": _REAL, "target": _REAL, "weight": _WEIGHT, "pos_weight": _WEIGHT},
    broadcast=("input", "target", "weight", "pos_weight"),
    same_shape=("input", "target"),
)
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Terms:
    """Cross entropy of sigmoid(input) against the probability of a yes, exact in both tails.

    Shapes: input and target alike; weight and pos_weight broadcast to them. Domain: all reals; meaningful for
    target in [0, 1], which is not checked (torch does not either). Smooth. `pos_weight` multiplies the positive term.
    Source: torch.nn.functional.binary_cross_entropy_with_logits,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """
    # With e = e^-|x|:  -log sigmoid(x) = log1p(e) + max(-x, 0),  -log sigmoid(-x) = log1p(e) + max(x, 0)
    # l = -w (v y log sigmoid(x) + (1 - y) log sigmoid(-x)) = w (c log1p(e) + h x),  v = pos_weight,
    #     c = v y + (1 - y),  h = 1 - y for x >= 0, -v y for x < 0: no term is negative
    # dl/dx = w (h - c sign(x) e / (1 + e)), where nothing cancels if y is 0 or 1
    # dl/dy = w ((v - 1) log1p(e) - x (1 for x >= 0, v for x < 0))

    def rule(x: Array, y: Array) -> tuple[Array, Array]:
        e = np.exp(-np.abs(x))
        h = ~np.signbit(x) - y
        return elementary.product(h, x) + np.log1p(e), h - np.copysign(e / (1.0 + e), x)

    def rule_of_weighted(x: Array, y: Array, v: Array) -> tuple[Array, Array, Array]:
        positive = ~np.signbit(x)
        e = np.exp(-np.abs(x))
        log1p_e = np.log1p(e)
        h = np.where(positive, 1.0 - y, -v * y)
        c = v * y + (1.0 - y)
        slope = h - c * np.copysign(e / (1.0 + e), x)
        return elementary.product(h, x) + c * log1p_e, slope, (v - 1.0) * log1p_e - x * np.where(positive, 1.0, v)

    if pos_weight is None:
        value, slope = elementwise(rule, input, target)
        of_target = -input
    else:
        value, slope, of_target = elementwise(rule_of_weighted, input, target, pos_weight)
    slope, of_target = elementary.weighted(slope, weight), elementary.weighted(of_target, weight)

    return Terms(elementary.weighted(value, weight), lambda g: {"input": slope * g, "target": of_target * g})


def softplus(x: Operand) -> Operand:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|), of a textbook form; both from one comparison, as it is smooth at 0."""
    yes = x >= 0.0
    return log1p(exp(where(yes, -x, x))) + where(yes, x, 0.0)


@textbook(binary_cross_entropy_with_logits)
def binary_cross_entropy_with_logits_textbook(
    input: Operand, target: Operand, weight: Operand | None, pos_weight: Operand | None
) -> Operand:
    """w (log1p(e^-|x|) + max(x, 0) - x y), as TensorFlow documents it; with a pos_weight v

    w (v y softplus(-x) + (1 - y) softplus(x)), where no term is negative. Each is exact in both tails.
    """
    if pos_weight is None:
        yes = input >= 0.0
        return weighted(log1p(exp(where(yes, -input, input))) + (where(yes, input, 0.0) - input * target), weight)
    return weighted(product(pos_weight * target, softplus(-input)) + product(1.0 - target, softplus(input)), weight)
