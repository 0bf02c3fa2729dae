"""What a comparison says, in the formats that people and programs read: text, JSON, Markdown, GitHub, JUnit, CSV, HTML.

Everything that comes from a record is data: no string of it can end a line, a tag, a command or a code span.
"""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET  # only written: nothing here parses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lossparity.reports.changes import KINDS, Finding
from lossparity.reports.diff import Diff, Side, packages_changed
from lossparity.reports.findings import explain_line, few, plural
from lossparity.reports.gate import Decision, Judged, tally, unchanged
from lossparity.reports.policy import Rule
from lossparity.reports.tables import comparison_csv

SHOWN = 10  # findings on a terminal, and annotations of each level, of which GitHub shows no more
SUMMARY_LIMIT = 1024 * 1024  # bytes of a step summary: GitHub drops a larger one whole
COMMENT_LIMIT = 65536  # characters of a comment, and so no more bytes: GitHub refuses a longer one
COMMENT_MARK = "<!-- lossparity-gate -->"
_IDS = 20  # checks listed below a finding in Markdown
_ID_BUDGET = 2000  # in HTML and JSON: the first ones; the record has them all
_SIGNS = {"passed": "✓", "failed": "✗", "incomplete": "○"}


@dataclass(frozen=True)
class Comparison:
    """What the formats show: what changed and, from a gate, the decision. foreword: what to know first."""

    diff: Diff
    decision: Decision | None = None
    foreword: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """How much changed."""
        if self.decision is not None:
            return self.decision.sentence
        what = ", ".join(tally(self.diff.findings))
        return f"{self.diff.upgrade}: {what or unchanged(self.diff)}."

    @property
    def sentence(self) -> str:
        """What a reviewer needs first: how much changed, and the worst of it."""
        worst = next((each.finding.says for each in self.judged if each.action == "fail"), "")
        return f"{self.headline} {worst.rstrip('.')}." if worst and self.word == "failed" else self.headline

    @property
    def word(self) -> str:
        """The verdict: passed, failed, incomplete; "compared" where none was asked for."""
        return self.decision.word if self.decision is not None else "compared"

    @property
    def judged(self) -> list[Judged]:
        """The findings, failing ones first; without a gate all of them are for information."""
        if self.decision is not None:
            return self.decision.judged
        return [Judged(finding, "warn") for finding in self.diff.findings]

    @property
    def remarks(self) -> list[str]:
        """What to know besides the findings."""
        remarks = [f"incomplete: {gap}" for gap in self.gaps]
        remarks += [f"policy: {complaint}" for complaint in self.decision.complaints] if self.decision else []
        if self.decision and self.decision.ignored:
            remarks.append(
                f"policy: {plural(len(self.decision.ignored), 'finding')} ignored ({self.decision.policy.source})"
            )
        remarks += [f"policy: {each}" for each in self.decision.unjudged] if self.decision else []
        return [*remarks, *self.diff.notes]

    @property
    def gaps(self) -> list[str]:
        """What is incomplete and no finding tells."""
        told = {each.finding.says for each in self.judged if each.blocks}
        return [gap for gap in self.decision.gaps if gap not in told] if self.decision else []

    @property
    def packages(self) -> str:
        """The packages that changed."""
        return ", ".join(packages_changed(self.diff.before, self.diff.after)) or "the same versions"

    @property
    def counted(self) -> str:
        """The checks by kind."""
        counts = self.diff.counts
        words = [f"{n:,} {kind}" for kind, n in counts.items()]
        total = plural(sum(counts.values()), "check")
        return f"{total}, of which {self.diff.compared:,} ran on both sides: {', '.join(words) or 'nothing to compare'}"


def text(comparison: Comparison) -> str:
    """For a terminal: the sentence, ten findings at most, each with the command that shows it in full."""
    lines = [
        f"{_SIGNS.get(comparison.word, '=')} {comparison.word.upper()}  {comparison.headline}",
        *comparison.foreword,
        "",
    ]
    for each in comparison.judged[:SHOWN]:
        lines.append(f"{KINDS[each.finding.kind][0]} {_label(comparison, each)}: {each.finding.says}")
        explain = _explain(each.finding)
        lines += [f"    {explain}"] if explain else []
    if len(comparison.judged) > SHOWN:
        left = plural(len(comparison.judged) - SHOWN, "more finding")
        lines.append(f"... and {left}: --format markdown, json or html=FILE has them all")
    lines += [""] if comparison.judged else []
    lines += [_sides(comparison.diff), f"packages: {comparison.packages}", comparison.counted]
    lines += [f"note: {remark}" for remark in comparison.remarks]
    return "\n".join(clean(line) for line in lines) + "\n"


