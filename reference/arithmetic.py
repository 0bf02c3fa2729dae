"""The operations of textbook forms, and their reverse mode.

A *textbook form* is a loss's defining formula as a competent implementer writes it. It is a plain function of the
loss's own arguments (without `reduction`), which returns the terms, or (terms, what "mean" divides by):

    @textbook(mse_loss)
    def mse_textbook(input, target, weight):
        d = input - target
        return weighted(d * d, weight)

It is written once and run in several *arithmetics* (`lossparity.reference.precision`): exactly (mpmath), in float64
with running errors, and in the dtype under test itself. So it may use only what stands here:

    + - * / and unary -     of operands, NumPy arrays and Python numbers
    > >= < <= and & | ~     comparisons, whose result is a `Mask` for `where`
    x[...], x.shape, x.ndim, x.reshape(shape), x.moveaxis(from, to), x.sum(axis, keepdims)
    exp log log1p expm1 sqrt atan absolute power(x, p)       elementwise; p is a Python number
    maximum(a, b, tie) minimum(a, b, tie) clip(x, low, high)  `tie`: the share of a's derivative where a = b
    where(mask, a, b)       chooses; the side that is not chosen is not felt, also where it is NaN or infinite
    where(mask.kink(), a, b)    of a comparison at whose equality a derivative (the second, too) jumps
    product(a, b)           a b, and 0 where a = 0 and b is infinite: the convention 0 log 0 = 0
    largest(x, axis)        the maximum along an axis, kept as an axis of length 1; ties share the derivative equally
    constant(x)             x without its derivative, as the shift of a softmax
    nearest(x)              the closest float64 numbers, a plain array: to choose by, as the place of a maximum
    with_slopes(value, (x, slope), ...)      a value whose derivatives a framework writes by hand
    custom(value, (x, back), ...)  a value whose derivative is not that of its operations: `back` takes the cotangent
                            to that of x, in these words too, as a framework's handwritten kernel does
    total(x, axis, keepdims), take_label(x, labels, axis), one_hot(labels, classes)

Every array of real numbers reaches a form as an `Operand`, in the common shape where the loss broadcasts; labels
reach it as int64 arrays, numbers as floats, flags and words as they are, and so does an array whose declaration says
`constant` (the bounds of a clip). Arrays that a form makes of labels are exact. x[index] must name no entry twice.
Where a smooth function is written in two branches, both come from one mask: with `yes = x >= 0`, -|x| is
`where(yes, -x, x)`; the derivative of `absolute` at 0 is 0, and so would be the function's.

Every operation's derivative is written with the operations of the same arithmetic, so each of them has reverse mode
for nothing: what it costs is counted as what the framework's autodiff does, one operation after the other. A cotangent
that is exactly 0 stays 0, whatever it is multiplied with.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


class Mask(NamedTuple):
    """Where a comparison holds, where rounding may have decided it, and where its sides are equal (None: nowhere).

    even: known of dual numbers alone (`lossparity.reference.dual`).
    """

    truth: Any
    doubt: Any = None
    even: Any = None

    def __and__(self, other: Any) -> Mask:
        other = as_mask(other)
        return Mask(self.truth & other.truth, _either(self.doubt, other.doubt), _either(self.even, other.even))

    def __or__(self, other: Any) -> Mask:
        other = as_mask(other)
        return Mask(self.truth | other.truth, _either(self.doubt, other.doubt), _either(self.even, other.even))

    def __invert__(self) -> Mask:
        return Mask(~self.truth, self.doubt, self.even)

    def kink(self) -> Mask:
        """The comparison of a kink: what is equal there is decided by nothing, for the derivative jumps."""
        return Mask(self.truth, _either(self.doubt, self.even), self.even)


def _either(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def as_mask(condition: Any) -> Mask:
    """A comparison of operands as it is; an array of truths without a doubt."""
    return condition if isinstance(condition, Mask) else Mask(np.asarray(condition, dtype=bool))


class Arithmetic(Protocol):
    """The primitive operations, on numbers (arrays) of the arithmetic's own kind.

    chain(g, d) is the product of a cotangent and a derivative: 0 where g is exactly 0; chain_divide(g, d) the quotient;
    chain_inverse(g, d) that as a quotient, or as the product with 1 / d that some autodiff takes. accumulate(a, b) is
    a + b, exact where one of them is exactly 0. each applies a function that only moves
    elements. nearest(x) is the closest float64.
    """

    def lift(self, value: Any) -> Any: ...
    def shape(self, x: Any) -> Shape: ...
    def nearest(self, x: Any) -> Array: ...
    def add(self, x: Any, y: Any) -> Any: ...
    def subtract(self, x: Any, y: Any) -> Any: ...
    def multiply(self, x: Any, y: Any) -> Any: ...
    def divide(self, x: Any, y: Any) -> Any: ...
    def negative(self, x: Any) -> Any: ...
    def absolute(self, x: Any) -> Any: ...
    def exp(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def log1p(self, x: Any) -> Any: ...
    def expm1(self, x: Any) -> Any: ...
    def sqrt(self, x: Any) -> Any: ...
    def atan(self, x: Any) -> Any: ...
    def power(self, x: Any, p: float) -> Any: ...
    def product(self, x: Any, y: Any) -> Any: ...
    def chain(self, g: Any, d: Any) -> Any: ...
    def chain_divide(self, g: Any, d: Any) -> Any: ...
    def chain_inverse(self, g: Any, d: Any) -> Any: ...
    def accumulate(self, x: Any, y: Any) -> Any: ...
    def sum(self, x: Any, axis: Any, keepdims: bool) -> Any: ...
    def largest(self, x: Any, axis: int) -> Any: ...
    def select(self, mask: Mask, x: Any, y: Any) -> Any: ...
    def extreme(self, mask: Mask, x: Any, y: Any) -> Any: ...
    def compare(self, x: Any, y: Any, how: Callable[[Any, Any], Any]) -> Mask: ...
    def constant(self, x: Any) -> Any: ...
    def each(self, move: Callable[[Array], Array], x: Any) -> Any: ...


class Tape:
    """What one run of a form computed, in order, so that derivatives can be taken backwards."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic: Any = arithmetic
        self.nodes: list[Operand] = []

    def leaf(self, value: Any, needed: bool = False) -> Operand:
        """An input; `needed` says that its gradient is asked for."""
        return self.record(self.arithmetic.lift(value), needed=needed)

    def record(self, number: Any, *parents: tuple[Operand, Callable[[Any], Any]], needed: bool = False) -> Operand:
        """The result of an operation; each operand with the function from the result's cotangent to its own."""
        kept = tuple([pair for pair in parents if pair[0].needed])
        node = Operand(self, number, kept, needed or bool(kept), len(self.nodes))
        self.nodes.append(node)
        return node

    def gradients(self, output: Operand, cotangent: Any, leaves: Mapping[str, Operand]) -> dict[str, Any]:
        """The gradient of each leaf under a cotangent of the output's shape, in the arithmetic's numbers."""
        a = self.arithmetic
        found: list[Any] = [None] * len(self.nodes)
        found[output.index] = a.lift(np.broadcast_to(np.asarray(cotangent, dtype=np.float64), output.shape))
        for node in reversed(self.nodes[: output.index + 1]):
            g = found[node.index]
            if g is None:
                continue
            for parent, back in node.parents:
                part = unbroadcast(a, back(g), parent.shape)
                before = found[parent.index]
                found[parent.index] = part if before is None else a.accumulate(before, part)
        nothing = {name: a.lift(np.zeros(leaf.shape)) for name, leaf in leaves.items() if found[leaf.index] is None}
        return {name: nothing.get(name, found[leaf.index]) for name, leaf in leaves.items()}


