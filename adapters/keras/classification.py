"""Keras' cross entropies of classes, of logits and of probabilities, and its Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lossparity.adapters import formulas
from lossparity.adapters.base import RAISED, Call, Dialect, KnownIssue, Unsupported
from lossparity.adapters.engines.tensorflow import CROSS_ENTROPY, LABELS_TWICE, MASKED_NAN, UNIT_TARGETS, classes_last
from lossparity.adapters.keras.shared import (
    DOCS,
    EARLY,
    FLOATX_ONLY,
    INDICES_ONLY,
    NO_SAMPLES,
    PROBABILITIES_ONLY,
    REDUCTIONS,
    SAMPLES_ONLY,
    SOURCE,
    SOURCE_2,
    bounds,
    empty,
    fold,
    function,
    implements,
    per_sample,
    setup,
    weight_of,
)


def _smoothed_by_last_axis(call: Call) -> dict[str, Any]:
    target, s = call.arguments["target"], call.arguments["label_smoothing"]
    return {"target": (1.0 - s) * target + s / target.shape[-1], "label_smoothing": 0.0}


_SMOOTHED_AXIS = KnownIssue(
    "smoothing-axis",
    "label_smoothing is divided by the length of the last axis, not of the axis of the classes.",
    "https://github.com/keras-team/keras/issues/23451",
    versions=">=2.13,!=2.14.*,!=2.15.*",
    parameters=_smoothed_by_last_axis,
    aspects=("value", "gradient:input"),  # the target's does not depend on the length
    when=lambda call: call.arguments["label_smoothing"] > 0.0 and call.arguments["input"].ndim > 2,
)


def _one_class(name: str = "one-class", **answer: Any) -> KnownIssue:
    return KnownIssue(
        name,
        "Logits of a single class and their labels are given one rank, and then do not fit each other.",
        "https://github.com/keras-team/keras/blob/v3.3.0/keras/src/losses/loss.py",
        when=lambda call: call.arguments["input"].shape[1:] == (1,),
        **answer,
    )


_ONE_CLASS = (
    _one_class(versions="<3.4,!=3.0.0,!=3.0.1,!=3.0.2,!=3.0.3,!=3.0.4", raises="ValueError", aspects=RAISED),
    _one_class("one-class-reshaped", versions=">=3.0,<3.0.5", raises="InvalidArgumentError", aspects=RAISED),
)
_ONE_CLASS_TWIN = _one_class(versions="<3.4", symptom="twin", aspects=("twin",))  # its class raises, it does not


def _counted(call: Call) -> dict[str, Any]:
    """Every sample weighed by n / (n + 1e-7), n being the number of the labels that are not ignored."""
    target, weight = call.arguments["target"], weight_of(call)
    count = np.count_nonzero(target != call.arguments["ignore_index"])
    return {"sample_weight": (np.ones(target.shape) if weight is None else weight) * (count / (count + 1e-7))}


_COUNT_PLUS_EPSILON = Dialect(
    "count-plus-epsilon",
    "The mean over the labels that are not ignored divides by their number and 1e-7.",
    "https://github.com/keras-team/keras/blob/v3.12.0/keras/src/losses/loss.py",
    parameters=_counted,
    when=lambda call: call.dtype == "float64" and call.arguments["reduction"] not in ("none", "sum"),
    versions=">=3.4,<3.13",
)
_NO_BATCH = Dialect(
    "no-scalar-mask",
    "One label alone cannot be ignored.",
    SOURCE_2 + "backend.py",
    raises="ValueError",
    when=lambda call: call.arguments["input"].ndim == 1,
    versions="<3",
)
_SOFT: dict[str, Any] = {
    "dialects": (UNIT_TARGETS, CROSS_ENTROPY),
    "known_issues": (MASKED_NAN, LABELS_TWICE, _SMOOTHED_AXIS),
    "lacks": {"weight": "it has no weights of classes"},
}


@implements(
    "cross_entropy",
    "keras.losses.CategoricalCrossentropy",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, PROBABILITIES_ONLY),
    twin=function(
        "keras.losses.categorical_crossentropy",
        lambda input, target, label_smoothing: keras.losses.categorical_crossentropy(
            target, input, from_logits=True, label_smoothing=label_smoothing, axis=min(input.ndim - 1, 1)
        ),
        unsupported=(PROBABILITIES_ONLY,),
    ),
    **_SOFT,
)
def categorical_crossentropy_class(  # type: ignore[no-untyped-def]
    input, target, reduction, label_smoothing, sample_weight=None
):
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=label_smoothing, axis=min(input.ndim - 1, 1), **setup(input, reduction)
    )
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "cross_entropy",
    "keras.losses.SparseCategoricalCrossentropy",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, INDICES_ONLY),
    dialects=(
        Dialect(
            "all-ignored",
            "The mean is 0 where every label is ignored.",
            SOURCE + "losses/loss.py#L136",
            parameters={"zero_division": 0.0},
            when=lambda call: bool(np.all(call.arguments["target"] == call.arguments["ignore_index"])),
        ),
        _NO_BATCH,
        CROSS_ENTROPY,
        _COUNT_PLUS_EPSILON,
    ),
    known_issues=(empty(folded=None), *_ONE_CLASS),
    lacks={"weight": "it has no weights of classes"},
    twin=function(
        "keras.losses.sparse_categorical_crossentropy",
        lambda input, target, ignore_index: keras.losses.sparse_categorical_crossentropy(
            target, classes_last(input), from_logits=True, ignore_class=ignore_index
        ),
        unsupported=(INDICES_ONLY,),
        dialects=(_NO_BATCH, CROSS_ENTROPY),
        known_issues=(_ONE_CLASS_TWIN,),
    ),
)
def sparse_categorical_crossentropy_class(  # type: ignore[no-untyped-def]
    input, target, reduction, ignore_index, sample_weight=None
):
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=ignore_index, **setup(input, reduction)
    )
    return loss(target, classes_last(input), sample_weight=sample_weight)


# --- Of probabilities


def average(y_pred: Any, normalize: bool, sample_weight: Any) -> dict[str, Any]:
    """log_loss's `normalize` as a reduction."""
    mean = "sum_over_batch_size" if sample_weight is None else "mean_with_sample_weight"
    return setup(y_pred, mean if normalize else "sum")


