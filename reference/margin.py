"""Losses with a margin: how far a score falls short of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossparity.reference import elementary
from lossparity.reference.activations import to_rows
from lossparity.reference.arithmetic import (
    Operand,
    largest,
    maximum,
    nearest,
    one_hot,
    product,
    take_label,
    where,
)
from lossparity.reference.classification import checked_labels
from lossparity.reference.core import (
    Argument,
    Array,
    Choice,
    Either,
    Flag,
    Gradients,
    Number,
    Real,
    Terms,
    loss,
    textbook,
)
from lossparity.reference.elementary import difference

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

    return Terms(value, pullback)


@textbook(hinge_embedding_loss, linear=True)
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
    # z = margin - y (x1 - x2), both differences with what rounding takes from them;  l = max(0, z)
    # dl/dx1 = -y (1 if z > 0, subgradient if z = 0, else 0) = -dl/dx2
    _check_signs(target)
    lead, lost = difference(input1, input2)
    z, lost_again = difference(margin, target * lead)
    z = z + (lost_again - target * lost)

    def pullback(g: Array | float) -> Gradients:
        gradient = np.heaviside(z, subgradient) * target * g
        return {"input1": -gradient, "input2": gradient}

    return Terms(np.maximum(z, 0.0), pullback)


@textbook(margin_ranking_loss, linear=True)
def margin_ranking_textbook(
    input1: Operand, input2: Operand, target: Operand, margin: float, subgradient: float
) -> Operand:
    """max(0, margin - y (x1 - x2))."""
    return maximum(margin - target * (input1 - input2), 0.0, tie=subgradient)


_HINGE: dict[str, Argument] = {
    "input": _SCORE,
    "target": Real(),
    "labels": Choice(("signed", "binary", "binary_if_all_are")),
}
_EACH = ("input", "target")


def _signs(target: Array, labels: str) -> Array:
    """The targets of a hinge loss as -1 and 1."""
    if labels == "binary" or (labels == "binary_if_all_are" and ((target == 0) | (target == 1)).all()):
        return 2.0 * target - 1.0
    wrong = target[(np.abs(target) != 1) & ~np.isnan(target)]
    if labels == "signed" and wrong.size:
        raise ValueError(f'target must hold -1 and 1 (or 0 and 1 with labels="binary"); it holds {wrong[0]:g}')
    return target


@loss({**_HINGE, "subgradient": Number(minimum=0.0, maximum=1.0)}, broadcast=_EACH, same_shape=_EACH)
def hinge_loss(
    input: Any, target: Any, reduction: str = "mean", *, subgradient: float = 0.0, labels: str = "signed"
) -> Terms:
    """How far a signed score falls short of the margin 1.

    Shapes: input and target alike. Domain: all reals; target -1 or 1, and not differentiable.
    Kink: at target * input = 1 the derivative of max(0, z) is `subgradient`, 0 by default (TF v1; Keras 1).
    Dialects: `labels` = "binary" maps every target y to 2 y - 1 (TF v1), "binary_if_all_are"
    does so if all of them are 0 or 1, and otherwise takes them as they are, real numbers too (Keras).
    Errors: ValueError for a target other than -1 and 1 with labels = "signed".
    Source: keras.losses.Hinge, https://keras.io/api/losses/hinge_losses/
    """
    # z = 1 - y x;  l = max(0, z)
    # dl/dx = -y (1 if z > 0, subgradient if z = 0, else 0)
    y = _signs(target, labels)
    z = 1.0 - y * input
    return Terms(np.maximum(z, 0.0), lambda g: {"input": np.heaviside(z, subgradient) * -y * g})


def _signs_of(target: Operand, labels: str) -> Operand:
    """The targets of a hinge loss as -1 and 1, of a textbook form."""
    binary = labels == "binary" or (labels == "binary_if_all_are" and bool(np.isin(nearest(target), (0.0, 1.0)).all()))
    return 2.0 * target - 1.0 if binary else target


@textbook(hinge_loss, linear=True)
def hinge_textbook(input: Operand, target: Operand, subgradient: float, labels: str) -> Operand:
    """max(0, 1 - y x)."""
    return maximum(1.0 - _signs_of(target, labels) * input, 0.0, tie=subgradient)


@loss(_HINGE, broadcast=_EACH, same_shape=_EACH)
def squared_hinge_loss(input: Any, target: Any, reduction: str = "mean", *, labels: str = "signed") -> Terms:
    """The square of hinge_loss.

    Shapes: input and target alike. Domain: all reals; target -1 or 1, and not differentiable. Kink: none.
    Dialects: `labels`, as in hinge_loss. Errors: ValueError for a target other than -1 and 1 with labels = "signed".
    Source: keras.losses.SquaredHinge, https://keras.io/api/losses/hinge_losses/
    """
    # z = max(0, 1 - y x);  l = z^2
    # dl/dx = -2 y z
    y = _signs(target, labels)
    z = np.maximum(1.0 - y * input, 0.0)
    return Terms(z * z, lambda g: {"input": -2.0 * y * z * g})


@textbook(squared_hinge_loss)
def squared_hinge_textbook(input: Operand, target: Operand, labels: str) -> Operand:
    """max(0, 1 - y x)^2."""
    z = maximum(1.0 - _signs_of(target, labels) * input, 0.0)
    return z * z


@loss(
    {
        "input": _SCORE,
        "target": Either(differentiable=False),
        "subgradient": Number(minimum=0.0, maximum=1.0),
        "zero_competes": Flag(),
    }
)
def categorical_hinge_loss(
    input: Any,
    target: Any,
    reduction: str = "mean",
    *,
    subgradient: float = 0.0,
    zero_competes: bool = False,
) -> Terms:
    """How far the label's score falls short of 1 above the best of the others.

    Shapes: input (..., C); target: integer labels (...), or one-hot (..., C); one term per row. Domain: all reals.
    Kinks: at z = 0 the derivative of max(0, z) is `subgradient`, 0 by default (Keras 1); scores that tie for the
    best share its derivative equally. `target` is not differentiable.
    Dialects: `zero_competes` takes the maximum over (1 - target) * input, where the label's own entry is 0 and so
    competes, and the sum of target * input, for any real target (Keras).
    Errors: ValueError for a label outside [0, C), a target that is not one-hot, and shapes that do not fit.
    Source: Crammer and Singer 2001, https://www.jmlr.org/papers/v2/crammer01a.html; keras.losses.CategoricalHinge.
    """
    # z = 1 + max_(j != t) x_j - x_t, with what rounding takes from it;  l = max(0, z)
    # dl/dx_j = (1 / ties if x_j is the maximum, -1 if j = t, else 0) (1 if z > 0, subgradient if z = 0, else 0)
    if not input.ndim or not input.shape[-1]:
        raise ValueError(f"input must have shape (..., C), with at least one class; its shape is {input.shape}")
    x, shape = to_rows(input, -1), input.shape[:-1]
    if target.shape == input.shape:
        y = to_rows(target, -1).astype(np.float64)
    else:
        labels, _ = checked_labels(target, shape, x.shape[1], None)
        labels = labels.reshape(-1)
        y = np.zeros(x.shape)
        y[np.arange(len(labels)), labels] = 1.0
    if not zero_competes:
        wrong = ~((y == 0) | (y == 1)).all(axis=1) | (y.sum(axis=1) != 1)
        wrong &= ~np.isnan(y).any(axis=1)
        if wrong.any():
            raise ValueError(f"target must be one-hot along its last axis; it holds the row {y[wrong][0]}")
        others = np.where(y == 1, -math.inf, x)
    else:
        others = elementary.product(1.0 - y, x)
    best = others.max(axis=1)
    lead, lost = difference(best, elementary.product(y, x).sum(axis=1))
    z, lost_again = difference(1.0, -lead)
    z = z + (lost_again + lost)

    def pullback(g: Array | float) -> Gradients:
        ties = others == best[:, None]
        slope = ties * (1.0 - y) / np.count_nonzero(ties, axis=1)[:, None] - y
        slope *= (np.heaviside(z, subgradient) * np.reshape(g, -1))[:, None]
        return {"input": slope.reshape(input.shape)}

    return Terms(np.maximum(z, 0.0).reshape(shape), pullback)


@textbook(categorical_hinge_loss, linear=True)
def categorical_hinge_textbook(
    input: Operand, target: Operand | Array, subgradient: float, zero_competes: bool
) -> Operand:
    """max(0, 1 + max over the other classes - the label's); with a 0 that competes of (1 - y) x, less sum y x."""
    if zero_competes:
        y = target if isinstance(target, Operand) else input.lift(one_hot(target, input.shape[-1]))
        best, own = largest(product(1.0 - y, input), -1), product(y, input).sum(axis=-1)
    else:
        labels = nearest(target).argmax(axis=-1) if isinstance(target, Operand) else target
        best = largest(where(one_hot(labels, input.shape[-1]), -math.inf, input), -1)
        own = take_label(input, labels)
    return maximum(1.0 + (best.reshape(own.shape) - own), 0.0, tie=subgradient)
