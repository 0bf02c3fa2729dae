"""The focal loss over classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.reference.activations import entries, from_rows, log_softmax_textbook, to_rows
from lossparity.reference.arithmetic import (
    Operand,
    constant,
    exp,
    largest,
    log,
    one_hot,
    power,
    product,
    where,
)
from lossparity.reference.arithmetic import clip as bounded
from lossparity.reference.blocks import in_blocks
from lossparity.reference.core import Array, Either, Flag, Gradients, Integer, Number, Real, Terms, loss, textbook
from lossparity.reference.elementary import clip_range, difference
from lossparity.reference.twofold import Twofold, either

_UNIT = Real(differentiable=True, minimum=0.0, maximum=1.0)
_CLIP = Real(minimum=0.0, maximum=1.0, constant=True)
_SHARE = Real(minimum=0.0)


@loss(
    {
        "input": Real(differentiable=True),
        "target": Either(),
        "alpha": Real(optional=True, constant=True),
        "gamma": Number(minimum=0.0),
        "axis": Integer(),
        "from_logits": Flag(),
        "clip": _CLIP,
        "label_smoothing": Number(minimum=0.0, maximum=1.0),
    }
)
def softmax_focal_loss(
    input: Any,
    target: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
    *,
    axis: int = -1,
    from_logits: bool = True,
    clip: Any = 0.0,
    label_smoothing: float = 0.0,
) -> Terms:
    """Cross entropy of softmax(input) with each class weighted by alpha and by (1 - p)^gamma.

    Shapes: input (..., C), the classes along `axis`; target: integer labels without that axis, or probabilities
    in input's shape; alpha one number or (C,). The terms have input's shape without the axis. Domain: any logit,
    a masked class is -inf; labels in [0, C), probabilities in [0, 1]; alpha None or negative for none;
    gamma >= 0. Smooth. Labels have no gradient.
    Dialects (Keras CategoricalFocalCrossentropy): from_logits=False takes probabilities, divided by their sum;
    clip moves p to [clip, 1 - clip], or into a pair (low, high), with no gradient beyond; label_smoothing s
    makes the target (1 - s) y + s / C.
    Source: Lin et al., https://arxiv.org/abs/1708.02002, over classes as keras.losses.CategoricalFocalCrossentropy.
    """
    # l = -sum_c a_c (1 - p_c)^gamma log p_c,  a_c = alpha_c y_c,  p = softmax(x)
    # h_c = p_c dl/dp_c = a_c (1 - p_c)^gamma (gamma p_c log p_c / (1 - p_c) - 1)
    # dl/dx_k = h_k (1 - p_k) - p_k sum_{c != k} h_c,  dl/dy_k = -alpha_k (1 - p_k)^gamma log p_k
    # With p = x / sum(x): dl/dx_k = (h_k / p_k - sum_c h_c) / sum(x)
    if not -input.ndim <= axis < input.ndim or not input.shape[axis]:
        raise ValueError(f"axis must be one of input's axes, with a class at least; it is {axis}, input {input.shape}")
    axis %= input.ndim
    x = to_rows(input, axis)
    if not from_logits:
        _SHARE("input", x)
    shape, classes = input.shape[:axis] + input.shape[axis + 1 :], x.shape[1]
    soft = target.shape == input.shape
    y = to_rows(np.asarray(_UNIT("target", target)), axis) if soft else _labels(target, shape, classes)
    alpha = alphas(alpha, classes)
    low, high = clip_range(clip)
    kept = 1.0 - label_smoothing

    def rule(x: Array, y: Array) -> tuple[Array, ...]:
        y = y if soft else (y[:, None] == np.arange(classes)).astype(np.float64)
        y = kept * y + label_smoothing / classes if label_smoothing else y
        p, rest, log_p, total = _of_logits(x) if from_logits else _of_shares(x)
        inside = np.asarray(True)
        if low > 0.0 or high < 1.0:
            c = np.clip(p, low, high)
            inside = (p == c) | np.isnan(c)
            rest, log_p = either(inside, rest, Twofold(1.0 - c)), np.where(inside, log_p, np.log(c))
        tame = np.maximum(log_p, -np.finfo(np.float64).max)  # 0 log 0 = 0
        factor = alpha * rest.power(gamma)
        weight = y * factor
        value = -np.where(weight == 0.0, 0.0, weight * log_p).sum(axis=1)

        steep = gamma * p * (tame / (rest.high + (rest.high == 0.0)))
        h = np.where(inside, weight * (steep - 1.0), 0.0)
        others = _sums_of_others(h)
        if from_logits:
            of_input = h * rest.high - p * others
        else:
            of_input = (np.where(h == 0.0, 0.0, h * rest.high / p) - others) / total
        return (value, of_input, factor * log_p * -kept) if soft else (value, of_input)

    value, *slopes = in_blocks(rule, x, y)

    def pullback(g: Array | float) -> Gradients:
        g = g.reshape(-1, 1) if isinstance(g, np.ndarray) else g
        return {
            name: from_rows(slope * g, input.shape, axis)
            for name, slope in zip(("input", "target"), slopes, strict=False)
        }

    return Terms(value.reshape(shape), pullback)


@textbook(softmax_focal_loss)
def softmax_focal_textbook(
    input: Operand,
    target: Any,
    alpha: Array | None,
    gamma: float,
    axis: int,
    from_logits: bool,
    clip: Array,
    label_smoothing: float,
) -> Operand:
    """-sum alpha_c y_c (1 - p_c)^gamma log p_c, where 1 - p of the larger half is the sum of the other classes."""
    x = input.moveaxis(axis, -1)
    classes = x.shape[-1]
    y = target.moveaxis(axis, -1) if isinstance(target, Operand) else one_hot(target, classes)
    y = y + label_smoothing * (x.lift(1.0) / float(classes) - y) if label_smoothing else y
    z = x - constant(largest(x, -1)) if from_logits else x
    e = exp(z) if from_logits else x
    whole = e.sum(axis=-1, keepdims=True)
    p = e / whole
    log_p = log_softmax_textbook(x, -1) if from_logits else log(p)
    most = p > 0.5
    rest = where(most, where(most, 0.0, e).sum(axis=-1, keepdims=True) / whole, 1.0 - p)
    low, high = clip_range(clip)
    if low > 0.0 or high < 1.0:
        c = bounded(p, low, high)
        inside = (p >= low) & (p <= high)
        rest, log_p = where(inside, rest, 1.0 - c), where(inside, log_p, log(c))
    return -product(y, alphas(alpha, classes) * (power(rest, gamma) * log_p)).sum(axis=-1)


def _sums_of_others(h: Array) -> Array:
    """The sum of each row without the entry itself; no large entry is added and taken away again."""
    top = entries(np.abs(h).argmax(axis=1), h.shape)
    small = h.copy()
    small.reshape(-1)[top] = 0.0
    rest = small.sum(axis=1)
    sums: Array = (rest[:, None] - small) + h.take(top)[:, None]
    sums.reshape(-1)[top] = rest
    return sums


def _of_logits(x: Array) -> tuple[Array, Twofold, Array, float]:
    """Softmax of each row: p, 1 - p, log p, and 1."""
    # e^z, z = x - max x, is 1 + (e^z - 1) twofold where z is small and its inherited error smaller still
    z, lost = difference(x, x.max(axis=1, keepdims=True))
    e = np.exp(z)
    p, rest, others, _ = _shares(Twofold(e, np.where(e > 0.5, np.expm1(z) - (e - 1.0), 0.0) + lost * e))
    return p, rest, z + (lost - np.log1p(others)), 1.0


def _of_shares(x: Array) -> tuple[Array, Twofold, Array, Array]:
    """Probabilities divided by their sum: p, 1 - p, log p, and the sum."""
    p, rest, _, total = _shares(Twofold(x, np.zeros_like(x)))
    return p, rest, np.where(p > 0.5, np.log1p(-rest.high), np.log(p)), total


def _shares(e: Twofold) -> tuple[Array, Twofold, Array, Array]:
    """p = e / sum(e) of each row, 1 - p, the sum without the largest of the row, and with it."""
    is_top = np.arange(e.high.shape[1]) == e.high.argmax(axis=1)[:, None]
    nothing = Twofold(np.asarray(0.0))
    largest, small = either(is_top, e, nothing).sum(), either(is_top, nothing, e)
    rest = small.sum()
    total = rest.plus(largest)
    others = either(is_top, rest, rest.minus(small).plus(largest))
    return e.high / total.high, others.over(total), rest.high, total.high


def _labels(target: Array, shape: tuple[int, ...], classes: int) -> Array:
    if target.dtype != np.int64 and target.size:
        raise TypeError(f"target must hold integer labels, or probabilities in input's shape; it is {target.dtype}")
    if target.shape != shape:
        raise ValueError(
            f"target must hold one label for each row of input, in shape {shape}, or probabilities in input's shape;"
            f" its shape is {target.shape}"
        )
    labels = target.reshape(-1)
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"target must hold labels in [0, {classes}); it holds {wrong[0]}")
    return labels


def alphas(alpha: Array | None, classes: int) -> Array | float:
    """alpha as it multiplies the classes; ValueError where it has another shape or is negative for a class."""
    if alpha is None or (alpha.ndim == 0 and alpha < 0.0):
        return 1.0
    if alpha.shape not in ((), (classes,)):
        raise ValueError(f"alpha must be one number, or one for each of {classes} classes; its shape is {alpha.shape}")
    if (alpha < 0.0).any():
        raise ValueError(f"alpha must not be negative for a single class; it is {alpha.tolist()}")
    return alpha
