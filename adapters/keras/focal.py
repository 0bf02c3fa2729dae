"""Keras' focal losses, of logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lossparity.adapters import formulas
from lossparity.adapters.base import Dialect, KnownIssue
from lossparity.adapters.keras.shared import (
    AVERAGE,
    CLASS,
    EARLY,
    EMPTY,
    NO_SAMPLES,
    PROBABILITIES_ONLY,
    REDUCTIONS,
    SOURCE,
    accepts,
    bounds,
    function,
    implements,
    per_sample,
    setup,
)

_SATURATED = KnownIssue(
    "saturated-nan",
    "With gamma < 1 the gradient is NaN where the sigmoid rounds to 0 or 1: the power's slope is infinite there.",
    "https://github.com/tensorflow/tensorflow/issues/70326",
    versions=">=2.13",
    symptom="nan",
    aspects=("gradient",),
    when=lambda call: call.arguments["gamma"] < 1.0 and bool(np.any(np.abs(call.arguments["inputs"]) > 16.0)),
)
_SATURATED_TWICE = KnownIssue(
    "saturated-twice",
    "With gamma < 2 the second derivative is NaN where the sigmoid rounds to 0 or 1: 0 times infinity.",
    "https://github.com/tensorflow/tensorflow/issues/70326",
    versions=">=2.13",
    symptom="nan",
    aspects=("second",),
    when=lambda call: call.arguments["gamma"] < 2.0 and bool(np.any(np.abs(call.arguments["inputs"]) > 16.0)),
)


_ROUNDED = Dialect(
    "rounded-probability",
    "1 - p and 1 - p_t are differences: where a prediction is right, the digits of the modulating factor go with the "
    "logit, and beyond 37 (17 in float32) none is left.",
    SOURCE + "losses/losses.py",
    computed_as=formulas.focal_of_probability,
)


def _balance(alpha: float) -> dict[str, Any]:
    """alpha, where it is one: below 0 there is no balancing."""
    return {"apply_class_balancing": True, "alpha": alpha} if alpha >= 0 else {}


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
    known_issues=(EMPTY, _SATURATED, _SATURATED_TWICE),
    twin=function(
        "keras.losses.binary_focal_crossentropy",
        lambda inputs, targets, alpha, gamma: keras.losses.binary_focal_crossentropy(
            targets, inputs, gamma=gamma, from_logits=True, **_balance(alpha)
        ),
        dialects=(AVERAGE, _ROUNDED),
        known_issues=(_SATURATED, _SATURATED_TWICE),
    ),
    **CLASS,
)
def binary_focal_crossentropy_class(  # type: ignore[no-untyped-def]
    inputs, targets, alpha, gamma, reduction, sample_weight=None
):
    loss = keras.losses.BinaryFocalCrossentropy(
        gamma=gamma, from_logits=True, **_balance(alpha), **setup(inputs, reduction)
    )
    return loss(targets, inputs, sample_weight=per_sample(sample_weight))


# --- Of classes

_OF_CLASSES = (
    Dialect(
        "clip",
        "The softmax is clipped to [1e-7, 1 - 1e-7], with no gradient beyond.",
        SOURCE + "losses/losses.py",
        parameters=lambda call: {"clip": bounds(call)},
    ),
    Dialect(
        "rounded-probability",
        "log p and 1 - p are taken of the rounded p: of a confident row both have only the digits that 1 - p has "
        "beside 1, as far as the clip.",
        SOURCE + "losses/losses.py",
        computed_as=formulas.softmax_focal_of_probability,
    ),
)


_POWER_OF_NOTHING = KnownIssue(
    "power-of-nothing",
    "In float16 and bfloat16 1 - 1e-7, to which probabilities are clipped, is 1: the gradient of what is left, 0, to a "
    "power is NaN.",
    SOURCE + "losses/losses.py",
    versions=">=3.4",
    symptom="nan",
    aspects=("gradient:input",),
    when=lambda call: call.dtype in ("float16", "bfloat16"),
)


@implements(
    "softmax_focal_loss",
    "keras.losses.CategoricalFocalCrossentropy",
    tuple(REDUCTIONS),
    unsupported=(*EARLY, PROBABILITIES_ONLY),
    dialects=(
        *_OF_CLASSES,
        accepts("any-gamma", "A negative gamma is not refused.", lambda call: call.arguments["gamma"] < 0.0),
    ),
    known_issues=(_POWER_OF_NOTHING,),
    twin=function(
        "keras.losses.categorical_focal_crossentropy",
        lambda input, target, alpha, gamma: keras.losses.categorical_focal_crossentropy(
            target, input, alpha=alpha, gamma=gamma, from_logits=True
        ),
        unsupported=(PROBABILITIES_ONLY,),
        dialects=_OF_CLASSES,
    ),
)
def categorical_focal_crossentropy_class(  # type: ignore[no-untyped-def]
    input, target, alpha, gamma, reduction, sample_weight=None
):
    loss = keras.losses.CategoricalFocalCrossentropy(
        alpha=alpha, gamma=gamma, from_logits=True, **setup(input, reduction)
    )
    return loss(target, input, sample_weight=sample_weight)
