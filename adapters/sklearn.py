"""scikit-learn's metrics. They are values without gradients, of samples (rows) with one weight each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
from sklearn import metrics

from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, implementations

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

DOCS = "https://scikit-learn.org/stable/modules/generated/sklearn.metrics."
AVERAGES = ("mean", "mean_with_sample_weight")
SUMS_TOO = (*AVERAGES, "sum")
NO_GRADIENT = {"*": "a metric of scikit-learn has no gradient"}
VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def devices() -> list[str]:
    """NumPy arrays live on the CPU."""
    return ["cpu"]


def evaluate(
    function: Callable[..., Any],
    arrays: Mapping[str, Any],
    options: Mapping[str, Any],
    differentiable: Sequence[str],
    cotangent: Callable[[tuple[int, ...]], Any],
    device: str,
) -> tuple[Any, dict[str, Any]]:
    """The value of `function`, as adapters/base.py says; no gradient is ever asked for (NO_GRADIENT)."""
    with warnings.catch_warnings():
        # Once for each case whose rows do not sum to one to the last digit.
        warnings.filterwarnings("ignore", message="The y_pred values do not sum|The y_prob values do not sum")
        value = function(**arrays, **options)
    return np.asarray(value), dict.fromkeys(differentiable)


MODES = {"eager": evaluate}


def per_sample(weight):  # type: ignore[no-untyped-def]
    """A column of weights as the vector that scikit-learn asks for; anything else as it is."""
    return weight[:, 0] if weight is not None and weight.ndim == 2 and weight.shape[1] == 1 else weight


def per_element(weight, like):  # type: ignore[no-untyped-def]
    """The weight of each element, for metrics whose samples are the elements."""
    return None if weight is None else np.broadcast_to(weight, like.shape).ravel()


# --- What all of them do differently


def _arrays(call: Call) -> list[Any]:
    return [value for value in call.arguments.values() if isinstance(value, np.ndarray)]


PYTHON_FLOAT = Dialect(
    "python-float",
    "The value is a Python float, which NumPy calls float64, whatever the dtype of the arguments.",
    "https://github.com/scikit-learn/scikit-learn/pull/30575",
    dtype="float64",
    when=lambda call: call.dtype != "float64",
)
EMPTY = Dialect(
    "no-samples",
    "No samples are refused.",
    "https://scikit-learn.org/stable/modules/generated/sklearn.utils.check_array.html",
    raises="ValueError",
    when=lambda call: any(not array.size for array in _arrays(call)),
)
FINITE = Dialect(
    "finite-only",
    "NaN and infinity are refused.",
    "https://scikit-learn.org/stable/modules/generated/sklearn.utils.check_array.html",
    raises="ValueError",
    when=lambda call: not all(np.isfinite(array).all() for array in _arrays(call)),
)
EVERYWHERE = (PYTHON_FLOAT, EMPTY, FINITE)

# --- Regression

_REGRESSION = (
    *EVERYWHERE,
    Dialect(
        "two-axes",
        "Samples and outputs: more than two axes are refused.",
        DOCS + "mean_squared_error.html",
        raises="ValueError",
        when=lambda call: call.arguments["input"].ndim > 2,
    ),
    Dialect(
        "no-broadcast",
        "Prediction and target must have one shape.",
        DOCS + "mean_squared_error.html",
        raises="ValueError",
        when=lambda call: call.arguments["input"].shape != call.arguments["target"].shape,
    ),
    Dialect(
        "sample-weight-1d",
        "A sample weighs as a whole: there is no weight for each of its outputs.",
        DOCS + "mean_squared_error.html",
        raises="ValueError",
        when=lambda call: (
            per_sample(call.arguments["sample_weight"]) is not None
            and per_sample(call.arguments["sample_weight"]).ndim > 1
        ),
    ),
)


@implements(
    "l1_loss",
    "sklearn.metrics.mean_absolute_error",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    dialects=_REGRESSION,
)
def mean_absolute_error(input, target, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.mean_absolute_error(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "mse_loss",
    "sklearn.metrics.mean_squared_error",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    dialects=_REGRESSION,
)
def mean_squared_error(input, target, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.mean_squared_error(target, input, sample_weight=per_sample(sample_weight))


# --- Classification


def _bounds(call: Call) -> tuple[float, float]:
    eps = float(np.finfo(call.dtype).eps)
    return eps, 1.0 - eps


def _clipped(argument: str) -> Dialect:
    def outside(call: Call) -> bool:
        low, high = _bounds(call)
        p = call.arguments[argument]
        return bool(np.any((p < low) | (p > high)))

    return Dialect(
        "clip",
        "Probabilities are clipped to [eps, 1 - eps], eps being that of their dtype.",
        DOCS + "log_loss.html",
        parameters=lambda call: {"clip": _bounds(call)},
        when=outside,
    )


@implements(
    "binary_cross_entropy",
    "sklearn.metrics.log_loss",
    SUMS_TOO,
    no_gradient=NO_GRADIENT,
    lacks={"weight": "it weighs by sample_weight alone"},
    dialects=(
        *EVERYWHERE,
        _clipped("input"),
        Dialect(
            "hard-labels",
            "Targets are labels: a probability between 0 and 1 is refused.",
            DOCS + "log_loss.html",
            raises="ValueError",
            when=lambda call: bool(np.any(call.arguments["target"] % 1.0)),
        ),
    ),
)
def binary_cross_entropy(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.log_loss(
        target.ravel(),
        input.ravel(),
        labels=[0, 1],
        normalize=reduction != "sum",
        sample_weight=per_element(sample_weight, like=input),
    )


@implements(
    "log_loss",
    "sklearn.metrics.log_loss",
    no_gradient=NO_GRADIENT,
    dialects=(*EVERYWHERE, _clipped("y_pred")),
)
def log_loss(y_true, y_pred, normalize, sample_weight=None, labels=None):  # type: ignore[no-untyped-def]
    return metrics.log_loss(y_true, y_pred, normalize=normalize, sample_weight=sample_weight, labels=labels)


@implements(
    "hinge_loss",
    "sklearn.metrics.hinge_loss",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    dialects=(
        *EVERYWHERE,
        Dialect(
            "any-two-labels",
            "The smaller of the two labels is taken for -1 and the larger for 1, whatever they are.",
            DOCS + "hinge_loss.html",
            accepts=True,
            when=lambda call: not set(np.unique(call.arguments["target"])) <= {-1.0, 1.0},
        ),
    ),
    known_issues=(
        KnownIssue(
            "one-label",
            "Where all labels are 1, they are taken for -1: the labels are not looked up, only told apart.",
            "https://github.com/scikit-learn/scikit-learn/blob/1.9.1/sklearn/metrics/_classification.py",
            versions=">=1.2",
            symptom="number",
            aspects=("value",),
            when=lambda call: bool(np.all(call.arguments["target"] == 1.0)),
        ),
    ),
)
def hinge_loss(input, target, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.hinge_loss(target.ravel(), input.ravel(), sample_weight=per_element(sample_weight, like=input))


@implements(
    "categorical_hinge_loss",
    "sklearn.metrics.hinge_loss",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    dialects=(
        *EVERYWHERE,
        Dialect(
            "label-indices",
            "Targets are labels: a row for each sample is refused.",
            DOCS + "hinge_loss.html",
            raises="ValueError",
            when=lambda call: call.arguments["target"].ndim > 1,
        ),
    ),
)
def categorical_hinge_loss(input, target, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.hinge_loss(target, input, labels=np.arange(input.shape[1]), sample_weight=sample_weight)
