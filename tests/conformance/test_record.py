"""The record: what is written is read again, whole or not at all, and what is no record is refused in words."""

from __future__ import annotations

import base64
import dataclasses
import functools
import gzip
import json
import math
import os
import random
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lossparity
from lossparity.conformance import layout, packed, record
from lossparity.conformance.record import VERDICTS, Check, Checks, RecordError, Run
from lossparity.conformance.tables import combined


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
        check(case="other", verdict="known", error_ulp=5e-324, margin=1.5e308),
        check(id="*/toy", verdict="not-run", error_ulp=None, margin=None, seconds=0.1 + 0.2),
    ]
    path = record.save(make(*checks), tmp_path / "deep" / name)
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if name.endswith(".gz") else b'{"')
    run = lossparity.load(path)
    assert run.checks[0] == checks[0]
    assert [one.id for one in run.checks] == [one.id for one in checks]
    assert [one.error_ulp for one in run.checks] == [0.5, math.inf, 5e-324, None]
    assert [one.margin for one in run.checks] == [0.0625, math.inf, 1.5e308, None]
    assert run.checks[1].reason == checks[1].reason
    assert run.checks[3].seconds == 0.3  # to the microsecond
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


def column(*texts: str) -> dict[str, Any]:
    return {**packed.lines(texts), "kind": "decimals"}


def rows(*numbers: int) -> dict[str, Any]:
    return packed.whole(np.array(numbers))


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
    "gzip and more": (PACKED + b"more", "something follows its end"),
    "gzip damaged": (PACKED[:20] + b"\0" * 40 + PACKED[60:], "is not a whole record"),
    "foreign": (b'{"tests": 3}', "is not a lossparity record"),
    "a list": (b"[1, 2]", "is not a lossparity record"),
    "a number": (b"17", "is not a lossparity record"),
    "newer": (damaged("schema", by=record.SCHEMA + 1), "Read it with the release that wrote it"),
    "no schema number": (damaged("schema", by="x"), "has schema 'x'"),
    "no environment": (damaged("environment"), "is damaged: KeyError: 'environment'"),
    "the seed is a list": (damaged("seed", by=[1]), "is damaged"),
    "no margins": (damaged("checks", "measured", "margin"), "is damaged: KeyError: 'margin'"),
    "one margin too many": (damaged("checks", "measured", "margin", by=packed.decimals([1.0, 2.0])), "is damaged"),
    "a word for a margin": (damaged("checks", "measured", "margin", by=column("much")), "is damaged"),
    "no margin at all": (damaged("checks", "measured", "margin", "data", by=""), "is damaged"),
    "a margin that is no zlib": (damaged("checks", "measured", "margin", "data", by="AAAA"), "is damaged: error"),
    "a margin that is no base64": (damaged("checks", "measured", "margin", "data", by="é"), "is damaged"),
    "a column that says it is longer": (damaged("checks", "measured", "margin", "n", by=2), "a column of 2 has 1"),
    "a column of another kind": (damaged("checks", "measured", "margin", "kind", by="lines"), "not decimals"),
    "a column of half an item": (damaged("checks", "measured", "margin", "n", by=0.5), "a column has 0.5 items"),
    "a column without end": (damaged("checks", "measured", "margin", "n", by=10**9), "unpacks to more than"),
    "checks are a number": (damaged("checks", by=3), "is damaged"),
    "a column is a number": (damaged("checks", "calls", "loss", by=3), "is damaged"),
    "unknown verdict": (damaged("checks", "words", "verdict", by=["fine"]), "unknown verdict 'fine'"),
    "a loss is a number": (damaged("checks", "words", "loss", by=[3]), "the words of loss are no text"),
    "no such word": (damaged("checks", "calls", "loss", by=rows(9)), "points outside the 1 of loss"),
    "no such outcome": (damaged("checks", "calls", "outcome", by=rows(9)), "points outside the 1 of outcome"),
    "no such line": (damaged("checks", "outcomes", "lines", by=rows(1)), "points outside the 1 of line"),
    "no such result": (damaged("checks", "measured", "result", by=rows(2)), "points outside the 0 of result"),
    "no place for what was got": (damaged("checks", "measured", "at", by=rows(1)), "is damaged"),
    "two calls in one column": (damaged("checks", "calls", "case", by=rows(0, 0)), "not of one length"),
    "an implementation is a list": (
        damaged("implementations", by={"a/b": []}),
        "implementations['a/b'] is [], not dict",
    ),
    "a warning is a number": (
        damaged("implementations", by={"a/b": {"warnings": [1]}}),
        "an item of implementations['a/b']['warnings'] is 1, not str",
    ),
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


