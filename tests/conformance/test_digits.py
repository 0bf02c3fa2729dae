"""No framework's result is `match` with more than half of its digits gone where its inputs determine them.

Of what a match returned, each number is looked at: off by more than 2^(p/2) units in the last place of a dtype of p
digits, times the condition number of that very number, it has lost what the inputs say. Such a formula has to be
declared (`computed_as`), and the verdict is then `lossy`. The quick matrix; the condition numbers in mpmath.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import mpmath
import numpy as np
import pytest
from own_process import ELSEWHERE, HERE, is_own, passes

from lossparity import adapters
from lossparity.conformance.cases import CASES
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, checks
from lossparity.conformance.record import Check
from lossparity.conformance.tolerance import ulp_error
from lossparity.reference.core import Array, Loss
from lossparity.reference.precision import FORMATS, Exact

MP = mpmath.mp.clone()
MP.prec = 1300  # e^-745 still counts beside 1
EXACT = Exact(MP)


def lost(backend: str) -> Iterator[str]:
    """Each match of a backend that has lost its digits, with its number and condition number."""
    module = adapters.load(backend)
    judge = Judge(module, 0, next(iter(adapters.BACKENDS[backend].versions().values())))
    for check in checks(backend, module, Selection(quick=True)):
        if check.aspect != "value" and not check.aspect.startswith("gradient:"):
            continue
        half = 2.0 ** (FORMATS[check.dtype].digits / 2)
        found = judge(check)
        if found.verdict == "match" and found.error_ulp is not None and found.error_ulp > half:
            yield from of_check(judge, found, half)


def of_check(judge: Judge, check: Check, half: float) -> Iterator[str]:
    loss, case = DEFINITIONS[check.loss], CASES[check.loss][check.case]
    implementation = judge.implementations[check.loss, check.implementation]
    outcome = judge.outcome(implementation, case, check.dtype, check.device, check.mode)
    expected = judge.expected(case, check.dtype, ())
    name = check.aspect.partition(":")[2]
    got = outcome.gradients[name] if name else outcome.value
    want, limit = (
        (expected.gradients[name], expected.gradient_tolerances[name])
        if name
        else (expected.value, expected.value_tolerance)
    )
    assert got is not None
    ulps = ulp_error(got, want, check.dtype)
    arguments = judge.call(case, check.dtype).arguments
    cotangent = case.cotangent(0, check.dtype, expected.value.shape)
    for place in np.argwhere((ulps > half) & np.isfinite(limit)):
        index = tuple(place.tolist())
        if abs(float(got[index]) - want[index]) <= FORMATS[check.dtype].underflow:
            continue
        number = condition(loss, arguments, cotangent, name, index)
        if ulps[index] > half * max(1.0, number):
            yield f"{check.id}{list(index)}: {got[index]!r}, want {want[index]!r}, condition number {number:.3g}"


def condition(loss: Loss, arguments: Mapping[str, Any], cotangent: Array, of: str, index: tuple[int, ...]) -> float:
    """sum_k |x_k dr/dx_k| / |r| of one number r of the value (of: "") or a gradient, over all real inputs x_k.

    By the exact change of r as x_k becomes the float beside it, on the side where it changes less: not across a kink.
    0, 1 and -1 are exact: labels, signs and probabilities that are sure. Infinite where r is 0.
    """

    def exact(moved: Mapping[str, Any], g: Array) -> Any:
        value, gradients = loss.evaluate(EXACT, moved, g)
        return np.asarray(gradients[of] if of else value, dtype=object)[index]

    here = exact(arguments, cotangent)
    if here == 0:
        return math.inf
    total = MP.mpf(0)
    inputs = {n: np.asarray(x) for n, x in arguments.items() if isinstance(x, (np.ndarray, float))}
    inputs = {n: x for n, x in inputs.items() if x.dtype.kind == "f"}
    for name, x in {**inputs, "": np.asarray(cotangent)}.items():
        x = x.astype(np.float64)
        for at in map(tuple, np.argwhere(np.isfinite(x) & (x != 0.0) & (np.abs(x) != 1.0)).tolist()):
            changes = []
            for side in (-math.inf, math.inf):
                moved = x.copy()
                moved[at] = np.nextafter(x[at], side)
                try:
                    given = moved if moved.ndim else float(moved)
                    there = exact({**arguments, name: given}, cotangent) if name else exact(arguments, moved)
                except (ValueError, ZeroDivisionError):  # beyond the domain
                    continue
                changes.append(abs((there - here) / (MP.mpf(float(moved[at])) / MP.mpf(float(x[at])) - 1)))
            total += min(changes, default=MP.mpf(0))
    return float(total / abs(here))


@pytest.mark.parametrize("backend", HERE)
def test_no_match_has_lost_its_digits(backend: str) -> None:
    missing = adapters.BACKENDS[backend].missing()
    if missing:
        pytest.skip(missing)
    assert list(lost(backend)) == []


@pytest.mark.parametrize("home", ELSEWHERE)
def test_no_match_has_lost_its_digits_elsewhere(home: str) -> None:
    if not is_own(home):
        passes(home, f"{__file__}::{test_no_match_has_lost_its_digits_elsewhere.__name__}[{home}]")
        return
    assert [each for backend in ELSEWHERE[home] for each in lost(backend)] == []


def test_a_condition_number_is_the_one_of_the_textbook() -> None:
    """Of (x - y)^2 it is 2 (|x| + |y|) / |x - y|."""
    arguments = {"input": np.array([3.0]), "target": np.array([2.5]), "reduction": "none"}
    number = condition(DEFINITIONS["mse_loss"], arguments, np.ones(1), "", (0,))
    assert number == pytest.approx(2.0 * 5.5 / 0.5, rel=1e-6)
