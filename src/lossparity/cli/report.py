"""`lossparity report`: the page of a record."""

from __future__ import annotations

import argparse
from typing import Any

import lossparity
from lossparity.cli.exits import HOLDS


def add(commands: Any) -> None:
    """The words of the command."""
    report = commands.add_parser("report", help="write the HTML report of a record")
    report.add_argument("record", metavar="RUN", help="parity.json")
    report.add_argument("-o", "--output", required=True, metavar="FILE", help="parity.html")
    report.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.reports import html

    print(html.write(lossparity.load(options.record), options.output))
    return HOLDS