def as_json(comparison: Comparison) -> str:
    """For programs. `format` is raised when a key changes its meaning."""
    decision = comparison.decision
    document = {
        "format": 1,
        "verdict": comparison.word,
        "exit_code": decision.code if decision else 0,
        "sentence": comparison.sentence,
        "foreword": list(comparison.foreword),
        "upgrade": comparison.diff.upgrade,
        "before": _side(comparison.diff.before),
        "after": _side(comparison.diff.after),
        "compared": comparison.diff.compared,
        "counts": comparison.diff.counts,
        "findings": [_finding(each, decision is not None) for each in comparison.judged],
        "ignored": [_finding(each, True) for each in (decision.ignored if decision else ())],
        "incomplete": decision.gaps if decision else [],
        "policy": _policy(decision) if decision else None,
        "notes": comparison.diff.notes,
    }
    return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def markdown(comparison: Comparison, limit: int = SUMMARY_LIMIT) -> str:
    """For a step summary or a comment, in less than `limit` bytes."""
    sign = _SIGNS.get(comparison.word, "=")
    head = [
        f"## {sign} lossparity: {comparison.word}",
        "",
        f"**{escaped(comparison.headline)}**",
        "",
        *(f"{escaped(words)}\n" for words in comparison.foreword),
        f"- {escaped(_sides(comparison.diff))}",
        f"- packages: {escaped(comparison.packages)}",
        f"- {escaped(comparison.counted)}",
        *(f"- {escaped(remark)}" for remark in comparison.remarks[:50]),
        "",
    ]
    size = sum(len(line.encode()) + 1 for line in head) + 200  # the line below that says what is left out
    body: list[str] = []
    for number, each in enumerate(comparison.judged):
        block = list(_markdown_finding(comparison, each))
        size += sum(len(line.encode()) + 1 for line in block)
        if size >= limit:
            body += ["", f"And {plural(len(comparison.judged) - number, 'more finding')}, left out for size."]
            break
        body += block
    page = "\n".join([*head, *body]) + "\n"
    return page if len(page.encode()) < limit else page.encode()[: max(0, limit - 1)].decode("utf-8", "ignore")


def comment(comparison: Comparison) -> str:
    """The Markdown as a comment on a pull request, with the mark by which the next one finds it and takes its place."""
    return f"{COMMENT_MARK}\n{markdown(comparison, COMMENT_LIMIT - len(COMMENT_MARK) - 1)}"


def _markdown_finding(comparison: Comparison, each: Judged) -> Iterator[str]:
    finding = each.finding
    head = f"{KINDS[finding.kind][0]} **{escaped(_label(comparison, each))}** ({escaped(finding.backend)})"
    yield f"- {head}: {escaped(finding.says)}"
    explain = _explain(finding)
    if explain:
        yield f"  {code(explain)}"
    ids = [change.check.id for change in finding.changes]
    if len(ids) > 1:
        yield f"  <details><summary>{plural(len(ids), 'check')}</summary>"
        yield ""
        yield from (f"  - {code(identifier)}" for identifier in ids[:_IDS])
        if len(ids) > _IDS:
            yield f"  - and {len(ids) - _IDS:,} more"
        yield ""
        yield "  </details>"


def github(comparison: Comparison) -> str:
    """Workflow commands: an annotation for each finding, of ten at most per level, and one with the sentence."""
    level = {"failed": "error", "incomplete": "error"}.get(comparison.word, "notice")
    lines = [_annotation(level, f"lossparity: {comparison.word}", comparison.sentence)]
    lines += (
        [_annotation("error", "lossparity: policy", each) for each in comparison.decision.complaints]
        if comparison.decision
        else []
    )
    for action, level in (("fail", "error"), ("warn", "warning" if comparison.decision else "notice")):
        found = [each for each in comparison.judged if each.action == action]
        for each in found[: SHOWN - 1]:
            explain = _explain(each.finding)
            message = each.finding.says + (f"\n{explain}" if explain else "")
            lines.append(_annotation(level, f"lossparity: {_label(comparison, each)}", message))
    return "".join(f"{line}\n" for line in lines)


