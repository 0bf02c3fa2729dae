"""Keras 2 and 3 on TensorFlow: the classes and functions of keras.losses, and the activations.

A function is the loss per sample; its class weighs and reduces that. The classes of Keras 3 cast to floatx unless they
are given a dtype, so `setup` gives them that of the input. Classes lie along the last axis here and along axis 1 in
the reference: `axis` says so where there is one, and `classes_last` moves it where there is none.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lossparity.adapters import engines, formulas
from lossparity.adapters.base import RAISED, Call, Dialect, Implementation, KnownIssue, Unsupported, implementations
from lossparity.adapters.engines.tensorflow import (
    CROSS_ENTROPY,
    LOG_SOFTMAX,
    MASKED_NAN,
    SIGMOID,
    SOFTMAX,
    SOFTMAX_ISSUES,
    UNIT_TARGETS,
    classes_last,
    zero_at_nan,
)
from lossparity.reference.precision import FORMATS

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)
ENGINE = engines.load("tensorflow")

_DOCS = "https://keras.io/api/losses/"
_SOURCE = "https://github.com/keras-team/keras/blob/v3.15.0/keras/src/"

NAMESPACES = ("keras.losses",)
LOSS_CLASSES = (keras.losses.Loss,)
EXCLUDED = {
    "keras.losses.Reduction": "the names of the reductions",
    "keras.losses.deserialize": "makes a loss of its configuration",
    "keras.losses.get": "finds a loss by its name",
    "keras.losses.serialize": "makes the configuration of a loss",
}
_SOURCE_2 = "https://github.com/keras-team/tf-keras/blob/v2.15.0/tf_keras/"


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


# --- Activations


@implements("sigmoid", "keras.activations.sigmoid", dialects=(SIGMOID,))
def sigmoid(input):  # type: ignore[no-untyped-def]
    return keras.activations.sigmoid(input)


@implements(
    "softmax",
    "keras.activations.softmax",
    dialects=(
        Dialect(
            "no-vector",
            "A vector is refused: the first axis is that of the samples.",
            _SOURCE_2 + "activations.py",
            raises="ValueError",
            when=lambda call: call.arguments["input"].ndim == 1,
            versions="<3",
        ),
        SOFTMAX,
    ),
    known_issues=SOFTMAX_ISSUES,
)
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return keras.activations.softmax(input, axis=dim)


@implements("log_softmax", "keras.activations.log_softmax", versions=">=3.0", dialects=(LOG_SOFTMAX,))
def log_softmax(input, dim):  # type: ignore[no-untyped-def]
    return keras.activations.log_softmax(input, axis=dim)


# --- What the losses share


def _weight(call: Call) -> Any:
    return call.arguments["sample_weight"]


def _input(call: Call) -> Any:
    return np.asarray(call.arguments["inputs" if "inputs" in call.arguments else "input"])


def _weighs_elements(call: Call) -> bool:
    target = call.arguments["targets" if "targets" in call.arguments else "target"]
    weight, rank = _weight(call), max(_input(call).ndim, np.ndim(target))  # a vector becomes a column beside one
    return weight is not None and (rank < 2 or per_sample(weight).ndim == rank)


def _fold(call: Call) -> dict[str, Any]:
    """The weights of the samples that are left when the last axis is folded."""
    weight = _weight(call)
    return {} if weight is None else {"sample_weight": per_sample(weight)}


AVERAGE = Dialect(
    "last-axis",
    "The last axis is averaged before weights and reduction.",
    _DOCS,
    parameters=lambda call: {"average_last_axis": True, **_fold(call)},
    when=lambda call: call.arguments["reduction"] in ("none", "sum"),
)


def _vector_against_column(call: Call) -> bool:
    return bool(call.arguments["input"].ndim == 1 and call.arguments["target"].ndim == 2)


_SQUEEZED = Dialect(
    "aligned-ranks",
    "A vector against a column does not broadcast: one takes the rank of the other.",
    _SOURCE_2 + "utils/losses_utils.py",
    parameters=lambda call: {"average_last_axis": True, "target": call.arguments["target"][:, 0]},
    when=_vector_against_column,
    versions="<3.0.5",
)
_EXPANDED = Dialect(
    "aligned-ranks",
    "A vector against a column does not broadcast: one takes the rank of the other.",
    _SOURCE + "losses/loss.py#L96",
    parameters=lambda call: {"average_last_axis": True, "input": call.arguments["input"][:, np.newaxis]},
    when=_vector_against_column,
    versions=">=3.0.5",
)
ALIGN = (_SQUEEZED, _EXPANDED)
ALIGN_IN_FUNCTION = (dataclasses.replace(_SQUEEZED, versions=">=3.0,<3.0.5"), _EXPANDED)
FUNCTION_BROADCASTS = KnownIssue(
    "class-aligns",
    "The class gives a vector and a column one rank, the function broadcasts them: two losses of one name.",
    _SOURCE_2 + "losses.py",
    versions="<3",
    symptom="twin",
    aspects=("twin",),
    when=_vector_against_column,
)
NO_WEIGHT = Dialect(
    "no-weight",
    "The mean with all weights 0 is 0.",
    _SOURCE + "losses/loss.py#L136",
    parameters={"zero_division": 0.0},
    when=lambda call: _weight(call) is not None and not np.any(_weight(call)),
    versions=">=3.7",  # before, no mean divides by weights
)
NO_SAMPLES = Dialect(
    "no-samples",
    "The mean of no samples is 0.",
    _SOURCE_2 + "utils/losses_utils.py",
    parameters={"zero_division": 0.0},
    when=lambda call: not _input(call).size,
    versions="<3",
)


def empty(folded: str | None = "average_last_axis") -> KnownIssue:
    """No samples, in a class that folds the last axis by this argument of the reference, or does not fold it."""
    return KnownIssue(
        "empty-not-reduced",
        "No samples, which have losses of shape (0,), are returned as they are instead of being reduced.",
        _SOURCE + "losses/loss.py#L120",
        versions=">=3.0",
        parameters=lambda call: {"reduction": "none", **({folded: True, **_fold(call)} if folded else {})},
        aspects=("shape", "value"),
        when=lambda call: not _input(call).size and call.arguments["reduction"] != "none",
    )


EMPTY = empty()


def _weighs_aligned(call: Call) -> bool:
    return _weight(call) is not None and _vector_against_column(call)


def _mean_for_each(call: Call) -> dict[str, Any]:
    """All samples in the place of each: the mean of a row is that of all."""
    x, y = call.arguments["input"], call.arguments["target"][:, 0]
    return {
        "input": np.tile(x, (len(x), 1)),
        "target": np.tile(y, (len(y), 1)),
        "average_last_axis": True,
        **_fold(call),
    }


ALIGNED_TOO_FAR = (
    KnownIssue(
        "weighs-nothing",
        "A column loses its axis beside a vector, so that there is one mean of all samples, which the weights of the "
        "samples do not fit.",
        _SOURCE_2 + "utils/losses_utils.py",
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
_LACKS = {
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
_CLASS: dict[str, Any] = {
    "reductions": tuple(REDUCTIONS),
    "unsupported": (*EARLY, SAMPLES_ONLY),
    "lacks": _LACKS,
}
_FUNCTION: dict[str, Any] = {"reductions": ("none",), "lacks": _LACKS}


def accepts(name: str, reason: str, when: Callable[[Call], bool]) -> Dialect:
    """What is computed although the definition refuses it."""
    return Dialect(name, reason, _SOURCE + "losses/losses.py", accepts=True, when=when)


def _bounds(call: Call) -> tuple[float, float]:
    """[epsilon, 1 - epsilon] as the dtype has it; in float32 the two are not alike."""
    round_to = FORMATS[call.dtype].round
    epsilon = keras.backend.epsilon()
    return float(round_to(epsilon)), float(round_to(1.0 - epsilon))


# --- Regression

_REGRESSION = (AVERAGE, *ALIGN, NO_SAMPLES, NO_WEIGHT)
_REGRESSION_ISSUES = (EMPTY, *ALIGNED_TOO_FAR)
_REGRESSION_FUNCTION: dict[str, Any] = {
    "dialects": (AVERAGE, *ALIGN_IN_FUNCTION),
    "known_issues": (FUNCTION_BROADCASTS,),
    **_FUNCTION,
}


@implements(
    "l1_loss", "keras.losses.MeanAbsoluteError", dialects=_REGRESSION, known_issues=_REGRESSION_ISSUES, **_CLASS
)
def mean_absolute_error_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.MeanAbsoluteError(**setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "l1_loss",
    "keras.losses.mean_absolute_error",
    twin="keras.losses.MeanAbsoluteError",
    **_REGRESSION_FUNCTION,
)
def mean_absolute_error(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.mean_absolute_error(target, input)


@implements(
    "mse_loss", "keras.losses.MeanSquaredError", dialects=_REGRESSION, known_issues=_REGRESSION_ISSUES, **_CLASS
)
def mean_squared_error_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.MeanSquaredError(**setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "mse_loss",
    "keras.losses.mean_squared_error",
    twin="keras.losses.MeanSquaredError",
    **_REGRESSION_FUNCTION,
)
def mean_squared_error(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.mean_squared_error(target, input)


_FLOATX = Dialect(
    "floatx",
    "Prediction and target are cast to floatx, which is float32, and so the loss is float32.",
    _SOURCE_2 + "losses.py",
    dtype="float32",
    when=lambda call: call.dtype == "float64",
    versions="<3",
)
_FLOAT32_DELTA = KnownIssue(
    "float32-delta",
    "delta becomes a float32 tensor, which does not go with float64 predictions.",
    "https://github.com/keras-team/keras/blob/v3.3.0/keras/src/losses/losses.py",
    versions=">=3.0,<3.4",
    raises="InvalidArgumentError",
    aspects=RAISED,
    when=lambda call: call.dtype == "float64",
)
_INFINITE = KnownIssue(
    "infinite-error-nan",
    "The gradient at an infinite error is NaN: where() multiplies the slope of the branch that is not taken by 0.",
    _SOURCE + "losses/losses.py",
    versions=">=2.13",
    symptom="nan",
    aspects=("gradient",),
    when=lambda call: not np.isfinite(call.arguments["input"]).all(),
)


@implements(
    "huber_loss",
    "keras.losses.Huber",
    dialects=(
        *_REGRESSION,
        _FLOATX,
        accepts("any-delta", "A negative delta is not refused.", lambda call: call.arguments["delta"] < 0.0),
    ),
    known_issues=(*_REGRESSION_ISSUES, _INFINITE),
    **_CLASS,
)
def huber_class(input, target, reduction, delta, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.Huber(delta=delta, **setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "huber_loss",
    "keras.losses.huber",
    twin="keras.losses.Huber",
    dialects=(*_REGRESSION_FUNCTION["dialects"], _FLOATX),
    known_issues=(_INFINITE, FUNCTION_BROADCASTS, _FLOAT32_DELTA),
    **_FUNCTION,
)
def huber(input, target, delta):  # type: ignore[no-untyped-def]
    return keras.losses.huber(target, input, delta=delta)


# --- Classification: probabilities and logits of a yes

_CLIP = (
    Dialect(
        "clip",
        "Probabilities are clipped to [1e-7, 1 - 1e-7], with no gradient beyond, and 1e-7 is added in both logarithms.",
        _SOURCE_2 + "backend.py",
        parameters=lambda call: {"clip": _bounds(call), "epsilon": keras.backend.epsilon()},
        versions="<3",
    ),
    Dialect(
        "clip",
        "Probabilities are clipped to [1e-7, 1 - 1e-7], with no gradient beyond.",
        _SOURCE + "backend/tensorflow/nn.py",
        parameters=lambda call: {"clip": _bounds(call)},
        when=lambda call: bool(np.any(np.clip(call.arguments["input"], *_bounds(call)) != call.arguments["input"])),
        versions=">=3.0",
    ),
)


_DIFFERENCE = Dialect(
    "log-of-difference",
    "log(1 - p) is taken of a difference: of a p near 0 it has only the digits that p has beside 1.",
    _SOURCE + "backend/tensorflow/nn.py",
    computed_as=formulas.log_of_difference,
)


def _outside(call: Call) -> bool:
    return any(np.any((p < 0.0) | (p > 1.0)) for p in (call.arguments["input"], call.arguments["target"]))


@implements(
    "binary_cross_entropy",
    "keras.losses.BinaryCrossentropy",
    dialects=(
        AVERAGE,
        NO_SAMPLES,
        *_CLIP,
        _DIFFERENCE,
        accepts("any-probability", "A number outside [0, 1] is not refused.", _outside),
    ),
    known_issues=(EMPTY, zero_at_nan("clip_by_value")),
    **_CLASS,
)
def binary_crossentropy_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.BinaryCrossentropy(**setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "binary_cross_entropy",
    "keras.losses.binary_crossentropy",
    twin="keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE, *_CLIP, _DIFFERENCE),
    known_issues=(zero_at_nan("clip_by_value"),),
    **_FUNCTION,
)
def binary_crossentropy(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.binary_crossentropy(target, input)


@implements(
    "binary_cross_entropy_with_logits",
    "keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE, NO_SAMPLES),
    known_issues=(EMPTY,),
    **_CLASS,
)
def binary_crossentropy_of_logits_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.BinaryCrossentropy(from_logits=True, **setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "binary_cross_entropy_with_logits",
    "keras.losses.binary_crossentropy",
    twin="keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE,),
    **_FUNCTION,
)
def binary_crossentropy_of_logits(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.binary_crossentropy(target, input, from_logits=True)


_SATURATED = KnownIssue(
    "saturated-nan",
    "With gamma < 1 the gradient is NaN where the sigmoid rounds to 0 or 1: the power's slope is infinite there.",
    "https://github.com/tensorflow/tensorflow/issues/70326",
    versions=">=2.13",
    symptom="nan",
    aspects=("gradient",),
    when=lambda call: call.arguments["gamma"] < 1.0 and bool(np.any(np.abs(call.arguments["inputs"]) > 16.0)),
)


_ROUNDED = Dialect(
    "rounded-probability",
    "1 - p and 1 - p_t are differences: where a prediction is right, the digits of the modulating factor go with the "
    "logit, and beyond 37 (17 in float32) none is left.",
    _SOURCE + "losses/losses.py",
    computed_as=formulas.focal_of_probability,
)


@implements(
    "sigmoid_focal_loss",
    "keras.losses.BinaryFocalCrossentropy",
    dialects=(
        AVERAGE,
        NO_SAMPLES,
        accepts("any-alpha", "An alpha above 1 is not refused.", lambda call: call.arguments["alpha"] > 1.0),
        accepts("any-gamma", "A negative gamma is not refused.", lambda call: call.arguments["gamma"] < 0.0),
        _ROUNDED,
    ),
    known_issues=(EMPTY, _SATURATED),
    **_CLASS,
)
def binary_focal_crossentropy_class(  # type: ignore[no-untyped-def]
    inputs, targets, alpha, gamma, reduction, sample_weight=None
):
    balance = {"apply_class_balancing": True, "alpha": alpha} if alpha >= 0 else {}
    loss = keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True, **balance, **setup(inputs, reduction))
    return loss(targets, inputs, sample_weight=per_sample(sample_weight))


@implements(
    "sigmoid_focal_loss",
    "keras.losses.binary_focal_crossentropy",
    twin="keras.losses.BinaryFocalCrossentropy",
    dialects=(AVERAGE, _ROUNDED),
    known_issues=(_SATURATED,),
    **_FUNCTION,
)
def binary_focal_crossentropy(inputs, targets, alpha, gamma):  # type: ignore[no-untyped-def]
    balance = {"apply_class_balancing": True, "alpha": alpha} if alpha >= 0 else {}
    return keras.losses.binary_focal_crossentropy(targets, inputs, gamma=gamma, from_logits=True, **balance)


# --- Classification: logits of classes


def _indices(call: Call) -> bool:
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


INDICES_ONLY = Unsupported("it takes class indices, not probabilities", lambda call: not _indices(call))
PROBABILITIES_ONLY = Unsupported("it takes class probabilities, not indices", _indices)


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
_FLOAT32_MASK = Dialect(
    "float32-mask",
    "The mean over the labels that are not ignored weighs them in float32.",
    "https://github.com/keras-team/keras/blob/v3.12.0/keras/src/losses/loss.py",
    reduced_in="float32",
    when=lambda call: call.dtype == "float64" and call.arguments["reduction"] not in ("none", "sum"),
    versions=">=3.4,<3.13",
)
_NO_BATCH = Dialect(
    "no-scalar-mask",
    "One label alone cannot be ignored.",
    _SOURCE_2 + "backend.py",
    raises="ValueError",
    when=lambda call: call.arguments["input"].ndim == 1,
    versions="<3",
)
_SOFT: dict[str, Any] = {
    "dialects": (UNIT_TARGETS, CROSS_ENTROPY),
    "known_issues": (MASKED_NAN, _SMOOTHED_AXIS),
    "lacks": {"weight": "it has no weights of classes"},
}


@implements(
    "cross_entropy",
    "keras.losses.CategoricalCrossentropy",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, PROBABILITIES_ONLY),
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
    "keras.losses.categorical_crossentropy",
    ("none",),
    twin="keras.losses.CategoricalCrossentropy",
    unsupported=(PROBABILITIES_ONLY,),
    **_SOFT,
)
def categorical_crossentropy(input, target, label_smoothing):  # type: ignore[no-untyped-def]
    return keras.losses.categorical_crossentropy(
        target, input, from_logits=True, label_smoothing=label_smoothing, axis=min(input.ndim - 1, 1)
    )


@implements(
    "cross_entropy",
    "keras.losses.SparseCategoricalCrossentropy",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, INDICES_ONLY),
    dialects=(
        Dialect(
            "all-ignored",
            "The mean is 0 where every label is ignored.",
            _SOURCE + "losses/loss.py#L136",
            parameters={"zero_division": 0.0},
            when=lambda call: bool(np.all(call.arguments["target"] == call.arguments["ignore_index"])),
        ),
        _NO_BATCH,
        CROSS_ENTROPY,
        _FLOAT32_MASK,
    ),
    known_issues=(empty(folded=None), *_ONE_CLASS),
    lacks={"weight": "it has no weights of classes"},
)
def sparse_categorical_crossentropy_class(  # type: ignore[no-untyped-def]
    input, target, reduction, ignore_index, sample_weight=None
):
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=ignore_index, **setup(input, reduction)
    )
    return loss(target, classes_last(input), sample_weight=sample_weight)


@implements(
    "cross_entropy",
    "keras.losses.sparse_categorical_crossentropy",
    ("none",),
    twin="keras.losses.SparseCategoricalCrossentropy",
    unsupported=(INDICES_ONLY,),
    dialects=(_NO_BATCH, CROSS_ENTROPY),
    known_issues=(_ONE_CLASS_TWIN,),
    lacks={"weight": "it has no weights of classes"},
)
def sparse_categorical_crossentropy(input, target, ignore_index):  # type: ignore[no-untyped-def]
    return keras.losses.sparse_categorical_crossentropy(
        target, classes_last(input), from_logits=True, ignore_class=ignore_index
    )


@implements(
    "softmax_focal_loss",
    "keras.losses.CategoricalFocalCrossentropy",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, PROBABILITIES_ONLY),
    dialects=(
        Dialect(
            "clip",
            "The softmax is clipped to [1e-7, 1 - 1e-7], with no gradient beyond.",
            _SOURCE + "losses/losses.py",
            parameters=lambda call: {"clip": _bounds(call)},
        ),
        accepts("any-gamma", "A negative gamma is not refused.", lambda call: call.arguments["gamma"] < 0.0),
    ),
)
def categorical_focal_crossentropy_class(  # type: ignore[no-untyped-def]
    input, target, alpha, gamma, reduction, sample_weight=None
):
    loss = keras.losses.CategoricalFocalCrossentropy(
        alpha=alpha, gamma=gamma, from_logits=True, **setup(input, reduction)
    )
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "softmax_focal_loss",
    "keras.losses.categorical_focal_crossentropy",
    ("none",),
    twin="keras.losses.CategoricalFocalCrossentropy",
    unsupported=(PROBABILITIES_ONLY,),
    dialects=(
        Dialect(
            "clip",
            "The softmax is clipped to [1e-7, 1 - 1e-7], with no gradient beyond.",
            _SOURCE + "losses/losses.py",
            parameters=lambda call: {"clip": _bounds(call)},
        ),
    ),
)
def categorical_focal_crossentropy(input, target, alpha, gamma):  # type: ignore[no-untyped-def]
    return keras.losses.categorical_focal_crossentropy(target, input, alpha=alpha, gamma=gamma, from_logits=True)


# --- Classification: probabilities of classes


def average(y_pred: Any, normalize: bool, sample_weight: Any) -> dict[str, Any]:
    """log_loss's `normalize` as a reduction."""
    mean = "sum_over_batch_size" if sample_weight is None else "mean_with_sample_weight"
    return setup(y_pred, mean if normalize else "sum")


