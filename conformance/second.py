"""What the second derivatives of a correct implementation are, and how far they may be off.

    tolerance = (K + 1) e + the dtype's underflow in float64, K e + underflow in narrower dtypes

The expected numbers are those of the loss's textbook form over dual numbers in float64 (`Loss.second`), for which no
fast form is written, and e is their running error in the dtype under test. In float64 the expected numbers themselves
are up to e from the truth; in a narrower dtype that does not count.

A framework adds up what the motion of each argument contributes, so e is the sum of what each alone has, and of its
rounding: 2 g (v - w), of the squared error whose arguments move along v and w, is 2 g v - 2 g w there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossparity.conformance.tolerance import K, bounded, underflow
from lossparity.reference.core import Array, Gradients, Loss
from lossparity.reference.precision import FORMATS


@dataclass(frozen=True)
class Second:
    """The Hessian-vector product of each argument, and how far each of its elements may be off.

    A tolerance is infinite where rounding decides on which side of a kink the input lies.
    """

    products: Gradients
    tolerances: Gradients


def expect_second(
    loss: Loss,
    arguments: Mapping[str, Any],
    dtype: str,
    cotangent: Array,
    directions: Mapping[str, Array],
    form: Callable[..., Any] | None = None,
    reduced_in: str | None = None,
) -> Second:
    """How the gradients under `cotangent` change as the arguments move along `directions`.

    directions: by name, of the arguments' shapes; what is not named stays where it is. Of a framework: the gradient of
    sum_n <directions[n], gradient of n> in each argument. form: the formula that is computed, where that is not the
    loss's textbook form. reduced_in: the dtype in which the terms are weighed and reduced, where that is another.
    """
    arithmetic, other = bounded(dtype), bounded(reduced_in) if reduced_in else None
    parts = [
        loss.second(arithmetic, arguments, {each: along}, cotangent, form, other) for each, along in directions.items()
    ]
    products, errors = {}, {}
    for name in parts[0]:
        balls = [part[name] for part in parts]
        sizes = sum(np.abs(ball.value) for ball in balls)
        products[name] = np.asarray(sum(ball.value for ball in balls))
        added = (len(balls) - 1) * FORMATS[dtype].unit * sizes
        errors[name] = added + sum(0.0 if ball.error is None else ball.error for ball in balls)
    own = 1.0 if dtype == "float64" else 0.0
    floor = underflow(dtype, reduced_in)
    limits = {name: np.broadcast_to((K + own) * errors[name] + floor, products[name].shape) for name in products}
    return Second(products, limits)
