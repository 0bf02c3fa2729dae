"""One thread for both sides, and the table of ratios at the end of the run."""

from __future__ import annotations

import os
import statistics
from typing import Any

import pytest

for _library in ("OMP", "OPENBLAS", "MKL"):  # NumPy, not imported yet, reads them when it is
    os.environ[f"{_library}_NUM_THREADS"] = "1"

ROWS = pytest.StashKey[list[dict[str, Any]]]()
EXPECTATIONS = pytest.StashKey[list[dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    config.stash[EXPECTATIONS] = []


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Any:
    """Add a row to the table."""
    return request.config.stash[ROWS].append


@pytest.fixture
def expectation(request: pytest.FixtureRequest) -> Any:
    """Add a row to the table of expectations."""
    return request.config.stash[EXPECTATIONS].append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Value and gradient, reference against torch: time, ratio, and the reference's memory on top of its input."""
    _expectations(terminalreporter, config.stash[EXPECTATIONS])
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


def _expectations(terminalreporter: Any, rows: list[dict[str, Any]]) -> None:
    """Running errors against value and pullback: mean times of a row, geometric mean and worst of their ratios."""
    if not rows:
        return
    write = terminalreporter.write_line
    terminalreporter.section(
        "running errors of the textbook form against the fast form, value and gradients, one thread"
    )
    write(f"{'loss':34} {'rows':>5} {'fast':>12} {'bounded':>12} {'ratio':>6} {'worst':>6}")
    for row in rows:
        times = "".join(f" {row[side] * 1e6:>9.1f} us" for side in ("fast", "bounded"))
        mean, worst = statistics.geometric_mean(row["ratios"]), max(row["ratios"])
        write(f"{row['loss']:34} {row['rows']:>5}{times} {mean:>6.1f} {worst:>6.1f}")
    ratios = [ratio for row in rows for ratio in row["ratios"]]
    whole = sum(row["bounded"] * row["rows"] for row in rows) / sum(row["fast"] * row["rows"] for row in rows)
    write(f"geometric mean: {statistics.geometric_mean(ratios):.1f}; worst: {max(ratios):.1f}; all rows: {whole:.1f}")
