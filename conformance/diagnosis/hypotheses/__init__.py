"""How people write losses: hypotheses about what a loss of somebody's own is, by loss. Data only.

A new one is a row in its family's module: a change of the reference's call, or the formula that is really computed.
"""

from __future__ import annotations

from collections.abc import Iterator

from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.diagnosis.hypotheses import classification, declared, overlap, regression
from lossparity.conformance.diagnosis.hypotheses.generic import of_any
from lossparity.conformance.diagnosis.hypotheses.row import Hypothesis, reading

__all__ = ["Hypothesis", "hypotheses", "reading"]


def hypotheses(loss: str, engine: str) -> Iterator[Hypothesis]:
    """The hypotheses about a loss, the particular ones first; and the dialects of the libraries on an engine."""
    for family in (classification, regression, overlap):
        yield from family.ROWS.get(loss, ())
    yield from of_any(DEFINITIONS[loss])
    yield from declared.dialects(loss, engine)
