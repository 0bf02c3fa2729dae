"""`lossparity sweep`: a ladder of releases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lossparity.cli.exits import HOLDS, INCOMPLETE
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
    sweep.add_argument("-o", "--output", metavar="DIR", help="keep each record there: VERSION.json")
    add_environments(sweep)
    add_selection(sweep)
    add_execution(sweep, elsewhere=False)
    sweep.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.upgrade import sweep
    from lossparity.reports import ladder

    if options.output:
        writable(Path(options.output))
    rungs: list[ladder.Rung] = []
    with plan_of(options, options.backend, selection=selection_of(options)) as plan:
        for step in sweep(options.package, options.versions, plan):
            rungs.append(ladder.climb(options.package, rungs, step.version, step.run, step.problem))
    for rung in rungs:
        if options.output and rung.run:
            record.save(rung.run, Path(options.output) / f"{rung.version}.json")
    print(ladder.table(options.package, rungs), end="")
    if options.markdown:
        record.write_whole(options.markdown, ladder.markdown(options.package, rungs).encode())
    return INCOMPLETE if any(rung.run is None or rung.incomplete for rung in rungs) else HOLDS
