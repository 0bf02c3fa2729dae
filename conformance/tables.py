"""The tables that checks are kept in as columns, and several of them as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossparity.conformance import packed

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]

PARTS = ("loss", "implementation", "case", "dtype", "device", "mode", "aspect")  # of a check's ID
OF_CALL = ("loss", "backend", "implementation", "case", "dtype", "device", "mode")
OF_LINE = ("aspect", "verdict", "reason", "declared", "result")  # result: of checks without numbers
OF_MEASURED = ("error_ulp", "has_error", "margin", "has_margin", "got", "tolerance")
_LARGEST = 2**62


@dataclass
class Tables:
    """What the rows of `Checks` point into.

    words: for each of OF_CALL and OF_LINE what its numbers stand for: text; lists of names for `declared`; anything
        that JSON holds for `result`.
    calls: OF_CALL of each call, as numbers into words. seconds: of each call.
    lines: OF_LINE of each way in which a check came out, and whether it is `measured`: has a row of numbers.
    error_ulp, margin (NaN where there is none, or it is one), has_error, has_margin: of each measured check, as are
    result, limits (rows of `results` and `tolerances`, -1 for none), place (a row of `places`, -1 for none), and got
        and tolerance there.
    results, tolerances: lists of floats. places: JSON of [index, want, inputs], or of a `worst` that has another form.
    ids: those that are not made of the check's parts, by row.
    """

    words: dict[str, list[Any]]
    calls: dict[str, Whole]
    seconds: Floats
    lines: dict[str, Whole]
    error_ulp: Floats
    has_error: NDArray[np.bool_]
    margin: Floats
    has_margin: NDArray[np.bool_]
    result: Whole
    limits: Whole
    place: Whole
    got: Floats
    tolerance: Floats
    results: Vectors
    tolerances: Vectors
    places: list[str]
    ids: dict[int, str]


@dataclass
class Vectors:
    """Lists of floats, end to end: list i is values[starts[i]:starts[i + 1]]."""

    values: Floats
    starts: Whole

    @classmethod
    def of(cls, values: Floats, sizes: Whole) -> Vectors:
        """From all numbers and the length of each list."""
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        if len(values) != starts[-1]:
            raise ValueError(f"lists of {starts[-1]} numbers together have {len(values)}")
        return cls(values, starts)

    @classmethod
    def joined(cls, parts: Sequence[Vectors]) -> Vectors:
        """The lists of several, one behind the other."""
        return cls.of(np.concatenate([each.values for each in parts]), np.concatenate([each.sizes for each in parts]))

    def take(self, rows: Whole) -> Vectors:
        """Some of the lists."""
        sizes = self.sizes[rows]
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return Vectors.of(self.values[np.repeat(self.starts[rows], sizes) + within], sizes)

    def keys(self, rows: Whole) -> list[bytes]:
        """For each of these lists the same bytes as for every list of the same numbers, to the bit."""
        raw = np.ascontiguousarray(self.values, np.float64).tobytes()
        return [
            raw[8 * start : 8 * end]
            for start, end in zip(self.starts[rows].tolist(), self.starts[rows + 1].tolist(), strict=True)
        ]

    @property
    def sizes(self) -> Whole:
        """The length of each list."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lists(self, rows: Whole) -> list[list[float] | None]:
        """Some of the lists; None for row -1."""
        starts, ends = self.starts[rows].tolist(), self.starts[rows + 1].tolist()
        values = self.values
        return [
            values[start:end].tolist() if row >= 0 else None
            for row, start, end in zip(rows.tolist(), starts, ends, strict=True)
        ]


class Interned(dict[Any, int]):
    """Each key's number, in order of appearance."""

    def __missing__(self, key: Any) -> int:
        number = self[key] = len(self)
        return number


class JoinedWords:
    """The words of several tables as one, in which each stands once."""

    def __init__(self, parts: Sequence[Tables], names: Sequence[str]) -> None:
        self.words: dict[str, list[Any]] = {}
        self._codes: dict[str, list[Whole]] = {}
        for name in names:
            number, found = Interned(), []
            self.words[name] = []
            for part in parts:
                codes = []
                for word in part.words[name]:
                    codes.append(number[packed.text(word)])
                    if len(number) > len(self.words[name]):
                        self.words[name].append(word)
                found.append(np.array(codes, dtype=np.int64))
            self._codes[name] = found

    def column(self, name: str, columns: Sequence[Whole]) -> Whole:
        """The columns that point into the tables, as one that points into all of them."""
        return np.concatenate([codes[column] for codes, column in zip(self._codes[name], columns, strict=True)])


