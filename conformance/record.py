"""The record of a run: what was checked, where, and what came of it. Written whole or not at all.

On disk it is JSON (gzipped if the name ends in .gz): an object with `schema` (a whole number, never reused) and
the fields of `Run`. `checks` has a column for each field of `Check`, which is what makes a record small enough to
commit: a field of words is {"words": [...], "rows": [index into words, ...]}, any other a list. `ids` has only those
IDs that are not made of the check's parts, by row. JSON has no infinity and no NaN: those numbers are the strings
"inf", "-inf" and "nan".
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import gzip
import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 2

# verdict: (sign, what it says). The first three hold; those in FAILING break parity; those in INCOMPLETE did not run.
VERDICTS: dict[str, tuple[str, str]] = {
    "match": ("✓", "agrees with the canonical loss"),
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


@dataclass(frozen=True)
class Check:
    """One check and its result.

    id: loss/implementation/case/dtype/device/mode/aspect, stable from run to run.
    aspect: value, gradient:<argument>, dtype, shape, error, twin, or dialect:<name> (is it still needed?).
    error_ulp: the largest |got - want| in units in the last place of the true result; None: nothing numeric compared.
    margin: the largest |got - want| / tolerance; above 1 is a mismatch.
    reason: why this verdict: the difference in words, the dialect's or issue's name, or why it did not run.
    seconds: how long it took; the first aspect of a call carries the call.
    declared: the names of the dialects or of the known issue by which the verdict was reached.
    result: what the framework gave, for comparison with another run: at most 16 elements of a value or gradient, evenly
        spread; a shape or dtype by name; the exception's class. None: nothing to compare.
    limits: the tolerance of each number in `result`, to two digits.
    worst: where error_ulp was found: {"index": [...], "got": x, "want": y, "tolerance": t, "at": {argument: [...]}}.
    """

    id: str
    loss: str
    backend: str
    implementation: str
    case: str
    dtype: str
    device: str
    mode: str
    aspect: str
    verdict: str = ""
    error_ulp: float | None = None
    margin: float | None = None
    reason: str = ""
    seconds: float = 0.0
    worst: Mapping[str, Any] | None = None
    declared: Sequence[str] = ()
    result: Any = None
    limits: Sequence[float] | None = None


CHECK_FIELDS = tuple(f.name for f in dataclasses.fields(Check))
_PARTS = ("loss", "implementation", "case", "dtype", "device", "mode", "aspect")  # of a check's ID
_WORDS = (*_PARTS, "backend", "verdict", "reason")
_NUMBERS = ("error_ulp", "margin", "seconds")
_KINDS: dict[str, type] = {  # of Run's fields, in a file
    "environment": dict, "seed": int, "command": list, "losses": dict, "implementations": dict, "backends": dict,
    "census": dict, "data": str, "selection": dict, "accepted": list,
}  # fmt: skip


@dataclass
class Run:
    """The record of one execution.

    environment: lossparity, python, platform, machine, processor, cpus, and backends: name ->
        {"python", "packages": {distribution: version}, "devices": [...]} as that backend's process saw them.
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
        command line, "reason", "last_words", "seconds"}.
    data: a digest of the cases' data: two records compare only where both ran the same.
    selection: which checks were asked for (the fields of `Selection`); empty where no one run could repeat it.
    accepted: the changes that were accepted into this baseline, oldest first: {"reason", "when", "says",
        "before", "after", "findings"}.
    """

    environment: dict[str, Any]
    seed: int
    command: list[str]
    checks: list[Check]
    started: str = ""
    seconds: float = 0.0
    losses: dict[str, Any] = field(default_factory=dict)
    implementations: dict[str, Any] = field(default_factory=dict)
    backends: dict[str, Any] = field(default_factory=dict)
    census: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    selection: dict[str, Any] = field(default_factory=dict)
    accepted: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many checks have each verdict; only verdicts that occur, in the order of VERDICTS."""
        found = dict.fromkeys(VERDICTS, 0)
        for check in self.checks:
            found[check.verdict] += 1
        return {verdict: n for verdict, n in found.items() if n}


