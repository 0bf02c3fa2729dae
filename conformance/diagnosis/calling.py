"""Where somebody's code is entered: while it runs, the pulse says so."""

from __future__ import annotations

import contextlib

from lossparity.conformance.diagnosis.pulse import Pulse

PULSE: Pulse | None = None  # None where nobody waits


def theirs() -> contextlib.AbstractContextManager[None]:
    """The time in which the target's own code runs."""
    return PULSE.inside() if PULSE is not None else contextlib.nullcontext()
