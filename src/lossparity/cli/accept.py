"""`lossparity accept`: make a candidate the baseline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import lossparity
from lossparity.cli.again import run_again
from lossparity.cli.compared import judged
from lossparity.cli.exits import HOLDS, INCOMPLETE, UsageError
from lossparity.cli.options import add_execution, add_policy


def add(commands: Any) -> None:
    """The words of the command."""
    accept = commands.add_parser("accept", help="make a candidate the baseline, with the reason on record")
    accept.add_argument("baseline", metavar="BASELINE", help="the record to rewrite, or to begin")
    accept.add_argument("candidate", metavar="CANDIDATE", help="a record, or the word now")
    accept.add_argument("--reason", required=True, metavar="TEXT", help="why; it stays in the file")
    add_policy(accept)
    add_execution(accept)
    accept.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance import record
    from lossparity.conformance.execution.run import exit_code
    from lossparity.reports import formats, gate, policy
    from lossparity.reports.comparability import IncomparableError

    if not options.reason.strip():
        raise UsageError('--reason is empty; say why the change is agreed: --reason "..."')
    path = Path(options.baseline)
    baseline = lossparity.load(path) if path.exists() else None
    if options.candidate != "now":
        candidate = lossparity.load(options.candidate)
    elif baseline is not None:
        candidate = run_again(baseline, options.baseline, options)
    else:
        raise UsageError(f"there is no {path} to repeat; make a record with `lossparity run --quick -o DIR` first")
    findings: list[str] = []
    words = f"a first baseline of {len(candidate.checks):,} checks"
    gaps = ["the candidate's own run is incomplete"] if exit_code(candidate) == INCOMPLETE else []
    if baseline is not None:
        names = (options.baseline, options.candidate)
        try:
            comparison = judged(baseline, candidate, policy.load(options.policy), names, other_machine=True)
            words, gaps = comparison.headline, gaps or comparison.decision.gaps
            findings = [each.finding.says for each in comparison.judged]
        except IncomparableError as error:
            words = f"a new baseline, which does not compare with the old: {error}"
    if gaps:
        print(f"lossparity: nothing was accepted: {'; '.join(gaps)}", file=sys.stderr)
        return INCOMPLETE
    accepted = gate.accept(baseline, candidate, words, findings, options.reason.strip())
    record.save(accepted, path)
    print(formats.clean(f"accepted into {path}: {words}"))
    for says in findings[: formats.SHOWN]:
        print(formats.clean(f"  {says}"))
    if len(findings) > formats.SHOWN:
        print(f"  ... and {len(findings) - formats.SHOWN:,} more, all of them in the file")
    print(formats.clean(f"reason: {options.reason.strip()}"))
    return HOLDS
