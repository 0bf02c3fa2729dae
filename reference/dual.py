"""Dual numbers over any arithmetic: a textbook form runs over them, and its reverse sweep gives second derivatives.

Beside each number stands its tangent: the derivative along a direction in which the inputs move. The form over dual
numbers carries tangents forward; the reverse sweep over them (`lossparity.reference.arithmetic.Tape`) returns the
gradient, whose tangent is the Hessian times that direction. Both parts are numbers of the arithmetic below, so that a
tangent has a running error (`Bounded`), is what the dtype computes (`Native`), or is exact (`Exact`).

A tangent of None is exactly 0, and stays so whatever it is multiplied with. `constant` has none: what a form holds
fixed under the first derivative, it holds fixed under the second. Where the two sides of a maximum or of a `kink` are
equal the second derivative does not exist; the tangent is that of one side, and a running error reaches to the other.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from lossparity.reference.arithmetic import Array, Mask, Shape


class Dual(NamedTuple):
    """A number and its tangent, of the same shape."""

    value: Any
    tangent: Any = None


class Duals:
    """The arithmetic of dual numbers whose parts are numbers of `parts`."""

    def __init__(self, parts: Any) -> None:
        self.parts = parts

    def lift(self, value: Any) -> Dual:
        return Dual(self.parts.lift(value))

    def along(self, value: Array, direction: Array) -> Dual:
        """An input that moves along a direction of its shape."""
        return Dual(self.parts.lift(value), self.parts.lift(direction))

    def tangent(self, x: Dual) -> Any:
        """The tangent as a number of its own."""
        return self._filled(x.tangent, self.parts.shape(x.value))

    def shape(self, x: Dual) -> Shape:
        shape: Shape = self.parts.shape(x.value)
        return shape

    def nearest(self, x: Dual) -> Array:
        near: Array = self.parts.nearest(x.value)
        return near

    def add(self, x: Dual, y: Dual) -> Dual:
        return self._sum(x, y, self.parts.add)

    def subtract(self, x: Dual, y: Dual) -> Dual:
        return self.add(x, self.negative(y))

    def accumulate(self, x: Dual, y: Dual) -> Dual:
        return self._sum(x, y, self.parts.accumulate)

    def _sum(self, x: Dual, y: Dual, add: Callable[[Any, Any], Any]) -> Dual:
        return self._dual(add(x.value, y.value), x.tangent, y.tangent)

    def multiply(self, x: Dual, y: Dual) -> Dual:
        chain = self.parts.chain
        z = self.parts.multiply(x.value, y.value)
        return self._dual(z, _through(chain, x.tangent, y.value), _through(chain, y.tangent, x.value))

    def divide(self, x: Dual, y: Dual) -> Dual:
        z = self.parts.divide(x.value, y.value)
        return self._quotient(z, x, y, _through(self.parts.chain, y.tangent, z), self.parts.chain_divide)

    def _quotient(self, z: Any, x: Dual, y: Dual, moved: Any, over: Callable[[Any, Any], Any]) -> Dual:
        # z = x / y;  dz = (dx - z dy) / y, of which `moved` is z dy
        a = self.parts
        above = self._dual(z, x.tangent, None if moved is None else a.negative(moved)).tangent
        return self._dual(z, _through(over, above, y.value))

    def negative(self, x: Dual) -> Dual:
        return Dual(*(None if part is None else self.parts.negative(part) for part in x))

    def absolute(self, x: Dual) -> Dual:
        a = self.parts
        if x.tangent is None:
            return Dual(a.absolute(x.value))
        nought, still = a.lift(0.0), a.lift(np.zeros(a.shape(x.value)))
        up = self.compare(x, Dual(nought), operator.gt).kink()
        down = self.compare(x, Dual(nought), operator.lt)
        return Dual(a.absolute(x.value), a.select(up, x.tangent, a.select(down, a.negative(x.tangent), still)))

    def exp(self, x: Dual) -> Dual:
        z = self.parts.exp(x.value)
        return self._dual(z, _through(self.parts.chain, x.tangent, z))

    def expm1(self, x: Dual) -> Dual:
        z = self.parts.expm1(x.value)
        slope = None if x.tangent is None else self.parts.add(z, self.parts.lift(1.0))
        return self._dual(z, _through(self.parts.chain, x.tangent, slope))

    def log(self, x: Dual) -> Dual:
        return self._dual(self.parts.log(x.value), _through(self.parts.chain_inverse, x.tangent, x.value))

    def log1p(self, x: Dual) -> Dual:
        whole = None if x.tangent is None else self.parts.add(x.value, self.parts.lift(1.0))
        return self._dual(self.parts.log1p(x.value), _through(self.parts.chain_inverse, x.tangent, whole))

    def sqrt(self, x: Dual) -> Dual:
        z = self.parts.sqrt(x.value)
        twice = None if x.tangent is None else self.parts.multiply(z, self.parts.lift(2.0))
        return self._dual(z, _through(self.parts.chain_divide, x.tangent, twice))

    def atan(self, x: Dual) -> Dual:
        a = self.parts
        whole = None if x.tangent is None else a.add(a.multiply(x.value, x.value), a.lift(1.0))
        return self._dual(a.atan(x.value), _through(a.chain_inverse, x.tangent, whole))

    def power(self, x: Dual, p: float) -> Dual:
        a = self.parts
        z = a.power(x.value, p)
        if x.tangent is None or p == 0.0:
            return Dual(z)
        slope = x.value if p == 2.0 else a.power(x.value, p - 1.0)
        return self._dual(z, x.tangent if p == 1.0 else a.chain(x.tangent, a.multiply(a.lift(p), slope)))

    def product(self, x: Dual, y: Dual) -> Dual:
        a = self.parts
        of_y = None if y.tangent is None else a.product(x.value, y.tangent)
        return self._dual(a.product(x.value, y.value), _through(a.chain, x.tangent, y.value), of_y)

    def handwritten(self, value: Dual, slopes: Sequence[tuple[Dual, Dual]]) -> Dual:
        """A value whose tangent is that of the given slopes, not that of its operations."""
        return self._dual(value.value, *(_through(self.parts.chain, x.tangent, slope.value) for x, slope in slopes))

    def chain(self, g: Dual, d: Dual) -> Dual:
        chain = self.parts.chain
        of_d = None if d.tangent is None else chain(g.value, d.tangent)
        return self._dual(chain(g.value, d.value), _through(chain, g.tangent, d.value), of_d)

    def chain_divide(self, g: Dual, d: Dual) -> Dual:
        return self._chain_over(g, d, self.parts.chain_divide)

    def chain_inverse(self, g: Dual, d: Dual) -> Dual:
        return self._chain_over(g, d, self.parts.chain_inverse)

    def _chain_over(self, g: Dual, d: Dual, over: Callable[[Any, Any], Any]) -> Dual:
        z = over(g.value, d.value)
        return self._quotient(z, g, d, None if d.tangent is None else self.parts.chain(z, d.tangent), over)

    def sum(self, x: Dual, axis: tuple[int, ...], keepdims: bool) -> Dual:
        return Dual(*(None if part is None else self.parts.sum(part, axis, keepdims) for part in x))

    def largest(self, x: Dual, axis: int) -> Dual:
        a = self.parts
        top = Dual(a.largest(x.value, axis))
        if x.tangent is None:
            return top
        mask = self.compare(x, top, operator.ge)
        ties = np.count_nonzero(mask.truth, axis=axis, keepdims=True).astype(np.float64)
        if np.any(ties > 1.0):
            mask = Mask(mask.truth, mask.truth & (ties > 1.0) if mask.doubt is None else mask.doubt | (ties > 1.0))
        moved = a.select(mask, x.tangent, a.lift(np.zeros(a.shape(x.value))))
        return Dual(top.value, a.divide(a.sum(moved, (axis % len(a.shape(moved)),), True), a.lift(ties)))

    def select(self, mask: Mask, x: Dual, y: Dual) -> Dual:
        return self._chosen(self.parts.select, mask, x, y)

    def extreme(self, mask: Mask, x: Dual, y: Dual) -> Dual:
        return self._chosen(self.parts.extreme, mask, x, y)

    def _chosen(self, choose: Callable[[Mask, Any, Any], Any], mask: Mask, x: Dual, y: Dual) -> Dual:
        z = choose(mask, x.value, y.value)
        if x.tangent is None and y.tangent is None:
            return Dual(z)
        sides = (self._filled(each.tangent, self.parts.shape(each.value)) for each in (x, y))
        return self._dual(z, self.parts.select(mask, *sides))

    def compare(self, x: Dual, y: Dual, how: Callable[[Any, Any], Any]) -> Mask:
        mask = self.parts.compare(x.value, y.value, how)
        even = self.parts.compare(x.value, y.value, operator.eq).truth
        return Mask(mask.truth, mask.doubt, even if even.any() else None)

    def constant(self, x: Dual) -> Dual:
        return Dual(self.parts.constant(x.value))

    def each(self, move: Callable[[Array], Array], x: Dual) -> Dual:
        return Dual(*(None if part is None else self.parts.each(move, part) for part in x))

    def _dual(self, value: Any, *tangents: Any) -> Dual:
        """A value whose tangent is the sum of those that are not None, in the value's shape."""
        tangent = None
        for each in tangents:
            if each is not None:
                tangent = each if tangent is None else self.parts.accumulate(tangent, each)
        shape = self.parts.shape(value)
        if tangent is not None and self.parts.shape(tangent) != shape:
            tangent = self.parts.each(lambda array: np.broadcast_to(array, shape), tangent)
        return Dual(value, tangent)

    def _filled(self, tangent: Any, shape: Shape) -> Any:
        return self.parts.lift(np.zeros(shape)) if tangent is None else tangent


def _through(chain: Callable[[Any, Any], Any], tangent: Any, slope: Any) -> Any:
    """A tangent times a derivative, or divided by one."""
    return None if tangent is None else chain(tangent, slope)
