"""How far a correct result may be from the reference: derived from the loss's textbook form, and nowhere else.

    tolerance = K e + the dtype's underflow

e is the running error of the textbook form in the dtype (`lossparity.reference.bounded`), per element of the value
and of every gradient: how far the form itself may be off, computed in that dtype one operation after the other. K = 2
leaves room for another order of the same operations, and in float64 for the reference's own roundings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossparity.reference.bounded import Ball, Bounded
from lossparity.reference.core import Array, Gradients, Loss
from lossparity.reference.precision import FORMATS

K = 2.0

# A loss without a textbook form (there is to be none) is still held to its natural scale.
_K: dict[str, float] = {"float64": 8.0, "float32": 8.0}

# Steps of the difference quotients. At a jump of the derivative the quotient grows like 1 / step, and is left out.
_STEPS = (2.0**-20, 2.0**-24)


@dataclass(frozen=True)
class Expected:
    """What a correct implementation returns, and how far it may be off, per element."""

    value: Array
    gradients: Gradients
    value_tolerance: Array
    gradient_tolerances: Gradients


_bounded = functools.cache(Bounded)


def expect(
    loss: Loss,
    arguments: Mapping[str, Any],
    dtype: str,
    cotangent: Array,
    form: Callable[..., Any] | None = None,
    reduced_in: str | None = None,
) -> Expected:
    """The reference's value and gradients under `cotangent`, with their tolerances in `dtype`.

    form: the formula that is computed, where that is not the loss's textbook form. reduced_in: the dtype in which the
    terms are weighed and reduced, where that is another.
    """
    value, pullback = loss.vjp(**arguments)
    gradients = pullback(cotangent)
    if loss.textbook is None and form is None:
        return _of_natural_scale(loss, arguments, dtype, cotangent, value, gradients)
    of_value, of_gradients = loss.evaluate(
        _bounded(dtype), arguments, cotangent, form, _bounded(reduced_in) if reduced_in else None
    )

    def limit(found: Ball, like: Array) -> Array:
        error = 0.0 if found.error is None else found.error
        return np.broadcast_to(
            K * error + max(FORMATS[each].underflow for each in (dtype, reduced_in or dtype)), np.shape(like)
        )

    limits = {name: limit(of_gradients[name], gradient) for name, gradient in gradients.items()}
    return Expected(np.asarray(value), gradients, limit(of_value, value), limits)


def _of_natural_scale(
    loss: Loss, arguments: Mapping[str, Any], dtype: str, cotangent: Array, value: Any, gradients: Gradients
) -> Expected:
    value_size, gradient_sizes = loss.scales(**arguments, cotangent=cotangent)
    value_spread, gradient_spreads = _conditioning(loss, arguments, cotangent, value, gradients)
    info = np.finfo(dtype)
    unit = _K[dtype] * float(info.eps) / 2.0
    floor = float(info.tiny)
    with np.errstate(all="ignore"):
        return Expected(
            np.asarray(value),
            gradients,
            np.asarray(unit * (value_size + value_spread) + floor),
            {name: unit * (gradient_sizes[name] + gradient_spreads[name]) + floor for name in gradients},
        )


def _conditioning(
    loss: Loss, arguments: Mapping[str, Any], cotangent: Array, value: Any, gradients: Gradients
) -> tuple[Array, Gradients]:
    """The change of value and gradients, per unit of relative change, when inputs shrink a little.

    Inputs only shrink (x becomes x (1 - step)), so that a probability stays one. For the value, the inputs whose
    shrinking lowers it and those whose shrinking raises it are moved apart, which gives sum |x df/dx|. For the
    gradients, all of them together, then two halves.
    """
    inputs = {name: np.asarray(arguments[name], dtype=np.float64) for name in gradients}

    def moved(step: float, pattern: Mapping[str, Array | float]) -> tuple[Any, Gradients] | None:
        nearby = {name: x * (1.0 - step * pattern[name]) for name, x in inputs.items()}
        try:
            shifted, pullback = loss.vjp(**{**arguments, **nearby})
            return shifted, pullback(cotangent)
        except ValueError:  # the neighbour is outside the domain (a box turned inside out)
            return None

    with np.errstate(all="ignore"):
        towards = {name: np.sign(inputs[name] * gradients[name]) for name in inputs}
        value_spread = np.zeros(np.shape(value))
        for sign in (1.0, -1.0):
            there = moved(_STEPS[1], {name: (towards[name] * sign > 0).astype(np.float64) for name in inputs})
            if there is not None:
                change = np.abs(there[0] - value) / _STEPS[1]
                value_spread = value_spread + np.where(np.isfinite(change), change, 0.0)

        spreads = {name: np.zeros(gradient.shape) for name, gradient in gradients.items()}
        whole: dict[str, Array | float] = dict.fromkeys(inputs, 1.0)
        halves: list[dict[str, Array | float]] = [
            {name: (np.arange(x.size).reshape(x.shape) + i + half) % 2.0 for i, (name, x) in enumerate(inputs.items())}
            for half in range(2)
        ]
        for pattern in (whole, *halves):
            near, far = moved(_STEPS[1], pattern), moved(_STEPS[0], pattern)
            if near is None or far is None:
                continue
            for name, gradient in gradients.items():
                small = np.abs(near[1][name] - gradient) / _STEPS[1]
                large = np.abs(far[1][name] - gradient) / _STEPS[0]
                smooth = np.isfinite(small) & np.isfinite(large) & (small <= 4.0 * large)
                spreads[name] = np.maximum(spreads[name], np.where(smooth, np.minimum(small, large), 0.0))
    return value_spread, spreads


def ulp_error(got: Array, want: Array, dtype: str, nearest: Array | None = None) -> Array:
    """|got - want| in units in the last place of `want` in `dtype`, per element; 0 for the same infinity or NaN.

    A result beyond the largest number of `dtype` is the infinity there. nearest: `want` in it, where that is known.
    """
    given = FORMATS[dtype]
    with np.errstate(all="ignore"):
        rounded = given.round(want).astype(np.float64) if nearest is None else nearest
        error = np.asarray(np.abs(got.astype(np.float64) - want) / given.spacing(want))
        error[np.isnan(error)] = np.inf
        error[(got == want) | (np.isinf(rounded) & (got == rounded)) | (np.isnan(got) & np.isnan(want))] = 0.0
    return error
