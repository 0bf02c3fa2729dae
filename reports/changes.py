"""The vocabulary of a comparison: kinds of change, the change of one check, and a finding, which is one cause."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lossparity.conformance.record import FAILING, Check
from lossparity.reports.findings import HOLDING

# kind: (sign, one of them, several, what it says), the worst first. The kinds of single checks that are no finding come
# last.
KINDS: dict[str, tuple[str, str, str, str]] = {
    "regressed": ("✗", "loss regressed", "losses regressed", "held parity before and breaks it now"),
    "stopped": ("■", "loss stopped running", "losses stopped running", "ran before and does not now, for a reason"),
    "missing": ("?", "loss was not run", "losses were not run", "ran before and is not in the candidate"),
    "removed": ("-", "loss was removed", "losses were removed", "its implementation is gone"),
    "changed": ("≠", "loss changed", "losses changed", "moved by more than its tolerance, or behaves in another way"),
    "signature": ("λ", "signature broke", "signatures broke", "calls that worked may fail or mean something else"),
    "drifted": ("~", "loss lost accuracy", "losses lost accuracy", "within tolerance, with a much larger error"),
    "fixed": ("✓", "loss was fixed", "losses were fixed", "broke parity before and holds it now"),
    "added": ("+", "loss was added", "losses were added", "did not run before"),
    "extended": ("λ", "new argument", "new arguments", "old calls mean the same"),
    "warning": ("w", "new warning", "new warnings", "a warning that was not raised before"),
    "census": ("#", "change of the census", "changes of the census", "the framework offers other losses"),
    "rounding": ("≈", "loss moved within rounding", "losses moved within rounding", "another kernel, another order"),
    "unchanged": ("=", "loss is unchanged", "losses are unchanged", "the same, to the digit"),
}
RANK = {kind: rank for rank, kind in enumerate(KINDS)}
RAN = HOLDING | FAILING

_NUMBER = re.compile(r"\d[\d_,.]*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Change:
    """One check that is not what it was. size: how far its numbers moved, in tolerances; inf where that has no size."""

    kind: str
    before: Check | None
    after: Check | None
    size: float = math.inf

    @property
    def check(self) -> Check:
        """The check as it is now, or as it was if it is no more."""
        check = self.after or self.before
        if check is None:
            raise ValueError("a change is of a check before, after, or both; this one has neither")
        return check


@dataclass(frozen=True)
class Finding:
    """Changes with one cause: same kind, backend, loss and aspect.

    aspect: the checks' own, "raises" where a call began or ceased to raise, "*" for all of them; of what is no check
        "signature", "warning" or "census".
    losses: where it concerns several, all of them. says: the finding in a sentence. size: of its largest change.
    incomplete: something that had to run did not.
    changes: its checks, the one that says most about it first.
    """

    kind: str
    backend: str
    loss: str
    aspect: str
    implementations: tuple[str, ...]
    says: str
    size: float = math.inf
    incomplete: bool = False
    changes: tuple[Change, ...] = ()
    losses: tuple[str, ...] = ()


def without_numbers(text: str) -> str:
    """A reason without its numbers: they do not tell causes apart."""
    return _NUMBER.sub("#", text)
