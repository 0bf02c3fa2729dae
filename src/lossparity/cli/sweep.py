"""`lossparity sweep`: a ladder of releases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lossparity
from lossparity.cli.exits import HOLDS, INCOMPLETE, IncompleteError
from lossparity.cli.options import add_environments, add_execution, add_selection, selection_of, writable
from lossparity.cli.releases import plan_of


def add(commands: Any) -> None:
    """The words of the command."""
    sweep = commands.add_parser(
        "sweep",
        help="run a ladder of releases: which of them changed what?",
        description="Run each release in an environment of its own and compare it with the one before it.",
        epilog="Exit codes: 0 all of them ran, 2 bad usage, 3 one of them did not run.",
    )
    sweep.add_argument("package", metavar="PACKAGE", help="such as scikit-learn")
    sweep.add_argument("versions", nargs="+", metavar="V", help="its releases, in the order to compare them")
    sweep.add_argument("--markdown", metavar="FILE", help="also write the table there")
    sweep.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="keep each record there as VERSION.json; what is there already is not run again",
    )
    add_environments(sweep)
    add_selection(sweep)
    add_execution(sweep, elsewhere=False)
    sweep.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.upgrade import sweep
    from lossparity.reports import ladder

    folder = Path(options.output) if options.output else None
    if folder:
        writable(folder)
    rungs: list[ladder.Rung] = []
    try:
        with plan_of(options, options.backend, selection=selection_of(options)) as plan:

            def kept(version: str) -> Any:
                return _kept(folder / f"{version}.json", options.package, version, plan) if folder else None

            for step in sweep(options.package, options.versions, plan, kept):
                if folder and step.run:
                    record.save(step.run, folder / f"{step.version}.json")
                rungs.append(ladder.climb(options.package, rungs, step.version, step.run, step.problem))
    except KeyboardInterrupt:
        done = sum(rung.run is not None for rung in rungs)
        if not folder or not done:
            raise
        raise IncompleteError(
            f"interrupted; {done} of {len(options.versions)} records are in {folder}, "
            "and the same command goes on there"
        ) from None
    print(ladder.table(options.package, rungs), end="")
    if options.markdown:
        record.write_whole(options.markdown, ladder.markdown(options.package, rungs).encode())
    return INCOMPLETE if any(rung.run is None or rung.incomplete for rung in rungs) else HOLDS


def _kept(path: Path, package: str, version: str, plan: Any) -> Any:
    """The record of a release that an earlier call has left, where it is what this one would make; else None."""
    if not path.exists():
        return None
    try:
        run = lossparity.load(path)
    except ValueError as error:
        plan.say(f"{package} {version}: running it again: {error}")
        return None
    other = _differs(run, package, version, plan)
    if other:
        plan.say(f"{package} {version}: running it again: {path} is of {other}")
        return None
    plan.say(f"{package} {version}: taken from {path}, made {run.started}")
    return run


def _differs(run: Any, package: str, version: str, plan: Any) -> str:
    """What sets a record apart from the one that the plan would make of this release; "" for nothing."""
    from packaging.utils import canonicalize_name

    from lossparity.conformance.cases import digest
    from lossparity.conformance.execution.pins import is_release
    from lossparity.conformance.execution.recording import host
    from lossparity.conformance.execution.run import exit_code
    from lossparity.conformance.matrix import Selection

    here = host()
    name = canonicalize_name(package)
    releases = [each.get("packages", {}).get(name, "0") for each in run.environment["backends"].values()]
    every = not any(word.startswith("--b") for word in run.command)  # of all the backends that it concerns
    apart = {
        "a run that is incomplete": exit_code(run) == INCOMPLETE,
        "another release": not releases or not all(is_release(each, version) for each in releases),
        "other backends": set(run.backends) - set(plan.backends) if plan.backends else not every,
        "another selection": Selection.of(run.selection) != plan.selection,
        "another seed": run.seed != plan.seed,
        "other cases": run.data != digest(plan.seed),
        "another lossparity": run.environment["lossparity"] != here["lossparity"],
        "another machine": any(run.environment[name] != here[name] for name in ("python", "platform", "processor")),
    }
    return next((what for what, differs in apart.items() if differs), "")
