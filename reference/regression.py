"""Regression losses. Elementwise; `input`, `target` and `weight` broadcast against each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.reference import elementary
from lossparity.reference.arithmetic import Operand, absolute, maximum, weighted, where
from lossparity.reference.core import Array, Gradients, Number, Real, Terms, loss, textbook

_PAIR = {"input": Real(differentiable=True), "target": Real(differentiable=True)}
_WEIGHTED = {**_PAIR, "weight": Real(optional=True)}


def _of_difference(value: Array, slope: Array, weight: Array | None) -> Terms:
    """Terms of a loss of d = input - target with derivative `slope` in d, times `weight`.

    With a weight, the mean divides by the sum of the weights (torch's rule).
    """
    value, slope = elementary.weighted(value, weight), elementary.weighted(slope, weight)

    def pullback(g: Array | float) -> Gradients:
        gradient = slope * g
        return {"input": gradient, "target": -gradient}

    return Terms(value, pullback, denominator=None if weight is None else float(np.sum(weight)))


def _weighted_mean(terms: Operand, weight: Operand | None) -> Any:
    """The same of a textbook form: the terms times their weights, and the sum of those."""
    return terms if weight is None else (weighted(terms, weight), weight.sum())


@loss(_WEIGHTED, broadcast=_WEIGHTED)
def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Terms:
    """Absolute error, also MAE.

    Shapes: input, target, weight broadcast; the terms have the common shape. Domain: all reals.
    Kink: the derivative at input = target is 0.
    Source: torch.nn.functional.l1_loss, https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html
    """
    # l = w |x - y|
    # dl/dx = w sign(x - y) = -dl/dy
    d = input - target
    return _of_difference(np.abs(d), np.sign(d), weight)


@textbook(l1_loss, linear=True)
def l1_textbook(input: Operand, target: Operand, weight: Operand | None) -> Any:
    """w |x - y|."""
    return _weighted_mean(absolute(input - target), weight)


@loss(_WEIGHTED, broadcast=_WEIGHTED)
def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Terms:
    """Squared error, also L2.

    Shapes: input, target, weight broadcast; the terms have the common shape. Domain: all reals. Smooth.
    Source: torch.nn.functional.mse_loss, https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html
    """
    # l = w (x - y)^2
    # dl/dx = 2 w (x - y) = -dl/dy
    d = input - target
    return _of_difference(d * d, 2.0 * d, weight)


@textbook(mse_loss)
def mse_textbook(input: Operand, target: Operand, weight: Operand | None) -> Any:
    """w (x - y)^2."""
    d = input - target
    return _weighted_mean(d * d, weight)


@loss({**_PAIR, "beta": Number(minimum=0.0), "subgradient": Number(minimum=-1.0, maximum=1.0)}, broadcast=_PAIR)
def smooth_l1_loss(
    input: Any, target: Any, reduction: str = "mean", beta: float = 1.0, *, subgradient: float = 0.0
) -> Terms:
    """Squared below `beta`, absolute above; beta = 0 is l1_loss.

    Shapes: input, target broadcast; the terms have the common shape. Domain: all reals; beta >= 0.
    Kink: none for beta > 0 (the second derivative jumps at |d| = beta); for beta = 0 the derivative at 0 is 0.
    Dialect: `subgradient` is that derivative (torch before 2.1: -1).
    Source: Girshick, Fast R-CNN, https://arxiv.org/abs/1504.08083, equation 3, with torch's beta.
    """
    # d = x - y;  l = d^2 / (2 beta) if |d| < beta else |d| - beta / 2
    # dl/dx = d / beta if |d| < beta else sign(d);  dl/dy = -dl/dx
    # With c = clip(d, -beta, beta) both branches are one: l = (c / beta) (d - c / 2), dl/dx = c / beta.
    d = input - target
    if beta == 0.0:
        return _of_difference(np.abs(d), np.where(d == 0.0, subgradient, np.sign(d)), None)
    value = np.clip(d, -beta, beta)
    slope = value / beta
    value *= -0.5
    value += d
    value *= slope
    return _of_difference(value, slope, None)


@textbook(smooth_l1_loss)
def smooth_l1_textbook(input: Operand, target: Operand, beta: float, subgradient: float) -> Any:
    """d^2 / (2 beta) below beta, |d| - beta / 2 above; |d| for beta = 0."""
    d = input - target
    if beta == 0.0:
        return maximum(d, -d, tie=0.5 * (1.0 + subgradient))
    return where((absolute(d) < beta).kink(), 0.5 * d * d / beta, absolute(d) - 0.5 * beta)


@loss({**_WEIGHTED, "delta": Number(minimum=0.0)}, broadcast=_WEIGHTED)
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Terms:
    """Squared below `delta`, linear with slope `delta` above; delta * smooth_l1_loss(beta=delta).

    Shapes: input, target, weight broadcast; the terms have the common shape. Domain: all reals; delta >= 0
    (delta = 0 is 0 everywhere). Kink: none.
    Source: Huber 1964, https://doi.org/10.1214/aoms/1177703732; torch.nn.functional.huber_loss.
    """
    # d = x - y;  l = w d^2 / 2 if |d| <= delta else w delta (|d| - delta / 2)
    # With c = clip(d, -delta, delta) both branches are one: l = w c (d - c / 2), dl/dx = w c = -dl/dy.
    value = input - target
    slope = np.clip(value, -delta, delta)
    value -= 0.5 * slope
    value *= slope

    return _of_difference(value, slope, weight)


@textbook(huber_loss)
def huber_textbook(input: Operand, target: Operand, delta: float, weight: Operand | None) -> Any:
    """w d^2 / 2 up to delta, w delta (|d| - delta / 2) beyond."""
    d = input - target
    size = absolute(d)
    return _weighted_mean(where((size <= delta).kink(), 0.5 * d * d, delta * (size - 0.5 * delta)), weight)
