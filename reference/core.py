"""What every loss shares: argument checks, broadcasting, reduction and the vector-Jacobian product.

A loss is one function, its *formula*. It receives checked float64 arrays of one common shape and
returns `Terms`: the loss of each element and a pullback that shares the forward's intermediates.
`loss` turns the formula into a `Loss`, which is what users call. Nothing below knows which loss it
serves, and no formula checks, broadcasts or reduces for itself.

`textbook` adds the loss's textbook form (`lossparity.reference.arithmetic`), a second definition that the first is
checked against and from which its tolerance is derived; checks, broadcasting and reduction are the same code.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lossparity.reference.arithmetic import Operand, Tape, cast, product
from lossparity.reference.arithmetic import unbroadcast as unbroadcast_number
from lossparity.reference.dual import Duals
from lossparity.reference.reduction import COMMON, fold_count, reduction_of

Array: TypeAlias = npt.NDArray[Any]
Gradients: TypeAlias = dict[str, Array]


class Terms(NamedTuple):
    """What a formula returns.

    value: the loss of each element, float64, any shape; the reduction's input.
    pullback: takes the cotangent of `value` (an array of its shape, or one number for all of it) and
        returns the gradient of each differentiable argument, by name, in the argument's (broadcast) shape.
    denominator: what reduction="mean" divides by; None: the number of terms.
    """

    value: Array
    pullback: Callable[[Array | float], Gradients]
    denominator: float | None = None


@dataclass(frozen=True)
class Real:
    """An array of real numbers. It reaches the formula as float64; `minimum` and `maximum` are inclusive."""

    differentiable: bool = False
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    constant: bool = False  # a parameter, not data: a textbook form gets it as the array that it is

    def __call__(self, name: str, value: Any) -> Array | None:
        if value is None and self.optional:
            return None
        array = as_array(name, value)
        if array.dtype != np.float64:
            array = array.astype(np.float64)
        if array.size and (self.minimum is not None or self.maximum is not None):
            self._in_range(name, array)
        return array

    def _in_range(self, name: str, array: Array) -> None:
        low, high = np.minimum.reduce(array, axis=None), np.maximum.reduce(array, axis=None)
        if low != low:  # NaN in is NaN out: only the numbers are held to the range
            low, high = np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None)
        lowest = -math.inf if self.minimum is None else self.minimum
        highest = math.inf if self.maximum is None else self.maximum
        if low < lowest or high > highest:
            raise ValueError(
                f"{name} must lie in [{lowest:g}, {highest:g}]; it holds {low if low < lowest else high!s}"
            )


@dataclass(frozen=True)
class Labels:
    """An array of whole numbers. It reaches the formula as int64; floating-point labels are a TypeError."""

    differentiable: bool = False
    optional: bool = False

    def __call__(self, name: str, value: Any) -> Array | None:
        if value is None and self.optional:
            return None
        array = as_array(name, value)
        if array.dtype.kind not in "iub" and array.size:
            raise TypeError(f"{name} must hold integer labels; its dtype is {array.dtype}")
        return array.astype(np.int64, copy=False)


@dataclass(frozen=True)
class Either:
    """Integer labels or real numbers: kept as given, integers as int64 and the rest as float64."""

    differentiable: bool = True
    optional: bool = False

    def __call__(self, name: str, value: Any) -> Array:
        array = as_array(name, value)
        return array.astype(np.int64 if array.dtype.kind in "iub" else np.float64, copy=False)


@dataclass(frozen=True)
class Number:
    """One real number between `minimum` and `maximum` (inclusive), or None where `optional`."""

    minimum: float = -math.inf
    maximum: float = math.inf
    optional: bool = False
    differentiable: bool = False

    def __call__(self, name: str, value: Any) -> float | None:
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
            raise TypeError(f"{name} must be a number; it is {value!r}")
        number = float(value)
        if number < self.minimum or number > self.maximum:  # NaN passes: NaN in is NaN out
            raise ValueError(f"{name} must lie in [{self.minimum:g}, {self.maximum:g}]; it is {value!r}")
        return number


@dataclass(frozen=True)
class Integer:
    """One whole number, or None where `optional`."""

    optional: bool = False
    differentiable: bool = False

    def __call__(self, name: str, value: Any) -> int | None:
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer; it is {value!r}")
        return int(value)


@dataclass(frozen=True)
class Axes:
    """An axis, several of them, or None for all; they reach the formula as a tuple or None."""

    differentiable: bool = False

    def __call__(self, name: str, value: Any) -> tuple[int, ...] | None:
        if value is None:
            return None
        axes = value if isinstance(value, (tuple, list)) else (value,)
        if any(isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) for axis in axes):
            raise TypeError(f"{name} must be an integer, integers or None; it is {value!r}")
        return tuple(int(axis) for axis in axes)


@dataclass(frozen=True)
class Flag:
    """True or False."""

    differentiable: bool = False

    def __call__(self, name: str, value: Any) -> bool:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False; it is {value!r}")
        return bool(value)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    differentiable: bool = False

    def __call__(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be one of {', '.join(self.words)}; it is {value!r}")
        if value not in self.words:
            raise ValueError(f"{name} must be one of {', '.join(self.words)}; it is {value!r}")
        return value


Argument: TypeAlias = Real | Labels | Either | Number | Integer | Axes | Flag | Choice

# Every loss takes these by keyword, unless its own formula has an argument of the name.
_COMMON: dict[str, tuple[Any, Argument]] = {
    "sample_weight": (None, Real(optional=True)),
    "average_last_axis": (False, Flag()),
    "sum_last_axis": (False, Flag()),
    "avg_factor": (None, Number(optional=True)),
    "zero_division": (math.nan, Number(optional=True)),
}


def as_array(name: str, value: Any) -> Array:
    """`value` as an array of numbers; TypeError for anything that is not (complex, text, ragged lists)."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} must be an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers; its dtype is {array.dtype}")
    return array


