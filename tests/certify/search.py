"""The search for the inputs at which a loss's fast form is worst, in ULP of the exact result.

A *subject* is a loss, a second definition of it, and regimes: each draws a random point (the loss's arguments by
name, and "cotangent" where it is not to be 1) and says which numbers belong to it. From the worst of some random points
the search climbs by small and large moves of single numbers. Everything is seeded and bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from exact import Dual, mp, to_mp, variables

from lossparity.reference import Loss
from lossparity.reference.precision import Exact

PRECISION = 1300  # bits: e^-745 still counts beside 1
EXACT = Exact(mp)
BAR = {"value": 4.0, "gradient": 8.0}  # ULP per element, where the result is well conditioned

Point = dict[str, Any]


@dataclass(frozen=True)
class Regime:
    """Random points, and the sizes that a number other than 0 may have in them."""

    draw: Callable[[np.random.Generator], Point]
    smallest: float = 0.0
    largest: float = math.inf

    def holds(self, point: Point) -> bool:
        for name in movable(point):
            size = np.abs(np.asarray(point[name]))
            size = size[size > 0.0]
            if not (size.min(initial=math.inf) >= self.smallest and size.max(initial=0.0) <= self.largest):
                return False
        return True


@dataclass(frozen=True)
class Subject:
    """A loss, a definition of it that knows nothing of its two forms, and where to look.

    definition: takes the point's arguments by name, the differentiable ones as object arrays of Dual, other floats as
        mpf, and returns the terms (reduction "none") as an object array of Dual, of any shape.
    fixed: arguments that are never moved: labels and signs that are stored as floats.
    domain: between what numbers an argument is moved, where the loss itself takes others too.
    """

    loss: Loss
    definition: Callable[..., Any]
    regimes: Mapping[str, Regime]
    fixed: tuple[str, ...] = ()
    domain: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    name: str = ""  # of a dialect that is a function of its own; the loss's where there is none

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.loss.name)

    def holds(self, point: Point) -> bool:
        return all(
            bool(np.all((low <= np.asarray(point[name])) & (np.asarray(point[name]) <= high)))
            for name, (low, high) in self.domain.items()
            if name in point
        )


class Result(NamedTuple):
    """The error of one number of one aspect ("value", "gradient:input") at one point, in ULP."""

    error: float
    at: int
    got: float
    want: Any


class Worst(NamedTuple):
    """The worst input found: its error in ULP, the condition number there, and error / (bar max(1, condition))."""

    aspect: str
    regime: str
    error: float
    condition: float
    share: float
    got: float
    want: float
    point: Point


def movable(point: Point) -> list[str]:
    """The names of a point's real numbers and arrays of them."""
    return [name for name, x in point.items() if isinstance(x, float) or getattr(x, "dtype", None) == np.float64]


def ulps(got: float, want: Any) -> float:
    """|got - want| in the spacing of float64 at want; 0 for an infinity where want lies beyond the largest float."""
    rounded = float(want)
    if math.isnan(got) or math.isnan(rounded):
        return 0.0 if math.isnan(got) and math.isnan(rounded) else math.inf
    if math.isinf(rounded) or math.isinf(got):
        # the largest numbers may overflow when they are rounded once more
        return 0.0 if got == rounded or min(abs(got), abs(rounded)) > 1.7976931348623e308 else math.inf
    return float(abs(mp.mpf(got) - want) / mp.mpf(float(np.spacing(abs(rounded)))))


def exact(subject: Subject, point: Point) -> dict[str, Any]:
    """The textbook form's value and gradients, flat arrays of mpf. Called within mp.workprec(PRECISION).

    ZeroDivisionError where one of them is infinite or not defined: that is a convention, which the loss's tests hold.
    """
    value, gradients = subject.loss.evaluate(EXACT, *called(subject, point))
    results = {"value": np.ravel(value), **{f"gradient:{name}": np.ravel(g) for name, g in gradients.items()}}
    if not all(mp.isfinite(number) for numbers in results.values() for number in numbers):
        raise ZeroDivisionError(f"{subject.loss.name} is not finite at {point}")
    return results


