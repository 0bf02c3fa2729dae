"""Checks: one by one, as everybody reads them, and as columns, as a million of them are kept.

`Checks` is the sequence that a record holds. A row is a call (implementation, case, dtype, device, mode) with its
aspects inside. Words are numbers into tables; calls that came out alike share their aspects, verdicts and reasons;
results, tolerances and places of the worst error stand once however many checks show them. A `Check` is made when
one is looked at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import marshal
from array import array
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lossparity.conformance import packed
from lossparity.conformance.tables import (
    OF_CALL,
    OF_LINE,
    OF_MEASURED,
    PARTS,
    Floats,
    Interned,
    JoinedWords,
    Tables,
    Vectors,
    Whole,
    behind,
    combined,
    compact,
    in_order,
    offsets,
)


@dataclass(frozen=True)
class Check:
    """One check and its result.

    id: loss/implementation/case/dtype/device/mode/aspect, stable from run to run.
    aspect: value, gradient:<argument>, dtype, shape, error, twin, or dialect:<name> (is it still needed?).
    error_ulp: the largest |got - want| in units in the last place of the true result; None: nothing numeric compared.
    margin: the largest |got - want| / tolerance; above 1 is a mismatch.
    reason: why this verdict: the difference in words, the dialect's or issue's name, or why it did not run.
    seconds: how long it took; the first aspect of a call carries the call.
    declared: the names of the dialects or of the known issue by which the verdict was reached.
    result: what the framework gave, for comparison with another run: at most 16 elements of a value or gradient, evenly
        spread; a shape or dtype by name; the exception's class. None: nothing to compare.
    limits: the tolerance of each number in `result`, to two digits.
    worst: where error_ulp was found: {"index": [...], "got": x, "want": y, "tolerance": t, "at": {argument: [...]}}.

    A record keeps error_ulp and margin to six digits, the tolerance of `worst` to two, seconds to the microsecond and
    for the whole call, and of a match without any error no `worst`, which would be its first element.
    """

    id: str
    loss: str
    backend: str
    implementation: str
    case: str
    dtype: str
    device: str
    mode: str
    aspect: str
    verdict: str = ""
    error_ulp: float | None = None
    margin: float | None = None
    reason: str = ""
    seconds: float = 0.0
    worst: Mapping[str, Any] | None = None
    declared: Sequence[str] = ()
    result: Any = None
    limits: Sequence[float] | None = None


CHECK_FIELDS = tuple(f.name for f in dataclasses.fields(Check))
_PLACE = ("index", "got", "want", "tolerance", "at")
_BLOCK = 4096  # checks that are made at a time


class Checks(Sequence[Check]):
    """A sequence of checks, kept as columns: call, line and measured (-1: no numbers) are each check's rows in tables.

    Ask it for what is wanted of all of them (`tally`, `where`, `column`, `codes`) before going through a million.
    """

    def __init__(self, tables: Tables, call: Whole, line: Whole, measured: Whole, rows: Whole | None = None) -> None:
        self.tables = tables
        self.call, self.line, self.measured = call, line, measured
        self.rows = rows  # where each stood before a selection; None: all of the tables are in use

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Checks:
        """These checks as columns. TypeError for what a record cannot hold."""
        return checks if isinstance(checks, Checks) else _packed(checks)

    @classmethod
    def joined(cls, parts: Sequence[Checks]) -> Checks:
        """The checks of several sequences, one behind the other; what their tables share stays there twice."""
        tables = [part.tables for part in parts]
        calls, lines = JoinedWords(tables, OF_CALL), JoinedWords(tables, OF_LINE)
        results, tolerances = ([getattr(each, name) for each in tables] for name in ("results", "tolerances"))
        stood = [np.arange(len(part)) if part.rows is None else part.rows for part in parts]
        before = offsets([int(rows.max(initial=-1)) + 1 for rows in stood])
        return cls(
            Tables(
                words={**calls.words, **lines.words},
                calls={name: calls.column(name, [each.calls[name] for each in tables]) for name in OF_CALL},
                seconds=np.concatenate([each.seconds for each in tables]),
                lines={
                    **{name: lines.column(name, [each.lines[name] for each in tables]) for name in OF_LINE},
                    "measured": np.concatenate([each.lines["measured"] for each in tables]),
                },
                **{name: np.concatenate([getattr(each, name) for each in tables]) for name in OF_MEASURED},
                result=behind([each.result for each in tables], [len(each) for each in results]),
                limits=behind([each.limits for each in tables], [len(each) for each in tolerances]),
                place=behind([each.place for each in tables], [len(each.places) for each in tables]),
                results=Vectors.joined(results),
                tolerances=Vectors.joined(tolerances),
                places=[place for each in tables for place in each.places],
                ids={
                    start + row: identifier
                    for start, rows, each in zip(before, stood, tables, strict=True)
                    for row, identifier in each.ids.items()
                    if row <= rows.max(initial=-1)
                },
            ),
            behind([part.call for part in parts], [len(each.seconds) for each in tables]),
            behind([part.line for part in parts], [len(each.lines["measured"]) for each in tables]),
            behind([part.measured for part in parts], [len(each.got) for each in tables]),
            np.concatenate([start + rows for start, rows in zip(before, stood, strict=True)]),
        )

    def whole(self) -> Checks:
        """The same checks, with tables that hold nothing else."""
        if self.rows is None:
            return self
        ids = {row: self.tables.ids[int(self.rows[row])] for row in np.flatnonzero(self.odd()).tolist()}
        return Checks(*compact(self.tables, self.call, self.line, self.measured, ids))

    def __len__(self) -> int:
        return len(self.call)

    @overload
    def __getitem__(self, row: int) -> Check: ...
    @overload
    def __getitem__(self, row: slice) -> Checks: ...
    def __getitem__(self, row: int | slice) -> Check | Checks:
        if isinstance(row, slice):
            return self.take(np.arange(len(self))[row])
        return self._made(np.array([range(len(self))[row]]))[0]

    def __iter__(self) -> Iterator[Check]:
        for start in range(0, len(self), _BLOCK):
            yield from self._made(np.arange(start, min(start + _BLOCK, len(self))))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list has none

    def __repr__(self) -> str:
        return f"<{len(self):,} checks>"

    def take(self, rows: Whole | NDArray[np.bool_]) -> Checks:
        """Some of them, by row or by a mask."""
        stood = np.arange(len(self)) if self.rows is None else self.rows
        return Checks(self.tables, self.call[rows], self.line[rows], self.measured[rows], stood[rows])

    def codes(self, name: str) -> tuple[list[Any], Whole]:
        """One of OF_CALL or OF_LINE: what there is, and for each check which of it."""
        tables = self.tables
        inner = tables.calls[name][self.call] if name in OF_CALL else tables.lines[name][self.line]
        return tables.words[name], inner

    def column(self, name: str) -> list[Any]:
        """One of OF_CALL or OF_LINE of every check."""
        words, codes = self.codes(name)
        return [words[code] for code in codes.tolist()]

    def distinct(self, *names: str) -> tuple[list[tuple[Any, ...]], Whole]:
        """The combinations of these words there are, in order of appearance, and for each check which of them."""
        columns = [self.codes(name) for name in names]
        _, which = in_order(combined([(codes, len(words)) for words, codes in columns]))
        rows = np.unique(which, return_index=True)[1].tolist()
        combinations = zip(*([words[codes[row]] for row in rows] for words, codes in columns), strict=True)
        return list(combinations), which

    def tally(self, *names: str) -> Counter[tuple[str, ...]]:
        """How many checks there are of each combination, in order of appearance."""
        combinations, which = self.distinct(*names)
        return Counter(dict(zip(combinations, np.bincount(which).tolist(), strict=True)))

    def is_in(self, name: str, wanted: Container[str]) -> NDArray[np.bool_]:
        """For each check, whether its word is one of these."""
        words, codes = self.codes(name)
        return np.array([word in wanted for word in words], dtype=bool)[codes]

    def ids(self) -> list[str]:
        """Every check's ID."""
        columns = [self.column(name) for name in PARTS]
        found = list(map("/".join, zip(*columns, strict=True)))
        for row in np.flatnonzero(self.odd()).tolist():
            found[row] = self.tables.ids[row if self.rows is None else int(self.rows[row])]
        return found

    def numbered(self) -> Whole:
        """A number for each check's ID."""
        if self.odd().any():
            number = Interned()
            return np.array([number[identifier] for identifier in self.ids()], dtype=np.int64)
        return combined([(codes, len(words)) for words, codes in map(self.codes, PARTS)])

    def odd(self) -> NDArray[np.bool_]:
        """Whether each check's ID is not made of its parts."""
        stood = np.arange(len(self)) if self.rows is None else self.rows
        return np.isin(stood, np.fromiter(self.tables.ids, np.int64))

    def where(self, **wanted: Container[str]) -> Checks:
        """Those whose words are among the wanted ones: `where(verdict=FAILING, backend=["torch"])`."""
        mask = np.ones(len(self), bool)
        for name, words in wanted.items():
            mask &= self.is_in(name, words)
        return self.take(mask)

    def numbers(self, name: str) -> Floats:
        """`error_ulp` or `margin` of every check; NaN also where there is none."""
        found = np.full(len(self), np.nan)
        numeric = self.measured >= 0
        found[numeric] = getattr(self.tables, name)[self.measured[numeric]]
        return found

    def has(self, name: str) -> NDArray[np.bool_]:
        """Whether each check has an `error_ulp` or a `margin`."""
        found = self.measured >= 0
        found[found] = (self.tables.has_error if name == "error_ulp" else self.tables.has_margin)[self.measured[found]]
        return found

    def places(self) -> Whole:
        """For each check the row of `places` that says where its error was found; -1 for none."""
        found = np.full(len(self), -1)
        numeric = self.measured >= 0
        found[numeric] = self.tables.place[self.measured[numeric]]
        return found

    def _made(self, rows: Whole) -> list[Check]:
        """These rows as checks."""
        tables, call, line, measured = self.tables, self.call[rows], self.line[rows], self.measured[rows]
        fields: dict[str, list[Any]] = {}
        for name in (*OF_CALL, *OF_LINE):
            inner = tables.calls[name][call] if name in OF_CALL else tables.lines[name][line]
            words = tables.words[name]
            fields[name] = [words[code] for code in inner.tolist()]
        fields["id"] = ["/".join(parts) for parts in zip(*(fields[name] for name in PARTS), strict=True)]
        if tables.ids:
            stood = rows if self.rows is None else self.rows[rows]
            fields["id"] = [tables.ids.get(row, each) for row, each in zip(stood.tolist(), fields["id"], strict=True)]
        first = np.ones(len(rows), bool)
        first[1:] = call[1:] != call[:-1]
        if len(rows) and rows[0]:
            first[0] = self.call[rows[0] - 1] != call[0]
        fields["seconds"] = np.where(first, tables.seconds[call], 0.0).tolist()
        numeric = measured >= 0
        for name in ("error_ulp", "margin", "worst", "limits"):
            fields[name] = [None] * len(rows)
        if numeric.any():
            places, inner = np.flatnonzero(numeric).tolist(), measured[numeric]
            for name, flags in (("error_ulp", tables.has_error), ("margin", tables.has_margin)):
                _fill(fields[name], places, _with_none(getattr(tables, name)[inner], flags[inner]))
            _fill(fields["limits"], places, tables.tolerances.lists(tables.limits[inner]))
            _fill(fields["worst"], places, self._worst(inner))
            for place, found in zip(places, tables.results.lists(tables.result[inner]), strict=True):
                if found is not None:
                    fields["result"][place] = found
        made = []
        for values in zip(*(fields[name] for name in CHECK_FIELDS), strict=True):
            check = object.__new__(Check)  # its own __init__ takes four times as long
            check.__dict__.update(zip(CHECK_FIELDS, values, strict=True))
            made.append(check)
        return made

    def _worst(self, measured: Whole) -> Iterator[Mapping[str, Any] | None]:
        tables = self.tables
        got, tolerance = tables.got[measured].tolist(), tables.tolerance[measured].tolist()
        rows = tables.place[measured].tolist()
        found = iter(json.loads(f"[{','.join(tables.places[row] for row in rows if row >= 0)}]"))
        for at, row in enumerate(rows):
            worst = next(found) if row >= 0 else None
            if isinstance(worst, list):
                index, want, inputs = worst
                worst = {"index": index, "got": got[at], "want": want, "tolerance": tolerance[at], "at": inputs}
            yield worst


