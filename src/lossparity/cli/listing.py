"""`lossparity list`: what there is."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lossparity.cli.exits import HOLDS
from lossparity.cli.options import known
from lossparity.cli.terminal import table


def add(commands: Any) -> None:
    """The words of the command."""
    listing = commands.add_parser("list", help="list losses, backends, cases or implementations")
    listing.add_argument("what", choices=("losses", "backends", "cases", "implementations"))
    listing.add_argument("--loss", action="append", default=[], help="only of this loss")
    listing.add_argument("--backend", action="append", default=[], help="only of this backend")
    listing.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run it; the exit code."""
    from lossparity import adapters
    from lossparity.conformance.cases import CASES
    from lossparity.conformance.census import census
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
        for name in backends:
            if adapters.BACKENDS[name].missing():
                print(f"# {name}: {adapters.BACKENDS[name].missing()}", file=sys.stderr)
                continue
            seen = census(adapters.load(name))
            uncovered, offered = len(seen["uncovered"]), sum(map(len, seen["namespaces"].values()))
            print(f"# {name}: of {offered} losses found, {uncovered} have no adapter", file=sys.stderr)
            found = [each for each in adapters.load(name).IMPLEMENTATIONS if each.loss in losses]
            table([(each.name, each.loss, name, ", ".join(each.reductions)) for each in found])
    return HOLDS


def _installed(backend: Any) -> str:
    return backend.missing() or ", ".join(f"{name} {version}" for name, version in backend.versions().items())
