"""Which rows `--full` adds to the default matrix, as data: those that can tell a dtype, a mode or a derivative apart.

The default run is every row in float64 and float32, eagerly. What `--full` adds repeats a row in another dtype or
mode, or for its second derivatives, and so it leaves out the rows that would say the same thing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lossparity.conformance.cases.table import Case

MODE_DTYPES = ("float32",)
SECOND_DTYPES = ("float64", "float32")

# The losses whose second derivative is 0 wherever there is one: nothing would be compared.
LINEAR = frozenset(
    {
        "l1_loss", "nll_loss", "hinge_loss", "categorical_hinge_loss", "hinge_embedding_loss", "margin_ranking_loss"
    }
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Some rows of the case table.

    reductions: "first", each row's first reduction alone; "quick", that and the mean.
    without: the tags of rows that are left out.
    """

    reductions: str
    without: frozenset[str] = frozenset()


# What a row is repeated for: the narrow dtypes, second derivatives, or a mode by name ("mode": any other).
ROWS: Mapping[str, Rows] = {
    "narrow": Rows("quick", without=frozenset({"error"})),
    "second": Rows("first", without=frozenset({"error", "nan", "kink", "empty", "strided"})),
    "mode": Rows("first"),
}


def shows(what: str, case: Case) -> bool:
    """Whether the row is repeated for `what`."""
    if what == "second" and case.loss in LINEAR:
        return False
    rows = ROWS.get(what, ROWS["mode"])
    return (case.quick if rows.reductions == "quick" else case.first) and not case.tags & rows.without
