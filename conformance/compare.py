"""A framework's answer against what is expected: what was returned or raised, and the ruling on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossparity.adapters.base import Dialect, KnownIssue
from lossparity.conformance import tolerance
from lossparity.reference.core import Array
from lossparity.reference.precision import FORMATS

# How many elements of a result the record keeps, so that a later run can be compared with this one.
DIGEST_SIZE = 16


@dataclass(frozen=True)
class Outcome:
    """What the framework returned, or raised.

    error: of the call, which then has no value. raised: of its gradients alone, by aspect ("gradient:input").
    """

    value: Array | None = None
    gradients: Mapping[str, Array | None] = dataclasses.field(default_factory=dict)
    dtypes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    error: BaseException | None = None
    raised: Mapping[str, BaseException] = dataclasses.field(default_factory=dict)

    def error_of(self, aspect: str) -> BaseException | None:
        """What was raised in place of one aspect; None where there is an answer."""
        return self.error or self.raised.get(aspect)


@dataclass(frozen=True)
class Ruling:
    """A verdict with its evidence. `symptom` is what the difference looks like (see KnownIssue); "": none of those."""

    verdict: str
    reason: str = ""
    error_ulp: float | None = None
    margin: float | None = None
    worst: Mapping[str, Any] | None = None
    symptom: str = ""
    declared: tuple[Dialect | KnownIssue, ...] = ()
    result: Any = None
    limits: list[float] | None = None


def precision(dialects: tuple[Dialect, ...], dtype: str) -> str:
    """The dtype in whose units an error is counted: that in which the framework computes, or at last reduces."""
    return next((each.reduced_in or each.dtype or dtype for each in dialects if each.reduced_in or each.dtype), dtype)


def compare_error(outcome: Outcome) -> Ruling:
    """The ruling where an error is expected: any that the framework raises, but none that a bug of ours would."""
    if outcome.error is None:
        reason = f"returned {outcome.value!r}, want an error: the input is bad"
        return Ruling("mismatch", reason, result=kept(outcome))
    if isinstance(outcome.error, (AttributeError, NameError, ImportError, SyntaxError)):
        return Ruling("error", f"raised {describe(outcome.error)}, which is no answer to bad input")
    return Ruling("match", f"raised {describe(outcome.error)}", result=type(outcome.error).__name__)


def compare_numbers(
    aspect: str, got: Array, want: Array, limit: Array, dtype: str, arguments: Mapping[str, Any]
) -> Ruling:
    """The ruling on an array, element by element, in `dtype`; `limit` is the tolerance of each."""
    if got.shape != want.shape:
        return Ruling("mismatch", f"{aspect} has shape {got.shape}, want {want.shape}", result=_digest(got))
    if not got.size:
        return Ruling("match", "no elements: shape and dtype are all there is")
    with np.errstate(all="ignore"):
        nearest = FORMATS[dtype].round(want).astype(np.float64)
        ulps = tolerance.ulp_error(got, want, dtype, nearest)
        difference = np.abs(got.astype(np.float64) - np.where(np.isfinite(nearest), nearest, want))
        margins = np.where(ulps == 0.0, 0.0, difference / limit)
    margins[np.isnan(margins)] = np.inf
    # Where the form itself may overflow or divide by its own rounding, any number is as good; for infinity none is.
    endless = np.isinf(limit)
    if endless.any():
        unbounded = np.broadcast_to(endless, want.shape) & (ulps > 0.0) & np.isfinite(nearest) & ~np.isnan(got)
        if unbounded.all():
            reason = f"computed in {dtype} the formula itself may be off by anything here"
            return Ruling("unsupported", reason, result=_digest(got))
        margins[unbounded] = 0.0  # nothing is said of an element without a bound
    margin, error = float(margins.max()), float(ulps.max())
    index = np.unravel_index(int((margins if margin > 1 else ulps).argmax()), want.shape)
    worst = {
        "index": [int(i) for i in index],
        "got": float(got[index]),
        "want": float(want[index]),
        "tolerance": float(np.broadcast_to(limit, want.shape)[index]),
        "at": _inputs_at(index, arguments),
    }
    kept: dict[str, Any] = {
        "result": _digest(got),
        "limits": [float(f"{each:.2g}") for each in _digest(limit, want.shape)],
    }
    if margin <= 1.0:
        return Ruling("match", "", error, margin, worst, **kept)
    place = f"[{', '.join(str(int(i)) for i in index)}]" if index else ""
    reason = (
        f"{aspect}{place} = {float(got[index])!r}, want {float(want[index])!r} "
        f"(error {float(ulps[index]):.4g} ULP, tolerance {worst['tolerance']:.3g})"
    )
    return Ruling("mismatch", reason, error, margin, worst, _symptom(got[margins > 1.0]), **kept)


def _digest(array: Array, shape: tuple[int, ...] | None = None) -> list[float]:
    """An array's elements, in the fewest digits that tell them apart; of a large one some, evenly spread."""
    flat = np.broadcast_to(array, array.shape if shape is None else shape).reshape(-1)
    if flat.size > DIGEST_SIZE:
        flat = flat[np.linspace(0, flat.size - 1, DIGEST_SIZE).astype(np.int64)]
    if flat.dtype == np.float64:
        return flat.tolist()  # Python's floats have those digits
    return [float(str(each)) for each in flat]


def kept(outcome: Outcome) -> list[float] | None:
    """What the framework computed, for the record, where the definition has nothing to compare it with."""
    return None if outcome.value is None else _digest(outcome.value)


def _symptom(differing: Array) -> str:
    if np.isnan(differing).all():
        return "nan"
    if np.isinf(differing).all():
        return "inf"
    return "zero" if not differing.any() else "number"


def _inputs_at(index: tuple[Any, ...], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of each array that belong to one element of a result: it, else its row, else a small whole."""
    found = {}
    for name, value in arguments.items():
        if not isinstance(value, np.ndarray):
            continue
        rows = len(index) <= value.ndim and all(i < n for i, n in zip(index, value.shape, strict=False))
        part = value[index[: value.ndim]] if index and rows else value
        if part.size <= 16:
            found[name] = part.tolist()
    return found


def is_a(error: BaseException | None, name: str) -> bool:
    """Whether an exception, or one that it was raised from, is of a class of this name or of one derived from it.

    Compilers raise their own from what the call raised.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if any(each.__name__ == name for each in type(error).__mro__):
            return True
        seen.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def describe(error: BaseException | None) -> str:
    """An exception's class and first line."""
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first[:200]}"