def unbroadcast(a: Any, x: Any, shape: Shape) -> Any:
    """`x` summed over the axes along which a number of `shape` was broadcast to reach it."""
    have = a.shape(x)
    if have == shape:
        return x
    if len(have) < len(shape) or np.broadcast_shapes(have, shape) == shape:
        return a.each(lambda array: np.broadcast_to(array, shape), x)
    added = len(have) - len(shape)
    stretched = [added + i for i, n in enumerate(shape) if n == 1 and have[added + i] != 1]
    summed = a.sum(x, (*range(added), *stretched), False)
    return a.each(lambda array: np.broadcast_to(np.reshape(array, shape), shape), summed)


class Operand:
    """A number (an array) of a textbook form; see the module's vocabulary."""

    __slots__ = ("index", "needed", "number", "parents", "shape", "tape")
    __array_ufunc__ = None  # so that array + operand comes here

    def __init__(
        self, tape: Tape, number: Any, parents: tuple[tuple[Operand, Callable[[Any], Any]], ...], needed: bool, i: int
    ) -> None:
        self.tape, self.number, self.parents, self.needed, self.index = tape, number, parents, needed, i
        self.shape: Shape = tape.arithmetic.shape(number)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __float__(self) -> float:
        return float(self.tape.arithmetic.nearest(self.number))

    def lift(self, other: Any) -> Operand:
        """Another operand as it is; a NumPy array or a Python number on the same tape."""
        return other if isinstance(other, Operand) else self.tape.leaf(other)

    def __add__(self, other: Any) -> Operand:
        if isinstance(other, (int, float)) and other == 0:
            return self
        other = self.lift(other)
        number = self.tape.arithmetic.add(self.number, other.number)
        return self.tape.record(number, (self, _same), (other, _same))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Operand:
        other, a = self.lift(other), self.tape.arithmetic
        return self.tape.record(a.subtract(self.number, other.number), (self, _same), (other, a.negative))

    def __rsub__(self, other: Any) -> Operand:
        return self.lift(other) - self

    def __mul__(self, other: Any) -> Operand:
        other, a = self.lift(other), self.tape.arithmetic
        x, y = self.number, other.number
        return self.tape.record(a.multiply(x, y), (self, lambda g: a.chain(g, y)), (other, lambda g: a.chain(g, x)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Operand:
        a = self.tape.arithmetic
        back = a.chain_divide if isinstance(other, Operand) else a.chain_inverse  # kernels know 1 / n of a constant n
        other = self.lift(other)
        y = other.number
        z = a.divide(self.number, y)
        return self.tape.record(
            z,
            (self, lambda g: back(g, y)),
            (other, lambda g: a.negative(a.chain(g, a.divide(z, y)))),
        )

    def __rtruediv__(self, other: Any) -> Operand:
        return self.lift(other) / self

    def __neg__(self) -> Operand:
        a = self.tape.arithmetic
        return self.tape.record(a.negative(self.number), (self, a.negative))

    def _compare(self, other: Any, how: Callable[[Any, Any], Any]) -> Mask:
        mask: Mask = self.tape.arithmetic.compare(self.number, self.lift(other).number, how)
        return mask

    def __gt__(self, other: Any) -> Mask:
        return self._compare(other, operator.gt)

    def __ge__(self, other: Any) -> Mask:
        return self._compare(other, operator.ge)

    def __lt__(self, other: Any) -> Mask:
        return self._compare(other, operator.lt)

    def __le__(self, other: Any) -> Mask:
        return self._compare(other, operator.le)

    def equals(self, other: Any) -> Mask:
        """Where both are equal."""
        return self._compare(other, operator.eq)

    def _moved(self, there: Callable[[Array], Array], back: Callable[[Array], Array]) -> Operand:
        a = self.tape.arithmetic
        return self.tape.record(a.each(there, self.number), (self, lambda g: a.each(back, g)))

    def __getitem__(self, index: Any) -> Operand:
        shape = self.shape

        def scatter(g: Array) -> Array:
            whole = np.zeros(shape, dtype=g.dtype)
            whole[index] = g
            return whole

        return self._moved(lambda array: array[index], scatter)

    def reshape(self, *shape: Any) -> Operand:
        """The same elements in another shape."""
        old = self.shape
        return self._moved(lambda array: array.reshape(*shape), lambda g: g.reshape(old))

    def moveaxis(self, source: int, destination: int) -> Operand:
        """An axis in another place."""
        return self._moved(
            lambda array: np.moveaxis(array, source, destination), lambda g: np.moveaxis(g, destination, source)
        )

    def sum(self, axis: Any = None, keepdims: bool = False) -> Operand:
        """The sum along an axis, several, or all."""
        return total(self, axis, keepdims)


def _same(g: Any) -> Any:
    return g


def exp(x: Operand) -> Operand:
    """e^x."""
    a = x.tape.arithmetic
    z = a.exp(x.number)
    return x.tape.record(z, (x, lambda g: a.chain(g, z)))


def expm1(x: Operand) -> Operand:
    """e^x - 1."""
    a = x.tape.arithmetic
    z = a.expm1(x.number)
    return x.tape.record(z, (x, lambda g: a.chain(g, a.add(z, a.lift(1.0)))))


def log(x: Operand) -> Operand:
    """The natural logarithm."""
    a = x.tape.arithmetic
    return x.tape.record(a.log(x.number), (x, lambda g: a.chain_inverse(g, x.number)))


def log1p(x: Operand) -> Operand:
    """log(1 + x)."""
    a = x.tape.arithmetic
    return x.tape.record(a.log1p(x.number), (x, lambda g: a.chain_inverse(g, a.add(x.number, a.lift(1.0)))))


def sqrt(x: Operand) -> Operand:
    """The square root."""
    a = x.tape.arithmetic
    z = a.sqrt(x.number)
    return x.tape.record(z, (x, lambda g: a.chain_divide(g, a.multiply(z, a.lift(2.0)))))


def atan(x: Operand) -> Operand:
    """The arc tangent."""
    a = x.tape.arithmetic
    n = x.number
    return x.tape.record(a.atan(n), (x, lambda g: a.chain_inverse(g, a.add(a.multiply(n, n), a.lift(1.0)))))


def power(x: Operand, p: float) -> Operand:
    """x^p for x >= 0. 0^0 is 1, and its derivative 0."""
    if p == 0.0:
        return x.tape.leaf(np.ones(x.shape))
    if p == 1.0:
        return x
    if p == 2.0:
        return x * x
    a = x.tape.arithmetic

    def slope() -> Any:
        return a.multiply(a.lift(p), a.power(x.number, p - 1.0))

    return x.tape.record(a.power(x.number, p), (x, lambda g: a.chain(g, slope())))


def absolute(x: Operand) -> Operand:
    """|x|; the derivative at 0 is 0."""
    a = x.tape.arithmetic
    n, nought = x.number, a.lift(0.0)

    def back(g: Any) -> Any:
        negative = a.select(a.compare(n, nought, operator.lt), a.negative(g), a.lift(0.0))
        return a.select(a.compare(n, nought, operator.gt).kink(), g, negative)

    return x.tape.record(a.absolute(n), (x, back))


def where(condition: Any, one: Any, other: Any) -> Operand:
    """`one` where the condition holds, else `other`."""
    mask = as_mask(condition)
    tape = _tape(one, other)
    a = tape.arithmetic
    x, y = (each if isinstance(each, Operand) else tape.leaf(each) for each in (one, other))
    return tape.record(
        a.select(mask, x.number, y.number),
        (x, lambda g: a.select(mask, g, a.lift(0.0))),
        (y, lambda g: a.select(mask, a.lift(0.0), g)),
    )


def _tape(*operands: Any) -> Tape:
    for each in operands:
        if isinstance(each, Operand):
            return each.tape
    raise TypeError("one of the two must be an operand")


def maximum(one: Any, other: Any, tie: float = 0.5) -> Operand:
    """The larger one. Where they are equal, `tie` is the share of the first in the derivative."""
    return _extreme(one, other, tie, operator.gt)


def minimum(one: Any, other: Any, tie: float = 0.5) -> Operand:
    """The smaller one. Where they are equal, `tie` is the share of the first in the derivative."""
    return _extreme(one, other, tie, operator.lt)


def _extreme(one: Any, other: Any, tie: float, wins: Callable[[Any, Any], Any]) -> Operand:
    tape = _tape(one, other)
    a = tape.arithmetic
    x, y = (each if isinstance(each, Operand) else tape.leaf(each) for each in (one, other))
    first = a.compare(x.number, y.number, wins).kink()

    def back(share: float, mine: Mask) -> Callable[[Any], Any]:
        def of(g: Any) -> Any:
            even = a.compare(x.number, y.number, operator.eq)
            part = a.select(mine, g, a.lift(0.0))
            if not np.any(even.truth):
                return part
            return a.select(Mask(even.truth, even.even), a.multiply(g, a.lift(share)), part)

        return of

    mask = Mask(first.truth | np.asarray(a.nearest(x.number) != a.nearest(x.number)), first.doubt)  # NaN stays NaN
    return tape.record(
        a.extreme(mask, x.number, y.number),
        (x, back(tie, first)),
        (y, back(1.0 - tie, ~first)),
    )


def clip(x: Operand, low: Any, high: Any) -> Operand:
    """x moved into [low, high]; the derivative is 1 there, the ends included, and 0 outside."""
    return minimum(maximum(x, low, tie=1.0), high, tie=1.0)


def product(one: Any, other: Any) -> Operand:
    """one * other, and 0 where `one` is 0 and `other` infinite; NaN stays NaN."""
    tape = _tape(one, other)
    a = tape.arithmetic
    x, y = (each if isinstance(each, Operand) else tape.leaf(each) for each in (one, other))
    return tape.record(
        a.product(x.number, y.number),
        (x, lambda g: a.chain(g, y.number)),
        (y, lambda g: a.product(x.number, g)),
    )


def weighted(terms: Operand, weight: Operand | None) -> Operand:
    """terms * weight where there is a weight, with 0 * inf = 0."""
    return terms if weight is None else product(weight, terms)


def total(x: Operand, axis: Any = None, keepdims: bool = False) -> Operand:
    """The sum along an axis, several, or all, pair by pair."""
    a = x.tape.arithmetic
    shape = x.shape
    axes = tuple(range(x.ndim)) if axis is None else tuple(i % x.ndim for i in np.atleast_1d(axis).tolist())
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))

    def back(g: Any) -> Any:
        return a.each(lambda array: np.broadcast_to(np.reshape(array, kept), shape), g)

    return x.tape.record(a.sum(x.number, axes, keepdims), (x, back))


