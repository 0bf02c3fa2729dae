"""Hypotheses that make sense for any loss: factors, and what a mean divides by."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from lossparity.conformance.diagnosis.hypotheses.row import Hypothesis, around, is_mean, mean
from lossparity.reference.core import Loss

_FACTORS = ((0.5, "half of it"), (2.0, "twice it"), (-1.0, "its negative"), (100.0, "100 times it (per cent)"))


def _weighed(arguments: Mapping[str, Any]) -> bool:
    return is_mean(arguments) and arguments.get("weight") is not None


def of_any(loss: Loss) -> Iterator[Hypothesis]:
    """Hypotheses about a loss that has a textbook form."""
    form = loss.textbook
    if form is None:
        return
    for factor, words in _FACTORS:
        scaled = around(form, functools.partial(lambda factor, terms: terms * factor, factor))
        yield Hypothesis(f"times-{factor:g}", f"the loss is {words}: multiplied by {factor:g}", form=scaled)
    if not loss.reductions:
        return
    yield Hypothesis(
        "sum-over-the-last-axis",
        "terms are summed over the last axis, and only then averaged: the mean is over rows, not over elements",
        {"sum_last_axis": True},
        when=is_mean,
    )
    yield Hypothesis(
        "mean-over-the-last-axis",
        "without a reduction the terms are averaged over the last axis: one number for each row",
        {"average_last_axis": True},
        when=lambda arguments: arguments.get("reduction") == "none",
        source="https://keras.io/api/losses/",
    )
    if "weight" in loss.arguments:

        @functools.wraps(form)
        def after(*args: Any, **arguments: Any) -> Any:
            weight = arguments.pop("weight")
            found = form(*args, weight=None, **arguments)
            terms = found[0] if isinstance(found, tuple) else found
            return mean(terms) * mean(weight)

        yield Hypothesis(
            "weight-after-the-mean",
            "the weight is applied after the mean: the unweighted mean is multiplied by the mean weight",
            form=after,
            when=_weighed,
        )
        yield Hypothesis(
            "weighted-mean-over-n",
            "the mean of weighted terms divides by their number; the definition divides by the sum of the weights",
            lambda arguments: {"avg_factor": float(_terms(loss, arguments))},
            when=_weighed,
        )
        yield Hypothesis(
            "weighted-mean-over-weights",
            "the mean of weighted terms divides by the sum of the weights; the definition divides by their number",
            lambda arguments: {"weight": None, "sample_weight": arguments["weight"], **_BY_WEIGHTS},
            when=lambda arguments: _weighed(arguments) and arguments["weight"].ndim == arguments["target"].ndim,
        )


_BY_WEIGHTS = {"reduction": "mean_with_sample_weight"}


def _terms(loss: Loss, arguments: Mapping[str, Any]) -> int:
    """How many terms a call has."""
    return int(loss(**{**arguments, "reduction": "none"}).size)
