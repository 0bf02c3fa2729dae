"""What a run costs: from the command to its page, the suite's own part of a check, against their number.

The targets are 30 seconds on two cores for the default matrix of five backends, 0.3 ms of the suite's own time for each
check (without the framework's calls and imports), a straight line, and memory that stays. Processor time, so that what
else the machine does counts little; "cold" is without expectations of an earlier run. Run with `pytest benchmarks -s`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossparity import adapters

BACKENDS = [
    name for name in ("torch", "torchvision", "tensorflow", "keras", "sklearn") if not adapters.BACKENDS[name].missing()
]
MILLISECONDS = 0.3
SECONDS = 30.0


def measured(*words: str, **surroundings: str) -> tuple[str, float, float]:
    """What a process prints, its processor time with that of its children, and how long it took."""
    began, before = time.monotonic(), os.times()
    done = subprocess.run(  # noqa: S603  this interpreter, our own code
        [sys.executable, *words], env={**os.environ, **surroundings}, capture_output=True, text=True, check=False
    )
    after = os.times()
    assert done.returncode in (0, 1), done.stderr[-2000:]
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, used, time.monotonic() - began


def own(backend: str, folder: Path, times: int = 1) -> dict[str, Any]:
    printed, _, _ = measured(str(Path(__file__).with_name("own_time.py")), backend, str(folder), str(times))
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def test_from_the_command_to_the_page(tmp_path: Path) -> None:
    print()
    for what in ("cold", "warm"):
        words = [word for name in BACKENDS for word in ("--backend", name)]
        _, used, took = measured(
            "-m",
            "lossparity.cli",
            "run",
            "--jobs",
            "2",
            *words,
            "-o",
            str(tmp_path / what),
            XDG_CACHE_HOME=str(tmp_path),
        )
        assert (tmp_path / what / "parity.html").exists()
        print(
            f"command to page, {', '.join(BACKENDS)}, {what}: {took:.1f} s; processor {used:.1f} s, "
            f"{used / 2:.1f} s on each of two cores (target {SECONDS:g})"
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_own_time_of_a_check(backend: str, tmp_path: Path) -> None:
    print()
    for what in ("cold", "warm"):
        found = own(backend, tmp_path)
        each = found["own"] / found["checks"] * 1e3
        print(
            f"{backend}, {what}: {each:.3f} ms own time for each of {found['checks']:,} checks "
            f"(target {MILLISECONDS:g}); framework: calls {found['framework']:.1f} s, import {found['import']:.1f} s"
        )


@pytest.mark.skipif("sklearn" not in BACKENDS, reason="scikit-learn is not installed")
def test_cost_against_the_number_of_cases(tmp_path: Path) -> None:
    """A straight line through what 1, 2, 4 and 8 times the table cost, and no more memory for it."""
    print()
    found = [own("sklearn", tmp_path / str(times), times) for times in (1, 2, 4, 8)]
    counts, seconds = (np.array([each[name] for each in found]) for name in ("checks", "own"))
    slope, start = np.polyfit(counts, seconds, 1)
    for each in found:
        line = start + slope * each["checks"]
        print(
            f"{each['checks']:>7,} checks: {each['own']:.2f} s (the line: {line:.2f} s), memory {each['after']:.0f} MB"
            f", {each['after'] - each['before']:.0f} MB of it for the checks"
        )
    print(f"{slope * 1e3:.3f} ms for each check")
