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
    NO_SAMPLES,
    PROBABILITIES_ONLY,
    REDUCTIONS,
    accepts,
    function,
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
    twin=function(
        "keras.losses.hinge",
        lambda input, target: keras.losses.hinge(target, input),
        dialects=(AVERAGE, _SUBGRADIENT, _AUTO),
        known_issues=(zero_at_nan("maximum"),),
    ),
    **CLASS,
)
def hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.Hinge(**setup(input, reduction))(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "squared_hinge_loss",
    "keras.losses.SquaredHinge",
    dialects=(AVERAGE, NO_SAMPLES, _AUTO),
    known_issues=(EMPTY, zero_at_nan("maximum")),
    twin=function(
        "keras.losses.squared_hinge",
        lambda input, target: keras.losses.squared_hinge(target, input),
        dialects=(AVERAGE, _AUTO),
        known_issues=(zero_at_nan("maximum"),),
    ),
    **CLASS,
)
def squared_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.SquaredHinge(**setup(input, reduction))(target, input, sample_weight=per_sample(sample_weight))


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
    twin=function(
        "keras.losses.categorical_hinge",
        lambda input, target: keras.losses.categorical_hinge(target, input),
        unsupported=(PROBABILITIES_ONLY,),
    ),
)
def categorical_hinge_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    return keras.losses.CategoricalHinge(**setup(input, reduction))(target, input, sample_weight=sample_weight)
