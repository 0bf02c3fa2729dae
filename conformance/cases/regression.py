"""Cases of the regression losses."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity import reference
from lossparity.conformance.cases.table import UNWEIGHTED, WEIGHTED, Case, rows
from lossparity.conformance.data import given, positives, reals, strided


def cases() -> Iterator[Case]:
    """The rows."""
    for name in ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"):
        yield from _each(name)
    for name, width in (("smooth_l1_loss", "beta"), ("huber_loss", "delta")):
        yield from _kinked(name, width)


def _each(name: str) -> Iterator[Case]:
    x, y = reals(3, 4), reals(3, 4)
    row = functools.partial(rows, name)
    yield from row("plain", {"input": x, "target": y}, reductions=UNWEIGHTED)
    yield from row("one-element", {"input": reals(1), "target": reals(1)})
    yield from row("rank4", {"input": reals(2, 3, 2, 2), "target": reals(2, 3, 2, 2)})
    yield from row("strided", {"input": strided(x), "target": strided(y)}, tags="strided")
    yield from row("broadcast-row", {"input": x, "target": reals(1, 4)}, tags="broadcast")
    yield from row("broadcast-outer", {"input": reals(3, 1), "target": reals(1, 4)}, tags="broadcast")
    # The signs of the differences vary: else their mean is that of the three on the diagonal, for l1_loss.
    ranks = {"input": reals(3, low=-1.0, high=1.0), "target": given([[2.0], [-3.0], [1.5]])}
    yield from row("broadcast-rank", ranks, tags="broadcast")
    yield from row("empty", {"input": given(np.zeros((0, 4))), "target": given(np.zeros((0, 4)))}, tags="empty nan")
    yield from row("kink", {"input": given([1.0, -2.0, 0.0, 3.0]), "target": given([1.0, -2.0, 0.0, 3.5])}, tags="kink")
    yield from row("far", {"input": given([[1e4, -1e4], [3.0, 1e-3]]), "target": given([[-1e4, 1e4], [1e4, 1e-3]])})
    yield from row(
        "close",
        {"input": given([1.0, 100.0, -3.0]), "target": given([1.0 + 2.0**-12, 100.0 - 2.0**-11, -3.0])},
        narrow=(),
    )
    yield from row("nan-input", {"input": given([np.nan, 1.0, 2.0]), "target": given([0.0, np.nan, 0.5])}, tags="nan")
    yield from row("infinite", {"input": given([np.inf, 1.0, -np.inf]), "target": given([0.0, 3.0, 1.0])}, tags="nan")
    yield from row("worked", {"input": given([[1.0, 2.0], [3.0, 4.0]]), "target": given([[5.0, 6.0], [7.0, 8.0]])},
                   tags="worked constant")  # fmt: skip
    # The write-ups say that torch's default is "sum"; it is "mean".
    yield from rows(name, "default-reduction", {"input": x, "target": y}, reductions=())
    yield from row(
        "sample-weight-row", {"input": x, "target": y, "sample_weight": positives(3, 1)}, reductions=WEIGHTED
    )
    yield from row(
        "sample-weight-full", {"input": x, "target": y, "sample_weight": positives(3, 4)}, reductions=WEIGHTED
    )
    yield from row("sample-weight-1d", {"input": reals(5), "target": reals(5), "sample_weight": positives(5)},
                   reductions=WEIGHTED)  # fmt: skip
    # A vector, a column and a weight for each: Keras read it in three ways in as many releases.
    yield from row("sample-weight-rank", {"input": reals(3), "target": reals(3, 1), "sample_weight": positives(3)},
                   reductions=WEIGHTED, tags="broadcast")  # fmt: skip
    zeros = given([[0.0], [1.5], [0.0]])
    yield from row("sample-weight-some-zero", {"input": x, "target": y, "sample_weight": zeros}, reductions=WEIGHTED)
    none = given([[0.0], [0.0], [0.0]])
    yield from row("sample-weight-all-zero", {"input": x, "target": y, "sample_weight": none},
                   reductions=WEIGHTED, tags="nan constant")  # fmt: skip
    if "weight" in reference.LOSSES[name].arguments:
        yield from row("weight", {"input": x, "target": y, "weight": positives(3, 4)})
        yield from row("weight-some-zero", {"input": x, "target": y, "weight": given([[0.0, 1.0, 2.0, 0.0]] * 3)})
    yield from row("bad-shapes", {"input": reals(3, 4), "target": reals(3, 3)}, tags="error", reductions=("mean",))
    yield from row("bad-reduction", {"input": x, "target": y}, tags="error", reductions=("average",))


def _kinked(name: str, width: str) -> Iterator[Case]:
    x, y = reals(3, 4), reals(3, 4)
    row = functools.partial(rows, name)
    # d = -2w, -w, -w/2, 0, w/2, w, 2w: both kinks hit exactly
    hit = {"input": given([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]), "target": given([0.0] * 7)}
    yield from row(f"{width}1-kink", hit, tags="kink")
    for value in (0.5, 2.0, 0.001):
        yield from row(f"{width}{value}", {"input": x, "target": y}, {width: value})
        yield from row(f"{width}{value}-kink", hit, {width: value}, tags="kink")
    yield from row(f"{width}0", {"input": x, "target": y}, {width: 0.0}, tags="constant kink")
    yield from row(f"{width}0-kink", hit, {width: 0.0}, tags="constant kink")
    yield from row(f"{width}-negative", {"input": x, "target": y}, {width: -1.0}, tags="error", reductions=("mean",))
    if name == "huber_loss":
        yield from row("weight+delta", {"input": x, "target": y, "weight": positives(3, 4)}, {"delta": 0.5})
