"""`lossparity run`: the matrix on the installed frameworks."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from lossparity.cli.exits import UsageError
from lossparity.cli.options import (
    add_execution,
    add_selection,
    execution_of,
    known,
    pythons_of,
    selection_of,
    shard,
    writable,
)
from lossparity.cli.terminal import progress_lines


def add(commands: Any) -> None:
    """The words of the command."""
    run = commands.add_parser(
        "run", help="run the matrix on the installed frameworks; write parity.json and parity.html"
    )
    add_selection(run)
    run.add_argument("-o", "--output", default="parity", metavar="DIR", help="where to write (default: %(default)s)")
    run.add_argument("--seed", type=int, default=None, help="of the cases' data and the cotangents (default: 0)")
    add_execution(run)
    run.add_argument(
        "--shard",
        type=shard,
        default=None,
        metavar="I/N",
        help="only the I-th of N parts of the matrix; `lossparity merge` of the N records is the record of the whole",
    )
    run.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity import adapters
    from lossparity.conformance import record
    from lossparity.conformance.execution.run import exit_code, run
    from lossparity.conformance.matrix import DEFAULT_SEED
    from lossparity.reports import html
    from lossparity.reports.summary import summary

    known("backend", options.backend, adapters.BACKENDS)
    selection = dataclasses.replace(selection_of(options), shard=options.shard or "")
    pythons = pythons_of(options.python, adapters.BACKENDS)
    folder = Path(options.output)
    writable(folder)
    with progress_lines() as progress:
        result = run(
            tuple(dict.fromkeys(options.backend)),
            selection,
            seed=DEFAULT_SEED if options.seed is None else options.seed,
            pythons=pythons,
            progress=progress,
            **execution_of(options),
        )
    if not result.checks and options.shard:
        raise UsageError(f"shard {options.shard} is empty: there are fewer calls than shards; make fewer of them")
    if not result.checks:
        raise UsageError("no check matches what was asked for; `lossparity list cases` names them")
    json_path = record.save(result, folder / "parity.json")
    html_path = html.write(result, folder / "parity.html")
    print(summary(result))
    print(f"record  {json_path}\nreport  {html_path}")
    return exit_code(result)
