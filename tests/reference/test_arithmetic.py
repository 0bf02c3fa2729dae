"""Textbook forms and their running errors: what a dtype really computes stays within the bound, and the bound is sharp.

The truth is the form itself in 60 digits; that the form is right is checked by tests/conftest.py, against the
definitions of each family's tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import HOSTILE, LOSSES, MP, OPERATIONS, REAL, ROWS, hostile, rounded, share, shares
from hypothesis import given, settings
from hypothesis import strategies as st

from lossparity.conformance.cases import Case
from lossparity.reference.arithmetic import Tape
from lossparity.reference.bounded import Bounded
from lossparity.reference.precision import FORMATS, Exact, Native


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("case", ROWS, ids=lambda case: f"{case.loss}-{case.name}")
def test_what_a_dtype_computes_stays_within_the_bound(case: Case, dtype: str) -> None:
    for found in shares(LOSSES[case.loss], case.build(0, "float64"), dtype):
        assert not found.size or found.max() <= 1.0


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", HOSTILE)
@settings(max_examples=30)
@given(data=st.data())
def test_hostile_input_stays_within_the_bound(name: str, dtype: str, data: Any) -> None:
    for found in shares(LOSSES[name], hostile(name, data, most=5), dtype):
        assert found.max() <= 1.0


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=30)
@given(pairs=st.lists(st.tuples(REAL, REAL), min_size=1, max_size=4))
def test_an_operation_stays_within_its_bound(name: str, dtype: str, pairs: list[tuple[float, float]]) -> None:
    # Exactly computed, 0 has no sign.
    x, y = (rounded({"x": np.array(column)}, dtype)["x"] + 0.0 for column in zip(*pairs, strict=True))
    results = []
    for arithmetic in (Exact(MP), Bounded(dtype), Native(dtype)):
        tape = Tape(arithmetic)
        leaves = {"x": tape.leaf(x, needed=True), "y": tape.leaf(y, needed=True)}
        with np.errstate(all="ignore"):
            z = OPERATIONS[name](leaves["x"], leaves["y"])
            gradients = tape.gradients(z, np.full(z.shape, 0.75), leaves)
        results.append([z.number, *gradients.values()])
    for exact, bounded, native in zip(*results, strict=True):
        error = np.broadcast_to(0.0 if bounded.error is None else bounded.error, np.shape(bounded.value))
        found = share(np.ravel(np.asarray(exact, dtype=object)), np.ravel(error), np.ravel(native))
        assert not found.size or found.max() <= 1.0
