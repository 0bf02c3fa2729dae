"""What gate, diff and accept share: the policy, the comparison, and where it is written."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lossparity.cli.exits import UsageError
from lossparity.cli.names import known_names
from lossparity.cli.options import known


def judged(
    baseline: Any,
    candidate: Any,
    policy: Any,
    names: tuple[str, str],
    *,
    backends: Sequence[str] = (),
    selection: Any = None,
    foreword: Sequence[str] = (),
    other_machine: bool = False,
    require_backends: Sequence[str] = (),
    require_devices: Sequence[str] = (),
) -> Any:
    """What changed, judged by the policy.

    names: what to call the two. backends, selection: only this part of both. foreword: what to say first.
    other_machine, require_backends, require_devices: as `compare` and `decide` take them.
    """
    from lossparity.reports.diff import compare, narrow
    from lossparity.reports.findings import backend_names
    from lossparity.reports.formats import Comparison
    from lossparity.reports.gate import decide

    known("backend", backends, backend_names(baseline))
    for kind, field in (("loss", "losses"), ("dtype", "dtypes"), ("device", "devices"), ("mode", "modes")):
        given = getattr(selection, field, ())
        if given:  # what the baseline does not hold would leave nothing to compare, and look like no change
            known(kind, given, [word for (word,) in baseline.checks.tally(kind)])

    def part(run: Any) -> Any:
        run = narrow(run, backends)
        return run if selection is None else _chosen(run, selection)

    after = part(candidate)
    diff = compare(part(baseline), after, names=names, drift_factor=policy.drift_factor, other_machine=other_machine)
    decision = decide(
        diff,
        after,
        policy,
        require_backends=require_backends,
        require_devices=require_devices,
        names=known_names(),
    )
    return Comparison(diff, decision, tuple(foreword))


def _chosen(run: Any, selection: Any) -> Any:
    """The part of a record that a selection asks for."""
    import numpy as np

    from lossparity.conformance.cases import CASES
    from lossparity.conformance.matrix import compile_expression
    from lossparity.conformance.record import Checks

    checks = Checks.of(run.checks)
    chosen = np.ones(len(checks), bool)
    dtypes = (*selection.dtypes, "any") if selection.dtypes else ()
    asked = {"loss": selection.losses, "dtype": dtypes, "device": selection.devices, "mode": selection.modes}
    for name, words in asked.items():
        if words:
            chosen &= checks.is_in(name, words)
    if selection.quick:
        slow = {(loss, name) for loss, cases in CASES.items() for name, case in cases.items() if not case.quick}
        cases, which = checks.distinct("loss", "case")
        chosen &= ~np.array([case in slow for case in cases], dtype=bool)[which]
    if selection.expression:
        wanted = compile_expression(selection.expression)
        left = np.flatnonzero(chosen)
        chosen[left] = [wanted(identifier) for identifier in checks.take(left).ids()]
    whole = checks.is_in("loss", ["*"])  # a backend that did not run at all
    part = dataclasses.replace(run, checks=checks.take(chosen | whole))
    if selection.losses:
        part.implementations = {k: v for k, v in run.implementations.items() if k.split("/")[0] in selection.losses}
        part.census = {}
    return part


def targets_of(given: Sequence[str]) -> list[tuple[str, Path | None]]:
    """(format, file) of each --format; no file: printed."""
    from lossparity.reports.formats import FORMATS

    targets: list[tuple[str, Path | None]] = []
    for each in given or ["text"]:
        name, separator, file = each.partition("=")
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}; there are {', '.join(FORMATS)}")
        if (separator and not file) or (name == "html" and not file):
            raise UsageError(f"--format {each}: give a file: --format {name}=FILE")
        targets.append((name, Path(file) if file else None))
    return targets


def emit(comparison: Any, targets: Sequence[tuple[str, Path | None]], formats: Any) -> None:
    """Print or write a comparison in each of the formats."""
    from lossparity.conformance.record import write_whole

    for name, file in targets:
        page = formats[name](comparison)
        if file is None:
            print(page, end="")
        else:
            write_whole(file, page.encode("utf-8", "replace"))


def summarize(comparison: Any) -> None:
    """Add the Markdown to GitHub's step summary, where there is one. A summary that fails is no verdict."""
    from lossparity.reports.formats import within

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        taken = Path(path).stat().st_size if Path(path).exists() else 0
        with open(path, "a", encoding="utf-8", errors="replace") as stream:
            stream.write(within(comparison, taken))
    except OSError as error:
        print(f"lossparity: no step summary: {path}: {error.strerror or error}", file=sys.stderr)
