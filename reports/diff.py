"""What changed from one record to another: every check's kind of change, and the causes behind them in words.

Records in, findings out; nothing is judged here (gate.py does that). Checks are compared by ID, and their numbers
element by element, in units of the check's own tolerance.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossparity.conformance.record import FAILING, INCOMPLETE, Check, Run
from lossparity.reports.findings import HOLDING, backend_names, listed, mapping, packages, plural

# kind: (sign, one of them, several, what it says), the worst first. The kinds of single checks that are no finding come
# last.
KINDS: dict[str, tuple[str, str, str, str]] = {
    "regressed": ("✗", "loss regressed", "losses regressed", "held parity before and breaks it now"),
    "stopped": ("■", "loss stopped running", "losses stopped running", "ran before and does not now, for a reason"),
    "missing": ("?", "loss was not run", "losses were not run", "ran before and is not in the candidate"),
    "removed": ("-", "loss was removed", "losses were removed", "its implementation is gone"),
    "changed": ("≠", "loss changed", "losses changed", "moved by more than its tolerance, or behaves in another way"),
    "signature": ("λ", "signature broke", "signatures broke", "calls that worked may fail or mean something else"),
    "drifted": ("~", "loss lost accuracy", "losses lost accuracy", "within tolerance, with a much larger error"),
    "fixed": ("✓", "loss was fixed", "losses were fixed", "broke parity before and holds it now"),
    "added": ("+", "loss was added", "losses were added", "did not run before"),
    "extended": ("λ", "new argument", "new arguments", "old calls mean the same"),
    "warning": ("w", "new warning", "new warnings", "a warning that was not raised before"),
    "census": ("#", "change of the census", "changes of the census", "the framework offers other losses"),
    "rounding": ("≈", "loss moved within rounding", "losses moved within rounding", "another kernel, another order"),
    "unchanged": ("=", "loss is unchanged", "losses are unchanged", "the same, to the digit"),
}
RANK = {kind: rank for rank, kind in enumerate(KINDS)}
DRIFT_FACTOR = 4.0

# A drift begins where honest kernels end. With other instruction sets (torch's generic kernels against AVX-512,
# TensorFlow without oneDNN) no check of 39,000 that became four times worse reached 0.25 of its tolerance, and no
# implementation's largest error in ULP grew by more than 1.6; below 16 ULP a factor of four is noise.
DRIFT_MARGIN = 0.25
DRIFT_ULP = 16.0

# Where a result has no tolerance: this many roundoffs of its own size.
_ROUNDOFFS = 64.0
_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_DIGEST_SIZE = 16  # a list of results so long may be a part of what there was
_CLIP = 240
_NUMBER = re.compile(r"\d[\d_,.]*(?:[eE][-+]?\d+)?")
_RAN = HOLDING | FAILING


class IncomparableError(ValueError):
    """Two records that say nothing about each other: what differs, and what to do."""


@dataclass(frozen=True)
class Change:
    """One check that is not what it was. size: how far its numbers moved, in tolerances; inf where that has no size."""

    kind: str
    before: Check | None
    after: Check | None
    size: float = math.inf

    @property
    def check(self) -> Check:
        """The check as it is now, or as it was if it is no more."""
        check = self.after or self.before
        if check is None:
            raise ValueError("a change is of a check before, after, or both; this one has neither")
        return check


@dataclass(frozen=True)
class Finding:
    """Changes with one cause: same kind, backend, loss and aspect.

    aspect: the checks' own, "raises" where a call began or ceased to raise, "*" for all of them; of what is no check
        "signature", "warning" or "census".
    losses: where it concerns several, all of them. says: the finding in a sentence. size: of its largest change.
    incomplete: something that had to run did not.
    changes: its checks, the one that says most about it first.
    """

    kind: str
    backend: str
    loss: str
    aspect: str
    implementations: tuple[str, ...]
    says: str
    size: float = math.inf
    incomplete: bool = False
    changes: tuple[Change, ...] = ()
    losses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Side:
    """One of the two records: what to call it, and the packages that each backend ran with."""

    name: str
    packages: Mapping[str, Mapping[str, str]]
    started: str


@dataclass(frozen=True)
class Diff:
    """What changed. counts: checks per kind. compared: checks that ran on both sides. notes: what to know besides."""

    before: Side
    after: Side
    upgrade: str
    counts: dict[str, int]
    compared: int
    findings: list[Finding]
    notes: list[str]


def compare(
    before: Run,
    after: Run,
    *,
    names: tuple[str, str] = ("before", "after"),
    drift_factor: float = DRIFT_FACTOR,
    other_machine: bool = False,
) -> Diff:
    """What changed from one record to the other.

    names: what to call the two. drift_factor: how much worse an error must be to have drifted.
    other_machine: compare records of different kinds of machine too. IncomparableError for those, and for records of
    another seed or of other data.
    """
    notes = comparable(before, after, names, other_machine)
    changes = list(_changes(before, after, drift_factor))
    counts = dict.fromkeys(KINDS, 0)
    for change in changes:
        counts[change.kind] += 1
    words = _Words(before, after, names)
    findings = [
        *words.findings([change for change in changes if change.kind not in ("unchanged", "rounding")]),
        *_signatures(before, after),
        *_warnings(before, after),
        *_census(before, after),
    ]
    return Diff(
        before=_side(before, names[0]),
        after=_side(after, names[1]),
        upgrade=upgrade(before, after),
        counts={kind: n for kind, n in counts.items() if n},
        compared=sum(1 for c in changes if c.before and c.after and {c.before.verdict, c.after.verdict} <= _RAN),
        findings=sorted(findings, key=_order),
        notes=notes,
    )


def narrow(run: Run, backends: Sequence[str]) -> Run:
    """The part of a record that concerns these backends; all of it where none is named."""
    if not backends:
        return dataclasses.replace(run)
    environment = dict(mapping(run.environment))
    environment["backends"] = {k: v for k, v in mapping(environment.get("backends")).items() if k in backends}
    return dataclasses.replace(
        run,
        environment=environment,
        checks=[check for check in run.checks if check.backend in backends],
        implementations={k: v for k, v in run.implementations.items() if mapping(v).get("backend") in backends},
        backends={k: v for k, v in run.backends.items() if k in backends},
        census={k: v for k, v in run.census.items() if k in backends},
    )


def upgrade(before: Run, after: Run) -> str:
    """The versions that differ: "scikit-learn 1.4.2 to 1.5.2"; of what a backend stands on, if nothing else does."""
    main: dict[str, str] = {}
    rest: dict[str, str] = {}
    same: dict[str, str] = {}
    for backend in backend_names(after):
        old, new = packages(before, backend), packages(after, backend)
        for number, (name, version) in enumerate(new.items()):
            if name in old and old[name] != version:
                (rest if number else main)[name] = f"{name} {old[name]} to {version}"
            elif name in old and not number:
                same[name] = f"{name} {version}"
    moved = main or rest
    if moved:
        return ", ".join(moved.values())
    return f"{', '.join(same.values())} again" if same else "two records"


def packages_changed(before: Side, after: Side) -> list[str]:
    """Every package whose version differs, in words."""
    found: dict[str, None] = {}
    for backend, new in after.packages.items():
        old = before.packages.get(backend, {})
        for name in dict.fromkeys([*old, *new]):
            if old and old.get(name) != new.get(name):
                found[f"{name} {old.get(name, 'absent')} to {new.get(name, 'absent')}"] = None
    return list(found)


def _side(run: Run, name: str) -> Side:
    return Side(name, {backend: packages(run, backend) for backend in backend_names(run)}, run.started)


def _order(finding: Finding) -> tuple[Any, ...]:
    size = -finding.size if math.isfinite(finding.size) else -math.inf
    return RANK[finding.kind], not finding.incomplete, size, -len(finding.changes), finding.backend, finding.loss


# --- Whether two records compare


def comparable(before: Run, after: Run, names: tuple[str, str], other_machine: bool) -> list[str]:
    """What to know of a comparison of these two; IncomparableError, with what to do, where there can be none."""
    first, second = names
    if before.seed != after.seed:
        raise IncomparableError(
            f"{first} ran with seed {before.seed} and {second} with seed {after.seed}: their inputs differ. "
            f"Run again with --seed {before.seed}"
        )
    if before.data != after.data:
        raise IncomparableError(
            f"{first} and {second} ran on other cases (data {before.data[:12] or 'unknown'} and "
            f"{after.data[:12] or 'unknown'}): they come from different releases of lossparity. "
            "Make both with the same one"
        )
    notes = []
    kinds = [_machine(run) for run in (before, after)]
    if kinds[0] != kinds[1]:
        text = f"{first} comes from {kinds[0]} and {second} from {kinds[1]}"
        if not other_machine:
            raise IncomparableError(
                f"{text}: another kind of machine rounds in other ways. Make a baseline on this kind of machine, or "
                "compare all the same with --other-machine"
            )
        notes.append(f"{text}: not every change is the upgrade's")
    for what, word in (("lossparity", "lossparity"), ("python", "Python"), ("processor", "processor")):
        values = [str(mapping(run.environment).get(what, "")) for run in (before, after)]
        if values[0] != values[1] and all(values):
            notes.append(f"{word} {values[0]} in {first}, {values[1]} in {second}")
    return notes


def _machine(run: Run) -> str:
    environment = mapping(run.environment)
    system = str(environment.get("platform", "")).partition("-")[0] or "an unknown system"
    return f"{system} on {environment.get('machine') or 'an unknown machine'}"


# --- Check by check


def _changes(before: Run, after: Run, factor: float) -> Iterator[Change]:
    """Every check that either record has, with what became of it."""
    old = {check.id: check for check in before.checks}
    new = {check.id: check for check in after.checks}
    usual = _usual_errors(before)
    ran_after = {check.backend for check in after.checks if check.verdict in _RAN}
    for identifier, a in old.items():
        b = new.get(identifier)
        if b is not None:
            yield _compared(a, b, usual, factor)
        elif a.verdict in _RAN and not a.aspect.startswith("dialect:"):
            # Of a call that is unsupported only the value is planned, and says why.
            value = new.get(identifier[: -len(a.aspect)] + "value")
            if value is not None and value.verdict == "unsupported":
                yield Change("stopped", a, value)
            elif a.backend in ran_after and f"{a.loss}/{a.implementation}" not in after.implementations:
                yield Change("removed", a, None)
            else:
                yield Change("missing", a, None)
    for identifier, b in new.items():
        if identifier not in old and b.verdict in _RAN and not b.aspect.startswith("dialect:"):
            yield Change("added", None, b)


def _compared(a: Check, b: Check, usual: Mapping[tuple[str, ...], float], factor: float) -> Change:
    if a.aspect.startswith("dialect:"):
        # Whether a declaration is still needed. What the framework does, the other checks say.
        gone = a.verdict in HOLDING and b.verdict == "stale"
        return Change("fixed" if gone else "unchanged", a, b)
    if a.verdict not in _RAN:
        return Change("added" if b.verdict in _RAN else "unchanged", a, b)
    if b.verdict not in _RAN:
        return Change("regressed" if b.verdict == "crashed" and a.verdict in HOLDING else "stopped", a, b)
    size = moved(a, b)
    if a.verdict in HOLDING and b.verdict in FAILING:
        return Change("regressed", a, b, size)
    if b.verdict in HOLDING and (a.verdict in FAILING or (a.verdict == "known" and b.verdict == "match")):
        return Change("fixed", a, b, size)
    if size > 1.0:
        return Change("changed", a, b, size)
    if a.verdict != b.verdict or list(a.declared) != list(b.declared):
        # All its numbers are where they were: it lies so near a border of tolerance that rounding tells the sides.
        whole = isinstance(a.result, list) and 0 < len(a.result) < _DIGEST_SIZE
        return Change("rounding", a, b, size) if whole else Change("changed", a, b)
    if _drifted(a, b, usual, factor):
        return Change("drifted", a, b, size)
    return Change("rounding" if size else "unchanged", a, b, size)


def moved(a: Check, b: Check) -> float:
    """How far a result moved, in tolerances: 0 not at all, up to 1 within rounding, inf where that has no size."""
    if a.result == b.result:
        return 0.0
    x, y = numbers(a.result), numbers(b.result)
    if x is None or y is None or len(x) != len(y):
        return math.inf
    return max(_steps(a, b, x, y), default=0.0)


def numbers(result: Any) -> list[float] | None:
    """A kept result as numbers, None where it is something else. In a file, infinities and NaN are words."""
    if not isinstance(result, (list, tuple)):
        return None
    try:
        return [float(each) for each in result]
    except (TypeError, ValueError):
        return None


def _steps(a: Check, b: Check, x: Sequence[float], y: Sequence[float]) -> list[float]:
    """Each element's move in tolerances."""
    limits = [numbers(check.limits) or [] for check in (a, b)]
    roundoff = _ROUNDOFFS * _ROUNDOFF.get(a.dtype, _ROUNDOFF["float64"])
    steps = []
    for i, (p, q) in enumerate(zip(x, y, strict=True)):
        if p == q or (math.isnan(p) and math.isnan(q)):
            steps.append(0.0)
        elif not (math.isfinite(p) and math.isfinite(q)):
            steps.append(math.inf)
        else:
            given = [limit[i] for limit in limits if i < len(limit) and math.isfinite(limit[i])]
            limit = max(given, default=roundoff * max(abs(p), abs(q)))
            steps.append(abs(p - q) / limit if limit else math.inf)
    return steps


