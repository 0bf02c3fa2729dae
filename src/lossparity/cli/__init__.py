"""The command line. Exit codes: 0 parity holds, 1 parity broken, 2 bad usage or unreadable input, 3 incomplete.

One module per command, with its words (`add`) and what it does (`command`). Importing them is light: whatever a
command stands on, it imports when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import lossparity
from lossparity.cli import accept, bisect, check, diff, explain, gate, init, listing, merge, report, run, sweep
from lossparity.cli.exits import BROKEN, HOLDS, INCOMPLETE, USAGE, IncompleteError, UsageError, answer
from lossparity.cli.terminal import output

__all__ = ["BROKEN", "HOLDS", "INCOMPLETE", "USAGE", "IncompleteError", "UsageError", "main"]

COMMANDS = (run, check, report, merge, gate, diff, accept, sweep, bisect, explain, listing, init)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with output():

        def command() -> int:
            code: int = options.command(options)
            sys.stdout.flush()  # here, where a full disk can still be told
            return code

        options = _parser().parse_args(words, argparse.Namespace(words=words, debug=False))
        return answer(command, debug=options.debug)


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
    for words in (parser, *commands.choices.values()):  # before and behind the command's name
        words.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )
    return parser
