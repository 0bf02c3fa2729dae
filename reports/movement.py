"""How far numbers moved, in units of their own tolerance, and whether an error grew beyond honest rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossparity.conformance.record import Check, Checks, Run
from lossparity.conformance.tables import Floats, Whole
from lossparity.reports.findings import HOLDING, mapping

DRIFT_FACTOR = 4.0

# A drift begins where honest kernels end. With other instruction sets (torch's generic kernels against AVX-512,
# TensorFlow without oneDNN) no check of 39,000 that became four times worse reached 0.25 of its tolerance, and no
# implementation's largest error in ULP grew by more than 1.6; below 16 ULP a factor of four is noise.
DRIFT_MARGIN = 0.25
DRIFT_ULP = 16.0

# Where a result has no tolerance: this many roundoffs of its own size.
_ROUNDOFFS = 64.0
_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_DIGEST_SIZE = 16  # a list of results so long may be a part of what there was
_KIN = ("loss", "implementation", "dtype", "aspect")  # whose errors are usual for one another


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
    # A declared loss of accuracy has a wide tolerance: what moved into it, or out of it, moved in the narrow one.
    pick = min if (a.verdict == "lossy") != (b.verdict == "lossy") else max
    roundoff = roundoffs(a.dtype)
    steps = []
    for i, (p, q) in enumerate(zip(x, y, strict=True)):
        if p == q or (math.isnan(p) and math.isnan(q)):
            steps.append(0.0)
        elif not (math.isfinite(p) and math.isfinite(q)):
            steps.append(math.inf)
        else:
            given = [limit[i] for limit in limits if i < len(limit) and math.isfinite(limit[i])]
            limit = pick(given, default=roundoff * max(abs(p), abs(q)))
            steps.append(abs(p - q) / limit if limit else math.inf)
    return steps


@dataclass(frozen=True)
class Place:
    """The element that moved most: what it was and is, and the inputs it came from where a record knows them."""

    before: float
    after: float
    at: Mapping[str, Any]

    @property
    def plain(self) -> int:
        """2 where its inputs are single numbers, 1 where they are known, 0 where not."""
        return 2 if self.at and all(isinstance(each, (int, float)) for each in self.at.values()) else int(bool(self.at))


def place(a: Check | None, b: Check | None) -> Place | None:
    """Where a result moved most; None where it did not stay a list of numbers of one length, or is empty."""
    if a is None or b is None:
        return None
    x, y = numbers(a.result), numbers(b.result)
    if x is None or y is None or len(x) != len(y) or not x:
        return None
    steps = moves(a, b, x, y)
    i = max(range(len(steps)), key=steps.__getitem__)
    for worst, number in ((mapping(b.worst), y[i]), (mapping(a.worst), x[i])):
        got = numbers([worst.get("got")])
        if got and _close(got[0], number):
            return Place(x[i], y[i], mapping(worst.get("at")))
    return Place(x[i], y[i], {})


def _close(x: float, y: float) -> bool:
    return x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= 1e-6 * abs(y)


def whole(result: Any) -> bool:
    """Whether a kept result is all that there was: of a long one some elements are missing, and None says nothing."""
    return result is not None and not (isinstance(result, (list, tuple)) and len(result) >= _DIGEST_SIZE)


def roundoffs(dtype: str) -> float:
    """The tolerance of a number that has none, as a part of its size."""
    return _ROUNDOFFS * _ROUNDOFF.get(dtype, _ROUNDOFF["float64"])


def usual_errors(run: Run) -> dict[tuple[str, ...], float]:
    """The largest error in ULP that each implementation makes where it agrees, by loss, dtype and aspect."""
    checks = Checks.of(run.checks)
    agreeing = checks.is_in("verdict", HOLDING) & (checks.numbers("error_ulp") > 0.0)
    kin, largest = _usual(checks)
    first = {int(kin[row]): row for row in np.flatnonzero(agreeing)[::-1].tolist()}
    return {_kin(checks[row]): float(largest[number]) for number, row in first.items()}


def usual_by_check(checks: Checks) -> Floats:
    """For each check what is usual among its kin; 0 where none of them agrees."""
    kin, largest = _usual(checks)
    return largest[kin]


def _usual(checks: Checks) -> tuple[Whole, Floats]:
    """For each check the number of its kin, and the largest error of each kin where it agrees."""
    keys = np.zeros(len(checks), np.int64)
    for name in _KIN:
        words, codes = checks.codes(name)
        keys = keys * len(words) + codes
    kin = np.unique(keys, return_inverse=True)[1].reshape(-1)
    largest = np.zeros(int(kin.max(initial=-1)) + 1)
    agreeing = checks.is_in("verdict", HOLDING)
    np.fmax.at(largest, kin[agreeing], checks.numbers("error_ulp")[agreeing])
    return kin, largest


def _kin(check: Check) -> tuple[str, ...]:
    return check.loss, check.implementation, check.dtype, check.aspect


def drifted(a: Check, b: Check, usual: Mapping[tuple[str, ...], float], factor: float) -> bool:
    """Whether the error is `factor` times what it was, and more than honest rounding makes."""
    if b.verdict not in HOLDING or a.margin is None or b.margin is None or a.error_ulp is None or b.error_ulp is None:
        return False
    if b.margin >= DRIFT_MARGIN and (b.margin > factor * a.margin or b.error_ulp > factor * a.error_ulp):
        return True
    return b.error_ulp > factor * a.error_ulp and b.error_ulp > max(DRIFT_ULP, factor * usual.get(_kin(a), 0.0))
