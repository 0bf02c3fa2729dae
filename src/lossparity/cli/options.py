"""The options that several commands share: what they are called, and what they may say."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lossparity.cli.exits import UsageError

_LONGEST = 86400  # seconds: a day, which every clock and lock can wait


def add_environments(parser: argparse.ArgumentParser) -> None:
    """How the environments of releases are made."""
    parser.add_argument(
        "--no-cache", action="store_true", help="make the environments anew and remove each after its use"
    )


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """What is compared, and where that is written."""
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        metavar="F[=FILE]",
        help="text (default), json, markdown, comment, github, junit, csv, html; into FILE, else printed (repeatable)",
    )
    parser.add_argument("--backend", action="append", default=[], metavar="B", help="compare only B (repeatable)")
    parser.add_argument("--other-machine", action="store_true", help="compare records of other kinds of machine too")


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Where the policy is."""
    parser.add_argument(
        "--policy", metavar="FILE", help="a TOML file with [tool.lossparity.gate] (default: the nearest pyproject.toml)"
    )


def add_execution(parser: argparse.ArgumentParser, *, elsewhere: bool = True) -> None:
    """How backends are run. elsewhere: they may live in other environments."""
    parser.add_argument(
        "--timeout", type=positive, default=None, metavar="S", help="a backend silent for so long hangs"
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=_count,
        default=None,
        metavar="N",
        help="processes at a time, of one backend or of several; the record does not depend on it (default: the cores, "
        "at most 8)",
    )
    if not elsewhere:
        return
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="BACKEND=PATH",
        help="the interpreter of a backend that lives in another environment (lossparity must be installed there)",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which checks."""
    parser.add_argument("--backend", action="append", default=[], metavar="B", help="only this backend (repeatable)")
    add_checks(parser)
    parser.add_argument(
        "--quick", action="store_true", help="of each row of the case table only its first reduction and the mean"
    )


def add_checks(parser: argparse.ArgumentParser) -> None:
    """Which checks of each backend."""
    parser.add_argument("--loss", action="append", default=[], metavar="L", help="only this loss (repeatable)")
    parser.add_argument(
        "--dtype",
        action="append",
        default=[],
        metavar="D",
        help="float64, float32 (default), float16, bfloat16 (repeatable)",
    )
    parser.add_argument(
        "--device", action="append", default=[], metavar="X", help="cpu (default), cuda:0, ... (repeatable)"
    )
    parser.add_argument(
        "--mode",
        action="append",
        default=[],
        metavar="M",
        help="eager (default); torch: compile-aot, compile, func; tensorflow: function, xla; jax: jit (repeatable)",
    )
    parser.add_argument(
        "-k", dest="expression", default="", metavar="EXPR", help="only checks whose ID matches, as in pytest"
    )


def shard(text: str) -> str:
    """A --shard that reads. An empty one, of a variable that nobody set, is not the whole matrix."""
    from lossparity.conformance.matrix import Selection

    try:
        Selection(shard=text or "nothing").part()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not I/N with 1 <= I <= N; write the second of three as 2/3"
        ) from None
    return text


def positive(text: str) -> float:
    """A number of seconds. Errors: argparse.ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds between 0 and {_LONGEST}")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def selection_of(options: argparse.Namespace) -> Any:
    """The checks that the options of `add_selection` ask for; of `add_checks` and --quick, too."""
    from lossparity.conformance.matrix import Selection

    selection = Selection(
        tuple(options.loss),
        tuple(options.dtype),
        tuple(options.device),
        tuple(options.mode),
        options.expression,
        options.quick,
    )
    selection.validate()
    return selection


def execution_of(options: argparse.Namespace) -> dict[str, Any]:
    """What the options of `add_execution` say, as arguments of `run` and of `Plan`; no more than they say."""
    said = {"timeout": options.timeout, "jobs": options.jobs}
    return {
        "command": ["lossparity", *options.words],
        **{name: value for name, value in said.items() if value is not None},
    }


def known(kind: str, given: Sequence[str], there: Any) -> None:
    """Refuse a name that there is not."""
    for name in given:
        if name not in there:
            raise UsageError(f"unknown {kind} {name!r}; there are {', '.join(there)}")


def writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to now, not after the run."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"-o {folder}: {there} is a file; give a folder")
    if not os.access(there, os.W_OK):
        raise UsageError(f"-o {folder}: {there} cannot be written to; give another folder")


def pythons_of(given: Sequence[str], backends: Any) -> dict[str, str]:
    """The interpreter of each backend that --python names."""
    found = {}
    for each in given:
        backend, separator, path = each.partition("=")
        if not separator:
            raise UsageError(f"--python takes BACKEND=PATH; {each!r} has no =")
        known("backend", [backend], backends)
        if not Path(path).is_file():
            raise UsageError(f"--python {each}: there is no interpreter at {path}")
        if not _has_lossparity(path):
            raise UsageError(f"--python {each}: there is no lossparity in it: {path} -m pip install lossparity")
        found[backend] = path
    return found


def _has_lossparity(python: str) -> bool:
    """Whether an interpreter finds lossparity, from elsewhere than here and with this process's PYTHONPATH."""
    folders = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    look = "import importlib.util, sys; sys.exit(4 if importlib.util.find_spec('lossparity') is None else 0)"
    with tempfile.TemporaryDirectory() as nowhere:
        ended = subprocess.run(  # noqa: S603
            [os.path.abspath(python), "-c", look], cwd=nowhere, env=surroundings, check=False, capture_output=True
        )
    return ended.returncode != 4
