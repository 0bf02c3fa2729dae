"""The record of a run, from what is known of each backend: `Part`s put together, or checks decided in this process."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lossparity
from lossparity import adapters
from lossparity.conformance.cases import digest
from lossparity.conformance.census import census
from lossparity.conformance.describe import describe_implementations, describe_losses
from lossparity.conformance.execution.plan import Range, joined
from lossparity.conformance.execution.processes import last_line
from lossparity.conformance.execution.worker import environment
from lossparity.conformance.matrix import DEFAULT_SEED, Selection, not_installed
from lossparity.conformance.record import Check, Run
from lossparity.conformance.warned import with_warnings


class PartsError(ValueError):
    """Shards of one backend that are no whole; the message says what differs."""


@dataclass
class Part:
    """What is known of one backend, or of a shard of it.

    status: complete, not-run, crashed or timeout, as in the record: of several things that went wrong the first.
    plan: the checks by position; None: no process came so far as to say it. of: how many the whole plan has.
    decided: by position; a check that its process died at has that for a verdict.
    lost: why a part of the plan is not known.
    programs: how many were really compiled, by mode.
    """

    backend: str
    asked: bool
    status: str = "complete"
    reason: str = ""
    last_words: str = ""
    seconds: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)
    implementations: dict[str, Any] = field(default_factory=dict)
    census: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    plan: dict[int, Check] | None = None
    of: int = 0
    decided: dict[int, Check] = field(default_factory=dict)
    lost: str = ""

    @classmethod
    def of_shards(cls, parts: Sequence[Part]) -> Part:
        """The shards of one backend as one. PartsError where they did not run the same."""
        known = [part for part in parts if part.plan is not None]
        if not known:
            return parts[0]
        first = known[0]
        for part in known:
            for what in first.environment:  # devices: a machine may have more of them than another
                if what != "devices" and part.environment.get(what) != first.environment[what]:
                    a, b = first.environment[what], part.environment.get(what)
                    raise PartsError(f"{part.backend} ran with {a} and with {b}")
            if part.of != first.of:
                raise PartsError(f"the plan of {part.backend} has {first.of:,} checks and {part.of:,}")
        wrong = next((part for part in parts if part.status != "complete"), first)
        whole = dataclasses.replace(
            first,
            status=wrong.status,
            reason=wrong.reason,
            last_words=wrong.last_words,
            environment={
                **first.environment,
                "devices": list(dict.fromkeys(each for part in known for each in part.environment["devices"])),
            },
            seconds=round(sum(part.seconds for part in parts), 3),
            warnings={},
            programs={},
            plan=dict(sorted(each for part in known for each in (part.plan or {}).items())),
            decided={position: check for part in known for position, check in part.decided.items()},
            lost=next((part.reason for part in parts if part.plan is None), ""),
        )
        for part in known:
            for key, heard in part.warnings.items():
                whole.warnings.setdefault(key, []).extend(heard)
            for mode, count in part.programs.items():
                whole.programs[mode] = whole.programs.get(mode, 0) + count
        return whole

    def broke(self, status: str, reason: str, last_words: str) -> str:
        """Keep that a process of the backend crashed or hung; the reason with its last words."""
        if self.status == "complete":
            self.status, self.reason, self.last_words = status, reason, last_words
        return f"{reason}; its last words: {last_line(last_words)}" if last_words else reason

    def checks(self) -> Iterator[Check]:
        """Every check that was planned, in that order: decided, or with the reason why not."""
        if self.lost:
            yield dataclasses.replace(not_installed(self.backend, self.lost), verdict="crashed")
        if self.plan is None:
            reason = f"{self.reason}; its last words: {last_line(self.last_words)}" if self.last_words else self.reason
            yield dataclasses.replace(not_installed(self.backend, reason), verdict=self.status)
            return
        gone = f"{self.backend} {'hung' if self.status == 'timeout' else 'crashed'} before this check"
        for position, check in self.plan.items():
            yield self.decided.get(position) or dataclasses.replace(check, verdict="not-run", reason=gone)

    def summary(self) -> dict[str, Any]:
        """The backend's line in the record. Of a shard it says which part of the plan that is, for `merge`."""
        line = {name: getattr(self, name) for name in ("status", "asked", "reason", "last_words", "seconds")}
        if self.programs:
            line["programs"] = dict(sorted(self.programs.items()))
        if self.plan is None or len(self.plan) == self.of:
            return line
        ranges: list[Range] = joined((position, position + 1) for position in self.plan)
        return {**line, "part": {"of": self.of, "ranges": [list(each) for each in ranges]}}


def assemble(
    parts: Sequence[Part], *, selection: Selection, seed: int, command: Sequence[str], started: str, seconds: float
) -> Run:
    """One record of the backends, each of which comes once."""
    checks = [check for part in parts for check in part.checks()]
    if selection.quick:  # its record is kept in repositories, and the inputs of what matches are a third of it
        checks = [dataclasses.replace(each, worst=None) if each.verdict == "match" else each for each in checks]
    return Run(
        environment={**host(), "backends": {part.backend: part.environment for part in parts if part.environment}},
        seed=seed,
        command=list(command),
        checks=checks,
        started=started,
        seconds=seconds,
        losses=describe_losses(),
        implementations={
            key: each for part in parts for key, each in with_warnings(part.implementations, part.warnings).items()
        },
        backends={part.backend: part.summary() for part in parts},
        census={part.backend: part.census for part in parts if part.census},
        data=digest(seed),
        selection=asked_for(selection),
    )


def run_of(
    checks: Sequence[Check],
    *,
    asked: Sequence[str],
    seed: int | None,
    command: Sequence[str],
    warnings: Mapping[str, Sequence[str]],
    selection: Selection | None = None,
) -> Run:
    """The record of checks that were decided in this process (the pytest matrix), or in those of pytest-xdist.

    warnings: what was heard of each implementation, by "loss/name".
    """
    backends = list(dict.fromkeys(check.backend for check in checks))
    missing = {check.backend: check.reason for check in checks if check.loss == "*"}
    modules = {name: adapters.load(name) for name in backends if name not in missing}
    return Run(
        environment={**host(), "backends": {name: environment(name) for name in modules}},
        seed=DEFAULT_SEED if seed is None else seed,
        command=list(command),
        checks=list(checks),
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=round(sum(check.seconds for check in checks), 3),
        losses=describe_losses(),
        implementations={
            key: each
            for name, module in modules.items()
            for key, each in with_warnings(describe_implementations(name, module), warnings).items()
        },
        backends={
            name: {
                "status": "not-run" if name in missing else "complete",
                "asked": name in asked,
                "reason": missing.get(name, ""),
                "last_words": "",
                "seconds": round(sum(check.seconds for check in checks if check.backend == name), 3),
            }
            for name in backends
        },
        census={name: census(module) for name, module in modules.items()},
        data=digest(DEFAULT_SEED if seed is None else seed),
        selection={} if selection is None else asked_for(selection),
    )


def asked_for(selection: Selection) -> dict[str, Any]:
    """A selection as the record has it: what is not a shard says nothing of shards, nor of --full what is not it."""
    return {name: each for name, each in dataclasses.asdict(selection).items() if name not in ("shard", "full") or each}


def host() -> dict[str, Any]:
    """The machine and this process, as far as they can bear on a number."""
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = named[0].partition(":")[2].strip() if named else processor
    return {
        "lossparity": lossparity.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor,
        "cpus": os.cpu_count(),
    }
