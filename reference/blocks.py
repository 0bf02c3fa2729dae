"""Row by row computation in stretches that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossparity.reference.core import Array

_NUMBERS = 16384  # of one array in a stretch: a formula's ten or so intermediates stay in the cache


def in_blocks(formula: Callable[..., tuple[Array, ...]], *columns: Array, axis: int = 0) -> tuple[Array, ...]:
    """`formula`, which treats each row for itself, on all rows of the arrays.

    Rows are counted along `axis`, 0 or -1, of the arrays and of the results. Intermediates as long as the input would
    cost more time to fetch from memory than to compute.
    """
    rows = columns[0].shape[axis]
    step = max(1, _NUMBERS // max(1, *(column.size // max(1, rows) for column in columns)))
    if rows <= step:
        return formula(*columns)

    def stretch(array: Array, start: int) -> Array:
        return array[start : start + step] if axis == 0 else array[..., start : start + step]

    first = formula(*(stretch(column, 0) for column in columns))
    whole = tuple(
        np.empty((rows, *part.shape[1:]) if axis == 0 else (*part.shape[:-1], rows), part.dtype) for part in first
    )
    for start in range(0, rows, step):
        parts = formula(*(stretch(column, start) for column in columns)) if start else first
        for result, part in zip(whole, parts, strict=True):
            stretch(result, start)[...] = part
    return whole


def elementwise(formula: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    """`formula`, which treats each element for itself, on arrays of one shape; its results have that shape too."""
    parts = in_blocks(formula, *(array.reshape(-1) for array in arrays))
    return tuple(part.reshape(arrays[0].shape) for part in parts)
