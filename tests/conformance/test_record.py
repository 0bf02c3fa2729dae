"""The record: what is written is read again, whole or not at all, and what is no record is refused in words."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossparity
from lossparity.conformance import record
from lossparity.conformance.record import VERDICTS, Check, RecordError, Run


def check(**changed: Any) -> Check:
    parts = ("mse_loss", "toy.mse", "plain-sum", "float64", "cpu", "eager", "value")
    one = Check(
        "/".join(parts), parts[0], "toy", *parts[1:], verdict="match", error_ulp=0.5, margin=0.0625, declared=[]
    )
    return dataclasses.replace(one, **changed)


def make(*checks: Check) -> Run:
    return Run(
        environment={"python": "3.12.1", "backends": {"toy": {"packages": {"toy": "1.5"}, "devices": ["cpu"]}}},
        seed=7,
        command=["lossparity", "run", "--backend", "toy"],
        checks=list(checks),
        started="2026-01-02T03:04:05+00:00",
        seconds=1.25,
        backends={"toy": {"status": "complete", "asked": True, "reason": "", "last_words": "", "seconds": 1.0}},
    )


WORST = {"index": [1, 2], "got": math.inf, "want": -math.inf, "tolerance": 1e-300, "at": {"input": [math.nan, -0.0]}}


@pytest.mark.parametrize("name", ["parity.json", "parity.json.gz"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    checks = [
        check(),
        check(verdict="mismatch", error_ulp=math.inf, margin=math.inf, reason='x = 1 — "é"\n<b>', worst=WORST),
        check(case="other", verdict="known", error_ulp=5e-324, margin=1.7976931348623157e308),
        check(id="*/toy", verdict="not-run", error_ulp=None, margin=None, seconds=0.1 + 0.2),
    ]
    path = record.save(make(*checks), tmp_path / "deep" / name)
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if name.endswith(".gz") else b'{"')
    run = lossparity.load(path)
    assert run.checks[0] == checks[0]
    assert [one.id for one in run.checks] == [one.id for one in checks]
    assert [one.error_ulp for one in run.checks] == [0.5, math.inf, 5e-324, None]
    assert [one.margin for one in run.checks] == [0.0625, math.inf, 1.7976931348623157e308, None]
    assert run.checks[1].reason == checks[1].reason
    assert run.checks[3].seconds == 0.1 + 0.2
    assert dataclasses.replace(run, checks=[]) == dataclasses.replace(make(), checks=[])
    # Within `worst`, which only reports read, a number that JSON does not have stays a word.
    assert run.checks[1].worst == {**WORST, "got": "inf", "want": "-inf", "at": {"input": ["nan", -0.0]}}


def test_nan_is_read_again(tmp_path: Path) -> None:
    (again,) = lossparity.load(record.save(make(check(margin=math.nan)), tmp_path / "r.json")).checks
    assert again.margin is not None
    assert math.isnan(again.margin)


def test_the_attributes_of_the_contract_are_there(tmp_path: Path) -> None:
    run = lossparity.load(record.save(make(check()), tmp_path / "r.json"))
    assert (run.seed, run.command[0], run.environment["python"]) == (7, "lossparity", "3.12.1")
    names = "id loss backend implementation case dtype device mode aspect verdict error_ulp margin reason"
    for name in names.split():
        assert hasattr(run.checks[0], name)


def test_a_gzipped_record_is_one_by_its_content_not_its_name(tmp_path: Path) -> None:
    packed = record.save(make(check()), tmp_path / "r.json.gz").read_bytes()
    (tmp_path / "renamed.json").write_bytes(packed)
    assert lossparity.load(tmp_path / "renamed.json").checks == [check()]


def test_the_same_run_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.json", "a.json.gz"):
        one = record.save(make(check()), tmp_path / name).read_bytes()
        assert record.save(make(check()), tmp_path / name).read_bytes() == one


def test_it_is_strict_json(tmp_path: Path) -> None:
    path = record.save(make(check(worst=WORST, margin=math.nan)), tmp_path / "r.json")

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    assert json.loads(path.read_bytes(), parse_constant=refuse)["schema"] == record.SCHEMA


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    odd: Any = {"float": np.float32(0.5), "whole": np.int64(3), "flag": np.bool_(True), "row": np.arange(2)}
    (again,) = lossparity.load(record.save(make(check(worst=odd)), tmp_path / "r.json")).checks
    assert again.worst == {"float": 0.5, "whole": 3, "flag": True, "row": [0, 1]}


def test_counts_are_of_the_verdicts_that_occur_in_their_order() -> None:
    run = make(check(verdict="error"), check(), check(verdict="error"), check(verdict="known"))
    assert run.counts() == {"match": 1, "known": 1, "error": 2}
    assert list(run.counts()) == [verdict for verdict in VERDICTS if verdict in run.counts()]


# --- whole or not at all


def failing(*_: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_record_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = record.save(make(check()), tmp_path / "parity.json")
    before = path.read_bytes()
    monkeypatch.setattr(os, step, failing)
    with pytest.raises(OSError, match="No space left"):
        record.save(make(check(), check()), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        record.save(make(check()), tmp_path / "parity.json")
    assert list(tmp_path.iterdir()) == []


def test_what_a_record_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = record.save(make(check()), tmp_path / "parity.json")
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not object"):
        record.save(make(check(worst={"what": object()})), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_is_readable_by_others(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        path = record.save(make(check()), tmp_path / "parity.json")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o644


# --- what is no record


def damaged(*place: Any, by: Any = ...) -> bytes:
    """A whole record with what stands at a place replaced, or taken out."""
    with tempfile.TemporaryDirectory() as folder:
        data = json.loads(record.save(make(check()), Path(folder) / "r.json").read_bytes())
    if place:
        *outer, last = place
        inside = functools.reduce(lambda found, key: found[key], outer, data)
        if by is ...:
            del inside[last]
        else:
            inside[last] = by
    return json.dumps(data).encode()


WHOLE = damaged()
PACKED = gzip.compress(WHOLE, mtime=0)
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not a whole record"),
    "cut off": (WHOLE[: len(WHOLE) // 2], "is not a whole record"),
    "text": (b"parity holds\n", "is not a whole record"),
    "bytes": (bytes(range(256)), "is not a whole record"),
    "deep": (b"[" * 100_000, "is not a whole record"),
    "gzip cut off": (PACKED[:-9], "is not a whole record"),
    "gzip of nothing": (b"\x1f\x8b", "is not a whole record"),
    "gzip damaged": (PACKED[:20] + b"\0" * 40 + PACKED[60:], "is not a whole record"),
    "foreign": (b'{"tests": 3}', "is not a lossparity record"),
    "a list": (b"[1, 2]", "is not a lossparity record"),
    "a number": (b"17", "is not a lossparity record"),
    "newer": (damaged("schema", by=record.SCHEMA + 1), "Read it with the release that wrote it"),
    "no schema number": (damaged("schema", by="x"), "has schema 'x'"),
    "no environment": (damaged("environment"), "is damaged: KeyError: 'environment'"),
    "the seed is a list": (damaged("seed", by=[1]), "is damaged"),
    "no margins": (damaged("checks", "margin"), "is damaged: KeyError: 'margin'"),
    "one margin too many": (damaged("checks", "margin", by=[1.0, 2.0]), "is damaged"),
    "a word for a margin": (damaged("checks", "margin", by=["much"]), "is damaged"),
    "a margin beyond floats": (damaged("checks", "margin", by=[10**400]), "is damaged"),
    "checks are a number": (damaged("checks", by=3), "is damaged"),
    "a column is a number": (damaged("checks", "loss", by=3), "is damaged"),
    "unknown verdict": (damaged("checks", "verdict", "words", by=["fine"]), "unknown verdict 'fine'"),
    "a loss is a number": (damaged("checks", "loss", "words", by=[3]), "is damaged"),
    "no such word": (damaged("checks", "loss", "rows", by=[9]), "is damaged"),
    "words from the end": (damaged("checks", "loss", "rows", by=[-1]), "is damaged"),
}


def test_the_damaged_records_are_whole_but_for_the_damage(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(WHOLE)
    assert lossparity.load(tmp_path / "r.json").checks == [check()]


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_record_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    payload, words = BAD[kind]
    path = tmp_path / "bad.json"
    path.write_bytes(payload)
    with pytest.raises(RecordError) as refused:
        lossparity.load(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused_in_words(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(RecordError, match=f"cannot read {path}: "):
            lossparity.load(path)
