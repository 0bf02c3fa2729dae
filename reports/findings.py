"""What a record says, in words: does parity hold, what needs attention, and how bad is it. Shared by every report."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lossparity.conformance.record import FAILING, INCOMPLETE, Check, Checks, Run

# The worst first. `unsupported` comes last: a cell that also has a match is a match.
SEVERITY = (
    "mismatch",
    "error",
    "stale",
    "crashed",
    "timeout",
    "not-run",
    "known",
    "lossy",
    "dialect",
    "match",
    "unsupported",
)
WHOLE = "*"  # in place of a loss and an implementation: the check stands for its whole backend
CLIP = 240  # characters of what comes from a record, in a sentence
HOLDING = frozenset({"match", "lossy", "dialect", "known"})
_RANK = {verdict: rank for rank, verdict in enumerate(SEVERITY)}
_PLURALS = {"mismatch": "mismatches", "error": "errors"}
_DID = {"crashed": "crashed", "timeout": "timed out", "not-run": "was not run"}
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?(?:\d[\d_,]*\.?\d*(?:[eE][-+]?\d+)?|inf\b|nan\b)")


@dataclass(frozen=True)
class Conclusion:
    """What the record says as a whole: `word` for programs, `sentence` for people."""

    word: Literal["holds", "broken", "incomplete"]
    sentence: str


@dataclass(frozen=True)
class Concern:
    """Checks that need attention for the same reason; `worst` stands for all of them."""

    verdict: str
    loss: str
    implementation: str
    aspect: str
    checks: tuple[Check, ...]
    worst: Check

    @property
    def of(self) -> str:
        """What it is a finding about: an implementation, or a whole backend."""
        return self.worst.backend if self.loss == WHOLE else self.implementation

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes in which it shows, in order of appearance."""
        return tuple(dict.fromkeys(check.dtype for check in self.checks))


def outcome(run: Run, asked: Collection[str] | None = None) -> Conclusion:
    """Whether parity holds, is broken, or cannot be told because something did not run.

    asked: the backends that had to run. Without it, those that the record marks as asked for; a backend that
    is simply not installed then leaves the others' result whole, and is named in the sentence all the same.
    """
    counts = run.counts()
    ran = sum(n for verdict, n in counts.items() if verdict in HOLDING | FAILING)
    failing = [plural(n, verdict) for verdict, n in counts.items() if verdict in FAILING]
    missing = _missing(run, asked)
    absent = [name for name in not_run(run) if name not in missing]
    in_words = list(missing.values())
    if in_words or not ran:  # before what is broken, as the exit code has it: a run with gaps decides nothing
        did = f"{plural(ran, 'check')} ran, {listed(failing or ['0 mismatches'])}" if ran else "no check ran"
        sentence = f"Incomplete: {'; '.join([*in_words, did])}"
        return Conclusion("incomplete", _tail(sentence, absent))
    if failing:
        sentence = f"Parity is broken: {listed(failing)} in {plural(ran, 'check')}"
        return Conclusion("broken", _tail(sentence, absent))
    return Conclusion("holds", _tail(f"Parity holds: {plural(ran, 'check')}, 0 mismatches", absent))


def attention(run: Run, asked: Collection[str] | None = None) -> list[Concern]:
    """Every check that needs attention, grouped by implementation, aspect and reason, the worst first.

    Numbers in a reason do not tell groups apart: the same difference at another input is the same finding.
    What did not run and did not have to needs none.
    """
    wanted, unreached = _asked(run, asked), _unreached(run)
    groups: dict[tuple[str, ...], list[Check]] = {}
    for check in Checks.of(run.checks).where(verdict=FAILING | INCOMPLETE):
        if check.verdict in FAILING or _is_gap(check, wanted, unreached):
            key = (check.verdict, check.loss, check.implementation, check.aspect, _NUMBER.sub("#", check.reason))
            groups.setdefault(key, []).append(check)
    findings = [
        Concern(verdict, loss, implementation, aspect, tuple(checks), max(checks, key=_size))
        for (verdict, loss, implementation, aspect, _), checks in groups.items()
    ]
    return sorted(findings, key=lambda f: (_RANK[f.verdict], [-x for x in _size(f.worst)], -len(f.checks)))


def worst_verdict(verdicts: Iterable[str]) -> str:
    """The verdict that stands for several; "unsupported" only where there is nothing else."""
    return min(verdicts, key=_RANK.__getitem__, default="")


def tally(checks: Iterable[Check]) -> dict[str, int]:
    """How many checks have each verdict, the worst first."""
    counts = Counter(check.verdict for check in checks)
    return {verdict: counts[verdict] for verdict in SEVERITY if counts[verdict]}


def by_backend(run: Run) -> dict[str, dict[str, int]]:
    """How many checks of each backend have each verdict."""
    found: dict[str, dict[str, int]] = {}
    for (backend, verdict), n in Checks.of(run.checks).tally("backend", "verdict").items():
        found.setdefault(backend, {})[verdict] = n
    return found


