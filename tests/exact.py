"""Numbers with a derivative, over mpmath: a definition written once gives its value and exact gradient.

A step size never enters, so this holds where difference quotients fail: at 1e300, one roundoff from 1, at kinks.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np

from lossparity.reference.precision import Exact

mp = mpmath.mp.clone()
mp.dps = 60

UNIT = mp.mpf(2) ** -53
TINY = mp.mpf(2) ** -1022  # the smallest normal float64

to_mp = np.frompyfunc(mp.mpf, 1, 1)


class Dual:
    """value + slope e with e^2 = 0; slope is a number, or an array with one for each variable."""

    def __init__(self, value, slope=0):
        self.value, self.slope = mp.mpf(value), slope if isinstance(slope, np.ndarray) else mp.mpf(slope)

    def __add__(self, other):
        other = dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = dual(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __neg__(self):
        return Dual(-self.value, -self.slope)

    def __sub__(self, other):
        return self + -dual(other)

    def __rsub__(self, other):
        return dual(other) - self

    def __truediv__(self, other):
        other = dual(other)
        return Dual(self.value / other.value, (self.slope - self.value / other.value * other.slope) / other.value)

    def __rtruediv__(self, other):
        return dual(other) / self

    def __pow__(self, n):
        if n == 0:
            return Dual(1)
        if self.value == 0:  # convention: the derivative of 0^n is 0
            return Dual(0)
        value = mp.power(self.value, mp.mpf(n))
        return Dual(value, mp.mpf(n) * value / self.value * self.slope)

    def __abs__(self):
        return Dual(abs(self.value), mp.sign(self.value) * self.slope)

    def __lt__(self, other):
        return self.value < dual(other).value

    def __le__(self, other):
        return self.value <= dual(other).value

    __radd__, __rmul__ = __add__, __mul__


def dual(x):
    return x if isinstance(x, Dual) else Dual(x)


def exp(x):
    value = mp.exp(dual(x).value)
    return Dual(value, value * dual(x).slope)


def log(x):
    if dual(x).value < 0:
        raise ValueError(f"no logarithm of {mp.nstr(dual(x).value)}")
    return Dual(mp.log(dual(x).value), dual(x).slope / dual(x).value)


def log1p(x):
    return Dual(mp.log1p(dual(x).value), dual(x).slope / (1 + dual(x).value))


def atan(x):
    return Dual(mp.atan(dual(x).value), dual(x).slope / (1 + dual(x).value ** 2))


def maximum(a, b):
    """The larger one; at a tie half of each derivative."""
    a, b = dual(a), dual(b)
    if a.value == b.value:
        return Dual(a.value, (a.slope + b.slope) / 2)
    return b if a < b else a


def minimum(a, b):
    return -maximum(-dual(a), -dual(b))


def constant(x):
    """`x` without its derivative."""
    return Dual(dual(x).value)


def total(numbers):
    return sum(numbers, Dual(0))


def value_and_gradient(f, at):
    """f and its partial derivatives at a list of numbers."""
    result = f(*variables(at))
    return result.value, list(result.slope + np.zeros(len(at), dtype=object))


def textbook(loss, arguments, options):
    """The textbook form's terms and gradients, under a cotangent of ones, as flat arrays of mpf."""
    shape = np.shape(loss(*arguments, **options, reduction="none"))
    named = dict(zip(loss.arguments, arguments, strict=False))
    value, gradients = loss.evaluate(Exact(mp), {**named, **options, "reduction": "none"}, np.ones(shape))
    return np.ravel(value), {name: np.ravel(gradient) for name, gradient in gradients.items()}


def agrees(got, want, digits=14):
    """Whether exact numbers are the same to so many digits; 1e-50 is nothing."""
    return all(abs(a - b) <= mp.mpf(10) ** -digits * abs(b) + mp.mpf(10) ** -50 for a, b in zip(got, want, strict=True))


def variables(at):
    """The numbers as variables: the slope of each is an array with its derivative in every one of them."""
    return [Dual(x, one) for x, one in zip(at, to_mp(np.eye(len(at), dtype=int)), strict=True)]


def ulps(got, want, size=0.0):
    """The error of a float in units of roundoff of |want| + size; below the normal range, of the smallest normal."""
    got = float(got)
    if not math.isfinite(got):
        return math.inf
    return float(abs(mp.mpf(got) - want) / (UNIT * max(abs(want) + mp.mpf(float(size)), TINY)))
