"""A run in a terminal: the sentence, the counts, and the first things to look at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lossparity.conformance.record import VERDICTS, Checks, Run
from lossparity.reports.findings import (
    WHOLE,
    attention,
    backend_names,
    by_backend,
    explain_line,
    in_reading_order,
    mapping,
    outcome,
    packages,
    plural,
    programs,
    short_number,
)
from lossparity.reports.lossy import inputs, lost

_SHOWN = 10
_REASON = 200
_LOST = 3


def summary(run: Run, asked: Collection[str] | None = None) -> str:
    """Plain text: whether parity holds, counts per backend, and the first ten findings with their explain line."""
    lines = [outcome(run, asked).sentence, ""]
    lines += _counts(run)
    lines += _troubles(run)
    lines += _lost(run)
    # Of a backend as a whole, its own line above has told.
    findings = [each for each in attention(run, asked) if not (each.loss == WHOLE and each.of in run.backends)]
    if findings:
        lines.append("")
    for finding in findings[:_SHOWN]:
        sign = VERDICTS[finding.verdict][0]
        error = "" if finding.worst.error_ulp is None else f", up to {short_number(finding.worst.error_ulp)} ULP"
        lines.append(
            f"{sign} {finding.verdict}: {finding.of} [{finding.loss}], {finding.aspect}, "
            f"{', '.join(finding.dtypes)}: {plural(len(finding.checks), 'check')}{error}"
        )
        if finding.worst.reason:
            lines.append(f"    {_one_line(finding.worst.reason)}")
        lines.append(f"    {explain_line(finding.worst)}")
    if len(findings) > _SHOWN:
        lines.append(f"... and {plural(len(findings) - _SHOWN, 'more finding')}, all of them in the report")
    return "\n".join(_printable(line) for line in lines)


def _counts(run: Run) -> list[str]:
    """One row per backend, one column per verdict that occurs."""
    verdicts = list(in_reading_order(run.counts()))
    header = ["backend", *verdicts, "versions"]
    counts = by_backend(run)
    rows = []
    for name in backend_names(run):
        found = counts.get(name, {})
        versions = ", ".join(f"{package} {version}" for package, version in packages(run, name).items())
        compiled = programs(mapping(run.backends.get(name)))
        versions += f"; compiled {compiled}" if compiled else ""
        rows.append([name, *(f"{found.get(verdict, 0):,}" for verdict in verdicts), versions])
    if not rows:
        return []
    return _aligned([header, *rows])


def _lost(run: Run) -> list[str]:
    """What declared, less accurate formulas lose: a line for each loss and dtype, those with most checks first."""
    found = sorted(lost(Checks.of(run.checks)), key=lambda each: -each.n)
    lines = [
        f"{VERDICTS['lossy'][0]} lossy: {each.loss}, {each.dtype}: {plural(each.n, 'check')} of "
        f"{plural(len(each.implementations), 'implementation')} ({_one_line(', '.join(each.names))}) lose up to "
        f"{each.digits}; it begins with {short_number(each.least.error_ulp)} ULP"
        + (f" at {_one_line(inputs(each.least))}" if inputs(each.least) else "")
        for each in found[:_LOST]
    ]
    if len(found) > _LOST:
        lines.append(f"... and {len(found) - _LOST} more like these, all of them in the report")
    return ["", *lines] if lines else []


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first and last columns to the left, the counts between them to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _troubles(run: Run) -> list[str]:
    """Each backend that did not finish, why, and the last thing it said."""
    lines = []
    for name, backend in run.backends.items():
        backend = mapping(backend)
        status = backend.get("status", "complete")
        if status == "complete":
            continue
        sign = VERDICTS[status][0] if status in VERDICTS else "?"
        lines.append(f"{sign} {name}: {status}: {_one_line(str(backend.get('reason') or 'no reason recorded'))}")
        words = str(backend.get("last_words") or "").strip().splitlines()
        lines += [f"    {line}" for line in words[-3:]]
    return ["", *lines] if lines else []


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _REASON else flat[: _REASON - 3] + "..."


def _printable(line: str) -> str:
    """Without control characters: what a record says must not steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)
