"""What to certify of regression, segmentation and the distribution focal loss: exact terms, and where to look."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from certify.numbers import REAL, UNIT, WEIGHTS, Rng, both, each, logits, positives, rows, some
from certify.search import Point, Subject
from exact import Dual, exp, log1p, mp, total

from lossparity import reference

# The definitions


def l1(input: Any, target: Any, weight: Any = 1) -> Any:
    return weight * each(lambda d: abs(d))(input - target)


def mse(input: Any, target: Any, weight: Any = 1) -> Any:
    return weight * (input - target) ** 2


def smooth_l1(input: Any, target: Any, beta: Any = 1.0) -> Any:
    def term(d: Any) -> Any:
        return d * d / (2 * beta) if abs(d) < beta else abs(d) - mp.mpf(beta) / 2

    return each(term)(input - target)


def huber(input: Any, target: Any, delta: Any = 1.0, weight: Any = 1) -> Any:
    def term(d: Any) -> Any:
        return d * d / 2 if abs(d) <= delta else delta * (abs(d) - mp.mpf(delta) / 2)

    return weight * each(term)(input - target)


def dice(input: Any, target: Any, axis: Any = None, smooth: Any = 1e-7, smooth_numerator: Any = None) -> Any:
    smooth = mp.mpf(smooth)
    above = smooth if smooth_numerator is None else smooth_numerator

    def region(x: Any, y: Any) -> Any:
        return 1 - (2 * total(x * y) + above) / (total(x) + total(y) + smooth)

    if axis is None:
        return region(input.ravel(), target.ravel())
    x, y = (np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis]) for array in (input, target))
    return np.array([region(a, b) for a, b in zip(x, y, strict=True)])


def distribution_focal(input: Any, target: Any) -> Any:
    """At a whole number the bins are those to its right; at the last bin to its left."""

    def term(x: Any, y: Any) -> Any:
        left = min(int(mp.floor(y.value)), len(x) - 2)
        return (left + 1 - y) * entropy(x, left) + (y - left) * entropy(x, left + 1)

    def entropy(x: Any, k: int) -> Any:
        return log_of_sum(np.delete(x, k) - x[k])

    return np.array([term(x, y) for x, y in zip(input, target, strict=True)])


def log_of_sum(z: Any) -> Any:
    """log(1 + sum e^z)."""
    top = max(each.value for each in z)
    if top <= 0:
        return log1p(total(exp(each) for each in z))
    return top + log1p(exp(Dual(-top)) + total(exp(each - top) for each in z) - 1)


# The regimes


def pair(rng: Rng, draw: Any) -> Point:
    x = draw(rng, 1)
    return {"input": x, "target": draw(rng, 1) if rng.uniform() < 0.7 else x * (1.0 + 2.0 ** -rng.integers(1, 53))}


def weighed(rng: Rng, draw: Any) -> Point:
    return {**pair(rng, draw), **some(rng, 0.3, {"weight": positives(rng, 1)})}


def width(name: str, weights: bool) -> Any:
    def point(rng: Rng, draw: Any) -> Point:
        options = {name: float(rng.choice([0.0, 0.1, 0.5, 1.0, 3.0, 10.0 ** rng.uniform(-6, 3)]))}
        return {**(weighed if weights else pair)(rng, draw), **options}

    return point


def regions(rng: Rng, draw: Any) -> Point:
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    target = draw(rng, *shape) if rng.uniform() < 0.5 else rng.integers(0, 2, shape).astype(float)
    axis = [None, 0, 1][rng.integers(3)]
    smooth = float(rng.choice([1e-7, 0.0, 1.0, 10.0 ** rng.uniform(-8, 1)]))
    return {"input": draw(rng, *shape), "target": target, "axis": axis, "smooth": smooth,
            **some(rng, 0.3, {"smooth_numerator": float(rng.choice([0.0, 1e-7, 1.0]))})}  # fmt: skip


def bins(rng: Rng) -> Point:
    count = int(rng.integers(2, 6))
    target = rng.uniform(0, count - 1, 1) if rng.uniform() < 0.7 else rng.integers(0, count, 1).astype(float)
    return {"input": logits(rng, 1, count), "target": target}


SUBJECTS = [
    Subject(reference.l1_loss, l1, both(weighed, REAL), domain=WEIGHTS),
    Subject(reference.mse_loss, mse, both(weighed, REAL), domain=WEIGHTS),
    Subject(reference.smooth_l1_loss, smooth_l1, both(width("beta", False), REAL)),
    Subject(reference.huber_loss, huber, both(width("delta", True), REAL), domain=WEIGHTS),
    Subject(reference.dice_loss, dice, both(regions, UNIT), domain=dict.fromkeys(("input", "target"), (0.0, 1.0))),
    Subject(reference.distribution_focal_loss, distribution_focal, rows(bins), domain={"target": (0.0, math.inf)}),
]
