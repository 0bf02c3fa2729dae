"""Kinds of random numbers to begin a search from, and regimes of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from certify.search import Point, Regime

Rng = np.random.Generator


def logits(rng: Rng, *shape: int, scale: float | None = None) -> Any:
    """Real numbers of a size between 0.01 and 100 (ordinary), or of the given one."""
    return rng.normal(size=shape) * (10.0 ** rng.uniform(-2, 2) if scale is None else scale)


def wild(rng: Rng, *shape: int) -> Any:
    """Real numbers of every size, each for itself: 1e-300 to 1e300, most of them between 1e-3 and 1e4; 0 and -0."""
    size = np.where(rng.uniform(size=shape) < 0.2, rng.uniform(-300, 300, shape), rng.uniform(-3, 4, shape))
    x = rng.choice([-1.0, 1.0], size=shape) * 10.0**size
    return np.where(rng.uniform(size=shape) < 0.05, 0.0 * x, x)


def units(rng: Rng, *shape: int) -> Any:
    return rng.uniform(0.001, 0.999, size=shape)


def wild_units(rng: Rng, *shape: int) -> Any:
    """Probabilities: near 0, near 1, near 1/2, and anywhere."""
    tiny, close = 10.0 ** rng.uniform(-300, -1, shape), 10.0 ** rng.uniform(-16, -1, shape)
    kinds = [tiny, 1.0 - close, 0.5 + 0.4 * close * rng.choice([-1, 1], shape), rng.uniform(size=shape)]
    return np.choose(rng.integers(0, 4, shape), kinds)


def positives(rng: Rng, *shape: int) -> Any:
    return rng.uniform(0.2, 2.0, size=shape)


def some(rng: Rng, chance: float, options: Point) -> Point:
    """Each of the options, with that chance."""
    return {name: value for name, value in options.items() if rng.uniform() < chance}


def signs(rng: Rng, *shape: int) -> Any:
    return rng.choice([-1.0, 1.0], size=shape)


def each(f: Any) -> Any:
    return np.frompyfunc(f, f.__code__.co_argcount, 1)


def two(ordinary: Any, hostile: Any) -> dict[str, Regime]:
    return {"ordinary": Regime(ordinary, 1e-6, 100.0), "hostile": Regime(hostile)}


def rows(ordinary: Any) -> dict[str, Regime]:
    """Losses of rows of logits: of one size, with a common offset, and wild."""

    def offset(rng: Rng) -> Point:
        point = ordinary(rng)
        return {**point, "input": point["input"] + 10.0 ** rng.uniform(2, 6)}

    def hostile(rng: Rng) -> Point:
        point = ordinary(rng)
        return {**point, "input": wild(rng, *point["input"].shape)}

    return {**two(ordinary, hostile), "offset": Regime(offset, 1e-6, 1e7)}


def both(draw: Any, *kinds: Any) -> dict[str, Regime]:
    """draw(rng, kind...) with the kinds of numbers of each regime: (logits, wild) and so on."""
    return two(*(lambda rng, kind=kind: draw(rng, *kind) for kind in zip(*kinds, strict=True)))


REAL, UNIT = (logits, wild), (units, wild_units)
WEIGHTS = {"weight": (0.0, math.inf), "pos_weight": (0.0, math.inf)}
PROBABLE = {**WEIGHTS, "target": (0.0, 1.0)}  # a cross entropy has no negative term
