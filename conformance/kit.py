"""The adapter kit: does an adapter, its engine above all, do what adapters/base.py and adapters/engines say?

For whoever writes one, here or in a package of their own: one test, of one line.

    def test_adapter():
        assert_adapter(lossparity.adapters.load("mine"))

Whether its losses are right is the matrix's business. Each check is a function of the module that yields complaints.
"""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
from packaging.version import InvalidVersion, Version

from lossparity import reference
from lossparity.adapters.base import Answer, Dialect, Implementation, KnownIssue, Request
from lossparity.adapters.engines import Mode
from lossparity.conformance.cases import CASES, DTYPES, NARROW
from lossparity.conformance.census import resolve
from lossparity.conformance.describe import DEFINITIONS
from lossparity.reference.core import Array
from lossparity.reference.precision import FORMATS

ASPECTS = ("shape", "dtype", "value", "gradient", "second", "error", "twin")
_ENGINE = ("MODES", "REFUSED", "devices", "version", "place", "take", "reproducer")


def assert_adapter(module: ModuleType) -> None:
    """Raise AssertionError, with a sentence for each thing that is wrong, unless the adapter keeps its promises.

    module: an adapter as `lossparity.adapters.load` returns it, or any module with IMPLEMENTATIONS and ENGINE.
    """
    found = list(complaints(module))
    if found:
        raise AssertionError("\n".join([f"{module.__name__} is no adapter yet:", *found]))


def complaints(module: ModuleType) -> Iterator[str]:
    """What is wrong with an adapter, in sentences."""
    lacks = [name for name in ("IMPLEMENTATIONS", "ENGINE") if not hasattr(module, name)]
    lacks += [f"ENGINE.{name}" for name in _ENGINE if not lacks and not hasattr(module.ENGINE, name)]
    if lacks:
        yield f"it has no {', '.join(lacks)}"
        return
    for check in (_declarations, _names, _version, _round_trips, _cotangents, _errors, _leftovers):
        try:
            yield from check(module)
        except Exception as error:  # a broken engine raises anything, and the other checks say more
            yield f"{check.__name__.strip('_')}: raised {type(error).__name__}: {error}"


# --- What is declared


def _declarations(module: ModuleType) -> Iterator[str]:
    """What an adapter declares and cannot mean."""
    names = {(each.loss, each.name) for each in module.IMPLEMENTATIONS}
    if len(names) != len(module.IMPLEMENTATIONS):
        yield "an implementation is registered twice"
    for each in module.IMPLEMENTATIONS:
        for what in _of(each, names, set(module.ENGINE.MODES)):
            yield f"{each.loss}/{each.name}: {what}"


def _of(each: Implementation, names: set[tuple[str, str]], modes: set[str]) -> Iterator[str]:
    if each.loss not in DEFINITIONS:
        yield f"there is no loss {each.loss}; `lossparity list losses` names them"
        return
    loss = DEFINITIONS[each.loss]
    declared: list[Dialect | KnownIssue] = [*each.dialects, *each.known_issues]
    links = [*(d.source for d in each.dialects), *(k.link for k in each.known_issues)]
    wrong = {
        "its loss has no cases": each.loss not in CASES,
        "it takes what the loss does not": not set(each.parameters) <= set(loss.arguments),
        "it lacks what it takes": bool(set(each.lacks) & set(each.parameters)),
        "it has no gradient of no argument": not set(each.no_gradient) <= {"*", *loss.arguments},
        "its dtypes are unknown": not each.dtypes or not set(each.dtypes) <= {*DTYPES, *NARROW},
        "its reductions are unknown": not set(each.reductions) <= set(reference.REDUCTIONS),
        "its twin is not there": each.twin is not None and (each.loss, each.twin) not in names,
        "two declarations share a name": len({d.name for d in declared}) != len(declared),
        "a declaration is of a mode that there is not": not all(
            set(d.modes) <= modes for d in (*declared, *each.unsupported)
        ),
        "a declaration is of any exception": any(d.raises in ("Exception", "BaseException") for d in declared),
        "a name does not fit into an ID": not all(re.fullmatch(r"[a-z0-9-]+", d.name) for d in declared),
        "a declaration says nothing": not all(d.reason.endswith(".") for d in declared),
        "a source is no link": not all(link.startswith("https://") for link in links),
    }
    yield from (what for what, is_so in wrong.items() if is_so)


def _names(module: ModuleType) -> Iterator[str]:
    """The public names: what stands in a check's ID can be called."""
    for each in module.IMPLEMENTATIONS:
        if each.exists and not callable(resolve(module, each.entry_point)):
            first = each.entry_point.partition(".")[0]
            yield f"{each.entry_point} is nothing that can be called; the adapter imports {first} by that name"


def _version(module: ModuleType) -> Iterator[str]:
    version = module.ENGINE.version()
    try:
        Version(version)
    except (InvalidVersion, TypeError):
        yield f"the engine's version {version!r} does not read; it is a string as PEP 440 has it"


# --- How arrays go in and gradients come out


