"""Losses of pairs of boxes. A box is x1, y1, x2, y2 along the last axis; the loss is per pair.

All four are made of the extents and areas of each box, of their intersection and of the smallest box
around both. `_Pair` holds those, and turns derivatives in them into the gradients of the coordinates.
A loss is a function of a pair and a sign: with -1 it returns the value and the gradients, with 1 the same
expressions with every subtraction an addition of sizes, which is their natural scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from lossparity.reference.arithmetic import Operand, atan, constant, maximum, minimum, where
from lossparity.reference.blocks import in_blocks
from lossparity.reference.core import Argument, Array, Gradients, Number, Real, Terms, loss, textbook

_BOXES: dict[str, Argument] = {
    "boxes1": Real(differentiable=True),
    "boxes2": Real(differentiable=True),
    "eps": Number(minimum=0.0),
}
_HUGE = 2.0**500  # a larger extent overflows when it is squared

_Rows: TypeAlias = tuple[Array, Array, Array]


class _Pair:
    """N pairs of boxes, coordinate by coordinate: arrays of N numbers, or (2, N) for an extent (width, height).

    The conventions of the derivative are here: where two edges coincide each takes half of the derivative of
    max and min, and boxes that do not overlap, or only touch, pass none through their intersection.
    """

    def __init__(self, boxes1: Array, boxes2: Array, eps: float) -> None:
        b1, b2 = np.ascontiguousarray(boxes1.T), np.ascontiguousarray(boxes2.T)
        self.eps: Array | float = eps
        self.unit: Array | float = 1.0
        reach = max((max(b.max(), -b.min()) for b in (b1, b2) if b.size), default=0.0)
        if not reach <= _HUGE:  # also for NaN; such rows are computed in a larger unit, a power of two
            self.unit = np.where(np.maximum(np.abs(b1), np.abs(b2)).max(axis=0) > _HUGE, 2.0**-540, 1.0)
            self.eps = eps * self.unit * self.unit
            b1, b2 = b1 * self.unit, b2 * self.unit
        self.b1, self.b2 = b1, b2
        self.extent1, self.extent2 = b1[2:] - b1[:2], b2[2:] - b2[:2]
        self.inner = np.minimum(b1[2:], b2[2:]) - np.maximum(b1[:2], b2[:2])
        self.inner *= self.inner.min(axis=0) > 0.0
        self.intersection = self.inner[0] * self.inner[1]
        self.union = self.extent1[0] * self.extent1[1] + self.extent2[0] * self.extent2[1] - self.intersection
        self.divisor = self.plus_eps(self.union)
        self.iou = self.intersection / self.divisor

    def plus_eps(self, size: Array) -> Array:
        """size + eps to divide by; 1 where that is 0, so that 0 / 0 is 0: its limit as eps goes to 0."""
        divisor: Array = size + self.eps
        if not divisor.all():
            divisor[divisor == 0.0] = 1.0
        return divisor

    def outer(self) -> Array:
        """The extent of the smallest box around both."""
        extent: Array = np.maximum(self.b1[2:], self.b2[2:]) - np.minimum(self.b1[:2], self.b2[:2])
        return extent

    def offset(self) -> Array:
        """The way from the second box's centre to the first's."""
        moved = self.b1 - self.b2
        half: Array = 0.5 * (moved[:2] + moved[2:])
        return half

    def of_iou(self, sign: float) -> tuple[Array, Array]:
        """The derivative of -iou in the area of the intersection, and in the area of either box."""
        # iou = I / (U + eps),  U = A1 + A2 - I
        # d iou = (1 + iou) / (U + eps) dI - iou / (U + eps) (dA1 + dA2)
        inverse = 1.0 / self.divisor
        return sign * inverse * (1.0 + self.iou), inverse * self.iou

    def gradients(
        self,
        sign: float,
        inner: Array,
        area: Array,
        outer: Array | None = None,
        offset: Array | None = None,
        shape: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:
        """Each box's gradient, (N, 4).

        inner, area: the derivative in the area of the intersection, and of either box. outer, shape: in the extents
        of the enclosing box, and of each box. offset: in the centres' offset. An extent is right edge - left edge:
        sign = -1 says so; sign = 1, with derivatives made positive, adds up sizes.
        """
        through = inner * self.inner[::-1]
        first, second = area * self.extent1[::-1], area * self.extent2[::-1]
        if shape is not None:
            first += shape[0]
            second += shape[1]
        grad1, grad2 = np.empty_like(self.b1), np.empty_like(self.b2)
        # The share of box 1 in an edge of the intersection, 1/2 where the edges coincide. Of the enclosing
        # box's edge it is the rest.
        left = np.heaviside(self.b1[:2] - self.b2[:2], 0.5)
        right = np.heaviside(self.b2[2:] - self.b1[2:], 0.5)
        for share, edge, to1, to2 in ((left, sign, grad1[:2], grad2[:2]), (right, 1.0, grad1[2:], grad2[2:])):
            np.multiply(share, through, out=to1)
            np.subtract(through, to1, out=to2)
            to1 += first
            to2 += second
            if outer is not None:
                share *= outer
                to2 += share
                to1 += np.subtract(outer, share, out=share)
            to1 *= edge
            to2 *= edge
            if offset is not None:
                to1 += offset
                to2 += sign * offset
        return (grad1 * self.unit).T, (grad2 * self.unit).T


def _terms(boxes1: Array, boxes2: Array, eps: float, rule: Callable[[_Pair, float], _Rows]) -> Terms:
    """The terms of a loss whose rows `rule` computes."""
    shape = _rows(boxes1, boxes2)
    columns = [np.broadcast_to(boxes, (*shape, 4)).reshape(-1, 4) for boxes in (boxes1, boxes2)]
    value, slope1, slope2 = in_blocks(lambda b1, b2: rule(_Pair(b1, b2, eps), -1.0), *columns)

    def pullback(g: Array | float) -> Gradients:
        g = g.reshape(-1, 1) if isinstance(g, np.ndarray) else g
        return {"boxes1": (slope1 * g).reshape(*shape, 4), "boxes2": (slope2 * g).reshape(*shape, 4)}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        size, size1, size2 = in_blocks(lambda b1, b2: rule(_Pair(b1, b2, eps), 1.0), *columns)
        beyond = (size - np.abs(value)).reshape(shape) * g
        g = g.reshape(-1, 1) if isinstance(g, np.ndarray) else g
        return beyond, {"boxes1": (size1 * g).reshape(*shape, 4), "boxes2": (size2 * g).reshape(*shape, 4)}

    return Terms(value.reshape(shape), pullback, scale)


def _rows(boxes1: Array, boxes2: Array) -> tuple[int, ...]:
    for name, boxes in (("boxes1", boxes1), ("boxes2", boxes2)):
        if boxes.ndim == 0 or boxes.shape[-1] != 4:
            raise ValueError(f"{name} must hold x1, y1, x2, y2 along its last axis; its shape is {boxes.shape}")
        inverted = boxes[..., 2:] < boxes[..., :2]
        if inverted.any():
            box = boxes[inverted.any(axis=-1)][0]
            raise ValueError(f"{name} must have x1 <= x2 and y1 <= y2; it holds {box.tolist()}")
    try:
        return np.broadcast_shapes(boxes1.shape[:-1], boxes2.shape[:-1])
    except ValueError:
        raise ValueError(
            f"boxes1 and boxes2 are compared row by row; their shapes are {boxes1.shape} and {boxes2.shape}"
        ) from None


@loss(_BOXES)
def iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Terms:
    """One minus intersection over union.

    Shapes: boxes1, boxes2 (..., 4) as x1, y1, x2, y2, leading axes broadcast; the terms have the leading shape.
    Domain: x1 <= x2, y1 <= y2, else ValueError; eps >= 0. Two boxes without area: iou is 0, the loss 1.
    Kinks: coinciding edges share the derivative half and half; boxes that only touch get none from I.
    Source: Yu et al., UnitBox, https://arxiv.org/abs/1608.01471, with 1 - iou for -log iou, as in
    Rezatofighi et al., https://arxiv.org/abs/1902.09630; eps where torchvision.ops has it.
    """
    # l = 1 - I / (U + eps);  I, U: areas of intersection and union, U = A1 + A2 - I
    # dl = -(1 + iou) / (U + eps) dI + iou / (U + eps) (dA1 + dA2)

    def rows(pair: _Pair, sign: float) -> _Rows:
        return 1.0 + sign * pair.iou, *pair.gradients(sign, *pair.of_iou(sign))

    return _terms(boxes1, boxes2, eps, rows)


@loss(_BOXES)
def generalized_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Terms:
    """One minus the generalized IoU: also the share of the enclosing box that is in neither box.

    Shapes, domain and kinks: as iou_loss. Two boxes without area in an enclosing box without area: the loss is 1.
    Source: Rezatofighi et al., https://arxiv.org/abs/1902.09630; torchvision.ops.generalized_box_iou_loss.
    """
    # l = 1 - I / (U + eps) + (C - U) / (C + eps);  C: area of the enclosing box
    # dl = (dl of iou_loss) - (dA1 + dA2 - dI) / (C + eps) + (U + eps) / (C + eps)^2 dC

    def rows(pair: _Pair, sign: float) -> _Rows:
        outer = pair.outer()
        area = outer[0] * outer[1]
        divisor = pair.plus_eps(area)
        inner, own = pair.of_iou(sign)
        inverse = np.where(area + pair.eps > 0.0, 1.0 / divisor, 0.0)  # 0 / 0 is 0, and so is its derivative
        inner += inverse
        own += sign * inverse
        empty = (area + sign * pair.union) / divisor
        # As 1 - empty, (U + eps) / (C + eps) would be a difference: that is its natural scale.
        rest = 1.0 + empty if sign > 0.0 else (pair.union + pair.eps) / divisor
        return 1.0 + sign * pair.iou + empty, *pair.gradients(sign, inner, own, rest / divisor * outer[::-1])

    return _terms(boxes1, boxes2, eps, rows)


def _distance(pair: _Pair, sign: float) -> tuple[Array, Array, Array]:
    """DIoU's penalty, and its derivatives in the enclosing box's extent and in the centres' offset."""
    # rho^2 / c^2;  rho: distance of the centres, c^2 = cw^2 + ch^2 + eps: the enclosing box's diagonal
    # d = (2 rho drho - 2 (rho^2 / c^2) (cw dcw + ch dch)) / c^2, where each coordinate moves its centre by half
    outer, offset = pair.outer(), pair.offset()
    inverse = 1.0 / pair.plus_eps(outer[0] * outer[0] + outer[1] * outer[1])
    penalty = (offset[0] * offset[0] + offset[1] * offset[1]) * inverse
    if sign > 0.0:
        offset = np.abs(offset)
    return penalty, 2.0 * sign * penalty * inverse * outer, inverse * offset


