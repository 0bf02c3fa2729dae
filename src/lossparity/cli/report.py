"""`lossparity report`: the page of a record; the same as Markdown, for a release note; its checks as CSV."""

from __future__ import annotations

import argparse
from typing import Any

import lossparity
from lossparity.cli.exits import HOLDS, UsageError

_SUFFIXES = {".md": "markdown", ".csv": "csv"}


def add(commands: Any) -> None:
    """The words of the command."""
    report = commands.add_parser("report", help="write the HTML report of a record, a note of it, or a table")
    report.add_argument("record", metavar="RUN", help="parity.json")
    report.add_argument("-o", "--output", metavar="FILE", help="parity.html; without it Markdown and CSV are printed")
    report.add_argument(
        "--format",
        choices=("html", "markdown", "csv"),
        help="markdown: for a release note; csv: a row for each check (default: what FILE's name says, else html)",
    )
    report.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance.record import write_whole
    from lossparity.reports import html, notes, tables

    output: str | None = options.output
    suffix = "" if output is None else output[output.rfind(".") :].lower()
    kind = options.format or _SUFFIXES.get(suffix, "html")
    if kind == "html" and output is None:
        raise UsageError("report: give a file for the page: -o parity.html")
    make = {"html": html.render, "markdown": notes.markdown, "csv": tables.record_csv}[kind]
    text = make(lossparity.load(options.record))
    if output is None:
        print(text, end="")
    else:
        print(write_whole(output, text.encode("utf-8", "replace")))
    return HOLDS
