"""optax.losses on JAX: losses of each element or of each row, without weights and without reductions.

Classes lie along axis 1 in the reference, and along the last one in optax; where it takes an axis, it is told.
"""

from __future__ import annotations

import functools

import numpy as np
import optax

from lossparity.adapters import engines
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported, implementations
from lossparity.reference.arithmetic import constant, custom, exp, largest, log
from lossparity.reference.classification import cross_entropy_of

IMPLEMENTATIONS: list[Implementation] = []
implements = functools.partial(implementations(IMPLEMENTATIONS), reductions=("none",))
ENGINE = engines.load("jax")
NAMESPACES = ("optax.losses",)

_SOURCE = "https://github.com/google-deepmind/optax/blob/v0.2.8/optax/losses/"
_REGRESSION, _CLASSES = _SOURCE + "_regression.py", _SOURCE + "_classification.py"


# --- Regression

_SAME_SHAPE = Dialect(
    "same-shape",
    "Predictions and targets must have one shape.",
    _REGRESSION,
    raises="ValueError",
    when=lambda call: call.arguments["input"].shape != call.arguments["target"].shape,
)


@implements("mse_loss", "optax.losses.squared_error", dialects=(_SAME_SHAPE,))
def squared_error(input, target):
    return optax.losses.squared_error(input, target)


@implements("huber_loss", "optax.losses.huber_loss")
def huber_loss(input, target, delta):
    return optax.losses.huber_loss(input, target, delta=delta)


# --- Classification


def _indices(call: Call) -> bool:
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


def _ignored(call: Call) -> bool:
    return _indices(call) and bool(np.any(call.arguments["target"] == call.arguments["ignore_index"]))


_MASKED = KnownIssue(
    "masked-nan",
    "A logit of -inf under a probability of 0 makes the loss NaN: 0 * inf; safe_softmax_cross_entropy is for it.",
    _CLASSES,
    versions=">=0.2",
    symptom="nan",
    aspects=("value",),
    when=lambda call: bool(np.isneginf(call.arguments["input"]).any()),
)


def _of_logsumexp(input, target, weight, ignore_index, label_smoothing, unit_targets):
    """x - log sum e^x, in which the largest logit is added and taken away again."""
    axis = min(input.ndim - 1, 1)
    top = constant(largest(input, axis))
    shifted = exp(input - top)
    total = shifted.sum(axis=axis, keepdims=True)
    slopes = (input, lambda g: g - shifted / total * g.sum(axis=axis, keepdims=True))
    logs = custom(input - (top + log(total)), slopes)
    return cross_entropy_of(logs, input, target, weight, ignore_index, label_smoothing, unit_targets)


_CANCELS = Dialect(
    "cancelled-shift",
    "The label's logit is taken from the logsumexp of all: of a small loss beside large logits no digit is left.",
    _CLASSES,
    computed_as=_of_logsumexp,
)
_HARD_LABELS = KnownIssue(
    "hard-labels-gradient",
    "The gradient in a label of 0 or 1 lacks the focal factor's part: logsumexp drops what its weight of 0 meets.",
    _CLASSES,
    versions=">=0.2.5",
    bounds=lambda call: (-4.0 * np.abs(call.arguments["inputs"]).max(), 4.0 * np.abs(call.arguments["inputs"]).max()),
    aspects=("gradient:targets",),
    when=lambda call: bool(np.isin(call.arguments["targets"], (0.0, 1.0)).any()),
)


@implements("binary_cross_entropy_with_logits", "optax.losses.sigmoid_binary_cross_entropy")
def sigmoid_binary_cross_entropy(input, target):
    return optax.losses.sigmoid_binary_cross_entropy(input, target)


@implements(
    "cross_entropy",
    "optax.losses.softmax_cross_entropy",
    unsupported=(Unsupported("it takes class probabilities, not indices", _indices),),
    known_issues=(_MASKED,),
)
def softmax_cross_entropy(input, target):
    return optax.losses.softmax_cross_entropy(input, target, axis=min(input.ndim - 1, 1))


@implements(
    "cross_entropy",
    "optax.losses.softmax_cross_entropy_with_integer_labels",
    unsupported=(
        Unsupported("it takes class indices, not probabilities", lambda call: not _indices(call)),
        Unsupported("it has no ignore_index", _ignored),
    ),
    dialects=(_CANCELS,),
)
def softmax_cross_entropy_with_integer_labels(input, target):
    return optax.losses.softmax_cross_entropy_with_integer_labels(input, target, axis=min(input.ndim - 1, 1))


@implements("sigmoid_focal_loss", "optax.losses.sigmoid_focal_loss", known_issues=(_HARD_LABELS,))
def sigmoid_focal_loss(inputs, targets, alpha, gamma):
    return optax.losses.sigmoid_focal_loss(inputs, targets, alpha=alpha if alpha >= 0 else None, gamma=gamma)


_HALF = Dialect(
    "subgradient-half",
    "At the margin the slope is half that of the side that loses: JAX's maximum shares it out.",
    "https://docs.jax.dev/en/latest/_autosummary/jax.numpy.maximum.html",
    parameters={"subgradient": 0.5},
    when=lambda call: "kink" in call.tags,
)
_ANY_TARGET = Dialect(
    "any-target",
    "Targets other than -1 and 1 are computed with.",
    _CLASSES,
    accepts=True,
    when=lambda call: bool(np.any(np.abs(call.arguments["target"]) != 1.0)),
)
_NAN = KnownIssue(
    "nan-gradient-0",
    "NaN is not the larger of two: an element whose loss is NaN gets the gradient 0.",
    _CLASSES,
    versions=">=0.2",
    symptom="zero",
    aspects=("gradient",),
    when=lambda call: "nan" in call.tags,
)
_SUMMED = Dialect("summed", "The classes are summed.", _CLASSES, parameters={"sum_last_axis": True})


@implements("hinge_loss", "optax.losses.hinge_loss", dialects=(_HALF, _ANY_TARGET), known_issues=(_NAN,))
def hinge_loss(input, target):
    return optax.losses.hinge_loss(input, target)


@implements("kl_div", "optax.losses.kl_divergence", dialects=(_SUMMED,))
def kl_divergence(input, target):
    return optax.losses.kl_divergence(input, target)
