"""optax.losses on JAX: without weights and reductions; told, where it can be, that the classes lie along axis 1."""

import functools

import numpy as np
import optax

from lossparity.adapters import engines, formulas
from lossparity.adapters.base import Dialect, KnownIssue, Unsupported, implementations
from lossparity.reference.arithmetic import absolute, constant, exp, largest, log, log1p, minimum
from lossparity.reference.classification import cross_entropy_of

IMPLEMENTATIONS = []
implements = functools.partial(implementations(IMPLEMENTATIONS), reductions=("none",))
ENGINE = engines.load("jax")
NAMESPACES = ("optax.losses",)

_SOURCE = "https://github.com/google-deepmind/optax/blob/v0.2.8/optax/losses/"
_REGRESSION, _CLASSES, _DIVERGENCE = (f"{_SOURCE}_{name}.py" for name in ("regression", "classification", "divergence"))
_SAME_SHAPE = Dialect("same-shape", "Predictions and targets must have one shape.", _REGRESSION, raises="ValueError",
                      when=lambda call: call.arguments["input"].shape != call.arguments["target"].shape)  # fmt: skip
_HALF = Dialect("half", "Half of the square.", _REGRESSION, parameters={"sample_weight": 0.5})
_PARTS = Dialect("of-parts", "Its slope is d + delta - delta.", _REGRESSION, computed_as=formulas.huber_of_parts)


@implements("mse_loss", "optax.losses.squared_error", dialects=(_SAME_SHAPE,))
def squared_error(input, target):
    return optax.losses.squared_error(input, target)


@implements("mse_loss", "optax.losses.l2_loss", dialects=(_SAME_SHAPE, _HALF))
def l2_loss(input, target):
    return optax.losses.l2_loss(input, target)


@implements("huber_loss", "optax.losses.huber_loss", dialects=(_PARTS,))
def huber_loss(input, target, delta):
    return optax.losses.huber_loss(input, target, delta=delta)


def _two_logs(input, target, weight, pos_weight):
    """-y log p - (1 - y) log(1 - p), p = sigmoid(x), of two logarithms that nearly cancel in the slope of y."""
    tail = log1p(exp(-absolute(input)))
    return target * (tail - minimum(input, 0.0)) + (1.0 - target) * (tail - minimum(-input, 0.0))


def _normalizer(input, target, weight, ignore_index, label_smoothing, unit_targets):
    """log sum e^x less the label's logit: of a small loss beside large logits no digit is left."""
    top = constant(largest(input, 1))
    logs = input - (top + log(exp(input - top).sum(axis=1, keepdims=True)))
    return cross_entropy_of(logs, input, target, weight, ignore_index, label_smoothing, unit_targets)


def _without_factor(call):
    """As large as a slope in the label can be whose focal factor has another one; cotangents are up to 2."""
    size, gamma = np.nanmax(np.abs(call.arguments["inputs"]), initial=0.0), call.arguments["gamma"]
    most = 2.0 * ((2.0 + gamma) * size + (1.0 + gamma) * np.log(2.0))
    return -most, most


def _has(name, number):
    return lambda call: bool(np.any(call.arguments[name] == number))


def _indices(call):
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


_TWO_LOGS = Dialect("two-logarithms", "It adds up two logarithms.", _CLASSES, computed_as=_two_logs)
_SUM = Dialect("log-of-sum", "The log of 1 and a small rest.", _CLASSES, computed_as=formulas.cross_entropy_of_sum)
_NORMALIZER = Dialect("normalizer", "The label's logit is taken from log sum e^x.", _CLASSES, computed_as=_normalizer)
_MASKED = KnownIssue("masked-nan", "A logit of -inf under a probability of 0 gives NaN: 0 * inf.", _CLASSES, ">=0.2",
                     "nan", ("value",), _has("input", -np.inf))  # fmt: skip
_INDICES = Unsupported("it takes class probabilities, not indices", _indices)
_LABELS = Unsupported("it takes class indices, not probabilities", lambda call: not _indices(call))
_IGNORED = Unsupported("it has no ignore_index", lambda call: _has("target", call.arguments["ignore_index"])(call))
_HARD = KnownIssue("hard-labels", "The gradient in a label of 0 or 1 lacks the focal factor's part.", _CLASSES,
                   ">=0.2.5", aspects=("gradient:targets",), bounds=_without_factor)  # fmt: skip


@implements("binary_cross_entropy_with_logits", "optax.losses.sigmoid_binary_cross_entropy", dialects=(_TWO_LOGS,))
def sigmoid_binary_cross_entropy(input, target):
    return optax.losses.sigmoid_binary_cross_entropy(input, target)


@implements("cross_entropy", "optax.losses.softmax_cross_entropy", unsupported=(_INDICES,), dialects=(_SUM,),
            known_issues=(_MASKED,))  # fmt: skip
def softmax_cross_entropy(input, target):
    return optax.losses.softmax_cross_entropy(input, target, axis=min(input.ndim - 1, 1))


@implements("cross_entropy", "optax.losses.softmax_cross_entropy_with_integer_labels",
            unsupported=(_LABELS, _IGNORED), dialects=(_NORMALIZER,))  # fmt: skip
def softmax_cross_entropy_with_integer_labels(input, target):
    return optax.losses.softmax_cross_entropy_with_integer_labels(input, target, axis=min(input.ndim - 1, 1))


@implements("sigmoid_focal_loss", "optax.losses.sigmoid_focal_loss", known_issues=(_HARD,))
def sigmoid_focal_loss(inputs, targets, alpha, gamma):
    return optax.losses.sigmoid_focal_loss(inputs, targets, alpha=alpha if alpha >= 0 else None, gamma=gamma)


_KINK = Dialect("subgradient-half", "At the margin the slope is half that of the side that loses.", _CLASSES,
                parameters={"subgradient": 0.5}, when=lambda call: "kink" in call.tags)  # fmt: skip
_ANY_TARGET = Dialect("any-target", "Targets other than -1 and 1 are computed with.", _CLASSES, accepts=True)
_NAN = KnownIssue("nan-slope-0", "The gradient of a loss of NaN is 0.", _CLASSES, ">=0.2", "zero", ("gradient",),
                  lambda call: "nan" in call.tags)  # fmt: skip


@implements("hinge_loss", "optax.losses.hinge_loss", dialects=(_KINK, _ANY_TARGET), known_issues=(_NAN,))
def hinge_loss(input, target):
    return optax.losses.hinge_loss(input, target)


_SUMMED = Dialect("summed", "The classes are summed.", _DIVERGENCE, parameters={"sum_last_axis": True})
_LOGARITHMS = Unsupported("its targets are logarithms", lambda call: not call.arguments["log_target"])
_ZERO = KnownIssue("zero-nan", "A target of 0 gives NaN: 0 * inf.", _DIVERGENCE, ">=0.2", "nan",
                   ("value", "gradient:target"), _has("target", 0.0))  # fmt: skip


@implements("kl_div", "optax.losses.kl_divergence", dialects=(_SUMMED,), known_issues=(_ZERO,))
def kl_divergence(input, target):
    return optax.losses.kl_divergence(input, target)


@implements("kl_div", "optax.losses.kl_divergence_with_log_targets", unsupported=(_LOGARITHMS,), dialects=(_SUMMED,))
def kl_divergence_with_log_targets(input, target, log_target):
    return optax.losses.kl_divergence_with_log_targets(input, target)