def called(subject: Subject, point: Point) -> tuple[Point, Any]:
    """The arguments of the call, and its cotangent; ValueError where the loss refuses them."""
    arguments = {name: x for name, x in point.items() if name != "cotangent"}
    if subject.loss.reductions:
        arguments["reduction"] = "none"
    shape = np.shape(subject.loss(**arguments))
    return arguments, np.broadcast_to(point.get("cotangent", 1.0), shape)


def defined(subject: Subject, point: Point) -> dict[str, Any]:
    """The same by the definition. Called within mp.workprec(PRECISION)."""
    arguments = {name: exactly(x) for name, x in point.items()}
    cotangent = arguments.pop("cotangent", None)
    names = [name for name in subject.loss.differentiable if np.asarray(arguments[name]).dtype == object]
    seeds = variables(np.concatenate([np.ravel(arguments[name]) for name in names]))
    at, place = 0, {}
    for name in names:
        x = np.asarray(arguments[name])
        place[name] = slice(at, at + x.size)
        arguments[name] = np.array([*seeds[at : at + x.size], None], dtype=object)[:-1].reshape(x.shape)
        at += x.size
    terms = np.ravel(np.asarray(subject.definition(**arguments), dtype=object))
    g = np.full(terms.shape, mp.mpf(1)) if cotangent is None else np.ravel(cotangent)
    slopes = sum(c * (term.slope + np.zeros(at, dtype=object)) for c, term in zip(g, terms, strict=True))
    return {
        "value": np.array([*(term.value for term in terms), None], dtype=object)[:-1],
        **{f"gradient:{name}": slopes[where] for name, where in place.items()},
    }


def exactly(x: Any) -> Any:
    """A point's argument over mpmath: floats as mpf, an array of them as an object array."""
    if isinstance(x, Dual) or (isinstance(x, np.ndarray) and x.dtype == object):
        return x
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        return np.asarray(to_mp(x))
    return mp.mpf(x) if isinstance(x, float) else x


def computed(subject: Subject, point: Point) -> dict[str, Any]:
    """What the fast form says, flat; ValueError where the loss refuses the point."""
    arguments, cotangent = called(subject, point)
    value, pullback = subject.loss.vjp(**arguments)
    return {
        "value": np.ravel(value),
        **{f"gradient:{name}": np.ravel(gradient) for name, gradient in pullback(cotangent).items()},
    }


def measure(subject: Subject, point: Point) -> dict[str, Result]:
    """The worst element of each aspect at a point; nothing where the loss refuses it, or is infinite."""
    try:
        got, want = computed(subject, point), exact(subject, point)
    except (ZeroDivisionError, ValueError):
        return {}
    results = {}
    for aspect, right in want.items():
        errors = [ulps(float(g), w) for g, w in zip(got[aspect], right, strict=True)]
        at = int(np.argmax(errors))
        results[aspect] = Result(errors[at], at, float(got[aspect][at]), right[at])
    return results


def condition(subject: Subject, point: Point, aspect: str, at: int) -> float:
    """sum_k |x_k dr/dx_k| / |r| of one number r over every real number x_k of the point.

    By the exact change of r when x_k becomes the float beside it, on the side where it changes less: not across a kink.
    0, 1 and -1 are exact: labels, signs, and probabilities that are sure.
    """
    here = exact(subject, point)[aspect][at]
    if here == 0:
        return 1.0
    total = mp.mpf(0)
    for name in movable(point):
        x = np.asarray(point[name])
        for index in np.argwhere((x != 0.0) & (np.abs(x) != 1.0)):
            changes = []
            for side in (-math.inf, math.inf):
                moved = x.copy()
                moved[tuple(index)] = np.nextafter(x[tuple(index)], side)
                relative = mp.mpf(float(moved[tuple(index)])) / mp.mpf(float(x[tuple(index)])) - 1
                try:
                    there = exact(subject, {**point, name: moved if moved.ndim else float(moved)})
                except (ZeroDivisionError, ValueError):
                    continue
                changes.append(abs((there[aspect][at] - here) / relative))
            total += min(changes, default=mp.mpf(0))
    return float(total / abs(here))


