"""The bound is used: of every loss and aspect, some row makes NumPy's own float32 use at least a fiftieth of it.

`python tests/conformance/test_sharpness.py` prints the largest share of each, and with the path of a record that of
what its frameworks show.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

import lossparity
from lossparity.conformance.cases import CASES
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.tolerance import K
from lossparity.reference.bounded import Bounded
from lossparity.reference.precision import FORMATS, Native

LEAST = 1.0 / 50.0
DTYPE = "float32"
ARITHMETICS = (Bounded("float64"), Bounded(DTYPE), Native(DTYPE))


def shares(loss: str) -> dict[str, float]:
    """Of each aspect: the largest error of the form in NumPy's float32, as a share of its bound, over the rows."""
    largest: dict[str, float] = {}
    for case in CASES[loss].values():
        if case.tags & {"error", "nan"} or not case.quick:
            continue
        arguments = case.build(0, DTYPE)
        cotangent = case.cotangent(0, DTYPE, np.shape(DEFINITIONS[loss](**arguments)))
        runs = [DEFINITIONS[loss].evaluate(each, arguments, cotangent) for each in ARITHMETICS]
        aspects: list[tuple[str, Any, Any, Any]] = [("value", *(value for value, _ in runs))]
        aspects += [(f"gradient:{name}", *(gradients[name] for _, gradients in runs)) for name in runs[0][1]]
        for aspect, double, bounded, native in aspects:
            bound = np.broadcast_to(0.0 if bounded.error is None else bounded.error, np.shape(bounded.value))
            with np.errstate(all="ignore"):
                error = np.abs(np.asarray(native, dtype=np.float64) - double.value)
                used = error / (bound + FORMATS[DTYPE].underflow)
            used = used[np.isfinite(used) & np.isfinite(bound)]
            largest[aspect] = max(largest.get(aspect, 0.0), float(used.max(initial=0.0)))
    return largest


@pytest.mark.parametrize("loss", CASES)
def test_the_bound_is_used(loss: str) -> None:
    found = shares(loss)
    assert found
    assert min(found.values()) >= LEAST, found


def of_record(path: str) -> dict[tuple[str, str], float]:
    """Of each loss and aspect: the largest error that a record's frameworks show, as a share of e."""
    largest: dict[tuple[str, str], float] = {}
    for check in lossparity.load(path).checks:
        if check.margin is not None and check.verdict in ("match", "lossy", "dialect") and math.isfinite(check.margin):
            key = (check.loss, check.aspect)
            largest[key] = max(largest.get(key, 0.0), K * check.margin)
    return largest


def main(records: list[str]) -> None:
    """Print the table."""
    seen = [of_record(path) for path in records]
    for loss in CASES:
        for aspect, share in shares(loss).items():
            others = "".join(f"  {each.get((loss, aspect), math.nan):6.3f}" for each in seen)
            print(f"{loss:34} {aspect:20} {share:6.3f}{others}")


if __name__ == "__main__":
    main(sys.argv[1:])