@loss(_BOXES)
def distance_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Terms:
    """One minus IoU, plus the squared distance of the centres relative to the enclosing box's diagonal.

    Shapes, domain and kinks: as iou_loss. Two boxes that are the same point: the loss is 1.
    Source: Zheng et al., https://arxiv.org/abs/1911.08287; torchvision.ops.distance_box_iou_loss.
    """
    # l = 1 - I / (U + eps) + rho^2 / (c^2 + eps);  rho: distance of the centres, c: the enclosing box's diagonal
    # dl = (dl of iou_loss) + (2 rho drho - 2 rho^2 / (c^2 + eps) c dc) / (c^2 + eps)

    def rows(pair: _Pair, sign: float) -> _Rows:
        penalty, of_outer, of_offset = _distance(pair, sign)
        value = 1.0 + sign * pair.iou + penalty
        return value, *pair.gradients(sign, *pair.of_iou(sign), of_outer, of_offset)

    return _terms(boxes1, boxes2, eps, rows)


@loss({**_BOXES, "distance_eps": Number(minimum=0.0, optional=True)})
def complete_box_iou_loss(
    boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7, *, distance_eps: float | None = None
) -> Terms:
    """distance_box_iou_loss plus the difference of the boxes' aspect ratios, weighted by a trade-off.

    Shapes, domain and kinks: as iou_loss. The trade-off alpha carries no gradient (the paper's rule). A box with
    neither width nor height has no aspect ratio: v is 0 in its row.
    Dialect: distance_eps, the eps of the DIoU part. torchvision hands its eps to alpha alone and leaves 1e-7 there.
    Source: Zheng et al., https://arxiv.org/abs/1911.08287; torchvision.ops.complete_box_iou_loss.
    """
    # l = (DIoU loss) + alpha v;  v = 4 / pi^2 t^2,  t = atan(w2 / h2) - atan(w1 / h1),  alpha = v / (1 - iou + v + eps)
    # dl = (dl of the DIoU loss) + alpha 8 / pi^2 t dt;  dt = (w1 dh1 - h1 dw1) / (w1^2 + h1^2) - (the same of box 2)

    def rows(pair: _Pair, sign: float) -> _Rows:
        penalty, of_outer, of_offset = _distance(pair, sign)
        (w1, h1), turn1 = _aspect(pair.extent1)
        (w2, h2), turn2 = _aspect(pair.extent2)
        t = np.arctan2(w2 * h1 - w1 * h2, w1 * w2 + h1 * h2)  # the angle between the diagonals
        v = 4.0 / math.pi**2 * t * t
        divisor = np.maximum(1.0 - pair.iou, 0.0) + v + eps
        divisor += divisor == 0.0
        alpha = v / divisor
        value = 1.0 + sign * pair.iou + penalty + alpha * v
        if sign > 0.0:  # t is a difference of two angles of up to pi / 2
            value += 8.0 / math.pi * alpha * np.abs(t)
            t = np.abs(t) * (1.0 + 1.0 / divisor) + 3.0 * math.pi
        turn1 *= 8.0 / math.pi**2 * alpha * t
        turn2 *= 8.0 / math.pi**2 * alpha * t
        turn1[0] *= sign
        turn2[1] *= sign
        return value, *pair.gradients(sign, *pair.of_iou(sign), of_outer, of_offset, (turn1, turn2))

    return _terms(boxes1, boxes2, eps if distance_eps is None else distance_eps, rows)


