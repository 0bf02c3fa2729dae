"""Keras' Dice loss."""

from __future__ import annotations

from typing import Any

import keras

from lossparity.adapters.base import Dialect, KnownIssue
from lossparity.adapters.keras.shared import EARLY, REDUCTIONS, SOURCE, bounds, function, implements, setup

_SMOOTH_BELOW = Dialect(
    "smooth-below",
    "1e-7 is added to the denominator alone, so that nothing anywhere is a loss of 1.",
    SOURCE + "losses/losses.py",
    parameters=lambda call: {"smooth": bounds(call)[0], "smooth_numerator": 0.0},
)
_NOTHING_IN_FLOAT16 = KnownIssue(
    "nothing-in-float16",
    "In float16 the square of 1e-7, a denominator of the gradient where there is nothing anywhere, is 0: it is NaN.",
    SOURCE + "losses/losses.py",
    versions=">=3.4",
    symptom="nan",
    aspects=("gradient",),
    when=lambda call: call.dtype == "float16" and not call.arguments["input"].any(),
)
_DICE: dict[str, Any] = {
    "dialects": (_SMOOTH_BELOW,),
    "lacks": {"smooth": "its smooth term is always 1e-7"},
    "versions": ">=3.4",  # before, there is none, or it takes no axis
}


@implements(
    "dice_loss",
    "keras.losses.Dice",
    tuple(REDUCTIONS),
    unsupported=EARLY,
    known_issues=(_NOTHING_IN_FLOAT16,),
    twin=function(
        "keras.losses.dice",
        lambda input, target, axis: keras.losses.dice(target, input, axis=axis),
        known_issues=(),
    ),
    **_DICE,
)
def dice_class(input, target, reduction, axis):  # type: ignore[no-untyped-def]
    return keras.losses.Dice(axis=axis, **setup(input, reduction))(target, input)
