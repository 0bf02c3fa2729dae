"""What this lossparity is, to the letter: a digest of its own sources. Of a checkout its version says too little."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import lossparity

ROOMS = ("reference", "adapters", "conformance")


@functools.cache
def sources(rooms: tuple[str, ...] = ROOMS) -> str:
    """A SHA-256 over every Python file of these rooms, and over where each stands."""
    whole = hashlib.sha256()
    for room in rooms:
        folder = Path(lossparity.__file__).parent / room
        for path in sorted(folder.rglob("*.py")):
            whole.update(f"{room}/{path.relative_to(folder).as_posix()}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
