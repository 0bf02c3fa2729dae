"""The checks as the page's script reads them: packed columns, of which it unpacks what it shows.

JSON of {"head", "calls", "outcome", "sizes", "lines", "line", "numbers", "worst", "ids"}, each column as in packed.py:
one row of `calls` for each call, of `sizes` and `lines` for each outcome of one, of `line` for each way in which a
check came out. `numbers` are, of each check that has any, the error and the margin as places in the head's `levels`,
0 for none. `worst` says of some checks, by row, where the error is largest; `places` is read when one is looked at.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lossparity.conformance import packed
from lossparity.conformance.checks import Checks
from lossparity.conformance.layout import outcomes
from lossparity.conformance.record import VERDICTS, Run
from lossparity.conformance.tables import OF_CALL, Floats, Whole
from lossparity.reports.findings import SEVERITY
from lossparity.reports.prose import clip

MANY = 200_000  # checks; of more, errors are told to two digits, not three
_WORST_BUDGET = 3_000_000  # characters spent on the inputs of single checks, the worst checks first
_A_NUMBER = 16  # of them, for what the framework gave and its tolerance
_OF_LINE = ("aspect", "verdict", "reason")
_LEVEL = 9

_whole = functools.partial(packed.whole, level=_LEVEL)
_lines = functools.partial(packed.lines, level=_LEVEL)


def embedded(run: Run, anchors: Mapping[str, str]) -> str:
    """The checks as JSON that can stand inside a script element. anchors: of each implementation, by loss/name."""
    checks = Checks.of(run.checks).whole()
    tables = checks.tables
    outcome, sizes, lines = outcomes(checks)
    digits = 3 if len(checks) <= MANY else 2
    numbers, levels = {}, {}
    measured = (("ulp", tables.error_ulp, tables.has_error), ("margin", tables.margin, tables.has_margin))
    for name, column, has in measured:
        levels[name], codes = _levels(column, has, digits)
        numbers[name] = _whole(codes)
    head = {
        "words": {
            **{name: tables.words[name] for name in (*OF_CALL, "aspect", "verdict")},
            "reason": [clip(reason) for reason in tables.words["reason"]],
        },
        "levels": levels,
        "severity": SEVERITY,
        "verdicts": VERDICTS,
        "anchors": anchors,
    }
    data = {
        "head": _lines([_text(head)]),
        "calls": {name: _whole(tables.calls[name]) for name in OF_CALL},
        "outcome": _whole(outcome),
        "sizes": _whole(sizes),
        "lines": _whole(lines),
        "line": {name: _whole(tables.lines[name]) for name in (*_OF_LINE, "measured")},
        "numbers": numbers,
        "worst": _worst(checks),
        "ids": _lines([_text(tables.ids)]),
    }
    return _text(data).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _levels(numbers: Floats, has: Any, digits: int) -> tuple[list[float | int | str], Whole]:
    """What different numbers there are, to so many digits, the largest last, and for each its place from 1; 0: none."""
    given, inner = np.unique(numbers[has], return_inverse=True)
    rounded = np.array([float(f"{x:.{digits}g}") for x in given.tolist()])
    found, again = np.unique(rounded, return_inverse=True)  # NaN sorts behind infinity
    codes = np.zeros(len(numbers), np.int64)
    codes[has] = 1 + again.reshape(-1)[inner.reshape(-1)]
    return [_compact(x) for x in found.tolist()], codes


def _compact(x: float) -> float | int | str:
    """JSON has no infinity, and no need of a point behind a whole number."""
    if not math.isfinite(x):
        return str(x)
    return int(x) if x == int(x) and abs(x) < 1e6 else x


def _worst(checks: Checks) -> dict[str, Any]:
    """Where the error was found, by row; the worst checks first, until the budget is spent."""
    tables, place = checks.tables, checks.places()
    rank = {verdict: i for i, verdict in enumerate(SEVERITY)}
    verdicts, codes = checks.codes("verdict")
    rows = np.flatnonzero(place >= 0)
    severity = np.array([rank[verdict] for verdict in verdicts], dtype=np.int64)[codes[rows]]
    error = np.nan_to_num(checks.numbers("error_ulp")[rows], nan=math.inf)
    error[~checks.has("error_ulp")[rows]] = -1.0
    rows = rows[np.lexsort((-error, severity))]
    sizes = np.array([len(each) for each in tables.places], dtype=np.int64)
    cost = np.full(len(rows), _A_NUMBER)
    first = np.unique(place[rows], return_index=True)[1]
    cost[first] += sizes[place[rows[first]]]
    rows = np.sort(rows[np.cumsum(cost) <= _WORST_BUDGET])
    kept, inner = np.unique(place[rows], return_inverse=True)
    measured = checks.measured[rows]
    return {
        "row": _whole(np.diff(rows, prepend=0)),
        "place": _whole(inner.reshape(-1)),
        "got": _lines(_numbers(tables.got[measured])),
        "tolerance": _lines(_numbers(tables.tolerance[measured])),
        "places": _lines([tables.places[each] for each in kept.tolist()]),
    }


def _numbers(column: Floats) -> Sequence[str]:
    return [repr(x) for x in column.tolist()]
