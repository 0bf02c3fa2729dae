"""What a command shows while it works, tables, and a standard output that takes everything."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

# The signs of our own output in ASCII, for terminals and files that have no others.
_PLAIN = {
    "✓": "+", "✗": "x", "○": "o", "≠": "!=", "≈": "~", "λ": "()", "■": "#", "†": "t", "·": ".", "…": "...", "≤": "<=",
    "≥": ">=", "≲": "<~", "→": "->", "∞": "inf", "²": "^2", "\N{MULTIPLICATION SIGN}": "x", "\N{MINUS SIGN}": "-",
}  # fmt: skip


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Our own signs in ASCII, ? for whatever else the encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(each, "?") for each in error.object[error.start : error.end]), error.end


codecs.register_error("lossparity", _plain)


class _Output:
    """Standard output whose reader may leave, as `head` does: the command then goes on to its exit code, unheard."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, words: str) -> int:
        with self._as_long_as_it_is_read():
            self._stream.write(words)
        return len(words)

    def flush(self) -> None:
        with self._as_long_as_it_is_read():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _as_long_as_it_is_read(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is still in the buffer goes there, also at the exit
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError):
                raise OSError(error.errno, error.strerror, "standard output") from None


@contextlib.contextmanager
def output() -> Iterator[None]:
    """Print in whatever encoding there is, to whoever still reads."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what replaces them in a test or a notebook takes any text
            stream.reconfigure(errors="lossparity")
    before = sys.stdout
    sys.stdout = _Output(before)  # a file as far as print goes
    try:
        yield
    finally:
        sys.stdout = before


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


@contextlib.contextmanager
def progress_lines() -> Any:
    """A line per backend when it starts and ends; on a terminal, counts while it runs."""
    live = sys.stderr.isatty()
    state: dict[str, tuple[int, int]] = {}

    def show(backend: str, done: int, planned: int, status: str) -> None:
        if status == "running" and not done and backend not in state:
            print(f"{backend}: starting", file=sys.stderr)
        elif status != "running":
            state.pop(backend, None)
            clear = "\r\033[K" if live else ""
            count = f"{done} of {planned} checks, " if planned else ""
            print(f"{clear}{backend}: {count}{status}", file=sys.stderr)
            return
        state[backend] = (done, planned)
        if live and done % 50 == 0:
            counts = "  ".join(f"{name} {n}/{of}" for name, (n, of) in state.items())
            print(f"\r\033[K{counts}", end="", file=sys.stderr, flush=True)

    yield show
