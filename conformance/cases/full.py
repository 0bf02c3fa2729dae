"""Which rows `--full` adds to the default matrix, as data: those that can tell a dtype or a mode apart.

The default run is every row in float64 and float32, eagerly. What `--full` adds repeats a row in another dtype or
another mode, and so it leaves out the rows that would say the same thing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lossparity.conformance.cases.table import DTYPES, NARROW, Case

MODE_DTYPES = ("float32",)


@dataclass(frozen=True)
class Rows:
    """Some rows of the case table.

    reductions: "first", each row's first reduction alone; "quick", that and the mean.
    without: the tags of rows that are left out.
    """

    reductions: str
    without: frozenset[str] = frozenset()


# What a row is repeated for: the narrow dtypes, or a mode by name ("mode": any other).
ROWS: Mapping[str, Rows] = {
    "narrow": Rows("quick", without=frozenset({"error"})),
    "mode": Rows("first"),
}


def shows(what: str, case: Case) -> bool:
    """Whether the row is repeated for `what`."""
    rows = ROWS.get(what, ROWS["mode"])
    return (case.quick if rows.reductions == "quick" else case.first) and not case.tags & rows.without


def narrow(case: Case) -> tuple[str, ...]:
    """The narrow dtypes in which the row's numbers still say what they are there for."""
    return NARROW if case.dtypes == DTYPES else ()
