"""`lossparity run`: the matrix on the installed frameworks."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from lossparity.cli.exits import IncompleteError, UsageError
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
    run.add_argument(
        "--full",
        action="store_true",
        help="float16 and bfloat16, every mode and second derivatives too, on the rows that can tell them apart",
    )
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
    run.add_argument(
        "--dask",
        default=None,
        metavar="ADDRESS",
        help="run on the workers of the dask cluster whose scheduler is there (needs lossparity[dask])",
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
    if options.full and options.quick:
        raise UsageError("--full and --quick ask for more and for less; give one of them")
    selection = dataclasses.replace(selection_of(options), shard=options.shard or "", full=options.full)
    pythons = pythons_of(options.python, adapters.BACKENDS)
    folder = Path(options.output)
    writable(folder)
    backends = tuple(dict.fromkeys(options.backend))
    said = {**execution_of(options), "seed": DEFAULT_SEED if options.seed is None else options.seed}
    with progress_lines() as progress:
        if options.dask is None:
            result = run(backends, selection, pythons=pythons, progress=progress, **said)
        else:
            result = _on_cluster(options, backends, selection, progress=progress, **said)
    if not result.checks and options.shard:
        raise UsageError(f"shard {options.shard} is empty: there are fewer calls than shards; make fewer of them")
    if not result.checks:
        raise UsageError("no check matches what was asked for; `lossparity list cases` names them")
    json_path = record.save(result, folder / "parity.json")
    html_path = html.write(result, folder / "parity.html")
    print(summary(result))
    print(f"record  {json_path}\nreport  {html_path}")
    return exit_code(result)


def _on_cluster(options: argparse.Namespace, backends: Any, selection: Any, **said: Any) -> Any:
    from lossparity.conformance.execution.cluster import ClusterError, run_on

    for word, given in (("--jobs", options.jobs), ("--python", options.python), ("--shard", options.shard)):
        if given:
            raise UsageError(
                f"--dask and {word} do not go together: the cluster says how many run at a time, and where"
            )
    try:
        return run_on(options.dask, backends, selection, **said)
    except ClusterError as error:
        raise IncompleteError(str(error)) from None
