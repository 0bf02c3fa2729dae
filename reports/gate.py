"""The verdict on an upgrade: a policy applied to what changed.

Exit codes: 0 the upgrade may go in, 1 it may not, 3 the comparison is incomplete and decides nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lossparity.conformance.record import FAILING, Run
from lossparity.reports.changes import KINDS, Finding
from lossparity.reports.diff import Diff
from lossparity.reports.findings import HOLDING, listed, mapping, plural
from lossparity.reports.policy import Action, Policy, Rule

PASSED, FAILED, INCOMPLETE = 0, 1, 3
_WORDS: dict[int, Literal["passed", "failed", "incomplete"]] = {0: "passed", 1: "failed", 3: "incomplete"}


@dataclass(frozen=True)
class Judged:
    """A finding and what the policy makes of it. rule: the exception by which it does."""

    finding: Finding
    action: Action
    rule: Rule | None = None

    @property
    def blocks(self) -> bool:
        """Whether nothing can be decided because of it: only an exception, with its reason, excuses a gap."""
        return self.finding.incomplete and self.rule is None


@dataclass(frozen=True)
class Decision:
    """The verdict: code (the exit code), sentence, and why.

    judged: the findings that are not ignored, failing ones first. ignored: the others. gaps: what did not run and had
    to. complaints: what is wrong with the policy's exceptions.
    """

    diff: Diff
    policy: Policy
    code: int
    sentence: str
    judged: list[Judged]
    ignored: list[Judged]
    gaps: list[str]
    complaints: list[str]

    @property
    def word(self) -> str:
        """The verdict in one word: passed, failed or incomplete."""
        return _WORDS[self.code]


def decide(
    diff: Diff,
    after: Run,
    policy: Policy,
    *,
    today: datetime.date | None = None,
    require_backends: Sequence[str] = (),
    require_devices: Sequence[str] = (),
) -> Decision:
    """Judge what changed. after: the candidate's record, for what must have run in it."""
    today = datetime.date.today() if today is None else today
    judged = [_judge(finding, policy, today) for finding in diff.findings]
    gaps = [each.finding.says for each in judged if each.blocks]
    gaps += _not_run(after, require_backends, require_devices)
    told = {finding.backend for finding in diff.findings if finding.incomplete}
    for name, backend in after.backends.items():  # one that the baseline does not know
        if mapping(backend).get("status") in ("crashed", "timeout") and name not in told:
            gaps.append(f"{name}: {backend['status']}: {backend.get('reason') or 'no reason recorded'}")
    if not diff.compared:
        gaps.append("no check ran in both records")
    complaints = _complaints(policy, diff.findings, today)
    shown = sorted((each for each in judged if each.action != "ignore" or each.blocks), key=_urgency)
    failing = [each for each in shown if each.action == "fail"]
    code = INCOMPLETE if gaps else FAILED if failing or complaints else PASSED
    return Decision(
        diff=diff,
        policy=policy,
        code=code,
        sentence=_sentence(diff, code, shown, gaps, complaints),
        judged=shown,
        ignored=[each for each in judged if each not in shown],
        gaps=gaps,
        complaints=complaints,
    )


def accept(before: Run | None, after: Run, words: str, findings: Sequence[str], reason: str) -> Run:
    """The candidate as the next baseline: what was accepted into the one before stays in it, and this is added."""
    entry = {
        "reason": reason,
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "says": words,
        "before": mapping(before.environment).get("backends", {}) if before else {},
        "after": mapping(after.environment).get("backends", {}),
        "findings": list(findings),
    }
    return dataclasses.replace(after, accepted=[*(before.accepted if before else ()), entry])


def _judge(finding: Finding, policy: Policy, today: datetime.date) -> Judged:
    rule = next((rule for rule in policy.rules if rule.matches(finding) and today < rule.expires), None)
    return Judged(finding, rule.action if rule else policy.kinds.get(finding.kind, "fail"), rule)


def _urgency(judged: Judged) -> int:
    return ("fail", "warn", "ignore").index(judged.action)


def _complaints(policy: Policy, findings: Sequence[Finding], today: datetime.date) -> list[str]:
    found = []
    for rule in policy.rules:
        if today >= rule.expires:
            found.append(f"{rule} expired on {rule.expires}: decide again, then renew or remove it")
        elif not any(rule.matches(finding) for finding in findings):
            found.append(f"{rule} matches nothing: remove it, or it hides what comes next")
    return found


def _not_run(after: Run, backends: Sequence[str], devices: Sequence[str]) -> list[str]:
    """What was required and did not run in the candidate."""
    ran = [check for check in after.checks if check.verdict in HOLDING | FAILING]
    have = {check.backend for check in ran}
    gaps = []
    for name in dict.fromkeys(backends):
        if name not in have:
            reason = str(mapping(after.backends.get(name)).get("reason") or "")
            gaps.append(f"backend {name} is required and did not run" + (f": {reason}" if reason else ""))
    for name in dict.fromkeys(devices):
        if name not in {check.device for check in ran}:
            gaps.append(f"device {name} is required and nothing ran on it")
    return gaps


def _sentence(diff: Diff, code: int, judged: Sequence[Judged], gaps: Sequence[str], complaints: Sequence[str]) -> str:
    what = tally([each.finding for each in judged if each.finding.kind != "missing"])
    words = listed(what) if what else unchanged(diff)
    if code == INCOMPLETE:
        more = f" (and {plural(len(gaps) - 1, 'more gap')})" if len(gaps) > 1 else ""
        words = f"incomplete, so nothing is decided: {gaps[0]}{more}" + (f"; {words}" if what else "")
    if complaints:
        hold = "holds" if len(complaints) == 1 else "hold"
        words += f"; {plural(len(complaints), 'exception')} of the policy no longer {hold}"
    return f"{diff.upgrade}: {words}."


def unchanged(diff: Diff) -> str:
    """That nothing changed, and whether to the digit."""
    beyond = " beyond rounding" if diff.counts.get("rounding") else ""
    return f"nothing changed{beyond} in {plural(diff.compared, 'check')}"


def tally(findings: Sequence[Finding]) -> list[str]:
    """How many of each kind there are: "3 losses changed", "1 new warning". What concerns a whole backend counts it."""
    words = []
    for kind, (_, one, many, _) in KINDS.items():
        mine = [each for each in findings if each.kind == kind]
        if kind in ("signature", "extended", "warning", "census"):
            n = len(mine)
        else:
            whole = {each.backend for each in mine if each.loss == "*"}
            n = len({each.loss for each in mine if each.backend not in whole})
            words += [_counted(len(whole), one, many, "backend")] if whole else []
        words += [_counted(n, one, many, "loss")] if n else []
    return words


def _counted(n: int, one: str, many: str, noun: str) -> str:
    words = f"{n:,} {one if n == 1 else many}"
    return words if noun == "loss" else words.replace("losses", f"{noun}s").replace("loss", noun)
