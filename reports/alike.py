"""What two records have in common: the checks of which there is nothing to tell, found without looking at each.

Of a million checks almost all are as they were, or moved within rounding. They are found and counted here, column by
column; diff.py looks at the others one by one, by the same rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossparity.conformance.checks import Checks
from lossparity.conformance.tables import PARTS, Floats, Vectors, Whole, combined
from lossparity.reports.changes import RAN
from lossparity.reports.findings import HOLDING
from lossparity.reports.movement import DRIFT_MARGIN, DRIFT_ULP, roundoffs, usual_by_check

_AT_A_TIME = 50_000  # pairs of results

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Alike:
    """The checks of both sides of which there is nothing to tell: masks of them, and how many there are.

    unchanged, rounding: how many of each kind. compared: how many of them ran.
    """

    before: Mask
    after: Mask
    unchanged: int = 0
    rounding: int = 0
    compared: int = 0


def alike(before: Checks, after: Checks, factor: float) -> Alike:
    """Every pair with the same verdict by the same declarations, that moved within rounding and has not drifted."""
    nothing = Alike(np.zeros(len(before), bool), np.zeros(len(after), bool))
    i, j = _pairs(*_keys(before, after))
    i, j = _kept(i, j, _same(before, after, "verdict", i, j) & _same(before, after, "declared", i, j))
    ran = before.is_in("verdict", RAN)[i] & ~_of_declarations(before)[i]
    sizes = np.zeros(len(i))
    sizes[ran] = _movements(before, after, i[ran], j[ran])
    drifted = np.zeros(len(i), bool)
    drifted[ran] = _drifted(before, after, i[ran], j[ran], factor)
    calm = (sizes <= 1.0) & ~drifted
    nothing.before[i[calm]] = nothing.after[j[calm]] = True
    rounding = int((sizes[calm] > 0.0).sum())
    compared = int(before.is_in("verdict", RAN)[i[calm]].sum())
    return Alike(nothing.before, nothing.after, int(calm.sum()) - rounding, rounding, compared)


def _keys(before: Checks, after: Checks) -> tuple[Whole, Whole]:
    """A number for each check's ID, the same on both sides; -1 for an ID that is not made of its parts."""
    columns = []
    for name in PARTS:
        number: dict[str, int] = {}
        sides = []
        for side in (before, after):
            words, codes = side.codes(name)
            sides.append(np.array([number.setdefault(word, len(number)) for word in words], dtype=np.int64)[codes])
        columns.append((np.concatenate(sides), len(number)))
    keys = combined(columns)
    keys[np.concatenate([before.odd(), after.odd()])] = -1
    return keys[: len(before)], keys[len(before) :]


def _pairs(one: Whole, other: Whole) -> tuple[Whole, Whole]:
    """The rows of both sides that have the same key, which no other row of either has."""
    if len(one) == len(other) and (one == other).all():
        rows = np.arange(len(one))
        _, first, counts = np.unique(one, return_index=True, return_counts=True)
        rows = rows[np.sort(first[counts == 1])]
        return rows[one[rows] >= 0], rows[one[rows] >= 0]
    sides = []
    for keys in (one, other):
        found, first, counts = np.unique(keys, return_index=True, return_counts=True)
        alone = (counts == 1) & (found >= 0)
        sides.append((found[alone], first[alone]))
    (mine, i), (its, j) = sides
    _, here, there = np.intersect1d(mine, its, assume_unique=True, return_indices=True)
    return i[here], j[there]


def _kept(i: Whole, j: Whole, mask: Mask) -> tuple[Whole, Whole]:
    return i[mask], j[mask]


def _same(before: Checks, after: Checks, name: str, i: Whole, j: Whole) -> Mask:
    """Whether each pair has the same word."""
    number: dict[str, int] = {}
    sides = []
    for side, rows in ((before, i), (after, j)):
        words, codes = side.codes(name)
        texts = (json.dumps(word, sort_keys=True) for word in words)
        sides.append(np.array([number.setdefault(text, len(number)) for text in texts], dtype=np.int64)[codes[rows]])
    return np.asarray(sides[0] == sides[1])


