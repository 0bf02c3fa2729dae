"""The focal loss over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lossparity.reference.activations import entries, from_rows, shifted_exponentials, to_rows
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
from lossparity.reference.elementary import clip_range

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
    alpha = _alphas(alpha, classes)
    low, high = clip_range(clip)
    kept = 1.0 - label_smoothing

    def rows(x: Array, y: Array) -> _Classes:
        y = y if soft else (y[:, None] == np.arange(classes)).astype(np.float64)
        y = kept * y + label_smoothing / classes if label_smoothing else y
        return _Classes(x, y, alpha, gamma, low, high, from_logits)

    def rule(x: Array, y: Array) -> tuple[Array, ...]:
        c = rows(x, y)
        return (c.value(), c.of_input(), c.factor * c.log_p * -kept) if soft else (c.value(), c.of_input())

    def sizes(x: Array, y: Array) -> tuple[Array, ...]:
        of_value, of_input, of_target = rows(x, y).sizes()
        return (of_value, of_input, of_target * kept) if soft else (of_value, of_input)

    value, *slopes = in_blocks(rule, x, y)

    def scaled(parts: Sequence[Array], g: Array | float) -> Gradients:
        g = g.reshape(-1, 1) if isinstance(g, np.ndarray) else g
        return {
            name: from_rows(part * g, input.shape, axis) for name, part in zip(("input", "target"), parts, strict=False)
        }

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        of_value, *of_gradients = in_blocks(sizes, x, y)
        return of_value.reshape(shape) * g, scaled(of_gradients, g)

    return Terms(value.reshape(shape), lambda g: scaled(slopes, g), scale)


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
    log_p = z - log(whole) if from_logits else log(p)
    most = p > 0.5
    rest = where(most, where(most, 0.0, e).sum(axis=-1, keepdims=True) / whole, 1.0 - p)
    low, high = clip_range(clip)
    if low > 0.0 or high < 1.0:
        c = bounded(p, low, high)
        inside = (p >= low) & (p <= high)
        rest, log_p = where(inside, rest, 1.0 - c), where(inside, log_p, log(c))
    return -product(y, _alphas(alpha, classes) * (power(rest, gamma) * log_p)).sum(axis=-1)


class _Classes:
    """Rows of the focal loss over classes: y alpha (1 - p)^gamma log p, negated and summed."""

    def __init__(
        self, x: Array, y: Array, alpha: Array | float, gamma: float, low: float, high: float, from_logits: bool
    ) -> None:
        self.y, self.gamma, self.from_logits = y, gamma, from_logits
        self.total: Array | float
        self.p, self.rest, self.log_p, self.total = _of_classes(x) if from_logits else _of_shares(x)
        q = self.rest
        self.inside: Array | float = 1.0
        if low > 0.0 or high < 1.0:
            clipped = np.clip(self.p, low, high)
            self.inside = (self.p == clipped) | np.isnan(clipped)
            q, self.log_p = np.where(self.inside, q, 1.0 - clipped), np.where(self.inside, self.log_p, np.log(clipped))
        self.near = q + (q == 0.0)  # to divide by
        self.factor = q**gamma * alpha
        self.weight = y * self.factor
        self.tame = np.maximum(self.log_p, -np.finfo(np.float64).max)  # 0 log 0 = 0
        self.steep = gamma * self.p * self.tame / self.near
        self.h = self.weight * (self.steep - 1.0) * self.inside

    def value(self) -> Array:
        value: Array = -np.where(self.weight == 0.0, self.weight * self.tame, self.weight * self.log_p).sum(axis=1)
        return value

    def of_input(self) -> Array:
        h, others = self.h, _sums_of_others(self.h)
        of_input: Array
        if self.from_logits:
            of_input = h * self.rest - self.p * others
        else:
            of_input = (np.where(h == 0.0, 0.0, h * self.rest / self.p) - others) / self.total
        return of_input

    def sizes(self) -> tuple[Array, Array, Array]:
        """The natural scale of the value and of the gradients: 1 - p, log p and the sums over classes."""
        of_term = self.factor * (self.gamma * np.abs(self.tame) / self.near + 1.0)
        h, g, p = np.abs(self.h), self.gamma, self.p
        of_h = self.weight * (g * (p + np.abs(self.tame)) + np.abs(self.steep) * abs(g - 1.0) + g) / self.near
        of_h *= self.inside
        of_input = h + of_h * self.rest + p * (h + of_h).sum(axis=1, keepdims=True) - p * of_h
        if not self.from_logits:
            of_input /= np.where(p == 0.0, 1.0, p) * self.total
        return (self.y * of_term).sum(axis=1), of_input, of_term


def _sums_of_others(h: Array) -> Array:
    """The sum of each row without the entry itself; no large entry is added and taken away again."""
    top = entries(np.abs(h).argmax(axis=1), h.shape)
    small = h.copy()
    small.reshape(-1)[top] = 0.0
    rest = small.sum(axis=1)
    sums: Array = (rest[:, None] - small) + h.take(top)[:, None]
    sums.reshape(-1)[top] = rest
    return sums


def _of_classes(x: Array) -> tuple[Array, Array, Array, float]:
    """Softmax of each row: p, 1 - p, log p, and 1."""
    log_p, p, top, others = shifted_exponentials(x)
    total: Array = 1.0 + others
    log_p -= np.log1p(others)[:, None]
    p.reshape(-1)[top] = 1.0
    p /= total[:, None]
    rest = 1.0 - p
    rest.reshape(-1)[top] = others / total
    return p, rest, log_p, 1.0


def _of_shares(x: Array) -> tuple[Array, Array, Array, Array]:
    """Probabilities divided by their sum: p, 1 - p, log p, and the sum."""
    total: Array = x.sum(axis=1, keepdims=True)
    p: Array = x / total
    rest = _sums_of_others(x) / total
    return p, rest, np.where(p > 0.5, np.log1p(-rest), np.log(p)), total


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


def _alphas(alpha: Array | None, classes: int) -> Array | float:
    if alpha is None or (alpha.ndim == 0 and alpha < 0.0):
        return 1.0
    if alpha.shape not in ((), (classes,)):
        raise ValueError(f"alpha must be one number, or one for each of {classes} classes; its shape is {alpha.shape}")
    if (alpha < 0.0).any():
        raise ValueError(f"alpha must not be negative for a single class; it is {alpha.tolist()}")
    return alpha
