"""Losses of detection heads that are not about overlap or classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.reference.activations import from_rows, log_softmax_textbook, shifted_exponentials, to_rows
from lossparity.reference.arithmetic import Operand, product, where
from lossparity.reference.core import Array, Gradients, Real, Terms, loss, textbook


@loss({"input": Real(differentiable=True), "target": Real(differentiable=True, minimum=0.0)})
def distribution_focal_loss(input: Any, target: Any, reduction: str = "mean") -> Terms:
    """Cross entropy to the two bins around a real target, weighted by how near each is.

    Shapes: input (..., bins) logits; target (...). Domain: any logit, at least two bins; target in [0, bins - 1].
    Kink: the derivative in target jumps at whole numbers; it is the one from the right, at bins - 1 from the left.
    Source: Li et al., Generalized Focal Loss, https://arxiv.org/abs/2006.04388, equation 6.
    """
    # l = (r - y) ce_l + (y - l) ce_r,  l = floor(y), r = l + 1,  ce_k = -log p_k,  p = softmax(x)
    # dl/dx_k = p_k - w_k,  w_l = r - y, w_r = y - l = 1 - w_l, else 0;  dl/dy = ce_r - ce_l = x_l - x_r
    # Exactly: ce_k = log1p(R) - z_k,  z = x - max x, R = sum of e^z without the largest's;
    # p_k - w_k = p_k (1 - w_k) - (1 - p_k) w_k
    _check(input, target)
    bins = input.shape[-1]
    x = to_rows(input, -1)
    z, p, top, others = shifted_exponentials(x)
    y = target.reshape(-1)
    left = np.fmin(np.fmax(np.floor(y), 0.0), bins - 2.0)
    to_right = y - left
    to_left = left + 1.0 - y
    at_left = left.astype(np.int64) + np.arange(0, z.size, bins)
    at_right = at_left + 1
    log_total = np.log1p(others)
    ce_left, ce_right = log_total - z.take(at_left), log_total - z.take(at_right)
    value = np.where(to_left == 0.0, 0.0, to_left * ce_left) + np.where(to_right == 0.0, 0.0, to_right * ce_right)

    def pullback(g: Array | float) -> Gradients:
        g = g.reshape(-1) if isinstance(g, np.ndarray) else g
        total = 1.0 + others
        gradient = p * (g / total)[:, None]
        entries = gradient.reshape(-1)
        entries[top] = g / total
        for at, near, far in ((at_left, to_left, to_right), (at_right, to_right, to_left)):
            here = np.where(at == top, 1.0, p.take(at)) / total
            rest = np.where(at == top, others / total, 1.0 - here)
            entries[at] = (here * far - rest * near) * g
        return {
            "input": from_rows(gradient, input.shape, -1),
            "target": ((x.take(at_left) - x.take(at_right)) * g).reshape(target.shape),
        }

    return Terms(value.reshape(target.shape), pullback)


@textbook(distribution_focal_loss)
def distribution_focal_textbook(input: Operand, target: Operand) -> Operand:
    """-sum_k w_k log p_k, with w_l = r - y and w_r = y - l at the bins l and r around y, else 0."""
    log_p = log_softmax_textbook(input, -1)
    y = target.reshape(*target.shape, 1)
    bins = np.arange(input.shape[-1], dtype=np.float64)
    # y lies in [k, k + 1) of its left bin; the last one that is a left bin goes on to the end
    low, high = bins[:-1], np.append(bins[1:-1], np.inf)
    is_left = (y >= np.append(low, np.inf)) & (y < np.append(high, np.inf))
    is_right = (y >= np.append(np.inf, low)) & (y < np.append(np.inf, high))
    weights = where(is_left, bins + 1.0 - y, where(is_right, y - (bins - 1.0), 0.0))
    return -product(weights, log_p).sum(axis=-1)


def _check(input: Array, target: Array) -> None:
    if input.ndim == 0 or input.shape[-1] < 2:
        raise ValueError(f"input must be (..., bins) with at least two bins; its shape is {input.shape}")
    if target.shape != input.shape[:-1]:
        raise ValueError(
            f"target must hold one number for each row of input, in shape {input.shape[:-1]};"
            f" its shape is {target.shape}"
        )
    beyond = target[target > input.shape[-1] - 1.0]
    if beyond.size:
        raise ValueError(f"target must lie in [0, {input.shape[-1] - 1}], the bins of input; it holds {beyond[0]}")
