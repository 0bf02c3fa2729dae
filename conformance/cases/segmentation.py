"""Cases of the segmentation losses."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases.table import Case, rows
from lossparity.conformance.data import bits, given, reals, strided, units


def cases() -> Iterator[Case]:
    """The rows."""
    row = functools.partial(rows, "dice_loss")
    x, y = units(3, 4), bits(3, 4)
    yield from row("plain", {"input": x, "target": y}, reductions=("mean", "sum"))
    yield from row("soft-target", {"input": x, "target": units(3, 4)}, reductions=("mean", "sum"))
    yield from row("rank4", {"input": units(2, 3, 2, 2), "target": bits(2, 3, 2, 2)}, reductions=("mean", "sum"))
    yield from row("axis1", {"input": units(3, 8), "target": bits(3, 8)}, {"axis": 1})
    yield from row("axis1-2", {"input": units(2, 3, 4), "target": bits(2, 3, 4)}, {"axis": (1, 2)})
    yield from row("axis-last", {"input": units(2, 3, 4), "target": bits(2, 3, 4)}, {"axis": -1})
    yield from row("strided", {"input": strided(x), "target": strided(y)}, tags="strided", reductions=("mean",))
    yield from row("all-zero", {"input": given(np.zeros((2, 3))), "target": given(np.zeros((2, 3)))}, tags="kink",
                   reductions=("mean",))  # fmt: skip
    yield from row("disjoint", {"input": given([1.0, 0.0, 1.0]), "target": given([0.0, 1.0, 0.0])}, tags="kink",
                   reductions=("mean",))  # fmt: skip
    yield from row("identical", {"input": given([1.0, 0.0, 1.0]), "target": given([1.0, 0.0, 1.0])}, tags="kink",
                   reductions=("mean",))  # fmt: skip
    yield from row("smooth1", {"input": x, "target": y}, {"smooth": 1.0}, reductions=("mean",))
    yield from row("bad-shapes", {"input": x, "target": reals(2, 4)}, tags="error", reductions=("mean",))
