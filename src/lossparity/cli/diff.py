"""`lossparity diff`: what changed, without a verdict."""

from __future__ import annotations

import argparse
from typing import Any

import lossparity
from lossparity.cli.compared import emit, targets_of
from lossparity.cli.exits import HOLDS
from lossparity.cli.options import add_comparison, known


def add(commands: Any) -> None:
    """The words of the command."""
    diff = commands.add_parser("diff", help="what changed from one record to another, without a verdict")
    diff.add_argument("before", metavar="A", help="a record")
    diff.add_argument("after", metavar="B", help="a record")
    add_comparison(diff)
    diff.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.reports.diff import compare, narrow
    from lossparity.reports.findings import backend_names
    from lossparity.reports.formats import FORMATS, Comparison

    targets = targets_of(options.format)
    sides = [lossparity.load(path) for path in (options.before, options.after)]
    known("backend", options.backend, backend_names(sides[0]))
    sides = [narrow(side, options.backend) for side in sides]
    diff = compare(sides[0], sides[1], names=(options.before, options.after), other_machine=options.other_machine)
    emit(Comparison(diff), targets, FORMATS)
    return HOLDS