def share(subject: Subject, point: Point, aspect: str, result: Result, least: float = 0.0) -> float:
    """Error / (bar max(1, condition)); the condition number is left out where the share is below `least` anyway."""
    without = result.error / BAR[aspect.split(":")[0]]
    if without <= max(least, 1.0) or math.isinf(without):
        return without
    return without / max(1.0, condition(subject, point, aspect, result.at))


def moves(subject: Subject, point: Point, rng: np.random.Generator) -> Point:
    """The point with one number moved, a little or far, towards where losses are hard: each other, 0, 1, the sign."""
    names = [name for name in movable(point) if name not in subject.fixed and np.size(point[name])]
    name = names[rng.integers(len(names))]
    x = np.array(point[name], dtype=np.float64)
    flat = x.reshape(-1)
    k = rng.integers(flat.size)
    other = np.ravel(point[names[rng.integers(len(names))]])
    beside = other[rng.integers(other.size)]
    small = rng.normal() * 2.0 ** -rng.integers(0, 53)
    with np.errstate(all="ignore"):
        flat[k] = (
            lambda: flat[k] * (1.0 + small),
            lambda: flat[k] * (1.0 + small),
            lambda: flat[k] + small,
            lambda: np.nextafter(flat[k], rng.choice([-math.inf, math.inf])),
            lambda: flat[k] * 2.0 ** rng.integers(-3, 4),
            lambda: -flat[k],
            lambda: beside * (1.0 + small * rng.integers(0, 2)),
            lambda: beside + rng.choice([-1.0, 1.0]) + small * rng.integers(0, 2),
            lambda: 1.0 - beside,
        )[rng.integers(9)]()
    return {**point, name: float(x) if isinstance(point[name], float) else x}


def climb(
    subject: Subject, regime: Regime, aspect: str, start: Point, rng: np.random.Generator, steps: int, by_share: bool
) -> Point:
    """The worst point that a walk from `start` finds, going on only where it gets worse."""

    def height(point: Point, least: float) -> float:
        result = measure(subject, point).get(aspect)
        if result is None:
            return -1.0
        return share(subject, point, aspect, result, least) if by_share else result.error

    best, worst = start, height(start, 0.0)
    for _ in range(steps):
        if math.isinf(worst):
            break
        there = moves(subject, best, rng)
        if not (regime.holds(there) and subject.holds(there)) or not all(
            np.isfinite(there[name]).all() for name in movable(there)
        ):
            continue
        error = height(there, worst)
        if error > worst:
            best, worst = there, error
    return best


def search(subject: Subject, *, seed: int, starts: int, climbs: int, steps: int) -> Iterator[Worst]:
    """The worst input of each aspect in each regime: first by error, and where that is above the bar, by share."""
    for number, (name, regime) in enumerate(subject.regimes.items()):
        rng = np.random.default_rng([seed, number])
        seen: dict[str, list[tuple[float, int, Point]]] = {}
        with mp.workprec(PRECISION):
            for n in range(starts):
                point = regime.draw(rng)
                for aspect, result in measure(subject, point).items():
                    seen.setdefault(aspect, []).append((result.error, n, point))
            for aspect, points in seen.items():
                first = [point for _, _, point in sorted(points, key=lambda each: (-each[0], each[1]))[:climbs]]
                by_error = [climb(subject, regime, aspect, point, rng, steps, False) for point in first]
                worst = max((report(subject, name, aspect, point) for point in by_error), key=lambda w: w.error)
                yield worst
                if worst.error > BAR[aspect.split(":")[0]] and not math.isinf(worst.error):
                    by_share = [climb(subject, regime, aspect, point, rng, steps, True) for point in first]
                    yield max((report(subject, name, aspect, point) for point in by_share), key=lambda w: w.share)


def report(subject: Subject, regime: str, aspect: str, point: Point) -> Worst:
    """The row of a point in the certificate."""
    result = measure(subject, point)[aspect]
    number = condition(subject, point, aspect, result.at)
    bar = BAR[aspect.split(":")[0]] * max(1.0, number)
    return Worst(aspect, regime, result.error, number, result.error / bar, result.got, float(result.want), point)