# --- what a little file can stand for


def test_what_unpacks_without_end_is_refused_before_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert record.MAX_TEXT == 256 * 2**20  # a record of a million checks in schema 3 is 35 MB, in schema 2 280
    monkeypatch.setattr(record, "MAX_TEXT", 2**20)
    for size in (2**20, 2**20 + 1):
        (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * size))
        (tmp_path / "bomb.json").write_bytes(b" " * size)
        words = (
            "is not a whole record: Expecting value" if size == 2**20 else "(unpacks to|has) more than 1 MB, which no"
        )
        for name in ("bomb.json.gz", "bomb.json"):
            with pytest.raises(RecordError, match=words):
                lossparity.load(tmp_path / name)


@pytest.mark.parametrize("place", ["measured/error_ulp", "calls/case", "places"])
def test_columns_that_unpack_without_end_are_refused_too(tmp_path: Path, place: str) -> None:
    endless = {"kind": "u1", "n": layout.MAX_COLUMNS, "data": base64.b64encode(zlib.compress(bytes(2**20))).decode()}
    endless["kind"] = {"measured/error_ulp": "decimals", "places": "lines"}.get(place, "u1")
    (tmp_path / "r.json").write_bytes(damaged("checks", *place.split("/"), by=endless))
    with pytest.raises(RecordError, match=r"it unpacks to more than 1,024 MB"):
        lossparity.load(tmp_path / "r.json")


