"""The plumbing of scikit-learn's adapter."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
adapter = importlib.import_module("lossparity.adapters.sklearn")


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