class Loss:
    """A reference loss: call it for the value, `vjp` for the value and its pullback."""

    def __init__(
        self,
        formula: Callable[..., Terms],
        arguments: Mapping[str, Argument],
        broadcast: Iterable[str],
        same_shape: Sequence[str],
        reductions: Sequence[str],
    ) -> None:
        signature = inspect.signature(formula)
        self.name = formula.__name__
        self.formula = formula
        self.__doc__ = formula.__doc__
        self.__name__ = self.name
        self.__module__ = formula.__module__
        self.reductions = tuple(reductions)
        self.arguments: dict[str, Argument] = dict(arguments)
        if reductions:
            self.arguments["reduction"] = Choice(self.reductions)
        extra = {} if not reductions else {n: pair for n, pair in _COMMON.items() if n not in signature.parameters}
        self.arguments.update({name: argument for name, (_, argument) in extra.items()})
        undeclared = set(signature.parameters) ^ (self.arguments.keys() - extra.keys())
        if undeclared:
            raise TypeError(f"{self.name}: declared and defined arguments differ in {sorted(undeclared)}")
        common = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, (default, _) in extra.items()
        ]
        # A formula's annotations are about the formula: it returns Terms, the loss a number or an array.
        own = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
        self.__signature__ = inspect.Signature([*own, *common])
        parameters = self.__signature__.parameters.values()
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self._ready: dict[str, Any] = {
            name: self.arguments[name](name, default) for name, default in self.defaults.items()
        }
        self.required = tuple(p.name for p in parameters if p.default is p.empty)
        self._positional = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
        self._broadcast = tuple(broadcast)
        self._same_shape = tuple(same_shape)
        self._weighs = "sample_weight" in extra
        self._own = tuple(n for n in signature.parameters if n != "reduction")
        self.differentiable = tuple(n for n, a in self.arguments.items() if a.differentiable)
        self.textbook: Callable[..., Any] | None = None
        self.twice_differentiable = False  # that there is something to check: not so where it is linear between kinks

    def __repr__(self) -> str:
        return f"<reference loss {self.name}{self.__signature__}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value, float64: a number, or an array of the terms' shape for reduction="none"."""
        return self._forward(args, kwargs)[0]

    def vjp(self, *args: Any, **kwargs: Any) -> tuple[Any, Callable[..., Gradients]]:
        """The value and its pullback.

        The pullback takes the cotangent, an array of the value's shape (1 when left out and the value is one
        number), and returns {name: gradient}, one float64 array per differentiable argument in that
        argument's own shape. ValueError where the cotangent does not fit.
        """
        value, terms, spread, shapes = self._forward(args, kwargs)

        def pullback(cotangent: Any = None) -> Gradients:
            g = spread(_seed(cotangent, value))
            with np.errstate(all="ignore"):
                gradients = terms.pullback(g)
            return {name: _unbroadcast(gradient, shapes[name]) for name, gradient in gradients.items()}

        return value, pullback

    def evaluate(
        self,
        arithmetic: Any,
        arguments: Mapping[str, Any],
        cotangent: Any = None,
        form: Callable[..., Any] | None = None,
        reduced_in: Any = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The textbook form's value and gradients under `cotangent`, in the numbers of `arithmetic`.

        arguments: those of the loss, by name. The cotangent is as in `vjp`. form: another form than the loss's own
        (a function of the same arguments), as a dialect's computed_as names one. reduced_in: another arithmetic, to
        which the terms are cast before they are weighed and reduced, and from which the result is cast back.
        """
        return self.swept(arithmetic, arguments, cotangent, form, {}, reduced_in)

    def second(
        self,
        arithmetic: Any,
        arguments: Mapping[str, Any],
        directions: Mapping[str, Any],
        cotangent: Any = None,
        form: Callable[..., Any] | None = None,
        reduced_in: Any = None,
    ) -> dict[str, Any]:
        """The derivative of every gradient as the arguments move along `directions`: Hessian-vector products.

        directions: arrays of the arguments' shapes, by name; the differentiable arguments that are not there stay.
        The result is in the numbers of `arithmetic`, of the textbook form over dual numbers; the rest as in `evaluate`.
        """
        unknown = sorted(directions.keys() - set(self.differentiable))
        if unknown:
            raise TypeError(f"{self.name} has no derivative in {', '.join(unknown)}; only in {self.differentiable}")
        duals, others = Duals(arithmetic), None if reduced_in is None else Duals(reduced_in)
        _, gradients = self.swept(duals, arguments, cotangent, form, directions, others)
        return {name: duals.tangent(gradient) for name, gradient in gradients.items()}

    def swept(
        self,
        arithmetic: Any,
        arguments: Mapping[str, Any],
        cotangent: Any,
        form: Callable[..., Any] | None,
        directions: Mapping[str, Any],
        reduced_in: Any = None,
    ) -> tuple[Any, dict[str, Any]]:
        """The form forward, and its reverse sweep."""
        form = form or self.textbook
        if form is None:
            raise NotImplementedError(f"{self.name} has no textbook form")
        bound, shapes, scalar = self._bound((), arguments)
        tape = Tape(arithmetic)
        with np.errstate(all="ignore"):
            operands = {name: self._operand(tape, name, bound[name], directions.get(name)) for name in self._own}
            found = form(**{name: operands[name] for name in _parameters(form)})
            terms, denominator = found if isinstance(found, tuple) else (found, None)
            if scalar:
                terms = terms.reshape(())
            count = fold_count(terms.shape, bound) if self.reductions else None
            if count is not None:
                terms, denominator = terms.sum(axis=-1) / float(count), None
            if reduced_in is not None:
                terms = cast(terms, reduced_in)
            value = terms
            if self.reductions:
                weight = bound["sample_weight"] if self._weighs else None
                weight, denominator = reduction_of(
                    terms.shape,
                    denominator,
                    weight,
                    bound,
                    shapes[self.differentiable[0]][:1],
                    lambda w: tape.leaf(w).sum(),
                )
                weighted = terms if weight is None else product(tape.leaf(weight), terms)
                if denominator is None:
                    value = weighted
                elif float(denominator) == 0.0:
                    value = weighted.sum() * 0.0 + bound["zero_division"]
                else:
                    value = weighted.sum() / denominator
            if reduced_in is not None:
                value = cast(value, arithmetic)
            shape = value.shape
            seed = _seed(cotangent, np.zeros(shape))
            leaves = {name: operands[name] for name in self.differentiable if isinstance(operands[name], Operand)}
            gradients = tape.gradients(value, seed, leaves)
            return value.number, {
                name: unbroadcast_number(arithmetic, number, shapes[name]) for name, number in gradients.items()
            }

    def _operand(self, tape: Tape, name: str, value: Any, direction: Any) -> Any:
        """Data as an operand, which may move along a direction; labels, numbers, words and constants as they are."""
        argument = self.arguments[name]
        data = isinstance(argument, (Real, Either)) and isinstance(value, np.ndarray) and value.dtype.kind == "f"
        if not data or (isinstance(argument, Real) and argument.constant):
            return value
        if direction is None:
            return tape.leaf(value, needed=argument.differentiable)
        moving = tape.arithmetic.along(value, np.broadcast_to(as_array(f"direction of {name}", direction), value.shape))
        return tape.record(moving, needed=True)

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The call's arguments by name, defaults filled in; TypeError as Python would raise it."""
        return {**self.defaults, **self._given(args, kwargs)}

    def _given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if len(args) > len(self._positional):
            raise TypeError(f"{self.name}() takes {len(self._positional)} positional arguments; {len(args)} were given")
        given = dict(zip(self._positional, args, strict=False))
        for name in kwargs:
            if name in given:
                raise TypeError(f"{self.name}() got {name} twice, by position and by name")
            if name not in self.arguments:
                raise TypeError(f"{self.name}() has no argument {name!r}; it takes {', '.join(self.arguments)}")
        given.update(kwargs)
        missing = [name for name in self.required if name not in given]
        if missing:
            raise TypeError(f"{self.name}() needs {' and '.join(missing)}")
        return given

    def _forward(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Terms, Callable[[Any], Any], dict[str, tuple[int, ...]]]:
        bound, shapes, scalar = self._bound(args, kwargs)
        with np.errstate(all="ignore"):  # an overflow or 0/0 is part of the answer: inf and NaN are returned
            terms = self.formula(**{name: bound[name] for name in self._own})
            if scalar:
                terms = terms._replace(value=terms.value.reshape(()))
            if not self.reductions:
                return terms.value, terms, lambda g: g, shapes
            count = fold_count(terms.value.shape, bound)
            if count is not None:
                terms = _fold_last_axis(terms, count)
            weight = bound["sample_weight"] if self._weighs else None
            value, spread = _reduce(terms, weight, bound, batch=shapes[self.differentiable[0]][:1])
        return value, terms, spread, shapes

    def _bound(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, tuple[int, ...]], bool]:
        """The checked arguments, broadcast; the shapes that the differentiable ones came in; whether all was ()."""
        bound = self._ready.copy()  # the defaults, checked once
        for name, value in self._given(args, kwargs).items():
            bound[name] = self.arguments[name](name, value)
        shapes = {name: bound[name].shape for name in self.differentiable}
        return bound, shapes, self._broadcast_arguments(bound)

    def _broadcast_arguments(self, bound: dict[str, Any]) -> bool:
        """Give the arguments that broadcast one shape; True if that is (), for which the formula gets (1,)."""
        for name in self._same_shape[1:]:
            model = self._same_shape[0]
            if bound[name].shape != bound[model].shape:
                raise ValueError(
                    f"{name} must have the shape of {model}, {bound[model].shape}; its shape is {bound[name].shape}"
                )
        present = [name for name in self._broadcast if bound[name] is not None]
        shapes = {bound[name].shape for name in present}
        if len(shapes) > 1:
            try:
                shape = np.broadcast_shapes(*shapes)
            except ValueError:
                listed = ", ".join(f"{name} {bound[name].shape}" for name in present)
                raise ValueError(f"these shapes must broadcast against each other: {listed}") from None
            for name in present:
                bound[name] = np.broadcast_to(bound[name], shape)
        elif shapes == {()}:  # of shape () NumPy makes numbers, into which a formula could not write
            for name in present:
                bound[name] = bound[name].reshape(1)
            return True
        return False


