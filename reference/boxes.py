"""Losses of pairs of boxes. A box is x1, y1, x2, y2 along the last axis; the loss is per pair.

Nothing that matters is the difference of two areas. Along each axis a pair of boxes is made of lengths that are added:
the overlap, what either box has beyond it, and the gap where there is none. What the union has beside the intersection,
and the enclosing box beside the union, are sums of products of those.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from lossparity.reference.arithmetic import Operand, atan, constant, maximum, minimum, where
from lossparity.reference.blocks import in_blocks
from lossparity.reference.core import Argument, Array, Gradients, Number, Real, Terms, loss, textbook
from lossparity.reference.elementary import difference
from lossparity.reference.twofold import Twofold

_BOXES: dict[str, Argument] = {
    "boxes1": Real(differentiable=True),
    "boxes2": Real(differentiable=True),
    "eps": Number(minimum=0.0),
}
_HUGE = 2.0**500  # a larger extent overflows when it is squared

_Rows: TypeAlias = tuple[Array, Array, Array]
# The derivative, (2, N), in the place of the left and the top, or of the right and the bottom edge (0 or 1) of box 0 or
# 1, which moves outwards: slope(box, edge, share). `share` is the box's part in that edge of the intersection: 0 or 1,
# 1/2 where the edges coincide. In the enclosing box's edge it has the rest.
_Slope: TypeAlias = Callable[[int, int, Array], Array]


class _Pair:
    """N pairs of boxes: arrays of N numbers, or (2, N) for an extent (width, height).

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
        apart = b1 - b2
        self.shares = np.heaviside(apart[:2], 0.5), np.heaviside(-apart[2:], 0.5)  # of box 1, in low and high edges
        self.extents = b1[2:] - b1[:2], b2[2:] - b2[:2]
        self.outer = np.maximum(b1[2:], b2[2:]) - np.minimum(b1[:2], b2[:2])
        reach = np.minimum(b1[2:], b2[2:]) - np.maximum(b1[:2], b2[:2])
        self.overlap, self.gap = np.maximum(reach, 0.0), np.maximum(-reach, 0.0)
        less, more = np.maximum(-apart, 0.0), np.maximum(apart, 0.0)
        self.sticks_out = (less[:2], more[2:]), (more[:2], less[2:])  # of either box: beyond each edge of the other
        self.reach = reach
        self.beyond = tuple(
            np.where(reach > 0.0, low + high, extent)
            for (low, high), extent in zip(self.sticks_out, self.extents, strict=True)
        )
        self.intersection = self.overlap[0] * self.overlap[1]
        # A - I of each box: what it has beyond in width, times its height; then the overlap, times what is left
        self.outside = sum(
            beyond[0] * extent[1] + self.overlap[0] * beyond[1]
            for beyond, extent in zip(self.beyond, self.extents, strict=True)
        )
        self.union = self.outside + self.intersection
        self.meet = self.intersection > 0.0

    def plus_eps(self, size: Array) -> Array:
        """size + eps to divide by; 1 where that is 0, so that 0 / 0 is 0: its limit as eps goes to 0."""
        divisor: Array = size + self.eps
        if not divisor.all():
            divisor[divisor == 0.0] = 1.0
        return divisor

    def iou_loss(self) -> tuple[Array, _Slope]:
        """1 - I / (U + eps), and its slope."""
        # l = (U - I + eps) / (U + eps)
        # dl/dw = i ((1 - share) v h - share (o h + A + eps)) / (U + eps)^2,  i, v: height, width of the intersection
        #         w = v + o, h: width, height of the box;  A: area of the other one
        # For a share of 1/2 the intersection, which both parts have, is left out.
        divisor = self.plus_eps(self.union)
        value = np.where(self.union + self.eps == 0.0, 1.0, (self.outside + self.eps) / divisor)
        through = (self.overlap[::-1] * self.meet) / divisor

        def slope(box: int, _: int, share: Array) -> Array:
            own, other = self.beyond[box], self.beyond[1 - box]
            height, height_of_other = self.extents[box][::-1], self.extents[1 - box][::-1]
            gained, lost = self.overlap * height, own * height + self.eps
            area = self.extents[1 - box][0] * self.extents[1 - box][1]
            half = self.overlap * own[::-1] - (lost + other * height_of_other + self.overlap * other[::-1])
            part = np.where(share == 0.5, 0.5 * half, np.where(share == 1.0, -(lost + area), gained))
            found: Array = through * part / divisor
            return found

        return value, slope

    def empty(self) -> tuple[Array, _Slope]:
        """(C - U) / (C + eps), and its slope."""
        # C - U: corners that neither box has, and the gap between them
        # de/dw = ((1 - share) c (U + eps) / (C + eps) - h + share i) / (C + eps),  c, h, i: height of the enclosing
        #         box, of the box and of the intersection; c = h + more: what the other box has beyond, or the gap
        #       = ((1 - share) (c (U - width h) + eps more) / (C + eps) - share (h - i)) / (C + eps)
        #         U - width h: what the other box has above and below, less the rest of the row that it is in
        (w1, h1), (w2, h2), (x, y), (width, height) = *self.beyond, self.gap, self.outer
        area = width * height
        divisor = self.plus_eps(area)
        inverse = np.where(area + self.eps > 0.0, 1.0 / divisor, 0.0)  # 0 / 0 is 0, and so is its derivative
        empty = (w1 * h2 + w2 * h1 + x * height + y * (w1 + w2 + self.overlap[0])) / divisor

        def slope(box: int, _: int, share: Array) -> Array:
            own, other = self.beyond[box], self.beyond[1 - box]
            rest = self.extents[1 - box] * other[::-1] - (other * own[::-1] + self.gap * self.extents[box][::-1])
            of_outer = self.outer[::-1] * (rest * inverse) + (other + self.gap)[::-1] * (self.eps * inverse)
            kept = np.where(self.meet, own, self.extents[box])[::-1]
            found: Array = ((1.0 - share) * of_outer - share * kept) * inverse
            return found

        return empty, slope

    def distance(self) -> tuple[Array, _Slope]:
        """DIoU's penalty, and its slope."""
        # rho^2 / D;  rho = (u, v): the way between the centres;  D = c^2 + d^2 + eps, of the enclosing box's diagonal
        # An edge moves its centre by half. With u positive where the box's edge leads, and s = 1 - share,
        # d = (u D - 2 s (u^2 + v^2) c) / D^2 = (u (d^2 + eps) - 2 s c v^2 + u c (c - 2 s u)) / D^2
        # c - 2 u, where the box has the enclosing box's edge, is the overlap (less than 0: the gap) and twice what
        # the box has beyond the other one's opposite edge; d - 2 |v| likewise, so that, where c - 2 u is small, s = 1:
        # d = ((c - 2 u) (c^2 - d^2 - c (c - 2 u)) / 2 + c (d - 2 |v|) (d + 2 |v|) / 2 + u eps) / D^2
        moved, lost = difference(self.b1, self.b2)
        twice, lost_again = difference(moved[:2], -moved[2:])
        offset = 0.5 * (twice + (lost_again + lost[:2] + lost[2:]))
        c, d = self.outer, self.outer[::-1]
        diagonal = self.plus_eps(c[0] * c[0] + c[1] * c[1])
        square = offset * offset / diagonal
        less = self.reach + 2.0 * sum(np.minimum(low, high) for low, high in self.sticks_out)  # d - 2 |v|
        of_less = 0.5 * c * (less / diagonal * (self.outer + 2.0 * np.abs(offset)))[::-1]

        def slope(box: int, edge: int, share: Array) -> Array:
            u, s = (offset if box != edge else -offset), 1.0 - share
            left = np.where(s == 1.0, self.reach + 2.0 * self.sticks_out[box][1 - edge], c - 2.0 * s * u)
            plain = u * (d * d / diagonal) - 2.0 * s * c * square[::-1] + u * (c / diagonal * left)
            close = 0.5 * left * (((c - d) * (c + d) - c * left) / diagonal) + of_less
            found: Array = np.where((s == 1.0) & (left < 0.5 * c), close, plain) + u * (self.eps / diagonal)
            return found / diagonal

        return square[0] + square[1], slope

    def gradients(self, *slopes: _Slope) -> tuple[Array, Array]:
        """Each box's gradient, (N, 4), from the slopes of the terms."""

        def of_box(box: int, shares: tuple[Array, Array]) -> Array:
            low, high = (sum(slope(box, edge, share) for slope in slopes) for edge, share in enumerate(shares))
            gradient: Array = np.concatenate([-low, high]) * self.unit
            return gradient.T

        low, high = self.shares
        return of_box(0, (low, high)), of_box(1, (1.0 - low, 1.0 - high))