def _aspect(extent: Array) -> tuple[Array, Array]:
    """Width and height relative to the longer one, and the size of the angle's derivative in width and height."""
    # d atan(w / h) = (h dw - w dh) / (w^2 + h^2)
    longer = extent.max(axis=0)
    longer += longer == 0.0
    relative = extent / longer
    size = np.maximum(relative[0] * relative[0] + relative[1] * relative[1], 1.0)  # 1 to 2, but 0 for a point
    return relative, relative[::-1] / (size * longer)


# The textbook forms: areas of boxes, of their intersection and of the smallest box around both.


class Boxes:
    """Two boxes as operands: extents of each, of the intersection, of the enclosing box; areas."""

    def __init__(self, boxes1: Operand, boxes2: Operand) -> None:
        x1, y1, x2, y2 = (boxes1[..., i] for i in range(4))
        u1, v1, u2, v2 = (boxes2[..., i] for i in range(4))
        self.extent1, self.extent2 = (x2 - x1, y2 - y1), (u2 - u1, v2 - v1)
        self.outer = maximum(x2, u2) - minimum(x1, u1), maximum(y2, v2) - minimum(y1, v1)
        self.offset = 0.5 * (x1 + x2) - 0.5 * (u1 + u2), 0.5 * (y1 + y2) - 0.5 * (v1 + v2)
        w, h = minimum(x2, u2) - maximum(x1, u1), minimum(y2, v2) - maximum(y1, v1)
        self.intersection = where(((w > 0.0) & (h > 0.0)).kink(), w * h, 0.0)
        areas = self.extent1[0] * self.extent1[1] + self.extent2[0] * self.extent2[1]
        self.union = areas - self.intersection

    def iou(self, eps: float) -> Operand:
        """I / (U + eps)."""
        return over(self.intersection, self.union + eps)

    def distance(self, eps: float) -> Operand:
        """The squared distance of the centres over the enclosing box's squared diagonal + eps."""
        (dx, dy), (width, height) = self.offset, self.outer
        return over(dx * dx + dy * dy, width * width + height * height + eps)


