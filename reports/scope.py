"""Which exceptions of a policy can be judged: those whose names there are, and of which something was compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from lossparity.conformance.record import Checks, Run
from lossparity.reports.changes import RAN, backends_that_ran
from lossparity.reports.findings import backend_names
from lossparity.reports.policy import PolicyError, Rule

_SHOWN = 12  # names of what there is
_WORDS = ("raises", "signature", "warning", "census")  # aspects of findings that no check has
_ANY = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Names:
    """The names that this lossparity knows, besides those in the records: there need be none of them in these two.

    backends: each with how the names of its implementations begin. aspects: those of every loss.
    """

    losses: Sequence[str]
    backends: Mapping[str, Sequence[str]]
    cases: Sequence[str]
    aspects: Sequence[str]


def check_names(rules: Iterable[Rule], runs: Sequence[Run], names: Names) -> None:
    """PolicyError, with what there is, for an exception that names what neither the records nor lossparity know."""
    seen = {
        name: [word for run in runs for (word,) in Checks.of(run.checks).tally(name)]
        for name in ("loss", "implementation", "case", "aspect")
    }
    compared = _compared(runs)
    known: dict[str, dict[str, None]] = {
        "loss": dict.fromkeys([*names.losses, *seen["loss"]]),
        "backend": dict.fromkeys([*names.backends, *(name for run in runs for name in backend_names(run))]),
        "implementation": dict.fromkeys(
            [
                *(key.partition("/")[2] for run in runs for key in run.implementations),
                *seen["implementation"],
            ]
        ),
        "case": dict.fromkeys([*names.cases, *seen["case"]]),
        "aspect": dict.fromkeys([*_WORDS, *names.aspects, *seen["aspect"]]),
    }
    elsewhere = [start for name, starts in names.backends.items() if name not in compared for start in starts]
    for rule in rules:
        for selector, pattern in rule.selectors.items():
            there = known.get(selector, {})
            if selector == "kind" or any(fnmatchcase(name, pattern) for name in there):
                continue
            if selector == "implementation" and any(_may_begin(pattern, start) for start in elsewhere):
                continue  # of a backend that is in neither record
            if selector == "aspect" and pattern.startswith("dialect:") and _elsewhere(rule, known, compared):
                continue
            raise PolicyError(f"{rule}: there is no {selector} {pattern!r}; {_there_are(pattern, list(there))}")


def judgeable(runs: Sequence[Run]) -> Callable[[Rule], bool]:
    """Whether anything that an exception may be for was compared: else that it matches nothing says nothing."""
    compared = _compared(runs)
    rows = {
        row
        for run in runs
        for row in Checks.of(run.checks)
        .where(verdict=RAN, backend=compared)
        .tally("backend", "loss", "implementation", "case", "aspect")
    }

    def judged(rule: Rule) -> bool:
        wanted = [rule.selectors.get(name, "*") for name in ("backend", "loss", "implementation", "case", "aspect")]
        if any(fnmatchcase(word, wanted[-1]) for word in _WORDS):
            wanted[-1] = "*"
        return any(all(map(fnmatchcase, row, wanted)) for row in rows)

    return judged


def _compared(runs: Sequence[Run]) -> set[str]:
    """The backends that ran in every record."""
    ran = [set(backends_that_ran(run)) for run in runs]
    return set.intersection(*ran) if ran else set()


def _elsewhere(rule: Rule, known: Mapping[str, Iterable[str]], compared: Iterable[str]) -> bool:
    """Whether it is for a backend that was not compared."""
    wanted = rule.selectors.get("backend", "*")
    return any(fnmatchcase(name, wanted) for name in known["backend"] if name not in set(compared))


def _may_begin(pattern: str, start: str) -> bool:
    """Whether a name that begins so may match."""
    plain = _ANY.split(pattern)[0]
    return plain.startswith(start) or (plain != pattern and start.startswith(plain))


def _there_are(pattern: str, names: Sequence[str]) -> str:
    near = get_close_matches(pattern, names, n=3, cutoff=0.7)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"there are {', '.join(names[:_SHOWN])}{more}" if names else "there is none in these records"
