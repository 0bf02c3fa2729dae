"""float64 with running errors: how far the same computation in a dtype may be from the exact result.

Running error analysis: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3. Beside each
number stands a bound on how far the same computation in a dtype may be from the exact result. An operation passes on
its operands' bounds through its derivative (at its steepest within them, so that large errors are bounded too), and
adds its own rounding: 1 unit roundoff for + - * / and the square root, 2 for exp, log and the like, ceil(log2 n) for a
pairwise sum of n, nothing where the result is exact (a change of sign, a maximum, a choice, a power of two, operands
without error whose result the dtype holds). Below the dtype's smallest normal number it adds that number, which a
processor may flush to 0 (float16, of which none is flushed: half its smallest number). Where rounding may have decided
a comparison, what the two sides differ by is part of the bound. Beyond the largest number the bound is infinite, and
the value stands for its sign (NaN where that is not sure).

Most calls are of a few dozen numbers, where what counts is how often NumPy is called: what is rare (an underflow, an
infinity, a 0) is looked for by one call that says that there is none.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lossparity.reference.arithmetic import Array, Mask, Shape
from lossparity.reference.precision import FORMATS


class Ball(NamedTuple):
    """A number, and the bound on the error of the same computation in the dtype (None: there is none)."""

    value: Any
    error: Any = None


class Bounded:
    """float64, with the running error of the same computation in `dtype`; see the module's first lines."""

    def __init__(self, dtype: str) -> None:
        self.format = FORMATS[dtype]
        self.unit, self.tiny = self.format.unit, self.format.underflow
        self.smallest, self.largest_number = self.format.smallest, self.format.largest
        self.far_below = 0.9 * self.largest_number  # what is below it does not overflow by being rounded
        self.tiny_sum = self.tiny if self.format.flushes else 0.0  # a sum below the smallest normal number is exact
        self.double = self.format.name == "float64"
        self.spare_bits = (1 << (53 - self.format.digits)) - 1  # of a float64's digits, those that the dtype lacks
        self.lift_number = functools.lru_cache(maxsize=256)(self._lift_number)

    def _lift_number(self, value: float) -> Ball:
        lost = 0.0 if math.isnan(value) else abs(value - float(self.format.round(value)))
        return Ball(value, self.unit * abs(value) if lost > 0.0 and math.isfinite(lost) else None)

    def lift(self, value: Any) -> Ball:
        if isinstance(value, (int, float)):
            return self.lift_number(float(value))
        array = np.asarray(value, dtype=np.float64)
        if not self.double and not _all(self._holds(array)):  # whoever computes in a narrower dtype rounds that first
            held = (self.format.round(array) == array) | np.isnan(array)
            if not _all(held):
                size = np.abs(array)
                lost = np.where(size < self.smallest, self.tiny, size * self.unit)
                error = np.where(size > self.largest_number, np.inf, lost)
                return Ball(array, np.where(held, 0.0, error))
        return Ball(array)

    def shape(self, x: Ball) -> Shape:
        shape: Shape = x.value.shape if isinstance(x.value, np.ndarray) else np.shape(x.value)
        return shape

    def nearest(self, x: Ball) -> Array:
        return np.asarray(x.value)

    def _holds(self, z: Any) -> Any:
        """Where the dtype has the digits for the result of an operation. Where it has the range, `_rounded` finds."""
        return np.asarray(z).view(np.int64) & self.spare_bits == 0

    def add(self, x: Ball, y: Ball) -> Ball:
        z = x.value + y.value
        if x.error is None and y.error is None:
            if self.double:  # the float64 that was computed may itself be rounded: Knuth's TwoSum
                part = z - x.value
                exact = (x.value - (z - part)) + (y.value - part) == 0.0
            else:
                exact = self._holds(z)
            return self._rounded(z, None, self.unit, self.tiny_sum, (x, y), exact)
        error = y.error if x.error is None else x.error if y.error is None else x.error + y.error
        return self._rounded(
            z, error, self.unit, self.tiny_sum, (x, y), signed=lambda: self._outweighs(x, y) | self._outweighs(y, x)
        )

    def _outweighs(self, x: Ball, y: Ball) -> Any:
        """Where x has become an infinity, and no y is one: their sum is that infinity, too."""
        return np.isinf(_error(x)) & (np.abs(x.value) > self.largest_number) & np.isfinite(_error(y))

    def subtract(self, x: Ball, y: Ball) -> Ball:
        return self.add(x, Ball(-y.value, y.error))

    def accumulate(self, x: Ball, y: Ball) -> Ball:
        z = self.add(x, y)
        if z.error is None or (_no_zeros(x.value) and _no_zeros(y.value)):
            return z
        return Ball(z.value, np.where(_nought(x) | _nought(y), _error(x) + _error(y), z.error))

    def multiply(self, x: Ball, y: Ball) -> Ball:
        z = x.value * y.value
        exact = None
        if x.error is None and y.error is None:
            error = None
            exact = _powers(x.value) | _powers(y.value) if self.double else self._holds(z)
        elif x.error is None:
            error, exact = np.abs(x.value) * y.error, _powers(x.value)
        elif y.error is None:
            error, exact = np.abs(y.value) * x.error, _powers(y.value)
        else:
            error = np.abs(x.value) * y.error + (np.abs(y.value) + y.error) * x.error
        return self._rounded(z, error, self.unit, self.tiny, (x, y), exact, lambda: _nought(x) | _nought(y))

    def divide(self, x: Ball, y: Ball, roundings: int = 1) -> Ball:
        z = x.value / y.value
        exact = None
        if y.error is None:
            error = None if x.error is None else x.error / np.abs(y.value)
            exact = _powers(y.value)
        else:
            spread = np.abs(z) * y.error
            error = (spread if x.error is None else x.error + spread) / np.maximum(np.abs(y.value) - y.error, 0.0)
        return self._rounded(
            z,
            error,
            roundings * self.unit,
            self.tiny,
            (x, y),
            exact,
            lambda: _nought(x) | np.isinf(y.value),
            lambda: y.value == 0.0,
        )

    def negative(self, x: Ball) -> Ball:
        return Ball(-x.value, x.error)

    def absolute(self, x: Ball) -> Ball:
        return Ball(np.abs(x.value), x.error)

    def exp(self, x: Ball) -> Ball:
        z = np.exp(x.value)
        error: Any = None if x.error is None else z * np.expm1(x.error)
        if x.error is not None and _greatest(x.error) > 1.0:
            error = np.where(x.error > 1.0, np.exp(x.value + x.error), error)
            # of what overflowed below 0 it is 0
            error = np.where(np.isinf(x.error) & (x.value < -0.5 * self.largest_number), 0.0, error)
        exact = x.value == 0.0 if error is None else None
        return self._rounded(z, error, 2.0 * self.unit, self.tiny, (x,), exact, lambda: x.value == -np.inf)

    def expm1(self, x: Ball) -> Ball:
        error = None if x.error is None else np.exp(x.value) * np.expm1(x.error)
        return self._rounded(np.expm1(x.value), error, 2.0 * self.unit, self.tiny, (x,))

    def log(self, x: Ball) -> Ball:
        error = None if x.error is None else x.error / np.maximum(x.value - x.error, 0.0)
        return self._rounded(np.log(x.value), error, 2.0 * self.unit, self.tiny, (x,), pole=lambda: x.value == 0.0)

    def log1p(self, x: Ball) -> Ball:
        error = None if x.error is None else x.error / np.maximum(1.0 + x.value - x.error, 0.0)
        return self._rounded(np.log1p(x.value), error, 2.0 * self.unit, self.tiny, (x,), pole=lambda: x.value == -1.0)

    def sqrt(self, x: Ball) -> Ball:
        z = np.sqrt(x.value)
        if x.error is None:
            return self._rounded(z, None, self.unit, self.tiny, (x,))
        error = x.error / (z + np.sqrt(np.maximum(x.value - x.error, 0.0)))
        error = np.where(x.error > 0.0, np.fmin(error, np.sqrt(x.value + x.error)), 0.0)
        return self._rounded(z, error, self.unit, self.tiny, (x,))

    def atan(self, x: Ball) -> Ball:
        error = None
        if x.error is not None:
            nearest = np.maximum(np.abs(x.value) - x.error, 0.0)
            error = x.error / (1.0 + nearest * nearest)
        return self._rounded(np.arctan(x.value), error, 2.0 * self.unit, self.tiny, (x,))

    def power(self, x: Ball, p: float) -> Ball:
        z = np.power(x.value, p)
        error = None
        if x.error is not None:
            error = z * np.expm1(abs(p) * x.error / np.maximum(x.value - x.error, 0.0))
            if p > 0.0:  # from 0 to the power of the largest
                error = np.fmin(error, np.power(x.value + x.error, p))
            error = np.where(x.error == 0.0, 0.0, error)
        of_p = self.lift_number(p).error
        if of_p is not None:
            logs = np.where(z == 0.0, 0.0, np.abs(np.log(np.abs(x.value))))
            error = z * np.expm1(of_p * logs) + (0.0 if error is None else error)
        return self._rounded(
            z, error, 2.0 * self.unit, self.tiny, (x,), None, lambda: x.value == 0.0, lambda: x.value == 0.0
        )

    def product(self, x: Ball, y: Ball) -> Ball:
        z = self.multiply(x, y)
        if _finite(z):  # what is 0 times a finite number is 0 already
            return z
        nought = _nought(x) & ~np.isnan(y.value)
        return _without(z, nought & ~(np.isfinite(z.value) & (_error(z) == 0.0)))

    def chain(self, g: Ball, d: Ball) -> Ball:
        z = self.multiply(g, d)
        return z if _finite(z) else _without(z, _nought(g))

    def chain_divide(self, g: Ball, d: Ball, roundings: int = 1) -> Ball:
        z = self.divide(g, d, roundings)
        return z if _finite(z) else _without(z, _nought(g))

    def chain_inverse(self, g: Ball, d: Ball) -> Ball:
        return self.chain_divide(g, d, 2)

    def sum(self, x: Ball, axis: tuple[int, ...], keepdims: bool) -> Ball:
        count = math.prod(x.value.shape[i] for i in axis)
        z = x.value.sum(axis=axis, keepdims=keepdims)
        if count <= 1:
            return self.each(lambda array: array.sum(axis=axis, keepdims=keepdims), x)
        size = np.abs(x.value).sum(axis=axis, keepdims=keepdims)
        error = None if x.error is None else _spread(x).sum(axis=axis, keepdims=keepdims)
        levels = math.ceil(math.log2(count))
        lost = self.unit * levels * (size if error is None else size + error)
        new = lost if error is None else error + lost
        if self.tiny_sum:
            new = np.where(new > 0.0, new + count * self.tiny_sum, new)
        if _greatest(size + new) <= self.largest_number:  # no partial sum is larger
            return Ball(z, new)
        new = np.where(size + new > self.largest_number, np.inf, new)
        sure = np.broadcast_to(_sure(x), x.value.shape).all(axis=axis, keepdims=keepdims)
        return Ball(z, np.where(~np.isfinite(z) & sure, 0.0, np.where(np.isnan(new), np.inf, new)))

    def largest(self, x: Ball, axis: int) -> Ball:
        top = np.max(x.value, axis=axis, keepdims=True)
        if x.error is None:
            return Ball(top)
        above = np.max(x.value + x.error, axis=axis, keepdims=True) - top
        below = top - np.max(x.value - x.error, axis=axis, keepdims=True)
        error = np.maximum(above, below)
        error = np.where(np.isnan(error) & (np.max(_spread(x), axis=axis, keepdims=True) > 0.0), np.inf, error)
        return Ball(top, np.where(np.isinf(top) | np.isnan(error), 0.0, error))

    def select(self, mask: Mask, x: Ball, y: Ball) -> Ball:
        value = np.where(mask.truth, x.value, y.value)
        if x.error is None and y.error is None and mask.doubt is None:
            return Ball(value)
        error = np.where(mask.truth, _error(x), _error(y))
        if mask.doubt is not None:
            apart = np.where((x.value == y.value) | (np.isnan(x.value) & np.isnan(y.value)), 0.0, x.value - y.value)
            gap = np.abs(apart) + np.maximum(_error(x), _error(y))
            error = np.where(mask.doubt, np.where(np.isnan(gap), np.inf, gap), error)
        return Ball(value, error)

    def extreme(self, mask: Mask, x: Ball, y: Ball) -> Ball:
        value = np.where(mask.truth, x.value, y.value)
        if x.error is None and y.error is None:
            return Ball(value)
        error = np.where(mask.truth, _error(x), _error(y))
        if mask.doubt is not None:  # |max(a, b) - max(c, d)| <= max(|a - c|, |b - d|)
            error = np.where(mask.doubt, np.maximum(_error(x), _error(y)), error)
        return Ball(value, error)

    def compare(self, x: Ball, y: Ball, how: Callable[[Any, Any], Any]) -> Mask:
        truth = np.asarray(how(x.value, y.value))
        if x.error is None and y.error is None:
            return Mask(truth)
        error = y.error if x.error is None else x.error if y.error is None else x.error + y.error
        sure = np.abs(x.value - y.value) > error
        if _all(sure):
            return Mask(truth)
        doubt = ~sure & (error > 0.0)  # also of a number of which nothing is known
        return Mask(truth, doubt if doubt.any() else None)

    def constant(self, x: Ball) -> Ball:
        return x

    def each(self, move: Callable[[Array], Array], x: Ball) -> Ball:
        return Ball(move(np.asarray(x.value)), None if x.error is None else move(_spread(x)))

    def _rounded(
        self,
        z: Any,
        error: Any,
        rounding: float,
        tiny: float,
        operands: tuple[Ball, ...],
        exact: Any = None,
        zero: Callable[[], Any] = lambda: True,
        pole: Callable[[], Any] = lambda: False,
        signed: Callable[[], Any] = lambda: False,
    ) -> Ball:
        """A result with the bound that its operands pass on, and what its own rounding adds.

        exact: where it is not rounded. zero: where a 0 is not an underflow. pole: where an infinity is no overflow.
        signed: where the sign of what overflowed is sure whatever the bound.
        """
        size = np.abs(z)
        if error is None:
            near = far = size
            new = size * rounding
        else:
            near, far = size - error, size + error
            new = error + far * rounding
        if exact is not None:
            new = np.where(exact, 0.0 if error is None else error, new)
        regular = _greatest(far) <= self.far_below  # False for NaN
        if regular and _least(near) >= self.smallest:
            return Ball(z, new)
        before = 0.0 if error is None else error
        nought = (size == 0.0) & (before == 0.0) & zero()
        new = np.where((near < self.smallest) & ~nought, new + tiny, new)
        if regular:
            return Ball(z, new)
        undefined = np.isnan(z)
        over = (size + new > self.largest_number) & ~undefined
        new = np.where(over | np.isnan(new), np.inf, new)
        if np.any(over):  # an infinity in the dtype; where not even its sign is sure, nothing is known
            z = np.where(over & ~((before < size) | signed()), np.nan, z)
        if not np.all(np.isfinite(z)):
            sure = functools.reduce(np.logical_and, (_sure(each) for each in operands))
            given = functools.reduce(np.logical_or, (~np.isfinite(each.value) for each in operands)) | pole()
            new = np.where((undefined | (np.isinf(z) & given)) & sure, 0.0, new)
        return Ball(z, new)