def over(part: Operand, whole: Operand) -> Operand:
    """part / whole, and 0 where both are 0."""
    return where(whole > 0.0, part / whole, 0.0)


@textbook(iou_loss)
def iou_textbook(boxes1: Operand, boxes2: Operand, eps: float) -> Operand:
    """1 - I / (U + eps)."""
    return 1.0 - Boxes(boxes1, boxes2).iou(eps)


@textbook(generalized_box_iou_loss)
def generalized_box_iou_textbook(boxes1: Operand, boxes2: Operand, eps: float) -> Operand:
    """1 - IoU + (1 - (U + eps) / (C + eps)): in C - U the slope of C would cancel where U is small."""
    boxes = Boxes(boxes1, boxes2)
    area = boxes.outer[0] * boxes.outer[1] + eps
    return 1.0 - boxes.iou(eps) + where(area > 0.0, 1.0 - (boxes.union + eps) / area, 0.0)


@textbook(distance_box_iou_loss)
def distance_box_iou_textbook(boxes1: Operand, boxes2: Operand, eps: float) -> Operand:
    """1 - IoU + rho^2 / (c^2 + eps)."""
    boxes = Boxes(boxes1, boxes2)
    return 1.0 - boxes.iou(eps) + boxes.distance(eps)


@textbook(complete_box_iou_loss)
def complete_box_iou_textbook(boxes1: Operand, boxes2: Operand, eps: float, distance_eps: float | None) -> Operand:
    """DIoU loss + alpha v, v = (2 / pi (atan(w2 / h2) - atan(w1 / h1)))^2, alpha = v / (1 - IoU + v + eps)."""
    boxes = Boxes(boxes1, boxes2)
    first = eps if distance_eps is None else distance_eps
    iou = boxes.iou(first)
    (w1, h1), (w2, h2) = boxes.extent1, boxes.extent2
    pi = 4.0 * atan(boxes1.lift(1.0))  # the arithmetic's own
    turn = 2.0 / pi * (_angle(w2, h2, pi) - _angle(w1, h1, pi))
    v = where((w1 + h1 > 0.0) & (w2 + h2 > 0.0), turn * turn, 0.0)
    trade_off = constant(over(v, 1.0 - iou + v + eps))
    return 1.0 - iou + boxes.distance(first) + trade_off * v


def _angle(w: Operand, h: Operand, pi: Operand) -> Operand:
    """atan(w / h), which is pi / 2 at h = 0."""
    return where(w > h, 0.5 * pi - atan(h / w), atan(w / h))
