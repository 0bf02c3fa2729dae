"""Cases of the box losses: pairs of boxes xyxy, row by row."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases.table import ALL, Case, rows
from lossparity.conformance.data import boxes, given, strided

# Pairs of boxes in every position that the formulas distinguish.
PAIRS: dict[str, tuple[list[float], list[float]]] = {
    "apart": ([0.0, 0.0, 1.0, 1.0], [3.0, 4.0, 5.0, 7.0]),
    "inside": ([0.0, 0.0, 8.0, 6.0], [1.0, 2.0, 3.0, 5.0]),
    "overlap": ([0.0, 0.0, 4.0, 3.0], [1.0, 2.0, 6.0, 5.0]),
    "identical": ([1.0, 2.0, 4.0, 6.0], [1.0, 2.0, 4.0, 6.0]),
    "edge": ([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0]),
    "corner": ([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 5.0, 6.0]),
    "shared-side": ([0.0, 0.0, 4.0, 4.0], [0.0, 1.0, 3.0, 4.0]),
    "same-centre": ([0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 3.0]),
    "same-shape": ([0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 3.0, 4.0]),
    "point": ([1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 3.0, 3.0]),
    "flat": ([0.0, 1.0, 3.0, 1.0], [0.0, 0.0, 3.0, 3.0]),
    "two-points": ([1.0, 1.0, 1.0, 1.0], [2.0, 3.0, 2.0, 3.0]),
    "one-point-twice": ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]),
}
TAGGED = {"identical", "edge", "corner", "shared-side", "same-centre", "point", "flat", "two-points", "one-point-twice"}


def cases() -> Iterator[Case]:
    """The rows."""
    for kind in ("iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"):
        row = functools.partial(rows, kind)
        yield from row("plain", {"boxes1": boxes(6), "boxes2": boxes(6)})
        yield from row("near", {"boxes1": boxes(6, high=1.0), "boxes2": boxes(6, high=1.0)})
        yield from row("one-row", {"boxes1": boxes(1, high=1.0), "boxes2": boxes(1, high=1.0)})
        yield from rows(kind, "default-reduction", {"boxes1": boxes(5), "boxes2": boxes(5)}, reductions=())
        yield from row("strided", {"boxes1": strided(boxes(4)), "boxes2": strided(boxes(4))}, tags="strided")
        yield from row("large", {"boxes1": given([[1e4, 1e4, 3e4, 2e4]]), "boxes2": given([[2e4, 1e4, 4e4, 3e4]])})
        yield from row("small", {"boxes1": given([[0.0, 0.0, 2.0**-9, 2.0**-9]]),
                                 "boxes2": given([[0.0, 2.0**-10, 2.0**-9, 2.0**-8]])}, tags="kink")  # fmt: skip
        for eps in (1e-3, 0.5):
            near = {"boxes1": boxes(4, high=1.0), "boxes2": boxes(4, high=1.0)}
            yield from row(f"eps{eps:g}", near, {"eps": eps}, reductions=("none", "mean"))
        for name, (one, other) in PAIRS.items():
            tags = "kink" if name in TAGGED else ""
            yield from row(name, {"boxes1": given([one]), "boxes2": given([other])}, tags=tags, reductions=("none",))
            if one != other:
                swapped = {"boxes1": given([other]), "boxes2": given([one])}
                yield from row(f"{name}-swapped", swapped, tags=tags, reductions=("none",))
        empty = {"boxes1": given(np.zeros((0, 4))), "boxes2": given(np.zeros((0, 4)))}
        yield from row("empty", empty, tags="empty nan", reductions=ALL)
        bad = {"boxes1": given(np.zeros((3, 5))), "boxes2": given(np.zeros((3, 5)))}
        yield from row("five-columns", bad, tags="error", reductions=("mean",))
        bad = {"boxes1": given(np.zeros((3, 4))), "boxes2": given(np.zeros((2, 4)))}
        yield from row("bad-shapes", bad, tags="error", reductions=("mean",))