def _reduce(
    terms: Terms, weight: Array | None, bound: Mapping[str, Any], batch: tuple[int, ...]
) -> tuple[Any, Callable[[Array | float], Array | float]]:
    """The reduced value, and what takes its cotangent to that of the terms."""
    value, zero_division = terms.value, bound["zero_division"]
    weight, denominator = reduction_of(value.shape, terms.denominator, weight, bound, batch, lambda w: float(np.sum(w)))
    if denominator is None:
        return (value, lambda g: g) if weight is None else (value * weight, lambda g: g * weight)
    total = float(np.add.reduce(value, axis=None) if weight is None else np.vdot(value, weight))
    if denominator == 0:
        slope = math.nan if math.isnan(zero_division) else 0.0
        return np.float64(zero_division), lambda g: g * slope
    return np.float64(total / denominator), lambda g: (g if weight is None else g * weight) / denominator


def _fold_last_axis(terms: Terms, divisor: int) -> Terms:
    """The terms averaged or summed over their last axis, as Keras does before it weighs and reduces."""
    shape = terms.value.shape
    count = np.float64(divisor)
    value = terms.value.sum(axis=-1) / count

    def spread(g: Array | float) -> Array | float:
        if not np.ndim(g):
            return float(g / count)
        full: Array = np.broadcast_to(np.expand_dims(g, -1), shape) / count
        return full

    return Terms(value, lambda g: terms.pullback(spread(g)))


