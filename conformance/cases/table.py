"""What a row of the case table is."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossparity.conformance.data import Recipe, Stream, lay_out
from lossparity.reference.core import Array
from lossparity.reference.precision import FORMATS

DTYPES = ("float64", "float32")  # of every run; the narrow ones where they are asked for by name, and of --full
NARROW = ("float16", "bfloat16")

# What a tag says of a case. `nan`: NaN may be expected. `inert`: an option does not move the result, on purpose.
# `constant`: all terms are equal, on purpose. `error`: bad input, which the definition refuses; `dangerous`: and
# a GPU's kernel asserts on it, after which its process can do nothing more there.
TAGS = frozenset(
    {"nan", "inert", "constant", "error", "dangerous", "empty", "kink", "saturated", "worked", "strided", "broadcast"}
)


@dataclass(frozen=True, eq=False)  # one row is one object: it is a key of caches
class Case:
    """One row: a loss, a name that is unique within it, and its arguments.

    arrays: recipes by argument; options: everything else that is not left at its default.
    quick: whether the quick matrix has it: of each row of the table the first reduction and the mean.
    first: whether its reduction is the first of its row's.
    narrow: the dtypes beside `dtypes` in which its numbers still say what they are there for.
    """

    loss: str
    name: str
    arrays: Mapping[str, Recipe]
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    dtypes: tuple[str, ...] = DTYPES
    quick: bool = True
    first: bool = True
    narrow: tuple[str, ...] = NARROW

    @functools.cached_property
    def signature(self) -> Hashable:
        """What a compiled program of the call depends on: its options, and the arrays without their numbers."""
        drawn = zip(self.arrays.items(), _drawn(self, 0), strict=True)
        shapes = tuple((name, array.shape, recipe.integer, recipe.strided) for (name, recipe), array in drawn)
        return repr(sorted(self.options.items())), shapes

    def build(self, seed: int, dtype: str) -> dict[str, Any]:
        """The arguments that differ from the defaults, arrays rounded to `dtype` (integer ones are int64).

        NumPy has no bfloat16: its numbers are float32.
        """
        built: dict[str, Any] = dict(self.options)
        for (name, recipe), drawn in zip(self.arrays.items(), _drawn(self, seed), strict=True):
            rounded = drawn.astype(np.int64) if recipe.integer else FORMATS[dtype].round(drawn)
            built[name] = lay_out(rounded, recipe.strided, rounded.dtype)
        return built

    def written(self, seed: int, argument: str) -> str:
        """A NumPy expression of an array before it is rounded; "" where its recipe has none."""
        recipe, drawn = self.arrays[argument], dict(zip(self.arrays, _drawn(self, seed), strict=True))[argument]
        bits = f"np.random.PCG64({Stream(seed, self.loss, self.name, argument).key}).random_raw({drawn.size})"
        return recipe.written.format(bits=f"{bits}.reshape({drawn.shape})")

    def cotangent(self, seed: int, dtype: str, shape: tuple[int, ...]) -> Array:
        """The cotangent of a value of `shape`: size 0.5 to 2, either sign; rounded to `dtype`."""
        return FORMATS[dtype].round(_signed(self, seed, shape, "cotangent"))

    def direction(self, seed: int, dtype: str, argument: str, shape: tuple[int, ...]) -> Array:
        """The direction along which an argument's gradient is differentiated, drawn like the cotangent."""
        return FORMATS[dtype].round(_signed(self, seed, shape, "direction", argument))


# Each dtype, and each implementation of a loss, asks for the same numbers again: those of the last few thousand cases
# are kept, which is all of them unless somebody repeats the table.


@functools.lru_cache(maxsize=4096)
def _drawn(case: Case, seed: int) -> tuple[Array, ...]:
    """What the case's recipes draw, before it is rounded to a dtype."""
    return tuple(recipe.draw(Stream(seed, case.loss, case.name, name)) for name, recipe in case.arrays.items())


@functools.lru_cache(maxsize=4096)
def _signed(case: Case, seed: int, shape: tuple[int, ...], *words: str) -> Array:
    """Numbers of size 0.5 to 2, either sign."""
    stream = Stream(seed, case.loss, case.name, *words)
    size = 0.5 + 1.5 * stream.units(shape)
    signed: Array = np.where(stream.integers(shape, 2) == 1, size, -size)
    return signed


# The reductions that every framework has in some form, and those that only weights of samples tell apart.
ALL = ("none", "mean", "sum")
UNWEIGHTED = (*ALL, "sum_over_batch_size", "sum_by_nonzero_weights")
WEIGHTED = (
    "none",
    "sum",
    "sum_over_batch_size",
    "mean_with_sample_weight",
    "sum_by_nonzero_weights",
    "sum_over_nonzero_weights",
)


def rows(
    loss: str,
    name: str,
    arrays: Mapping[str, Recipe],
    options: Mapping[str, Any] | None = None,
    *,
    tags: str = "",
    reductions: tuple[str, ...] = ALL,
    dtypes: tuple[str, ...] = DTYPES,
    narrow: tuple[str, ...] = NARROW,
) -> Iterator[Case]:
    """One case for each reduction; without reductions, one case under the bare name.

    narrow: less than all where numbers leave the range of a narrow dtype, or come together in it.
    """
    words = frozenset(tags.split())
    if words - TAGS:
        raise ValueError(f"{loss} {name}: unknown tags {sorted(words - TAGS)}; there are {sorted(TAGS)}")
    narrow = narrow if dtypes == DTYPES else ()  # what only float64 holds none of them does
    if not reductions:
        yield Case(loss, name, arrays, options or {}, words, dtypes, narrow=narrow)
    for reduction in reductions:
        first, quick = reduction == reductions[0], reduction in (reductions[0], "mean")
        named = {**(options or {}), "reduction": reduction}
        yield Case(loss, f"{name}-{reduction}", arrays, named, words, dtypes, quick, first, narrow)
