"""One backend in a process of its own: imports the framework, decides its checks, writes each result as it comes.

    python -m lossparity.conformance.execution.worker < configuration

The configuration is JSON: {"backend", "seed", "selection"}. The answer is JSON lines on what was standard output:
{"environment"}, {"implementations"}, {"census"}, {"plan": every check}, then {"result": check, "warnings": those not
heard before} for each in that order, then {"done": true}. Whatever a framework prints goes to standard error, the
backend's last words.
"""

from __future__ import annotations

import dataclasses
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
    configuration = json.load(sys.stdin)

    from lossparity import adapters
    from lossparity.conformance.census import census
    from lossparity.conformance.describe import describe_implementations
    from lossparity.conformance.judge import Judge
    from lossparity.conformance.matrix import Selection, checks

    backend = adapters.BACKENDS[configuration["backend"]]
    module = adapters.load(backend.name)
    selection = Selection.of(configuration["selection"])
    _say(answers, environment=environment(backend.name))
    _say(answers, implementations=describe_implementations(backend.name, module))
    _say(answers, census=census(module))
    planned = list(checks(backend.name, module, selection))
    _say(answers, plan=[dataclasses.astuple(check) for check in planned])
    judge = Judge(module, configuration["seed"], backend.version())
    for check in planned:
        _say(answers, result=dataclasses.astuple(judge(check)), warnings=judge.news())
    _say(answers, done=True)
    answers.flush()
    os._exit(0)  # the verdicts are out: a framework that crashes while it is unloaded changes none of them


def environment(name: str) -> dict[str, Any]:
    """What this process runs: Python, the packages that matter to the backend, the devices it sees."""
    import numpy as np

    from lossparity import adapters

    return {
        "python": platform.python_version(),
        "packages": {**adapters.BACKENDS[name].versions(), "numpy": np.__version__},
        "devices": list(adapters.load(name).ENGINE.devices()),
    }


def _say(answers: TextIO, **message: Any) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    raise SystemExit(main())
