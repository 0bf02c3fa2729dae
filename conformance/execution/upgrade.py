"""Runs of the matrix on releases that are not installed: one, a ladder of them, or a search for the first that differs.

Each release gets an environment of its own (environments.py) and all of them run on this machine, in this command, so
that nothing but the release differs. What the records then say of each other, reports/ says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from lossparity.adapters import BACKENDS
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.execution.environments import Environment, environment
from lossparity.conformance.execution.installers import BuildError, Installer, installed
from lossparity.conformance.execution.pins import Pins, UnavailableError, exactly, label, newest, parse, read
from lossparity.conformance.execution.run import DEFAULT_JOBS, DEFAULT_TIMEOUT, Progress, run
from lossparity.conformance.matrix import DEFAULT_SEED, Selection
from lossparity.conformance.record import Check, Run


@dataclass(frozen=True)
class Plan:
    """What to run on each release, and how.

    library: the folder (of `environments.library`) with the lossparity that all of them run.
    backends: of those that a release concerns only these; empty: all.
    keep: keep the environments for the next time. say: told of each step that takes long.
    """

    library: str
    selection: Selection = field(default_factory=Selection)
    backends: tuple[str, ...] = ()
    seed: int = DEFAULT_SEED
    timeout: float = DEFAULT_TIMEOUT
    jobs: int = DEFAULT_JOBS
    command: Sequence[str] = ()
    keep: bool = True
    installer: Installer | None = None
    progress: Progress = lambda *_: None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Step:
    """One release of a ladder: its record, or why there is none."""

    version: str
    run: Run | None
    problem: str = ""


@dataclass(frozen=True)
class Bisection:
    """Between two neighbours a check changed. skipped: releases between them that could not be run, with the reason.

    between: how many releases there were to search. tried: how many were run.
    """

    package: str
    check: str
    before: Step
    after: Step
    skipped: Mapping[str, str]
    between: int
    tried: int


def sides(before: str, after: str, plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """The pins of both sides of an upgrade, of which each names the same packages.

    Of a range ("torch>=2.8,<2.9") it is the newest release that fits, which the plan is told.
    """
    first, second = read(before), read(after)
    if first.keys() != second.keys():
        raise UnavailableError(
            f"--from names {', '.join(first)} and --to names {', '.join(second)}: name the same packages on both sides"
        )
    return _pinned(first, plan), _pinned(second, plan)


def _pinned(asked: Mapping[str, SpecifierSet], plan: Plan) -> dict[str, str]:
    pins = {}
    for name, specifiers in asked.items():
        pins[name] = exactly(specifiers) or ""
        if not pins[name]:
            pins[name] = newest(name, specifiers, (plan.installer or installed()).versions(name, True))
            plan.say(f"{name}{specifiers}: the newest that fits is {pins[name]}")
    return pins


def left_open(pins: tuple[Pins, Pins], before: Run, after: Run) -> list[str]:
    """What the pins leave open and is not the same on both sides, in words."""
    moved: dict[str, tuple[str, str]] = {}
    for backend, here in after.environment["backends"].items():
        there = before.environment["backends"].get(backend, {}).get("packages", {})
        for name, version in here["packages"].items():
            if name not in pins[0] and there.get(name, version) != version:
                moved[name] = (there[name], version)
    pinned = " and ".join(pins[0])
    return [
        f"{name} is not pinned and went from {old} to {new} with it: pin it on both sides to see {pinned} alone"
        for name, (old, new) in moved.items()
    ]


def both(before: Pins, after: Pins, plan: Plan) -> tuple[Run, Run]:
    """The records of two releases. Both environments are there before the first of them runs."""
    with _made(before, plan) as first, _made(after, plan) as second:
        return _run(before, first, plan), _run(after, second, plan)


def measure(pins: Pins, plan: Plan) -> Run:
    """The record of a release, in an environment with these pins."""
    with _made(pins, plan) as made:
        return _run(pins, made, plan)


def _made(pins: Pins, plan: Plan) -> contextlib.AbstractContextManager[Environment]:
    return environment(pins, keep=plan.keep, installer=plan.installer, say=plan.say)


def _run(pins: Pins, made: Environment, plan: Plan) -> Run:
    if not made.backends:
        raise UnavailableError(f"{label(pins)} alone runs no backend; give a version of what it is used by, too")
    backends = [name for name in made.backends if name in (plan.backends or made.backends)]
    if not backends:
        raise UnavailableError(
            f"{label(pins)} does not run {', '.join(plan.backends)}; it runs {', '.join(made.backends)}"
        )
    plan.say(f"{label(pins)}: running {', '.join(backends)}")
    return run(
        backends,
        plan.selection,
        seed=plan.seed,
        pythons=dict.fromkeys(backends, made.python),
        library=plan.library,
        timeout=plan.timeout,
        jobs=plan.jobs,
        command=plan.command,
        progress=plan.progress,
    )


def sweep(
    package: str, versions: Sequence[str], plan: Plan, kept: Callable[[str], Run | None] = lambda _: None
) -> Iterator[Step]:
    """Each release of a ladder, in the order given. One that cannot be had leaves a step with the reason.

    kept: the record of a release that is there already, or None.
    """
    pins = [parse(f"{package}=={version}") for version in versions]  # a slip in the last is told before the first runs
    for version, each in zip(versions, pins, strict=True):
        try:
            yield Step(version, kept(version) or measure(each, plan))
        except (BuildError, UnavailableError) as error:
            yield Step(version, None, str(error))


def bisect(
    check: str, package: str, good: str, bad: str, plan: Plan, differs: Callable[[Run, Run], bool]
) -> Bisection | None:
    """The two neighbouring releases between which a check changed; None where it is the same at both ends.

    good, bad: the ends; either may be the newer. differs: whether the check of the second record is another than that
    of the first.
    """
    (package,) = parse(f"{package}=={good}")  # in its canonical spelling
    parse(f"{package}=={bad}")
    plan = dataclasses.replace(plan, selection=only(check, package))
    ends = [_required(check, package, each, plan) for each in (good, bad)]
    if not any(_find(each.run, check) for each in ends):
        raise UnavailableError(
            f"neither {package} {good} nor {package} {bad} has the check {check}; copy an ID from a report or a record"
        )
    left, right = ends
    if left.run is None or right.run is None or not differs(left.run, right.run):
        return None
    between = _between((plan.installer or installed()).versions(package, True), good, bad)
    plan.say(f"{package}: {len(between)} releases between {good} and {bad}")
    origin, ladder, skipped, tried = left.run, list(between), dict[str, str](), 2
    while ladder:
        version = ladder[len(ladder) // 2]
        step = _attempt(check, package, version, plan)
        if step.run is None:
            skipped[version] = step.problem
            ladder.remove(version)
            plan.say(f"{package} {version}: skipped: {step.problem}")
            continue
        tried += 1
        at = ladder.index(version)
        if differs(origin, step.run):
            right, ladder = step, ladder[:at]
            plan.say(f"{package} {version}: not as {good}")
        else:
            left, ladder = step, ladder[at + 1 :]
            plan.say(f"{package} {version}: as {good}")
    inside = set(_between(skipped, left.version, right.version))
    return Bisection(
        package,
        check,
        left,
        right,
        {version: why for version, why in skipped.items() if version in inside},
        len(between),
        tried,
    )


def only(check: str, package: str) -> Selection:
    """The selection of one check, by its ID. UnavailableError for what is no ID, or of another package."""
    parts = check.split("/")
    if len(parts) != 7 or parts[0] not in DEFINITIONS:
        raise UnavailableError(
            f"{check!r} is not a check's ID: loss/implementation/case/dtype/device/mode/aspect; copy one from a report"
        )
    loss, name, _, dtype, device, mode, _ = parts
    backend = next((each for each in BACKENDS.values() if each.has(name)), None)
    if backend is None or package not in backend.distributions:
        stands = f"; it stands on {', '.join(backend.distributions)}" if backend else ""
        raise UnavailableError(f"{name} is not of the package {package}{stands}")
    dtypes = () if dtype == "any" else (dtype,)
    return Selection(losses=(loss,), dtypes=dtypes, devices=(device,), modes=(mode,), expression=check)


def _required(check: str, package: str, version: str, plan: Plan) -> Step:
    """An end of a bisection, which has to run."""
    found = _part(measure({package: version}, plan), check)
    if _find(found, check) is None and _broken(found):
        raise BuildError(f"{package} {version} does not run: {_broken(found)}")
    return Step(version, found)


def _attempt(check: str, package: str, version: str, plan: Plan) -> Step:
    """A release between the ends; one that cannot be had or does not run says nothing."""
    try:
        found = _part(measure({package: version}, plan), check)
    except (BuildError, UnavailableError) as error:
        return Step(version, None, str(error))
    if _find(found, check) is None and _broken(found):
        return Step(version, None, _broken(found))
    return Step(version, found)


def _part(whole: Run, check: str) -> Run:
    return dataclasses.replace(whole, checks=[each for each in whole.checks if each.id == check])


def _find(part: Run | None, check: str) -> Check | None:
    return next((each for each in part.checks if each.id == check), None) if part else None


def _broken(part: Run) -> str:
    """Why a backend of a record ended before its time; "" where none did."""
    for name, backend in part.backends.items():
        if backend["status"] != "complete":
            last = str(backend["last_words"]).strip().splitlines()[-1:]
            return ": ".join([f"{name} {backend['status']}", str(backend["reason"]), *last])
    return ""


def _between(versions: Sequence[str] | Mapping[str, str], good: str, bad: str) -> list[str]:
    """The releases between two, from the first to the second. Previews only where one of the two is one."""
    low, high = sorted((Version(good), Version(bad)))
    previews = low.is_prerelease or high.is_prerelease
    found = {}
    for each in versions:
        with contextlib.suppress(InvalidVersion):  # ancient ones that no installer takes
            version = Version(each)
            if low < version < high and (previews or not version.is_prerelease):
                found[version] = each
    return [found[version] for version in sorted(found, reverse=Version(good) > Version(bad))]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Take a request to end (SIGTERM, as CI sends it) as an interrupt, so that all is cleaned up on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
