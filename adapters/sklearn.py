"""scikit-learn's metrics. They are values without gradients, of samples (rows) with one weight each."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import sklearn  # noqa: F401  its implementations are named so
from sklearn import metrics

from lossparity.adapters import engines
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported, implementations
from lossparity.reference.precision import FORMATS
from lossparity.reference.reduction import REDUCTIONS

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

DOCS = "https://scikit-learn.org/stable/modules/generated/sklearn.metrics."

NAMESPACES = ("sklearn.metrics",)
_RATIO = "a score: how much less a loss is than that of the best constant"
_COUNT = "a metric: it counts labels or ranks, and has no slope"
EXCLUDED = {
    "sklearn.metrics.PredictionErrorDisplay": "a plot",
    "sklearn.metrics.coverage_error": _COUNT,
    "sklearn.metrics.d2_absolute_error_score": _RATIO,
    "sklearn.metrics.d2_log_loss_score": _RATIO,
    "sklearn.metrics.hamming_loss": _COUNT,
    "sklearn.metrics.label_ranking_loss": _COUNT,
    "sklearn.metrics.max_error": "a metric: the one largest error, no sum over samples",
    "sklearn.metrics.median_absolute_error": "a metric: the one middle error, no sum over samples",
    "sklearn.metrics.zero_one_loss": _COUNT,
}
AVERAGES = ("mean", "mean_with_sample_weight")
SUMS_TOO = (*AVERAGES, "sum")
NO_GRADIENT = {"*": "a metric of scikit-learn has no gradient"}
ENGINE = engines.load("numpy")


def per_sample(weight: Any) -> Any:
    """A column of weights as the vector that scikit-learn asks for; anything else as it is."""
    return weight[:, 0] if weight is not None and weight.ndim == 2 and weight.shape[1] == 1 else weight


def per_element(weight: Any, like: Any) -> Any:
    """The weight of each element, for metrics whose samples are the elements."""
    return None if weight is None else np.broadcast_to(weight, like.shape).ravel()


# --- What they do differently


def _arrays(call: Call) -> list[Any]:
    return [value for value in call.arguments.values() if isinstance(value, np.ndarray)]


FLOAT = Dialect(
    "python-float",
    "The value is a double, whatever the dtype of the arguments.",
    "https://github.com/scikit-learn/scikit-learn/pull/30575",
    dtype="float64",
    when=lambda call: call.dtype != "float64",
)
REFUSALS = (
    Dialect(
        "no-samples",
        "No samples are refused.",
        "https://scikit-learn.org/stable/modules/generated/sklearn.utils.check_array.html",
        raises="ValueError",
        when=lambda call: any(not array.size for array in _arrays(call)),
    ),
    Dialect(
        "finite-only",
        "NaN and infinity are refused.",
        "https://scikit-learn.org/stable/modules/generated/sklearn.utils.check_array.html",
        raises="ValueError",
        when=lambda call: not all(np.isfinite(array).all() for array in _arrays(call)),
    ),
)
NO_REDUCTION = (
    Unsupported("it takes no reduction that could be bad", lambda call: call.arguments["reduction"] not in REDUCTIONS),
)

# --- Regression


def _shape(call: Call, name: str) -> tuple[int, ...]:
    """The shape as scikit-learn sees it: a vector is a column."""
    shape: tuple[int, ...] = call.arguments[name].shape
    return (*shape, 1) if len(shape) == 1 else shape


def _column_against_vector(call: Call) -> bool:
    return call.arguments["input"].ndim != call.arguments["target"].ndim and _shape(call, "input") == _shape(
        call, "target"
    )


def _weights_of_outputs(call: Call) -> bool:
    weight = per_sample(call.arguments["sample_weight"])
    return weight is not None and weight.ndim > 1


def _per_output(call: Call) -> dict[str, Any]:
    weight = call.arguments["sample_weight"].astype(np.float64)
    return {"sample_weight": weight / weight.sum(axis=0)}


_WEIGHTS_PER_OUTPUT = Dialect(
    "mean-of-outputs",
    "Each output is averaged by its own weights, then the outputs are, alike; scikit-learn 1.7 began to refuse "
    "a weight for each output.",
    DOCS + "mean_squared_error.html",
    parameters=_per_output,
    when=_weights_of_outputs,
    versions="<1.7",
)
_WEIGHTS_PER_SAMPLE = Dialect(
    "sample-weight-1d",
    "A sample weighs as a whole: a weight for each of its outputs is refused.",
    DOCS + "mean_squared_error.html",
    raises="ValueError",
    when=_weights_of_outputs,
    versions=">=1.7",
)


def _no_weight(error: str, versions: str) -> Dialect:
    return Dialect(
        "all-weights-0",
        "Weights that are all 0 are refused.",
        DOCS + "mean_squared_error.html",
        raises=error,
        when=lambda call: call.arguments["sample_weight"] is not None and not np.any(call.arguments["sample_weight"]),
        versions=versions,
    )


_REGRESSION = (
    dataclasses.replace(FLOAT, versions=">=1.6"),
    *REFUSALS,
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
        when=lambda call: _shape(call, "input") != _shape(call, "target"),
    ),
    Dialect(
        "vector-is-column",
        "A vector of N and a column of N are compared element by element: N terms, not N times N.",
        DOCS + "mean_squared_error.html",
        parameters=lambda call: {name: call.arguments[name].reshape(-1) for name in ("input", "target")},
        when=_column_against_vector,
    ),
    _WEIGHTS_PER_SAMPLE,
    _WEIGHTS_PER_OUTPUT,
    _no_weight("ValueError", versions=">=1.9"),
    _no_weight("ZeroDivisionError", versions="<1.9"),
)


@implements(
    "l1_loss",
    "sklearn.metrics.mean_absolute_error",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    unsupported=NO_REDUCTION,
    dialects=_REGRESSION,
)
def mean_absolute_error(input, target, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.mean_absolute_error(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "mse_loss",
    "sklearn.metrics.mean_squared_error",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    unsupported=NO_REDUCTION,
    dialects=_REGRESSION,
)
def mean_squared_error(input, target, sample_weight=None):  # type: ignore[no-untyped-def]
    return metrics.mean_squared_error(target, input, sample_weight=per_sample(sample_weight))


# --- Classification


def _log_loss(argument: str) -> tuple[Dialect, ...]:
    """What log_loss does to the probabilities, which are the reference's `argument`."""

    def clipped(call: Call, eps: float | None = None) -> tuple[float, float]:
        eps = 2.0 * FORMATS[call.dtype].unit if eps is None else eps
        return float(FORMATS[call.dtype].round(eps)), float(FORMATS[call.dtype].round(1.0 - eps))

    def outside(call: Call, eps: float | None = None) -> bool:
        low, high = clipped(call, eps)
        p = call.arguments[argument]
        return bool(np.any((p < low) | (p > high)))

    return (
        FLOAT,
        *REFUSALS,
        Dialect(
            "clip",
            "Probabilities are clipped to [eps, 1 - eps], where eps is that of their dtype.",
            DOCS + "log_loss.html",
            parameters=lambda call: {"clip": clipped(call)},
            when=outside,
            versions=">=1.2",
        ),
        Dialect(
            "clip",
            "Probabilities are clipped to [1e-15, 1 - 1e-15]; scikit-learn 1.2 took the eps of their dtype.",
            DOCS + "log_loss.html",
            parameters=lambda call: {"clip": clipped(call, 1e-15)},
            when=lambda call: outside(call, 1e-15),
            versions="<1.2",
        ),
        Dialect(
            "any-probability",
            "Probabilities outside [0, 1] are clipped too; scikit-learn 1.7 began to refuse them.",
            DOCS + "log_loss.html",
            accepts=True,
            when=outside,
            versions="<1.7",
        ),
    )


