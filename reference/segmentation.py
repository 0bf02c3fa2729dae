"""Overlap losses of segmentation: sums over a region, one term per region."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from lossparity.reference.arithmetic import Operand
from lossparity.reference.core import Array, Axes, Gradients, Number, Real, Terms, loss, textbook
from lossparity.reference.twofold import Twofold, two_product

_PAIR = {"input": Real(differentiable=True), "target": Real(differentiable=True)}


@loss(
    {**_PAIR, "axis": Axes(), "smooth": Number(minimum=0.0), "smooth_numerator": Number(minimum=0.0, optional=True)},
    broadcast=_PAIR,
)
def dice_loss(
    input: Any,
    target: Any,
    axis: Any = None,
    smooth: float = 1e-7,
    reduction: str = "mean",
    *,
    smooth_numerator: float | None = None,
) -> Terms:
    """One minus twice the overlap over the total size.

    Shapes: input, target broadcast. The sums run over `axis` (None: over everything); the terms have the shape
    that is left. Domain: all reals, meant for [0, 1]. Smooth. Nothing anywhere (all zero): 1 - s / s = 0; NaN
    with smooth = 0.
    Dialect: smooth_numerator, where the two smooth terms differ. Keras has 1e-7 below and 0 above, so that all
    zero is 1 there.
    Source: Milletari et al., V-Net, https://arxiv.org/abs/1606.04797 (without its squares); keras.losses.Dice.
    """
    # l = 1 - a / d = (sum(x (1 - y) + y (1 - x)) + s_below - s_above) / d,  a = 2 sum(x y) + s_above,
    #                                                                       d = sum(x) + sum(y) + s_below
    # dl/dx = (a - 2 y d) / d^2,  dl/dy = (a - 2 x d) / d^2
    axes = tuple(range(input.ndim)) if axis is None else _axes(axis, input.ndim)
    above = smooth if smooth_numerator is None else smooth_numerator
    x, y = _regions(input, axes), _regions(target, axes)
    overlap = Twofold(*two_product(x, y)).sum()
    a = Twofold(2.0 * overlap.high, 2.0 * overlap.low).plus(Twofold(np.asarray(above)))
    d = Twofold(x).sum().plus(Twofold(y).sum()).plus(Twofold(np.asarray(smooth)))
    value = ((x * (1.0 - y) + y * (1.0 - x)).sum(axis=-1, keepdims=True) + (smooth - above)) / d.high

    def slope(other: Array) -> Array:
        """a - 2 other d, over d^2."""
        twice = Twofold(2.0 * other)
        part = a.minus(twice.times(d)).high
        close = np.abs(part) < 2.0**-40 * np.abs(twice.high * d.high)
        for region, k in np.argwhere(close):  # one by one, for a few numbers: not even twofold they are what they are
            part[region, k] = _exact(x[region], y[region], other[region, k], smooth, above)
        return part / d.high / d.high

    def pullback(g: Array | float) -> Gradients:
        share = np.reshape(g, (-1, 1))
        return {name: _back(slope(other) * share, input.shape, axes) for name, other in (("input", y), ("target", x))}

    kept = tuple(n for i, n in enumerate(input.shape) if i not in axes)
    return Terms(value.reshape(kept), pullback)


def _regions(array: Array, axes: tuple[int, ...]) -> Array:
    """(regions, elements): a region runs over `axes`."""
    moved = np.moveaxis(array, axes, range(array.ndim - len(axes), array.ndim))
    inner = math.prod(array.shape[axis] for axis in axes)
    return np.ascontiguousarray(moved).reshape(array.size // inner if inner else 0, inner)


def _back(regions: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """The inverse of `_regions` for an array of that shape."""
    outer = [i for i in range(len(shape)) if i not in axes]
    moved = regions.reshape([shape[i] for i in (*outer, *axes)])
    return np.moveaxis(moved, range(len(outer), len(shape)), axes)


def _exact(x: Array, y: Array, other: float, smooth: float, above: float) -> float:
    """2 sum(x y) + above - 2 other (sum(x) + sum(y) + smooth), rounded once."""
    pairs = [(Fraction(a), Fraction(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    less = 2 * Fraction(float(other))
    return float(sum(2 * a * b - less * (a + b) for a, b in pairs) + Fraction(above) - less * Fraction(smooth))


@textbook(dice_loss)
def dice_textbook(input: Operand, target: Operand, axis: Any, smooth: float, smooth_numerator: float | None) -> Operand:
    """1 - (2 sum(x y) + s) / (sum(x) + sum(y) + s)."""
    axis = None if axis is None else _axes(axis, input.ndim)
    above = smooth if smooth_numerator is None else smooth_numerator
    overlap = (input * target).sum(axis=axis)
    return 1.0 - (2.0 * overlap + above) / (input.sum(axis=axis) + target.sum(axis=axis) + smooth)


def _axes(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    if any(not -ndim <= axis < ndim for axis in axes):
        raise ValueError(f"axis must lie in [{-ndim}, {ndim - 1}] for inputs of {ndim} axes; it is {axes}")
    unique = tuple(axis % ndim for axis in axes)
    if len(set(unique)) < len(unique):
        raise ValueError(f"axis must name each axis once; it is {axes}")
    return unique
