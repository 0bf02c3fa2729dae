"""Keras 2 and 3 on TensorFlow: the classes and functions of keras.losses, and the activations.

A function is the loss per sample; its class weighs and reduces that. The classes of Keras 3 cast to floatx unless they
are given a dtype, so `setup` gives them that of the input. Classes lie along the last axis here and along axis 1 in
the reference: `axis` says so where there is one, and `classes_last` moves it where there is none.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # read once, when Keras is imported

import keras
import tensorflow as tf

from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported, implementations
from lossparity.adapters.tensorflow import MASKED_NAN, ONEDNN_NAN, UNIT_TARGETS, classes_last, devices, evaluate

__all__ = ["IMPLEMENTATIONS", "MODES", "devices"]

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)
MODES = {"eager": evaluate}

_DOCS = "https://keras.io/api/losses/"
_SOURCE = "https://github.com/keras-team/keras/blob/v3.15.0/keras/src/"


def _takes(name: str, argument: str) -> bool:
    """Whether the loss class of this name is there and takes the argument."""
    found = getattr(keras.losses, name, None)
    return found is not None and argument in inspect.signature(found).parameters


def _reduces(reduction: str) -> bool:
    try:
        keras.losses.MeanSquaredError(reduction=reduction)
    except ValueError:
        return False
    return True


# Keras 2 computes in the dtype it is given. Of Keras 3, the first releases offered no dtype in the classes.
KERAS_2 = keras.__version__.startswith("2.")
HAS_DTYPE = _takes("MeanSquaredError", "dtype")
DTYPES = ("float64", "float32") if HAS_DTYPE or KERAS_2 else ("float32",)
REDUCTIONS = {
    "none": "none",
    "sum": "sum",
    "mean": "sum_over_batch_size",
    "sum_over_batch_size": "sum_over_batch_size",
    "mean_with_sample_weight": "mean_with_sample_weight",
}
if not _reduces("mean_with_sample_weight"):
    del REDUCTIONS["mean_with_sample_weight"]


def setup(input: Any, reduction: str) -> dict[str, Any]:
    """The arguments that all classes share."""
    reduction = REDUCTIONS.get(reduction, reduction)
    return {"reduction": reduction, "dtype": input.dtype.name} if HAS_DTYPE else {"reduction": reduction}


# --- Activations


@implements("sigmoid", "keras.activations.sigmoid")
def sigmoid(input):  # type: ignore[no-untyped-def]
    return keras.activations.sigmoid(input)


@implements("softmax", "keras.activations.softmax", known_issues=(ONEDNN_NAN,))
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return keras.activations.softmax(input, axis=dim)


@implements("log_softmax", "keras.activations.log_softmax", exists=hasattr(keras.activations, "log_softmax"))
def log_softmax(input, dim):  # type: ignore[no-untyped-def]
    return keras.activations.log_softmax(input, axis=dim)


# --- What the losses share


def _weight(call: Call) -> Any:
    return call.arguments["sample_weight"]


def _input(call: Call) -> Any:
    return np.asarray(call.arguments["inputs" if "inputs" in call.arguments else "input"])


def _weighs_elements(call: Call) -> bool:
    weight, rank = _weight(call), _input(call).ndim
    return weight is not None and (rank < 2 or (weight.ndim == rank and weight.shape[-1] != 1))


def _per_sample(call: Call) -> dict[str, Any]:
    """The weights in the shape of the samples: Keras drops a last axis of length 1."""
    weight = _weight(call)
    return {} if weight is None else {"sample_weight": weight[..., 0] if weight.ndim == _input(call).ndim else weight}


AVERAGE = Dialect(
    "last-axis",
    "The last axis is averaged before weights and reduction.",
    _DOCS + "regression_losses/",
    parameters=lambda call: {"average_last_axis": True, **_per_sample(call)},
    when=lambda call: call.arguments["reduction"] in ("none", "sum"),
)
NO_ELEMENTS = Dialect(
    "no-elements",
    "The mean of no elements, or with all weights 0, is 0.",
    _SOURCE + "losses/loss.py#L131",
    parameters={"zero_division": 0.0},
    when=lambda call: not _input(call).size or (_weight(call) is not None and not np.any(_weight(call))),
)
EMPTY_SUM = KnownIssue(
    "empty-not-reduced",
    "No samples, which have losses of shape (0,), are returned as they are instead of being reduced.",
    _SOURCE + "losses/loss.py#L122",
    versions=">=3.0",
    symptom="any",
    aspects=("shape", "value"),
    when=lambda call: not _input(call).size and call.arguments["reduction"] != "none",
)
SAMPLES_ONLY = Unsupported("it weighs samples, whole rows, not elements", _weighs_elements)
_ELEMENTWISE: dict[str, Any] = {
    "reductions": tuple(REDUCTIONS),
    "dtypes": DTYPES,
    "unsupported": (SAMPLES_ONLY,),
    "known_issues": (EMPTY_SUM,),
    "lacks": {"weight": "it weighs by sample_weight alone", "pos_weight": "it has no weight of the positives"},
}


# --- Regression


@implements("l1_loss", "keras.losses.MeanAbsoluteError", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE)
def mean_absolute_error_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.MeanAbsoluteError(**setup(input, reduction))
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "l1_loss",
    "keras.losses.mean_absolute_error",
    ("none",),
    twin="keras.losses.MeanAbsoluteError",
    dialects=(AVERAGE,),
)
def mean_absolute_error(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.mean_absolute_error(target, input)


@implements("mse_loss", "keras.losses.MeanSquaredError", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE)
def mean_squared_error_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.MeanSquaredError(**setup(input, reduction))
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "mse_loss",
    "keras.losses.mean_squared_error",
    ("none",),
    twin="keras.losses.MeanSquaredError",
    dialects=(AVERAGE,),
)
def mean_squared_error(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.mean_squared_error(target, input)


@implements("huber_loss", "keras.losses.Huber", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE)
def huber_class(input, target, reduction, delta, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.Huber(delta=delta, **setup(input, reduction))
    return loss(target, input, sample_weight=sample_weight)


@implements("huber_loss", "keras.losses.huber", ("none",), twin="keras.losses.Huber", dialects=(AVERAGE,))
def huber(input, target, delta):  # type: ignore[no-untyped-def]
    return keras.losses.huber(target, input, delta=delta)


# --- Classification: probabilities and logits of a yes


@implements("binary_cross_entropy", "keras.losses.BinaryCrossentropy", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE)
def binary_crossentropy_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.BinaryCrossentropy(**setup(input, reduction))
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "binary_cross_entropy",
    "keras.losses.binary_crossentropy",
    ("none",),
    twin="keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE,),
)
def binary_crossentropy(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.binary_crossentropy(target, input)


@implements(
    "binary_cross_entropy_with_logits",
    "keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE, NO_ELEMENTS),
    **_ELEMENTWISE,
)
def binary_crossentropy_of_logits_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.BinaryCrossentropy(from_logits=True, **setup(input, reduction))
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "binary_cross_entropy_with_logits",
    "keras.losses.binary_crossentropy",
    ("none",),
    twin="keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE,),
)
def binary_crossentropy_of_logits(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.binary_crossentropy(target, input, from_logits=True)


@implements(
    "sigmoid_focal_loss", "keras.losses.BinaryFocalCrossentropy", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE
)
def binary_focal_crossentropy_class(inputs, targets, alpha, gamma, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    balance = {"apply_class_balancing": True, "alpha": alpha} if alpha >= 0 else {}
    loss = keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True, **balance, **setup(inputs, reduction))
    return loss(targets, inputs, sample_weight=sample_weight)


@implements(
    "sigmoid_focal_loss",
    "keras.losses.binary_focal_crossentropy",
    ("none",),
    twin="keras.losses.BinaryFocalCrossentropy",
    dialects=(AVERAGE,),
)
def binary_focal_crossentropy(inputs, targets, alpha, gamma):  # type: ignore[no-untyped-def]
    balance = {"apply_class_balancing": True, "alpha": alpha} if alpha >= 0 else {}
    return keras.losses.binary_focal_crossentropy(targets, inputs, gamma=gamma, from_logits=True, **balance)


# --- Classification: probabilities and logits of classes


def _indices(call: Call) -> bool:
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


INDICES_ONLY = Unsupported("it takes class indices, not probabilities", lambda call: not _indices(call))
PROBABILITIES_ONLY = Unsupported("it takes class probabilities, not indices", _indices)
_CLASSES: dict[str, Any] = {
    "reductions": tuple(REDUCTIONS),
    "dtypes": DTYPES,
    "lacks": {"weight": "it has no weights of classes"},
}


@implements(
    "cross_entropy",
    "keras.losses.CategoricalCrossentropy",
    unsupported=(PROBABILITIES_ONLY,),
    dialects=(UNIT_TARGETS,),
    known_issues=(MASKED_NAN,),
    **_CLASSES,
)
def categorical_crossentropy_class(input, target, reduction, label_smoothing, sample_weight=None):  # type: ignore[no-untyped-def]
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
    dialects=(UNIT_TARGETS,),
    known_issues=(MASKED_NAN,),
)
def categorical_crossentropy(input, target, label_smoothing):  # type: ignore[no-untyped-def]
    return keras.losses.categorical_crossentropy(
        target, input, from_logits=True, label_smoothing=label_smoothing, axis=min(input.ndim - 1, 1)
    )


@implements(
    "cross_entropy",
    "keras.losses.SparseCategoricalCrossentropy",
    unsupported=(INDICES_ONLY,),
    dialects=(NO_ELEMENTS,),
    **_CLASSES,
)
def sparse_categorical_crossentropy_class(input, target, reduction, ignore_index, sample_weight=None):  # type: ignore[no-untyped-def]
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
)
def sparse_categorical_crossentropy(input, target, ignore_index):  # type: ignore[no-untyped-def]
    return keras.losses.sparse_categorical_crossentropy(
        target, classes_last(input), from_logits=True, ignore_class=ignore_index
    )


def average(y_pred: Any, normalize: bool, sample_weight: Any) -> dict[str, Any]:
    """log_loss's `normalize` as a reduction."""
    mean = "sum_over_batch_size" if sample_weight is None else "mean_with_sample_weight"
    return setup(y_pred, mean if normalize else "sum")


