"""`lossparity list`: what there is."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
        return _implementations(backends, losses)
    return HOLDS


def _implementations(backends: Sequence[str], losses: Sequence[str]) -> int:
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
            offered, uncovered, rows = answer
            print(f"# {name}: of {offered} losses found, {uncovered} have no adapter", file=sys.stderr)
            table([(entry, loss, name, reductions) for entry, loss, reductions in rows if loss in losses])
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
    """Print a line of JSON: how many losses a backend offers, how many have no adapter, and its implementations."""
    from lossparity import adapters
    from lossparity.conformance.census import census

    module = adapters.load(name)
    seen = census(module)
    rows = [(each.name, each.loss, ", ".join(each.reductions)) for each in module.IMPLEMENTATIONS]
    print(json.dumps([sum(map(len, seen["namespaces"].values())), len(seen["uncovered"]), rows]))


def _installed(backend: Any) -> str:
    return backend.missing() or ", ".join(f"{name} {version}" for name, version in backend.versions().items())