def save(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the record, whole or not at all."""
    data = {"schema": SCHEMA, **{f.name: getattr(run, f.name) for f in dataclasses.fields(run)}}
    data["checks"] = _columns(run.checks)
    text = json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    payload = text.encode()
    if str(path).endswith(".gz"):
        payload = gzip.compress(payload, mtime=0)
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
    with _no_collection():
        return _load(Path(path))


def _load(path: Path) -> Run:
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        if payload[:2] == b"\x1f\x8b":
            payload = gzip.decompress(payload)
        data = json.loads(payload)
        del payload  # of two large records each, when they are compared
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise RecordError(
            f"{path} is not a whole record: {error}. Write it again with `lossparity run -o DIR`"
        ) from None
    if not isinstance(data, dict) or "schema" not in data or "checks" not in data:
        raise RecordError(f"{path} is not a lossparity record: it has no schema and checks")
    if data["schema"] != SCHEMA:
        raise RecordError(
            f"{path} has schema {data['schema']!r}; this lossparity reads {SCHEMA}. "
            "Read it with the release that wrote it, or run the matrix again"
        )
    try:
        rest = {f.name: data[f.name] for f in dataclasses.fields(Run) if f.name != "checks"}
        for name, kind in _KINDS.items():
            if not isinstance(rest[name], kind):
                raise TypeError(f"{name} is {rest[name]!r:.80}, not a {kind.__name__}")
        return Run(checks=_checks(data["checks"]), **rest)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise RecordError(
            f"{path} is damaged: {type(error).__name__}: {error}. Write it again with `lossparity run -o DIR`"
        ) from None


def _columns(checks: Sequence[Check]) -> dict[str, Any]:
    """The checks by field."""
    columns: dict[str, Any] = {}
    for name in CHECK_FIELDS:
        column = [getattr(check, name) for check in checks]
        if name in _WORDS:
            words: dict[str, int] = {}
            rows = [words.setdefault(word, len(words)) for word in column]
            columns[name] = {"words": list(words), "rows": rows}
        elif name != "id":
            columns[name] = column
    columns["ids"] = {row: check.id for row, check in enumerate(checks) if check.id != _usual_id(check)}
    return columns


def _usual_id(check: Check) -> str:
    return "/".join([getattr(check, name) for name in _PARTS])


def _checks(columns: Mapping[str, Any]) -> list[Check]:
    """The checks again. Their words are shared: a record of 50,000 would not fit into memory twice otherwise."""
    fields: dict[str, list[Any]] = {}
    for name in CHECK_FIELDS:
        if name in _WORDS:
            words, rows = columns[name]["words"], columns[name]["rows"]
            if not all(isinstance(word, str) for word in words) or min(rows, default=0) < 0:
                raise ValueError(f"the words of {name} are damaged")
            fields[name] = [words[row] for row in rows]
        elif name in _NUMBERS:
            fields[name] = [each if each is None else float(each) for each in columns[name]]
        elif name != "id":
            fields[name] = columns[name]
    unknown = set(columns["verdict"]["words"]) - set(VERDICTS)
    if unknown:
        raise ValueError(f"unknown verdict {min(unknown)!r}")
    fields["id"] = ["/".join(parts) for parts in zip(*(fields[name] for name in _PARTS), strict=True)]
    for row, identifier in columns["ids"].items():
        fields["id"][int(row)] = str(identifier)
    return [Check(*row) for row in zip(*(fields[name] for name in CHECK_FIELDS), strict=True)]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No search for garbage while a large record is read: there is none, and looking takes as long as reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _finite(value: Any) -> Any:
    """`value` with every number that JSON cannot hold as a string."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [_finite(each) for each in value]
    if isinstance(value, (str, int, type(None))):
        return value
    if hasattr(value, "item"):
        return _finite(value.item())
    raise TypeError(f"a record holds numbers, text, lists and mappings; not {type(value).__name__}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
