"""How far numbers moved, in units of their own tolerance, and whether an error grew beyond honest rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lossparity.conformance.record import Check, Run
from lossparity.reports.findings import HOLDING

DRIFT_FACTOR = 4.0

# A drift begins where honest kernels end. With other instruction sets (torch's generic kernels against AVX-512,
# TensorFlow without oneDNN) no check of 39,000 that became four times worse reached 0.25 of its tolerance, and no
# implementation's largest error in ULP grew by more than 1.6; below 16 ULP a factor of four is noise.
DRIFT_MARGIN = 0.25
DRIFT_ULP = 16.0

# Where a result has no tolerance: this many roundoffs of its own size.
_ROUNDOFFS = 64.0
_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
DIGEST_SIZE = 16  # a list of results so long may be a part of what there was


def movement(a: Check, b: Check) -> float:
    """How far a result moved, in tolerances: 0 not at all, up to 1 within rounding, inf where that has no size."""
    if a.result == b.result:
        return 0.0
    x, y = numbers(a.result), numbers(b.result)
    if x is None or y is None or len(x) != len(y):
        return math.inf
    return max(moves(a, b, x, y), default=0.0)


def numbers(result: Any) -> list[float] | None:
    """A kept result as numbers, None where it is something else. In a file, infinities and NaN are words."""
    if not isinstance(result, (list, tuple)):
        return None
    try:
        return [float(each) for each in result]
    except (TypeError, ValueError):
        return None


def moves(a: Check, b: Check, x: Sequence[float], y: Sequence[float]) -> list[float]:
    """Each element's move in tolerances."""
    limits = [numbers(check.limits) or [] for check in (a, b)]
    roundoff = _ROUNDOFFS * _ROUNDOFF.get(a.dtype, _ROUNDOFF["float64"])
    steps = []
    for i, (p, q) in enumerate(zip(x, y, strict=True)):
        if p == q or (math.isnan(p) and math.isnan(q)):
            steps.append(0.0)
        elif not (math.isfinite(p) and math.isfinite(q)):
            steps.append(math.inf)
        else:
            given = [limit[i] for limit in limits if i < len(limit) and math.isfinite(limit[i])]
            limit = max(given, default=roundoff * max(abs(p), abs(q)))
            steps.append(abs(p - q) / limit if limit else math.inf)
    return steps


def usual_errors(run: Run) -> dict[tuple[str, ...], float]:
    """The largest error in ULP that each implementation makes where it agrees, by loss, dtype and aspect."""
    usual: dict[tuple[str, ...], float] = {}
    for check in run.checks:
        error = check.error_ulp
        if error is not None and check.verdict in HOLDING and error > usual.get(_kin(check), 0.0):
            usual[_kin(check)] = error
    return usual


def _kin(check: Check) -> tuple[str, ...]:
    return check.loss, check.implementation, check.dtype, check.aspect


def drifted(a: Check, b: Check, usual: Mapping[tuple[str, ...], float], factor: float) -> bool:
    """Whether the error is `factor` times what it was, and more than honest rounding makes."""
    if b.verdict not in HOLDING or a.margin is None or b.margin is None or a.error_ulp is None or b.error_ulp is None:
        return False
    if b.margin >= DRIFT_MARGIN and (b.margin > factor * a.margin or b.error_ulp > factor * a.error_ulp):
        return True
    return b.error_ulp > factor * a.error_ulp and b.error_ulp > max(DRIFT_ULP, factor * usual.get(_kin(a), 0.0))