def largest(x: Operand, axis: int) -> Operand:
    """The maximum along an axis, which is kept with length 1; entries that tie share the derivative equally."""
    a = x.tape.arithmetic
    top = a.largest(x.number, axis)

    def back(g: Any) -> Any:
        mask = a.compare(x.number, top, operator.ge)
        ties = np.count_nonzero(mask.truth, axis=axis, keepdims=True).astype(np.float64)
        share = a.divide(g, a.lift(ties))
        whole = a.each(lambda array: np.broadcast_to(array, x.shape), share)
        return a.select(mask, whole, a.lift(0.0))

    return x.tape.record(top, (x, back))


def cast(x: Operand, to: Arithmetic) -> Operand:
    """x in another arithmetic, in which the tape goes on; its cotangent comes back in that of before."""
    tape = x.tape
    before = tape.arithmetic
    tape.arithmetic = to
    return tape.record(to.add(x.number, to.lift(0.0)), (x, lambda g: before.add(g, before.lift(0.0))))


def constant(x: Operand) -> Operand:
    """x without its derivative."""
    return x.tape.record(x.tape.arithmetic.constant(x.number))


def nearest(x: Operand) -> Array:
    """The closest float64 numbers."""
    numbers: Array = x.tape.arithmetic.nearest(x.number)
    return numbers