def _usual_errors(run: Run) -> dict[tuple[str, ...], float]:
    """The largest error in ULP that each implementation makes where it agrees, by loss, dtype and aspect."""
    usual: dict[tuple[str, ...], float] = {}
    for check in run.checks:
        error = check.error_ulp
        if error is not None and check.verdict in HOLDING and error > usual.get(_kin(check), 0.0):
            usual[_kin(check)] = error
    return usual


def _kin(check: Check) -> tuple[str, ...]:
    return check.loss, check.implementation, check.dtype, check.aspect


def _drifted(a: Check, b: Check, usual: Mapping[tuple[str, ...], float], factor: float) -> bool:
    """Whether the error is `factor` times what it was, and more than honest rounding makes."""
    if b.verdict not in HOLDING or a.margin is None or b.margin is None or a.error_ulp is None or b.error_ulp is None:
        return False
    if b.margin >= DRIFT_MARGIN and (b.margin > factor * a.margin or b.error_ulp > factor * a.error_ulp):
        return True
    return b.error_ulp > factor * a.error_ulp and b.error_ulp > max(DRIFT_ULP, factor * usual.get(_kin(a), 0.0))


# --- From checks to causes, in words


class _Words:
    """Says what changed, from what the two records know of it."""

    def __init__(self, before: Run, after: Run, names: tuple[str, str]) -> None:
        self.before, self.after, self.names = before, after, names
        self.ran = [{c.backend for c in run.checks if c.verdict in _RAN} for run in (before, after)]

    def findings(self, changes: Iterable[Change]) -> list[Finding]:
        groups: dict[tuple[str, ...], list[Change]] = {}
        for change in changes:
            groups.setdefault(self._cause(change), []).append(change)
        return [self._finding(cause, group) for cause, group in groups.items()]

    def _cause(self, change: Change) -> tuple[str, ...]:
        """What changes of one finding share: kind, backend, loss, aspect, and of what did not run the reason."""
        check, kind = change.check, change.kind
        if kind in ("missing", "stopped", "added", "removed"):
            a, b = change.before, change.after
            reason = _NUMBER.sub("#", b.reason) if kind == "stopped" and b else ""
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
            words = [f"{a.aspect.partition(':')[2]} no longer shows: {_clipped(b.reason)}"]
        return "; ".join(words) + self._declared(a, b)

    def _says_who_ran(self, kind: str, change: Change, n: str, changes: Sequence[Change]) -> str:
        a, b = change.before, change.after
        if kind == "missing":
            reason = str(mapping(self.after.backends.get(change.check.backend)).get("reason") or "")
            narrowed = self.after.selection != self.before.selection
            command = f"; it was run with `{shlex.join(map(str, self.after.command))}`" if narrowed else ""
            why = f": {_clipped(reason)}" if reason else command
            return f"{n} of {self.names[0]} {'is' if len(changes) == 1 else 'are'} not in {self.names[1]}{why}"
        if kind == "removed":
            names = dict.fromkeys(each.check.implementation for each in changes)
            return f"{listed(list(names))} {'is' if len(names) == 1 else 'are'} gone, with {n}"
        if kind == "stopped" and a is not None and b is not None:
            reason = f": {_clipped(b.reason)}" if b.reason else ""
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
                    words.append(f" {label} {name}: {_clipped(reason)}")
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
        return f" at {shown}" if shown and len(shown) <= _CLIP else ""


