"""What a process that runs somebody's code is doing, told to the one that waits for it: inside that code, or outside.

Sixteen bytes of a file that both have mapped: how many times the code was entered, and whether it has been left.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

_LAYOUT = struct.Struct("=qq")


class Pulse:
    """The file at `path`, made where there is none. OSError where it cannot be."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)

    def read(self) -> tuple[int, bool]:
        """How many times the code was entered, and whether it is running now."""
        entered, running = _LAYOUT.unpack(self._shared[: _LAYOUT.size])
        return entered, bool(running)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The time in which somebody's code runs. Entering it again inside is the same stay."""
        entered, running = self.read()
        if running:
            yield
            return
        self._shared[:] = _LAYOUT.pack(entered + 1, 1)
        try:
            yield
        finally:
            self._shared[:] = _LAYOUT.pack(entered + 1, 0)
