"""The cases: one row each, data only."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossparity import reference
from lossparity.conformance.data import (
    Recipe,
    Stream,
    given,
    lay_out,
    positives,
    reals,
    strided,
)
from lossparity.reference.core import Array, Loss

DTYPES = ("float64", "float32")

# What a tag says of a case. `nan`: NaN may be expected. `inert`: an option does not move the result, on purpose.
# `constant`: all terms are equal, on purpose. `error`: bad input, which the definition refuses.
TAGS = frozenset({"nan", "inert", "constant", "error", "empty", "kink", "saturated", "worked", "strided", "broadcast"})


@dataclass(frozen=True, eq=False)  # one row is one object: it is a key of caches
class Case:
    """One row: a loss, a name that is unique within it, and its arguments.

    arrays: recipes by argument; options: everything else that is not left at its default.
    """

    loss: str
    name: str
    arrays: Mapping[str, Recipe]
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    dtypes: tuple[str, ...] = DTYPES

    def build(self, seed: int, dtype: str) -> dict[str, Any]:
        """The arguments that differ from the defaults, arrays rounded to `dtype` (integer ones are int64)."""
        built: dict[str, Any] = dict(self.options)
        for name, recipe in self.arrays.items():
            drawn = recipe.draw(Stream(seed, self.loss, self.name, name))
            array = drawn.astype(np.int64 if recipe.integer else dtype)
            built[name] = lay_out(array, recipe.strided)
        return built

    def cotangent(self, seed: int, dtype: str, shape: tuple[int, ...]) -> Array:
        """The cotangent of a value of `shape`: size 0.5 to 2, either sign; rounded to `dtype`."""
        stream = Stream(seed, self.loss, self.name, "cotangent")
        size = 0.5 + 1.5 * stream.units(shape)
        cotangent: Array = np.where(stream.integers(shape, 2) == 1, size, -size).astype(dtype)
        return cotangent


ALL = ("none", "mean", "sum")


def _rows(
    loss: str,
    name: str,
    arrays: Mapping[str, Recipe],
    options: Mapping[str, Any] | None = None,
    *,
    tags: str = "",
    reductions: tuple[str, ...] = ALL,
    dtypes: tuple[str, ...] = DTYPES,
) -> Iterator[Case]:
    """One case for each reduction; without reductions, one case under the bare name."""
    words = frozenset(tags.split())
    if words - TAGS:
        raise ValueError(f"{loss} {name}: unknown tags {sorted(words - TAGS)}; there are {sorted(TAGS)}")
    if not reductions:
        yield Case(loss, name, arrays, options or {}, words, dtypes)
    for reduction in reductions:
        yield Case(loss, f"{name}-{reduction}", arrays, {**(options or {}), "reduction": reduction}, words, dtypes)


def _regression(loss: str) -> Iterator[Case]:
    x, y = reals(3, 4), reals(3, 4)
    row = functools.partial(_rows, loss)
    yield from row("plain", {"input": x, "target": y})
    yield from row("one-element", {"input": reals(1), "target": reals(1)})
    yield from row("rank4", {"input": reals(2, 3, 2, 2), "target": reals(2, 3, 2, 2)})
    yield from row("strided", {"input": strided(x), "target": strided(y)}, tags="strided")
    yield from row("broadcast-row", {"input": x, "target": reals(1, 4)}, tags="broadcast")
    yield from row("broadcast-outer", {"input": reals(3, 1), "target": reals(1, 4)}, tags="broadcast")
    yield from row("empty", {"input": given(np.zeros((0, 4))), "target": given(np.zeros((0, 4)))}, tags="empty nan")
    yield from row("equal", {"input": given([1.0, -2.0, 0.0]), "target": given([1.0, -2.0, 0.0])}, tags="kink constant")
    yield from row(
        "worked",
        {"input": given([[1.0, 2.0], [3.0, 4.0]]), "target": given([[5.0, 6.0], [7.0, 8.0]])},
        tags="worked constant",
    )
    if "weight" in _loss(loss).arguments:
        yield from row("weight", {"input": x, "target": y, "weight": positives(3, 4)})


def _cases() -> Iterator[Case]:
    for loss in ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"):
        yield from _regression(loss)


def _loss(name: str) -> Loss:
    return reference.LOSSES[name]


CASES: dict[str, dict[str, Case]] = {}
for _case in _cases():
    if CASES.setdefault(_case.loss, {}).setdefault(_case.name, _case) is not _case:
        raise ValueError(f"two cases of {_case.loss} are named {_case.name}")