def _place(change: Change) -> _Place | None:
    a, b = change.before, change.after
    if a is None or b is None:
        return None
    x, y = numbers(a.result), numbers(b.result)
    if x is None or y is None or len(x) != len(y) or not x:
        return None
    steps = _steps(a, b, x, y)
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
            return f"now raises {_clipped(message)}, gave {given} before"
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
        ) or (_clipped(b.reason) if b.reason else f"{b.aspect} as before")
    if a.result != b.result and b.result is not None:
        return f"gives {_shown(b.result)}, gave {_shown(a.result)} before"
    return _clipped(b.reason) or f"{a.verdict} became {b.verdict}"


def _worse(a: Check, b: Check) -> str:
    """An error that grew."""
    ulp = f"error {_number(a.error_ulp)} ULP became {_number(b.error_ulp)} ULP"
    return f"{ulp}, {_number(a.margin)} of the tolerance became {_number(b.margin)}"


def _raised(check: Check) -> bool:
    return isinstance(check.result, str)


def _reason(run: Run, check: Check, name: str) -> str:
    about = mapping(run.implementations.get(f"{check.loss}/{check.implementation}"))
    for each in (*_rows(about.get("dialects")), *_rows(about.get("known_issues"))):
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
    return f"{value:.6g}" if isinstance(value, float) else _clipped(str(value))


