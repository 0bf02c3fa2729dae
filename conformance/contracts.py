"""Contracts: how a loss may be used, whatever it computes. Most need no reference, so they hold for any loss.

Each is one sentence and one function of a `Probe`, which says how it is broken (None: it is kept), or raises
`NotApplicable` where the call at hand has nothing to do with it. `CONTRACTS` is the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lossparity.adapters.base import Answer, Request
from lossparity.conformance.compare import describe
from lossparity.reference.core import Array, Loss
from lossparity.reference.precision import FORMATS

# Where no bits can be asked for, because a sum may run in another order: roundoffs of the size of what is added.
_ROUNDOFFS = 64.0
_OVER_CLASSES = ("cross_entropy", "softmax_focal_loss", "softmax", "log_softmax")


class NotApplicableError(Exception):
    """The call at hand has nothing to do with the contract."""


@dataclass(frozen=True)
class Probe:
    """One call of an implementation, and ways to make it again with something changed.

    arrays, options: what the implementation is called with. differentiable: whose gradients it gives.
    cotangent: of a value of a shape.
    """

    loss: Loss
    engine: ModuleType
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    arrays: Mapping[str, Array]
    options: Mapping[str, Any]
    differentiable: tuple[str, ...]
    cotangent: Callable[[tuple[int, ...]], Array]
    dtype: str
    device: str = "cpu"

    def request(self) -> Request:
        """The call as the engine takes it. The arrays are copies: a loss may write into what it is given."""
        arrays = {name: array.copy(order="K") for name, array in self.arrays.items()}
        return Request(
            self.function, arrays, self.options, self.differentiable, self.cotangent, self.device, self.dtype
        )

    def answer(self, **changes: Any) -> Answer:
        """What the implementation answers, with fields of the probe changed."""
        probe = dataclasses.replace(self, **changes)
        found: Answer = next(iter(self.engine.MODES.values())).evaluate(probe.request())
        return found

    @property
    def reduction(self) -> str:
        """The reduction of the call."""
        return str(self.options.get("reduction", self.loss.defaults.get("reduction", "none")))

    @property
    def unit(self) -> float:
        """A few roundoffs of the dtype."""
        return 2.0 * _ROUNDOFFS * FORMATS[self.dtype].unit


@dataclass(frozen=True)
class Contract:
    """A contract: its name, what it promises in one sentence, and how a probe breaks it."""

    name: str
    says: str
    broken: Callable[[Probe], str | None]


def _bits(one: Any, other: Any) -> bool:
    return one.shape == other.shape and np.asarray(one).tobytes() == np.asarray(other).tobytes()


def _near(probe: Probe, got: Any, want: Any, size: Any = None) -> bool:
    with np.errstate(all="ignore"):
        got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
        if got.shape != want.shape:
            return False
        limit = probe.unit * np.maximum(np.abs(want), 0.0 if size is None else size) + float(np.finfo("float32").tiny)
        same = (np.abs(got - want) <= limit) | (got == want) | (np.isnan(got) & np.isnan(want))
        return bool(same.all())


def _gradients(answer: Answer) -> dict[str, Any]:
    return {name: each for name, each in answer.gradients.items() if each is not None}


def _whole(found: Array | float) -> str:
    return np.array2string(np.asarray(found).reshape(-1)[:3], precision=6)


def same_without_grad(probe: Probe) -> str | None:
    """The value is the same bits when no gradient is asked for."""
    if not probe.differentiable:
        raise NotApplicableError
    value, without = probe.answer().value, probe.answer(differentiable=()).value
    return None if _bits(value, without) else f"value is {_whole(value)} with gradients, {_whole(without)} without"


def one_argument(probe: Probe) -> str | None:
    """Each differentiable argument alone gets the gradient that it gets together with the others."""
    if len(probe.differentiable) < 2:
        raise NotApplicableError
    together = probe.answer()
    for name in probe.differentiable:
        alone = probe.answer(differentiable=(name,)).gradients[name]
        other = together.gradients[name]
        if (alone is None) != (other is None) or (alone is not None and not _near(probe, alone, other)):
            return f"the gradient of {name} alone is another than together with the others"
    return None


def backward_twice(probe: Probe) -> str | None:
    """A second backward through the same graph gives the same gradient, or raises."""
    if not probe.differentiable or not hasattr(probe.engine, "backward_twice"):
        raise NotApplicableError
    once = _gradients(probe.answer())
    try:
        twice = _gradients(probe.engine.backward_twice(probe.request()))
    except Exception:  # to refuse is allowed
        return None
    for name, gradient in once.items():
        if name not in twice or not _near(probe, twice[name], gradient):
            return (
                f"the gradient of {name} is {_whole(gradient)}, and {_whole(twice.get(name, np.nan))} the second time"
            )
    return None


def linear(probe: Probe) -> str | None:
    """The gradient is linear in the cotangent, and a cotangent is never taken for ones."""
    if not probe.differentiable:
        raise NotApplicableError
    first = _gradients(probe.answer())
    shape = np.shape(probe.answer(differentiable=()).value)
    one = np.asarray(probe.cotangent(shape))
    other = one[::-1] * np.where(np.arange(one.size).reshape(one.shape) % 2 == 0, 2.0, -0.5) if shape else one * -0.5
    other = np.asarray(other, dtype=one.dtype)
    second = _gradients(probe.answer(cotangent=lambda _: other))
    both = _gradients(probe.answer(cotangent=lambda _: np.asarray(one + other, dtype=one.dtype)))
    for name in first:
        with np.errstate(all="ignore"):
            a, b = (np.asarray(each[name], dtype=np.float64) for each in (first, second))
            if not _near(probe, both[name], a + b, np.abs(a) + np.abs(b)):
                return f"the gradient of {name} under two cotangents together is not the sum of those under each"
    return None


def inputs_kept(probe: Probe) -> str | None:
    """No argument is changed, and no result shares memory with one."""
    request = probe.request()
    before = {name: array.copy() for name, array in request.arrays.items()}
    found = next(iter(probe.engine.MODES.values())).evaluate(request)
    for name, array in request.arrays.items():
        if not _bits(array, before[name]):
            return f"{name} is changed: {_whole(before[name])} became {_whole(array)}"
        if np.size(found.value) and np.shares_memory(found.value, array):
            return f"the value shares memory with {name}"
    return None


def neutral(probe: Probe) -> str | None:
    """An option at its neutral value gives what the call without it gives."""
    plain, tried = None, False
    for name, value in _neutral(probe):
        tried = True
        plain = plain or probe.answer()
        is_array = isinstance(value, np.ndarray)
        change: dict[str, Any] = (
            {"arrays": {**probe.arrays, name: value}} if is_array else {"options": {**probe.options, name: value}}
        )
        if is_array:
            change["options"] = {key: each for key, each in probe.options.items() if key != name}
        found = probe.answer(**change)
        if not _near(probe, found.value, plain.value):
            words = "ones" if is_array else repr(value)
            return f"{name} of {words} makes {_whole(plain.value)} to {_whole(found.value)}"
    if not tried:
        raise NotApplicableError
    return None


def _neutral(probe: Probe) -> Iterator[tuple[str, Any]]:
    """Options at values that change nothing, for those that the call leaves at their defaults."""
    prediction = probe.arrays[probe.differentiable[0]] if probe.differentiable else next(iter(probe.arrays.values()))
    labels = probe.arrays.get("target")
    for name in probe.parameters:
        if name in probe.arrays or probe.options.get(name, probe.loss.defaults.get(name)) != probe.loss.defaults.get(
            name
        ):
            continue
        if name == "ignore_index" and labels is not None and labels.dtype.kind in "iu":
            yield name, -7
        elif name in ("weight", "pos_weight"):
            classes = labels is not None and labels.dtype.kind in "iu" and prediction.ndim > 0
            shape = (prediction.shape[min(1, prediction.ndim - 1)],) if classes else prediction.shape
            if probe.loss.name in ("cross_entropy", "nll_loss") and not classes:
                continue
            yield name, np.ones(shape, dtype=prediction.dtype)
        elif name == "label_smoothing":
            yield name, 0.0


def ignored_is_removed(probe: Probe) -> str | None:
    """An ignored row is as if it were not there, in value, mean and gradients."""
    labels = probe.arrays.get("target")
    if "ignore_index" not in probe.parameters or labels is None or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise NotApplicableError
    if len(labels) < 3 or probe.reduction not in ("mean", "sum"):
        raise NotApplicableError
    rows = np.arange(len(labels)) % 3 != 1
    ignored = np.where(rows, labels, -100)
    options = {**probe.options, "ignore_index": -100}
    whole = probe.answer(arrays={**probe.arrays, "target": ignored}, options=options)
    kept = {n: each[rows] if len(each) == len(labels) and n != "weight" else each for n, each in probe.arrays.items()}
    less = probe.answer(arrays=kept, options=options)
    if not _near(probe, whole.value, less.value):
        return f"the {probe.reduction} is {_whole(whole.value)} with ignored rows, {_whole(less.value)} without them"
    for name, gradient in _gradients(whole).items():
        if np.any(gradient[~rows]):
            return f"an ignored row has a gradient for {name}: {_whole(gradient[~rows])}"
        if not _near(probe, gradient[rows], less.gradients[name]):
            return f"the gradient of {name} is another with ignored rows than without them"
    return None


def shift(probe: Probe) -> str | None:
    """A common offset of the logits that is exact in the dtype changes nothing."""
    if probe.loss.name not in _OVER_CLASSES or probe.dtype not in ("float64", "float32"):
        raise NotApplicableError
    if probe.options.get("from_logits") is False:
        raise NotApplicableError
    name = probe.differentiable[0] if probe.differentiable else "input"
    grid = np.round(probe.arrays[name] * 64.0) / 64.0
    if not np.isfinite(grid).all() or np.abs(grid).max(initial=0.0) > 64.0:
        raise NotApplicableError
    here = probe.answer(arrays={**probe.arrays, name: grid})
    offset = 1024.0
    there = probe.answer(arrays={**probe.arrays, name: grid + np.asarray(offset, dtype=grid.dtype)})
    if not _near(probe, there.value, here.value, 1.0):
        return f"an offset of {offset:g} in every logit makes {_whole(here.value)} to {_whole(there.value)}"
    for each, gradient in _gradients(here).items():
        if each == name and not _near(probe, there.gradients[each], gradient, 1.0):
            return f"an offset of {offset:g} in every logit changes the gradient of {each}"
    return None


def parts(probe: Probe) -> str | None:
    """The sum over a batch is the sum over its parts, in value and gradient."""
    length = _rows(probe)
    if probe.reduction != "sum" or length < 2:
        raise NotApplicableError
    whole = probe.answer()
    halves = [probe.answer(arrays=_cut(probe, length, part)) for part in (slice(None, 1), slice(1, None))]
    values = [np.asarray(each.value, dtype=np.float64) for each in halves]
    if not _near(probe, whole.value, values[0] + values[1], np.abs(values[0]) + np.abs(values[1])):
        return f"the sum is {_whole(whole.value)}, and {_whole(values[0] + values[1])} in two parts"
    for name, gradient in _gradients(whole).items():
        if len(gradient) == length:
            joined = np.concatenate([each.gradients[name] for each in halves])
            if not _near(probe, gradient, joined):
                return f"the gradient of {name} is another in parts"
    return None


def _rows(probe: Probe) -> int:
    """The length of the first axis, where all arrays that are data share it; else 0."""
    lengths = {len(each) if each.ndim else 0 for name, each in probe.arrays.items() if name not in _CONSTANT}
    return lengths.pop() if len(lengths) == 1 else 0


_CONSTANT = ("weight", "pos_weight")  # of classes, or of elements: they may have any leading axis


def _cut(probe: Probe, length: int, part: Any) -> dict[str, Array]:
    if any(name in _CONSTANT and each.ndim and len(each) == length for name, each in probe.arrays.items()):
        raise NotApplicableError  # weights of classes or of rows: nothing says which
    return {name: each if name in _CONSTANT else each[part] for name, each in probe.arrays.items()}


def permutation(probe: Probe) -> str | None:
    """Permuting the rows permutes the terms and the gradients, and leaves a sum or mean."""
    length = _rows(probe)
    if length < 2 or ("axis" in probe.options and probe.options["axis"] not in (None, -1, 1)):
        raise NotApplicableError
    here = probe.answer()
    if np.shape(here.value) and np.shape(here.value)[0] != length:
        raise NotApplicableError
    one = probe.cotangent(np.shape(here.value))
    turned = probe.answer(
        arrays=_cut(probe, length, slice(None, None, -1)),
        cotangent=lambda _: np.ascontiguousarray(one[::-1]) if np.ndim(one) else one,
    )
    if not _near(probe, turned.value[::-1] if np.ndim(turned.value) else turned.value, here.value, 1.0):
        return f"rows in reverse order make {_whole(here.value)} to {_whole(turned.value)}"
    for name, gradient in _gradients(here).items():
        if len(gradient) == length and not _near(probe, turned.gradients[name][::-1], gradient, 1.0):
            return f"rows in reverse order give {name} another gradient"
    return None


def reduction(probe: Probe) -> str | None:
    """Sum and mean follow from the terms."""
    if "reduction" not in probe.parameters or probe.reduction != "none":
        raise NotApplicableError
    terms = np.asarray(probe.answer(differentiable=()).value, dtype=np.float64)
    found = probe.answer(differentiable=(), options={**probe.options, "reduction": "sum"}).value
    if not np.isfinite(terms).all():
        raise NotApplicableError
    if not _near(probe, found, terms.sum(), np.abs(terms).sum()):
        return f"the sum is {_whole(found)}, and the terms add up to {_whole(terms.sum())}"
    return None


def refuses(probe: Probe) -> str | None:
    """A label out of range gives an exception or NaN, never a plausible number."""
    labels, logits = probe.arrays.get("target"), probe.arrays.get("input")
    if labels is None or logits is None or labels.dtype.kind not in "iu" or not labels.size or logits.ndim < 2:
        raise NotApplicableError
    if probe.device != "cpu" or probe.loss.name not in ("cross_entropy", "nll_loss", "softmax_focal_loss"):
        raise NotApplicableError  # on CUDA an assertion ends the process
    for bad in (-1, logits.shape[1 if logits.ndim > 1 else 0]):
        wrong = labels.copy()
        wrong.reshape(-1)[0] = bad
        found = _value_or_none(probe, {**probe.arrays, "target": wrong})
        if found is not None and np.isfinite(np.asarray(found, dtype=np.float64)).all():
            return f"a label of {bad} gives {_whole(found)}"
    return None


def _value_or_none(probe: Probe, arrays: Mapping[str, Array]) -> Any:
    """The value; None where the framework refuses."""
    try:
        return probe.answer(arrays=arrays, differentiable=()).value
    except Exception:
        return None


def deterministic(probe: Probe) -> str | None:
    """Three calls give the same bits."""
    first = probe.answer()
    for _ in range(2):
        again = probe.answer()
        if not _bits(first.value, again.value):
            return f"value is {_whole(first.value)}, then {_whole(again.value)}"
        for name, gradient in _gradients(first).items():
            if not _bits(gradient, again.gradients[name]):
                return f"the gradient of {name} changes from call to call"
    return None


CONTRACTS: tuple[Contract, ...] = tuple(
    Contract(function.__name__.replace("_", "-"), (function.__doc__ or "").split("\n")[0], function)
    for function in (
        same_without_grad,
        one_argument,
        backward_twice,
        linear,
        inputs_kept,
        neutral,
        ignored_is_removed,
        shift,
        parts,
        permutation,
        reduction,
        refuses,
        deterministic,
    )
)


def judged(contract: Contract, probes: Sequence[Probe]) -> tuple[bool | None, str]:
    """Whether a contract is kept over several calls (None: none of them has to do with it), and how it is broken."""
    applied = False
    for probe in probes:
        try:
            how = contract.broken(probe)
        except NotApplicableError:
            continue
        except Exception as error:  # the framework's answer to what the contract changed
            how = f"raises {describe(error)}"
        applied = True
        if how is not None:
            return False, how
    return (True if applied else None), ""
