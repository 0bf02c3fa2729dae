"""How checks lie in a file: schema 3, and schema 2, which is read only.

Schema 3 is {"words", "calls", "outcomes", "lines", "measured", "results", "tolerances", "places", "ids"}: the tables of
`Checks` as columns (see packed.py). A call's `outcome` is a row of `outcomes`, which lists the lines of its aspects.
Where a column points into a table that it fills itself, 0 is the next new row, 1 none, and n + 2 row n again. `got` of
a measured check is 0 for none, 1 for the next of `got` and `tolerance`, else n + 2 for number n of its result and of
its limits, and n + 130 for the same rounded to float32.

Schema 2 is a column for each field of `Check`: of words {"words": [...], "rows": [index into words, ...]}, else a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossparity.conformance.checks import CHECK_FIELDS, Check, Checks
from lossparity.conformance.packed import Budget, decimals, floats, lines, read, whole
from lossparity.conformance.tables import OF_CALL, OF_LINE, PARTS, Floats, Tables, Vectors, Whole

MAX_COLUMNS = 2**30  # bytes that the columns of one record may take: four times what a million checks do
_EXPLICIT, _AS_IS, _AS_FLOAT32, _MOST = 1, 2, 130, 128
_WORDS_2 = (*PARTS, "backend", "verdict", "reason")
_NUMBERS_2 = ("error_ulp", "margin", "seconds")


def pack(checks: Checks) -> dict[str, Any]:
    """The checks as JSON holds them, in schema 3."""
    tables = checks.tables
    of_calls, sizes, of_outcomes = outcomes(checks)
    got, explicit = _found_in_result(tables)
    return {
        "words": tables.words,
        "calls": {
            **{name: whole(tables.calls[name]) for name in OF_CALL},
            "outcome": whole(of_calls),
            "microseconds": whole(np.round(tables.seconds * 1e6).astype(np.int64)),
        },
        "outcomes": {"sizes": whole(sizes), "lines": whole(of_outcomes)},
        "lines": {name: whole(tables.lines[name]) for name in (*OF_LINE, "measured")},
        "measured": {
            "error_ulp": _decimals(tables.error_ulp, tables.has_error),
            "margin": _decimals(tables.margin, tables.has_margin),
            "result": whole(_from_rows(tables.result)),
            "limits": whole(_from_rows(tables.limits)),
            "place": whole(_from_rows(tables.place)),
            "at": whole(got),
            "got": floats(tables.got[explicit]),
            "tolerance": decimals(tables.tolerance[explicit].tolist()),
        },
        "results": {"sizes": whole(tables.results.sizes), "values": floats(tables.results.values)},
        "tolerances": {"sizes": whole(tables.tolerances.sizes), "values": decimals(tables.tolerances.values.tolist())},
        "places": lines(tables.places),
        "ids": tables.ids,
    }


def outcomes(checks: Checks) -> tuple[Whole, Whole, Whole]:
    """For each call which outcome it had; how many lines each outcome has; and the lines of all of them."""
    starts = np.flatnonzero(np.diff(checks.call, prepend=-1))
    found: dict[bytes, int] = {}
    of_calls = [
        found.setdefault(checks.line[start:end].tobytes(), len(found))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(checks)], strict=False)
    ]
    sizes = np.array([len(key) // 8 for key in found], dtype=np.int64)
    return np.array(of_calls, dtype=np.int64), sizes, np.frombuffer(b"".join(found), np.int64)


def unpack(data: Mapping[str, Any]) -> Checks:
    """The checks again. ValueError, TypeError, KeyError, IndexError or zlib.error for data that are damaged."""
    budget = Budget(MAX_COLUMNS)
    words = _words(data["words"])
    calls = {name: read(data["calls"][name], "whole", budget) for name in (*OF_CALL, "outcome", "microseconds")}
    of_lines = {name: read(data["lines"][name], "whole", budget) for name in (*OF_LINE, "measured")}
    for name in (*OF_CALL, *OF_LINE):
        column = calls[name] if name in OF_CALL else of_lines[name]
        _inside(column, len(words[name]), name)
    if len({len(column) for column in calls.values()}) > 1 or len({len(column) for column in of_lines.values()}) > 1:
        raise ValueError("the columns of calls or of lines are not of one length")
    of = Vectors.of(*(read(data["outcomes"][name], "whole", budget) for name in ("lines", "sizes")))
    _inside(calls["outcome"], len(of), "outcome")
    _inside(of.values, len(of_lines["aspect"]), "line")
    sizes = of.sizes[calls["outcome"]]
    budget.take(3 * 8 * int(sizes.sum()))
    call = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(call)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    line = of.values[np.repeat(of.starts[calls["outcome"]], sizes) + within].astype(np.int64)
    numeric = of_lines["measured"][line] > 0
    measured = np.where(numeric, np.cumsum(numeric) - 1, -1)
    inner = data["measured"]
    error, margin = (read(inner[name], "decimals", budget) for name in ("error_ulp", "margin"))
    results, tolerances = (
        Vectors.of(_numbers(read(data[name]["values"], kind, budget)), read(data[name]["sizes"], "whole", budget))
        for name, kind in (("results", "f8"), ("tolerances", "decimals"))
    )
    places = read(data["places"], "lines", budget)
    result, limits, place = (
        _to_rows(read(inner[name], "whole", budget), len(table), name)
        for name, table in (("result", results), ("limits", tolerances), ("place", places))
    )
    columns = (error, margin, result, limits, place)
    if {len(each) for each in columns} != {int(numeric.sum())}:
        raise ValueError(f"{int(numeric.sum()):,} checks have numbers, and their columns are of another length")
    tables = Tables(
        words=words,
        calls={name: calls[name] for name in OF_CALL},
        seconds=calls["microseconds"] / 1e6,
        lines=of_lines,
        error_ulp=_numbers(error),
        has_error=np.array([x is not None for x in error], dtype=bool),
        margin=_numbers(margin),
        has_margin=np.array([x is not None for x in margin], dtype=bool),
        result=result,
        limits=limits,
        place=place,
        got=np.zeros(len(place)),
        tolerance=np.zeros(len(place)),
        results=results,
        tolerances=tolerances,
        places=places,
        ids={int(row): str(identifier) for row, identifier in data["ids"].items()},
    )
    _fill_in(tables, *(read(inner[name], kind, budget) for name, kind in _AT))
    return Checks(tables, call, line, measured)


def unpack_2(columns: Mapping[str, Any]) -> Checks:
    """The checks of schema 2."""
    fields: dict[str, list[Any]] = {}
    for name in CHECK_FIELDS:
        if name in _WORDS_2:
            words, rows = columns[name]["words"], columns[name]["rows"]
            if not all(isinstance(word, str) for word in words) or min(rows, default=0) < 0:
                raise ValueError(f"the words of {name} are damaged")
            fields[name] = [words[row] for row in rows]
        elif name in _NUMBERS_2:
            fields[name] = [each if each is None else float(each) for each in columns[name]]
        elif name != "id":
            fields[name] = columns[name]
    fields["id"] = ["/".join(parts) for parts in zip(*(fields[name] for name in PARTS), strict=True)]
    for row, identifier in columns["ids"].items():
        fields["id"][int(row)] = str(identifier)
    return Checks.of(Check(*row) for row in zip(*(fields[name] for name in CHECK_FIELDS), strict=True))


_AT = (("at", "whole"), ("got", "f8"), ("tolerance", "decimals"))


def _words(tables: Mapping[str, Any]) -> dict[str, list[Any]]:
    words = {name: tables[name] for name in (*OF_CALL, *OF_LINE)}
    for name, table in words.items():
        if not isinstance(table, list):
            raise TypeError(f"the words of {name} are no list")
        if name == "declared":
            fine = all(isinstance(each, list) and all(isinstance(word, str) for word in each) for each in table)
        else:
            fine = name == "result" or all(isinstance(word, str) for word in table)
        if not fine:
            raise TypeError(f"the words of {name} are no text")
    return words


def _inside(rows: NDArray[Any], size: int, what: str) -> None:
    if rows.min(initial=0) < 0 or rows.max(initial=-1) >= size:
        raise IndexError(f"a row points outside the {size} of {what}")


def _from_rows(rows: Whole) -> Whole:
    """Rows of a table that is filled in their order, as they are written."""
    known = np.maximum.accumulate(np.concatenate([[-1], rows]))
    return np.where(rows > known[:-1], 0, rows + 2)


def _to_rows(written: Whole, size: int, what: str) -> Whole:
    new = written == 0
    rows = np.where(new, np.cumsum(new) - 1, written - 2)
    if rows.min(initial=-1) < -1 or rows.max(initial=-1) >= size:
        raise IndexError(f"a row points outside the {size} of {what}")
    return rows


def _numbers(column: Any) -> Floats:
    return np.array([np.nan if x is None else x for x in column]) if isinstance(column, list) else column


def _decimals(column: Floats, has: Any) -> dict[str, Any]:
    return decimals([x if there else None for x, there in zip(column.tolist(), has.tolist(), strict=True)])


def _usual(tables: Tables) -> Any:
    """For each measured check, whether it has a place that stands in index, want and inputs."""
    listed = np.array([*(each.startswith("[") for each in tables.places), False], dtype=bool)
    return listed[tables.place]


def _found_in_result(tables: Tables) -> tuple[Whole, Any]:
    """`at` of each measured check as it is written, and which of them have `got` and `tolerance` written out."""
    usual = _usual(tables)
    at = np.where(usual, _EXPLICIT, 0)
    here = np.flatnonzero(usual & (tables.result >= 0) & (tables.limits >= 0))
    starts, ends = (tables.results.starts[tables.result[here] + i] for i in (0, 1))
    limits, ends_of_limits = (tables.tolerances.starts[tables.limits[here] + i] for i in (0, 1))
    longest = min(int((ends - starts).max(initial=0)), _MOST)
    for number in reversed(range(longest)):
        fits = np.flatnonzero((starts + number < ends) & (limits + number < ends_of_limits))
        value = tables.results.values[starts[fits] + number]
        same_limit = tables.tolerances.values[limits[fits] + number] == tables.tolerance[here[fits]]
        for kind, candidate in ((_AS_FLOAT32, _as_float32(value)), (_AS_IS, value)):
            same_bits = candidate.view(np.int64) == tables.got[here[fits]].view(np.int64)  # of 0.0 and -0.0 the one
            found = here[fits[same_limit & same_bits]]
            at[found] = kind + number
    return at, at == _EXPLICIT


def _fill_in(tables: Tables, at: Whole, got: Floats, tolerance: Floats) -> None:
    """`got` and `tolerance` of each measured check from what is written."""
    if (at > 0).tolist() != _usual(tables).tolist():
        raise ValueError("the places of the worst errors are damaged")
    explicit, found = at == _EXPLICIT, np.flatnonzero(at > _EXPLICIT)
    tables.got[explicit], tables.tolerance[explicit] = got, _numbers(tolerance)
    single = at[found] >= _AS_FLOAT32
    number = at[found] - np.where(single, _AS_FLOAT32, _AS_IS)
    for name, table, rows in (("got", tables.results, tables.result), ("tolerance", tables.tolerances, tables.limits)):
        places = table.starts[rows[found]] + number
        if rows[found].min(initial=0) < 0 or (places >= table.starts[rows[found] + 1]).any():
            raise IndexError(f"a row points outside the numbers of {name}")
        getattr(tables, name)[found] = table.values[places]
    tables.got[found] = np.where(single, _as_float32(tables.got[found]), tables.got[found])


def _as_float32(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)