def _shown(result: Any) -> str:
    if isinstance(result, Mapping):
        return "a result"
    found = numbers(result)
    if found is not None:
        return _number(found[0]) if len(found) == 1 else _clipped(f"[{', '.join(map(_number, found))}]", 60)
    return "nothing" if result is None else _clipped(str(result), 60)


def _property(value: Any) -> str:
    """A dtype, or a shape as Python writes it."""
    return repr(tuple(value)) if isinstance(value, (list, tuple)) else _shown(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _close(x: float, y: float) -> bool:
    return x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= 1e-6 * abs(y)


def _clipped(text: str, size: int = _CLIP) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= size else f"{flat[: size - 3]}..."


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, (list, tuple)) else []


# --- What is no check: signatures, warnings, the census


def _both(before: Run, after: Run) -> Iterator[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each implementation of both records: its name, backend, loss, and what they say of it."""
    for key, about in before.implementations.items():
        now = after.implementations.get(key)
        if isinstance(about, Mapping) and isinstance(now, Mapping):
            loss, _, name = key.partition("/")
            yield name, str(now.get("backend", "")), loss, about, now


def _grouped(
    kind_of: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterable[tuple[str, str]]], before: Run, after: Run
) -> Iterator[tuple[str, str, str, list[str], list[str]]]:
    """(kind, backend, what, losses, implementations) of what each implementation of both records shows."""
    found: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for name, backend, loss, old, new in _both(before, after):
        for kind, what in kind_of(old, new):
            losses, names = found.setdefault((kind, backend, what), ({}, {}))
            losses[loss] = names[name] = None
    for (kind, backend, what), (losses, names) in found.items():
        yield kind, backend, what, list(losses), list(names)


def _signatures(before: Run, after: Run) -> Iterator[Finding]:
    for kind, backend, what, losses, names in _grouped(signature_changes, before, after):
        says = f"{_some(names)}: {what}"
        yield Finding(kind, backend, losses[0], "signature", tuple(names), says, losses=tuple(losses))


def signature_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, sentence) for each difference in what an entry point takes."""
    before, after = (_parameters(about.get("signature")) for about in (old, new))
    if before is None or after is None:  # one of them does not say what it takes
        return
    gone = [name for name in before if name not in after]
    fresh = [name for name in after if name not in before]
    order_before, order_after = list(before), list(after)
    for name in list(gone):
        place = order_before.index(name)
        successor = order_after[place] if place < len(order_after) else ""
        if successor in fresh and before[name] == after[successor] and _by_position(before[name]):
            yield "signature", f"argument {name} is now called {successor}"
            gone.remove(name)
            fresh.remove(successor)
            before = {successor if key == name else key: each for key, each in before.items()}
    for name in gone:
        yield "signature", f"argument {name} is gone"
    common = [name for name in before if name in after and _by_position(before[name]) and _by_position(after[name])]
    ordered = [name for name in after if name in common]
    if ordered != common:
        yield "signature", f"its arguments have another order: {', '.join(ordered)}; was {', '.join(common)}"
    for name in fresh:
        kind, default = after[name]
        later = [each for each in list(after)[list(after).index(name) + 1 :] if each in common]
        if kind.startswith("variadic"):
            yield "extended", f"it takes {name} of any number"
        elif default is None:
            yield "signature", f"new argument {name} must be given"
        elif _by_position(after[name]) and later:
            yield "signature", f"new argument {name}={default} stands before {later[0]}"
        else:
            yield "extended", f"new argument {name}={default}"
    for name, (kind, default) in before.items():
        if name not in after or kind.startswith("variadic"):
            continue
        kind_now, default_now = after[name]
        if default is not None and default_now is None:
            yield "signature", f"argument {name} must be given; its default was {default}"
        elif default is None and default_now is not None:
            yield "extended", f"argument {name} has a default: {default_now}"
        elif default != default_now:
            yield "signature", f"the default of {name} is {default_now}, was {default}"
        if kind != kind_now and (kind == "positional or keyword" or kind_now != "positional or keyword"):
            yield "signature", f"argument {name} is {kind_now}, was {kind}"


def _parameters(signature: Any) -> dict[str, tuple[str, str | None]] | None:
    """name -> (kind, default) of a recorded signature."""
    if not isinstance(signature, (list, tuple)):
        return None
    found = {}
    for each in _rows(signature):
        default = each.get("default")
        found[str(each.get("name"))] = str(each.get("kind")), None if default is None else str(default)
    return found


def _by_position(parameter: tuple[str, str | None]) -> bool:
    return parameter[0] in ("positional-only", "positional or keyword")


def _warnings(before: Run, after: Run) -> Iterator[Finding]:
    def fresh(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        known = {_NUMBER.sub("#", str(each)) for each in old.get("warnings") or ()}
        for each in new.get("warnings") or ():
            if _NUMBER.sub("#", str(each)) not in known:
                yield "warning", _clipped(str(each))

    for kind, backend, what, losses, names in _grouped(fresh, before, after):
        says = f"{_some(names)}: {what}"
        yield Finding(kind, backend, losses[0], "warning", tuple(names), says, losses=tuple(losses))


def _census(before: Run, after: Run) -> Iterator[Finding]:
    for backend, now in after.census.items():
        old = mapping(mapping(before.census.get(backend)).get("namespaces"))
        for namespace, losses in mapping(mapping(now).get("namespaces")).items():
            if namespace not in old:
                continue
            for names, verb in (
                ([each for each in losses if each not in old[namespace]], "offers"),
                ([each for each in old[namespace] if each not in losses], "no longer offers"),
            ):
                if names:
                    inside = [str(name).removeprefix(f"{namespace}.") for name in names]
                    says = f"{namespace} {verb} {_clipped(listed(inside))}"
                    yield Finding("census", backend, "*", "census", tuple(map(str, names)), says)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return listed(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
