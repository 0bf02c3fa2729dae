"""Losses with a margin that targets of -1 and 1 choose the side of. Elementwise; the arrays broadcast."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.reference.arithmetic import Operand, maximum, where
from lossparity.reference.core import Array, Gradients, Number, Real, Terms, loss, textbook

_SCORE = Real(differentiable=True)
_OPTIONS = {"margin": Number(), "subgradient": Number(minimum=0.0, maximum=1.0)}
_EMBEDDING = {"input": _SCORE, "target": Real()}
_RANKING = {"input1": _SCORE, "input2": _SCORE, "target": Real()}


def _check_signs(target: Array) -> None:
    wrong = target[(np.abs(target) != 1.0) & ~np.isnan(target)]
    if wrong.size:
        raise ValueError(f"target must hold -1 and 1; it holds {wrong[0]:g}")


@loss({**_EMBEDDING, **_OPTIONS}, broadcast=_EMBEDDING)
def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean", *, subgradient: float = 0.0
) -> Terms:
    """A distance: itself where the pair is alike (1), how far it falls short of the margin where it is not (-1).

    Shapes: input and target broadcast; the terms have the common shape. Domain: all reals; target -1 or 1, and not
    differentiable.
    Kink: at input = margin with target -1 the derivative of max(0, z) is `subgradient`, 0 by default (torch before
    2.14: 1).
    Errors: ValueError for a target other than -1 and 1.
    Source: torch.nn.functional.hinge_embedding_loss,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html
    """
    # z = margin - x;  l = x if y = 1, max(0, z) if y = -1
    # dl/dx = 1 if y = 1, else -(1 if z > 0, subgradient if z = 0, else 0)
    _check_signs(target)
    sides = (target == 1.0, target == -1.0)
    z = margin - input
    value = np.select(sides, (input, np.maximum(z, 0.0)), np.nan)

    def pullback(g: Array | float) -> Gradients:
        return {"input": np.select(sides, (np.ones_like(z), -np.heaviside(z, subgradient)), np.nan) * g}

    return Terms(value, pullback, lambda _: (np.where(sides[1] & (z > 0.0), abs(margin), 0.0), {}))


@textbook(hinge_embedding_loss)
def hinge_embedding_textbook(input: Operand, target: Operand, margin: float, subgradient: float) -> Operand:
    """x where y = 1, max(0, margin - x) where y = -1."""
    return where(target > 0.0, input, maximum(margin - input, 0.0, tie=subgradient))


@loss({**_RANKING, **_OPTIONS}, broadcast=_RANKING)
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    reduction: str = "mean",
    *,
    subgradient: float = 0.0,
) -> Terms:
    """How far the score that should rank higher falls short of a lead of `margin` over the other.

    Shapes: input1, input2, target broadcast; the terms have the common shape. Domain: all reals; target 1 where input1
    should be the higher, -1 where input2 should, and not differentiable.
    Kink: at target * (input1 - input2) = margin the derivative of max(0, z) is `subgradient`, 0 by default (torch
    before 2.14: 1).
    Errors: ValueError for a target other than -1 and 1.
    Source: torch.nn.functional.margin_ranking_loss,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html
    """
    # z = margin - y (x1 - x2);  l = max(0, z)
    # dl/dx1 = -y (1 if z > 0, subgradient if z = 0, else 0) = -dl/dx2
    _check_signs(target)
    d = input1 - input2
    z = margin - target * d

    def pullback(g: Array | float) -> Gradients:
        gradient = np.heaviside(z, subgradient) * target * g
        return {"input1": -gradient, "input2": gradient}

    return Terms(np.maximum(z, 0.0), pullback, lambda _: (np.where(z > 0.0, abs(margin) + np.abs(d), 0.0), {}))


@textbook(margin_ranking_loss)
def margin_ranking_textbook(
    input1: Operand, input2: Operand, target: Operand, margin: float, subgradient: float
) -> Operand:
    """max(0, margin - y (x1 - x2))."""
    return maximum(margin - target * (input1 - input2), 0.0, tie=subgradient)
