"""What a less accurate formula costs: the digits that are lost, and the input at which that begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lossparity.conformance.record import Check, Checks
from lossparity.reports.findings import mapping
from lossparity.reports.prose import clip, number

_BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
_INPUTS = 120  # characters


@dataclass(frozen=True)
class Lost:
    """The lossy checks of a loss in a dtype: those with the largest and the smallest error stand for all.

    names: the declarations by which they hold.
    """

    loss: str
    dtype: str
    implementations: tuple[str, ...]
    names: tuple[str, ...]
    n: int
    worst: Check
    least: Check

    @property
    def digits(self) -> str:
        """How many of the dtype's digits are lost, in words."""
        return lost_digits(self.worst)


def lost(checks: Checks) -> list[Lost]:
    """For each loss and dtype in which there are lossy checks, what is lost."""
    lossy = checks.take(checks.is_in("verdict", ["lossy"]) & checks.has("error_ulp"))
    found = []
    for (loss, dtype), n in lossy.tally("loss", "dtype").items():
        if dtype == "any":  # that a declaration is still needed
            continue
        mine = lossy.where(loss=[loss], dtype=[dtype])
        error = np.nan_to_num(mine.numbers("error_ulp"), nan=math.inf)
        declared = dict.fromkeys(name for (names,) in mine.distinct("declared")[0] for name in names)
        found.append(
            Lost(
                loss,
                dtype,
                tuple(name for (name,) in mine.tally("implementation")),
                tuple(declared),
                n,
                worst=mine[int(error.argmax())],
                least=mine[int(error.argmin())],
            )
        )
    return found


def lost_digits(check: Check) -> str:
    """How many digits an error costs: "4.9 of 7.2 digits", or "all 7.2 digits"."""
    there_are = _BITS.get(check.dtype, _BITS["float64"]) * math.log10(2.0)
    error = math.inf if check.error_ulp is None or math.isnan(check.error_ulp) else check.error_ulp
    gone = math.log10(max(error, 1.0))
    return f"all {there_are:.1f} digits" if gone > there_are - 0.05 else f"{gone:.1f} of {there_are:.1f} digits"


def inputs(check: Check) -> str:
    """The inputs at which a check's error is largest, shortened; "" where the record does not say."""
    at = mapping(mapping(check.worst).get("at"))
    return ", ".join(f"{name} = {clip(number(value), _INPUTS)}" for name, value in at.items())
