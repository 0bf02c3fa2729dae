"""What Keras' losses have in common: weights, reductions, dtypes, and how they differ from the reference."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from lossparity.adapters.base import (
    RAISED,
    Call,
    Dialect,
    Implementation,
    KnownIssue,
    Twin,
    Unsupported,
    implementations,
    twin,
)
from lossparity.reference.precision import FORMATS

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

DOCS = "https://keras.io/api/losses/"
SOURCE = "https://github.com/keras-team/keras/blob/v3.15.0/keras/src/"
SOURCE_2 = "https://github.com/keras-team/tf-keras/blob/v2.15.0/tf_keras/"

HAS_DTYPE = "dtype" in inspect.signature(keras.losses.MeanSquaredError).parameters
REDUCTIONS = {
    "none": "none",
    "sum": "sum",
    "mean": "sum_over_batch_size",
    "sum_over_batch_size": "sum_over_batch_size",
    "mean_with_sample_weight": "mean_with_sample_weight",
}


def setup(input: Any, reduction: str) -> dict[str, Any]:
    """The arguments that all classes share."""
    reduction = REDUCTIONS.get(reduction, reduction)
    return {"reduction": reduction, "dtype": input.dtype.name} if HAS_DTYPE else {"reduction": reduction}


def per_sample(weight: Any) -> Any:
    """The weights of samples: one of length 1 along the last axis, which Keras averages away, goes without it."""
    return weight if weight is None or weight.ndim < 2 or weight.shape[-1] != 1 else weight[..., 0]


# --- What the losses do alike


def weight_of(call: Call) -> Any:
    return call.arguments["sample_weight"]


def input_of(call: Call) -> Any:
    return np.asarray(call.arguments["inputs" if "inputs" in call.arguments else "input"])


def _weighs_elements(call: Call) -> bool:
    target = call.arguments["targets" if "targets" in call.arguments else "target"]
    weight, rank = weight_of(call), max(input_of(call).ndim, np.ndim(target))  # a vector becomes a column beside one
    return weight is not None and (rank < 2 or per_sample(weight).ndim == rank)


def fold(call: Call) -> dict[str, Any]:
    """The weights of the samples that are left when the last axis is folded."""
    weight = weight_of(call)
    return {} if weight is None else {"sample_weight": per_sample(weight)}


AVERAGE = Dialect(
    "last-axis",
    "The last axis is averaged before weights and reduction.",
    DOCS,
    parameters=lambda call: {"average_last_axis": True, **fold(call)},
    when=lambda call: call.arguments["reduction"] in ("none", "sum"),
)


def _vector_against_column(call: Call) -> bool:
    return bool(call.arguments["input"].ndim == 1 and call.arguments["target"].ndim == 2)


_SQUEEZED = Dialect(
    "aligned-ranks",
    "A vector against a column does not broadcast: one takes the rank of the other.",
    SOURCE_2 + "utils/losses_utils.py",
    parameters=lambda call: {"average_last_axis": True, "target": call.arguments["target"][:, 0]},
    when=_vector_against_column,
    versions="<3.0.5",
)
_EXPANDED = Dialect(
    "aligned-ranks",
    "A vector against a column does not broadcast: one takes the rank of the other.",
    SOURCE + "losses/loss.py#L96",
    parameters=lambda call: {"average_last_axis": True, "input": call.arguments["input"][:, np.newaxis]},
    when=_vector_against_column,
    versions=">=3.0.5",
)
ALIGN = (_SQUEEZED, _EXPANDED)
ALIGN_IN_FUNCTION = (dataclasses.replace(_SQUEEZED, versions=">=3.0,<3.0.5"), _EXPANDED)
FUNCTION_BROADCASTS = KnownIssue(
    "class-aligns",
    "The class gives a vector and a column one rank, the function broadcasts them: two losses of one name.",
    SOURCE_2 + "losses.py",
    versions="<3",
    symptom="twin",
    aspects=("twin",),
    when=_vector_against_column,
)
NO_WEIGHT = Dialect(
    "no-weight",
    "The mean with all weights 0 is 0.",
    SOURCE + "losses/loss.py#L136",
    parameters={"zero_division": 0.0},
    when=lambda call: weight_of(call) is not None and not np.any(weight_of(call)),
    versions=">=3.7",  # before, no mean divides by weights
)
NO_SAMPLES = Dialect(
    "no-samples",
    "The mean of no samples is 0.",
    SOURCE_2 + "utils/losses_utils.py",
    parameters={"zero_division": 0.0},
    when=lambda call: not input_of(call).size,
    versions="<3",
)


def empty(folded: str | None = "average_last_axis") -> KnownIssue:
    """No samples, in a class that folds the last axis by this argument of the reference, or does not fold it."""
    return KnownIssue(
        "empty-not-reduced",
        "No samples, which have losses of shape (0,), are returned as they are instead of being reduced.",
        SOURCE + "losses/loss.py#L120",
        versions=">=3.0",
        parameters=lambda call: {"reduction": "none", **({folded: True, **fold(call)} if folded else {})},
        aspects=("shape", "value"),
        when=lambda call: not input_of(call).size and call.arguments["reduction"] != "none",
    )


EMPTY = empty()


def _weighs_aligned(call: Call) -> bool:
    return weight_of(call) is not None and _vector_against_column(call)


def _mean_for_each(call: Call) -> dict[str, Any]:
    """All samples in the place of each: the mean of a row is that of all."""
    x, y = call.arguments["input"], call.arguments["target"][:, 0]
    return {
        "input": np.tile(x, (len(x), 1)),
        "target": np.tile(y, (len(y), 1)),
        "average_last_axis": True,
        **fold(call),
    }


ALIGNED_TOO_FAR = (
    KnownIssue(
        "weighs-nothing",
        "A column loses its axis beside a vector, so that there is one mean of all samples, which the weights of the "
        "samples do not fit.",
        SOURCE_2 + "utils/losses_utils.py",
        versions="<3",
        raises="InvalidArgumentError",
        aspects=RAISED,
        when=_weighs_aligned,
    ),
    KnownIssue(
        "weighs-the-mean",
        "A column loses its axis beside a vector, so that the mean of all samples meets the weight of each.",
        "https://github.com/keras-team/keras/releases/tag/v3.0.5",
        versions=">=3.0,<3.0.5",
        parameters=_mean_for_each,
        when=_weighs_aligned,
    ),
)
SAMPLES_ONLY = Unsupported("it weighs samples, whole rows, not elements", _weighs_elements)
LACKS = {
    "weight": "it weighs by sample_weight alone",
    "pos_weight": "it has no weight of the positives",
    "avg_factor": "it divides by the number of samples or by their weights",
}
# Keras 2 computes in the dtype it is given.
FLOATX_ONLY = Unsupported(
    "it computes in floatx alone; its classes take a dtype since Keras 3.4",
    lambda call: call.dtype != "float32",
    versions=">=3.0,<3.4",
)
NO_WEIGHTED_MEAN = Unsupported(
    "no mean divides by the weights before Keras 3.7",
    lambda call: call.arguments["reduction"] == "mean_with_sample_weight",
    versions="<3.7",
)
EARLY = (FLOATX_ONLY, NO_WEIGHTED_MEAN)
CLASS: dict[str, Any] = {
    "reductions": tuple(REDUCTIONS),
    "unsupported": (*EARLY, SAMPLES_ONLY),
    "lacks": LACKS,
}


def function(name: str, call: Callable[..., Any], **differs: Any) -> Twin:
    """The function within a class: the loss of each sample, and so neither reductions nor what comes with them."""
    return twin(name, call, **{"reductions": ("none",), "unsupported": (), **differs})


def accepts(name: str, reason: str, when: Callable[[Call], bool]) -> Dialect:
    """What is computed although the definition refuses it."""
    return Dialect(name, reason, SOURCE + "losses/losses.py", accepts=True, when=when)


def bounds(call: Call) -> tuple[float, float]:
    """[epsilon, 1 - epsilon] as the dtype has it; in float32 the two are not alike."""
    round_to = FORMATS[call.dtype].round
    epsilon = keras.backend.epsilon()
    return float(round_to(epsilon)), float(round_to(1.0 - epsilon))


def indices(call: Call) -> bool:
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


INDICES_ONLY = Unsupported("it takes class indices, not probabilities", lambda call: not indices(call))
PROBABILITIES_ONLY = Unsupported("it takes class probabilities, not indices", indices)
