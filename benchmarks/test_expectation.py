"""What the tolerance costs: running errors of a textbook form against the fast form's value and pullback.

Both sides compute value and gradients of the same rows of the case table, of a few dozen numbers each: what an
expectation of the matrix is. Each round times one call of either side, so that the two share whatever else the machine
is doing; what counts is the fastest round, in processor time. Run with `pytest benchmarks/test_expectation.py`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lossparity import reference
from lossparity.conformance.cases import CASES, Case
from lossparity.reference.bounded import Bounded
from lossparity.reference.core import Loss

LOSSES: dict[str, Loss] = {**reference.LOSSES, **reference.ACTIVATIONS}
BOUNDED = Bounded("float32")
ROUNDS = 20


def _rows(loss: str) -> list[Case]:
    return [case for case in CASES[loss].values() if case.quick and "error" not in case.tags]


def _seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def _ratio(loss: Loss, case: Case) -> tuple[float, float]:
    """Of one row: seconds of the fast form, and of the running errors."""
    arguments = case.build(0, "float32")
    cotangent = np.ones(np.shape(loss(**arguments)))

    def fast() -> None:
        _, pullback = loss.vjp(**arguments)
        pullback(cotangent)

    def bounded() -> None:
        loss.evaluate(BOUNDED, arguments, cotangent)

    pairs = [(_seconds(fast), _seconds(bounded)) for _ in range(ROUNDS)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.textbook and CASES.get(name)])
def test_expectation(name: str, expectation: Callable[[dict[str, Any]], None]) -> None:
    pairs = [_ratio(LOSSES[name], case) for case in _rows(name)]
    ratios = [bounded / fast for fast, bounded in pairs]
    expectation(
        {
            "loss": name,
            "rows": len(pairs),
            "fast": statistics.fmean(fast for fast, _ in pairs),
            "bounded": statistics.fmean(bounded for _, bounded in pairs),
            "ratios": ratios,
        }
    )
