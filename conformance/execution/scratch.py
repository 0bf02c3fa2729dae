"""Folders for the time of a use. An interrupt leaves none behind; what a kill leaves, the next use removes.

A folder is known to be in use by a lock on a file in it, which the system takes away with its process, however that
ends. (A process ID would not do: it is another's in the next container.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a folder in use cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

ABANDONED_DAYS = 1  # where there is no lock to tell
_OWNER = "owner"


@contextlib.contextmanager
def scratch(home: str | os.PathLike[str], prefix: str) -> Iterator[Path]:
    """A new empty folder somewhere in `home`, which is gone when the block ends, whatever happens.

    What killed processes have left in `home` under this prefix is removed first. OSError where `home` is not writable.
    """
    clean(home, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    try:
        with _owned(folder):
            inside = folder / "inside"
            inside.mkdir()
            yield inside
    finally:
        remove(folder)


def clean(home: str | os.PathLike[str], prefix: str) -> None:
    """Remove the folders of processes that are no more."""
    for folder in Path(home).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # somebody else's, or somebody else is removing it
            if _abandoned(folder):
                remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder, also where the first attempt is interrupted."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold the lock. Its file gets its name when it is locked, so that nobody sees it unlocked in between."""
    with (folder / f"{_OWNER}-to-be").open("w") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks: after a day it counts as abandoned
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / f"{_OWNER}-to-be").rename(folder / _OWNER)
        yield


def _abandoned(folder: Path) -> bool:
    """Whether the process that made it is no more."""
    if fcntl is None or not (folder / _OWNER).exists():
        return time.time() - folder.stat().st_mtime > ABANDONED_DAYS * 86400
    with (folder / _OWNER).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