def _seed(cotangent: Any, value: Any) -> Any:
    """The cotangent as float64, or 1 where none is given for a single number."""
    shape = np.shape(value)
    if cotangent is None:
        if shape:
            raise ValueError(f"the value has shape {shape}, so the pullback needs a cotangent of that shape")
        return 1.0
    array = as_array("cotangent", cotangent).astype(np.float64, copy=False)
    if array.shape != shape:
        raise ValueError(f"cotangent must have the value's shape {shape}; its shape is {array.shape}")
    return array if shape else float(array)


def _unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum the gradient over the axes along which its argument was broadcast."""
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    stretched = [added + i for i, n in enumerate(shape) if n == 1 and gradient.shape[added + i] != 1]
    return np.asarray(np.sum(gradient, axis=(*range(added), *stretched))).reshape(shape)


def loss(
    arguments: Mapping[str, Argument],
    *,
    broadcast: Iterable[str] = (),
    same_shape: Sequence[str] = (),
    reductions: Sequence[str] = COMMON,
) -> Callable[[Callable[..., Terms]], Loss]:
    """Make a `Loss` of a formula.

    arguments: what each argument of the formula may be (all but `reduction`).
    broadcast: the arguments that are broadcast to one common shape before the formula sees them.
    same_shape: those among them whose shapes must be equal.
    reductions: those the loss offers; none of them for an activation, which is never reduced.
    """
    return lambda formula: Loss(formula, arguments, broadcast, same_shape, reductions)


def textbook(of: Loss, *, linear: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the textbook form of a loss (see `lossparity.reference.arithmetic` for what it may use).

    It takes the loss's own arguments, all but `reduction`, and returns the terms, or (terms, what "mean" divides by).
    linear: between its kinks the loss is linear in what it is differentiated in, and has no second derivative to check.
    """

    def register(form: Callable[..., Any]) -> Callable[..., Any]:
        names = _parameters(form)
        if set(names) != set(of._own):
            raise TypeError(f"the textbook form of {of.name} takes {sorted(names)}; the loss {sorted(of._own)}")
        of.textbook = form
        of.twice_differentiable = not linear
        return form

    return register


@functools.cache
def _parameters(form: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(form).parameters)