ONE_COLUMN = Unsupported("it takes a column for each class", lambda call: call.arguments["y_pred"].ndim == 1)


@implements("log_loss", "keras.losses.CategoricalCrossentropy", dtypes=DTYPES, unsupported=(ONE_COLUMN,))
def log_loss_of_one_hot(y_true, y_pred, normalize, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.CategoricalCrossentropy(**average(y_pred, normalize, sample_weight))
    return loss(tf.one_hot(y_true, y_pred.shape[1]), y_pred, sample_weight=sample_weight)


@implements("log_loss", "keras.losses.SparseCategoricalCrossentropy", dtypes=DTYPES, unsupported=(ONE_COLUMN,))
def log_loss_of_indices(y_true, y_pred, normalize, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.SparseCategoricalCrossentropy(**average(y_pred, normalize, sample_weight))
    return loss(y_true, y_pred, sample_weight=sample_weight)


@implements("kl_div", "keras.losses.KLDivergence", (*REDUCTIONS, "batchmean"), dtypes=DTYPES)
def kl_divergence_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    # Keras takes probabilities where the reference takes their logarithms.
    loss = keras.losses.KLDivergence(**setup(input, "mean" if reduction == "batchmean" else reduction))
    return loss(target, tf.exp(input), sample_weight=sample_weight)


@implements("kl_div", "keras.losses.kl_divergence", ("none",), twin="keras.losses.KLDivergence")
def kl_divergence(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.kl_divergence(target, tf.exp(input))


@implements("softmax_focal_loss", "keras.losses.CategoricalFocalCrossentropy", **_CLASSES)
def categorical_focal_crossentropy_class(input, target, alpha, gamma, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.CategoricalFocalCrossentropy(
        alpha=alpha, gamma=gamma, from_logits=True, **setup(input, reduction)
    )
    return loss(target, input, sample_weight=sample_weight)


@implements(
    "softmax_focal_loss",
    "keras.losses.categorical_focal_crossentropy",
    ("none",),
    twin="keras.losses.CategoricalFocalCrossentropy",
)
def categorical_focal_crossentropy(input, target, alpha, gamma):  # type: ignore[no-untyped-def]
    return keras.losses.categorical_focal_crossentropy(target, input, alpha=alpha, gamma=gamma, from_logits=True)


# --- Classification: margins


@implements("hinge_loss", "keras.losses.Hinge", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE)
def hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.Hinge(**setup(input, reduction))(target, input, sample_weight=sample_weight)


@implements("hinge_loss", "keras.losses.hinge", ("none",), twin="keras.losses.Hinge", dialects=(AVERAGE,))
def hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.hinge(target, input)


@implements("squared_hinge_loss", "keras.losses.SquaredHinge", dialects=(AVERAGE, NO_ELEMENTS), **_ELEMENTWISE)
def squared_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.SquaredHinge(**setup(input, reduction))(target, input, sample_weight=sample_weight)


@implements(
    "squared_hinge_loss",
    "keras.losses.squared_hinge",
    ("none",),
    twin="keras.losses.SquaredHinge",
    dialects=(AVERAGE,),
)
def squared_hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.squared_hinge(target, input)


@implements("categorical_hinge_loss", "keras.losses.CategoricalHinge", unsupported=(PROBABILITIES_ONLY,), **_CLASSES)
def categorical_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.CategoricalHinge(**setup(input, reduction))(target, input, sample_weight=sample_weight)


@implements(
    "categorical_hinge_loss",
    "keras.losses.categorical_hinge",
    ("none",),
    twin="keras.losses.CategoricalHinge",
    unsupported=(PROBABILITIES_ONLY,),
)
def categorical_hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.categorical_hinge(target, input)


# --- Segmentation


@implements("dice_loss", "keras.losses.Dice", tuple(REDUCTIONS), dtypes=DTYPES, exists=hasattr(keras.losses, "Dice"))
def dice_class(input, target, reduction, axis):  # type: ignore[no-untyped-def]
    return keras.losses.Dice(axis=axis, **setup(input, reduction))(target, input)


@implements("dice_loss", "keras.losses.dice", ("none",), twin="keras.losses.Dice", exists=hasattr(keras.losses, "dice"))
def dice(input, target, axis):  # type: ignore[no-untyped-def]
    return keras.losses.dice(target, input, axis=axis)
