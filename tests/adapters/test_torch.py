"""The plumbing of torch's adapter. Whether its losses are right is the matrix's business, not this file's."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
adapter = importlib.import_module("lossparity.adapters.torch")


@pytest.mark.parametrize("implementation", adapter.IMPLEMENTATIONS, ids=lambda each: each.name)
def test_every_name_is_an_entry_point_and_every_twin_is_one_of_the_same_loss(implementation: Any) -> None:
    assert operator.attrgetter(implementation.name.partition(".")[2])(torch)
    if implementation.twin:
        assert (implementation.loss, implementation.twin) in {(i.loss, i.name) for i in adapter.IMPLEMENTATIONS}
    else:  # a class is always checked against its function
        assert ".nn." not in implementation.name or ".functional." in implementation.name
