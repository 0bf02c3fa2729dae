"""Records and comparisons as CSV, for spreadsheets and data frames: a row for each check.

What comes from a record is text: a cell that a spreadsheet would take for a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lossparity.conformance.record import Check, Run
from lossparity.reports.changes import Change

if TYPE_CHECKING:
    from lossparity.reports.formats import Comparison

_PARTS = ("loss", "backend", "implementation", "case", "dtype", "device", "mode", "aspect")
_CHECK = ("id", *_PARTS, "verdict", "error_ulp", "margin", "reason")
_CHANGE = (
    "kind", "action", "finding", "id", *_PARTS, "verdict_before", "verdict_after", "error_ulp_before",
    "error_ulp_after", "moved_in_tolerances", "says",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def record_csv(run: Run) -> str:
    """Every check of a record. An error that there is not is an empty cell; NaN and infinities are nan and inf."""
    return _written(_CHECK, ([_cell(getattr(check, name)) for name in _CHECK] for check in run.checks))


def comparison_csv(comparison: Comparison) -> str:
    """Every change of every finding, in the findings' order; of what is no check, a row without one."""
    return _written(_CHANGE, _changes(comparison))


def _changes(comparison: Comparison) -> Iterator[list[str]]:
    judged = comparison.decision is not None
    for number, each in enumerate(comparison.judged, start=1):
        finding = each.finding
        head = [finding.kind, each.action if judged else "", number]
        for change in finding.changes:
            check = change.check
            of_both = [_of(change, name) for name in ("verdict", "error_ulp")]
            yield list(
                map(
                    _cell,
                    [
                        *head, check.id, *(getattr(check, name) for name in _PARTS), *of_both[0], *of_both[1],
                        change.size, finding.says,
                    ],
                )
            )  # fmt: skip
        if not finding.changes:
            parts = {"loss": " ".join(finding.losses), "backend": finding.backend, "aspect": finding.aspect}
            parts["implementation"] = " ".join(finding.implementations)
            yield list(
                map(_cell, [*head, "", *(parts.get(name, "") for name in _PARTS), "", "", "", "", "", finding.says])
            )


def _of(change: Change, name: str) -> list[Any]:
    sides: Sequence[Check | None] = (change.before, change.after)
    return [None if side is None else getattr(side, name) for side in sides]


def _written(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return repr(value)
    text = "".join(c if c.isprintable() else "\ufffd" for c in str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