_RENORMALIZE = Dialect(
    "renormalize",
    "Rows are divided by their sum; scikit-learn 1.5 stopped doing it.",
    DOCS + "log_loss.html",
    parameters={"renormalize": "after_clip"},
    when=lambda call: (
        call.arguments["y_pred"].ndim == 2 and not np.allclose(call.arguments["y_pred"].sum(axis=1), 1.0, rtol=1e-12)
    ),
    versions="<1.5",
)


@implements(
    "binary_cross_entropy",
    "sklearn.metrics.log_loss",
    SUMS_TOO,
    no_gradient=NO_GRADIENT,
    unsupported=NO_REDUCTION,
    lacks={"weight": "it weighs by sample_weight alone"},
    dialects=(
        *_log_loss("input"),
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
    dialects=(*_log_loss("y_pred"), _RENORMALIZE),
)
def log_loss(y_true, y_pred, normalize, sample_weight=None, labels=None):  # type: ignore[no-untyped-def]
    return metrics.log_loss(y_true, y_pred, normalize=normalize, sample_weight=sample_weight, labels=labels)


@implements(
    "hinge_loss",
    "sklearn.metrics.hinge_loss",
    AVERAGES,
    no_gradient=NO_GRADIENT,
    unsupported=NO_REDUCTION,
    dialects=(
        FLOAT,
        *REFUSALS,
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
            "Labels that are all 1 are taken for -1: a single label is always the negative one.",
            "https://github.com/scikit-learn/scikit-learn/issues/13674",
            versions=">=1.2",
            parameters=lambda call: {"target": -call.arguments["target"]},
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
    unsupported=NO_REDUCTION,
    dialects=(
        dataclasses.replace(FLOAT, versions=">=1.7"),
        *REFUSALS,
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
