"""Findings in sentences."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lossparity.conformance.record import FAILING, INCOMPLETE, Check, Run
from lossparity.reports.causes import Cause, Causes, began, ceased, is_issue, reason
from lossparity.reports.changes import WHO_RAN, Change, Finding, raises
from lossparity.reports.findings import CLIP, clipped, few, listed, mapping, plural
from lossparity.reports.movement import Place, numbers, place

_MANTISSA = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}  # an error of so many bits leaves none


class Words:
    """Says what changed, from what the two records know of it."""

    def __init__(self, before: Run, after: Run, names: tuple[str, str]) -> None:
        self.before, self.after, self.names = before, after, names
        self.causes = Causes(before, after)

    def findings(self, changes: Iterable[Change]) -> list[Finding]:
        """The changes by cause."""
        groups: dict[Cause, list[Change]] = {}
        for change in changes:
            groups.setdefault(self.causes.cause(change), []).append(change)
        return [self._finding(cause, group) for cause, group in groups.items()]

    def _finding(self, cause: Cause, changes: list[Change]) -> Finding:
        ran = cause.kind not in WHO_RAN
        places = {id(change): place(change.before, change.after) for change in changes if ran}
        changes.sort(key=lambda change: _telling(change, places.get(id(change))), reverse=True)
        losses = ("*",) if cause.loss == "*" else tuple(dict.fromkeys(change.check.loss for change in changes))
        aspects = tuple(dict.fromkeys(change.aspect for change in changes)) if ran else ("*",)
        subject = cause.backend if losses == ("*",) else few(losses)
        shown = [each for each in aspects if each not in ("*", "raises") and not each.startswith("dialect:")]
        shown.sort(key=lambda aspect: (aspect != "value", aspect))
        if shown:
            subject += f", {listed([aspect_in_words(each) for each in shown])}"
        return Finding(
            kind=cause.kind,
            backend=cause.backend,
            losses=losses,
            aspects=aspects,
            implementations=tuple(dict.fromkeys(change.implementation for change in changes)),
            says=f"{subject}: {self._says(changes, places.get(id(changes[0])))}",
            cause=cause.words,
            size=max(change.size for change in changes),
            incomplete=any(c.kind == "missing" or (c.after and c.after.verdict in INCOMPLETE) for c in changes),
            changes=tuple(changes),
        )

    def _says(self, changes: Sequence[Change], where: Place | None) -> str:
        a, b, kind = changes[0].before, changes[0].after, changes[0].kind
        n = plural(len(changes), "check")
        if a is None or b is None or kind in WHO_RAN:
            return self._who_ran(changes, n)
        if a.aspect.startswith("dialect:"):
            return f"{a.aspect.partition(':')[2]} no longer shows: {clipped(b.reason)}"
        event = _worse(a, b, where) if kind == "drifted" else _event(a, b, where)
        words = f"{event} ({n})"
        if a.verdict != b.verdict:
            words += f"; was {a.verdict}, now {b.verdict}"
        return words + self._declared(kind, a, b)

    def _who_ran(self, changes: Sequence[Change], n: str) -> str:
        kind, a, b = changes[0].kind, changes[0].before, changes[0].after
        names = list(dict.fromkeys(each.implementation for each in changes))
        if kind == "missing":
            said = str(mapping(self.after.backends.get(changes[0].backend)).get("reason") or "")
            narrowed = self.after.selection != self.before.selection
            command = f"; it was run with `{shlex.join(map(str, self.after.command))}`" if narrowed else ""
            why = f": {clipped(said)}" if said else command
            return f"{n} of {self.names[0]} {'is' if len(changes) == 1 else 'are'} not in {self.names[1]}{why}"
        if kind == "removed":
            return f"{listed(names)} {'is' if len(names) == 1 else 'are'} gone, with {n}"
        one_of = f" (one of {len(names):,} implementations)" if len(names) > 1 else ""
        if kind == "stopped" and b is not None:
            why = f": {clipped(b.reason)}{one_of}" if b.reason else ""
            was = listed(sorted({each.before.verdict for each in changes if each.before}))
            verdicts = f"{'was' if len(changes) == 1 else 'were'} {was}, now {b.verdict}"
            return f"{n} no longer {'runs' if len(changes) == 1 else 'run'}; {verdicts}{why}"
        bad = sum(each.check.verdict in FAILING for each in changes)
        broken = f", {bad:,} of which {'breaks' if bad == 1 else 'break'} parity" if bad else ""
        were = f"; {'was' if len(changes) == 1 else 'were'} {a.verdict}" if a is not None else ""
        why = f"{were}: {clipped(a.reason)}{one_of}" if a is not None and a.reason else ""
        return f"{n} did not run before{broken}{why}"

    def _declared(self, kind: str, a: Check, b: Check) -> str:
        """The dialects and known issues that began or ceased to explain the check."""
        found = [("Now", self.after, b, name) for name in began(self.before, self.after, a, b)]
        found += [("No longer", self.before, a, name) for name in ceased(a, b)]
        if not found and kind == "changed":  # the same names explain both results
            found = [("Still" if is_issue(self.after, b, n) else "Another", self.after, b, n) for n in b.declared]
        words = []
        for label, run, check, name in found:
            why = reason(run, check, name)
            words += [f" {label} {name}: {clipped(why).rstrip('.')}."] if why else []
        return f".{''.join(words)}" if words else ""


def _telling(change: Change, where: Place | None) -> tuple[Any, ...]:
    """How well a change stands for its finding: failing, with its inputs known, between numbers, in float64, large."""
    failing = change.after is not None and change.after.verdict in FAILING
    results = [each.result for each in (change.before, change.after) if each]
    numeric = any(isinstance(result, (list, tuple)) and result for result in results)
    finite = where is not None and math.isfinite(where.before) and math.isfinite(where.after)
    plain, value = where.plain if where else 0, change.aspect == "value"
    short = -len(_where(where)) if where else 0
    return failing, plain, numeric, finite, change.check.dtype == "float64", value, short, change.size


def _event(a: Check, b: Check, place: Place | None) -> str:
    """What happened to a check that ran on both sides."""
    if raises(b) or raises(a):
        message = b.reason.partition("raised ")[2] or str(b.result)
        if raises(a) and raises(b):
            return f"raises {b.result}, raised {a.result} before" if a.result != b.result else "raises as before"
        if raises(b):
            given = "a result" if a.result is None else _shown(a.result)
            return f"now raises {clipped(message)}, gave {given} before"
        return f"gives {'a result' if b.result is None else _shown(b.result)}, raised {a.result} before"
    if place is not None:
        if place.before == place.after or (math.isnan(place.before) and math.isnan(place.after)):
            return f"{_number(place.after)}{_where(place)}, as before"
        before, after = told_apart(place.before, place.after)
        return f"{before} became {after}{_where(place)}"
    if isinstance(a.result, Mapping) and isinstance(b.result, Mapping):
        names = [name for name in {**a.result, **b.result} if a.result.get(name) != b.result.get(name)]
        return ", ".join(
            f"{name} is {_property(b.result.get(name))}, was {_property(a.result.get(name))}" for name in names
        ) or (clipped(b.reason) if b.reason else f"{b.aspect} as before")
    if a.result != b.result and b.result is not None:
        return f"gives {_shown(b.result)}, gave {_shown(a.result)} before"
    return clipped(b.reason) or f"{a.verdict} became {b.verdict}"


def _worse(a: Check, b: Check, where: Place | None) -> str:
    """An error that grew. In ULP it says nothing where the true result is 0, or where no digit is left to count in."""
    worst, was = mapping(b.worst), mapping(a.worst)
    tolerance = f"{_number(a.margin)} of the tolerance became {_number(b.margin)}"
    right, got = worst.get("want"), worst.get("got")
    lost = b.error_ulp is not None and b.error_ulp >= 2.0 ** (_MANTISSA.get(b.dtype, 53) - 1)
    known = _is_number(right) and _is_number(got)
    if not known or not (right == 0 or lost):
        at = _where(where) if where else ""
        return f"error {_number(a.error_ulp)} ULP became {_number(b.error_ulp)} ULP, {tolerance}{at}"
    same = was.get("index") == worst.get("index") and _is_number(was.get("got"))
    before = f", was {_number(was['got'])}" if same else f", was {_number(where.before)}" if where else ""
    says = f"{_number(got)} where {_number(right)} is right{before}"
    return f"{says}{'' if right == 0 else ': no digit is left'}; {tolerance}{_at(mapping(worst.get('at')))}"


def aspect_in_words(aspect: str) -> str:
    """`gradient of input`."""
    return aspect.replace(":", " of ")


def _where(found: Place) -> str:
    """The inputs in words."""
    return _at(found.at)


def _at(inputs: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{name} = {_input(each)}" for name, each in inputs.items())
    return f" at {shown}" if shown and len(shown) <= CLIP else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def told_apart(x: float, y: float) -> tuple[str, str]:
    """Two numbers in as few digits, five or more, as tell them apart."""
    for digits in range(5, 18):
        pair = f"{x:.{digits}g}", f"{y:.{digits}g}"
        if pair[0] != pair[1]:
            return pair
    return f"{x:.17g}", f"{y:.17g}"


def _number(x: Any) -> str:
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
