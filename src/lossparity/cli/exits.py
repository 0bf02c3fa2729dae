"""The exit codes, and what ends a command before it has one: each a sentence on standard error."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable

HOLDS, BROKEN, USAGE, INCOMPLETE = 0, 1, 2, 3

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a path on the command line can be wrong about. Any other error of the system is no fault of the caller's words.
_PATHS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
_PATH_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS, errno.EXDEV)


class UsageError(Exception):
    """The command asks for what there is not; the message says what there is."""


class IncompleteError(Exception):
    """Something that was asked for could not run; the message says why and what to do."""


def answer(command: Callable[[], int], *, debug: bool = False) -> int:
    """The exit code of a command. Whatever ends it early is a sentence; with debug, the traceback stands before it.

    Only a verdict is 1: a fault of lossparity's own, or of the machine, decides nothing and is 3.
    """
    try:
        return command()
    except KeyboardInterrupt:
        _say("\nlossparity: interrupted; nothing was written")
        return INCOMPLETE
    except Exception as error:  # a fault of any kind must not leave with Python's own 1, which is a verdict here
        if debug:
            _say(traceback.format_exc().rstrip())
        code, sentence = _meaning(error, told=debug)
        _say(f"lossparity: {sentence}")
        return code


def _meaning(error: Exception, *, told: bool) -> tuple[int, str]:
    """The exit code and the sentence of an error. told: its traceback was shown."""
    ours = type(error).__module__.split(".")[0] == "lossparity"
    if isinstance(error, UsageError) or (ours and isinstance(error, ValueError)):
        return USAGE, str(error)
    if isinstance(error, IncompleteError):
        return INCOMPLETE, str(error)
    if isinstance(error, MemoryError):
        return INCOMPLETE, "out of memory, so nothing is decided: narrow the command down, or give it more"
    if isinstance(error, OSError):
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        what = f"{where}: {error.strerror or error}" if where else str(error.strerror or error)
        if error.errno in _FULL:
            return INCOMPLETE, f"{what}: free some space there, or write elsewhere"
        if where and (isinstance(error, _PATHS) or error.errno in _PATH_ERRORS):
            return USAGE, what
    name = type(error).__name__
    behind = "" if told else f"; {_kept(error)}"
    return INCOMPLETE, f"a fault of lossparity itself, so nothing is decided: {name}: {error}{behind}"


def _kept(error: Exception) -> str:
    """Where the traceback is."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="lossparity-traceback-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as stream:
            stream.write(text)
    except OSError:
        return "--debug shows the traceback"
    return f"the traceback is in {stream.name} (--debug shows it here)"


def _say(words: str) -> None:
    print(words, file=sys.stderr)
