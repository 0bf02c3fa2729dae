"""Cases of the losses with a margin, whose targets are -1 and 1."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases.table import UNWEIGHTED, WEIGHTED, Case, rows
from lossparity.conformance.data import Recipe, bits, given, positives, reals, scores, signs, strided

# Inputs on both sides of the margin 1 and at it, for either target.
AT_1 = given([1.0, 0.5, 2.0, 1.0, -1.0])
SIDES = given([-1.0, -1.0, -1.0, 1.0, 1.0])


def cases() -> Iterator[Case]:
    """The rows."""
    yield from _each("hinge_embedding_loss", ("input",))
    yield from _each("margin_ranking_loss", ("input1", "input2"))
    yield from _hinge_embedding()
    yield from _margin_ranking()


def _each(name: str, inputs: tuple[str, ...]) -> Iterator[Case]:
    row = functools.partial(rows, name)

    def drawn(*shape: int, target: Recipe | None = None) -> dict[str, Recipe]:
        return {**{each: scores(*shape) for each in inputs}, "target": signs(*shape) if target is None else target}

    plain = drawn(6, 4)  # so many that some of them lose, whatever the seed
    yield from row("plain", plain, reductions=UNWEIGHTED)
    yield from rows(name, "default-reduction", plain, reductions=())
    # The margin is more than any difference: the loss is not 0.
    yield from row("one-element", drawn(1, target=given([-1.0])), {"margin": 8.5})
    yield from row("rank4", drawn(2, 3, 2, 2))
    yield from row("strided", {each: strided(recipe) for each, recipe in plain.items()}, tags="strided")
    yield from row("broadcast-row", drawn(6, 4, target=signs(1, 4)), tags="broadcast")
    yield from row("broadcast-outer", drawn(3, 1, target=signs(1, 4)), tags="broadcast")
    yield from row("broadcast-rank", drawn(3, target=given([[1.0], [-1.0], [-1.0]])), tags="broadcast")
    yield from row("empty", dict.fromkeys(plain, given(np.zeros((0, 4)))), tags="empty nan")
    far = {"input2": given([-1e4, 1e4, 0.5, 3.0]), inputs[0]: given([1e4, -1e4, 1e4, -1e4])}
    apart = {each: far[each] for each in inputs}
    yield from row("far", {**apart, "target": given([1.0, -1.0, -1.0, 1.0])}, tags="saturated")
    for side in (1.0, -1.0):
        yield from row(f"target{side:g}", drawn(6, 4, target=given([[side] * 4] * 6)))
    for margin in (0.5, 0.3, 2.0, -0.5):
        yield from row(f"margin{margin}", plain, {"margin": margin})
    for which, weight in (
        ("row", positives(6, 1)),
        ("full", positives(6, 4)),
        ("some-zero", given([[0.0], [1.5], [0.0], [2.0], [1.0], [0.0]])),
    ):
        # Beyond the margin, where the loss is 0, a weight would be lost.
        yield from row(f"sample-weight-{which}", {**plain, "sample_weight": weight}, {"margin": 8.5},
                       reductions=WEIGHTED)  # fmt: skip
    for what, target in (("bits", bits(6)), ("any-target", reals(6))):
        yield from row(what, drawn(6, target=target), tags="error", reductions=("none", "mean"))
    yield from row("bad-shapes", drawn(3, 4, target=signs(3, 3)), tags="error", reductions=("mean",))
    yield from row("bad-reduction", plain, tags="error", reductions=("average",))


def _hinge_embedding() -> Iterator[Case]:
    row = functools.partial(rows, "hinge_embedding_loss")
    yield from row("kink", {"input": AT_1, "target": SIDES}, tags="kink")
    # All within the default margin of 1: whichever targets are -1, their loss depends on the margin.
    yield from row("margin0", {"input": reals(3, 4, low=-0.75, high=0.75), "target": signs(3, 4)}, {"margin": 0.0})
    for margin in (0.0, 0.5):
        hit = {"input": given([margin, margin - 1.0, margin + 1.0, margin]), "target": given([-1.0, -1.0, -1.0, 1.0])}
        yield from row(f"margin{margin}-kink", hit, {"margin": margin}, tags="kink")
    missing = {"input": given([np.nan, np.nan, 0.5]), "target": given([1.0, -1.0, -1.0])}
    yield from row("nan-input", missing, tags="nan")
    yield from row("infinite", {"input": given([np.inf, np.inf, -np.inf]), "target": given([1.0, -1.0, -1.0])},
                   tags="saturated", reductions=("none",))  # fmt: skip


def _margin_ranking() -> Iterator[Case]:
    row = functools.partial(rows, "margin_ranking_loss")
    x, y = reals(6, 4), signs(6, 4)
    yield from row("broadcast-inputs", {"input1": reals(6, 1), "input2": reals(1, 4), "target": y}, tags="broadcast")
    yield from row("margin1", {"input1": x, "input2": reals(6, 4), "target": y}, {"margin": 1.0})
    # The scores tie, which is the kink of the default margin, 0.
    tied = {"input1": given([1.5, -2.0, 0.0, 3.0]), "input2": given([1.5, -2.0, 0.0, 3.5])}
    yield from row("kink", {**tied, "target": given([1.0, -1.0, 1.0, 1.0])}, tags="kink")
    lead = {"input1": given([3.0, 0.5, -2.0, 1.0, 1.5]), "input2": given([2.0, 1.5, 2.0, 1.0, 1.0])}
    yield from row("margin1-kink", {**lead, "target": given([1.0, -1.0, -1.0, 1.0, -1.0])}, {"margin": 1.0},
                   tags="kink")  # fmt: skip
    missing = {"input1": given([np.nan, 1.0, 0.5]), "input2": given([1.0, np.nan, 1.0])}
    yield from row("nan-input", {**missing, "target": given([1.0, -1.0, 1.0])}, tags="nan")
    ends = {"input1": given([np.inf, -np.inf, np.inf]), "input2": given([1.0, 1.0, np.inf])}
    yield from row("infinite", {**ends, "target": given([1.0, 1.0, 1.0])}, tags="nan", reductions=("none",))
