"""`lossparity diff` of two records of 50,000 checks: reading both, comparing them, and saying what changed.

The target is 2 seconds and 300 MB on one core. Memory is that of a process of its own. Run with `pytest benchmarks`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import lossparity
from lossparity.conformance import record
from lossparity.conformance.record import Check, Run
from lossparity.reports.diff import compare
from lossparity.reports.formats import Comparison, text

CHECKS = 50_000
MEGABYTES = 300

MEASURE = """
import sys
import lossparity
from lossparity.reports.diff import compare
from lossparity.reports.formats import Comparison, text
text(Comparison(compare(*map(lossparity.load, sys.argv[1:]))))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def check(number: int, version: int) -> Check:
    """One of 50,000, as long as a real one. In the second record every tenth is rounded elsewhere, every 50th moved."""
    loss, case = f"loss_{number % 40}", f"case-{number // 40 % 300}-mean"
    name = f"framework.losses.{loss}"
    x = 1.0 + number / CHECKS
    shift = version * (0.0 if number % 10 else 1e-3 if number % 50 == 0 else 1e-16)
    values = [x + shift + i for i in range(8)]
    aspect = ("value", "gradient:input", "gradient:target", "shape")[number // 12_000 % 4]
    parts = (loss, name, f"{case}-{number // 48_000}", "float64", "cpu", "eager", aspect)
    worst = {"index": [3], "got": values[3], "want": x + 3, "tolerance": 1e-14, "at": {"input": x, "target": -x}}
    return Check(
        "/".join(parts), loss, "backend", *parts[1:], verdict="match", error_ulp=x, margin=0.1 * x, seconds=1e-4,
        worst=worst, result=values, limits=[1e-14] * 8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("records")
    paths = []
    for version in (0, 1):
        environment = {"platform": "Linux-6", "machine": "x86_64", "backends": {"backend": {"packages": {}}}}
        run = Run(environment, 0, ["lossparity", "run"], [check(i, version) for i in range(CHECKS)], data="d")
        paths.append(record.save(run, folder / f"{version}.json"))
    return paths


@pytest.mark.benchmark(timer=time.process_time)  # whatever else the machine is doing
def test_two_large_records(records: list[Path], benchmark: Any) -> None:
    def whole() -> str:
        diff = compare(*(lossparity.load(path) for path in records))
        assert sum(diff.counts.values()) == CHECKS
        assert diff.counts["changed"] == CHECKS // 50
        return text(Comparison(diff))

    benchmark.pedantic(whole, rounds=3)


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a process told its own peak")
def test_memory(records: list[Path]) -> None:
    done = subprocess.run(  # noqa: S603  this interpreter, our own code
        [sys.executable, "-c", MEASURE, *map(str, records)], capture_output=True, text=True, check=True
    )
    peak = int(done.stdout) / 2**10
    print(f"\npeak memory of a diff of 2 x {CHECKS:,} checks: {peak:.0f} MB")
    assert peak < MEGABYTES
