"""The smallest input found that still shows a difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossparity.conformance.compare import Ruling
from lossparity.conformance.diagnosis.search import Comparison, Row
from lossparity.conformance.diagnosis.target import TargetError

_DIGITS = (0, 1, 2, 3)
_TRIES = 60


@dataclass(frozen=True)
class Shown:
    """A difference at a small input."""

    row: Row
    aspect: str
    ruling: Ruling


def shrink(comparison: Comparison, row: Row, aspect: str, ruling: Ruling) -> Shown:
    """The difference of one row in one aspect, at the smallest and roundest input that was found to show it."""
    shown = Shown(row, aspect, ruling)
    tries = _TRIES
    progress = True
    while progress and tries:
        progress = False
        for smaller in _smaller(shown.row):
            tries -= 1
            found = _still(comparison, smaller, aspect, ruling.symptom)
            if found is not None:
                shown, progress = found, True
                break
            if not tries:
                break
    return shown


def _still(comparison: Comparison, row: Row, aspect: str, symptom: str) -> Shown | None:
    """The difference at another input, if it is there and looks the same."""
    try:
        comparison.loss(**row.arguments)
    except (ValueError, TypeError, IndexError):
        return None
    subject = comparison.subject
    arrays = {n: a for n, a in row.arguments.items() if isinstance(a, np.ndarray)}
    request = comparison.judge.request(subject.implementation, row.case, row.dtype, "cpu")
    taken = {name: arrays[name].copy() for name in request.arrays if name in arrays}
    shape = np.shape(comparison.loss(**row.arguments))
    cotangent = np.ones(shape, dtype=request.cotangent(shape).dtype)
    request = replace(request, arrays=taken, cotangent=lambda shape: np.ones(shape, dtype=cotangent.dtype))
    try:
        outcome = subject.evaluate(request)
    except TargetError:
        return None
    if outcome.error is not None:  # an input that it refuses shows nothing
        return None
    row = replace(row, outcome=outcome, cotangent=cotangent)
    ruling = comparison.rulings(row, ()).get(aspect)
    if ruling is None or ruling.verdict == "match" or ruling.symptom != symptom:
        return None
    return Shown(row, aspect, ruling)


def _smaller(row: Row) -> Iterator[Row]:
    """Inputs a little smaller: half the rows, half the columns, one of each; then fewer digits."""
    arrays = {n: a for n, a in row.arguments.items() if isinstance(a, np.ndarray) and a.ndim}
    for axis in (0, 1):
        lengths = {a.shape[axis] for a in arrays.values() if a.ndim > axis}
        length = max(lengths, default=0)
        for part in _parts(length):
            cut = {
                n: _take(a, axis, part) if a.ndim > axis and a.shape[axis] == length else a for n, a in arrays.items()
            }
            yield _with(row, cut)
    for digits in _DIGITS:
        rounded = {n: _round(a, digits) for n, a in arrays.items()}
        if any(not np.array_equal(rounded[n], a) for n, a in arrays.items()):
            yield _with(row, rounded)


def _parts(length: int) -> Iterator[slice]:
    if length > 1:
        half = length // 2
        yield slice(0, half)
        yield slice(half, length)
        if length <= 8:
            for i in range(length):
                yield slice(i, i + 1)


def _take(array: Any, axis: int, part: slice) -> Any:
    return np.ascontiguousarray(array[(slice(None),) * axis + (part,)])


def _round(array: Any, digits: int) -> Any:
    if array.dtype.kind != "f":
        return array
    return np.round(array.astype(np.float64), digits).astype(array.dtype)


def _with(row: Row, arrays: Mapping[str, Any]) -> Row:
    return replace(row, arguments={**row.arguments, **arrays})
