"""Cases of the focal losses."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases.table import UNWEIGHTED, WEIGHTED, Case, rows
from lossparity.conformance.data import bits, given, labels, one_hot, positives, reals, strided, units


def cases() -> Iterator[Case]:
    """The rows."""
    yield from _sigmoid_focal()
    yield from _softmax_focal()


def _sigmoid_focal() -> Iterator[Case]:
    name = "sigmoid_focal_loss"
    row = functools.partial(rows, name)
    x, y = reals(3, 4), bits(3, 4)
    yield from row("plain", {"inputs": x, "targets": y}, reductions=UNWEIGHTED)
    yield from rows(name, "default-reduction", {"inputs": x, "targets": y}, reductions=())
    for alpha in (0.0, 0.5, 0.75, 1.0, -1.0):
        yield from row(f"alpha{alpha:g}", {"inputs": x, "targets": y}, {"alpha": alpha})
    for gamma in (0.0, 0.5, 1.0, 1.5, 3.0, 5.0):
        yield from row(f"gamma{gamma:g}", {"inputs": x, "targets": y}, {"gamma": gamma})
    for alpha, gamma in ((-1.0, 0.0), (-1.0, 1.0), (0.75, 0.0), (0.75, 5.0), (0.9, 0.5)):
        yield from row(f"alpha{alpha:g}+gamma{gamma:g}", {"inputs": x, "targets": y}, {"alpha": alpha, "gamma": gamma})
    yield from row("soft-target", {"inputs": x, "targets": units(3, 4)})
    yield from row("soft-target+alpha-off+gamma1", {"inputs": x, "targets": units(3, 4)}, {"alpha": -1.0, "gamma": 1.0})
    yield from row("one-element", {"inputs": reals(1), "targets": bits(1)})
    yield from row("rank3", {"inputs": reals(2, 3, 2), "targets": bits(2, 3, 2)})
    yield from row("strided", {"inputs": strided(x), "targets": strided(y)}, tags="strided")
    yield from row("empty", {"inputs": given(np.zeros((0, 4))), "targets": given(np.zeros((0, 4)))}, tags="empty nan")
    yield from row("kink", {"inputs": given([0.0, 0.0]), "targets": given([0.0, 1.0])}, tags="kink")
    steps = given([5.0, 10.0, 15.0, 20.0, -5.0, -10.0, -15.0, -20.0])
    yield from row("confident-positive", {"inputs": steps, "targets": given([1.0] * 8)}, tags="saturated")
    yield from row("confident-negative", {"inputs": steps, "targets": given([0.0] * 8)}, tags="saturated")
    far = given([100.0, -100.0, 1e4, -1e4])
    for gamma in (2.0, 0.5, 1.0, 0.0):
        arrays = {"inputs": far, "targets": given([1.0, 1.0, 0.0, 0.0])}
        yield from row(f"saturated-gamma{gamma:g}", arrays, {"gamma": gamma}, tags="saturated")
        arrays = {"inputs": far, "targets": given([0.0, 0.0, 1.0, 1.0])}
        yield from row(f"saturated-right-gamma{gamma:g}", arrays, {"gamma": gamma}, tags="saturated")
    six, one = given([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), given([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    yield from row("worked", {"inputs": six, "targets": one}, tags="worked")
    # A write-up gives alpha to the negatives; torchvision and the paper give it to the positives.
    yield from row("worked-alpha-side", {"inputs": given([0.5, 0.5]), "targets": given([1.0, 0.0])}, {"alpha": 0.9},
                   tags="worked")  # fmt: skip
    yield from row("weight", {"inputs": x, "targets": y, "weight": positives(3, 4)})
    yield from row("weight+avg_factor", {"inputs": x, "targets": y, "weight": positives(3, 4)}, {"avg_factor": 7.0},
                   reductions=("mean",))  # fmt: skip
    yield from row(
        "avg_factor-sum", {"inputs": x, "targets": y}, {"avg_factor": 7.0}, tags="error", reductions=("sum",)
    )
    yield from row(
        "sample-weight-row", {"inputs": x, "targets": y, "sample_weight": positives(3, 1)}, reductions=WEIGHTED
    )
    yield from row("nan-input", {"inputs": given([np.nan, 0.5]), "targets": given([1.0, 0.0])}, tags="nan")
    yield from row("alpha-above-1", {"inputs": x, "targets": y}, {"alpha": 1.5}, tags="error", reductions=("mean",))
    yield from row("gamma-negative", {"inputs": x, "targets": y}, {"gamma": -1.0}, tags="error", reductions=("mean",))
    yield from row("bad-shapes", {"inputs": x, "targets": bits(3, 3)}, tags="error", reductions=("mean",))
    yield from row("bad-reduction", {"inputs": x, "targets": y}, tags="error", reductions=("average",))


def _softmax_focal() -> Iterator[Case]:
    name = "softmax_focal_loss"
    row = functools.partial(rows, name)
    x, hot = reals(5, 3), one_hot(5, 3)
    yield from row("plain", {"input": x, "target": hot}, reductions=UNWEIGHTED)
    yield from row("indices", {"input": x, "target": labels(5, classes=3)})
    for alpha in (0.5, 1.0):
        yield from row(f"alpha{alpha:g}", {"input": x, "target": hot}, {"alpha": alpha})
    for gamma in (0.0, 0.5, 1.0, 3.0):
        yield from row(f"gamma{gamma:g}", {"input": x, "target": hot}, {"gamma": gamma})
    yield from row("alpha1+gamma0", {"input": x, "target": hot}, {"alpha": 1.0, "gamma": 0.0})
    yield from row("alpha0.9+gamma3", {"input": x, "target": hot}, {"alpha": 0.9, "gamma": 3.0})
    yield from row("one-element", {"input": reals(1, 3), "target": one_hot(1, 3)})
    yield from row("strided", {"input": strided(x), "target": strided(hot)}, tags="strided")
    yield from row("sample-weight", {"input": x, "target": hot, "sample_weight": positives(5)}, reductions=WEIGHTED)
    far = given([[30.0, 0.0, 0.0], [0.0, 30.0, 0.0], [100.0, 0.0, -100.0], [100.0, 0.0, -100.0]])
    target = given([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    yield from row("saturated", {"input": far, "target": target}, tags="saturated")
    sure = given([[6.0, 0.0, 0.0], [0.0, 9.0, 1.0], [0.0, 1.0, 12.0]])
    yield from row("confident", {"input": sure, "target": given(np.eye(3))}, tags="saturated")
    yield from row("gamma-negative", {"input": x, "target": hot}, {"gamma": -1.0}, tags="error", reductions=("mean",))
    yield from row("bad-shapes", {"input": x, "target": one_hot(5, 2)}, tags="error", reductions=("mean",))
