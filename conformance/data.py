"""Recipes for a case's arrays: what a row of the case table says instead of numbers.

The same seed gives the same bits on every machine and with every NumPy: only the bit stream of PCG64 (which NumPy
guarantees) and exactly rounded operations are used, never a distribution of NumPy's or a function of libm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from lossparity.reference.core import Array

Draw: TypeAlias = Callable[["Stream"], Array]


class Stream:
    """Random numbers that depend on the seed and the words alone."""

    def __init__(self, seed: int, *words: str) -> None:
        digest = hashlib.sha256("/".join([str(seed), *words]).encode()).digest()
        self.key = int.from_bytes(digest[:16], "little")
        self._bits = np.random.PCG64(self.key)

    def units(self, shape: tuple[int, ...]) -> Array:
        """Multiples of 2^-24 in (0, 1): exact in float32, so rounding an input to it changes nothing much."""
        raw: Array = self._bits.random_raw(int(np.prod(shape, dtype=np.int64))).reshape(shape)
        return ((raw >> np.uint64(41)) * 2.0 + 1.0) * 2.0**-24

    def integers(self, shape: tuple[int, ...], count: int) -> Array:
        """Whole numbers in [0, count)."""
        raw: Array = self._bits.random_raw(int(np.prod(shape, dtype=np.int64))).reshape(shape)
        return ((raw >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True)
class Recipe:
    """How to make one array. `integer` arrays keep int64; the others are rounded to the dtype under test.

    written: the same in NumPy, of the stream's first bits {bits}, for a program in which the digits would be too many.
    """

    draw: Draw
    integer: bool = False
    strided: bool = False
    written: str = ""


def given(values: Any) -> Recipe:
    """These numbers."""
    array = np.asarray(values)
    return Recipe(lambda _: array, integer=array.dtype.kind in "iub" and array.size > 0)


def reals(*shape: int, low: float = -4.0, high: float = 4.0) -> Recipe:
    """Uniform in (low, high)."""
    return Recipe(
        lambda stream: low + (high - low) * stream.units(shape),
        written=f"{low!r} + {high - low!r} * ((({{bits}} >> np.uint64(41)) * 2.0 + 1.0) * 2.0**-24)",
    )


def scores(*shape: int, near: int = 2, within: float = 0.5) -> Recipe:
    """Uniform in (-4, 4), the first `near` of them in (-within, within): not beyond a margin, whatever the targets."""

    def draw(stream: Stream) -> Array:
        drawn = -4.0 + 8.0 * stream.units(shape)
        drawn.reshape(-1)[:near] *= within / 4.0
        return drawn

    return Recipe(draw)


def positives(*shape: int, low: float = 0.25, high: float = 2.0) -> Recipe:
    """Uniform in (low, high), for weights."""
    return reals(*shape, low=low, high=high)


def units(*shape: int) -> Recipe:
    """Probabilities, away from 0 and 1."""
    return reals(*shape, low=0.03125, high=0.96875)


def bits(*shape: int) -> Recipe:
    """Targets of 0.0 and 1.0; both occur where there is room."""
    return Recipe(lambda stream: _mixed(stream, shape, 2).astype(np.float64))


def signs(*shape: int) -> Recipe:
    """Targets of -1.0 and 1.0; both occur where there is room."""
    return Recipe(lambda stream: 2.0 * _mixed(stream, shape, 2) - 1.0)


def labels(*shape: int, classes: int, mark: int | None = None) -> Recipe:
    """Class indices. About every third, the last among them, is `mark` where one is given; the others are not it.

    The first two labels differ and are not marked, so that a weight per class can be told from none.
    """
    allowed = np.array([c for c in range(classes) if c != mark])

    def draw(stream: Stream) -> Array:
        drawn: Array = allowed[_mixed(stream, shape, len(allowed))]
        if mark is None:
            return drawn
        marked = (stream.integers(shape, 3) == 0).reshape(-1)
        marked[:2] = False
        marked[-1:] = True
        drawn[marked.reshape(shape)] = mark
        return drawn

    return Recipe(draw, integer=True)


def simplex(*shape: int, axis: int = 1) -> Recipe:
    """Probabilities along `axis`, multiples of 2^-7, none 0: their sum is exactly 1 in every dtype."""

    def draw(stream: Stream) -> Array:
        classes = shape[axis]
        rest = (*shape[:axis], *shape[axis:][1:])
        cuts = np.stack([stream.integers(rest, 128 - classes + 1) for _ in range(classes - 1)]) if classes > 1 else None
        edges = [np.zeros((1, *rest)), np.full((1, *rest), 128.0 - classes)]
        ends = np.concatenate([edges[0], np.sort(cuts, axis=0), edges[1]] if cuts is not None else edges)
        return np.moveaxis((np.diff(ends, axis=0) + 1.0) / 128.0, 0, axis)

    return Recipe(draw)


def one_hot(*shape: int, axis: int = 1) -> Recipe:
    """One 1.0 along `axis`, the rest 0.0."""

    def draw(stream: Stream) -> Array:
        rest = (*shape[:axis], *shape[axis:][1:])
        chosen = np.expand_dims(_mixed(stream, rest, shape[axis]), axis)
        index = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return np.asarray(chosen == index, dtype=np.float64)

    return Recipe(draw)


def boxes(*shape: int, low: float = 0.0, high: float = 8.0) -> Recipe:
    """Boxes xyxy with 0.5 <= width, height <= 4.5; the first two of two draws overlap, the others often."""

    def draw(stream: Stream) -> Array:
        way = stream.units((*shape, 2))
        way[0] *= min(1.0, 0.5 / (high - low))  # its corner lies within 0.25 of `low`, and the box is longer than that
        corner = low + (high - low) * 0.5 * way
        return np.concatenate([corner, corner + 0.5 + 4.0 * stream.units((*shape, 2))], axis=-1)

    return Recipe(draw)


def strided(recipe: Recipe) -> Recipe:
    """The same numbers in an array that is not contiguous: every second element of a longer last axis."""
    return Recipe(recipe.draw, recipe.integer, True, recipe.written)


def lay_out(array: Array, is_strided: bool, dtype: Any) -> Array:
    """A copy of `array` in `dtype`, contiguous or with a gap behind every element."""
    if not is_strided or array.ndim == 0:
        return array.astype(dtype, order="C")
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def _mixed(stream: Stream, shape: tuple[int, ...], count: int) -> Array:
    """Whole numbers in [0, count), the first two of them different where there are two."""
    drawn = stream.integers(shape, count).reshape(-1)
    if drawn.size > 1 and count > 1 and drawn[0] == drawn[1]:
        drawn[1] = (drawn[0] + 1) % count
    return drawn.reshape(shape)
