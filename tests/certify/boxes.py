"""What to certify of the box losses: exact terms, and where to look."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from certify.numbers import Rng, both, some
from certify.search import Point, Subject
from exact import Dual, atan, constant, maximum, minimum, mp

from lossparity import reference

# The definitions. Coinciding edges share the derivative of max and min; boxes that only touch have none through
# their intersection; 0 / 0 is 0.


def ratio(a: Any, b: Any) -> Any:
    return Dual(0) if b.value == 0 else a / b


def angle(w: Any, h: Any) -> Any:
    """atan(w / h), as what it is next to h = 0."""
    if w.value == h.value == 0:
        return Dual(0)
    return atan(w / h) if h.value > w.value else mp.pi / 2 - atan(h / w)


def of_pair(name: str, eps: Any, distance_eps: Any, one: Any, other: Any) -> Any:
    (x1, y1, x2, y2), (u1, v1, u2, v2) = one, other
    first = mp.mpf(eps if distance_eps is None else distance_eps)
    w, h = minimum(x2, u2) - maximum(x1, u1), minimum(y2, v2) - maximum(y1, v1)
    intersection = w * h if w.value > 0 and h.value > 0 else Dual(0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - intersection
    loss = 1 - ratio(intersection, union + first)
    width, height = maximum(x2, u2) - minimum(x1, u1), maximum(y2, v2) - minimum(y1, v1)
    if name == "iou_loss":
        return loss
    if name == "generalized_box_iou_loss":
        return loss + ratio(width * height - union, width * height + first)
    dx, dy = (x1 + x2 - u1 - u2) / 2, (y1 + y2 - v1 - v2) / 2
    distant = loss + ratio(dx * dx + dy * dy, width * width + height * height + first)
    if name == "distance_box_iou_loss":
        return distant
    t = angle(u2 - u1, v2 - v1) - angle(x2 - x1, y2 - y1)
    if (x2.value == x1.value and y2.value == y1.value) or (u2.value == u1.value and v2.value == v1.value):
        t = Dual(0)
    v = t * t * (4 / mp.pi**2)
    return distant + constant(ratio(v, loss + v + mp.mpf(eps))) * v


def definition(name: str) -> Any:
    def loss(boxes1: Any, boxes2: Any, eps: Any = 1e-7, distance_eps: Any = None) -> Any:
        return np.array([of_pair(name, eps, distance_eps, *pair) for pair in zip(boxes1, boxes2, strict=True)])

    return loss


# The regimes


def box(rng: Rng, place: float, size: float) -> Any:
    corner = rng.normal(size=2) * place
    return np.concatenate([corner, corner + rng.uniform(0.0, size, 2)])


def beside(rng: Rng, one: Any) -> Any:
    """A box next to a given one: edges shared, or moved by little."""
    moved = one * (1.0 + np.where(rng.uniform(size=4) < 0.5, 0.0, rng.normal(size=4) * 2.0 ** -rng.integers(1, 53)))
    return np.concatenate([np.minimum(moved[:2], moved[2:]), np.maximum(moved[:2], moved[2:])])


def pair(rng: Rng, scale: Any) -> Point:
    size = scale(rng)
    one = box(rng, size * float(rng.choice([0.3, 1.0, 100.0])), size)
    kind = rng.integers(3)
    other = beside(rng, one) if kind == 0 else box(rng, size, size * float(rng.choice([1.0, 10.0])))
    if kind == 1:
        other = np.concatenate([one[:2], one[:2]]) + box(rng, 0.5 * size, size)
    return {"boxes1": one[None], "boxes2": other[None], "eps": float(rng.choice([1e-7, 1e-7, 0.0, 1e-3, 0.5]))}


def completed(rng: Rng, scale: Any) -> Point:
    return {**pair(rng, scale), **some(rng, 0.3, {"distance_eps": float(rng.choice([0.0, 1e-7, 1e-3]))})}


SIZES = (lambda rng: 10.0 ** rng.uniform(-2, 1.5), lambda rng: 10.0 ** rng.uniform(-60, 150))
EPS = {"eps": (0.0, math.inf), "distance_eps": (0.0, math.inf)}

SUBJECTS = [
    Subject(
        reference.LOSSES[name],
        definition(name),
        both(completed if name == "complete_box_iou_loss" else pair, SIZES),
        domain=EPS,
    )
    for name in ("iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss")
]
