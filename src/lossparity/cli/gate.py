"""`lossparity gate`: may this upgrade go in?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import lossparity
from lossparity.cli.again import comparable_now, run_again
from lossparity.cli.bumped import bumped
from lossparity.cli.compared import emit, judged, summarize, targets_of
from lossparity.cli.exits import HOLDS, UsageError
from lossparity.cli.options import (
    add_checks,
    add_comparison,
    add_environments,
    add_execution,
    add_policy,
    selection_of,
    writable,
)
from lossparity.cli.releases import plan_of


def add(commands: Any) -> None:
    """The words of the command."""
    gate = commands.add_parser(
        "gate",
        help="may this upgrade go in? compare a record with a baseline and judge what changed",
        usage="%(prog)s [options] BASELINE CANDIDATE\n       %(prog)s [options] --from PINS --to PINS\n"
        "       %(prog)s [options] --since REF",
        description="Compare CANDIDATE with BASELINE and judge what changed by the policy. With --from and --to, build "
        "both environments, run both here, and compare those.",
        epilog="Exit codes: 0 it may, 1 it may not, 2 the records do not compare, 3 incomplete.",
    )
    gate.add_argument("baseline", nargs="?", metavar="BASELINE", help="a record: parity.json or parity.json.gz")
    gate.add_argument(
        "candidate", nargs="?", metavar="CANDIDATE", help="a record, or the word now: run what the baseline ran"
    )
    gate.add_argument(
        "--from",
        dest="before",
        metavar="PINS",
        help='such as "torch==2.9.1 torchvision==0.24.1", or a range: "torch>=2.8,<2.9"',
    )
    gate.add_argument("--to", dest="after", metavar="PINS", help="the same packages in other versions")
    gate.add_argument(
        "--since",
        metavar="REF",
        help="take both sides out of the requirements and lock files that changed since this revision of git",
    )
    add_environments(gate)
    add_checks(gate)
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
    from lossparity.reports import policy
    from lossparity.reports.formats import FORMATS

    targets = targets_of(options.format)
    rules = policy.load(options.policy)
    selection = selection_of(options)
    output = Path(options.output) if options.output else None
    foreword: list[str] = []
    asked = (options.before, options.after)
    if options.since:
        if any(asked) or options.baseline:
            raise UsageError("--since finds both sides by itself: give neither --from, --to nor a record beside it")
        bump = bumped(options.since)
        for note in bump.notes:
            print(f"lossparity: {note}", file=sys.stderr)
        if not bump.after:
            print(f"no framework's version changed since {options.since}: there is nothing to judge")
            return HOLDS
        asked = (bump.before, bump.after)
        print(f'lossparity: gate --from "{asked[0]}" --to "{asked[1]}"', file=sys.stderr)
    if any(asked):
        before, after, names, foreword = _releases(options, asked, selection, output)
    else:
        before, after, names = _records(options, selection, output)
    comparison = judged(
        before,
        after,
        rules,
        names,
        backends=options.backend,
        selection=selection,
        foreword=foreword,
        other_machine=options.other_machine,
        require_backends=options.require_backend,
        require_devices=options.require_device,
    )
    if output:
        targets.append(("html", output / "gate.html"))
    emit(comparison, targets, FORMATS)
    summarize(comparison)
    return int(comparison.decision.code)


def _records(options: argparse.Namespace, selection: Any, output: Path | None) -> tuple[Any, Any, tuple[str, str]]:
    """Both sides and what to call them: two records, or one and what is installed now."""
    from lossparity.conformance import record
    from lossparity.reports import html

    if not options.baseline or not options.candidate:
        raise UsageError("gate takes BASELINE and CANDIDATE, or --from and --to, or --since")
    names = (options.baseline, options.candidate)
    baseline = lossparity.load(options.baseline)
    if output:
        writable(output)
    if options.candidate != "now":
        return baseline, lossparity.load(options.candidate), names
    comparable_now(baseline, options.baseline, other_machine=options.other_machine)
    candidate = run_again(baseline, options.baseline, options, backends=options.backend, narrower=selection)
    if output:
        record.save(candidate, output / "parity.json")
        html.write(candidate, output / "parity.html")
    return baseline, candidate, names


def _releases(
    options: argparse.Namespace, asked: tuple[str | None, str | None], selection: Any, output: Path | None
) -> tuple[Any, Any, tuple[str, str], list[str]]:
    """Both sides, what to call them, and what to say first: two releases that are built and run here."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.pins import label
    from lossparity.conformance.execution.upgrade import both, left_open, sides

    first, second = asked
    if options.baseline or not (first and second):
        raise UsageError("give --from and --to, and no record beside them; or BASELINE and CANDIDATE")
    if options.python:
        raise UsageError("--python does not go with --from and --to, which make their own environments")
    if output:
        writable(output)
    with plan_of(options, options.backend, selection=selection) as plan:
        pins = sides(first, second, plan)
        before, after = both(*pins, plan)
    if output:
        record.save(before, output / "before.json")
        record.save(after, output / "after.json")
    old, new = map(label, pins)
    return before, after, (old, f"{new} again" if old == new else new), left_open(pins, before, after)
