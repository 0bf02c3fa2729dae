"""Reductions, the same for every loss: what each term is multiplied with, and what their sum is divided by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossparity.reference.arithmetic import Array

REDUCTIONS: dict[str, str] = {
    "none": "the weighted loss of each element",
    "sum": "their sum",
    "mean": "their sum divided by the loss's own denominator: the number of elements, or the sum of weights",
    "batchmean": "their sum divided by the size of the first axis of input",
    "sum_over_batch_size": "their sum divided by the number of elements, whatever the weights (Keras, TF v1)",
    "mean_with_sample_weight": "their sum divided by the sum of sample_weight (Keras 3)",
    "sum_by_nonzero_weights": "their sum divided by the number of elements whose sample_weight is not 0 (TF v1)",
    "sum_over_nonzero_weights": "an older name of sum_by_nonzero_weights (TF v1)",
}
COMMON = tuple(name for name in REDUCTIONS if name != "batchmean")


def reduction_of(
    shape: tuple[int, ...],
    own: Any,
    weight: Array | None,
    bound: Mapping[str, Any],
    batch: tuple[int, ...],
    add_up: Callable[[Array], Any],
) -> tuple[Array | None, Any]:
    """What multiplies each term (None: nothing), and what divides their sum (None: they are not summed).

    own: the loss's own denominator, None for the number of terms. add_up: how weights are summed.
    """
    reduction, avg_factor = bound["reduction"], bound["avg_factor"]
    if weight is not None:
        try:
            weight = np.broadcast_to(weight, shape)
        except ValueError:
            raise ValueError(
                f"sample_weight must broadcast to the terms, whose shape is {shape}; its shape is {weight.shape}"
            ) from None
    if avg_factor is not None and reduction not in ("none", "mean"):
        raise ValueError(f"avg_factor goes with reduction 'mean' or 'none'; reduction is {reduction!r}")
    if reduction == "none":
        return weight, None
    if reduction == "sum":
        return weight, 1.0
    if avg_factor is not None:
        return weight, avg_factor
    if reduction == "mean":
        return weight, float(math.prod(shape)) if own is None else own
    if reduction == "batchmean":
        return weight, float(batch[0] if batch else 1)
    if reduction == "sum_over_batch_size" or weight is None:
        return weight, float(math.prod(shape))
    if reduction == "mean_with_sample_weight":
        return weight, add_up(weight)
    return weight, float(np.count_nonzero(weight))  # sum_by_nonzero_weights, sum_over_nonzero_weights


def fold_count(shape: tuple[int, ...], bound: Mapping[str, Any]) -> int | None:
    """What the sum of the terms over their last axis is divided by; None where they are not folded."""
    if bound["average_last_axis"] and bound["sum_last_axis"]:
        raise ValueError("average_last_axis and sum_last_axis exclude each other; both are True")
    if not shape or not (bound["average_last_axis"] or bound["sum_last_axis"]):
        return None
    return shape[-1] if bound["average_last_axis"] else 1
