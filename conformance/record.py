"""The record of a run: what was checked, where, and what came of it. Written whole or not at all.

On disk it is JSON (gzipped if the name ends in .gz): an object with `schema` (a whole number, never reused) and
the fields of `Run`, the checks as layout.py says. JSON has no infinity and no NaN: those numbers are the strings
"inf", "-inf" and "nan".
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossparity.conformance import layout, packed
from lossparity.conformance.checks import CHECK_FIELDS, Check, Checks, no_collection

__all__ = ["CHECK_FIELDS", "FAILING", "INCOMPLETE", "VERDICTS", "Check", "Checks", "RecordError", "Run", "load", "save"]

SCHEMA = 3  # what is written; 2 is read too
MAX_TEXT = 256 * 2**20  # bytes of JSON that are read: eight times what a record of a million checks has
_GZIP_LEVEL = 1  # what fills a record is packed already

# verdict: (sign, what it says). The first four hold; those in FAILING break parity; those in INCOMPLETE did not run.
VERDICTS: dict[str, tuple[str, str]] = {
    "match": ("✓", "agrees with the canonical loss to what its textbook form costs"),
    "lossy": ("≲", "agrees only to what a declared, less accurate formula costs"),
    "dialect": ("≈", "differs from it and agrees with the declared dialect"),
    "known": ("!", "a declared known issue, still there"),
    "mismatch": ("✗", "differs, and nothing declared explains it"),
    "stale": ("†", "a declared dialect or known issue that no longer shows"),
    "unsupported": ("·", "declared as not offered"),
    "not-run": ("○", "no such device or package"),
    "error": ("E", "raised where a result was expected"),
    "crashed": ("C", "the backend's process died"),
    "timeout": ("T", "the backend's process hung"),
}
FAILING = frozenset({"mismatch", "stale", "error"})
INCOMPLETE = frozenset({"not-run", "crashed", "timeout"})


class RecordError(ValueError):
    """A record that cannot be read: what the file is, and what to do."""


_TEXT = (str, type(None))
_NUMBER = (int, float)
# What stands where in a file: {"*": of every key}, [of every item], a type or several. More keys may stand there.
_SHAPE: dict[str, Any] = {
    "environment": {
        "backends": {"*": {"packages": {"*": str}, "engine": {"name": str, "version": str}, "devices": [str]}}
    },
    "seed": int,
    "command": [str],
    "started": str,
    "seconds": _NUMBER,
    "losses": {"*": {"summary": _TEXT, "source": _TEXT, "formula": _TEXT, "signature": _TEXT, "doc": _TEXT}},
    "implementations": {
        "*": {
            "backend": str,
            "loss": str,
            "parameters": [str],
            "reductions": [str],
            "dtypes": [str],
            "lacks": {"*": _TEXT},
            "no_gradient": {"*": _TEXT},
            "dialects": [{"name": str, "reason": _TEXT, "source": _TEXT, "says": _TEXT}],
            "known_issues": [{"name": str, "reason": _TEXT, "link": _TEXT, "versions": _TEXT}],
            "warnings": [str],
        }
    },
    "backends": {
        "*": {
            "status": str,
            "asked": bool,
            "reason": _TEXT,
            "last_words": _TEXT,
            "seconds": _NUMBER,
            "programs": {"*": int},
        }
    },
    "census": {"*": {"namespaces": {"*": [str]}, "uncovered": [str], "excluded": {"*": _TEXT}}},
    "data": str,
    "selection": {"losses": [str], "dtypes": [str], "devices": [str], "modes": [str], "expression": str, "quick": bool},
    "accepted": [{}],
}


@dataclass
class Run:
    """The record of one execution.

    environment: lossparity, python, platform, machine, processor, cpus, and backends: name ->
        {"python", "packages": {distribution: version}, "engine": {"name", "version"}, "devices": [...]} as that
        backend's process saw them.
    losses: name -> {"summary", "source", "formula", "signature", "doc"} of the reference (doc: shapes, domain, kinks,
        errors).
    implementations: name -> {"backend", "loss", "parameters", "reductions", "dtypes", "lacks", "no_gradient",
        "dialects": [{"name", "reason", "source", "says"}], "known_issues": [{"name", "reason", "link", "versions"}],
        "signature": [{"name", "kind", "default"}] of the entry point itself (None: it has none to be seen); kind in
        Python's words ("positional or keyword", "keyword-only", ...), default its repr (None: it must be given),
        "warnings": ["Category: first line", ...] raised while it ran, # for numbers that vary from case to case}.
        Keyed "loss/name", because one entry point can implement several losses.
    census: backend -> {"namespaces": {namespace: [every loss found there]}, "uncovered": [dotted name without an
        adapter], "excluded": {dotted name: why it is left out on purpose}}. Another name of a loss is in the first
        alone.
    backends: name -> {"status": "complete" | "not-run" | "crashed" | "timeout", "asked": by name on the
        command line, "reason", "last_words", "seconds", "programs": {mode: how many were really compiled for it}, where
        a mode that compiles was asked for}.
    data: a digest of the cases' data: two records compare only where both ran the same.
    checks: a list of them is kept as `Checks`, which says what is asked of all of them without making each.
    selection: which checks were asked for (the fields of `Selection`); empty where no one run could repeat it.
    accepted: the changes that were accepted into this baseline, oldest first: {"reason", "when", "says",
        "before", "after", "findings"}.
    """

    environment: dict[str, Any]
    seed: int
    command: list[str]
    checks: Sequence[Check]
    started: str = ""
    seconds: float = 0.0
    losses: dict[str, Any] = field(default_factory=dict)
    implementations: dict[str, Any] = field(default_factory=dict)
    backends: dict[str, Any] = field(default_factory=dict)
    census: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    selection: dict[str, Any] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checks = Checks.of(self.checks)

    def counts(self) -> dict[str, int]:
        """How many checks have each verdict; only verdicts that occur, in the order of VERDICTS."""
        found = Checks.of(self.checks).tally("verdict")
        return {verdict: found[verdict,] for verdict in VERDICTS if found[verdict,]}


def save(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the record, whole or not at all."""
    data = {"schema": SCHEMA, **{f.name: getattr(run, f.name) for f in dataclasses.fields(run)}}
    with no_collection():
        data["checks"] = layout.pack(Checks.of(run.checks).whole())
        payload = packed.text(data).encode()
    if str(path).endswith(".gz"):
        payload = gzip.compress(payload, _GZIP_LEVEL, mtime=0)
    return write_whole(path, payload)


def write_whole(path: str | os.PathLike[str], payload: bytes) -> Path:
    """Write a file so that a reader sees the old content or the new, never a part of it. An OSError names the file."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _write_whole(path, payload)
    except OSError as error:  # the system names a temporary file, or none
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _write_whole(path: Path, payload: bytes) -> Path:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp makes it private; a report is to be read
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return path


def load(path: str | os.PathLike[str]) -> Run:
    """Read a record (JSON, or the same gzipped). RecordError, with what to do, for anything that is not one."""
    with no_collection():
        return _load(Path(path))


def _load(path: Path) -> Run:
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        if payload[:2] == b"\x1f\x8b":
            payload = packed.Budget(MAX_TEXT).gunzip(payload)
        elif len(payload) > MAX_TEXT:
            raise ValueError(f"it has more than {MAX_TEXT >> 20} MB, which no record of lossparity has")
        data = json.loads(payload)
        del payload  # of two large records each, when they are compared
    except (ValueError, RecursionError, zlib.error) as error:
        raise RecordError(
            f"{path} is not a whole record: {error}. Write it again with `lossparity run -o DIR`"
        ) from None
    if not isinstance(data, dict) or "schema" not in data or "checks" not in data:
        raise RecordError(f"{path} is not a lossparity record: it has no schema and checks")
    schema = data["schema"]
    reader = _READERS.get(schema) if type(schema) is int else None
    if reader is None:
        raise RecordError(
            f"{path} has schema {schema!r:.80}; this lossparity reads {' and '.join(map(str, _READERS))}. "
            "Read it with the release that wrote it, or run the matrix again"
        )
    try:
        rest = {f.name: data[f.name] for f in dataclasses.fields(Run) if f.name != "checks"}
        for name, value in rest.items():
            _expect(value, _SHAPE.get(name, object), name)
        checks = reader(data["checks"])
        unknown = set(checks.tables.words["verdict"]) - set(VERDICTS)
        if unknown:
            raise ValueError(f"unknown verdict {min(unknown)!r}")
        return Run(checks=checks, **rest)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError, zlib.error) as error:
        raise RecordError(
            f"{path} is damaged: {type(error).__name__}: {error}. Write it again with `lossparity run -o DIR`"
        ) from None


_READERS: dict[int, Callable[[Any], Checks]] = {2: layout.unpack_2, SCHEMA: layout.unpack}


def _expect(value: Any, shape: Any, where: str) -> None:
    """TypeError, with the place, where a value does not have its shape."""
    kinds = shape if isinstance(shape, tuple) else (type(shape) if isinstance(shape, (dict, list)) else shape,)
    if not isinstance(value, kinds):
        raise TypeError(f"{where} is {value!r:.80}, not {' or '.join(each.__name__ for each in kinds)}")
    if isinstance(shape, list):
        for each in value:
            _expect(each, shape[0], f"an item of {where}")
    elif isinstance(shape, dict):
        for key, each in value.items():
            inner = shape.get("*", shape.get(key))
            if inner is not None:
                _expect(each, inner, f"{where}[{key!r:.40}]")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