def in_order(codes: Whole) -> tuple[Whole, Whole]:
    """The codes there are, in order of appearance, and for each row which of them."""
    found, first, inner = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(found), np.int64)
    place[order] = np.arange(len(found))
    return found[order], place[inner.reshape(-1)]


def compact(
    tables: Tables, call: Whole, line: Whole, measured: Whole, ids: dict[int, str]
) -> tuple[Tables, Whole, Whole, Whole]:
    """These rows, and tables that hold nothing else, in the order in which the rows need it and everything once.

    ids: those that are not made of the check's parts. It is what packing the checks one by one makes.
    """
    keys = combined([(tables.calls[name], len(tables.words[name])) for name in OF_CALL])[call]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    carries = np.diff(call, prepend=-1) != 0  # the first row of a call carries its seconds
    seconds = np.add.reduceat(np.where(carries, tables.seconds[call], 0.0), starts) if len(starts) else np.zeros(0)
    words: dict[str, list[Any]] = {}
    calls: dict[str, Whole] = {}
    for name in OF_CALL:
        found, calls[name] = in_order(tables.calls[name][call[starts]])
        words[name] = [tables.words[name][code] for code in found.tolist()]
    parts = [(tables.lines[name], len(tables.words[name])) for name in OF_LINE]
    ways = combined([*parts, (tables.lines["measured"], 2)])[line]
    _, row, of_line = np.unique(ways, return_index=True, return_inverse=True)
    of_line, own = of_line.reshape(-1), line[np.sort(row)]
    lines: dict[str, Whole] = {}
    for name in OF_LINE:
        codes = tables.lines[name][own]
        if name == "result":  # None comes first
            codes = np.concatenate([[tables.words[name].index(None)], codes])
        found, codes = in_order(codes)
        lines[name] = codes[1:] if name == "result" else codes
        words[name] = [tables.words[name][code] for code in found.tolist()]
    lines["measured"] = tables.lines["measured"][own]
    numeric = measured[measured >= 0]
    kept: dict[str, Any] = {}
    for name, of in (("results", "result"), ("tolerances", "limits")):
        lists: Vectors = getattr(tables, name)
        rows, kept[of] = _once(getattr(tables, of)[numeric], lists.keys)
        kept[name] = lists.take(rows)
    rows, kept["place"] = _once(tables.place[numeric], lambda rows: [tables.places[row] for row in rows.tolist()])
    there = measured >= 0
    return (
        Tables(
            words=words,
            calls=calls,
            seconds=np.round(seconds, 6),
            lines=lines,
            places=[tables.places[row] for row in rows.tolist()],
            ids=ids,
            **{name: getattr(tables, name)[numeric] for name in OF_MEASURED},
            **kept,
        ),
        np.cumsum(np.diff(keys, prepend=-1) != 0) - 1,
        in_order(of_line)[1],
        np.where(there, np.cumsum(there) - 1, -1),
    )


def _once(rows: Whole, keys: Callable[[Whole], list[Any]]) -> tuple[Whole, Whole]:
    """The rows of a table that are needed, in order of appearance, of those with one key the first; and rows of these.

    -1 stays.
    """
    there = rows >= 0
    distinct, inner = in_order(rows[there])
    number = Interned()
    codes = np.array([number[key] for key in keys(distinct)], dtype=np.int64)
    found = np.full(len(rows), -1)
    found[there] = codes[inner]
    return distinct[np.unique(codes, return_index=True)[1]], found


def offsets(sizes: Sequence[int]) -> list[int]:
    """Where each of several tables begins, one behind the other."""
    return [sum(sizes[:i]) for i in range(len(sizes))]


def behind(columns: Sequence[Whole], sizes: Sequence[int]) -> Whole:
    """Columns of rows of tables of these sizes, as one of rows of the tables one behind the other; -1 stays."""
    return np.concatenate(
        [np.where(rows < 0, rows, rows + start) for rows, start in zip(columns, offsets(sizes), strict=True)]
    )


def combined(columns: Sequence[tuple[Whole, int]]) -> Whole:
    """A number for each row's combination of codes; each column comes with a size that its codes are below."""
    total, size = np.zeros(len(columns[0][0]), np.int64), 1
    for codes, n in columns:
        if size * n > _LARGEST:
            total = np.unique(total, return_inverse=True)[1].reshape(-1)
            size = len(total)
        total = total * n + codes
        size *= n
    return total
