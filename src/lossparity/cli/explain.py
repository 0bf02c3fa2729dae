"""`lossparity explain`: one check in full."""

from __future__ import annotations

import argparse
from typing import Any

from lossparity.cli.exits import HOLDS


def add(commands: Any) -> None:
    """The words of the command."""
    explain = commands.add_parser("explain", help="one check: inputs, reference, framework, error, reproducer")
    explain.add_argument("id", metavar="ID", help="a check's ID, as the report and the record give it")
    explain.add_argument("--seed", type=int, default=None)
    explain.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance.explain import explain
    from lossparity.conformance.matrix import DEFAULT_SEED

    print(explain(options.id, DEFAULT_SEED if options.seed is None else options.seed))
    return HOLDS
