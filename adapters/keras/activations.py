"""Keras' activations."""

from __future__ import annotations

import keras

from lossparity.adapters.base import Dialect
from lossparity.adapters.engines.tensorflow import LOG_SOFTMAX, SIGMOID, SOFTMAX, SOFTMAX_ISSUES
from lossparity.adapters.keras.shared import SOURCE_2, implements


@implements("sigmoid", "keras.activations.sigmoid", dialects=(SIGMOID,))
def sigmoid(input):  # type: ignore[no-untyped-def]
    return keras.activations.sigmoid(input)


@implements(
    "softmax",
    "keras.activations.softmax",
    dialects=(
        Dialect(
            "no-vector",
            "A vector is refused: the first axis is that of the samples.",
            SOURCE_2 + "activations.py",
            raises="ValueError",
            when=lambda call: call.arguments["input"].ndim == 1,
            versions="<3",
        ),
        SOFTMAX,
    ),
    known_issues=SOFTMAX_ISSUES,
)
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return keras.activations.softmax(input, axis=dim)


@implements("log_softmax", "keras.activations.log_softmax", versions=">=3.0", dialects=(LOG_SOFTMAX,))
def log_softmax(input, dim):  # type: ignore[no-untyped-def]
    return keras.activations.log_softmax(input, axis=dim)