_DIGITS = (1 << 52) - 1  # of a float64, but the leading one


def _greatest(x: Any) -> Any:
    return np.maximum.reduce(x, axis=None, initial=0.0)


def _least(x: Any) -> Any:
    return np.minimum.reduce(x, axis=None, initial=math.inf)


def _all(truths: Any) -> Any:
    return np.logical_and.reduce(truths, axis=None)


def _no_zeros(x: Any) -> bool:
    return bool(np.count_nonzero(x) == np.size(x))


def _finite(z: Ball) -> bool:
    """Whether all values and errors are finite."""
    return math.isfinite(_greatest(np.abs(z.value) if z.error is None else np.abs(z.value) + z.error))


def _error(x: Ball) -> Any:
    return 0.0 if x.error is None else x.error


def _spread(x: Ball) -> Array:
    """The error in the shape of the value."""
    error: Array = x.error
    return error if np.shape(error) == np.shape(x.value) else np.broadcast_to(error, np.shape(x.value))


def _nought(x: Ball) -> Any:
    """Where a number is exactly 0."""
    return x.value == 0.0 if x.error is None else (x.value == 0.0) & (x.error == 0.0)


def _sure(x: Ball) -> Any:
    """Where the sign of a number, and whether it is 0 or infinite, are the same in the dtype."""
    return np.True_ if x.error is None else (x.error == 0.0) | (x.error < np.abs(x.value))


def _powers(x: Any) -> Any:
    """Where multiplying by x is exact: 0 and powers of two (and infinities, which round nothing)."""
    if isinstance(x, float):
        return abs(math.frexp(x)[0]) in (0.0, 0.5)
    return np.asarray(x).view(np.int64) & _DIGITS == 0


def _without(z: Ball, nought: Any) -> Ball:
    """Exactly 0 where `nought`."""
    if not np.any(nought):
        return z
    return Ball(np.where(nought, 0.0, z.value), None if z.error is None else np.where(nought, 0.0, z.error))
