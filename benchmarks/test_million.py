"""A million checks: bytes of the record and of the page, seconds to save, load and compare, and memory.

They are made by repeating real ones, each time as other cases with other digits: those of the record that
LOSSPARITY_RECORD names (a whole run says most), else those of a small one. CHECKS sets another number.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossparity
from lossparity.conformance import record
from lossparity.conformance.record import Check, Run
from lossparity.reports import html

CHECKS = int(os.environ.get("CHECKS", 1_000_000))
SMALL = Path(__file__).parent.parent / "tests" / "conformance" / "schema-2.json.gz"
DIFF = """
import sys
from lossparity.cli import main
main(["diff", *sys.argv[1:]])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


def other_digits(numbers: list[float], dtype: str, draw: np.random.Generator, size: float) -> list[float]:
    """The numbers, each a little elsewhere, with as many digits as they have in a dtype."""
    moved = np.array(numbers) * (1.0 + size * draw.standard_normal(len(numbers)))
    if dtype == "float32":
        with np.errstate(over="ignore"):
            return [float(str(each)) for each in moved.astype(np.float32)]
    return [float(each) for each in moved]


def repeated(real: list[Check]) -> Iterator[Check]:
    draw = np.random.default_rng(1)
    for number in range(CHECKS // len(real) + 1):
        known: dict[str, Any] = {}
        for check in real[: CHECKS - number * len(real)]:
            case = f"{check.case}-{number}" if check.case != "any" else f"any-{number}"
            parts = (check.loss, check.implementation, case, check.dtype, check.device, check.mode, check.aspect)
            result, worst = check.result, check.worst
            if isinstance(result, list):  # what several implementations give is the same again, with other digits
                key = f"{check.dtype}{result}"
                if key not in known:
                    known[key] = other_digits(result, check.dtype, draw, 1e-5)
                result = known[key]
            if worst is not None:
                key = str({name: each for name, each in worst.items() if name != "got"})
                if key not in known:
                    inputs = {}
                    for name, value in worst["at"].items():
                        if isinstance(value, float):
                            value = float(np.float32(value * (1.0 + 1e-3 * draw.standard_normal())))
                        elif isinstance(value, list) and all(isinstance(x, float) for x in value):
                            moved = np.array(value) * (1.0 + 1e-3 * draw.standard_normal(len(value)))
                            value = [float(np.float32(x)) for x in moved]
                        inputs[name] = value
                    want = worst["want"]
                    want = want * (1.0 + 1e-5 * draw.standard_normal()) if isinstance(want, float) else want
                    known[key] = {"index": worst["index"], "got": 0.0, "want": want, "tolerance": 0.0, "at": inputs}
                got = worst["got"]
                if isinstance(check.result, list) and got in check.result:
                    got = result[check.result.index(got)]
                elif isinstance(check.result, list) and got in list(map(float, np.float32(check.result))):
                    got = float(np.float32(result[list(map(float, np.float32(check.result))).index(got)]))
                worst = {**known[key], "got": got, "tolerance": worst["tolerance"]}
            yield dataclasses.replace(
                check, id="/".join(parts), case=case, result=result, worst=worst,
                error_ulp=check.error_ulp and float(check.error_ulp * draw.uniform(0.9, 1.1)),
                margin=check.margin and float(check.margin * draw.uniform(0.9, 1.0)),
                seconds=check.seconds * draw.uniform(0.5, 2.0),
            )  # fmt: skip


def timed(what: str, call: Callable[[], Any]) -> Any:
    """What it returns. Printed: seconds by the clock, and of the processor, which other work does not lengthen."""
    started, worked = time.perf_counter(), _worked()
    result = call()
    print(f"{what}: {time.perf_counter() - started:.1f} s, {_worked() - worked:.1f} s of the processor")
    return result


def _worked() -> float:
    """Seconds of the processor that this process and those it waited for have used."""
    return sum(os.times()[:4])


def upgraded(run: Run) -> Run:
    """The same run by another release: a fifth of its results within rounding, one loss a hair beyond."""
    checks, draw = copy.copy(run.checks), np.random.default_rng(2)
    tables = dataclasses.replace(checks.tables, results=copy.copy(checks.tables.results))  # type: ignore[attr-defined]
    values = tables.results.values.copy()
    moved = draw.random(len(values)) < 0.03
    values[moved] *= 1.0 + 1e-17 + 2.0**-52
    tables.results.values = values
    checks.tables = tables  # type: ignore[attr-defined]
    return dataclasses.replace(run, checks=checks)


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a process told its own peak")
def test_a_million_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        real = lossparity.load(os.environ.get("LOSSPARITY_RECORD", SMALL))
        print(f"\n{CHECKS:,} checks from {len(real.checks):,} real ones")
        run = dataclasses.replace(real, checks=list(repeated(list(real.checks))))
        made = list(run.checks)
        run = timed("checks to columns", functools.partial(dataclasses.replace, run, checks=made))
        del made
        path = timed("save", lambda: record.save(run, tmp_path / "before.json.gz"))
        print(f"record: {path.stat().st_size / 1e6:.1f} MB, {path.stat().st_size / CHECKS:.1f} bytes a check")
        loaded = timed("load", lambda: lossparity.load(path))
        assert len(loaded.checks) == CHECKS
        after = record.save(upgraded(loaded), tmp_path / "after.json.gz")
        command = [sys.executable, "-c", DIFF, str(path), str(after)]
        done = timed(
            "diff",
            lambda: subprocess.run(command, capture_output=True, text=True, check=True),  # noqa: S603  ours
        )
        print(f"diff, peak memory: {int(done.stderr.split()[-1]) / 2**20:.2f} GB\n{done.stdout[:400]}")
        page = timed("page", lambda: html.write(loaded, tmp_path / "parity.html"))
        print(f"page: {page.stat().st_size / 1e6:.2f} MB at {page}")
