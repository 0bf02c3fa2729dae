"""What the fast forms of several families compute with.

A weight or a probability of 0 leaves out what it multiplies: 0 times an infinity is 0, in every loss (0 log 0 = 0; an
element of weight 0 may overflow). NaN stays NaN.
"""

from __future__ import annotations

import math

import numpy as np

from lossparity.reference.core import Array


def has_nan(array: Array) -> bool:
    """Whether an array that was just computed holds a NaN: in one pass, since a sum of squares makes none itself."""
    return math.isnan(np.vdot(array, array))


def product(factor: Array | float, other: Array) -> Array:
    """factor * other, and 0 where `factor` is 0 and `other` infinite."""
    result: Array = factor * other
    if has_nan(result):
        result = np.where((factor == 0) & np.isinf(other), 0.0, result)
    return result


def weighted(terms: Array, weight: Array | None) -> Array:
    """terms * weight, where there is one."""
    return terms if weight is None else product(weight, terms)


def difference(a: Array | float, b: Array | float) -> tuple[Array, Array]:
    """a - b rounded, and what rounding took from it (0 where a - b is not finite): their sum is exact.

    Knuth's TwoSum, The Art of Computer Programming, volume 2, section 4.2.2, theorem B.
    """
    d = np.asarray(a - b)
    part = d - a
    lost = np.asarray((a - (d - part)) - (b + part))
    return d, np.where(np.isnan(lost), 0.0, lost) if has_nan(lost) else lost


def clip_range(clip: Array) -> tuple[float, float]:
    """The interval [c, 1 - c] for one number c, [low, high] for two."""
    if clip.shape not in ((), (2,)) or (clip.shape == () and clip > 0.5) or (clip.shape == (2,) and clip[0] > clip[1]):
        raise ValueError(f"clip must be one number c <= 0.5, or a pair low <= high; it is {clip.tolist()}")
    return (float(clip), 1.0 - float(clip)) if clip.shape == () else (float(clip[0]), float(clip[1]))
