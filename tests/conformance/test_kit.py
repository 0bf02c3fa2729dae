"""The adapter kit sees what an adapter does wrong: NumPy's engine, broken in one way after the other.

That it finds nothing in the suite's own adapters is tested where each has its process (test_census_frameworks.py).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lossparity.adapters import engines
from lossparity.adapters.base import Answer, Dialect, Implementation, KnownIssue, Request
from lossparity.adapters.engines import Mode
from lossparity.conformance.kit import assert_adapter, complaints

WHOLE = engines.load("numpy")
KEPT: list[Any] = []


def toy_gradients(request: Request) -> Answer:
    """The engine with the gradient of a * a * b in a, by hand."""
    value = request.function(**request.arrays, **request.options)
    if not request.differentiable:
        return Answer(value, {})
    a, b = request.arrays["a"], request.arrays.get("b", 0.5)
    return Answer(value, {"a": (2.0 * a * b * request.cotangent(value.shape)).astype(a.dtype)})


def swallowing(request: Request) -> Answer:
    try:
        return WHOLE.evaluate(request)
    except Exception:
        return Answer(np.zeros(1), {})


def wrapping(request: Request) -> Answer:
    try:
        return WHOLE.evaluate(request)
    except Exception as error:
        raise RuntimeError("it did not work") from error


def keeping(request: Request) -> Answer:
    arrays = {name: array.copy() for name, array in request.arrays.items()}
    KEPT.append(arrays)
    return Answer(request.function(**arrays), dict.fromkeys(request.differentiable))


def writing(request: Request) -> Answer:
    answer = toy_gradients(request)
    request.arrays["a"][...] = 0.0
    return answer


def changed(change: Callable[[Request, Answer], Answer]) -> Callable[[Request], Answer]:
    return lambda request: change(request, toy_gradients(request))


def adapter(*implementations: Implementation, **engine: Any) -> Any:
    evaluate = engine.pop("evaluate", None)
    modes = {"MODES": {"eager": Mode(evaluate)}} if evaluate else {}
    return SimpleNamespace(
        __name__="toy",
        IMPLEMENTATIONS=list(implementations),
        ENGINE=SimpleNamespace(**{**vars(WHOLE), **modes, **engine}),
        toy=SimpleNamespace(mse=np.square),
    )


def taken(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda array: (change(array), str(array.dtype))


def without_negative_zero(array: Any) -> Any:
    return array + 0.0 if array.dtype.kind == "f" else array


def doubled(_: Request, answer: Answer) -> Answer:
    return Answer(answer.value, {name: each * 2.0 for name, each in answer.gradients.items()})


def selfish(request: Request, answer: Answer) -> Answer:
    request.cotangent((1,))
    return answer


def by_memory(array: Any, *_: str) -> Any:
    return np.frombuffer(array.tobytes("A"), array.dtype).reshape(array.shape)


def unknown_argument(input: Any, beta: Any) -> Any:
    return input * beta


BROKEN = {
    "no devices": ({"devices": None, "take": WHOLE.take}, "raised TypeError"),
    "a version that does not read": ({"version": lambda: "git-abc"}, "version 'git-abc' does not read"),
    "a dtype that is lost": ({"place": lambda a, *_: a.astype("float32") if a.dtype.kind == "f" else a},
                             "an array of float64 on cpu comes back as float32"),
    "a sign of zero": ({"take": taken(without_negative_zero)}, "comes back with other numbers"),
    "a shape": ({"take": taken(np.squeeze)}, "with five axes of float64 on cpu comes back with shape (2, 2, 3)"),
    "the order of its memory": ({"place": by_memory}, "a transposed array of float64 on cpu comes back with other"),
    "a cotangent of its own": ({"evaluate": changed(selfish)}, "was asked for shapes [(3,), (1,)], want"),
    "a factor": ({"evaluate": changed(doubled)}, "the gradient of a * a * b in float64 on cpu is"),
    "a gradient too many": ({"evaluate": changed(lambda _, a: Answer(a.value, {**a.gradients, "b": a.value}))},
                            "the gradient of a alone was asked for"),
    "another value": ({"evaluate": changed(lambda _, a: Answer(a.value * 2.0, a.gradients))}, "the value of a * a * b"),
    "an error swallowed": ({"evaluate": swallowing}, "what a function raises is swallowed"),
    "an error wrapped": ({"evaluate": wrapping}, "comes out as RuntimeError: it did not work"),
    "a tensor kept": ({"evaluate": keeping}, "a tensor is left on cpu behind a call"),
    "an array written into": ({"evaluate": writing}, "the caller's array is written into"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_with_an_engine_is_said(what: str) -> None:
    broken, words = BROKEN[what]
    with pytest.raises(AssertionError, match="toy is no adapter yet") as caught:
        assert_adapter(adapter(**broken))
    assert words in str(caught.value)


def test_an_engine_that_keeps_its_promises_is_none_of_them() -> None:
    assert list(complaints(adapter())) == []
    assert list(complaints(adapter(evaluate=toy_gradients))) == []


def test_what_is_missing_is_named() -> None:
    module = adapter()
    del module.ENGINE.take, module.ENGINE.version
    assert list(complaints(module)) == ["it has no ENGINE.version, ENGINE.take"]
    assert list(complaints(SimpleNamespace())) == ["it has no IMPLEMENTATIONS, ENGINE"]


def mse(input: Any, target: Any, reduction: str) -> Any:
    raise NotImplementedError


SAID = Dialect("half", "Half of the square.", "https://toy")
BUG = KnownIssue("bug", "It is wrong.", "https://toy", ">=1", "nan")
DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "loss": ({"loss": "mean_squares"}, "there is no loss mean_squares"),
    "name": ({"name": "toy.absent"}, "toy.absent is nothing that can be called"),
    "parameters": ({"function": unknown_argument}, "it takes what the loss does not"),
    "lacks": ({"lacks": {"target": "it does"}}, "it lacks what it takes"),
    "gradient": ({"no_gradient": {"label": "it is data"}}, "it has no gradient of no argument"),
    "dtypes": ({"dtypes": ("float8",)}, "its dtypes are unknown"),
    "reductions": ({"reductions": ("average",)}, "its reductions are unknown"),
    "twin": ({"twin": "toy.other"}, "its twin is not there"),
    "names": ({"dialects": (SAID, Dialect("half", "Another.", "https://toy"))}, "two declarations share a name"),
    "mode": ({"dialects": (Dialect("half", "Half.", "https://toy", modes=("fast",)),)}, "a mode that there is not"),
    "raises": ({"dialects": (Dialect("any", "Any.", "https://toy", raises="Exception"),)}, "is of any exception"),
    "words": ({"dialects": (Dialect("Half it", "Half.", "https://toy"),)}, "a name does not fit into an ID"),
    "reason": ({"known_issues": (KnownIssue("bug", "", "https://toy", ">=1", "nan"),)}, "a declaration says nothing"),
    "link": ({"known_issues": (KnownIssue("bug", "Wrong.", "#1", ">=1", "nan"),)}, "a source is no link"),
}


@pytest.mark.parametrize("what", DECLARED)
def test_what_cannot_be_meant_is_said(what: str) -> None:
    words, said = DECLARED[what]
    given = {"loss": "mse_loss", "name": "toy.mse", "function": mse, "reductions": ("none",), **words}
    found = list(complaints(adapter(Implementation(**given))))
    assert len(found) == 1
    assert said in found[0]


def test_honest_declarations_are_none_of_them() -> None:
    one = Implementation("mse_loss", "toy.mse", mse, ("none",), dialects=(SAID,), known_issues=(BUG,))
    assert list(complaints(adapter(one))) == []
    assert list(complaints(adapter(one, one))) == ["an implementation is registered twice"]
