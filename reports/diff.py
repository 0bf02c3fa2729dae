"""What changed from one record to another: every check's kind of change, and the causes behind them.

Records in, findings out; nothing is judged here (gate.py does that). Checks are compared by ID, and their numbers
element by element, in units of the check's own tolerance.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lossparity.conformance.record import FAILING, Check, Checks, Run
from lossparity.reports import signatures
from lossparity.reports.alike import Alike, alike
from lossparity.reports.changes import KINDS, RAN, Change, Finding, Item, Note, backends_that_ran, in_turn
from lossparity.reports.comparability import comparable
from lossparity.reports.findings import HOLDING, backend_names, engine, mapping, packages
from lossparity.reports.movement import DRIFT_FACTOR, drifted, movement, usual_errors, whole
from lossparity.reports.words import Words

# Verdicts that both hold parity, of which the second is the better one.
_MENDED = {("known", "match"), ("lossy", "match"), ("lossy", "dialect")}


@dataclass(frozen=True)
class Side:
    """One of the two records: what to call it, and the packages that each backend ran with and the engine it ran on."""

    name: str
    packages: Mapping[str, Mapping[str, str]]
    started: str
    engines: Mapping[str, str]


@dataclass(frozen=True)
class Diff:
    """What changed.

    counts: checks per kind. compared: checks that ran on both sides. items: all that is no mere rounding.
    notes: what to know besides. runs: the two records.
    """

    before: Side
    after: Side
    upgrade: str
    counts: dict[str, int]
    compared: int
    items: list[Item]
    notes: list[str]
    runs: tuple[Run, Run]

    @functools.cached_property
    def findings(self) -> list[Finding]:
        """The causes of all of it, the worst first but one of every kind before a second of any."""
        return self.told(self.items)

    def told(self, items: Iterable[Item]) -> list[Finding]:
        """The causes of a part of it."""
        changes: list[Change] = []
        notes: list[Note] = []
        for item in items:
            changes.append(item) if isinstance(item, Change) else notes.append(item)
        return in_turn([*self._words.findings(changes), *signatures.told(notes)])

    @functools.cached_property
    def _words(self) -> Words:
        return Words(*self.runs, (self.before.name, self.after.name))


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
    calm = alike(Checks.of(before.checks), Checks.of(after.checks), drift_factor)
    changes = list(_changes(before, after, calm, drift_factor))
    counts = {**dict.fromkeys(KINDS, 0), "unchanged": calm.unchanged, "rounding": calm.rounding}
    for change in changes:
        counts[change.kind] += 1
    found = [change for change in changes if change.kind not in ("unchanged", "rounding")]
    return Diff(
        before=_side(before, names[0]),
        after=_side(after, names[1]),
        upgrade=upgrade(before, after),
        counts={kind: n for kind, n in counts.items() if n},
        compared=calm.compared
        + sum(1 for c in changes if c.before and c.after and {c.before.verdict, c.after.verdict} <= RAN),
        items=[*found, *signatures.notes(before, after)],
        notes=notes,
        runs=(before, after),
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
        checks=Checks.of(run.checks).where(backend=backends),
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
        engines = engine(before, backend), engine(after, backend)
        if all(engines) and engines[0] != engines[1]:
            main[backend] = f"{backend} on {engines[0]} to {backend} on {engines[1]}"
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
    """Every package whose version differs, every engine that does, and what only one side has, in words."""
    found: dict[str, None] = {}
    for backend in dict.fromkeys([*before.packages, *after.packages]):
        old, new = before.packages.get(backend, {}), after.packages.get(backend, {})
        if not old or not new:
            alone = before.name if old else after.name
            found.update({f"{backend} in {alone} alone": None} if old or new else {})
            continue
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                found[f"{name} {old.get(name, 'absent')} to {new.get(name, 'absent')}"] = None
        engines = before.engines.get(backend), after.engines.get(backend)
        if all(engines) and engines[0] != engines[1]:
            found[f"{backend} on {engines[0]} to {backend} on {engines[1]}"] = None
    return list(found)


def _side(run: Run, name: str) -> Side:
    names = backend_names(run)
    return Side(
        name, {each: packages(run, each) for each in names}, run.started, {each: engine(run, each) for each in names}
    )


def _changes(before: Run, after: Run, calm: Alike, factor: float) -> Iterator[Change]:
    """Every other check that either record has, with what became of it."""
    old = {check.id: check for check in Checks.of(before.checks).take(~calm.before)}
    new = {check.id: check for check in Checks.of(after.checks).take(~calm.after)}
    usual = usual_errors(before)
    ran_after = set(backends_that_ran(after))
    for identifier, a in old.items():
        b = new.get(identifier)
        if b is not None:
            yield _compared(a, b, usual, factor)
        elif a.verdict in RAN and not a.aspect.startswith("dialect:"):
            # Of a call that is unsupported only the value is planned, and says why.
            value = new.get(identifier[: -len(a.aspect)] + "value")
            if value is not None and value.verdict == "unsupported":
                yield Change("stopped", a, value)
            elif a.backend in ran_after and f"{a.loss}/{a.implementation}" not in after.implementations:
                yield Change("removed", a, None)
            else:
                yield Change("missing", a, None)
    for identifier, b in new.items():
        if identifier not in old and b.verdict in RAN and not b.aspect.startswith("dialect:"):
            value = old.get(identifier[: -len(b.aspect)] + "value")
            yield Change("added", value if value is not None and value.verdict == "unsupported" else None, b)


def _compared(a: Check, b: Check, usual: Mapping[tuple[str, ...], float], factor: float) -> Change:
    if a.aspect.startswith("dialect:"):
        # Whether a declaration is still needed. What the framework does, the other checks say.
        gone = a.verdict in HOLDING and b.verdict == "stale"
        return Change("fixed" if gone else "unchanged", a, b)
    if a.verdict not in RAN:
        return Change("added" if b.verdict in RAN else "unchanged", a, b)
    if b.verdict not in RAN:
        return Change("regressed" if b.verdict == "crashed" and a.verdict in HOLDING else "stopped", a, b)
    size = movement(a, b)
    if a.verdict in HOLDING and b.verdict in FAILING:
        return Change("regressed", a, b, size)
    same = size <= 1.0 and whole(a.result)  # all that it gave is where it was: only what is said of it changed
    if ((a.verdict in FAILING and b.verdict in HOLDING) or (a.verdict, b.verdict) in _MENDED) and not same:
        return Change("fixed", a, b, size)
    if (b.verdict, a.verdict) in _MENDED and b.verdict == "lossy" and not (same and not size):
        return Change("regressed", a, b, size)
    if size > 1.0:
        return Change("changed", a, b, size)
    if (a.verdict != b.verdict or list(a.declared) != list(b.declared)) and not same:
        return Change("changed", a, b)
    if drifted(a, b, usual, factor):
        return Change("drifted", a, b, size)
    return Change("rounding" if size else "unchanged", a, b, size)
