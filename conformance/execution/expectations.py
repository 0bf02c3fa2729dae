"""What the reference says, kept between processes and runs in the user's cache folder.

It depends on no framework: the backends of a run and all releases of a sweep share it. An entry is found by a digest of
everything that it was computed from: the sources of the reference, the cases and the formulas that adapters declare,
the versions of NumPy and Python, the machine, and the arguments bit for bit. So nothing is ever out of date; what is
not this user's, or not what its checksum says, is computed again.

A file is written once, whole: a line of JSON ({"made_of", "entries": {key: [offset, checksum, shapes]}}), then the
numbers as little-endian float64: of each entry the value, its tolerance, then each gradient and its tolerance.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lossparity.conformance.execution.environments import cache
from lossparity.conformance.execution.sources import sources
from lossparity.conformance.tolerance import Expected

LIMIT = 64 * 2**20  # bytes of all files together; those of one state of the sources are about 5 MB
_SUFFIX = ".expected"
_MAGNITUDE = "<f8"


class Expectations:
    """The expectations that are known, and those that are new. Where the folder cannot be had, nothing is kept."""

    def __init__(self, home: Path | None = None) -> None:
        """home: where to keep them (default: in the user's cache folder)."""
        self.made_of = _made_of()
        self.home = cache().parent / "expected" if home is None else home
        self.folder = self.home / self.made_of[:32]
        self._known: dict[str, tuple[memoryview, list[Any]]] = {}
        self._new: dict[str, tuple[bytes, Any]] = {}
        self._seen: set[str] = set()
        self.read()

    def expected(self, compute: Callable[[], Expected], **of: Any) -> Expected:
        """What `compute` gives, or gave before where it is kept. of: everything that this depends on."""
        where = digest(**of)
        if where is None:
            return compute()
        found = self._get(where)
        if found is None:
            found = compute()
            self._put(where, found)
        return found

    def _get(self, key: str) -> Expected | None:
        found = self._known.get(key)
        if found is None:
            return None
        try:
            return _unpacked(key, *found)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):  # damaged
            del self._known[key]
            return None

    def _put(self, key: str, expected: Expected) -> None:
        shapes = [list(expected.value.shape), {name: list(each.shape) for name, each in expected.gradients.items()}]
        pairs = [(expected.value, expected.value_tolerance)]
        pairs += [(each, expected.gradient_tolerances[name]) for name, each in expected.gradients.items()]
        arrays = [np.broadcast_to(each, pair[0].shape) for pair in pairs for each in pair]
        if any(each.dtype != np.float64 for each in arrays):
            return
        self._new[key] = b"".join(each.astype(_MAGNITUDE).tobytes() for each in arrays), shapes

    def read(self) -> None:
        """Take in what others have written since."""
        with contextlib.suppress(OSError):
            if not _ours(self.folder):
                return
            for name in sorted(set(os.listdir(self.folder)) - self._seen):
                self._seen.add(name)
                if name.endswith(_SUFFIX):
                    self._read(self.folder / name)

    def _read(self, path: Path) -> None:
        if not _ours(path):
            return
        payload = path.read_bytes()
        head, _, numbers = payload.partition(b"\n")
        try:
            said = json.loads(head)
            entries = said["entries"].items() if said["made_of"] == self.made_of else ()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        view = memoryview(numbers)
        for key, entry in entries:
            self._known.setdefault(key, (view, entry))
        with contextlib.suppress(OSError):
            os.utime(path)  # used: the last to be removed

    def write(self) -> None:
        """Write what is new, and take in what others wrote."""
        new, self._new = self._new, {}
        if new and _made_of() == self.made_of:  # nobody has edited the sources since they were imported
            entries, offset = {}, 0
            for key, (numbers, shapes) in new.items():
                entries[key] = [offset, _checksum(key, shapes, numbers), shapes]
                offset += len(numbers)
            head = json.dumps({"made_of": self.made_of, "entries": entries}).encode()
            payload = head + b"\n" + b"".join(numbers for numbers, _ in new.values())
            with contextlib.suppress(OSError):  # no such folder to be had, or full: it is a cache
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if _ours(self.folder):
                    self._seen.add(_written(self.folder, payload))
                    _prune(self.home)
        self.read()


