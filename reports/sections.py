"""What the page says of each loss and of each implementation of it, out of a record's columns."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lossparity.conformance.record import Check, Checks, Run
from lossparity.reports.findings import SEVERITY, WHOLE, backend_names, mapping, worst_verdict

_AGREEING = ("match", "dialect")  # with the digits that the definition has


@dataclass
class Entry:
    """One implementation of one loss, and what was found."""

    loss: str
    name: str
    backend: str
    anchor: str
    about: Mapping[str, Any]
    checks: Checks
    heading: str = ""  # of its column in the matrix

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """Checks per verdict, the worst first."""
        found = self.checks.tally("verdict")
        return {verdict: found[verdict,] for verdict in SEVERITY if (verdict,) in found}

    @property
    def ran(self) -> int:
        """How many checks there are without those that are declared unsupported."""
        return len(self.checks) - self.counts.get("unsupported", 0)

    @property
    def verdict(self) -> str:
        """The worst verdict; "" where there is no check."""
        return worst_verdict(self.counts)

    @property
    def namespace(self) -> str:
        """The dotted name but for its last part."""
        return self.name.partition("(")[0].rpartition(".")[0]

    @property
    def short(self) -> str:
        """The last part of the dotted name."""
        return self.name[len(self.namespace) :].lstrip(".")


@dataclass
class Section:
    """One loss and its implementations."""

    name: str
    anchor: str
    about: Mapping[str, Any]
    entries: list[Entry] = field(default_factory=list)


def sections(run: Run) -> list[Section]:
    """Every loss of the record, with every implementation that was declared or checked, by backend."""
    checks = Checks.of(run.checks)
    combinations, which = checks.distinct("loss", "implementation")
    rows = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which, minlength=len(combinations)))[:-1])
    own = {pair: inner for pair, inner in zip(combinations, rows, strict=False) if pair[0] != WHOLE}
    losses = dict.fromkeys([*run.losses, *(loss for loss, _ in own)])
    declared = dict.fromkeys((key.partition("/")[0], key.partition("/")[2]) for key in run.implementations)
    anchors = _Anchors()
    found = {name: Section(name, anchors.of(f"loss-{name}"), mapping(run.losses.get(name))) for name in losses}
    entries = []
    for loss, name in dict.fromkeys([*declared, *own]):
        if loss not in found:
            found[loss] = Section(loss, anchors.of(f"loss-{loss}"), {})
        about = mapping(run.implementations.get(f"{loss}/{name}"))
        mine = checks.take(own.get((loss, name), np.zeros(0, np.int64)))
        backend = str(about.get("backend", "")) or next(iter(mine.tally("backend")), ("",))[0]
        entries.append(Entry(loss, name, backend, anchors.of(f"{loss}--{name}"), about, mine))
    order = {name: i for i, name in enumerate(backend_names(run))}
    for entry in sorted(entries, key=lambda each: order.get(each.backend, len(order))):
        found[entry.loss].entries.append(entry)
    return list(found.values())


class _Anchors:
    """An HTML id per name: the name itself where it is a plain one, and never the same id twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        anchor, n = plain, 1
        while anchor in self._taken:
            n += 1
            anchor = f"{plain}-{n}"
        self._taken.add(anchor)
        return anchor


def called(entry: Entry) -> str:
    """The entry point's own signature as Python writes it; "" where it has none to be seen."""
    parameters = entry.about.get("signature")
    if not isinstance(parameters, (list, tuple)):
        return ""
    words: list[str] = []
    for each in map(mapping, parameters):
        kind = str(each.get("kind"))
        if kind == "keyword-only" and not any(word.startswith("*") for word in words):
            words.append("*")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        default = each.get("default")
        words.append(f"{stars}{each.get('name')}" + ("" if default is None else f"={default}"))
    return f"{entry.short}({', '.join(words)})"


def accuracy(entry: Entry) -> list[dict[str, Any]]:
    """Per dtype: the worst error of values and of gradients, and the worst margin, where the check agrees."""
    measured = entry.checks.take(entry.checks.has("error_ulp") & entry.checks.is_in("verdict", _AGREEING))
    rows = []
    for (dtype,), n in measured.tally("dtype").items():
        checks = measured.where(dtype=[dtype])
        aspects, codes = checks.codes("aspect")
        gradient = np.array([aspect.startswith("gradient") for aspect in aspects], dtype=bool)[codes]
        error, margin = checks.numbers("error_ulp"), checks.numbers("margin")
        parts = {"value": error[~gradient], "gradient": error[gradient], "margin": margin[checks.has("margin")]}
        largest = {name: float(part.max()) if len(part) else None for name, part in parts.items()}  # NaN is the largest
        rows.append({"dtype": dtype, "n": n, **largest})
    return rows


def worst(entry: Entry) -> dict[str, Check]:
    """The checks with the largest error: of those that agree, and of all, where that is another one."""
    measured = entry.checks.take(entry.checks.has("error_ulp") & (entry.checks.numbers("error_ulp") != 0.0))
    agreeing = measured.where(verdict=_AGREEING)
    found = {}
    if len(agreeing):
        found["Worst error where it agrees"] = _largest(agreeing)
    if len(agreeing) < len(measured):
        found["Worst error of all" if found else "Worst error"] = _largest(measured)
    return found


def _largest(checks: Checks) -> Check:
    """The check with the largest error, and of several one that says where."""
    error = np.nan_to_num(checks.numbers("error_ulp"), nan=math.inf)
    candidates = np.flatnonzero(error == error.max())
    return checks[int(candidates[np.argmax(checks.places()[candidates] >= 0)])]


def showing(entry: Entry, verdicts: Collection[str], name: str) -> int:
    """How many checks have one of the verdicts because of the named dialect or known issue."""
    combinations, which = entry.checks.distinct("verdict", "declared")
    showing = np.array([found in verdicts and name in declared for found, declared in combinations], dtype=bool)
    return int(showing[which].sum())


def refusals(entry: Entry) -> list[tuple[str, str, int]]:
    """What is not offered, and why: (argument or "", reason, how many checks are unsupported for it)."""
    unsupported = entry.checks.where(verdict=["unsupported"]).tally("reason")
    counts = {reason or "no reason given": n for (reason,), n in unsupported.most_common()}
    lacking = mapping(entry.about.get("lacks")).items()
    no_gradient = mapping(entry.about.get("no_gradient")).items()
    named = [
        *((str(name), str(why)) for name, why in lacking),
        *(("gradient" if name == "*" else f"gradient of {name}", str(why)) for name, why in no_gradient),
    ]
    rows = [(name, why, counts.get(why, 0)) for name, why in named]
    told = {why for _, why in named}
    return [*rows, *(("", why, n) for why, n in counts.items() if why not in told)]