def test_few_outcomes_do_not_become_checks_without_end(tmp_path: Path) -> None:
    data = json.loads(damaged())
    many = np.zeros(100_000, np.int64)
    data["checks"]["outcomes"] = {"sizes": packed.whole(np.array([100_000])), "lines": packed.whole(many)}
    for name in data["checks"]["calls"]:
        data["checks"]["calls"][name] = packed.whole(many)
    (tmp_path / "r.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match="unpacks to more than"):
        lossparity.load(tmp_path / "r.json")


# --- schema 2


def test_schema_2_is_still_read(tmp_path: Path) -> None:
    """A record of scikit-learn 1.9.1 and torch 2.14.1, written by the last lossparity that wrote schema 2."""
    path = Path(__file__).parent / "schema-2.json.gz"
    columns = json.loads(gzip.decompress(path.read_bytes()))["checks"]
    run = lossparity.load(path)
    assert len(run.checks) == len(columns["error_ulp"]) == 513
    assert run.counts() == {"match": 413, "dialect": 44, "unsupported": 56}
    for name in ("loss", "backend", "implementation", "case", "dtype", "device", "mode", "aspect", "verdict", "reason"):
        words = columns[name]["words"]
        assert [getattr(check, name) for check in run.checks] == [words[row] for row in columns[name]["rows"]]
    for name in ("declared", "limits"):
        assert [getattr(check, name) for check in run.checks] == columns[name]
    for check, error, margin, result, worst in zip(
        run.checks, *(columns[name] for name in ("error_ulp", "margin", "result", "worst")), strict=True
    ):
        assert check.error_ulp == (error if error is None else pytest.approx(float(error), rel=1e-5))
        assert check.margin == (margin if margin is None else pytest.approx(float(margin), rel=1e-5))
        assert check.result == (list(map(float, result)) if isinstance(result, list) else result)
        if worst is not None and not (check.verdict == "match" and error == 0.0):
            assert {**check.worst, "tolerance": 0} == {**worst, "tolerance": 0}
            assert float(check.worst["tolerance"]) == pytest.approx(float(worst["tolerance"]), rel=0.05)
    again = lossparity.load(record.save(run, tmp_path / "again.json.gz"))
    assert again == run
    assert json.loads((record.save(run, tmp_path / "again.json")).read_bytes())["schema"] == 3


# --- a million checks are columns


def made_up(n: int, seed: int = 5) -> list[Check]:
    """Checks of every form: with and without numbers, NaN and infinities, other IDs, and words that come again."""
    draw = random.Random(seed)  # noqa: S311  made-up numbers
    checks = []
    for i in range(n):
        aspect = ("shape", "value", "gradient:input", "error")[i % 4]
        parts = ("mse_loss", f"toy.{draw.choice('abc')}", f"case-{i // 4}", draw.choice(DTYPES), "cpu", "eager", aspect)
        odd: dict[str, Any] = {}
        if aspect in ("value", "gradient:input"):
            result = [float(np.float32(draw.choice([0.0, -0.0, 0.1, draw.random(), math.inf]))) for _ in range(i % 7)]
            worst = {
                "index": [i],
                "got": draw.choice([*filter(math.isfinite, result), 0.3]),
                "want": 0.1,
                "tolerance": 1e-9,
                "at": {"x": [0.5]},
            }
            odd = {
                "error_ulp": draw.choice([None, 0.0, 1.5, math.nan, math.inf]), "margin": draw.choice([None, 1.0, 0.1]),
                "result": result, "limits": draw.choice([None, [1e-9] * len(result)]),
                "worst": draw.choice([None, worst, {"at": "elsewhere"}]), "declared": draw.choice([[], ["a", "b"]]),
            }  # fmt: skip
        elif aspect == "shape":
            odd = {"result": draw.choice([{"value": [2, 3]}, {"value": []}, None, ["a", "b"], "text"])}
        verdict = draw.choice(["match", "dialect", "mismatch"])
        identifier = "/".join(parts) if i % 11 else f"odd/{i}"
        odd |= {"reason": draw.choice("xyz"), "seconds": draw.choice([0.0, 0.25, 1e-6])}
        checks.append(Check(identifier, parts[0], "toy", *parts[1:], verdict=verdict, **odd))
    return checks


DTYPES = ("float64", "float32")


def same(mine: Check, its: Check) -> bool:
    """Equal, where NaN is NaN; but for the worst error of a match without any and each aspect's time, not kept."""
    mine, its = (dataclasses.replace(each, seconds=0.0) for each in (mine, its))
    if its.verdict == "match" and its.error_ulp == 0.0:
        its = dataclasses.replace(its, worst=None)
    one, other = (repr(dataclasses.replace(each, declared=list(each.declared))) for each in (mine, its))
    return one == other


def test_checks_are_the_same_from_columns_and_from_a_file(tmp_path: Path) -> None:
    checks = made_up(5_000)
    there = make(*checks)
    here = lossparity.load(record.save(there, tmp_path / "r.json.gz"))
    for found in (there.checks, here.checks):
        assert len(found) == len(checks)
        assert all(same(mine, its) for mine, its in zip(found, checks, strict=True))
        assert same(found[-1], checks[-1])
        assert same(found[4_097], checks[4_097])
        assert [each.id for each in found[10:4_200:7]] == [each.id for each in checks[10:4_200:7]]
        with pytest.raises(IndexError):
            found[5_000]
    assert record.save(here, tmp_path / "again.json.gz").read_bytes() == (tmp_path / "r.json.gz").read_bytes()


def test_columns_answer_as_a_loop_over_the_checks_does() -> None:
    checks = made_up(3_000)
    found = Checks.of(checks)
    assert found.tally("verdict", "dtype") == Counter((each.verdict, each.dtype) for each in checks)
    assert list(found.tally("implementation")) == [(name,) for name in dict.fromkeys(c.implementation for c in checks)]
    assert found.column("reason") == [each.reason for each in checks]
    wanted = [each for each in checks if each.verdict in ("match", "mismatch") and each.dtype == "float32"]
    chosen = found.where(verdict=("match", "mismatch"), dtype=["float32"])
    assert [each.id for each in chosen] == [each.id for each in wanted]
    assert [each.id for each in chosen[5:900:3]] == [each.id for each in wanted[5:900:3]]
    assert chosen.tally("case") == Counter((each.case,) for each in wanted)
    assert chosen.has("error_ulp").tolist() == [each.error_ulp is not None for each in wanted]
    given = [math.nan if each.error_ulp is None else each.error_ulp for each in wanted]
    np.testing.assert_array_equal(chosen.numbers("error_ulp"), given)
    assert found.ids() == [each.id for each in checks]
    assert chosen.ids() == [each.id for each in wanted]
    combinations, which = chosen.distinct("implementation", "dtype", "aspect")
    assert combinations == list(dict.fromkeys((c.implementation, c.dtype, c.aspect) for c in wanted))
    assert [combinations[i] for i in which] == [(c.implementation, c.dtype, c.aspect) for c in wanted]
    assert Checks.of([]).tally("verdict") == {}
    assert len(found.where(verdict=())) == 0


def tables_of(checks: Checks) -> str:
    """All that the columns are, to the bit."""
    tables = dataclasses.asdict(checks.tables)
    return repr([tables, checks.call, checks.line, checks.measured, checks.rows]) + str(
        [[each.tolist() for each in part.values()] for part in (checks.tables.calls, checks.tables.lines)]
        + [each.tolist() for each in (checks.call, checks.line, checks.measured, checks.tables.results.values)]
        + [each.tolist() for each in (checks.tables.result, checks.tables.place, checks.tables.got)]
    )


def test_checks_behind_one_another_are_those_of_one_sequence(tmp_path: Path) -> None:
    """Whole sequences and selections, with tables of their own and other IDs; and what is saved is the same bytes."""
    lists = [made_up(900, 1), made_up(700, 2), [], made_up(500, 1)]
    lists[1] += [
        dataclasses.replace(lists[1][0], id=f"result/{i}", result=each) for i, each in enumerate(['["a"]', ["a"]])
    ]
    parts = [Checks.of(each) for each in lists]
    parts[1] = parts[1].take(np.arange(40, len(parts[1])))
    lists[1] = lists[1][40:]
    joined, whole = Checks.joined(parts), [each for part in lists for each in part]
    assert len(joined) == len(whole)
    assert all(same(mine, its) for mine, its in zip(joined, whole, strict=True))
    assert joined.tally("verdict", "dtype") == Counter((each.verdict, each.dtype) for each in whole)
    numbers = joined.numbered()
    ids = [each.id for each in whole]
    assert len(set(zip(numbers.tolist(), ids, strict=True))) == len(set(ids)) == len(set(numbers.tolist()))
    for rows in (np.arange(len(joined))[::-1], np.arange(5, 1_500, 7), np.zeros(0, np.int64)):
        some = list(joined.take(rows))
        assert tables_of(joined.take(rows).whole()) == tables_of(Checks.of(some))
    one, other = make(*whole), dataclasses.replace(make(), checks=joined)
    assert record.save(one, tmp_path / "a.json").read_bytes() == record.save(other, tmp_path / "b.json").read_bytes()


def test_combinations_are_told_apart_however_many_there_might_be() -> None:
    draw = np.random.default_rng(4)
    columns = [(draw.integers(0, 50, 400) * (2**30 // 50), 2**30) for _ in range(7)]  # 2**210 combinations
    keys = combined(columns)
    rows = list(zip(*(codes.tolist() for codes, _ in columns), strict=True))
    again = combined([(np.append(codes, codes[:9]), n) for codes, n in columns])
    assert len(set(keys.tolist())) == len(set(rows))
    assert again[400:].tolist() == again[:9].tolist()


def test_a_selection_is_saved_without_what_it_leaves_out(tmp_path: Path) -> None:
    run = make(*made_up(400))
    some = dataclasses.replace(run, checks=Checks.of(run.checks).where(implementation=["toy.a"]))
    alone = dataclasses.replace(run, checks=[each for each in run.checks if each.implementation == "toy.a"])
    assert record.save(some, tmp_path / "a.json").read_bytes() == record.save(alone, tmp_path / "b.json").read_bytes()
    assert b"toy.b" not in (tmp_path / "a.json").read_bytes()


def test_errors_are_kept_to_six_digits_and_on_their_side_of_the_tolerance(tmp_path: Path) -> None:
    margins = [0.123456789, 0.99999999, 1.0, 1.0000001, 1234567.8]
    run = lossparity.load(record.save(make(*(check(margin=x) for x in margins)), tmp_path / "r.json"))
    assert [each.margin for each in run.checks] == [0.123457, 0.99999999, 1.0, 1.0000001, 1234570.0]


def test_the_first_aspect_of_a_call_carries_its_seconds() -> None:
    checks = [check(aspect=name, seconds=0.25) for name in ("shape", "value")] + [check(case="other", seconds=1.0)]
    assert [each.seconds for each in make(*checks).checks] == [0.5, 0.0, 1.0]
