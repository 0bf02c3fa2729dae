"""Second derivatives of textbook forms: against difference quotients of exact gradients, and their running errors."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from bounds import HOSTILE, LOSSES, OPERATIONS, REAL, ROWS, directions, hostile, rounded, second_shares, share
from hypothesis import given, settings
from hypothesis import strategies as st

from lossparity.conformance.cases import Case
from lossparity.reference.arithmetic import Tape
from lossparity.reference.bounded import Bounded
from lossparity.reference.dual import Duals
from lossparity.reference.precision import FORMATS, Exact, Native

MP = mpmath.mp.clone()
MP.dps = 420  # of inputs up to 1e300, moved by 1e-60
STEP = MP.mpf(10) ** -60
# Of a row's reductions one tells enough, unless weights make a difference of them.
TWICE = [
    case
    for case in ROWS
    if LOSSES[case.loss].twice_differentiable and (not case.name.endswith("-mean") or "weight" in case.name)
]


class Moved(Exact):
    """Exact numbers, where an input stands `step` further along its direction.

    What a form takes as constant is what it was where nothing had moved: in that order it is kept in `constants`.
    """

    def __init__(self, step: Any, constants: list[Any]) -> None:
        super().__init__(MP)
        self.step, self.constants = step, constants
        self.replayed = iter(constants) if step else None

    def along(self, value: Any, direction: Any) -> Any:
        return self.lift(value) + self.step * self.lift(direction)

    def constant(self, x: Any) -> Any:
        if self.replayed is not None:
            return next(self.replayed)
        self.constants.append(x)
        return x


@pytest.mark.parametrize("case", TWICE, ids=lambda case: f"{case.loss}-{case.name}")
def test_second_derivatives_are_the_difference_quotients_of_exact_gradients(case: Case) -> None:
    loss, arguments = LOSSES[case.loss], case.build(0, "float64")
    cotangent = np.random.default_rng(3).uniform(0.5, 2.0, np.shape(loss(**arguments)))
    along = directions(loss, arguments)
    constants: list[Any] = []
    here, there, before = (
        loss.swept(Moved(step, constants), arguments, cotangent, None, along)[1] for step in (0, STEP, -STEP)
    )
    exact = loss.second(Exact(MP), arguments, along, cotangent)
    bounded = loss.second(Bounded("float64"), arguments, along, cotangent)
    smooth = 0
    for name in exact:
        ahead, behind = (there[name] - here[name]) / STEP, (here[name] - before[name]) / STEP
        error = np.broadcast_to(_error(bounded[name]), exact[name].shape)
        for got, right, left, reach in zip(*map(np.ravel, (exact[name], ahead, behind, error)), strict=True):
            if not (MP.isfinite(right) and MP.isfinite(left)) or max(abs(right), abs(left)) > 1e25:
                continue  # at the end of the domain, or where the gradient itself jumps
            if abs(right - left) <= 1e-18 * (abs(right) + abs(left)) + 1e-40:
                smooth += 1
                at_kink = reach if reach > 0.1 * abs(got) else 0.0  # its point alone has another derivative
                assert abs(got - right) <= max(1e-18 * abs(right) + 1e-40, at_kink), (name, got, right)
            else:  # the second derivative jumps: the running error reaches to both sides
                assert max(abs(got - right), abs(got - left)) <= reach * (1 + 1e-12), (name, got, left, right, reach)
    assert smooth or case.name != "plain-none"


def _error(ball: Any) -> Any:
    return 0.0 if ball.error is None else ball.error


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("case", TWICE, ids=lambda case: f"{case.loss}-{case.name}")
def test_what_a_dtype_computes_stays_within_the_bound(case: Case, dtype: str) -> None:
    for found in second_shares(LOSSES[case.loss], case.build(0, "float64"), dtype):
        assert not found.size or found.max() <= 1.0


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", [name for name in HOSTILE if LOSSES[name].twice_differentiable])
@settings(max_examples=15)
@given(data=st.data())
def test_hostile_input_stays_within_the_bound(name: str, dtype: str, data: Any) -> None:
    for found in second_shares(LOSSES[name], hostile(name, data, most=4), dtype):
        assert found.max() <= 1.0


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=15)
@given(pairs=st.lists(st.tuples(REAL, REAL), min_size=1, max_size=4))
def test_an_operation_stays_within_its_bound(name: str, dtype: str, pairs: list[tuple[float, float]]) -> None:
    # Exactly computed, 0 has no sign.
    x, y = (rounded({"x": np.array(column)}, dtype)["x"] + 0.0 for column in zip(*pairs, strict=True))
    results = []
    for arithmetic in map(Duals, (Exact(MP), Bounded(dtype), Native(dtype))):
        tape = Tape(arithmetic)
        leaves = {
            "x": tape.record(arithmetic.along(x, np.full(x.shape, -1.25)), needed=True),
            "y": tape.record(arithmetic.along(y, np.full(y.shape, 0.75)), needed=True),
        }
        with np.errstate(all="ignore"):
            z = OPERATIONS[name](leaves["x"], leaves["y"])
            gradients = tape.gradients(z, np.full(z.shape, 0.75), leaves)
            results.append([arithmetic.tangent(each) for each in (z.number, *gradients.values())])
    for exact, bounded, native in zip(*results, strict=True):
        error = np.broadcast_to(_error(bounded), np.shape(bounded.value))
        found = share(np.ravel(np.asarray(exact, dtype=object)), np.ravel(error), np.ravel(native))
        assert not found.size or found.max() <= 1.0
