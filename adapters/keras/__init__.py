"""Keras 2 and 3 on TensorFlow: the classes and functions of keras.losses, and the activations.

A function is the loss per sample; its class weighs and reduces that. The classes of Keras 3 cast to floatx unless they
are given a dtype, so `setup` gives them that of the input. Classes lie along the last axis here and along axis 1 in
the reference: `axis` says so where there is one, and `classes_last` moves it where there is none.
"""

from __future__ import annotations

import keras

from lossparity.adapters import engines
from lossparity.adapters.keras import (  # noqa: F401  each registers its implementations
    activations,
    binary,
    classification,
    focal,
    margin,
    regression,
    segmentation,
)
from lossparity.adapters.keras.shared import IMPLEMENTATIONS  # noqa: F401

ENGINE = engines.load("tensorflow")

NAMESPACES = ("keras.losses",)
LOSS_CLASSES = (keras.losses.Loss,)
EXCLUDED = {
    "keras.losses.Reduction": "the names of the reductions",
    "keras.losses.deserialize": "makes a loss of its configuration",
    "keras.losses.get": "finds a loss by its name",
    "keras.losses.serialize": "makes the configuration of a loss",
}
