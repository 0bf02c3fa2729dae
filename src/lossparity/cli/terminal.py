"""What a command shows while it works, and tables."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any


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


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
