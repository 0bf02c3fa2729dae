"""Overlap losses of segmentation: sums over a region, one term per region."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.reference.arithmetic import Operand
from lossparity.reference.core import Array, Axes, Gradients, Number, Real, Terms, loss, textbook

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
    # l = 1 - (2 sum(x y) + s) / d = (sum(x (1 - y) + y (1 - x)) + s_below - s_above) / d,  d = sum(x) + sum(y) + s
    # dl/dx = (r - 2 y) / d,  dl/dy = (r - 2 x) / d,  r = 1 - l
    if axis is not None:
        axis = _axes(axis, input.ndim)
    above = smooth if smooth_numerator is None else smooth_numerator
    apart = input * (1.0 - target)
    apart += target * (1.0 - input)
    size = np.sum(input, axis=axis, keepdims=True) + np.sum(target, axis=axis, keepdims=True) + smooth
    value = (np.sum(apart, axis=axis, keepdims=True) + (smooth - above)) / size
    kept = (2.0 * np.sum(input * target, axis=axis, keepdims=True) + above) / size  # 1 - l, without the subtraction

    def pullback(g: Array | float) -> Gradients:
        share = np.reshape(g, value.shape) / size if isinstance(g, np.ndarray) else g / size
        ratio = kept * share
        share = -2.0 * share
        return {"input": share * target + ratio, "target": share * input + ratio}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        share = (np.reshape(g, value.shape) if isinstance(g, np.ndarray) else g) / np.abs(size)
        ratio = np.abs(kept) * share
        return g, {"input": 2.0 * share * np.abs(target) + ratio, "target": 2.0 * share * np.abs(input) + ratio}

    return Terms(np.squeeze(value, axis=axis), pullback, scale)


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