def in_reading_order(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of a whole run: first what needs attention, the worst first, then what holds, the best first."""
    best_first = ("match", "dialect", "lossy", "known", "unsupported")
    order = (*(verdict for verdict in SEVERITY if verdict not in best_first), *best_first)
    return {verdict: counts[verdict] for verdict in order if verdict in counts}


def backend_names(run: Run) -> list[str]:
    """Every backend that the record speaks of: run or not, in the record's order."""
    in_environment = mapping(mapping(run.environment).get("backends"))
    return list(dict.fromkeys([*run.backends, *in_environment, *by_backend(run)]))


def packages(run: Run, backend: str) -> dict[str, str]:
    """The versions that the backend's process saw."""
    seen = mapping(mapping(mapping(run.environment).get("backends")).get(backend))
    return {str(name): str(version) for name, version in mapping(seen.get("packages")).items()}


def engine(run: Run, backend: str) -> str:
    """The engine that the backend ran on; "" where the record does not say."""
    seen = mapping(mapping(mapping(run.environment).get("backends")).get(backend))
    return str(mapping(seen.get("engine")).get("name") or "")


def not_run(run: Run) -> list[str]:
    """The backends that the record says were not run."""
    return [name for name, backend in run.backends.items() if mapping(backend).get("status") == "not-run"]


def commands(run: Run) -> list[list[str]]:
    """The commands that made the record: a merged one has several, set apart by "&&"."""
    found: list[list[str]] = [[]]
    for word in run.command:
        if word == "&&":
            found.append([])
        else:
            found[-1].append(str(word))
    return [command for command in found if command]


def command_lines(run: Run) -> list[str]:
    """The commands, ready for a shell."""
    return [shlex.join(command) for command in commands(run)]


def explain_line(check: Check) -> str:
    """The command that shows one check in full, quoted for a shell."""
    return f"lossparity explain {shlex.quote(check.id)}"


def programs(backend: Mapping[str, Any]) -> str:
    """How many programs a backend compiled, of its line in the record: "187 programs by compile-aot"; "" for none."""
    counts = mapping(backend.get("programs"))
    return ", ".join(f"{plural(int(n), 'program')} by {mode}" for mode, n in counts.items())


def plural(n: int, word: str) -> str:
    """`1 check`, `12,345 checks`; words that are no nouns (`3 stale`) stay as they are."""
    if word in ("stale", "crashed", "not-run", "dialect", "lossy", "known", "unsupported", "match", "timeout"):
        return f"{n:,} {word}"
    return f"{n:,} {word if n == 1 else _PLURALS.get(word, word + 's')}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def few(names: Sequence[str]) -> str:
    """At most three names, and how many more there are."""
    return listed(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3:,} more"


def short_number(x: float | None) -> str:
    """An error or a margin, to the digits that matter."""
    if x is None:
        return "-"
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "∞" if x > 0 else "-∞"
    if x == 0:
        return "0"
    size = abs(x)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{x:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 100:
        return f"{x:,.0f}"
    return f"{x:.3g}"


def clipped(text: str, size: int = CLIP) -> str:
    """A text on one line, of at most so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= size else f"{flat[: size - 3]}..."


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one: the inside of a record may come from any hand."""
    return value if isinstance(value, Mapping) else {}


def rows(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in `value` if it is a list, else none."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, (list, tuple)) else []


def _asked(run: Run, asked: Collection[str] | None) -> set[str]:
    """The backends that had to run."""
    if asked is not None:
        return set(asked)
    return {name for name, backend in run.backends.items() if mapping(backend).get("asked")}


def _unreached(run: Run) -> list[str]:
    """The devices and modes that no backend has; one that only some of them lack leaves no gap."""
    planned: dict[str, bool] = {}
    for loss, device, mode, verdict in Checks.of(run.checks).tally("loss", "device", "mode", "verdict"):
        if loss != WHOLE:
            for place in (device, mode):
                planned[place] = planned.get(place, False) or verdict not in INCOMPLETE
    return [place for place, reached in planned.items() if not reached]


def _is_gap(check: Check, asked: Collection[str], unreached: Collection[str]) -> bool:
    """Whether a check had to run and did not."""
    if check.verdict != "not-run":
        return check.verdict in INCOMPLETE
    return check.backend in asked or check.device in unreached or check.mode in unreached


def _missing(run: Run, asked: Collection[str] | None) -> dict[str, str]:
    """What did not run and had to: backend (or device, or mode) -> what happened."""
    wanted, found = _asked(run, asked), {}
    for name in dict.fromkeys([*run.backends, *wanted]):
        status = mapping(run.backends.get(name)).get("status", "complete" if name in run.backends else "not-run")
        if status in ("crashed", "timeout") or (status == "not-run" and name in wanted):
            found[name] = f"{name} {_DID[status]}"
    gaps = Checks.of(run.checks).where(verdict=INCOMPLETE)
    counts = Counter((c.backend, c.verdict) for c in gaps if _is_gap(c, wanted, ()) and c.backend not in found)
    for (name, verdict), n in counts.items():
        did = "were not run" if verdict == "not-run" and n > 1 else _DID[verdict]
        found[name] = f"{plural(n, 'check')} of {name} {did}"
    if not found:  # else it is told above why
        found.update({place: f"nothing ran with {place}" for place in _unreached(run)})
    return found


def _tail(sentence: str, absent: Sequence[str]) -> str:
    if not absent:
        return f"{sentence}."
    return f"{sentence}; {listed(absent)} {'was' if len(absent) == 1 else 'were'} not run."


def _size(check: Check) -> tuple[float, float]:
    """How bad a check is, for sorting: NaN is the worst of all."""
    return tuple(-1.0 if x is None else math.inf if math.isnan(x) else x for x in (check.margin, check.error_ulp))  # type: ignore[return-value]
