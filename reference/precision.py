"""The arithmetics in which a textbook form runs as it is: exact, and in a dtype (with running errors: bounded.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossparity.reference.arithmetic import Array, Mask, Shape


@dataclass(frozen=True)
class Format:
    """A dtype under test: its unit roundoff, and what may be lost below its smallest normal number.

    flushes: whether numbers below the smallest normal one may be made 0.
    """

    name: str
    digits: int
    smallest: float
    largest: float
    flushes: bool = True

    @property
    def unit(self) -> float:
        """Half the distance of 1 to the next number."""
        return 2.0**-self.digits

    @property
    def underflow(self) -> float:
        """The most that one operation loses below the smallest normal number."""
        return self.smallest if self.flushes else self.smallest * self.unit

    def spacing(self, array: Array) -> Array:
        """The distance of each number to the next larger one; beyond the largest as if there were more."""
        least = math.frexp(self.smallest)[1]
        exponent = np.where(array == 0.0, least, np.frexp(np.where(np.isfinite(array), array, self.largest))[1])
        spacing: Array = np.ldexp(1.0, np.maximum(exponent, least) - self.digits)
        return spacing

    def round(self, array: Any) -> Array:
        """The nearest numbers of the dtype, ties to even, as an array that holds them (bfloat16: float32)."""
        with np.errstate(all="ignore"):
            if self.name != "bfloat16":
                return np.asarray(array).astype(self.name)
            return _to_bfloat16(np.asarray(array))


def _to_bfloat16(array: Array) -> Array:
    """float32 rounded to 8 digits. A float64 is first rounded to odd, so that it is not rounded twice."""
    single = array.astype(np.float32)
    if array.dtype == np.float64:
        toward = np.where(np.abs(single) > np.abs(array), np.nextafter(single, np.float32(0.0)), single)
        inexact = (toward.astype(np.float64) != array) & np.isfinite(array)
        single = (toward.view(np.uint32) | inexact.astype(np.uint32)).view(np.float32)
    bits = np.ascontiguousarray(single).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    result: Array = np.where(np.isfinite(single), rounded.view(np.float32), single).astype(np.float32)
    return result.reshape(array.shape)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("float64", 53, 2.0**-1022, float(np.finfo(np.float64).max)),
        Format("float32", 24, 2.0**-126, float(np.finfo(np.float32).max)),
        Format("float16", 11, 2.0**-14, 65504.0, flushes=False),
        Format("bfloat16", 8, 2.0**-126, 2.0**128 - 2.0**120),
    )
}


class Native:
    """The dtype itself, in NumPy; bfloat16 as float32 that is rounded after each operation."""

    def __init__(self, dtype: str) -> None:
        self.format = FORMATS[dtype]
        self._finish: Callable[[Any], Array] = self.format.round if dtype == "bfloat16" else np.asarray

    def lift(self, value: Any) -> Array:
        return self.format.round(value)

    def shape(self, x: Array) -> Shape:
        return np.shape(x)

    def nearest(self, x: Array) -> Array:
        return np.asarray(x, dtype=np.float64)

    def add(self, x: Array, y: Array) -> Array:
        return self._finish(x + y)

    accumulate = add

    def subtract(self, x: Array, y: Array) -> Array:
        return self._finish(x - y)

    def multiply(self, x: Array, y: Array) -> Array:
        return self._finish(x * y)

    def divide(self, x: Array, y: Array) -> Array:
        return self._finish(x / y)

    def negative(self, x: Array) -> Array:
        return np.negative(x)

    def absolute(self, x: Array) -> Array:
        return np.abs(x)

    def exp(self, x: Array) -> Array:
        return self._finish(np.exp(x))

    def log(self, x: Array) -> Array:
        return self._finish(np.log(x))

    def log1p(self, x: Array) -> Array:
        return self._finish(np.log1p(x))

    def expm1(self, x: Array) -> Array:
        return self._finish(np.expm1(x))

    def sqrt(self, x: Array) -> Array:
        return self._finish(np.sqrt(x))

    def atan(self, x: Array) -> Array:
        return self._finish(np.arctan(x))

    def power(self, x: Array, p: float) -> Array:
        return self._finish(np.power(x, self.lift(p)))

    def product(self, x: Array, y: Array) -> Array:
        return np.where((x == 0) & np.isinf(y), np.zeros_like(x), self.multiply(x, y))

    def chain(self, g: Array, d: Array) -> Array:
        return np.where(g == 0, np.zeros_like(g), self.multiply(g, d))

    def chain_divide(self, g: Array, d: Array) -> Array:
        return np.where(g == 0, np.zeros_like(g), self.divide(g, d))

    chain_inverse = chain_divide

    def sum(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        rows, shape = _last(x, axis, keepdims)
        while rows.shape[-1] > 1:
            half = rows.shape[-1] // 2
            pairs = self.add(rows[..., :half], rows[..., half : 2 * half])
            rows = np.concatenate([pairs, rows[..., 2 * half :]], axis=-1)
        return (rows if rows.shape[-1] else np.zeros((*rows.shape[:-1], 1), rows.dtype)).reshape(shape)

    def largest(self, x: Array, axis: int) -> Array:
        top: Array = np.max(x, axis=axis, keepdims=True)
        return top

    def select(self, mask: Mask, x: Array, y: Array) -> Array:
        return np.where(mask.truth, x, y)

    def extreme(self, mask: Mask, x: Array, y: Array) -> Array:
        return np.where(mask.truth, x, y)

    def compare(self, x: Array, y: Array, how: Callable[[Any, Any], Any]) -> Mask:
        return Mask(np.asarray(how(x, y), dtype=bool))

    def constant(self, x: Array) -> Array:
        return x

    def each(self, move: Callable[[Array], Array], x: Array) -> Array:
        return move(np.asarray(x))


def _last(x: Array, axis: tuple[int, ...], keepdims: bool) -> tuple[Array, Shape]:
    """The axes that are summed as one last axis, and the shape of the sum."""
    x = np.asarray(x)
    left = [i for i in range(x.ndim) if i not in axis]
    count = math.prod(x.shape[i] for i in axis)
    rows = x.transpose(*left, *axis).reshape(*(x.shape[i] for i in left), count)
    return rows, tuple(1 if i in axis else n for i, n in enumerate(x.shape) if keepdims or i not in axis)


class Exact(Native):
    """As many digits as `context` has: an mpmath context (mpmath.mp.clone()), whose precision the caller sets.

    Numbers are object arrays. Nothing here imports mpmath: the tests, which check the reference by it, hand it over.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self._finish = np.asarray
        self._float = np.frompyfunc(context.mpf, 1, 1)
        self._functions = {
            "exp": np.frompyfunc(context.exp, 1, 1),
            "log": np.frompyfunc(self._log, 1, 1),
            "log1p": np.frompyfunc(lambda x: self._log(1 + x) if abs(x) > 0.5 else context.log1p(x), 1, 1),
            "expm1": np.frompyfunc(context.expm1, 1, 1),
            "sqrt": np.frompyfunc(lambda x: context.sqrt(x) if x >= 0 else context.nan, 1, 1),
            "atan": np.frompyfunc(context.atan, 1, 1),
        }
        self._power = np.frompyfunc(self._one_power, 2, 1)
        self._divide = np.frompyfunc(self._one_quotient, 2, 1)

    def _log(self, x: Any) -> Any:
        if x == 0:
            return self.context.ninf
        return self.context.log(x) if x > 0 else self.context.nan

    def _one_power(self, x: Any, p: Any) -> Any:
        if x == 0:
            return self.context.mpf(0 if p > 0 else 1 if p == 0 else "inf")
        return self.context.power(x, p) if x > 0 else self.context.nan

    def _one_quotient(self, x: Any, y: Any) -> Any:
        if y == 0:
            return self.context.nan if x == 0 or x != x else self.context.inf if x > 0 else self.context.ninf
        return x / y

    def lift(self, value: Any) -> Array:
        return np.asarray(self._float(np.asarray(value, dtype=np.float64)), dtype=object)

    def nearest(self, x: Array) -> Array:
        return np.asarray(x, dtype=object).astype(np.float64)

    def divide(self, x: Array, y: Array) -> Array:
        return np.asarray(self._divide(x, y), dtype=object)

    def exp(self, x: Array) -> Array:
        return np.asarray(self._functions["exp"](x), dtype=object)

    def log(self, x: Array) -> Array:
        return np.asarray(self._functions["log"](x), dtype=object)

    def log1p(self, x: Array) -> Array:
        return np.asarray(self._functions["log1p"](x), dtype=object)

    def expm1(self, x: Array) -> Array:
        return np.asarray(self._functions["expm1"](x), dtype=object)

    def sqrt(self, x: Array) -> Array:
        return np.asarray(self._functions["sqrt"](x), dtype=object)

    def atan(self, x: Array) -> Array:
        return np.asarray(self._functions["atan"](x), dtype=object)

    def power(self, x: Array, p: float) -> Array:
        return np.asarray(self._power(x, self.context.mpf(p)), dtype=object)

    def product(self, x: Array, y: Array) -> Array:
        infinite = np.asarray(np.abs(np.asarray(y)) == self.context.inf, dtype=bool)
        return np.where(np.asarray(x == 0, dtype=bool) & infinite, self.context.mpf(0), self.multiply(x, y))

    def largest(self, x: Array, axis: int) -> Array:
        undefined = np.asarray(x != x, dtype=bool).any(axis=axis, keepdims=True)
        return np.asarray(np.where(undefined, self.context.nan, np.max(x, axis=axis, keepdims=True)), dtype=object)

    def chain(self, g: Array, d: Array) -> Array:
        return np.where(np.asarray(g == 0, dtype=bool), self.context.mpf(0), self.multiply(g, d))

    def chain_divide(self, g: Array, d: Array) -> Array:
        return np.where(np.asarray(g == 0, dtype=bool), self.context.mpf(0), self.divide(g, d))

    chain_inverse = chain_divide

    def sum(self, x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        rows, shape = _last(x, axis, keepdims)
        return np.asarray(np.sum(rows, axis=-1, initial=self.context.mpf(0)), dtype=object).reshape(shape)
