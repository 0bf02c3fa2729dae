"""Row by row computation in stretches that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossparity.reference.core import Array

_NUMBERS = 16384  # of one array in a stretch: a formula's ten or so intermediates stay in the cache
_ROWS = 32  # fewer are not worth a stretch of their own


def in_blocks(formula: Callable[..., tuple[Array, ...]], *columns: Array) -> tuple[Array, ...]:
    """`formula`, which treats each row for itself, on all rows of the arrays.

    Intermediates as long as the input would cost more time to fetch from memory than to compute; and a short input is
    cut too, so that ten of them never take more than four times what it takes.
    """
    rows = len(columns[0])
    step = max(1, _NUMBERS // max(1, *(int(np.prod(column.shape[1:])) for column in columns)))
    step = min(step, max(_ROWS, -(-rows // 6)))
    if rows <= step:
        return formula(*columns)
    first = formula(*(column[:step] for column in columns))
    whole = tuple(np.empty((rows, *part.shape[1:])) for part in first)
    for start in range(0, rows, step):
        stretch = slice(start, start + step)
        parts = formula(*(column[stretch] for column in columns)) if start else first
        for result, part in zip(whole, parts, strict=True):
            result[stretch] = part
    return whole
