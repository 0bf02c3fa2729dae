"""One thread for both sides, and the table of ratios at the end of the run."""

from __future__ import annotations

import os
import statistics
from typing import Any

import pytest

for _library in ("OMP", "OPENBLAS", "MKL"):  # NumPy, not imported yet, reads them when it is
    os.environ[f"{_library}_NUM_THREADS"] = "1"

ROWS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Any:
    """Add a row to the table."""
    return request.config.stash[ROWS].append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Value and gradient, reference against torch: time, ratio, and the reference's memory on top of its input."""
    rows = config.stash[ROWS]
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section("reference against torch, forward and backward, one thread, float64")
    write(f"{'loss':42} {'elements':>9} {'reference':>12} {'torch':>12} {'ratio':>6} {'memory':>7}")
    for row in rows:
        times = "".join(f" {row[side] * 1e6:>9.1f} us" for side in ("reference", "torch"))
        write(f"{row['loss']:42} {row['elements']:>9,}{times} {row['ratio']:>6.2f} {row['memory']:>6.1f}x")
    for elements in sorted({row["elements"] for row in rows}):
        ratios = [row["ratio"] for row in rows if row["elements"] == elements]
        mean, worst = statistics.geometric_mean(ratios), max(ratios)
        write(f"geometric mean at {elements:>9,} elements: {mean:.2f}; worst: {worst:.2f}; losses: {len(ratios)}")
