"""`lossparity merge`: one record of several."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lossparity


def add(commands: Any) -> None:
    """The words of the command."""
    merge = commands.add_parser("merge", help="make one record, and its report, of several")
    merge.add_argument("records", nargs="+", metavar="RUN")
    merge.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="a folder, or a file named *.json or *.json.gz"
    )
    merge.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.run import exit_code
    from lossparity.reports import html
    from lossparity.reports.merge import merge
    from lossparity.reports.summary import summary

    merged = merge([lossparity.load(path) for path in options.records])
    out = Path(options.output)
    if out.name.endswith((".json", ".json.gz")):
        print(record.save(merged, out))
    else:
        print(record.save(merged, out / "parity.json"))
        print(html.write(merged, out / "parity.html"))
    print(summary(merged))
    return exit_code(merged)
