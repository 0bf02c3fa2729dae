"""The plumbing of torch's adapter. Whether its losses are right is the matrix's business, not this file's."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
adapter = importlib.import_module("lossparity.adapters.torch")


def ones(shape: tuple[int, ...]) -> Any:
    return np.ones(shape)


def run(
    function: Callable[..., Any], differentiable: tuple[str, ...] = (), cotangent: Any = ones, **arrays: Any
) -> Any:
    return adapter.evaluate(function, arrays, {}, differentiable, cotangent, "cpu")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
def test_dtype_and_strides_reach_the_function_and_the_value_comes_back_as_it_is(dtype: str) -> None:
    array = np.arange(24).reshape(3, 8).astype(dtype)[:, ::2]
    seen = []

    def function(input: Any) -> Any:
        seen.append((input.stride(), input.device.type, np.dtype(str(input.dtype).removeprefix("torch."))))
        return input

    value, gradients = run(function, input=array)
    assert seen == [((8, 2), "cpu", np.dtype(dtype))]
    assert gradients == {}
    assert value.dtype == dtype
    np.testing.assert_array_equal(value, array)


def test_a_number_comes_back_as_an_array_without_axes() -> None:
    value, _ = run(torch.sum, input=np.ones((2, 3), np.float32))
    assert isinstance(value, np.ndarray)
    assert value.shape == ()
    assert value.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_gradient_is_taken_under_the_cotangent_of_the_values_shape(dtype: str) -> None:
    x, g = np.array([1.0, 2.0, 3.0], dtype), np.array([1.0, -1.0, 0.5], dtype)
    shapes = []

    def cotangent(shape: tuple[int, ...]) -> Any:
        shapes.append(shape)
        return g

    value, gradients = run(lambda a: a * a, ("a",), cotangent, a=x)
    assert shapes == [(3,)]
    np.testing.assert_array_equal(value, x * x)
    np.testing.assert_array_equal(gradients["a"], 2.0 * x * g)
    assert gradients["a"].dtype == dtype


def test_gradients_only_of_what_is_asked_for() -> None:
    _, gradients = run(lambda a, b: a * b, ("b",), a=np.array(2.0), b=np.array(3.0))
    assert set(gradients) == {"b"}
    assert gradients["b"] == 2.0


def test_no_path_is_none() -> None:
    arrays = {"a": np.ones(2), "b": np.ones(2)}
    _, gradients = run(lambda a, b: a + b.detach(), ("a", "b"), **arrays)
    assert gradients["b"] is None
    np.testing.assert_array_equal(gradients["a"], [1.0, 1.0])
    _, gradients = run(lambda a, b: (a + b).detach(), ("a", "b"), **arrays)
    assert gradients == {"a": None, "b": None}


def test_what_the_framework_raises_is_let_through() -> None:
    with pytest.raises(RuntimeError, match="delta"):
        run(lambda a: torch.nn.functional.huber_loss(a, a, delta=-1.0), a=np.ones(2))


def test_the_callers_arrays_are_left_alone() -> None:
    array = np.ones(3)
    run(lambda a: (a * 2.0).sum(), ("a",), a=array)
    np.testing.assert_array_equal(array, np.ones(3))


def test_placing_keeps_dtype_and_strides_on_another_device() -> None:
    array = np.zeros((3, 8), np.float32)[:, ::2]
    tensor = adapter.place(array, "meta")  # the one other device that is everywhere
    assert tensor.device.type == "meta"
    assert tensor.stride() == (8, 2)
    assert tensor.dtype == torch.float32


def test_devices_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert adapter.devices() == ["cpu", "cuda:0", "cuda:1", "mps"]


def test_every_device_computes_where_it_says() -> None:
    for device in adapter.devices():
        seen = []

        def function(input: Any, seen: list[str] = seen) -> Any:
            seen.append(str(input.device))
            return input * 2.0

        value, gradients = adapter.evaluate(function, {"input": np.ones(2, np.float32)}, {}, ("input",), ones, device)
        assert seen[0].startswith(device)
        np.testing.assert_array_equal(value, [2.0, 2.0])
        np.testing.assert_array_equal(gradients["input"], [2.0, 2.0])


def test_an_argument_that_this_version_lacks_is_unsupported_only_where_it_is_given() -> None:
    def old(input: Any) -> Any:
        return input

    def new(input: Any, weight: Any = None) -> Any:
        return input if weight is None else input * weight

    assert adapter._since(new, "weight") == ()
    (unsupported,) = adapter._since(old, "weight")
    call = importlib.import_module("lossparity.adapters.base").Call
    assert unsupported.when(call("case", "float64", {"weight": np.ones(2)}, frozenset()))
    assert not unsupported.when(call("case", "float64", {"weight": None}, frozenset()))
    assert adapter.given(weight=None, beta=0.0) == {"beta": 0.0}


@pytest.mark.parametrize("implementation", adapter.IMPLEMENTATIONS, ids=lambda each: each.name)
def test_every_name_is_an_entry_point_and_every_twin_is_one_of_the_same_loss(implementation: Any) -> None:
    assert operator.attrgetter(implementation.name.partition(".")[2])(torch)
    if implementation.twin:
        assert (implementation.loss, implementation.twin) in {(i.loss, i.name) for i in adapter.IMPLEMENTATIONS}
    else:  # a class is always checked against its function
        assert ".nn." not in implementation.name or ".functional." in implementation.name
