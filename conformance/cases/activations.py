"""Cases of sigmoid, softmax and log_softmax."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases.table import Case, rows
from lossparity.conformance.data import given, reals, strided


def cases() -> Iterator[Case]:
    """The rows."""
    for name in ("sigmoid", "softmax", "log_softmax"):
        row = functools.partial(rows, name, reductions=())
        yield from row("plain", {"input": reals(3, 4)})
        yield from row("one-element", {"input": reals(1)}, tags="constant")
        yield from row("wide", {"input": reals(2, 40, low=-12.0, high=12.0)})
        yield from row("rank4", {"input": reals(2, 3, 2, 2)})
        yield from row("strided", {"input": strided(reals(3, 4))}, tags="strided")
        yield from row("empty", {"input": given(np.zeros((0, 4)))}, tags="empty")
        # Overflows where the row's maximum is not taken off first.
        yield from row("saturated", {"input": given([[1e4, -1e4, 0.0], [-1e4, 89.0, 88.0]])}, tags="saturated")
        yield from row(
            "huge", {"input": given([[3e38, -3e38, 0.0], [-3e38, 1.0, 2.0]])}, tags="saturated", narrow=("bfloat16",)
        )
        yield from row("huge-float64", {"input": given([[1e300, -1e300, 0.0]])}, tags="saturated", dtypes=("float64",))
        yield from row("tail", {"input": given([[-80.0, 0.0, 5.0], [-20.0, -40.0, -60.0]])}, tags="saturated")
        yield from row("equal", {"input": given([[0.0, 0.0, 0.0, 0.0]])}, tags="constant")
        yield from row("nan-input", {"input": given([[np.nan, 0.0], [1.0, 2.0]])}, tags="nan")
        yield from row("worked", {"input": given([1.0, 2.0, 3.0])}, tags="worked")
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1, -2):
            yield from rows(name, f"dim{dim}", {"input": reals(3, 4, 2)}, {"dim": dim}, reductions=())
