"""TensorFlow: tf.nn, the losses of tf.compat.v1, and the activations.

TensorFlow's tensors have no strides, so that of an array's memory layout only the numbers arrive. Classes lie along
the last axis here and along axis 1 in the reference: where an entry point takes no axis, `classes_last` moves it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else half a page about drivers on every import

import tensorflow as tf

from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported, implementations

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


def devices() -> list[str]:
    """The logical devices, the first CPU first: cpu, cpu:1, cuda:0."""
    kinds = {"CPU": "cpu", "GPU": "cuda"}
    found = [device.name.split(":")[-2:] for device in tf.config.list_logical_devices()]
    names = [f"{kinds[kind]}:{index}" for kind, index in found if kind in kinds]
    return sorted(("cpu" if name == "cpu:0" else name for name in names), key=lambda name: (name[:3] != "cpu", name))


def _warn(record: logging.LogRecord) -> bool:
    """Turn a logged deprecation ("From file:line: ...") into a warning; let other records pass."""
    said = record.getMessage()
    if "deprecated" not in said:
        return True
    warnings.warn(re.sub(r"^From \S+: ", "", said), DeprecationWarning, stacklevel=2)
    return False


@contextlib.contextmanager
def deprecations() -> Iterator[None]:
    """TensorFlow logs, once in a process, what it is going to remove: here that is a warning, as it is elsewhere."""
    logger = tf.get_logger()
    logger.addFilter(_warn)
    try:
        yield
    finally:
        logger.removeFilter(_warn)


def evaluate(
    function: Callable[..., Any],
    arrays: Mapping[str, Any],
    options: Mapping[str, Any],
    differentiable: Sequence[str],
    cotangent: Callable[[tuple[int, ...]], Any],
    device: str,
) -> tuple[Any, dict[str, Any]]:
    """Value and gradients of `function`, as adapters/base.py says."""
    kind, _, index = device.partition(":")
    gradients: dict[str, Any] = dict.fromkeys(differentiable)
    with deprecations(), tf.device(f"{'GPU' if kind == 'cuda' else 'CPU'}:{index or 0}"):
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        leaves = [tensors[name] for name in differentiable]
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            value = function(**tensors, **options)
        if differentiable:
            seed = tf.constant(np.asarray(cotangent(tuple(value.shape))), dtype=value.dtype)
            for name, gradient in zip(differentiable, tape.gradient(value, leaves, seed), strict=True):
                gradients[name] = None if gradient is None else np.asarray(tf.convert_to_tensor(gradient))
    return np.asarray(value), gradients


MODES = {"eager": evaluate}


def zero_at_nan(function: str) -> KnownIssue:
    """What the gradient of a comparison does with NaN, for which every comparison is false."""
    return KnownIssue(
        "nan-gradient-0",
        f"The gradient of {function} at NaN is 0: a NaN in the prediction leaves the weights that made it as they are.",
        _SOURCE,
        versions=">=2.13",
        symptom="zero",
        aspects=("gradient:input",),
        when=lambda call: bool(np.isnan(call.arguments["input"]).any()),
    )


def classes_last(tensor: Any) -> Any:
    """The tensor with its axis 1, the classes of the reference, moved to the end."""
    return tensor if tensor.ndim < 3 else tf.transpose(tensor, [0, *range(2, tensor.ndim), 1])


# --- Activations


@implements("sigmoid", "tf.nn.sigmoid")
def sigmoid(input):  # type: ignore[no-untyped-def]
    return tf.nn.sigmoid(input)


def _onednn() -> bool:
    """Whether oneDNN's kernels are used on the CPU: that depends on the processor and on TF_ENABLE_ONEDNN_OPTS."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


_ONEDNN_NAN = KnownIssue(
    "onednn-nan",
    "In float32 on the CPU, oneDNN's softmax turns a row that holds NaN into zeros around the NaN.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/kernels/mkl/mkl_softmax_op.cc",
    versions=">=2.13",
    symptom="zero",
    aspects=("value",),
    when=lambda call: (
        call.device.startswith("cpu") and call.dtype == "float32" and bool(np.isnan(call.arguments["input"]).any())
    ),
)
SOFTMAX_ISSUES = (_ONEDNN_NAN,) if _onednn() else ()


@implements("softmax", "tf.nn.softmax", known_issues=SOFTMAX_ISSUES)
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return tf.nn.softmax(input, axis=dim)


@implements("log_softmax", "tf.nn.log_softmax")
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
    known_issues=(
        KnownIssue(
            "gradient-at-0",
            "At a logit of exactly 0 the gradient is 1 - target, not 1 / 2 - target: abs and relu each give 0 there. "
            "sigmoid_cross_entropy_with_logits has it right.",
            _SOURCE + "nn_impl.py",
            versions=">=2.13",
            symptom="number",
            aspects=("gradient:input",),
            when=lambda call: bool(np.any(call.arguments["input"] == 0.0)),
        ),
    ),
)
def weighted_cross_entropy_with_logits(input, target, pos_weight=None):  # type: ignore[no-untyped-def]
    return tf.nn.weighted_cross_entropy_with_logits(
        labels=target, logits=input, pos_weight=1.0 if pos_weight is None else pos_weight
    )


UNIT_TARGETS = Dialect(
    "unit-targets",
    "The gradient takes each row of probabilities to sum to 1: documented to be wrong where it does not.",
    "https://www.tensorflow.org/api_docs/python/tf/nn/softmax_cross_entropy_with_logits",
    parameters={"unit_targets": True},
)
MASKED_NAN = KnownIssue(
    "masked-nan",
    "A logit of -inf under a probability of 0 makes the loss NaN: 0 * inf. Of class indices it does not.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/kernels/xent_op.h",
    versions=">=2.13",
    symptom="nan",
    aspects=("value",),
    when=lambda call: not _indices(call) and bool(np.isneginf(call.arguments["input"]).any()),
)


@implements(
    "cross_entropy",
    "tf.nn.softmax_cross_entropy_with_logits",
    ("none",),
    unsupported=(PROBABILITIES_ONLY,),
    dialects=(UNIT_TARGETS,),
    known_issues=(MASKED_NAN,),
)
def softmax_cross_entropy_with_logits(input, target):  # type: ignore[no-untyped-def]
    return tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=input, axis=min(input.ndim - 1, 1))


@implements(
    "cross_entropy",
    "tf.nn.sparse_softmax_cross_entropy_with_logits",
    ("none",),
    unsupported=(INDICES_ONLY, NO_IGNORE_INDEX),
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
    when=lambda call: call.dtype == "float64",
)
_REDUCED_IN_FLOAT32 = Dialect(
    "float32-reduction",
    "The losses are weighed and reduced in float32, and the result is cast back.",
    _V1_SOURCE + "#L175",
    precision="float32",
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
    dialects=(_REDUCED_IN_FLOAT32, UNIT_TARGETS),
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
    dialects=(_ZERO_DIVISION, _REDUCED_IN_FLOAT32),
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
