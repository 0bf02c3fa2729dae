"""What a ladder of releases says: which of them changed what, and which was the first to change one check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lossparity.conformance.record import Run
from lossparity.reports.changes import KINDS, Finding
from lossparity.reports.diff import Diff, compare
from lossparity.reports.findings import explain_line, plural
from lossparity.reports.formats import clean, escaped
from lossparity.reports.gate import tally

if TYPE_CHECKING:  # it runs frameworks; here only its findings are put into words
    from lossparity.conformance.execution.upgrade import Bisection

SHOWN = 3  # findings of each release; -o keeps the records, and `diff` shows all


@dataclass(frozen=True)
class Rung:
    """A release, and what it changed since the one before: nothing to compare for the first, or where it did not run.

    incomplete: why its record has gaps.
    """

    version: str
    run: Run | None = None
    problem: str = ""
    diff: Diff | None = None
    since: str = ""
    incomplete: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """The release in a sentence."""
        if self.run is None:
            return f"not run: {self.problem}"
        gaps = "".join(f"; {name}: {why}" for name, why in self.incomplete.items())
        if self.diff is None:
            return f"the first, {plural(len(self.run.checks), 'check')}{gaps}"
        what = ", ".join(tally(self.diff.findings)) or f"nothing changed in {plural(self.diff.compared, 'check')}"
        return f"{what}{gaps}"

    @property
    def findings(self) -> list[Finding]:
        """What it changed, the worst first."""
        return self.diff.findings if self.diff else []


def climb(package: str, rungs: Sequence[Rung], version: str, run: Run | None, problem: str) -> Rung:
    """The next rung of a ladder: a release against the last one before it that ran."""
    if run is None:
        return Rung(version, problem=problem)
    incomplete = {
        name: f"{backend['status']}: {backend['reason']}"
        for name, backend in run.backends.items()
        if backend["status"] != "complete"
    }
    last = next((each for each in reversed(rungs) if each.run is not None), None)
    if last is None or last.run is None:
        return Rung(version, run, incomplete=incomplete)
    diff = compare(last.run, run, names=(f"{package} {last.version}", f"{package} {version}"))
    return Rung(version, run, diff=diff, since=last.version, incomplete=incomplete)


def table(package: str, rungs: Sequence[Rung]) -> str:
    """For a terminal: a release a line, with the worst of what it changed below."""
    width = max(len(each.version) for each in rungs)
    lines = [f"{package}: what each release changed since the one before it"]
    for rung in rungs:
        lines.append(f"{rung.version:<{width}}  {rung.says}")
        lines += [f"{'':{width}}    {KINDS[each.kind][0]} {each.says}" for each in rung.findings[:SHOWN]]
        if len(rung.findings) > SHOWN:
            lines.append(f"{'':{width}}    ... and {plural(len(rung.findings) - SHOWN, 'more finding')}")
    return "\n".join(clean(line) for line in lines) + "\n"


def markdown(package: str, rungs: Sequence[Rung]) -> str:
    """The same for a summary or a comment."""
    lines = [f"## {escaped(package)}: what each release changed since the one before it", ""]
    lines += ["| release | what changed |", "|---|---|"]
    for rung in rungs:
        cells = [escaped(rung.says)]
        cells += [f"{KINDS[each.kind][0]} {escaped(each.says)}" for each in rung.findings[:SHOWN]]
        if len(rung.findings) > SHOWN:
            cells.append(f"and {plural(len(rung.findings) - SHOWN, 'more finding')}")
        lines.append(f"| {escaped(rung.version)} | {'<br>'.join(cells)} |")
    return "\n".join(lines) + "\n"


def first_change(before: Run, after: Run) -> Finding | None:
    """The worst that became of the checks of two records; None where they are the same within rounding."""
    return next((each for each in compare(before, after).findings if each.changes), None)


def found(bisection: Bisection, good: str) -> str:
    """Which release changed a check, in words."""
    package, before, after = bisection.package, bisection.before, bisection.after
    if before.run is None or after.run is None:
        raise ValueError("a bisection ends between two releases that ran")
    finding = first_change(before.run, after.run)
    says = finding.says if finding else f"little by little since {good}"
    lines = [
        f"{package} {after.version} is the first release in which {bisection.check} is not as in {good}",
        f"{package} {before.version} to {after.version}: {says}",
        *([explain_line(finding.changes[0].check)] if finding else []),
        *(f"{package} {version} could not be run: {why}" for version, why in bisection.skipped.items()),
        f"{plural(bisection.tried, 'release')} run, of {bisection.between + 2} from one end to the other",
    ]
    if bisection.skipped:
        lines[0] += ", or one of those below that could not be run"
    return "\n".join(clean(line) for line in lines)
