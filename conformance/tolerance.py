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


@dataclass(frozen=True)
class Expected:
    """What a correct implementation returns, and how far it may be off, per element."""

    value: Array
    gradients: Gradients
    value_tolerance: Array
    gradient_tolerances: Gradients


bounded = functools.cache(Bounded)


def underflow(dtype: str, reduced_in: str | None = None) -> float:
    """What the operations may lose below the smallest normal number, in whichever dtype that is more."""
    return max(FORMATS[each].underflow for each in (dtype, reduced_in or dtype))


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
    of_value, of_gradients = loss.evaluate(
        bounded(dtype), arguments, cotangent, form, bounded(reduced_in) if reduced_in else None
    )

    def limit(found: Ball, like: Array) -> Array:
        error = 0.0 if found.error is None else found.error
        return np.broadcast_to(K * error + underflow(dtype, reduced_in), np.shape(like))

    limits = {name: limit(of_gradients[name], gradient) for name, gradient in gradients.items()}
    return Expected(np.asarray(value), gradients, limit(of_value, value), limits)


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
