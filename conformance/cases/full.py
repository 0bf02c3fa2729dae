"""Which rows `--full` adds to the default matrix, as data: those that can tell a dtype, a mode or a derivative apart.

The default run is every row in float64 and float32, eagerly. What `--full` adds repeats a row in another dtype or
mode, or for its second derivatives, and so it leaves out the rows that would say the same thing again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lossparity import reference
from lossparity.conformance.cases.table import Case

_LOSSES = {**reference.LOSSES, **reference.ACTIVATIONS}

MODE_DTYPES = ("float32",)
# Not in float16: frameworks square the reciprocals of probabilities, which overflows there from p = 0.004 on.
SECOND_DTYPES = ("float64", "float32", "bfloat16")


@dataclass(frozen=True)
class Rows:
    """Some rows of the case table.

    reductions: "first", each row's first reduction alone; "quick", that and the mean.
    without: the tags of rows that are left out. only: of the rest the rows with one of these tags, and the plain ones;
        none: all of them.
    """

    reductions: str
    without: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()


# What a row is repeated for: the narrow dtypes, second derivatives, or a mode by name ("mode": any other).
ROWS: Mapping[str, Rows] = {
    "narrow": Rows("quick", without=frozenset({"error"})),
    "second": Rows("first", without=frozenset({"error", "nan", "kink", "empty", "strided"})),
    "mode": Rows("first"),
    # inductor runs a C++ compiler for each program, which takes seconds: where a kernel may take another branch.
    "compile": Rows("first", only=frozenset({"kink", "saturated", "nan", "error"})),
}


def shows(what: str, case: Case) -> bool:
    """Whether the row is repeated for `what`."""
    if what == "second" and not (_LOSSES[case.loss].twice_differentiable and _finite(case)):
        return False
    rows = ROWS.get(what, ROWS["mode"])
    if rows.only and not case.tags & rows.only and not case.name.startswith("plain"):
        return False
    return (case.quick if rows.reductions == "quick" else case.first) and not case.tags & rows.without


@functools.cache
def _finite(case: Case) -> bool:
    """Whether no number of it is infinite, whatever the seed: from there no direction leads anywhere."""
    numbers = (each for each in case.build(0, "float64").values() if isinstance(each, np.ndarray))
    return not any(np.isinf(each).any() for each in numbers)
