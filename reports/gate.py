"""The verdict on an upgrade: a policy applied to what changed.

Exit codes: 0 the upgrade may go in, 1 it may not, 3 the comparison is incomplete and decides nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lossparity.conformance.record import FAILING, Checks, Run
from lossparity.reports.changes import KINDS, OF_NO_CHECK, Finding, Item, in_turn
from lossparity.reports.diff import Diff
from lossparity.reports.findings import HOLDING, few, listed, mapping, plural
from lossparity.reports.policy import Action, Policy, Rule
from lossparity.reports.scope import Names, check_names, judgeable
from lossparity.reports.words import aspect_in_words

PASSED, FAILED, INCOMPLETE = 0, 1, 3
_NAMED = 3  # losses whose aspects the first line tells, and broken signatures that it names
_SHORT = 50  # characters of a signature's change in it
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
    to. complaints: what is wrong with the policy's exceptions. unjudged: those of which nothing was compared.
    """

    diff: Diff
    policy: Policy
    code: int
    sentence: str
    judged: list[Judged]
    ignored: list[Judged]
    gaps: list[str]
    complaints: list[str]
    unjudged: list[str]

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
    names: Names | None = None,
) -> Decision:
    """Judge what changed. after: the candidate's record, for what must have run in it.

    names: what an exception may name; PolicyError for one that names what there is not. None: any name will do.
    """
    today = datetime.date.today() if today is None else today
    if names is not None:
        check_names(policy.rules, diff.runs, names)
    judged = _judge(diff, policy, today)
    gaps = [each.finding.says for each in judged if each.blocks]
    gaps += _not_run(after, require_backends, require_devices)
    told = {each.finding.backend for each in judged if each.finding.incomplete}
    for name, backend in after.backends.items():  # one that the baseline does not know
        if mapping(backend).get("status") in ("crashed", "timeout") and name not in told:
            gaps.append(f"{name}: {backend['status']}: {backend.get('reason') or 'no reason recorded'}")
    if not diff.compared:
        gaps.append("no check ran in both records")
    complaints, unjudged = _complaints(policy, diff, today)
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
        unjudged=unjudged,
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


def _judge(diff: Diff, policy: Policy, today: datetime.date) -> list[Judged]:
    """The findings, each with what the policy makes of it: an exception takes its checks out of those of the others."""
    valid = [rule for rule in policy.rules if today < rule.expires]
    parts: dict[int, list[Item]] = {}
    for item in diff.items:
        number = next((number for number, rule in enumerate(valid) if rule.matches(item)), -1)
        parts.setdefault(number, []).append(item)
    judged = []
    for number, items in parts.items():
        rule = valid[number] if number >= 0 else None
        for finding in diff.told(items):
            action = rule.action if rule else policy.kinds.get(finding.kind, "fail")
            judged.append(Judged(finding, action, rule))
    order = {id(finding): place for place, finding in enumerate(in_turn(each.finding for each in judged))}
    return sorted(judged, key=lambda each: order[id(each.finding)])


def _urgency(judged: Judged) -> int:
    return ("fail", "warn", "ignore").index(judged.action)


def _complaints(policy: Policy, diff: Diff, today: datetime.date) -> tuple[list[str], list[str]]:
    """What is wrong with the exceptions, and of which nothing was compared, so that nothing can be said."""
    found, unjudged = [], []
    can_tell = judgeable(diff.runs) if policy.rules else None
    for rule in policy.rules:
        matches = any(rule.matches(item) for item in diff.items)
        if not matches and can_tell is not None and not can_tell(rule):
            unjudged.append(f"{rule} is not judged: nothing that it is for was compared")
        elif today >= rule.expires:
            found.append(f"{rule} expired on {rule.expires}: decide again, then renew or remove it")
        elif not matches:
            found.append(f"{rule} matches nothing: remove it, or it hides what comes next")
    return found, unjudged


def _not_run(after: Run, backends: Sequence[str], devices: Sequence[str]) -> list[str]:
    """What was required and did not run in the candidate."""
    ran = Checks.of(after.checks).where(verdict=HOLDING | FAILING)
    gaps = []
    for name in dict.fromkeys(backends):
        if (name,) not in ran.tally("backend"):
            reason = str(mapping(after.backends.get(name)).get("reason") or "")
            gaps.append(f"backend {name} is required and did not run" + (f": {reason}" if reason else ""))
    for name in dict.fromkeys(devices):
        if (name,) not in ran.tally("device"):
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
    """What changed, in a few words for each kind: "log_loss changed (value)", "eps is gone", "1 new warning"."""
    words = []
    for kind, (_, one, many, _) in KINDS.items():
        mine = [each for each in findings if each.kind == kind]
        if kind in OF_NO_CHECK:
            said = [each.what.removeprefix("argument ") for each in mine]
            named = kind == "signature" and len(mine) <= _NAMED and all(len(each) <= _SHORT for each in said)
            words += said if named else [f"{len(mine):,} {one if len(mine) == 1 else many}"] if mine else []
            continue
        whole = list(dict.fromkeys(each.backend for each in mine if each.losses == ("*",)))
        losses = list(dict.fromkeys(loss for each in mine if each.backend not in whole for loss in each.losses))
        aspects = list(dict.fromkeys(aspect for each in mine for aspect in each.aspects if aspect != "*"))
        what = f" ({', '.join(map(aspect_in_words, aspects))})" if aspects and len(losses) <= _NAMED else ""
        for names, more in ((whole, ""), (losses, what)):
            words += [f"{few(names)} {one if len(names) == 1 else many}{more}"] if names else []
    return words
