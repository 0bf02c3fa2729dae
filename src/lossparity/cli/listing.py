"""`lossparity list`: what there is."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from lossparity.cli.exits import HOLDS, INCOMPLETE
from lossparity.cli.options import known
from lossparity.cli.terminal import table


def add(commands: Any) -> None:
    """The words of the command."""
    listing = commands.add_parser("list", help="list losses, backends, cases or implementations")
    listing.add_argument("what", choices=("losses", "backends", "cases", "implementations"))
    listing.add_argument("--loss", action="append", default=[], help="only of this loss")
    listing.add_argument("--backend", action="append", default=[], help="only of this backend")
    listing.add_argument(
        "--all-versions",
        action="store_true",
        help="of implementations: all that is declared, and for which releases, installed or not",
    )
    listing.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity import adapters
    from lossparity.conformance.cases import CASES
    from lossparity.conformance.describe import DEFINITIONS, describe_losses

    known("backend", options.backend, adapters.BACKENDS)
    known("loss", options.loss, DEFINITIONS)
    losses = options.loss or list(DEFINITIONS)
    backends = options.backend or list(adapters.BACKENDS)
    if options.what == "losses":
        table([(name, each["summary"]) for name, each in describe_losses().items() if name in losses])
    elif options.what == "backends":
        table([(name, _installed(adapters.BACKENDS[name])) for name in backends])
    elif options.what == "cases":
        for loss in losses:
            table([(f"{loss}/{name}", " ".join(sorted(case.tags))) for name, case in CASES.get(loss, {}).items()])
    else:
        return _implementations(backends, losses, options.all_versions)
    return HOLDS


def _implementations(backends: Sequence[str], losses: Sequence[str], all_versions: bool) -> int:
    """Each backend in a process of its own: what its framework prints while it is imported is nobody's business."""
    from lossparity import adapters

    absent = {name: adapters.BACKENDS[name].missing() for name in backends}
    code = HOLDS
    with ThreadPoolExecutor(2) as pool:
        seen = dict(zip(backends, pool.map(lambda name: None if absent[name] else _asked(name), backends), strict=True))
    for name, answer in seen.items():
        if answer is None:
            print(f"# {name}: {absent[name]}", file=sys.stderr)
        elif isinstance(answer, str):
            print(f"# {name}: could not be asked: {answer}", file=sys.stderr)
            code = INCOMPLETE
        else:
            offered, uncovered, rows, declared = answer
            print(f"# {name}: of {offered} losses found, {uncovered} have no adapter", file=sys.stderr)
            told = declared if all_versions else rows
            table([(entry, loss, name, *rest) for entry, loss, *rest in told if loss in losses])
    return code


def _asked(name: str) -> Any:
    """What `tell` says of a backend; why it does not, as a sentence."""
    program = f"from lossparity.cli.listing import tell; tell({name!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        return (
            done.stderr.decode(errors="replace").strip().splitlines()
            or [f"its process ended with exit code {done.returncode}"]
        )[-1]
    return json.loads(done.stdout.splitlines()[-1])


def tell(name: str) -> None:
    """Print a line of JSON: how many losses a backend offers, how many have no adapter, its implementations, and what
    is declared of them for all versions.
    """
    from lossparity import adapters
    from lossparity.conformance.census import census

    module = adapters.load(name)
    seen = census(module)
    rows = [(each.name, each.loss, ", ".join(each.reductions)) for each in module.IMPLEMENTATIONS]
    offered = sum(map(len, seen["namespaces"].values()))
    print(json.dumps([offered, len(seen["uncovered"]), rows, list(_declared(module))]))


def _declared(module: ModuleType) -> Iterator[tuple[str, ...]]:
    """A row for each implementation and for each declaration of it: what it is, for which releases, and why."""
    for each in module.DECLARED:
        yield each.name, each.loss, "is there", _range(each.versions), ", ".join(each.reductions)
        for unsupported in each.unsupported:
            yield each.name, each.loss, "unsupported", _range(unsupported.versions), unsupported.reason
        for dialect in each.dialects:
            kind = "lossy" if dialect.computed_as else "dialect"
            yield each.name, each.loss, kind, _range(dialect.versions), f"{dialect.name}: {dialect.reason}"
        for issue in each.known_issues:
            yield each.name, each.loss, "known issue", _range(issue.versions), f"{issue.name}: {issue.reason}"


def _range(versions: str) -> str:
    return versions or "every version"


def _installed(backend: Any) -> str:
    return backend.missing() or ", ".join(f"{name} {version}" for name, version in backend.versions().items())