def _terms(boxes1: Array, boxes2: Array, eps: float, rule: Callable[[_Pair], _Rows]) -> Terms:
    """The terms of a loss whose rows `rule` computes."""
    shape = _rows(boxes1, boxes2)
    columns = [np.broadcast_to(boxes, (*shape, 4)).reshape(-1, 4) for boxes in (boxes1, boxes2)]
    value, slope1, slope2 = in_blocks(lambda b1, b2: rule(_Pair(b1, b2, eps)), *columns)

    def pullback(g: Array | float) -> Gradients:
        g = g.reshape(-1, 1) if isinstance(g, np.ndarray) else g
        return {"boxes1": (slope1 * g).reshape(*shape, 4), "boxes2": (slope2 * g).reshape(*shape, 4)}

    return Terms(value.reshape(shape), pullback)


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

    def rows(pair: _Pair) -> _Rows:
        value, slope = pair.iou_loss()
        return value, *pair.gradients(slope)

    return _terms(boxes1, boxes2, eps, rows)


@loss(_BOXES)
def generalized_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Terms:
    """One minus the generalized IoU: also the share of the enclosing box that is in neither box.

    Shapes, domain and kinks: as iou_loss. Two boxes without area in an enclosing box without area: the loss is 1.
    Source: Rezatofighi et al., https://arxiv.org/abs/1902.09630; torchvision.ops.generalized_box_iou_loss.
    """
    # l = 1 - I / (U + eps) + (C - U) / (C + eps);  C: area of the enclosing box
    # dl = (dl of iou_loss) - (dA1 + dA2 - dI) / (C + eps) + (U + eps) / (C + eps)^2 dC

    def rows(pair: _Pair) -> _Rows:
        value, of_union = pair.iou_loss()
        empty, of_outer = pair.empty()
        return value + empty, *pair.gradients(of_union, of_outer)

    return _terms(boxes1, boxes2, eps, rows)