def _annotation(level: str, title: str, message: str) -> str:
    """One workflow command. Its data and its properties have escapes of their own."""
    data = "\n".join(clean(line) for line in message.split("\n"))
    data = data.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = clean(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{data}"


def junit(comparison: Comparison) -> str:
    """JUnit XML: a test case per finding, and one for each backend that has none."""
    diff, decision = comparison.diff, comparison.decision
    cases: list[ET.Element] = []
    failures = errors = 0
    for each in comparison.judged:
        finding = each.finding
        name = f"{finding.kind}: {few(finding.losses)}, {few(finding.aspects)}"
        case = ET.Element("testcase", classname=_xml(f"lossparity.{finding.backend}"), name=_xml(name), time="0")
        body = _xml("\n".join([finding.says, _explain(finding)]))
        if each.blocks:
            ET.SubElement(case, "error", message=_xml(finding.says), type="incomplete").text = body
            errors += 1
        elif each.action == "fail":
            ET.SubElement(case, "failure", message=_xml(finding.says), type=finding.kind).text = body
            failures += 1
        else:
            ET.SubElement(case, "system-out").text = body
        cases.append(case)
    for what, messages in (
        ("incomplete", comparison.gaps),
        ("policy", decision.complaints if decision else []),
    ):
        for number, message in enumerate(messages, start=1):
            case = ET.Element("testcase", classname="lossparity.gate", name=f"{what} {number}", time="0")
            ET.SubElement(case, "error" if what == "incomplete" else "failure", message=_xml(message), type=what)
            errors, failures = errors + (what == "incomplete"), failures + (what == "policy")
            cases.append(case)
    for backend in diff.after.packages:
        if backend not in {each.finding.backend for each in comparison.judged}:
            cases.append(ET.Element("testcase", classname=_xml(f"lossparity.{backend}"), name="unchanged", time="0"))
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": str(errors), "skipped": "0", "time": "0"}
    suite = ET.Element("testsuite", {"name": "lossparity gate", **counts})
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="sentence", value=_xml(comparison.sentence))
    suite.extend(cases)
    suites = ET.Element("testsuites", {"name": "lossparity", **counts})
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def html(comparison: Comparison) -> str:
    """The page: the same findings, in the report's look."""
    from lossparity.reports import html as report

    return report.page(
        "diff.html.j2",
        comparison=comparison,
        diff=comparison.diff,
        kinds=KINDS,
        label=lambda each: _label(comparison, each),
        explain=_explain,
        shown=_ID_BUDGET,
        sides=_sides(comparison.diff),
        infinity=math.inf,
    )


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "text": text,
    "json": as_json,
    "markdown": markdown,
    "comment": comment,
    "github": github,
    "junit": junit,
    "csv": comparison_csv,
    "html": html,
}


def _label(comparison: Comparison, each: Judged) -> str:
    """The kind, and from a gate what it means."""
    if comparison.decision is None:
        return each.finding.kind
    by = f", {each.rule.reason}, until {each.rule.expires}" if each.rule else ""
    return f"{each.finding.kind} ({'incomplete' if each.blocks else each.action}{by})"


def _explain(finding: Finding) -> str:
    """The command that shows its first check; "" where there is no check."""
    return explain_line(finding.changes[0].check) if finding.changes else ""


def _sides(diff: Diff) -> str:
    """Which side is which."""
    sides = [f"{side.name} ({side.started})" if side.started else side.name for side in (diff.before, diff.after)]
    return f"before: {sides[0]}; after: {sides[1]}"


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "started": side.started, "packages": side.packages}


def _finding(each: Judged, judged: bool) -> dict[str, Any]:
    finding = each.finding
    return {
        "kind": finding.kind,
        "action": each.action if judged else None,
        "exception": _rule(each.rule) if each.rule else None,
        "backend": finding.backend,
        "loss": finding.loss,
        "losses": finding.losses,
        "aspect": finding.aspect,
        "aspects": finding.aspects,
        "implementations": finding.implementations,
        "says": finding.says,
        "size": finding.size if math.isfinite(finding.size) else None,
        "incomplete": finding.incomplete,
        "n_checks": len(finding.changes),
        "checks": [change.check.id for change in finding.changes[:_ID_BUDGET]],
        "explain": _explain(finding) or None,
    }


def _policy(decision: Decision) -> dict[str, Any]:
    return {
        "source": decision.policy.source,
        "complaints": decision.complaints,
        "unjudged": decision.unjudged,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {**rule.selectors, "action": rule.action, "reason": rule.reason, "expires": str(rule.expires)}


def clean(line: str) -> str:
    """One line without what steers a terminal or, as ##[...] does anywhere in a line, a workflow."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line).replace("##[", "# #[")


_MARKDOWN = re.compile(r"[\\`*_\[\]|~$]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;"}


def escaped(line: str) -> str:
    """A line of Markdown that says just this: no markup, no HTML, no link, no mention."""
    safe = "".join(_ENTITIES.get(c, c) for c in clean(line))
    return _MARKDOWN.sub(lambda found: f"\\{found.group()}", safe).replace("://", "&#58;//").replace("www.", "www&#46;")


def code(line: str) -> str:
    """A code span; its fence is longer than any run of backticks in it."""
    line = clean(line)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(words: str) -> str:
    """Without the characters that XML cannot hold; the writer escapes the others."""
    return _NOT_XML.sub("\ufffd", words)


def within(comparison: Comparison, taken: int) -> str:
    """Markdown for a step summary that already has `taken` bytes: together they stay under GitHub's limit."""
    room = SUMMARY_LIMIT - taken
    return markdown(comparison, room) if room > 2000 else ""
