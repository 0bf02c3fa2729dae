"""Keras' regression losses."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lossparity.adapters.base import RAISED, Dialect, KnownIssue
from lossparity.adapters.keras.shared import (
    ALIGN,
    ALIGN_IN_FUNCTION,
    ALIGNED_TOO_FAR,
    AVERAGE,
    CLASS,
    EMPTY,
    FUNCTION_BROADCASTS,
    NO_SAMPLES,
    NO_WEIGHT,
    SOURCE,
    SOURCE_2,
    accepts,
    function,
    implements,
    per_sample,
    setup,
)

_REGRESSION = (AVERAGE, *ALIGN, NO_SAMPLES, NO_WEIGHT)
_REGRESSION_ISSUES = (EMPTY, *ALIGNED_TOO_FAR)
_REGRESSION_FUNCTION: dict[str, Any] = {
    "dialects": (AVERAGE, *ALIGN_IN_FUNCTION),
    "known_issues": (FUNCTION_BROADCASTS,),
}


@implements(
    "l1_loss",
    "keras.losses.MeanAbsoluteError",
    dialects=_REGRESSION,
    known_issues=_REGRESSION_ISSUES,
    twin=function(
        "keras.losses.mean_absolute_error",
        lambda input, target: keras.losses.mean_absolute_error(target, input),
        **_REGRESSION_FUNCTION,
    ),
    **CLASS,
)
def mean_absolute_error_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.MeanAbsoluteError(**setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "mse_loss",
    "keras.losses.MeanSquaredError",
    dialects=_REGRESSION,
    known_issues=_REGRESSION_ISSUES,
    twin=function(
        "keras.losses.mean_squared_error",
        lambda input, target: keras.losses.mean_squared_error(target, input),
        **_REGRESSION_FUNCTION,
    ),
    **CLASS,
)
def mean_squared_error_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.MeanSquaredError(**setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


_FLOATX = Dialect(
    "floatx",
    "Prediction and target are cast to floatx, which is float32, and so the loss is float32.",
    SOURCE_2 + "losses.py",
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
    SOURCE + "losses/losses.py",
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
    twin=function(
        "keras.losses.huber",
        lambda input, target, delta: keras.losses.huber(target, input, delta=delta),
        dialects=(*_REGRESSION_FUNCTION["dialects"], _FLOATX),
        known_issues=(_INFINITE, FUNCTION_BROADCASTS, _FLOAT32_DELTA),
    ),
    **CLASS,
)
def huber_class(input, target, reduction, delta, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.Huber(delta=delta, **setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))
