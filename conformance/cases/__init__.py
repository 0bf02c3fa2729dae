"""The case table, by loss and by name. Data only: a new case is one more row in its family's module."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases import activations, boxes, classification, focal, margin, regression, segmentation
from lossparity.conformance.cases.table import DTYPES, NARROW, TAGS, Case

__all__ = ["CASES", "DTYPES", "NARROW", "TAGS", "Case", "digest"]


def _cases() -> Iterator[Case]:
    for family in (activations, regression, classification, margin, focal, segmentation, boxes):
        yield from family.cases()


CASES: dict[str, dict[str, Case]] = {}
for _case in _cases():
    if CASES.setdefault(_case.loss, {}).setdefault(_case.name, _case) is not _case:
        raise ValueError(f"two cases of {_case.loss} are named {_case.name}")


@functools.lru_cache
def digest(seed: int) -> str:
    """A SHA-256 over the data of every case: two runs compare only where it is the same.

    `dangerous` says where a case runs, not what it is: it is left out.
    """
    whole = hashlib.sha256()
    for loss, cases in CASES.items():
        for name, case in cases.items():
            whole.update(f"{loss}/{name} {sorted(case.tags - {'dangerous'})} {case.dtypes}".encode())
            for argument, value in case.build(seed, "float64").items():
                if isinstance(value, np.ndarray):
                    whole.update(f"{argument} {value.dtype} {value.shape} {case.arrays[argument].strided}".encode())
                    whole.update(value.tobytes())
                else:
                    whole.update(f"{argument}={value!r}".encode())
    return whole.hexdigest()
