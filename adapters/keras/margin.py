"""Keras' hinge losses."""

from __future__ import annotations

import keras
import numpy as np

from lossparity.adapters.base import Dialect
from lossparity.adapters.engines.tensorflow import zero_at_nan
from lossparity.adapters.keras.shared import (
    AVERAGE,
    CLASS,
    DOCS,
    EARLY,
    EMPTY,
    FUNCTION,
    NO_SAMPLES,
    PROBABILITIES_ONLY,
    REDUCTIONS,
    accepts,
    implements,
    per_sample,
    setup,
)

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
    **CLASS,
)
def hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.Hinge(**setup(input, reduction))(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "hinge_loss",
    "keras.losses.hinge",
    twin="keras.losses.Hinge",
    dialects=(AVERAGE, _SUBGRADIENT, _AUTO),
    known_issues=(zero_at_nan("maximum"),),
    **FUNCTION,
)
def hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.hinge(target, input)


@implements(
    "squared_hinge_loss",
    "keras.losses.SquaredHinge",
    dialects=(AVERAGE, NO_SAMPLES, _AUTO),
    known_issues=(EMPTY, zero_at_nan("maximum")),
    **CLASS,
)
def squared_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.SquaredHinge(**setup(input, reduction))(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "squared_hinge_loss",
    "keras.losses.squared_hinge",
    twin="keras.losses.SquaredHinge",
    dialects=(AVERAGE, _AUTO),
    known_issues=(zero_at_nan("maximum"),),
    **FUNCTION,
)
def squared_hinge(input, target):  # type: ignore[no-untyped-def]
    return keras.losses.squared_hinge(target, input)


_COMPETES = Dialect(
    "label-competes",
    "The label's own entry stays among the others as 0, and so the best of them is never below 0.",
    DOCS + "hinge_losses/#categoricalhinge-class",
    parameters={"zero_competes": True},
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
