"""Keras' binary cross entropy, of probabilities and of logits."""

from __future__ import annotations

import keras
import numpy as np

from lossparity.adapters import formulas
from lossparity.adapters.base import Call, Dialect, KnownIssue
from lossparity.adapters.engines.tensorflow import zero_at_nan
from lossparity.adapters.keras.shared import (
    AVERAGE,
    CLASS,
    EMPTY,
    NO_SAMPLES,
    SOURCE,
    SOURCE_2,
    accepts,
    bounds,
    function,
    implements,
    per_sample,
    setup,
)

_CLIP = (
    Dialect(
        "clip",
        "Probabilities are clipped to [1e-7, 1 - 1e-7], with no gradient beyond, and 1e-7 is added in both logarithms.",
        SOURCE_2 + "backend.py",
        parameters=lambda call: {"clip": bounds(call), "epsilon": keras.backend.epsilon()},
        versions="<3",
    ),
    Dialect(
        "clip",
        "Probabilities are clipped to [1e-7, 1 - 1e-7], with no gradient beyond.",
        SOURCE + "backend/tensorflow/nn.py",
        parameters=lambda call: {"clip": bounds(call)},
        when=lambda call: bool(np.any(np.clip(call.arguments["input"], *bounds(call)) != call.arguments["input"])),
        versions=">=3.0",
    ),
)


_DIFFERENCE = Dialect(
    "log-of-difference",
    "log(1 - p) is taken of a difference: of a p near 0 it has only the digits that p has beside 1.",
    SOURCE + "backend/tensorflow/nn.py",
    computed_as=formulas.log_of_difference,
    versions=">=3.0",  # Keras 2 adds 1e-7 in the logarithm, which covers what is lost
)


_BOUND_OF_1 = KnownIssue(
    "bound-of-1",
    "In float16 and bfloat16 1 - 1e-7, to which probabilities are clipped, is 1: of a prediction of 1 the loss and its "
    "gradient are NaN, 0 times log(0).",
    SOURCE + "backend/tensorflow/nn.py",
    versions=">=3.4",
    symptom="nan",
    aspects=("value", "gradient:input"),
    when=lambda call: call.dtype in ("float16", "bfloat16") and bool(np.any(call.arguments["input"] == 1.0)),
)


def _outside(call: Call) -> bool:
    return any(np.any((p < 0.0) | (p > 1.0)) for p in (call.arguments["input"], call.arguments["target"]))


@implements(
    "binary_cross_entropy",
    "keras.losses.BinaryCrossentropy",
    dialects=(
        AVERAGE,
        NO_SAMPLES,
        *_CLIP,
        _DIFFERENCE,
        accepts("any-probability", "A number outside [0, 1] is not refused.", _outside),
    ),
    known_issues=(EMPTY, zero_at_nan("clip_by_value"), _BOUND_OF_1),
    twin=function(
        "keras.losses.binary_crossentropy",
        lambda input, target: keras.losses.binary_crossentropy(target, input),
        dialects=(AVERAGE, *_CLIP, _DIFFERENCE),
        known_issues=(zero_at_nan("clip_by_value"), _BOUND_OF_1),
    ),
    **CLASS,
)
def binary_crossentropy_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.BinaryCrossentropy(**setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))


@implements(
    "binary_cross_entropy_with_logits",
    "keras.losses.BinaryCrossentropy",
    dialects=(AVERAGE, NO_SAMPLES),
    known_issues=(EMPTY,),
    twin=function(
        "keras.losses.binary_crossentropy",
        lambda input, target: keras.losses.binary_crossentropy(target, input, from_logits=True),
        dialects=(AVERAGE,),
        known_issues=(),
    ),
    **CLASS,
)
def binary_crossentropy_of_logits_class(input, target, reduction, sample_weight=None):  # type: ignore[no-untyped-def]
    loss = keras.losses.BinaryCrossentropy(from_logits=True, **setup(input, reduction))
    return loss(target, input, sample_weight=per_sample(sample_weight))