def with_slopes(value: Operand, *slopes: tuple[Operand, Operand]) -> Operand:
    """`value` with a derivative in each x that is not its own but the given slope, elementwise in x."""

    def times(slope: Operand) -> Callable[[Operand], Operand]:
        return lambda g: product(g, slope)

    tape = value.tape
    handwritten = getattr(tape.arithmetic, "handwritten", None)  # of dual numbers, whose tangents follow the slopes too
    if handwritten is not None:
        number = handwritten(value.number, [(x.number, slope.number) for x, slope in slopes])
        value = Operand(tape, number, (), False, -1)
    return custom(value, *((x, times(slope)) for x, slope in slopes))


def custom(value: Operand, *parents: tuple[Operand, Callable[[Operand], Operand]]) -> Operand:
    """`value`, whose cotangent reaches each operand x through its own function instead of the operations of value."""
    tape = value.tape

    def back(rule: Callable[[Operand], Operand]) -> Callable[[Any], Any]:
        return lambda g: rule(Operand(tape, g, (), False, -1)).number

    return tape.record(value.number, *((x, back(rule)) for x, rule in parents))


def one_hot(labels: Array, classes: int, axis: int = -1) -> Array:
    """1 at each label, 0 elsewhere, the classes along a new axis."""
    hot = (labels[..., None] == np.arange(classes)).astype(np.float64)
    return np.moveaxis(hot, -1, axis)


def take_label(x: Operand, labels: Array, axis: int = -1) -> Operand:
    """x at each label along `axis`, which goes: labels has the shape of x without it."""
    axis %= x.ndim
    places: list[Any] = list(np.indices(labels.shape))
    places.insert(axis, labels)
    return x[tuple(places)]
