"""What this lossparity is, to the letter: a digest of its own sources. Of a checkout its version says too little."""

from __future__ import annotations

import hashlib
from pathlib import Path

import lossparity

_ROOMS = ("reference", "adapters", "conformance")


def sources() -> str:
    """A SHA-256 over every Python file of the rooms that verdicts come from, and over where each stands."""
    whole = hashlib.sha256()
    for room in _ROOMS:
        folder = Path(lossparity.__file__).parent / room
        for path in sorted(folder.rglob("*.py")):
            whole.update(f"{room}/{path.relative_to(folder).as_posix()}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
