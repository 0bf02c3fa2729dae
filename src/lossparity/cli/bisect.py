"""`lossparity bisect`: the release that changed one check."""

from __future__ import annotations

import argparse
from typing import Any

from lossparity.cli.exits import HOLDS, UsageError
from lossparity.cli.options import add_environments, add_execution
from lossparity.cli.releases import plan_of


def add(commands: Any) -> None:
    """The words of the command."""
    bisect = commands.add_parser(
        "bisect",
        help="find the release that changed one check",
        description="Find the first release in which a check is not as it was, in as few environments as it takes.",
        epilog="Exit codes: 0 found, 2 bad usage or no difference to look for, 3 a release that is needed did not run.",
    )
    bisect.add_argument("id", metavar="CHECK_ID", help="a check's ID, as the report and the record give it")
    bisect.add_argument("--package", required=True, metavar="P", help="such as keras")
    bisect.add_argument("--good", required=True, metavar="V", help="a release in which it is as wanted")
    bisect.add_argument("--bad", required=True, metavar="V", help="a release in which it is not")
    add_environments(bisect)
    add_execution(bisect, elsewhere=False)
    bisect.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance.execution.upgrade import bisect
    from lossparity.reports import ladder

    with plan_of(options) as plan:
        found = bisect(
            options.id,
            options.package,
            options.good,
            options.bad,
            plan,
            lambda good, other: ladder.first_change(good, other) is not None,
        )
    if found is None:
        raise UsageError(
            f"{options.id} is the same in {options.package} {options.good} and {options.bad}: there is nothing to find"
        )
    print(ladder.found(found, options.good))
    return HOLDS
