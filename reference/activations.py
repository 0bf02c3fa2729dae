"""The activations that losses are built on. They are not reduced: `vjp` takes a cotangent of the value's shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossparity.reference.arithmetic import (
    Operand,
    constant,
    custom,
    exp,
    largest,
    log1p,
    nearest,
    one_hot,
    take_label,
    where,
)
from lossparity.reference.core import Argument, Array, Gradients, Integer, Real, Terms, loss, textbook
from lossparity.reference.elementary import difference

_INPUT: dict[str, Argument] = {"input": Real(differentiable=True)}
_FAR = 16.0  # rounding z costs e^z up to |z| / 2 ULP; a logit that is so far away is itself known to |z| ULP of e^z
_ALONG: dict[str, Argument] = {**_INPUT, "dim": Integer()}


def to_rows(array: Array, axis: int) -> Array:
    """`array` as a matrix whose rows run along `axis` (a view where that is possible)."""
    if axis not in (-1, array.ndim - 1):
        array = np.moveaxis(array, axis, -1)
    return array.reshape(-1, array.shape[-1])


def from_rows(rows: Array, shape: tuple[int, ...], axis: int) -> Array:
    """The inverse of `to_rows` for an array of that shape."""
    if axis in (-1, len(shape) - 1):
        return rows.reshape(shape)
    axis %= len(shape)
    return np.moveaxis(rows.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis]), -1, axis)


def entries(classes: Array, shape: tuple[int, ...]) -> Array:
    """Where x[n, classes[n]], or x[n, classes[n, d], d], lies in a flat x of shape (N, C) or (N, C, D)."""
    size = math.prod(shape[1:])
    if len(shape) == 2:
        return classes + np.arange(0, shape[0] * size, size)
    index: Array = classes * shape[2]
    index += np.arange(shape[0])[:, None] * size + np.arange(shape[2])
    return index


def shifted_exponentials(x: Array) -> tuple[Array, Array, Array, Array]:
    """What the softmax over axis 1 of (N, C) or (N, C, D) is made of: z, e^z, the place of the largest, the rest.

    z = x - x_k, k the (first) largest class, whose flat index is the place. Where rounding z costs e^z more than a few
    ULP, e^z is not that of the rounded z. In the place of k itself e^z is 0, and the rest is the sum of that over
    axis 1: so it keeps its digits however confident a row is, log sum_j e^{z_j} = log1p(rest), and
    p_j = e^{z_j} / (1 + rest) for j != k.
    """
    z, top, largest_of_row = _shifted(x)
    e = np.exp(z)
    e.reshape(-1)[top] = 0.0
    if z.min(initial=0.0) < -_FAR:
        _, lost = difference(x, largest_of_row)  # z is rounded by so much
        e += e * lost
    return z, e, top, e.sum(axis=1)


def _shifted(x: Array) -> tuple[Array, Array, Array]:
    """z, the place of the largest, and the largest itself, on an axis 1 of length 1."""
    if x.ndim == 2:
        top = entries(x.argmax(axis=1), x.shape)
        largest_of_row = x.take(top)[:, None]
        return np.subtract(x, largest_of_row, order="C"), top, largest_of_row
    # Along an axis that is not the last NumPy finds a maximum fast and its place slowly, so that is a maximum too.
    largest_of_row = x.max(axis=1)[:, None]
    z = np.subtract(x, largest_of_row, order="C")
    last = x.shape[1] - 1
    from_last = ((z == 0.0) * np.arange(last, -1, -1, dtype=np.min_scalar_type(last))[:, None]).max(axis=1)
    return z, entries(np.subtract(last, from_last, dtype=np.int64), x.shape), largest_of_row


def _rows_along(input: Array, dim: int) -> Array:
    if not -input.ndim <= dim < input.ndim:
        raise ValueError(f"dim must be an axis of input, whose shape is {input.shape}; it is {dim}")
    if not input.shape[dim]:
        raise ValueError(f"input must hold at least one class along dim {dim}; its shape is {input.shape}")
    return to_rows(input, dim)


@loss(_INPUT, reductions=())
def sigmoid(input: Any) -> Terms:
    """The logistic function.

    Shapes: any, kept. Domain: all reals, -inf and inf included. Smooth.
    Source: torch.sigmoid, https://docs.pytorch.org/docs/stable/generated/torch.sigmoid.html
    """
    # p = 1 / (1 + e^-x), which for x < 0 is e^x / (1 + e^x): no exponential overflows
    # dp/dx = p (1 - p) = e^-|x| / (1 + e^-|x|)^2
    e = np.exp(-np.abs(input))
    denominator = 1.0 + e
    p = np.where(np.signbit(input), e, 1.0) / denominator

    def pullback(g: Array | float) -> Gradients:
        return {"input": e / denominator / denominator * g}

    return Terms(p, pullback)


@textbook(sigmoid)
def sigmoid_textbook(input: Operand) -> Operand:
    """1 / (1 + e^-x) for x >= 0, e^x / (1 + e^x) for x < 0: no exponential overflows."""
    yes = input >= 0.0
    e = exp(where(yes, -input, input))
    return where(yes, 1.0, e) / (1.0 + e)


@loss(_ALONG, reductions=())
def softmax(input: Any, dim: int = -1) -> Terms:
    """Exponentials divided by their sum along `dim`.

    Shapes: any of at least one axis, kept. Domain: all reals; -inf is a masked entry, of probability 0. Smooth.
    Errors: ValueError for a `dim` that input does not have, or of length 0.
    Source: torch.nn.functional.softmax, https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html
    """
    # p_j = e^(x_j - m) / sum_i e^(x_i - m), m = max x: the shift keeps the exponentials from overflowing
    # vjp: g -> p (d - sum_j d_j p_j), d_j = g_j - g_k, k the largest class: nothing of g_k (1 - p_k) cancels
    rows = _rows_along(input, dim)
    _, p, top, rest = shifted_exponentials(rows)
    p.reshape(-1)[top] = 1.0
    p /= (1.0 + rest)[:, None]

    def pullback(g: Array | float) -> Gradients:
        cotangent = to_rows(np.broadcast_to(g, input.shape), dim)
        d = cotangent - cotangent.take(top)[:, None]
        gradient = p * (d - np.einsum("ij,ij->i", d, p)[:, None])
        return {"input": from_rows(gradient, input.shape, dim)}

    return Terms(from_rows(p, input.shape, dim), pullback)


@textbook(softmax)
def softmax_textbook(input: Operand, dim: int) -> Operand:
    """e^(x_j - m) / sum_i e^(x_i - m), m = max x.

    Its derivative, taken with care: g -> p (d - sum_j d_j p_j), d_j = g_j - g_k, k the largest class. With g itself the
    largest class's g_k - sum_j g_j p_j would cancel where p_k is near 1.
    """
    e = exp(input - constant(largest(input, dim)))
    p = e / e.sum(axis=dim, keepdims=True)
    top = nearest(input).argmax(axis=dim)
    is_top = one_hot(top, input.shape[dim], dim)
    along = tuple(1 if i == dim % input.ndim else n for i, n in enumerate(input.shape))

    def back(g: Operand) -> Operand:
        d = where(is_top, 0.0, g - take_label(g, top, dim).reshape(along))
        slope: Operand = p * (d - (d * p).sum(axis=dim, keepdims=True))
        return slope

    return custom(p, (input, back))


@loss(_ALONG, reductions=())
def log_softmax(input: Any, dim: int = -1) -> Terms:
    """The logarithm of softmax, exact where softmax is 1 or underflows.

    Shapes: any of at least one axis, kept. Domain: all reals; -inf is a masked entry, of log-probability -inf. Smooth.
    Errors: ValueError for a `dim` that input does not have, or of length 0.
    Source: torch.nn.functional.log_softmax, https://docs.pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html
    """
    # l_j = x_j - m - log sum_i e^(x_i - m) = z_j - log1p(rest), m = max x
    # vjp: g -> g - p sum_j g_j;  at the largest class k, where that would cancel, (g_k R - G) / (1 + R) with R the rest
    #      and G the sum of the g_j without g_k
    rows = _rows_along(input, dim)
    z, e, top, rest = shifted_exponentials(rows)
    value = z - np.log1p(rest)[:, None]

    def pullback(g: Array | float) -> Gradients:
        cotangent = to_rows(np.broadcast_to(g, input.shape), dim)
        of_top, others = cotangent.take(top), cotangent.copy()
        others.reshape(-1)[top] = 0.0
        sum_of_others = others.sum(axis=1)
        gradient = cotangent - e * ((sum_of_others + of_top) / (1.0 + rest))[:, None]
        gradient.reshape(-1)[top] = (of_top * rest - sum_of_others) / (1.0 + rest)
        return {"input": from_rows(gradient, input.shape, dim)}

    return Terms(from_rows(value, input.shape, dim), pullback)


@textbook(log_softmax)
def log_softmax_textbook(input: Operand, dim: int) -> Operand:
    """z_j - log1p(sum of e^z without the largest's), z_j = x_j - max x; at the largest itself z is 0, not x - x."""
    top = nearest(input).argmax(axis=dim)
    is_top = one_hot(top, input.shape[dim], dim)
    along = tuple(1 if i == dim % input.ndim else n for i, n in enumerate(input.shape))
    z = where(is_top, 0.0, input - take_label(input, top, dim).reshape(along))
    rest = where(is_top, 0.0, exp(z)).sum(axis=dim, keepdims=True)
    return z - log1p(rest)
