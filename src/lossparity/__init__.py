"""lossparity: does this framework compute this loss, and its gradient, as defined?

`lossparity.reference` holds the losses in NumPy, with exact gradients; `lossparity.load` reads the record of a run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lossparity.conformance.record import Run

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(path: str | os.PathLike[str]) -> Run:
    """Read a record (parity.json, or the same gzipped); ValueError, with what to do, for anything that is not one."""
    from lossparity.conformance.record import load as read  # imported late: the pytest plugin imports this package

    return read(path)
