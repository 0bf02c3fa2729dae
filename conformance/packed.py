"""Columns as text that can stand in JSON: whole numbers, floats, decimals and lines.

A column is {"kind", "n", "data"}. `data` is base64 of zlib. What zlib packs is, for the kinds u1 to u8 (whole
numbers) and f8 (floats), the little-endian bytes of the numbers, all first bytes, then all second ones, and so on,
because bytes of the same significance pack best together; for `decimals` (floats of few digits, or null) and `lines`
(text without line breaks) the items, one a line. A browser reads the same with its own DecompressionStream.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEVEL = 4  # of zlib: more takes longer than a million checks are to take
_GZIP = 16 + zlib.MAX_WBITS
_WIDTHS = {"u1": 1, "u2": 2, "u4": 4, "u8": 8, "f8": 8}
_IN_MEMORY = {"lines": 64, "decimals": 32}  # bytes that an item takes besides its text; a number takes 8


class Budget:
    """How many bytes may still be unpacked: what a little zlib can stand for has no bound of its own."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def take(self, size: int) -> None:
        """Use some of it up; ValueError where there is not so much left."""
        self.left -= size
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {self.size >> 20:,} MB, which no record of lossparity does")

    def inflate(self, packed: bytes, wbits: int = zlib.MAX_WBITS) -> bytes:
        """Unpack zlib; ValueError where that is more than is left, zlib.error where it is damaged."""
        stream = zlib.decompressobj(wbits)
        raw = stream.decompress(packed, self.left + 1)
        self.take(len(raw))
        if not stream.eof:
            raise ValueError("it is cut off")
        if stream.unused_data.strip(b"\0"):
            raise ValueError("something follows its end")
        return raw

    def gunzip(self, packed: bytes) -> bytes:
        """Unpack a gzip file."""
        return self.inflate(packed, _GZIP)


def whole(numbers: NDArray[Any], level: int = _LEVEL) -> dict[str, Any]:
    """A column of whole numbers from 0, in as few bytes as hold them."""
    kind = np.min_scalar_type(int(numbers.max(initial=0)))
    return _column(f"u{kind.itemsize}", len(numbers), _by_significance(numbers.astype(kind)), level)


def floats(numbers: NDArray[np.float64]) -> dict[str, Any]:
    """A column of floats, to the last bit."""
    return _column("f8", len(numbers), _by_significance(numbers))


def decimals(numbers: Sequence[float | None]) -> dict[str, Any]:
    """A column of floats of few digits; None is no number."""
    return _column("decimals", len(numbers), "\n".join("" if x is None else repr(x) for x in numbers).encode())


def lines(texts: Sequence[str], level: int = _LEVEL) -> dict[str, Any]:
    """A column of texts without line breaks."""
    return _column("lines", len(texts), "\n".join(texts).encode("utf-8", "surrogatepass"), level)


def read(column: Mapping[str, Any], kind: str, budget: Budget) -> Any:
    """A column again: an array of int64 or float64, or a list of text (of floats and None for decimals).

    kind: "whole", "f8", "decimals" or "lines". ValueError, TypeError, KeyError or zlib.error for what is none.
    """
    found, n, data = column["kind"], column["n"], column["data"]
    if found != kind and not (kind == "whole" and found in _WIDTHS and found != "f8"):
        raise ValueError(f"a column is of kind {found!r:.40}, not {kind}")
    if type(n) is not int or n < 0:
        raise ValueError(f"a column has {n!r:.40} items")
    budget.take(n * _IN_MEMORY.get(kind, 8))
    raw = budget.inflate(base64.b64decode(data, validate=True))
    if found in ("lines", "decimals"):
        texts = raw.decode("utf-8", "surrogatepass").split("\n") if n else []
        _expect(len(texts), n)
        return texts if found == "lines" else [float(text) if text else None for text in texts]
    size = _WIDTHS[found]
    _expect(len(raw), n * size)
    together = np.frombuffer(raw, np.uint8).reshape(size, n).T.tobytes()
    return np.frombuffer(together, f"<{found}").astype(np.float64 if kind == "f8" else np.int64)


def text(value: Any) -> str:
    """A value as JSON on one line; infinities and NaN, which JSON has not, as words."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError):
        return _ENCODER.encode(finite(value))


def finite(value: Any) -> Any:
    """`value` with every number that JSON cannot hold as a string, and NumPy's as Python's. TypeError for the rest."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [finite(each) for each in value]
    if isinstance(value, (str, int, type(None))):
        return value
    if hasattr(value, "item"):
        return finite(value.item())
    raise TypeError(f"a record holds numbers, text, lists and mappings; not {type(value).__name__}")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _column(kind: str, n: int, raw: bytes, level: int = _LEVEL) -> dict[str, Any]:
    return {"kind": kind, "n": n, "data": base64.b64encode(zlib.compress(raw, level)).decode()}


def _by_significance(numbers: NDArray[Any]) -> bytes:
    plain = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    return plain.view(np.uint8).reshape(len(plain), plain.itemsize).T.tobytes()


def _expect(found: int, n: int) -> None:
    if found != n:
        raise ValueError(f"a column of {n} has {found}")
