"""`lossparity init`: the gate in a repository's CI, in one step."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import lossparity
from lossparity.cli.exits import HOLDS, UsageError

BASELINE = "parity-baseline.json.gz"
PLACES = {"github": Path(".github/workflows/loss-parity.yml"), "gitlab": Path(".gitlab/loss-parity.yml")}

_SECTION = """
[tool.lossparity.gate] # what a change means: fail, warn or ignore; these are the defaults
changed = "fail"
signature = "fail"
drifted = "fail"
fixed = "warn"
added = "warn"
warning = "warn"
census = "warn"
"""


def add(commands: Any) -> None:
    """The words of the command."""
    init = commands.add_parser(
        "init",
        help="write the gate's workflow and its policy into this repository; nothing is overwritten",
        description="Write the workflow that gates upgrades, and the policy's section in pyproject.toml. What is there "
        "already stays as it is.",
    )
    init.add_argument("ci", choices=tuple(PLACES), help="whose workflow")
    how = init.add_mutually_exclusive_group()
    how.add_argument("--requirements", metavar="FILE", help="what the job installs (default: requirements.txt)")
    how.add_argument("--uv", action="store_true", help="the job installs uv.lock, with uv (default where there is one)")
    init.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity.conformance.record import write_whole

    requirements = _requirements(options)
    policy = _policy(Path("pyproject.toml"))
    files = {PLACES[options.ci]: workflow(options.ci, requirements)}
    if options.ci == "gitlab":
        files[Path(".gitlab-ci.yml")] = f"include:\n  - local: {PLACES['gitlab'].as_posix()}\n"
    for path, text in files.items():
        if path.exists():
            print(f"kept    {path}, which is there already")
        else:
            print(f"wrote   {write_whole(path, text.encode())}")
    if options.ci == "gitlab":
        print(f"        .gitlab-ci.yml must have: include: [{{local: {PLACES['gitlab'].as_posix()}}}]")
    if policy is None:
        print("kept    pyproject.toml, which has [tool.lossparity.gate] already")
    else:
        print(f"wrote   [tool.lossparity.gate] into {write_whole('pyproject.toml', policy.encode())}")
    print(
        "\nMake the baseline on the kind of machine that CI has (or start the workflow by hand and take parity.json\n"
        "from its artifact), and commit it:\n\n    lossparity run --quick -o parity\n"
        f'    lossparity accept {BASELINE} parity/parity.json --reason "the first baseline"'
    )
    return HOLDS


def workflow(ci: str, requirements: str | None) -> str:
    """The workflow. requirements: the file that the job installs; None: uv.lock, with uv."""
    from lossparity.reports.formats import COMMENT_MARK

    suite = f"lossparity=={lossparity.__version__}"
    if requirements is None:
        install = f"python -m pip install uv && uv sync --locked && uv pip install {suite}"
        run, paths = "uv run --no-sync lossparity", ["uv.lock", "pyproject.toml", BASELINE]
    else:
        install = f"python -m pip install -r {shlex.quote(requirements)} {suite}"
        run, paths = "lossparity", [requirements, "pyproject.toml", BASELINE]
    text = Path(__file__).with_name("workflows").joinpath(f"{ci}.yml").read_text(encoding="utf-8")
    for word, meant in {
        "@INSTALL@": install,
        "@RUN@": run,
        "@PATHS@": ", ".join(map(json.dumps, paths)),
        "@BASELINE@": BASELINE,
        "@MARK@": COMMENT_MARK,
    }.items():
        text = text.replace(word, meant)
    return text


def _requirements(options: argparse.Namespace) -> str | None:
    """The requirements file; None for uv."""
    if options.requirements:
        if not Path(options.requirements).is_file():
            raise UsageError(f"--requirements {options.requirements}: there is no such file")
        return str(options.requirements)
    if options.uv or Path("uv.lock").is_file():
        if not Path("uv.lock").is_file():
            raise UsageError("--uv: there is no uv.lock here; make one with `uv lock`")
        return None
    if not Path("requirements.txt").is_file():
        raise UsageError("there is neither uv.lock nor requirements.txt here: give --requirements FILE")
    return "requirements.txt"


def _policy(path: Path) -> str | None:
    """pyproject.toml with the policy's section behind all that is in it; None where it has one."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    text = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        tool = tomllib.loads(text).get("tool", {})
        if "gate" in tool.get("lossparity", {}):
            return None
        longer = f"{text.rstrip()}\n{_SECTION}" if text.strip() else _SECTION.lstrip()
        tomllib.loads(longer)
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        raise UsageError(f"{path} does not read, so nothing was written: {error}") from None
    return longer