def _places(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Each device and dtype that the engine has."""
    for device in module.ENGINE.devices():
        for dtype in (*DTYPES, *NARROW):
            if (device.partition(":")[0], dtype) not in module.ENGINE.REFUSED:
                yield device, dtype


def _numbers(dtype: str, shape: tuple[int, ...]) -> Array:
    """Numbers that are exact in the dtype, no two alike, with its extremes; float32 where NumPy does not have it."""
    size = int(np.prod(shape))
    drawn: Array = FORMATS[dtype].round(np.random.default_rng(size).uniform(-2.0, 2.0, size))
    drawn[:3] = np.array([-np.inf, np.nan, -0.0])[: len(drawn)]
    return drawn.astype("float32" if dtype == "bfloat16" else dtype).reshape(shape)


def _layouts(dtype: str) -> dict[str, Array]:
    """Arrays of every memory layout that a case may have, and then some."""
    wide = _numbers(dtype, (3, 8))
    return {
        "an array": _numbers(dtype, (3, 4)),
        "an array with gaps": wide[:, ::2],
        "a transposed array": wide.T,
        "an array with five axes": _numbers(dtype, (2, 1, 2, 1, 3)),
        "a number": _numbers(dtype, (8,))[7:].reshape(()),
        "an empty array": _numbers(dtype, (0, 3)),
        "integers": np.array([[3, 0, -100], [1, 2, 255]]),
        "booleans": np.array([True, False]),
    }


def _round_trips(module: ModuleType) -> Iterator[str]:
    """What goes in comes out: every device, dtype and layout, to the bit."""
    engine = module.ENGINE
    for device, dtype in _places(module):
        for name, array in _layouts(dtype).items():
            before = array.copy()
            back, named = engine.take(engine.place(array, device, dtype))
            back = np.asarray(back)
            what = f"{name} of {dtype} on {device}"
            floating = array.dtype.kind == "f"
            if floating and named != dtype:
                yield f"{what} comes back as {named}"
            if back.shape != array.shape:
                yield f"{what} comes back with shape {back.shape}, want {array.shape}"
            elif not np.array_equal(back, array, equal_nan=floating) or _signs_differ(back, array):
                yield f"{what} comes back with other numbers"
            if array.tobytes() != before.tobytes():
                yield f"{what} is written into"


def _signs_differ(back: Array, array: Array) -> bool:
    return array.dtype.kind == "f" and bool(np.any(np.signbit(back) != np.signbit(array), where=~np.isnan(array)))


def _run(
    module: ModuleType, function: Callable[..., Any], differentiable: tuple[str, ...], cotangent: Callable[..., Any],
    device: str, dtype: str, **arrays: Any,
) -> Answer:  # fmt: skip
    mode: Mode = next(iter(module.ENGINE.MODES.values()))
    return mode.evaluate(Request(function, arrays, {}, differentiable, cotangent, device, dtype))


def _cotangents(module: ModuleType) -> Iterator[str]:
    """The gradient is that of sum(cotangent * value), of what is asked for and nothing else."""
    for device, dtype in _places(module):
        carried = "float32" if dtype == "bfloat16" else dtype
        x, y, g = (np.array(n, carried) for n in ([1.0, 2.0, -3.0], [0.5, -1.0, 4.0], [1.0, -0.5, 2.0]))
        shapes: list[tuple[int, ...]] = []

        def cotangent(shape: tuple[int, ...], g: Array = g, shapes: list[tuple[int, ...]] = shapes) -> Array:
            shapes.append(tuple(shape))
            return g

        answer = _run(module, lambda a, b: a * a * b, ("a",), cotangent, device, dtype, a=x, b=y)
        where = f"{dtype} on {device}"
        if not np.array_equal(answer.value, x * x * y):
            yield f"the value of a * a * b in {where} is {answer.value!r}, want {x * x * y!r}"
        if set(answer.gradients) != {"a"}:
            yield f"the gradient of a alone was asked for in {where}; there are {', '.join(answer.gradients) or 'none'}"
        found = answer.gradients.get("a")
        if found is None:
            continue  # an engine without autodiff says so; what else has no path is a mismatch in the matrix
        if shapes != [(3,)]:
            yield f"the cotangent in {where} was asked for shapes {shapes}, want that of the value, (3,), once"
        if not np.array_equal(found, 2.0 * x * y * g):
            yield f"the gradient of a * a * b in {where} is {found!r}, want 2 a b g = {2.0 * x * y * g!r}"
        if answer.dtypes.get("gradient:a", str(found.dtype)) != dtype:
            yield f"the gradient in {where} is of {answer.dtypes.get('gradient:a', found.dtype)}"


class _OwnError(Exception):
    pass


def _errors(module: ModuleType) -> Iterator[str]:
    """What the function raises comes out as it is, and the engine works as before."""

    def function(a: Any) -> Any:
        raise _OwnError(str(a))

    x = np.ones(2, "float32")
    for names in ((), ("a",)):
        try:
            answer = _run(module, function, names, np.ones, module.ENGINE.devices()[0], "float32", a=x)
        except _OwnError:
            continue
        except Exception as error:  # whatever it was made into
            yield f"what a function raises comes out as {type(error).__name__}: {error}"
        else:
            yield f"what a function raises is swallowed; the answer is {answer.value!r}"


def _leftovers(module: ModuleType) -> Iterator[str]:
    """Nothing is left on the device, and the caller's arrays are as they were."""
    for device in module.ENGINE.devices():
        alive: list[weakref.ref[Any]] = []

        def function(a: Any, alive: list[weakref.ref[Any]] = alive) -> Any:
            alive.append(weakref.ref(a))
            return a * a

        x = np.ones(2, "float32")
        _run(module, function, ("a",), np.ones, device, "float32", a=x)
        if x.tolist() != [1.0, 1.0]:
            yield f"the caller's array is written into on {device}"
        del x  # it may be the tensor itself
        gc.collect()
        if any(each() is not None for each in alive):
            yield f"a tensor is left on {device} behind a call"
