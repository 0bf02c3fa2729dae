"""`lossparity gate`: may this upgrade go in?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lossparity
from lossparity.cli.again import comparable_now, run_again
from lossparity.cli.compared import emit, judged, policy_of, summarize, targets_of
from lossparity.cli.exits import UsageError
from lossparity.cli.options import add_comparison, add_environments, add_execution, add_policy, writable
from lossparity.cli.releases import plan_of


def add(commands: Any) -> None:
    """The words of the command."""
    gate = commands.add_parser(
        "gate",
        help="may this upgrade go in? compare a record with a baseline and judge what changed",
        usage="%(prog)s [options] BASELINE CANDIDATE\n       %(prog)s [options] --from PINS --to PINS",
        description="Compare CANDIDATE with BASELINE and judge what changed by the policy. With --from and --to, build "
        "both environments, run both here, and compare those.",
        epilog="Exit codes: 0 it may, 1 it may not, 2 the records do not compare, 3 incomplete.",
    )
    gate.add_argument("baseline", nargs="?", metavar="BASELINE", help="a record: parity.json or parity.json.gz")
    gate.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE", help="a record, or the word now: run what the baseline ran"
    )
    gate.add_argument("--from", dest="before", metavar="PINS", help='such as "torch==2.9.1 torchvision==0.24.1"')
    gate.add_argument("--to", dest="after", metavar="PINS", help="the same packages in other versions")
    add_environments(gate)
    add_policy(gate)
    gate.add_argument("--require-backend", action="append", default=[], metavar="B", help="incomplete if B did not run")
    gate.add_argument("--require-device", action="append", default=[], metavar="X", help="incomplete if X was not used")
    gate.add_argument("--quick", action="store_true", help="only what the quick matrix has, of both")
    gate.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="also write gate.html there, and the records that were made: of now parity.json, of --from before.json, "
        "of --to after.json",
    )
    add_comparison(gate)
    add_execution(gate)
    gate.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance import record
    from lossparity.reports import html
    from lossparity.reports.formats import FORMATS

    targets = targets_of(options.format)
    policy = policy_of(options)
    if options.before or options.after:
        return _gate_releases(options, targets, policy)
    if not options.baseline or not options.candidate:
        raise UsageError("gate takes BASELINE and CANDIDATE, or --from and --to")
    baseline = lossparity.load(options.baseline)
    now = options.candidate == "now"
    if options.output:
        writable(Path(options.output))
    if now:
        comparable_now(baseline, options)
    candidate = run_again(baseline, options) if now else lossparity.load(options.candidate)
    if options.output and now:
        record.save(candidate, Path(options.output) / "parity.json")
        html.write(candidate, Path(options.output) / "parity.html")
    comparison = judged(baseline, candidate, options, policy)
    if options.output:
        targets.append(("html", Path(options.output) / "gate.html"))
    emit(comparison, targets, FORMATS)
    summarize(comparison)
    return int(comparison.decision.code)


def _gate_releases(options: argparse.Namespace, targets: list[tuple[str, Path | None]], policy: Any) -> int:
    """The gate over two releases that are built, run and compared here."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.environments import label
    from lossparity.conformance.execution.upgrade import both, sides
    from lossparity.reports.formats import FORMATS

    if options.baseline or not (options.before and options.after):
        raise UsageError("give --from and --to, and no record beside them; or BASELINE and CANDIDATE")
    if options.python:
        raise UsageError("--python does not go with --from and --to, which make their own environments")
    pins = sides(options.before, options.after)
    if options.output:
        writable(Path(options.output))
    with plan_of(options) as plan:
        before, after = both(*pins, plan)
    options.baseline, options.candidate = map(label, pins)
    if options.baseline == options.candidate:
        options.candidate += " again"
    comparison = judged(before, after, options, policy)
    if options.output:
        for name, run in (("before", before), ("after", after)):
            record.save(run, Path(options.output) / f"{name}.json")
        targets.append(("html", Path(options.output) / "gate.html"))
    emit(comparison, targets, FORMATS)
    summarize(comparison)
    return int(comparison.decision.code)