def _fill(column: list[Any], places: Iterable[int], values: Iterable[Any]) -> None:
    for place, value in zip(places, values, strict=True):
        column[place] = value


def _with_none(numbers: Floats, has: NDArray[np.bool_]) -> list[float | None]:
    return [number if there else None for number, there in zip(numbers.tolist(), has.tolist(), strict=True)]


# --- From checks to columns


class _Lists:
    """Lists of floats, each kept once."""

    def __init__(self) -> None:
        self.numbers = Interned()

    def add(self, numbers: Any) -> int:
        """The number of this list; -1 where it is none of floats. In a file, infinities and NaN may be words."""
        if not isinstance(numbers, (list, tuple)):
            return -1
        try:
            values = array("d", numbers)
        except TypeError:
            try:
                values = array("d", map(float, numbers))
            except (TypeError, ValueError):
                return -1
        return self.numbers[values.tobytes()]

    def vectors(self) -> Vectors:
        sizes = np.array([len(key) // 8 for key in self.numbers], dtype=np.int64)
        return Vectors.of(np.frombuffer(b"".join(self.numbers), np.float64), sizes)


class _Values:
    """Anything that JSON holds, each kept once. marshal tells values apart as JSON does, in a tenth of the time."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[Any, int] = {}

    def add(self, value: Any) -> int:
        try:
            key: Any = marshal.dumps(value, 2)
        except ValueError:
            key = packed.text(value)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.texts)
            self.texts.append(packed.text(value))
        return number


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No search for garbage while a large record is made: there is none, and looking takes as long as making."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@no_collection()
def _packed(checks: Iterable[Check]) -> Checks:
    calls, lines, objects, places = [], Interned(), _Values(), _Values()
    results, tolerances = _Lists(), _Lists()
    seconds: list[float] = []
    call, line, measured = array("q"), array("q"), array("q")
    numbers: list[tuple[float | None, float | None, int, int, int, float, float]] = []
    ids: dict[int, str] = {}
    objects.add(None)
    last: tuple[str, ...] = ()
    for row, check in enumerate(checks):
        key = (check.loss, check.backend, check.implementation, check.case, check.dtype, check.device, check.mode)
        if key != last:
            last = key
            calls.append(key)
            seconds.append(0.0)
        seconds[-1] += check.seconds
        call.append(len(calls) - 1)
        if check.id != f"{key[0]}/{key[2]}/{key[3]}/{key[4]}/{key[5]}/{key[6]}/{check.aspect}":
            ids[row] = str(check.id)
        result = -1 if check.result is None else results.add(check.result)
        kept = 0 if check.result is None or result >= 0 else objects.add(check.result)
        error, margin, worst = check.error_ulp, check.margin, check.worst
        if check.verdict == "match" and error == 0.0:
            worst = None
        plain = error is None and margin is None and result < 0 and worst is None and check.limits is None
        line.append(lines[check.aspect, check.verdict, check.reason, tuple(check.declared), kept, not plain])
        if plain:
            measured.append(-1)
            continue
        measured.append(len(numbers))
        place, got, tolerance = -1, 0.0, 0.0
        if worst is not None:
            if _is_usual(worst):
                got, tolerance = worst["got"], worst["tolerance"]
                place = places.add([worst["index"], worst["want"], worst["at"]])
            else:
                place = places.add(dict(worst))
        limits = -1 if check.limits is None else tolerances.add(check.limits)
        numbers.append((error, margin, result, limits, place, got, tolerance))
    words: dict[str, Interned] = {name: Interned() for name in (*OF_CALL, *OF_LINE)}
    of_calls = {
        name: np.array([table[key[at]] for key in calls], dtype=np.int64)
        for at, (name, table) in enumerate((name, words[name]) for name in OF_CALL)
    }
    of_lines = {
        name: np.array([table[key[at]] for key in lines], dtype=np.int64)
        for at, (name, table) in enumerate((name, words[name]) for name in OF_LINE[:-1])
    }
    of_lines["result"], of_lines["measured"] = (np.array([key[i] for key in lines], dtype=np.int64) for i in (-2, -1))
    tables = Tables(
        words={
            **{name: list(table) for name, table in words.items()},
            "declared": [list(names) for names in words["declared"]],
            "result": [json.loads(each) for each in objects.texts],
        },
        calls=of_calls,
        seconds=np.round(np.array(seconds), 6),
        lines=of_lines,
        places=places.texts,
        results=results.vectors(),
        tolerances=tolerances.vectors(),
        ids=ids,
        **_measured(numbers),
    )
    return Checks(tables, *(np.array(each, dtype=np.int64) for each in (call, line, measured)))


def _is_usual(worst: Mapping[str, Any]) -> bool:
    """Whether it has the form of the judge's, in numbers that JSON has."""
    if tuple(worst) != _PLACE:
        return False
    numbers = (worst["got"], worst["want"], worst["tolerance"])
    return isinstance(worst["index"], list) and all(type(x) is float and abs(x) < np.inf for x in numbers)


def _measured(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    error, margin, result, limits, place, got, tolerance = zip(*rows, strict=True) if rows else ((),) * 7
    return {
        "error_ulp": np.array([_rounded(x) for x in error], dtype=np.float64),
        "has_error": np.array([x is not None for x in error], dtype=bool),
        "margin": np.array([_rounded(x) for x in margin], dtype=np.float64),
        "has_margin": np.array([x is not None for x in margin], dtype=bool),
        **{
            name: np.array(column, dtype=np.int64)
            for name, column in (("result", result), ("limits", limits), ("place", place))
        },
        "got": np.array(got, dtype=np.float64),
        "tolerance": np.array([float(f"{x:.2g}") for x in tolerance], dtype=np.float64),
    }


def _rounded(x: float | None) -> float:
    """To six digits, but never on or over the border of the tolerance."""
    if x is None:
        return np.nan
    short = float(f"{x:.6g}")
    return float(x) if short == 1.0 else short
