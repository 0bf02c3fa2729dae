"""The formulas that frameworks compute instead: exactly computed they are the loss, in a dtype they cost more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from lossparity.adapters.formulas import FORMULAS, log_loss_of_softmax, loss_of
from lossparity.conformance.cases import CASES
from lossparity.reference.bounded import Bounded
from lossparity.reference.precision import Exact

MP = mpmath.mp.clone()
MP.dps = 60
PAIRS = [pytest.param(name, form, id=form.__name__) for name, forms in FORMULAS.items() for form in forms]


def _numbers(result: tuple[Any, dict[str, Any]]) -> list[Any]:
    value, gradients = result
    return [np.asarray(each, dtype=object) for each in (value, *gradients.values())]


@pytest.mark.parametrize(("name", "form"), PAIRS)
def test_exactly_computed_it_is_the_loss(name: str, form: Callable[..., Any]) -> None:
    loss = loss_of(name)
    compared = 0
    for case in CASES[name].values():
        if not case.quick or case.tags & {"error", "nan", "saturated"}:
            continue  # saturated: 60 digits are too few for a difference
        arguments = case.build(0, "float64")
        cotangent = np.full(np.shape(loss(**arguments)), 0.75)
        if not all(
            np.all(np.isfinite(x)) for x in (*arguments.values(), loss(**arguments)) if isinstance(x, np.ndarray)
        ):
            continue
        exact = Exact(MP)
        one, other = (_numbers(loss.evaluate(exact, arguments, cotangent, f)) for f in (None, form))
        for mine, its in zip(one, other, strict=True):
            # At a pole (0 log 0, a power of 0) the loss's convention is not the formula's.
            finite = np.isfinite(mine.astype(np.float64) + its.astype(np.float64))
            assert np.all(np.abs(mine[finite] - its[finite]) <= (np.abs(its[finite]) + 1) * MP.mpf(10) ** -40), (
                case.name
            )
            compared += np.count_nonzero(finite)
    assert compared


@pytest.mark.parametrize(("name", "form"), PAIRS)
def test_it_costs_more_somewhere(name: str, form: Callable[..., Any]) -> None:
    """One that is never worse than the loss's own form excuses nothing."""
    loss, worse = loss_of(name), 0.0
    for case in CASES[name].values():
        if case.tags & {"error", "nan", "empty"}:
            continue
        arguments = case.build(0, "float32")
        cotangent = np.full(np.shape(loss(**arguments)), 0.75)
        own, its = (loss.evaluate(Bounded("float32"), arguments, cotangent, f) for f in (None, form))
        for mine, other in zip((own[0], *own[1].values()), (its[0], *its[1].values()), strict=True):
            with np.errstate(all="ignore"):
                ratio = np.nan_to_num((other.error or 0.0) if np.ndim(other.error) == 0 else other.error / mine.error)
            worse = max(worse, float(np.max(ratio)))
    assert worse > 4.0


@pytest.mark.parametrize("name", ["multiclass-mean", "sample-weight-some-zero-sum"])
def test_the_softmax_of_logarithms_is_the_loss_of_rows_that_are_divided_by_their_sum(name: str) -> None:
    """Its first and its second derivative, too; in float32 the second costs more."""
    loss, arguments = loss_of("log_loss"), CASES["log_loss"][name].build(0, "float32")
    arguments.update(renormalize="after_clip", clip=1e-7)
    along = {"y_pred": np.random.default_rng(2).normal(size=arguments["y_pred"].shape)}
    one, other = (_numbers(loss.evaluate(Exact(MP), arguments, None, f)) for f in (None, log_loss_of_softmax))
    own, its = (loss.second(Exact(MP), arguments, along, None, f)["y_pred"] for f in (None, log_loss_of_softmax))
    for mine, theirs in zip((*one, own), (*other, its), strict=True):
        assert np.all(np.abs(mine - theirs) <= (np.abs(theirs) + 1) * MP.mpf(10) ** -40)
    mine, theirs = (
        loss.second(Bounded("float32"), arguments, along, None, f)["y_pred"].error for f in (None, log_loss_of_softmax)
    )
    assert (theirs > mine).any()
