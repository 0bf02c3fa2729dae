"""The case table, by loss and by name. Data only: a new case is one more row in its family's module."""

from __future__ import annotations

from collections.abc import Iterator

from lossparity.conformance.cases import activations, boxes, classification, focal, regression, segmentation
from lossparity.conformance.cases.table import DTYPES, TAGS, Case

__all__ = ["CASES", "DTYPES", "TAGS", "Case"]


def _cases() -> Iterator[Case]:
    for family in (activations, regression, classification, focal, segmentation, boxes):
        yield from family.cases()


CASES: dict[str, dict[str, Case]] = {}
for _case in _cases():
    if CASES.setdefault(_case.loss, {}).setdefault(_case.name, _case) is not _case:
        raise ValueError(f"two cases of {_case.loss} are named {_case.name}")
