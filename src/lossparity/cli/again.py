"""The candidate `now`: what a baseline ran, run again on what is installed."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from lossparity.cli.exits import UsageError
from lossparity.cli.options import execution_of, known, pythons_of
from lossparity.cli.terminal import progress_lines


def comparable_now(baseline: Any, name: str, *, other_machine: bool) -> None:
    """Refuse a baseline that does not compare before anything is run, rather than after."""
    from lossparity.conformance.cases import digest
    from lossparity.conformance.execution.recording import host
    from lossparity.conformance.record import Run
    from lossparity.reports.comparability import comparable

    here = Run(host(), baseline.seed, [], [], data=digest(baseline.seed))
    comparable(baseline, here, (name, "now"), other_machine)


def run_again(
    baseline: Any, name: str, options: argparse.Namespace, *, backends: Sequence[str] = (), narrower: Any = None
) -> Any:
    """What the baseline ran, on what is installed now, as the options of `add_execution` say.

    name: the baseline's. backends: of those that it ran only these. narrower: and of its selection only this.
    """
    from lossparity import adapters
    from lossparity.conformance.execution.run import run
    from lossparity.conformance.matrix import Selection

    if not baseline.selection:
        raise UsageError(
            f"{name} does not say what was asked for (it was merged, or made by hand): run the matrix yourself and "
            "give its record instead of now"
        )
    selection = Selection.of(baseline.selection)
    if narrower is not None:
        selection = _both(selection, narrower, name)
    selection.validate()
    ran = [each for each, backend in baseline.backends.items() if backend.get("status") != "not-run"]
    chosen = [each for each in ran if each in (backends or ran)]
    known("backend", chosen, adapters.BACKENDS)
    if not chosen:
        raise UsageError(f"{name} ran none of the backends asked for; it ran {', '.join(ran) or 'none'}")
    pythons = pythons_of(options.python, adapters.BACKENDS)
    with progress_lines() as progress:
        return run(chosen, selection, seed=baseline.seed, pythons=pythons, progress=progress, **execution_of(options))


def _both(ran: Any, asked: Any, name: str) -> Any:
    """The selection of what both ask for."""
    fields = {}
    for field in ("losses", "dtypes", "devices", "modes"):
        had, wanted = getattr(ran, field), getattr(asked, field)
        fields[field] = tuple(each for each in wanted if each in had) if had and wanted else had or wanted
        if had and wanted and not fields[field]:
            raise UsageError(f"{name} ran none of the {field} {', '.join(wanted)}; it ran {', '.join(had)}")
    words = [each for each in (ran.expression, asked.expression) if each]
    expression = " and ".join(f"({each})" for each in words) if len(words) > 1 else "".join(words)
    return dataclasses.replace(ran, **fields, expression=expression, quick=ran.quick or asked.quick)
