"""Which changes have one cause.

They share it where the same declaration began or ceased to explain them, or where the same reason is given, in however
many losses; without either, where the same aspect of one loss changed in one way (NaN to a number, a number to empty).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lossparity.conformance.record import FAILING, INCOMPLETE, Check, Run
from lossparity.reports.changes import WHO_RAN, Change, backends_that_ran, raises, without_numbers
from lossparity.reports.findings import mapping, rows
from lossparity.reports.movement import place

_LAST_DIGITS = 1e-3  # of the larger number: a move below it changed digits, not the result


@dataclass(frozen=True)
class Cause:
    """What changes of one finding share.

    why: the declarations or the reason; () where there is none. look: what became of the result.
    loss: "" where `why` is reason enough for several, "*" for a whole backend.
    """

    kind: str
    backend: str
    why: tuple[str, ...]
    look: tuple[str, ...]
    loss: str

    @property
    def words(self) -> tuple[str, ...]:
        """The same without backend and loss."""
        return *self.why, *self.look


class Causes:
    """Finds the cause of a change, from what the two records know of it."""

    def __init__(self, before: Run, after: Run) -> None:
        self.before, self.after = before, after
        self.ran = [backends_that_ran(run) for run in (before, after)]

    def cause(self, change: Change) -> Cause:
        """The cause of one change."""
        a, b, kind = change.before, change.after, change.kind
        if kind in WHO_RAN:
            return self._who_ran(change)
        if a is None or b is None:
            raise ValueError(f"{change.check.id} is {kind}, and ran on one side alone")
        if change.aspect.startswith("dialect:"):
            return _cause(change, (change.aspect, _general(b.reason, b)), ("stale",))
        if b.verdict not in FAILING:
            names = self._declared(a, b)
            if names:
                return self._named(change, names, ("raises",) if raises(b) and not raises(a) else ())
            if kind == "changed" and a.verdict == b.verdict == "dialect":
                # Both numbers agree with a dialect of this name: it is the dialect that became another.
                return self._named(change, [str(name) for name in b.declared], ())
            still = [str(name) for name in b.declared if is_issue(self.after, b, str(name))]
            if still and kind == "changed":
                return self._named(change, still, (change.aspect, *_look(change, a, b)))
        if change.aspect == "error" and raises(a) and raises(b):
            return _cause(change, (f"{a.result} to {b.result}",), ("error",))
        message = _general(b.reason.partition("raised ")[2], b) if raises(b) and not raises(a) else ""
        explained = tuple(sorted(map(str, b.declared))) if kind == "changed" else ()
        return _cause(change, (message,) if message else (), (change.aspect, *_look(change, a, b), *explained))

    def _who_ran(self, change: Change) -> Cause:
        a, b, kind = change.before, change.after, change.kind
        stopped = b is not None and b.verdict in INCOMPLETE
        if stopped or change.backend not in self.ran[kind != "added"]:
            return Cause(kind, change.backend, (_general(b.reason, b),) if stopped and b else (), (), "*")
        why: tuple[str, ...] = ()
        if kind == "stopped" and b is not None:
            why = (_general(b.reason, b),)
        elif kind == "added" and a is not None:
            why = (_general(a.reason, a),)
        elif kind == "added" and f"{change.check.loss}/{change.implementation}" not in self.before.implementations:
            return _cause(change, (), ("new",))
        return _cause(change, tuple(filter(None, why)), ())

    def _declared(self, a: Check, b: Check) -> list[str]:
        """The declarations that began or ceased to explain a check: known issues before dialects, what began first.

        Where a known issue is gone, dialects show that it had hidden; they are not why.
        """
        new, old = began(self.before, self.after, a, b), ceased(a, b)
        issues = [name for name in new if is_issue(self.after, b, name)]
        return issues or [name for name in old if is_issue(self.before, a, name)] or new or old

    def _named(self, change: Change, names: Sequence[str], look: tuple[str, ...]) -> Cause:
        reasons = [self._reason(change, name) for name in names]
        why = tuple(f"{name}: {reason}" for name, reason in sorted(zip(names, reasons, strict=True)))
        return _cause(change, why, look, fold=all(reasons))

    def _reason(self, change: Change, name: str) -> str:
        """What is declared under this name now, or was before: it may have begun for some checks, ended for others."""
        return _general(reason(self.after, change.check, name) or reason(self.before, change.check, name), change.check)


def _cause(change: Change, why: tuple[str, ...], look: tuple[str, ...], *, fold: bool = True) -> Cause:
    return Cause(change.kind, change.backend, why, look, "" if why and fold else change.check.loss)


def began(before: Run, after: Run, a: Check, b: Check) -> list[str]:
    """The declarations that explain the check now and did not, or that say another thing now."""
    return [
        str(name)
        for name in b.declared
        if name not in a.declared or reason(before, a, str(name)) != reason(after, b, str(name))
    ]


def ceased(a: Check, b: Check) -> list[str]:
    """The declarations that explained the check and do not any more."""
    return [str(name) for name in a.declared if name not in b.declared]


def reason(run: Run, check: Check, name: str) -> str:
    """What the check's implementation declares under this name; "" if nothing."""
    about = mapping(run.implementations.get(f"{check.loss}/{check.implementation}"))
    for each in (*rows(about.get("dialects")), *rows(about.get("known_issues"))):
        if each.get("name") == name:
            return str(each.get("reason", ""))
    return ""


def is_issue(run: Run, check: Check, name: str) -> bool:
    """Whether this is the name of a known issue of the check's implementation."""
    about = mapping(run.implementations.get(f"{check.loss}/{check.implementation}"))
    return any(each.get("name") == name for each in rows(about.get("known_issues")))


def _general(text: str, check: Check) -> str:
    """A reason as it would read of another implementation (or of its class or function), loss and number."""
    root = check.implementation.partition(".")[0]
    text = re.sub(rf"(?<![\w.]){re.escape(root)}(\.\w+)+", "(implementation)", text) if root else text
    return without_numbers(text.replace(check.loss, "(loss)") if check.loss else text)


def _look(change: Change, a: Check, b: Check) -> tuple[str, ...]:
    """What a change that nothing explains looks like."""
    if raises(a) or raises(b):
        return f"raised {a.result}" if raises(a) else "gave", f"raises {b.result}" if raises(b) else "gives"
    found = place(change.before, change.after)
    if found is not None:
        p, q = found.before, found.after
        finite = math.isfinite(p) and math.isfinite(q)
        small = finite and abs(p - q) <= _LAST_DIGITS * max(abs(p), abs(q))
        return _class([p]), _class([q]), "last digits" if small else ""
    if isinstance(b.result, (list, tuple)) and isinstance(a.result, (list, tuple)):
        return ("number" if a.result else "empty"), ("number" if b.result else "empty"), "shape"
    return ()


def _class(values: Sequence[float]) -> str:
    if any(map(math.isnan, values)):
        return "NaN"
    return "number" if all(map(math.isfinite, values)) else "infinite"
