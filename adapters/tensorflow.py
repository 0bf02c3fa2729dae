"""TensorFlow: tf.nn, the losses of tf.compat.v1, and the activations.

Classes lie along the last axis here and along axis 1 in the reference: where an entry point takes no axis,
`classes_last` moves it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.adapters import engines, formulas
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported, implementations
from lossparity.adapters.engines.tensorflow import (  # before tensorflow itself, whose drivers it silences
    CROSS_ENTROPY,
    LABELS_TWICE,
    LOG_SOFTMAX,
    MASKED_NAN,
    SIGMOID,
    SOFTMAX,
    SOFTMAX_ISSUES,
    UNIT_TARGETS,
    classes_last,
    zero_at_nan,
)

import tensorflow as tf  # isort: skip

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

_SOURCE = "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/python/ops/"
_V1_SOURCE = _SOURCE + "losses/losses_impl.py"

NAMESPACES = ("tf.nn", "tf.compat.v1.losses")
EXCLUDED = {
    "tf.nn.compute_average_loss": "a reduction of losses over replicas, not a loss",
    "tf.nn.scale_regularization_loss": "a reduction of losses over replicas, not a loss",
    "tf.compat.v1.losses.Reduction": "the names of the reductions",
    "tf.compat.v1.losses.add_loss": "keeps a loss in the graph's collection",
    "tf.compat.v1.losses.compute_weighted_loss": "weights and reduction alone, which every loss here is checked with",
    "tf.compat.v1.losses.get_losses": "reads the graph's collection",
    "tf.compat.v1.losses.get_regularization_loss": "reads the graph's collection",
    "tf.compat.v1.losses.get_regularization_losses": "reads the graph's collection",
    "tf.compat.v1.losses.get_total_loss": "reads the graph's collection",
}
ENGINE = engines.load("tensorflow")


# --- Activations


@implements("sigmoid", "tf.nn.sigmoid", dialects=(SIGMOID,))
def sigmoid(input):  # type: ignore[no-untyped-def]
    return tf.nn.sigmoid(input)


@implements("softmax", "tf.nn.softmax", dialects=(SOFTMAX,), known_issues=SOFTMAX_ISSUES)
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return tf.nn.softmax(input, axis=dim)


@implements("log_softmax", "tf.nn.log_softmax", dialects=(LOG_SOFTMAX,))
def log_softmax(input, dim):  # type: ignore[no-untyped-def]
    return tf.nn.log_softmax(input, axis=dim)


# --- tf.nn: no weights, no reductions


def _indices(call: Call) -> bool:
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


def _ignored(call: Call) -> bool:
    return _indices(call) and bool(np.any(call.arguments["target"] == call.arguments["ignore_index"]))


INDICES_ONLY = Unsupported("it takes class indices, not probabilities", lambda call: not _indices(call))
PROBABILITIES_ONLY = Unsupported("it takes class probabilities, not indices", _indices)
NO_IGNORE_INDEX = Unsupported("it has no ignore_index", _ignored)


@implements("binary_cross_entropy_with_logits", "tf.nn.sigmoid_cross_entropy_with_logits", ("none",))
def sigmoid_cross_entropy_with_logits(input, target):  # type: ignore[no-untyped-def]
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=input)


@implements(
    "binary_cross_entropy_with_logits",
    "tf.nn.weighted_cross_entropy_with_logits",
    ("none",),
    dialects=(
        Dialect(
            "cancelling-tail",
            "Computed as (1 - y) x + c (log1p(e^-|x|) + max(-x, 0)), which for y = 0 and a negative logit is a "
            "difference of two numbers of about x: no correct digit beyond a logit of -37 (-17 in float32).",
            _SOURCE + "nn_impl.py",
            computed_as=formulas.logits_minus_log_sigmoid,
        ),
    ),
    known_issues=(
        KnownIssue(
            "gradient-at-0",
            "At a logit of exactly 0 the gradient is 1 - target, not 1 / 2 - target: abs and relu each give 0 there. "
            "sigmoid_cross_entropy_with_logits has it right.",
            _SOURCE + "nn_impl.py",
            versions=">=2.13",
            parameters=lambda call: {"input": np.where(call.arguments["input"] == 0.0, 1e3, call.arguments["input"])},
            aspects=("gradient:input",),  # at 0 it is that of a large logit
            when=lambda call: bool(np.any(call.arguments["input"] == 0.0)),
        ),
    ),
)
def weighted_cross_entropy_with_logits(input, target, pos_weight=None):  # type: ignore[no-untyped-def]
    return tf.nn.weighted_cross_entropy_with_logits(
        labels=target, logits=input, pos_weight=1.0 if pos_weight is None else pos_weight
    )


@implements(
    "cross_entropy",
    "tf.nn.softmax_cross_entropy_with_logits",
    ("none",),
    unsupported=(PROBABILITIES_ONLY,),
    dialects=(UNIT_TARGETS, CROSS_ENTROPY),
    known_issues=(MASKED_NAN, LABELS_TWICE),
)
def softmax_cross_entropy_with_logits(input, target):  # type: ignore[no-untyped-def]
    return tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=input, axis=min(input.ndim - 1, 1))


@implements(
    "cross_entropy",
    "tf.nn.sparse_softmax_cross_entropy_with_logits",
    ("none",),
    unsupported=(INDICES_ONLY, NO_IGNORE_INDEX),
    dialects=(CROSS_ENTROPY,),
)
def sparse_softmax_cross_entropy_with_logits(input, target):  # type: ignore[no-untyped-def]
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=classes_last(input))


# --- tf.compat.v1.losses: weights of any shape that broadcasts, six reductions

v1 = tf.compat.v1.losses
REDUCTIONS = {
    "none": v1.Reduction.NONE,
    "sum": v1.Reduction.SUM,
    "mean": v1.Reduction.SUM_OVER_BATCH_SIZE,
    "sum_over_batch_size": v1.Reduction.SUM_OVER_BATCH_SIZE,
    "mean_with_sample_weight": v1.Reduction.MEAN,
    "sum_by_nonzero_weights": v1.Reduction.SUM_BY_NONZERO_WEIGHTS,
    "sum_over_nonzero_weights": v1.Reduction.SUM_OVER_NONZERO_WEIGHTS,
}


def weigh(reduction: str, sample_weight: Any) -> dict[str, Any]:
    """The arguments that all losses of v1 share."""
    return {
        "reduction": REDUCTIONS.get(reduction, reduction),
        "weights": 1.0 if sample_weight is None else sample_weight,
    }


def _no_elements(call: Call) -> bool:
    """Whether a mean divides by zero: nothing there, or all weights 0."""
    weight = call.arguments["sample_weight"]
    if call.arguments["reduction"] in ("none", "sum"):
        return False
    return bool(not np.size(call.arguments["input"]) or (weight is not None and not np.any(weight)))


def _shapes_differ(call: Call) -> bool:
    return bool(np.shape(call.arguments["input"]) != np.shape(call.arguments["target"]))


_ZERO_DIVISION = Dialect(
    "no-elements",
    "The mean of no elements, or with all weights 0, is 0.",
    _V1_SOURCE + "#L74",
    parameters={"zero_division": 0.0},
    when=_no_elements,
)
_NO_BROADCAST = Dialect(
    "no-broadcast",
    "Labels and predictions must have one shape.",
    _V1_SOURCE,
    raises="ValueError",
    when=_shapes_differ,
)
_FLOAT32 = Dialect(
    "float32",
    "Labels, predictions and weights are cast to float32, in which the value is computed and returned.",
    _V1_SOURCE + "#L257",
    dtype="float32",
    when=lambda call: call.dtype != "float32",
)
_REDUCED_IN_FLOAT32 = Dialect(
    "float32-reduction",
    "The losses are weighed and reduced in float32, and the result is cast back.",
    _V1_SOURCE + "#L175",
    reduced_in="float32",
    when=lambda call: call.dtype == "float64",
)
_V1: dict[str, Any] = {
    "reductions": tuple(REDUCTIONS),
    "lacks": {"weight": "its weights are sample_weight", "pos_weight": "it has no weight of the positives"},
}
_REGRESSION = (_ZERO_DIVISION, _NO_BROADCAST, _FLOAT32)


@implements("l1_loss", "tf.compat.v1.losses.absolute_difference", dialects=_REGRESSION, **_V1)
def absolute_difference(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.absolute_difference(target, input, **weigh(reduction, sample_weight))


@implements("mse_loss", "tf.compat.v1.losses.mean_squared_error", dialects=_REGRESSION, **_V1)
def mean_squared_error(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.mean_squared_error(target, input, **weigh(reduction, sample_weight))


@implements(
    "huber_loss",
    "tf.compat.v1.losses.huber_loss",
    dialects=(
        *_REGRESSION,
        Dialect(
            "any-delta",
            "A negative delta is not refused.",
            _V1_SOURCE,
            accepts=True,
            when=lambda call: call.arguments["delta"] < 0.0,
        ),
        Dialect(
            "slope-of-parts",
            "Written as q^2 / 2 + delta (|d| - q), q = min(|d|, delta): below delta the slope is q + delta - delta, "
            "which keeps of q only what it has beside delta.",
            _V1_SOURCE,
            computed_as=formulas.huber_of_parts,
        ),
    ),
    **_V1,
)
def huber_loss(input, target, reduction, delta, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.huber_loss(target, input, delta=delta, **weigh(reduction, sample_weight))


def outside(call: Call) -> bool:
    """Whether a probability is below 0 or above 1."""
    return any(bool(np.any((p < 0.0) | (p > 1.0))) for p in (call.arguments["input"], call.arguments["target"]))


@implements(
    "binary_cross_entropy",
    "tf.compat.v1.losses.log_loss",
    dialects=(
        _ZERO_DIVISION,
        _FLOAT32,
        Dialect(
            "epsilon",
            "1e-7 is added to the probabilities inside both logarithms.",
            "https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/log_loss",
            parameters={"epsilon": 1e-7},
        ),
        Dialect(
            "any-probability",
            "A number outside [0, 1] is not refused; where a logarithm is of a negative number, the loss is NaN.",
            _V1_SOURCE,
            accepts=True,
            when=outside,
        ),
    ),
    **_V1,
)
def log_loss(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.log_loss(target, input, **weigh(reduction, sample_weight))


@implements(
    "binary_cross_entropy_with_logits",
    "tf.compat.v1.losses.sigmoid_cross_entropy",
    dialects=(_ZERO_DIVISION, _REDUCED_IN_FLOAT32),
    **_V1,
)
def sigmoid_cross_entropy(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.sigmoid_cross_entropy(target, input, **weigh(reduction, sample_weight))


@implements(
    "cross_entropy",
    "tf.compat.v1.losses.softmax_cross_entropy",
    no_gradient={"target": "it stops the gradient of the labels"},
    unsupported=(PROBABILITIES_ONLY,),
    dialects=(_REDUCED_IN_FLOAT32, UNIT_TARGETS, CROSS_ENTROPY),
    known_issues=(MASKED_NAN,),
    **_V1,
)
def softmax_cross_entropy(input, target, reduction, label_smoothing, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.softmax_cross_entropy(
        classes_last(target),
        classes_last(input),
        label_smoothing=label_smoothing,
        **weigh(reduction, sample_weight),
    )


@implements(
    "cross_entropy",
    "tf.compat.v1.losses.sparse_softmax_cross_entropy",
    unsupported=(INDICES_ONLY, NO_IGNORE_INDEX),
    dialects=(_ZERO_DIVISION, _REDUCED_IN_FLOAT32, CROSS_ENTROPY),
    **_V1,
)
def sparse_softmax_cross_entropy(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.sparse_softmax_cross_entropy(target, classes_last(input), **weigh(reduction, sample_weight))


@implements(
    "hinge_loss",
    "tf.compat.v1.losses.hinge_loss",
    dialects=(
        _ZERO_DIVISION,
        _FLOAT32,
        Dialect(
            "labels-0-1",
            "Every label y becomes 2 y - 1, so that labels of -1 and 1 become -3 and 1.",
            "https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/hinge_loss",
            parameters={"labels": "binary"},
        ),
        Dialect(
            "any-label",
            "Labels of 0 and 1 are what it asks for.",
            "https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/hinge_loss",
            accepts=True,
            when=lambda call: bool(np.all(np.isin(call.arguments["target"], (0.0, 1.0)))),
        ),
    ),
    known_issues=(zero_at_nan("relu"),),
    **_V1,
)
def hinge_loss(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return v1.hinge_loss(target, input, **weigh(reduction, sample_weight))