_LOG_LOSS_UNSUPPORTED = (
    FLOATX_ONLY,
    Unsupported("it takes a column for each class", lambda call: call.arguments["y_pred"].ndim == 1),
    Unsupported(
        "its mean does not divide by the sum of the weights",
        lambda call: weight_of(call) is not None and call.arguments["normalize"],
        versions="<3.7",
    ),
)


@implements(
    "log_loss",
    "keras.losses.CategoricalCrossentropy",
    unsupported=_LOG_LOSS_UNSUPPORTED,
    dialects=(
        Dialect(
            "renormalized",
            "Each row is divided by its sum, then clipped to [1e-7, 1 - 1e-7], with no gradient beyond.",
            SOURCE + "backend/tensorflow/nn.py",
            parameters=lambda call: {"renormalize": "before_clip", "clip": bounds(call)},
        ),
    ),
)
def log_loss_of_one_hot(y_true, y_pred, normalize, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.CategoricalCrossentropy(**average(y_pred, normalize, sample_weight))
    return loss(tf.one_hot(y_true, y_pred.shape[1], dtype=y_pred.dtype), y_pred, sample_weight=sample_weight)


@implements(
    "log_loss",
    "keras.losses.SparseCategoricalCrossentropy",
    unsupported=_LOG_LOSS_UNSUPPORTED,
    dialects=(
        Dialect(
            "renormalized",
            "Each row is clipped to [1e-7, 1 - 1e-7], with no gradient beyond, then divided by its sum.",
            SOURCE + "backend/tensorflow/nn.py",
            parameters=lambda call: {"renormalize": "after_clip", "clip": bounds(call)},
        ),
        Dialect(
            "softmax-of-log",
            "Each row is divided by its sum as the softmax of its logarithm, whose second derivative loses a digit of "
            "a small probability.",
            SOURCE + "backend/tensorflow/nn.py",
            computed_as=formulas.log_loss_of_softmax,
        ),
    ),
)
def log_loss_of_indices(y_true, y_pred, normalize, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.SparseCategoricalCrossentropy(**average(y_pred, normalize, sample_weight))
    return loss(y_true, y_pred, sample_weight=sample_weight)


_SUM = Dialect(
    "summed",
    "The last axis, the classes, is summed before weights and reduction.",
    DOCS + "probabilistic_losses/#kldivergence-class",
    parameters=lambda call: {
        "sum_last_axis": True,
        # The first axis is not the only one of the samples where there are more than two.
        "reduction": call.arguments["reduction"].replace("batchmean", "sum_over_batch_size"),
        **fold(call),
    },
    when=lambda call: call.arguments["reduction"] != "sum",
)
_CLIP_BOTH = Dialect(
    "clip",
    "Both probabilities are clipped to [1e-7, 1], with no gradient beyond.",
    SOURCE + "losses/losses.py",
    parameters=lambda call: {"clip": (bounds(call)[0], 1.0)},
)


_RATIO = Dialect(
    "log-of-ratio",
    "q log(q / p): the quotient is rounded before its logarithm is taken, and near p = q that cancels.",
    SOURCE + "losses/losses.py",
    computed_as=formulas.log_of_ratio,
)


_OVERFLOWING_QUOTIENT = KnownIssue(
    "quotient-of-float16",
    "In float16 the quotient of target and prediction, or in the gradient that of prediction and target, overflows "
    "where the one below is near its bound of 1e-7: the loss, or its gradient, is infinite.",
    SOURCE + "losses/losses.py",
    versions=">=3.4",
    symptom="inf",
    aspects=("value", "gradient:input"),
    when=lambda call: (
        call.dtype == "float16"
        and bool(np.any(call.arguments["target"] == 0.0) or np.any(call.arguments["input"] < -11.0))
    ),
)


@implements(
    "kl_div",
    "keras.losses.KLDivergence",
    (*REDUCTIONS, "batchmean"),
    unsupported=(*EARLY, SAMPLES_ONLY),
    dialects=(_SUM, _CLIP_BOTH, NO_SAMPLES, _RATIO),
    known_issues=(empty(folded="sum_last_axis"), _OVERFLOWING_QUOTIENT),
    twin=function(
        "keras.losses.kl_divergence",
        lambda input, target: keras.losses.kl_divergence(target, tf.exp(input)),
        dialects=(_SUM, _CLIP_BOTH, _RATIO),
        known_issues=(_OVERFLOWING_QUOTIENT,),
    ),
)
def kl_divergence_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    # Keras takes probabilities where the reference takes their logarithms.
    loss = keras.losses.KLDivergence(**setup(input, "mean" if reduction == "batchmean" else reduction))
    return loss(target, tf.exp(input), sample_weight=per_sample(sample_weight))
