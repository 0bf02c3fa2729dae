"""The plumbing of scikit-learn's adapter."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
adapter = importlib.import_module("lossparity.adapters.sklearn")


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_arrays_reach_the_function_as_they_are(dtype: str) -> None:
    array = np.arange(8).astype(dtype)[::2]
    seen: list[Any] = []

    def function(input: Any, flag: bool) -> Any:
        seen.append((input, flag))
        return input

    value, gradients = adapter.evaluate(function, {"input": array}, {"flag": True}, (), np.ones, "cpu")
    assert seen[0][0] is array
    assert seen[0][1] is True
    assert value.dtype == dtype
    assert gradients == {}


def test_a_python_float_comes_back_as_a_double_and_there_is_no_gradient() -> None:
    value, gradients = adapter.evaluate(
        lambda a: 0.5 * len(a), {"a": np.ones(1, np.float32)}, {}, ("a",), np.ones, "cpu"
    )
    assert value.shape == ()
    assert value.dtype == np.float64
    assert gradients == {"a": None}


def test_what_the_framework_raises_is_let_through() -> None:
    def function(input: Any) -> Any:
        return sklearn.metrics.mean_squared_error(input, input[:1])

    with pytest.raises(ValueError, match="inconsistent"):
        adapter.evaluate(function, {"input": np.ones(2)}, {}, (), np.ones, "cpu")


def test_only_the_cpu() -> None:
    assert adapter.devices() == ["cpu"]


def test_a_column_of_weights_becomes_a_vector_and_nothing_else_changes() -> None:
    assert adapter.per_sample(None) is None
    np.testing.assert_array_equal(adapter.per_sample(np.array([[1.0], [2.0]])), [1.0, 2.0])
    for weight in (np.ones(3), np.ones((3, 2))):
        assert adapter.per_sample(weight) is weight


def test_weights_are_spread_over_the_elements() -> None:
    like = np.zeros((2, 3))
    assert adapter.per_element(None, like=like) is None
    np.testing.assert_array_equal(adapter.per_element(np.array([[1.0], [2.0]]), like=like), [1.0] * 3 + [2.0] * 3)


@pytest.mark.parametrize("implementation", adapter.IMPLEMENTATIONS, ids=lambda each: f"{each.loss}-{each.name}")
def test_every_name_is_an_entry_point_without_gradients(implementation: Any) -> None:
    assert operator.attrgetter(implementation.name.partition(".")[2])(sklearn)
    assert "*" in implementation.no_gradient