def _of_declarations(checks: Checks) -> Mask:
    words, codes = checks.codes("aspect")
    return np.array([word.startswith("dialect:") for word in words], dtype=bool)[codes]


def _movements(before: Checks, after: Checks, i: Whole, j: Whole) -> Floats:
    """How far each pair's result moved, in tolerances, as movement.py says."""
    sizes = np.where(_same(before, after, "result", i, j), 0.0, np.inf)
    results = [_rows(side, "result", rows) for side, rows in ((before, i), (after, j))]
    lengths = [_lengths(side.tables.results, rows) for side, rows in zip((before, after), results, strict=True)]
    sizes[lengths[0] != lengths[1]] = np.inf
    both = np.flatnonzero((lengths[0] == lengths[1]) & (lengths[0] > 0))
    roundoff = np.array([roundoffs(word) for word in before.codes("dtype")[0]])[before.codes("dtype")[1][i]]
    for start in range(0, len(both), _AT_A_TIME):
        at = both[start : start + _AT_A_TIME]
        count = lengths[0][at]
        ends = np.cumsum(count)
        within = np.arange(ends[-1]) - np.repeat(ends - count, count)
        p, q = (
            side.tables.results.values[np.repeat(side.tables.results.starts[rows[at]], count) + within]
            for side, rows in zip((before, after), results, strict=True)
        )
        limits = [
            _elements(side.tables.tolerances, _rows(side, "limits", rows[at]), count, within)
            for side, rows in ((before, i), (after, j))
        ]
        with np.errstate(all="ignore"):
            limit = np.fmax(*limits)
            own = np.repeat(roundoff[at], count) * np.maximum(np.abs(p), np.abs(q))
            limit = np.where(np.isnan(limit), own, limit)
            step = np.where(limit > 0.0, np.abs(p - q) / limit, np.inf)
        step[~(np.isfinite(p) & np.isfinite(q))] = np.inf
        step[(p == q) | (np.isnan(p) & np.isnan(q))] = 0.0
        sizes[at] = np.maximum.reduceat(step, ends - count)
    return sizes


def _rows(side: Checks, name: str, rows: Whole) -> Whole:
    """The list of each check in its table; -1 for none."""
    measured = side.measured[rows]
    found = np.full(len(rows), -1)
    found[measured >= 0] = getattr(side.tables, name)[measured[measured >= 0]]
    return found


def _lengths(lists: Vectors, rows: Whole) -> Whole:
    """The length of each list; -1 for none."""
    found = np.full(len(rows), -1)
    found[rows >= 0] = lists.sizes[rows[rows >= 0]]
    return found


def _elements(lists: Vectors, rows: Whole, count: Whole, within: Whole) -> Floats:
    """The finite numbers of each list by place; NaN where there is none."""
    sizes = np.repeat(_lengths(lists, rows), count)
    inside = within < sizes
    found = np.full(len(within), np.nan)
    found[inside] = lists.values[(np.repeat(lists.starts[rows], count) + within)[inside]]
    found[~np.isfinite(found)] = np.nan
    return found


def _drifted(before: Checks, after: Checks, i: Whole, j: Whole, factor: float) -> Mask:
    """Whether each error is `factor` times what it was, and more than honest rounding makes, as movement.py says."""
    holding = after.is_in("verdict", HOLDING)[j]
    for side, rows in ((before, i), (after, j)):
        holding &= side.has("margin")[rows] & side.has("error_ulp")[rows]
    (margin, error), (margin_now, error_now) = (
        (side.numbers("margin")[rows], side.numbers("error_ulp")[rows]) for side, rows in ((before, i), (after, j))
    )
    with np.errstate(all="ignore"):
        grown = error_now > factor * error
        near = (margin_now >= DRIFT_MARGIN) & ((margin_now > factor * margin) | grown)
        unusual = grown & (error_now > np.maximum(DRIFT_ULP, factor * usual_by_check(before)[i]))
    return holding & (near | unusual)
