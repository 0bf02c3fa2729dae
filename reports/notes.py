"""A record as Markdown, for a release note: the sentence, what ran, what is declared, what is lost, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from lossparity.conformance.record import VERDICTS, Checks, Run
from lossparity.reports.findings import (
    attention,
    backend_names,
    by_backend,
    command_lines,
    explain_line,
    few,
    in_reading_order,
    outcome,
    packages,
    plural,
    short_number,
)
from lossparity.reports.formats import code, escaped
from lossparity.reports.lossy import inputs, lost

_SHOWN = 20  # findings
_LOST = 40


def markdown(run: Run) -> str:
    """The note. Nothing of the record is markup in it."""
    return "\n".join([*_head(run), *_counts(run), *_findings(run), *_lost(run), *_foot(run)]) + "\n"


def _head(run: Run) -> list[str]:
    return [f"## Loss parity: {outcome(run).word}", "", f"**{escaped(outcome(run).sentence)}**", ""]


def _counts(run: Run) -> Iterator[str]:
    verdicts = list(in_reading_order(run.counts()))
    counts = by_backend(run)
    yield f"| backend | versions | {' | '.join(f'{VERDICTS[verdict][0]} {verdict}' for verdict in verdicts)} |"
    yield f"|---|---|{'---:|' * len(verdicts)}"
    for name in backend_names(run):
        versions = ", ".join(f"{package} {version}" for package, version in packages(run, name).items())
        numbers = " | ".join(f"{counts.get(name, {}).get(verdict, 0):,}" for verdict in verdicts)
        yield f"| {escaped(name)} | {escaped(versions)} | {numbers} |"
    yield ""
    yield from (f"- {VERDICTS[verdict][0]} {verdict}: {VERDICTS[verdict][1]}" for verdict in verdicts)
    yield ""


def _findings(run: Run) -> Iterator[str]:
    found = attention(run)
    if not found:
        return
    yield f"### {plural(len(found), 'finding')}"
    yield ""
    for finding in found[:_SHOWN]:
        what = ", ".join([finding.loss, finding.aspect, *finding.dtypes, plural(len(finding.checks), "check")])
        reason = f": {finding.worst.reason}" if finding.worst.reason else ""
        sign = VERDICTS[finding.verdict][0]
        yield f"- {sign} **{finding.verdict}** {escaped(f'{finding.of} ({what}){reason}')}"
        yield f"  {code(explain_line(finding.worst))}"
    if len(found) > _SHOWN:
        yield f"- and {plural(len(found) - _SHOWN, 'more finding')}"
    yield ""


def _lost(run: Run) -> Iterator[str]:
    found = sorted(lost(Checks.of(run.checks)), key=lambda each: -each.n)
    if not found:
        return
    yield "### Accuracy that declared formulas lose"
    yield ""
    yield "| loss | dtype | implementations | formula | loses up to | begins with |"
    yield "|---|---|---|---|---|---|"
    for each in found[:_LOST]:
        begins = f"{short_number(each.least.error_ulp)} ULP"
        if inputs(each.least):
            begins += f" at {escaped(inputs(each.least))}"
        yield (
            f"| {escaped(each.loss)} | {escaped(each.dtype)} | {escaped(few(each.implementations))} | "
            f"{escaped(', '.join(each.names))} | {each.digits} | {begins} |"
        )
    if len(found) > _LOST:
        yield ""
        yield f"And {len(found) - _LOST} more like these."
    yield ""


def _foot(run: Run) -> Iterator[str]:
    commands = command_lines(run)
    if commands:
        yield f"Made by {', '.join(map(code, commands))}, seed {run.seed}."
