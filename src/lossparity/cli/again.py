"""The candidate `now`: what a baseline ran, run again on what is installed."""

from __future__ import annotations

import argparse
from typing import Any

from lossparity.cli.exits import UsageError
from lossparity.cli.options import known, pythons_of
from lossparity.cli.terminal import progress_lines


def comparable_now(baseline: Any, options: argparse.Namespace) -> None:
    """Refuse a baseline that does not compare before anything is run, rather than after."""
    from lossparity.conformance.cases import digest
    from lossparity.conformance.execution.run import host
    from lossparity.conformance.record import Run
    from lossparity.reports.comparability import comparable

    here = Run(host(), baseline.seed, [], [], data=digest(baseline.seed))
    comparable(baseline, here, (options.baseline, "now"), options.other_machine)


def run_again(baseline: Any, options: argparse.Namespace) -> Any:
    """What the baseline ran, on what is installed now."""
    import dataclasses

    from lossparity import adapters
    from lossparity.conformance.execution.run import DEFAULT_JOBS, DEFAULT_TIMEOUT, run
    from lossparity.conformance.matrix import Selection

    if not baseline.selection:
        raise UsageError(
            f"{options.baseline} does not say what was asked for (it was merged, or made by hand): run the matrix "
            "yourself and give its record instead of now"
        )
    selection = Selection.of(baseline.selection)
    if getattr(options, "quick", False):
        selection = dataclasses.replace(selection, quick=True)
    selection.validate()
    ran = [name for name, backend in baseline.backends.items() if backend.get("status") != "not-run"]
    backends = [name for name in ran if name in (getattr(options, "backend", None) or ran)]
    known("backend", backends, adapters.BACKENDS)
    if not backends:
        raise UsageError(f"{options.baseline} ran none of the backends asked for; it ran {', '.join(ran) or 'none'}")
    pythons = pythons_of(options.python, adapters.BACKENDS)
    with progress_lines() as progress:
        return run(
            backends,
            selection,
            seed=baseline.seed,
            pythons=pythons,
            timeout=options.timeout or DEFAULT_TIMEOUT,
            jobs=options.jobs or DEFAULT_JOBS,
            command=["lossparity", *options.words],
            progress=progress,
        )
