"""From changed checks to causes, in words."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossparity.conformance.record import FAILING, INCOMPLETE, Check, Run
from lossparity.reports.changes import RAN, Change, Finding, without_numbers
from lossparity.reports.findings import CLIP, clipped, listed, mapping, plural, rows
from lossparity.reports.movement import moves, numbers


class Words:
    """Says what changed, from what the two records know of it."""

    def __init__(self, before: Run, after: Run, names: tuple[str, str]) -> None:
        self.before, self.after, self.names = before, after, names
        self.ran = [{c.backend for c in run.checks if c.verdict in RAN} for run in (before, after)]

    def findings(self, changes: Iterable[Change]) -> list[Finding]:
        """The changes by cause."""
        groups: dict[tuple[str, ...], list[Change]] = {}
        for change in changes:
            groups.setdefault(self._cause(change), []).append(change)
        return [self._finding(cause, group) for cause, group in groups.items()]

    def _cause(self, change: Change) -> tuple[str, ...]:
        """What changes of one finding share: kind, backend, loss, aspect, and of what did not run the reason."""
        check, kind = change.check, change.kind
        if kind in ("missing", "stopped", "added", "removed"):
            a, b = change.before, change.after
            reason = without_numbers(b.reason) if kind == "stopped" and b else ""
            everything = check.backend not in self.ran[kind != "added"] or (b is not None and b.verdict in INCOMPLETE)
            was_listed = a.verdict if a is not None and kind == "added" else ""
            return kind, check.backend, "*" if everything else check.loss, "*", reason, was_listed
        if check.aspect.startswith("dialect:"):
            return kind, check.backend, check.loss, check.aspect
        raised = any(each is not None and _raised(each) for each in (change.before, change.after))
        return kind, check.backend, check.loss, "raises" if raised and check.aspect != "error" else check.aspect

    def _finding(self, cause: tuple[str, ...], changes: list[Change]) -> Finding:
        kind, backend, loss, aspect = cause[:4]
        places = {id(change): _place(change) for change in changes if kind not in ("missing", "added", "removed")}
        changes.sort(key=lambda change: _telling(change, places.get(id(change))), reverse=True)
        first = changes[0]
        incomplete = any(c.kind == "missing" or (c.after and c.after.verdict in INCOMPLETE) for c in changes)
        subject = backend if loss == "*" else loss
        if aspect not in ("*", "raises") and not aspect.startswith("dialect:"):
            subject += f", {aspect.replace(':', ' of ')}"
        return Finding(
            kind=kind,
            backend=backend,
            loss=loss,
            aspect=aspect,
            implementations=tuple(dict.fromkeys(change.check.implementation for change in changes)),
            says=f"{subject}: {self._says(kind, first, places.get(id(first)), changes)}",
            size=max(change.size for change in changes),
            incomplete=incomplete,
            changes=tuple(changes),
        )

    def _says(self, kind: str, change: Change, place: _Place | None, changes: Sequence[Change]) -> str:
        a, b, n = change.before, change.after, plural(len(changes), "check")
        if b is None or a is None or kind in ("stopped", "added"):
            return self._says_who_ran(kind, change, n, changes)
        event = _event(a, b, place)
        words = [f"{event} ({n})"]
        if a.verdict != b.verdict:
            words.append(f"was {a.verdict}, now {b.verdict}")
        if kind == "drifted":
            words = [f"{_worse(a, b)}{place.where if place else ''} ({n})"]
        elif a.aspect.startswith("dialect:"):
            words = [f"{a.aspect.partition(':')[2]} no longer shows: {clipped(b.reason)}"]
        return "; ".join(words) + self._declared(a, b)

    def _says_who_ran(self, kind: str, change: Change, n: str, changes: Sequence[Change]) -> str:
        a, b = change.before, change.after
        if kind == "missing":
            reason = str(mapping(self.after.backends.get(change.check.backend)).get("reason") or "")
            narrowed = self.after.selection != self.before.selection
            command = f"; it was run with `{shlex.join(map(str, self.after.command))}`" if narrowed else ""
            why = f": {clipped(reason)}" if reason else command
            return f"{n} of {self.names[0]} {'is' if len(changes) == 1 else 'are'} not in {self.names[1]}{why}"
        if kind == "removed":
            names = dict.fromkeys(each.check.implementation for each in changes)
            return f"{listed(list(names))} {'is' if len(names) == 1 else 'are'} gone, with {n}"
        if kind == "stopped" and a is not None and b is not None:
            reason = f": {clipped(b.reason)}" if b.reason else ""
            return f"{n} no longer {'runs' if len(changes) == 1 else 'run'}; was {a.verdict}, now {b.verdict}{reason}"
        bad = sum(each.check.verdict in FAILING for each in changes)
        broken = f", {bad:,} of which {'breaks' if bad == 1 else 'break'} parity" if bad else ""
        return f"{n} did not run before{broken}"

    def _declared(self, a: Check, b: Check) -> str:
        """The dialects and known issues that began or ceased to explain the check."""
        words = []
        for label, mine, other, run, its in (
            ("Now", b, a, self.after, self.before),
            ("No longer", a, b, self.before, self.after),
        ):
            for name in mine.declared:
                reason = _reason(run, mine, str(name))
                if reason and (name not in other.declared or (label == "Now" and reason != _reason(its, mine, name))):
                    words.append(f" {label} {name}: {clipped(reason)}")
        return f".{'.'.join(word.rstrip('.') for word in words)}." if words else ""


@dataclass(frozen=True)
class _Place:
    """The element that moved most: what it was and is, and the inputs it came from where a record knows them."""

    before: float
    after: float
    at: Mapping[str, Any]

    @property
    def plain(self) -> int:
        """2 where its inputs are single numbers, 1 where they are known, 0 where not."""
        return 2 if self.at and all(_is_number(each) for each in self.at.values()) else 1 if self.at else 0

    @property
    def where(self) -> str:
        """The inputs in words."""
        shown = ", ".join(f"{name} = {_input(each)}" for name, each in self.at.items())
        return f" at {shown}" if shown and len(shown) <= CLIP else ""


def _place(change: Change) -> _Place | None:
    a, b = change.before, change.after
    if a is None or b is None:
        return None
    x, y = numbers(a.result), numbers(b.result)
    if x is None or y is None or len(x) != len(y) or not x:
        return None
    steps = moves(a, b, x, y)
    i = max(range(len(steps)), key=steps.__getitem__)
    for worst, number in ((mapping(b.worst), y[i]), (mapping(a.worst), x[i])):
        got = numbers([worst.get("got")])
        if got and _close(got[0], number):
            return _Place(x[i], y[i], mapping(worst.get("at")))
    return _Place(x[i], y[i], {})


def _telling(change: Change, place: _Place | None) -> tuple[Any, ...]:
    """How well a change stands for its finding: failing, with its inputs known, between numbers, in float64, large."""
    failing = change.after is not None and change.after.verdict in FAILING
    results = [each.result for each in (change.before, change.after) if each]
    numeric = any(numbers(result) for result in results)
    finite = place is not None and math.isfinite(place.before) and math.isfinite(place.after)
    return failing, place.plain if place else 0, numeric, finite, change.check.dtype == "float64", change.size


def _event(a: Check, b: Check, place: _Place | None) -> str:
    """What happened to a check that ran on both sides."""
    if _raised(b) or _raised(a):
        message = b.reason.partition("raised ")[2] or str(b.result)
        if _raised(a) and _raised(b):
            return f"raises {b.result}, raised {a.result} before" if a.result != b.result else "raises as before"
        if _raised(b):
            given = "a result" if a.result is None else _shown(a.result)
            return f"now raises {clipped(message)}, gave {given} before"
        return f"gives {'a result' if b.result is None else _shown(b.result)}, raised {a.result} before"
    if place is not None:
        if place.before == place.after or (math.isnan(place.before) and math.isnan(place.after)):
            return f"{_number(place.after)}{place.where}, as before"
        before, after = told_apart(place.before, place.after)
        return f"{before} became {after}{place.where}"
    if isinstance(a.result, Mapping) and isinstance(b.result, Mapping):
        names = [name for name in {**a.result, **b.result} if a.result.get(name) != b.result.get(name)]
        return ", ".join(
            f"{name} is {_property(b.result.get(name))}, was {_property(a.result.get(name))}" for name in names
        ) or (clipped(b.reason) if b.reason else f"{b.aspect} as before")
    if a.result != b.result and b.result is not None:
        return f"gives {_shown(b.result)}, gave {_shown(a.result)} before"
    return clipped(b.reason) or f"{a.verdict} became {b.verdict}"


def _worse(a: Check, b: Check) -> str:
    """An error that grew."""
    ulp = f"error {_number(a.error_ulp)} ULP became {_number(b.error_ulp)} ULP"
    return f"{ulp}, {_number(a.margin)} of the tolerance became {_number(b.margin)}"


def _raised(check: Check) -> bool:
    return isinstance(check.result, str)


def _reason(run: Run, check: Check, name: str) -> str:
    about = mapping(run.implementations.get(f"{check.loss}/{check.implementation}"))
    for each in (*rows(about.get("dialects")), *rows(about.get("known_issues"))):
        if each.get("name") == name:
            return str(each.get("reason", ""))
    return ""


def told_apart(x: float, y: float) -> tuple[str, str]:
    """Two numbers in as few digits, five or more, as tell them apart."""
    for digits in range(5, 18):
        pair = f"{x:.{digits}g}", f"{y:.{digits}g}"
        if pair[0] != pair[1]:
            return pair
    return f"{x:.17g}", f"{y:.17g}"


def _number(x: float | None) -> str:
    return "none" if x is None else f"{x:.5g}"


def _input(value: Any) -> str:
    """An input as it would be typed, in digits that fit into a sentence."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_input(each) for each in value)}]"
    return f"{value:.6g}" if isinstance(value, float) else clipped(str(value))


def _shown(result: Any) -> str:
    if isinstance(result, Mapping):
        return "a result"
    found = numbers(result)
    if found is not None:
        return _number(found[0]) if len(found) == 1 else clipped(f"[{', '.join(map(_number, found))}]", 60)
    return "nothing" if result is None else clipped(str(result), 60)


def _property(value: Any) -> str:
    """A dtype, or a shape as Python writes it."""
    return repr(tuple(value)) if isinstance(value, (list, tuple)) else _shown(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _close(x: float, y: float) -> bool:
    return x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= 1e-6 * abs(y)
