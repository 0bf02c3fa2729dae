"""What gate, sweep and bisect share: the plan of what to run on each release."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from lossparity.cli.exits import IncompleteError
from lossparity.cli.options import known
from lossparity.cli.terminal import progress_lines


@contextlib.contextmanager
def plan_of(options: argparse.Namespace) -> Any:
    """What to run on each release, from the options; where no environment can be made, the command is incomplete."""
    from lossparity import adapters
    from lossparity.conformance.execution.environments import BuildError, library
    from lossparity.conformance.execution.run import DEFAULT_JOBS, DEFAULT_TIMEOUT
    from lossparity.conformance.execution.upgrade import Plan, interruptible
    from lossparity.conformance.matrix import Selection

    backends = getattr(options, "backend", [])
    known("backend", backends, adapters.BACKENDS)
    selection = Selection(
        tuple(getattr(options, "loss", ())),
        tuple(getattr(options, "dtype", ())),
        tuple(getattr(options, "device", ())),
        tuple(getattr(options, "mode", ())),
        getattr(options, "expression", ""),
        getattr(options, "quick", False),
    )
    selection.validate()
    try:
        with interruptible(), library() as copy, progress_lines() as progress:
            yield Plan(
                library=copy,
                selection=selection,
                backends=tuple(dict.fromkeys(backends)),
                timeout=options.timeout or DEFAULT_TIMEOUT,
                jobs=options.jobs or DEFAULT_JOBS,
                command=["lossparity", *options.words],
                keep=not options.no_cache,
                progress=progress,
                say=lambda words: print(words, file=sys.stderr),
            )
    except BuildError as error:
        raise IncompleteError(str(error)) from None