_LOG_LOSS_UNSUPPORTED = (
    FLOATX_ONLY,
    Unsupported("it takes a column for each class", lambda call: call.arguments["y_pred"].ndim == 1),
    Unsupported(
        "its mean does not divide by the sum of the weights",
        lambda call: _weight(call) is not None and call.arguments["normalize"],
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
            _SOURCE + "backend/tensorflow/nn.py",
            parameters=lambda call: {"renormalize": "before_clip", "clip": _bounds(call)},
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
            _SOURCE + "backend/tensorflow/nn.py",
            parameters=lambda call: {"renormalize": "after_clip", "clip": _bounds(call)},
        ),
    ),
)
def log_loss_of_indices(y_true, y_pred, normalize, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.SparseCategoricalCrossentropy(**average(y_pred, normalize, sample_weight))
    return loss(y_true, y_pred, sample_weight=sample_weight)


_SUM = Dialect(
    "summed",
    "The last axis, the classes, is summed before weights and reduction.",
    _DOCS + "probabilistic_losses/#kldivergence-class",
    parameters=lambda call: {
        "sum_last_axis": True,
        # The first axis is not the only one of the samples where there are more than two.
        "reduction": call.arguments["reduction"].replace("batchmean", "sum_over_batch_size"),
        **_fold(call),
    },
    when=lambda call: call.arguments["reduction"] != "sum",
)
_CLIP_BOTH = Dialect(
    "clip",
    "Both probabilities are clipped to [1e-7, 1], with no gradient beyond.",
    _SOURCE + "losses/losses.py",
    parameters=lambda call: {"clip": (_bounds(call)[0], 1.0)},
)


_RATIO = Dialect(
    "log-of-ratio",
    "q log(q / p): the quotient is rounded before its logarithm is taken, and near p = q that cancels.",
    _SOURCE + "losses/losses.py",
    computed_as=formulas.log_of_ratio,
)


@implements(
    "kl_div",
    "keras.losses.KLDivergence",
    (*REDUCTIONS, "batchmean"),
    unsupported=(*EARLY, SAMPLES_ONLY),
    dialects=(_SUM, _CLIP_BOTH, NO_SAMPLES, _RATIO),
    known_issues=(empty(folded="sum_last_axis"),),
)
def kl_divergence_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    # Keras takes probabilities where the reference takes their logarithms.
    loss = keras.losses.KLDivergence(**setup(input, "mean" if reduction == "batchmean" else reduction))
    return loss(target, tf.exp(input), sample_weight=per_sample(sample_weight))


@implements(
    "kl_div",
    "keras.losses.kl_divergence",
    ("none",),
    twin="keras.losses.KLDivergence",
    dialects=(_SUM, _CLIP_BOTH, _RATIO),
)
def kl_divergence(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.kl_divergence(target, tf.exp(input))


# --- Classification: margins

_AUTO = accepts(
    "labels-0-1",
    "Where all labels are 0 or 1, they are taken for -1 and 1.",
    lambda call: bool(np.all(np.isin(call.arguments["target"], (0.0, 1.0)))),
)
_SUBGRADIENT = Dialect(
    "subgradient-1",
    "At the margin the slope is that of the side that loses.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/python/ops/math_grad.py",
    parameters={"subgradient": 1.0},
    when=lambda call: "kink" in call.tags,
)


@implements(
    "hinge_loss",
    "keras.losses.Hinge",
    dialects=(AVERAGE, NO_SAMPLES, _SUBGRADIENT, _AUTO),
    known_issues=(EMPTY, zero_at_nan("maximum")),
    **_CLASS,
)
def hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.Hinge(**setup(input, reduction))(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "hinge_loss",
    "keras.losses.hinge",
    twin="keras.losses.Hinge",
    dialects=(AVERAGE, _SUBGRADIENT, _AUTO),
    known_issues=(zero_at_nan("maximum"),),
    **_FUNCTION,
)
def hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.hinge(target, input)


@implements(
    "squared_hinge_loss",
    "keras.losses.SquaredHinge",
    dialects=(AVERAGE, NO_SAMPLES, _AUTO),
    known_issues=(EMPTY, zero_at_nan("maximum")),
    **_CLASS,
)
def squared_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.SquaredHinge(**setup(input, reduction))(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "squared_hinge_loss",
    "keras.losses.squared_hinge",
    twin="keras.losses.SquaredHinge",
    dialects=(AVERAGE, _AUTO),
    known_issues=(zero_at_nan("maximum"),),
    **_FUNCTION,
)
def squared_hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.squared_hinge(target, input)


_COMPETES = Dialect(
    "label-competes",
    "The label's own entry stays among the others as 0, and so the best of them is never below 0.",
    _DOCS + "hinge_losses/#categoricalhinge-class",
    parameters={"definition": "keras"},
)


@implements(
    "categorical_hinge_loss",
    "keras.losses.CategoricalHinge",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, PROBABILITIES_ONLY),
    dialects=(_COMPETES, _SUBGRADIENT),
)
def categorical_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.CategoricalHinge(**setup(input, reduction))(target, input, sample_weight=sample_weight)


@implements(
    "categorical_hinge_loss",
    "keras.losses.categorical_hinge",
    ("none",),
    twin="keras.losses.CategoricalHinge",
    unsupported=(PROBABILITIES_ONLY,),
    dialects=(_COMPETES, _SUBGRADIENT),
)
def categorical_hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.categorical_hinge(target, input)


# --- Segmentation

_SMOOTH_BELOW = Dialect(
    "smooth-below",
    "1e-7 is added to the denominator alone, so that nothing anywhere is a loss of 1.",
    _SOURCE + "losses/losses.py",
    parameters=lambda call: {"smooth": _bounds(call)[0], "smooth_numerator": 0.0},
)
_DICE: dict[str, Any] = {
    "dialects": (_SMOOTH_BELOW,),
    "lacks": {"smooth": "its smooth term is always 1e-7"},
    "versions": ">=3.4",  # before, there is none, or it takes no axis
}


@implements("dice_loss", "keras.losses.Dice", tuple(REDUCTIONS), unsupported=EARLY, **_DICE)
def dice_class(input, target, reduction, axis):  # type: ignore[no-untyped-def]
    return keras.losses.Dice(axis=axis, **setup(input, reduction))(target, input)


@implements(
    "dice_loss",
    "keras.losses.dice",
    ("none",),
    twin="keras.losses.Dice",
    **_DICE,
)
def dice(input, target, axis):  # type: ignore[no-untyped-def]
    return keras.losses.dice(target, input, axis=axis)