def digest(**of: Any) -> str | None:
    """A digest of what an expectation is computed from; None where a part of it has none."""
    whole = hashlib.blake2b(digest_size=16)
    try:
        _add(whole.update, of)
    except TypeError:
        return None
    return whole.hexdigest()


def _add(update: Callable[[bytes], None], value: Any) -> None:
    kind = type(value)
    if kind is np.ndarray and value.dtype.kind in "fiub":
        # How an array lies in memory decides in which order it is summed.
        update(f"array {value.dtype.str} {value.shape} {value.strides} ".encode())
        update(value.tobytes())
    elif value is None or kind in (bool, int, float, str) or isinstance(value, (np.floating, np.integer, np.bool_)):
        update(f"{kind.__name__} {value!r};".encode())
    elif kind in (tuple, list):
        update(f"{kind.__name__} {len(value)} ".encode())
        for each in value:
            _add(update, each)
    elif isinstance(value, Mapping):
        update(f"mapping {len(value)} ".encode())
        for name, each in value.items():
            update(f"{name}=".encode())
            _add(update, each)
    elif callable(value) and _is_ours(value):
        update(f"function {value.__module__}.{value.__qualname__};".encode())
    else:
        raise TypeError(f"{kind.__name__} has no digest")


def _is_ours(function: Any) -> bool:
    """Whether a function is one of those whose source is in `made_of`, and says by its name which."""
    where, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "<")
    return where.startswith(("lossparity.reference", "lossparity.adapters")) and "<" not in name


def _made_of() -> str:
    parts = (
        sources(),
        np.__version__,
        ".".join(map(str, sys.version_info[:3])),
        platform.machine(),
        platform.node(),
        os.environ.get("NPY_DISABLE_CPU_FEATURES", ""),
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _checksum(key: str, shapes: Any, numbers: bytes | memoryview) -> str:
    whole = hashlib.blake2b(f"{key} {json.dumps(shapes)} ".encode(), digest_size=12)
    whole.update(numbers)
    return whole.hexdigest()


def _unpacked(key: str, numbers: memoryview, entry: list[Any]) -> Expected:
    offset, checksum, shapes = entry
    shape, of_gradients = shapes
    every = [each for one in (shape, *of_gradients.values()) for each in (one, one)]
    sizes = [math.prod(each) for each in every]
    held = numbers[offset : offset + 8 * sum(sizes)]
    if offset < 0 or _checksum(key, shapes, held) != checksum:
        raise ValueError("not what was written")
    flat = np.frombuffer(held, _MAGNITUDE)
    arrays, at = [], 0
    for size, each in zip(sizes, every, strict=True):
        arrays.append(flat[at : at + size].reshape(each))
        at += size
    return Expected(
        arrays[0],
        dict(zip(of_gradients, arrays[2::2], strict=True)),
        arrays[1],
        dict(zip(of_gradients, arrays[3::2], strict=True)),
    )


def _ours(path: Path) -> bool:
    """Whether nobody but this user can have written it."""
    if not hasattr(os, "getuid"):
        return True
    there = path.stat()
    return there.st_uid == os.getuid() and not there.st_mode & 0o022


def _written(folder: Path, payload: bytes) -> str:
    """The name under which it now stands there, whole."""
    handle, temporary = tempfile.mkstemp(dir=folder)
    name = os.path.basename(temporary) + _SUFFIX
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
        os.replace(temporary, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return name


def _prune(home: Path) -> None:
    """Remove what was not used for longest, down to half of the limit, once all of it is above it."""
    files = [(path.stat(), path) for path in home.glob("*/*")]
    size = sum(there.st_size for there, _ in files)
    if size <= LIMIT:
        return
    for there, path in sorted(files, key=lambda each: each[0].st_mtime):
        if size <= LIMIT // 2:
            return
        path.unlink(missing_ok=True)
        size -= there.st_size
        with contextlib.suppress(OSError):  # others stand there yet
            path.parent.rmdir()
