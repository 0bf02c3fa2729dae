"""The vocabulary of a comparison: kinds of change, what changed, and a finding, which is one cause."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lossparity.conformance.record import FAILING, Check, Checks, Run
from lossparity.reports.findings import HOLDING

# kind: (sign, what one of them did, what several did, what it says), the worst first. Of the kinds that concern no
# check, the middle ones are nouns. The kinds of single checks that are no finding come last.
KINDS: dict[str, tuple[str, str, str, str]] = {
    "regressed": ("✗", "regressed", "regressed", "held parity before and breaks it now, or lost its digits"),
    "stopped": ("■", "stopped running", "stopped running", "ran before and does not now, for a reason"),
    "missing": ("?", "was not run", "were not run", "ran before and is not in the candidate"),
    "removed": ("-", "was removed", "were removed", "its implementation is gone"),
    "changed": ("≠", "changed", "changed", "moved by more than its tolerance, or behaves in another way"),
    "signature": ("λ", "signature broke", "signatures broke", "calls that worked may fail or mean something else"),
    "drifted": ("~", "lost accuracy", "lost accuracy", "within tolerance, with a much larger error"),
    "fixed": ("✓", "was fixed", "were fixed", "broke parity before and holds it now, or has its digits back"),
    "added": ("+", "was added", "were added", "did not run before"),
    "extended": ("λ", "new argument", "new arguments", "old calls mean the same"),
    "warning": ("w", "new warning", "new warnings", "a warning that was not raised before"),
    "census": ("#", "change of the census", "changes of the census", "the framework offers other losses"),
    "rounding": ("≈", "moved within rounding", "moved within rounding", "another kernel, another order"),
    "unchanged": ("=", "is unchanged", "are unchanged", "the same, to the digit"),
}
RANK = {kind: rank for rank, kind in enumerate(KINDS)}
OF_NO_CHECK = frozenset({"signature", "extended", "warning", "census"})
WHO_RAN = frozenset({"stopped", "missing", "removed", "added"})
RAN = HOLDING | FAILING

# How grave it is what a check has become, where its kind does not tell: a declared bug comes before a declared
# difference, and both before what agrees.
_GRAVITY = ("mismatch", "error", "known", "lossy", "dialect", "match")

_NUMBER = re.compile(r"(?<![A-Za-z_\d.])\d[\d_,.]*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Change:
    """One check that is not what it was. size: how far its numbers moved, in tolerances; inf where that has no size.

    before: of a check that did not run then also the value of the same call, if that says why.
    """

    kind: str
    before: Check | None
    after: Check | None
    size: float = math.inf

    @property
    def check(self) -> Check:
        """The check as it is now, or as it was if it is no more."""
        check = self.before if self.kind == "stopped" else self.after or self.before
        if check is None:
            raise ValueError("a change is of a check before, after, or both; this one has neither")
        return check

    @property
    def backend(self) -> str:
        """Of the check."""
        return self.check.backend

    @property
    def losses(self) -> tuple[str, ...]:
        """The check's, alone."""
        return (self.check.loss,)

    @property
    def implementation(self) -> str:
        """Of the check."""
        return self.check.implementation

    @property
    def case(self) -> str:
        """Of the check."""
        return self.check.case

    @property
    def aspect(self) -> str:
        """Of the check, or "raises" where its call began or ceased to raise."""
        ran = self.kind not in WHO_RAN and self.check.aspect != "error"
        raised = ran and any(each is not None and raises(each) for each in (self.before, self.after))
        return "raises" if raised else self.check.aspect


@dataclass(frozen=True)
class Note:
    """What changed and is no check: the signature or the warnings of an entry point, or what a namespace offers.

    losses: those of the entry point; ("*",) of a namespace. aspect: signature, warning or census.
    what: the change in words.
    """

    kind: str
    backend: str
    losses: tuple[str, ...]
    implementation: str
    aspect: str
    what: str
    case: str = ""


Item: TypeAlias = Change | Note


@dataclass(frozen=True)
class Finding:
    """Changes with one cause: same kind and backend, and the same reason or the same look of the same loss.

    losses: those that it concerns, the one of its sentence first; ("*",) for a whole backend or a namespace.
    aspects: the checks', "raises" where calls began or ceased to raise, ("*",) where it concerns whether they ran; of
        what is no check "signature", "warning" or "census".
    says: the finding in a sentence. what: in a few words, where there are such.
    cause: what findings of several losses may share, in words that only serve to tell causes apart.
    size: of its largest change. incomplete: something that had to run did not.
    changes: its checks, the one that says most about it first.
    """

    kind: str
    backend: str
    losses: tuple[str, ...]
    aspects: tuple[str, ...]
    implementations: tuple[str, ...]
    says: str
    what: str = ""
    cause: tuple[str, ...] = ()
    size: float = math.inf
    incomplete: bool = False
    changes: tuple[Change, ...] = ()

    @property
    def loss(self) -> str:
        """The loss of its sentence."""
        return self.losses[0]

    @property
    def aspect(self) -> str:
        """The aspect of its sentence."""
        return self.aspects[0]


def in_turn(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, but one of every kind before a second of any, and of a kind one of every cause."""
    worst_first = sorted(findings, key=_order)
    by_cause = _dealt(worst_first, lambda finding: (finding.kind, *finding.cause))
    return _dealt(by_cause, lambda finding: (finding.kind,))


def _dealt(findings: Sequence[Finding], key: Callable[[Finding], tuple[str, ...]]) -> list[Finding]:
    """The first of every group, then the second of every group, and so on; otherwise in the order given."""
    seen: dict[tuple[str, ...], int] = {}
    turns = []
    for finding in findings:
        turn = seen[key(finding)] = seen.get(key(finding), 0) + 1
        turns.append((turn, RANK[finding.kind], finding))
    return [finding for _, _, finding in sorted(turns, key=lambda row: row[:2])]


def _order(finding: Finding) -> tuple[object, ...]:
    before, after = (finding.changes[0].before, finding.changes[0].after) if finding.changes else (None, None)
    grave = _GRAVITY.index(after.verdict) if after is not None and after.verdict in _GRAVITY else len(_GRAVITY)
    refused = before is not None and after is not None and raises(before) and raises(after)
    if refused or finding.aspects == ("error",):  # what was no result is none, or was no valid input
        grave = len(_GRAVITY)
    size = -finding.size if math.isfinite(finding.size) else -math.inf
    return (
        RANK[finding.kind],
        not finding.incomplete,
        grave,
        size,
        -len(finding.changes),
        finding.backend,
        finding.losses,
    )


def raises(check: Check) -> bool:
    """Whether the call raised: its result is the exception's class."""
    return isinstance(check.result, str)


def without_numbers(text: str) -> str:
    """A reason without its numbers: they do not tell causes apart, unless they are part of a name (float64)."""
    return _NUMBER.sub("#", text)


def backends_that_ran(run: Run) -> list[str]:
    """Those of which at least one check ran."""
    return [name for (name,) in Checks.of(run.checks).where(verdict=RAN).tally("backend")]