@loss(_BOXES)
def distance_box_iou_loss(boxes1: Any, boxes2: Any, reduction: str = "none", eps: float = 1e-7) -> Terms:
    """One minus IoU, plus the squared distance of the centres relative to the enclosing box's diagonal.

    Shapes, domain and kinks: as iou_loss. Two boxes that are the same point: the loss is 1.
    Source: Zheng et al., https://arxiv.org/abs/1911.08287; torchvision.ops.distance_box_iou_loss.
    """
    # l = 1 - I / (U + eps) + rho^2 / (c^2 + eps);  rho: distance of the centres, c: the enclosing box's diagonal
    # dl = (dl of iou_loss) + (2 rho drho - 2 rho^2 / (c^2 + eps) c dc) / (c^2 + eps)

    def rows(pair: _Pair) -> _Rows:
        value, of_union = pair.iou_loss()
        penalty, of_distance = pair.distance()
        return value + penalty, *pair.gradients(of_union, of_distance)

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

    def rows(pair: _Pair) -> _Rows:
        value, of_union = pair.iou_loss()
        penalty, of_distance = pair.distance()
        (first, turn1), (second, turn2) = _aspect(pair.b1), _aspect(pair.b2)
        across = second[0].times(first[1]).minus(first[0].times(second[1])).high
        along = first[0].high * second[0].high + first[1].high * second[1].high
        t = np.arctan2(across, along)  # the angle between the diagonals
        v = 4.0 / math.pi**2 * t * t
        divisor = value + v + eps
        alpha = v / np.where(divisor == 0.0, 1.0, divisor)
        turns = tuple(8.0 / math.pi**2 * alpha * t * turn for turn in (-turn1, turn2))
        return value + penalty + alpha * v, *pair.gradients(of_union, of_distance, lambda box, *_: turns[box])

    return _terms(boxes1, boxes2, eps if distance_eps is None else distance_eps, rows)


def _aspect(box: Array) -> tuple[tuple[Twofold, Twofold], Array]:
    """Width and height relative to the longer one, and the derivative of their angle in width and height."""
    # d atan(w / h) = (h dw - w dh) / (w^2 + h^2)
    extent, lost = difference(box[2:], box[:2])
    longer = np.frexp(extent.max(axis=0))[1]
    (w, h), (w_low, h_low) = np.ldexp(extent, -longer), np.ldexp(lost, -longer)
    square = w * w + h * h
    return (Twofold(w, w_low), Twofold(h, h_low)), np.ldexp(np.stack([h, -w]) / (square + (square == 0.0)), -longer)


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
