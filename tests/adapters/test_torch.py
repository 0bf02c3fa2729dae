"""The plumbing of torch's adapter. Whether its losses are right is the matrix's business, not this file's."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
adapter = importlib.import_module("lossparity.adapters.torch")


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
