"""Numbers of about 106 bits, each the unevaluated sum of two float64: for the few places where 53 are not enough.

An error of one roundoff in x is one of gamma roundoffs in x^gamma; so what is raised to a power is carried twofold.
Source: Dekker, https://doi.org/10.1007/BF01397083; Joldes, Muller, Popescu, https://doi.org/10.1145/3121432.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lossparity.reference.core import Array

_UPPER = np.int64(-1 << 27)  # masks all but the first 26 bits of the significand


def two_sum(a: Array | float, b: Array | float) -> tuple[Array, Array]:
    """fl(a + b) and what rounding took from it, exactly."""
    total = np.add(a, b)
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """fl(a b) and what rounding took from it."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: Array) -> tuple[Array, Array]:
    high = (a.view(np.int64) & _UPPER).view(np.float64)
    return high, a - high


class Twofold(NamedTuple):
    """high + low, |low| at most a rounding error of high. Use `plus`, `times`, `over` and `power`."""

    high: Array
    low: Array | float = 0.0

    def plus(self, other: Twofold) -> Twofold:
        """The sum."""
        total, lost = two_sum(self.high, other.high)
        return _normal(total, lost + (self.low + other.low))

    def minus(self, other: Twofold) -> Twofold:
        """The difference."""
        return self.plus(Twofold(-other.high, -other.low))

    def times(self, other: Twofold) -> Twofold:
        """The product."""
        product, lost = two_product(self.high, other.high)
        return Twofold(product, lost + (self.high * other.low + self.low * other.high))

    def over(self, other: Twofold) -> Twofold:
        """The quotient."""
        ratio = self.high / other.high
        product, lost = two_product(ratio, other.high)
        return Twofold(ratio, ((self.high - product) - lost + (self.low - ratio * other.low)) / other.high)

    def sum(self) -> Twofold:
        """The sum along the last axis, which stays as one of length 1."""
        total = Twofold(self.high, np.broadcast_to(self.low, self.high.shape))
        while (count := total.high.shape[-1]) > 1:
            halves = [
                Twofold(total.high[..., part], np.asarray(total.low)[..., part])
                for part in (slice(count // 2), slice(count // 2, 2 * (count // 2)), slice(count - 1, None))
            ]
            first = halves[0].plus(halves[1])
            total = (
                first
                if count % 2 == 0
                else Twofold(*(np.concatenate(pair, axis=-1) for pair in zip(first, halves[2], strict=True)))
            )
        return total

    def power(self, p: float) -> Array:
        """x^p for x >= 0, rounded to one float64."""
        if p == 0.0:
            return np.ones_like(self.high)
        power: Array = self.high**p if p != 1.0 else self.high
        # (high + low)^p = high^p (1 + low / high)^p
        relative = self.low / self.high
        if not self.high.all():
            relative = np.where(self.high == 0.0, 0.0, relative)
        return power + power * (p * relative)


def either(condition: Array, one: Twofold, other: Twofold) -> Twofold:
    """`one` where the condition holds, `other` elsewhere."""
    return Twofold(np.where(condition, one.high, other.high), np.where(condition, one.low, other.low))


def _normal(high: Array, low: Array) -> Twofold:
    total = high + low
    return Twofold(total, low - (total - high))
