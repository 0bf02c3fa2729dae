"""`lossparity check`: does a loss of one's own compute what a definition says, and if not, what is it?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lossparity.cli.exits import BROKEN, HOLDS, USAGE
from lossparity.cli.options import positive, writable

_CODES = {"conforms": HOLDS, "dialect": HOLDS, "differs": BROKEN}


def add(commands: Any) -> None:
    """The words of the command."""
    check = commands.add_parser(
        "check",
        help="diagnose a loss of your own: what it conforms to, or how and where it differs",
        description="Call a function or class as a loss, compare values and gradients with the definition, and say in "
        "words what it is: a documented dialect, a known mistake, or something else, at the smallest input found.",
        epilog="Exit codes: 0 conforms, also to a documented dialect, 1 differs, 2 not callable, 3 a fault of ours.",
    )
    check.add_argument("target", metavar="TARGET", help="path/to/file.py:name or package.module:name")
    check.add_argument(
        "--as", dest="definition", default=None, metavar="LOSS", help="the loss (default: the likeliest)"
    )
    check.add_argument("--engine", choices=("torch", "tensorflow", "jax", "numpy"), help="default: what it imports")
    check.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="which of its parameters is which argument of the definition (repeatable; default: by name and trial)",
    )
    check.add_argument(
        "--reduction", action="append", default=[], metavar="R", help="only this reduction (repeatable; default: all)"
    )
    check.add_argument("--dtype", action="append", default=[], metavar="D", help="only this dtype (repeatable)")
    check.add_argument("--seed", type=int, default=0, help="of the cases' data (default: 0)")
    check.add_argument(
        "--timeout", type=positive, default=60.0, metavar="S", help="the seconds one call may take (default: 60)"
    )
    check.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    check.add_argument("-o", "--output", default=None, metavar="DIR", help="write check.html there, with curves")
    check.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance.diagnosis.apart import diagnosed
    from lossparity.conformance.diagnosis.target import TargetError
    from lossparity.conformance.record import write_whole
    from lossparity.reports import diagnosis

    if options.output is not None:
        writable(Path(options.output))
    request = {
        "word": options.target,
        "loss": options.definition,
        "engine": options.engine,
        "given": options.arg,
        "reductions": options.reduction,
        "dtypes": options.dtype,
        "seed": options.seed,
    }
    try:
        found = diagnosed(request, options.timeout)
    except TargetError as error:
        if options.format == "json":
            nothing: dict[str, Any] = {"explanations": [], "differences": [], "contracts": [], "checks": 0}
            print(
                json.dumps(
                    {"verdict": "unsupported", "loss": options.definition, "says": str(error), **nothing}, indent=2
                )
            )
        print(f"lossparity: {error}", file=sys.stderr)
        return USAGE
    if options.format == "json":
        print(json.dumps(found, indent=2))
    else:
        print(diagnosis.text(found))
    if options.output is not None:
        write_whole(Path(options.output) / "check.html", diagnosis.page(found).encode())
    return _CODES[found["verdict"]]
