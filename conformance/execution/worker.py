"""One backend in a process of its own: imports the framework, decides the checks that it is given.

    python -m lossparity.conformance.execution.worker

Both sides speak in lines of JSON. The first on standard input is the configuration: {"backend", "seed", "selection"}.
The worker answers on what was standard output, and says {"ready"} whenever it waits for one of

    {"describe"}                    answered by {"environment", "plan": its part of the plan, "ranges": the positions of
                                    that part, "of": how many checks the whole plan has}, then {"implementations"} and
                                    {"census"};
    {"run": [[start, stop], ...]}   answered by {"result": [position, verdict, ...], "warnings": those not heard
                                    before, "programs": how many were compiled for it, by mode} for each check;
    the end of standard input       answered by {"done"}.

Whatever a framework prints goes to standard error: the backend's last words.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import sys
import warnings
from typing import Any, TextIO


def main() -> int:
    """Run the backend named on standard input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the frameworks' own printing must not mix with the answers
    faulthandler.enable()
    warnings.simplefilter("ignore")
    configuration = json.loads(sys.stdin.readline())

    from lossparity import adapters
    from lossparity.conformance.execution.expectations import Expectations
    from lossparity.conformance.execution.plan import DECIDED
    from lossparity.conformance.judge import Judge
    from lossparity.conformance.matrix import Selection, checks

    kept = Expectations()  # before a framework's import, during which somebody might edit the sources
    backend = adapters.BACKENDS[configuration["backend"]]
    module = adapters.load(backend.name)
    selection = Selection.of(configuration["selection"])
    plan = list(checks(backend.name, module, selection))
    judge = Judge(module, configuration["seed"], backend.versions(), kept)
    _say(answers, ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        kept.read()
        if "describe" in order:
            _describe(answers, backend.name, module, plan, selection)
        for start, stop in order.get("run", ()):
            for position in range(start, stop):
                decided = judge(plan[position])
                row = [position, *(getattr(decided, name) for name in DECIDED)]
                news = {"warnings": judge.news(), "programs": judge.programs()}
                _say(answers, result=row, **{name: each for name, each in news.items() if each})
        kept.write()
        _say(answers, ready=True)
    _say(answers, done=True)
    os._exit(0)  # the verdicts are out: a framework that crashes while it is unloaded changes none of them


def _describe(answers: TextIO, backend: str, module: Any, plan: list[Any], selection: Any) -> None:
    from lossparity.conformance.census import census
    from lossparity.conformance.describe import describe_implementations
    from lossparity.conformance.execution.plan import PLANNED, joined, shard, units

    ours = shard(units(plan), *selection.part())
    _say(
        answers,
        environment=environment(backend),
        plan=[[getattr(check, name) for name in PLANNED] for start, stop in ours for check in plan[start:stop]],
        ranges=joined(ours),
        of=len(plan),
    )
    _say(answers, implementations=describe_implementations(backend, module))
    _say(answers, census=census(module))


def environment(name: str) -> dict[str, Any]:
    """What this process runs: Python, the packages that matter to the backend, the devices it sees."""
    import numpy as np

    from lossparity import adapters

    engine = adapters.load(name).ENGINE
    return {
        "python": platform.python_version(),
        "packages": {**adapters.BACKENDS[name].versions(), "numpy": np.__version__},
        "engine": {"name": adapters.BACKENDS[name].engine, "version": engine.version()},
        "devices": list(engine.devices()),
    }


def _say(answers: TextIO, **message: Any) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    raise SystemExit(main())
