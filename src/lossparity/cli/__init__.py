"""The command line. Exit codes: 0 parity holds, 1 parity broken, 2 bad usage or unreadable input, 3 incomplete.

One module per command, with its words (`add`) and what it does (`command`). Importing them is light: whatever a
command stands on, it imports when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import lossparity
from lossparity.cli import accept, bisect, diff, explain, gate, listing, merge, report, run, sweep
from lossparity.cli.exits import BROKEN, HOLDS, INCOMPLETE, USAGE, IncompleteError, UsageError

__all__ = ["BROKEN", "HOLDS", "INCOMPLETE", "USAGE", "IncompleteError", "UsageError", "main"]

COMMANDS = (run, report, merge, gate, diff, accept, sweep, bisect, explain, listing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    options.words = words
    try:
        code: int = options.command(options)
    except (UsageError, ValueError) as error:
        print(f"lossparity: {error}", file=sys.stderr)
        return USAGE
    except IncompleteError as error:
        print(f"lossparity: {error}", file=sys.stderr)
        return INCOMPLETE
    except OSError as error:
        print(f"lossparity: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("\nlossparity: interrupted; nothing was written", file=sys.stderr)
        return INCOMPLETE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lossparity",
        description="Does a framework compute a loss, and its gradient, as defined?",
        epilog="Exit codes: 0 parity holds, 1 parity broken, 2 bad usage or unreadable input, 3 incomplete.",
    )
    parser.add_argument("--version", action="version", version=f"lossparity {lossparity.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    return parser
