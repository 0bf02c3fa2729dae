"""What gate, sweep and bisect share: the plan of what to run on each release."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from lossparity.cli.exits import IncompleteError
from lossparity.cli.options import execution_of, known
from lossparity.cli.terminal import progress_lines


@contextlib.contextmanager
def plan_of(options: argparse.Namespace, backends: Sequence[str] = (), **rest: Any) -> Iterator[Any]:
    """What to run on each release, from the options of `add_environments` and `add_execution`.

    backends: only these. rest: more of Plan's fields. Where no environment can be made, the command is incomplete.
    """
    from lossparity import adapters
    from lossparity.conformance.execution.environments import library
    from lossparity.conformance.execution.installers import BuildError
    from lossparity.conformance.execution.upgrade import Plan, interruptible

    known("backend", backends, adapters.BACKENDS)
    try:
        with interruptible(), library() as copy, progress_lines() as progress:
            yield Plan(
                library=copy,
                backends=tuple(dict.fromkeys(backends)),
                keep=not options.no_cache,
                progress=progress,
                say=lambda words: print(words, file=sys.stderr),
                **execution_of(options),
                **rest,
            )
    except BuildError as error:
        raise IncompleteError(str(error)) from None
