"""What the suite itself costs in a process that decides a backend's checks; run by test_own_time.py.

    python benchmarks/own_time.py BACKEND FOLDER TIMES

FOLDER: where expectations are kept. TIMES: the case table so many times over, under other names and with other numbers.
Prints a line of JSON: processor time in seconds, and the process's largest memory in MB before the checks and after.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

STRETCH = 1000  # checks between two writes of the expectations, as in a worker


def main(name: str, folder: str, times: int) -> None:
    """Decide every check of the backend."""
    from lossparity import adapters
    from lossparity.conformance.cases import CASES
    from lossparity.conformance.execution.expectations import Expectations
    from lossparity.conformance.execution.plan import DECIDED
    from lossparity.conformance.judge import Judge
    from lossparity.conformance.matrix import Selection, checks

    began = time.process_time()
    module = adapters.load(name)
    imported = time.process_time() - began
    for loss, cases in CASES.items():
        again = [dataclasses.replace(case, name=f"{case.name}~{i}") for i in range(1, times) for case in cases.values()]
        CASES[loss] = {**cases, **{case.name: case for case in again}}  # type: ignore[index]
    spent = {"framework": 0.0}

    def timed(evaluate: Any) -> Any:
        def run(request: Any) -> Any:
            start = time.process_time()
            try:
                return evaluate(request)
            finally:
                spent["framework"] += time.process_time() - start

        return run

    for mode, how in module.ENGINE.MODES.items():
        module.ENGINE.MODES[mode] = dataclasses.replace(how, evaluate=timed(how.evaluate))
    before = peak()
    began = time.process_time()
    kept = Expectations(Path(folder))
    plan = list(checks(name, module, Selection()))
    judge = Judge(module, 0, adapters.BACKENDS[name].versions(), kept)
    with open(os.devnull, "w") as answers:
        for number, check in enumerate(plan):
            decided = judge(check)
            print(json.dumps([getattr(decided, field) for field in DECIDED]), file=answers)
            if number % STRETCH == STRETCH - 1:
                kept.write()
        kept.write()
    own = time.process_time() - began - spent["framework"]
    print(json.dumps({"checks": len(plan), "import": imported, "own": own, **spent, "before": before, "after": peak()}))


def peak() -> float:
    """The largest memory of this process so far, in MB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM")), 0.0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
