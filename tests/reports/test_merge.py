"""Several records as one, and what cannot be one."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from records import check, run

from lossparity.conformance.execution.run import exit_code
from lossparity.conformance.record import Check, Run, load, save
from lossparity.reports.findings import command_lines, outcome
from lossparity.reports.html import render
from lossparity.reports.merge import merge


def of(backend: str, *checks: Check, version: str = "1.0", **rest: Any) -> Run:
    """A record of one backend with one check, or those that are given."""
    return run(*checks or (check(backend=backend, name=f"{backend}.square"),), version=version, **rest)


def absent(backend: str) -> Run:
    """A record of an environment without a backend."""
    missing = Check(f"*/{backend}", "*", backend, *["*"] * 6, verdict="not-run", reason="not installed")
    made = run(missing, backends={backend: {"status": "not-run", "asked": False, "reason": "not installed"}})
    made.environment["backends"] = {}
    made.implementations = {}
    return made


def test_backends_of_several_environments_become_one_run() -> None:
    one, two = of("a", seconds=2.0, started="2026-02-01"), of("b", version="2.0", seconds=3.0, started="2026-01-01")
    merged = merge([one, two])
    assert merged.checks == [*one.checks, *two.checks]
    assert (merged.seed, merged.data, merged.seconds, merged.started) == (0, "cases", 5.0, "2026-01-01")
    assert merged.environment["backends"] == {**one.environment["backends"], **two.environment["backends"]}
    assert merged.environment["platform"] == "Linux-6.1"
    assert list(merged.implementations) == ["mse_loss/a.square", "mse_loss/b.square"]
    assert exit_code(merged) == 0
    assert outcome(merged).sentence == "Parity holds: 2 checks, 0 mismatches."


def test_one_record_stays_as_it_is() -> None:
    one = of("a", losses={"mse_loss": {"summary": "s"}}, census={"a": {"uncovered": ["x"]}})
    one.implementations["mse_loss/a.square"]["warnings"] = []
    assert merge([one]) == one


def test_the_same_record_twice_is_once() -> None:
    assert merge([of("a"), of("a")]).checks == of("a").checks


def test_a_backend_that_is_absent_here_and_ran_there_ran() -> None:
    for runs in ([absent("b"), of("b")], [of("b"), absent("b")]):
        merged = merge([of("a"), *runs])
        assert {each.verdict for each in merged.checks} == {"match"}
        assert merged.backends["b"]["status"] == "complete"
        assert merged.backends["b"]["asked"] is True
        assert merged.environment["backends"]["b"]["packages"] == {"b": "1.0"}
        assert exit_code(merged) == 0
    nowhere = merge([of("a"), absent("b"), absent("b")])
    assert [each.id for each in nowhere.checks][1:] == ["*/b"]
    assert outcome(nowhere).sentence == "Parity holds: 1 check, 0 mismatches; b was not run."


def test_a_device_that_is_absent_here_and_there_ran() -> None:
    missing = check(device="cuda:0", verdict="not-run", reason="no device cuda:0", result=None, limits=None)
    present = check(device="cuda:0")
    gpu = run(present)
    gpu.environment["backends"]["toy"]["devices"] = ["cpu", "cuda:0"]
    for runs in ([run(check(), missing), gpu], [gpu, run(check(), missing)]):
        merged = merge(runs)
        assert {each.id: each.verdict for each in merged.checks} == {check().id: "match", present.id: "match"}
        assert merged.environment["backends"]["toy"]["devices"] == ["cpu", "cuda:0"]


def test_a_crash_is_not_merged_away() -> None:
    crash = Check("*/b", "*", "b", *["*"] * 6, verdict="crashed", reason="signal 11")
    dead = run(crash, backends={"b": {"status": "crashed", "reason": "signal 11", "last_words": "x", "seconds": 1.0}})
    dead.implementations = {}
    for runs in ([dead, of("b")], [of("b"), dead]):
        merged = merge(runs)
        assert merged.backends["b"]["status"] == "crashed"
        assert merged.backends["b"]["last_words"] == "x"
        assert exit_code(merged) == 3


def test_where_places_differ_each_backend_keeps_its_own() -> None:
    one, two = of("a"), of("b", environment={"platform": "macOS-15", "cpus": 8})
    one.environment["cpus"] = 2
    two.environment["backends"] = {"b": {"packages": {"b": "1.0"}, "devices": ["cpu", "mps"], "python": "3.11"}}
    merged = merge([one, two]).environment
    assert merged["platform"] == "Linux-6.1; macOS-15"
    assert merged["cpus"] == "2; 8"
    assert merged["python"] == "3.12"
    assert merged["backends"]["a"]["platform"] == "Linux-6.1"
    assert merged["backends"]["b"]["platform"] == "macOS-15"
    assert merged["backends"]["b"]["python"] == "3.11"
    page = render(merge([one, two]))
    assert "platform macOS-15" in page
    assert "python 3.11" in page


def test_commands_are_kept_apart_and_each_once() -> None:
    runs = [of("a"), of("b"), of("c")]
    runs[1].command = ["lossparity", "run", "-k", "a or b"]
    merged = merge(runs)
    assert merged.command == ["lossparity", "run", "&&", "lossparity", "run", "-k", "a or b"]
    assert command_lines(merged) == ["lossparity run", "lossparity run -k 'a or b'"]
    assert command_lines(merge([merged, of("d")])) == ["lossparity run", "lossparity run -k 'a or b'"]


def test_what_was_accepted_is_kept() -> None:
    assert merge([of("a", accepted=[{"reason": "1"}]), of("b", accepted=[{"reason": "2"}])]).accepted == [
        {"reason": "1"}, {"reason": "2"},
    ]  # fmt: skip


def test_a_record_read_back_merges_with_one_just_made(tmp_path: Path) -> None:
    made = of("a", losses={"mse_loss": {"dtypes": ("float64",)}})
    save(made, tmp_path / "a.json")
    assert merge([load(tmp_path / "a.json"), made]).checks == load(tmp_path / "a.json").checks


def other_loss(made: Run) -> None:
    made.losses = {"mse_loss": {"formula": "l = 0"}}


def other_implementation(made: Run) -> None:
    made.implementations["mse_loss/a.square"]["dtypes"] = ["float16"]


REFUSED = {
    "seeds": (
        lambda r: setattr(r, "seed", 1),
        "seed is 0 in record 1 and 1 in record 2; run",
    ),
    "data": (lambda r: setattr(r, "data", "other"), "data is 'cases' in record 1 and 'other' in record 2"),
    "lossparity": (lambda r: r.environment.update(lossparity="9"), "lossparity is '0' in record 1 and '9' in record 2"),
    "versions": (
        lambda r: r.environment["backends"]["a"].update(packages={"a": "2.0"}),
        "a ran with a 1.0 in an earlier record and with a 2.0 in record 2",
    ),
    "engines": (
        lambda r: r.environment["backends"]["a"].update(engine={"name": "jax", "version": "0.10"}),
        "a ran on toy 1 in an earlier record and on jax 0.10 in record 2",
    ),
    "verdicts": (
        lambda r: setattr(r, "checks", [dataclasses.replace(r.checks[0], verdict="mismatch")]),
        "check mse_loss/a.square/plain/float64/cpu/eager/value is match in record 1 and mismatch in record 2",
    ),
    "losses": (other_loss, "loss mse_loss is described differently in record 2"),
    "implementations": (other_implementation, "implementation mse_loss/a.square is described differently in record 2"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_does_not_fit_is_refused_with_the_reason(which: str) -> None:
    change, reason = REFUSED[which]
    one, two = of("a", losses={"mse_loss": {"formula": "l = (x - y)^2"}}), of("a", losses={})
    for each in (one, two):
        each.environment["backends"]["a"]["engine"] = {"name": "toy", "version": "1"}
    change(two)
    with pytest.raises(ValueError, match="cannot merge: ") as caught:
        merge([one, two])
    assert reason in str(caught.value)


def test_nothing_to_merge() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        merge([])


# --- shards


def shard_of(number: int, of: int, count: int = 7, backend: str = "a", **rest: Any) -> Run:
    """A record with every of-th of `count` checks of a backend."""
    positions = list(range(number - 1, count, of))
    checks = [check(f"case-{i}/float64/value", backend=backend, name=f"{backend}.square") for i in positions]
    part = {"of": count, "ranges": [[i, i + 1] for i in positions]}
    line = {"status": "complete", "asked": True, "reason": "", "last_words": "", "seconds": 1.0, "part": part}
    shard = {"losses": [], "shard": f"{number}/{of}"}
    made = run(*checks, backends={backend: line}, selection=shard, **rest)
    made.command = ["lossparity", "run", "--shard", f"{number}/{of}"]
    return made


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_become_the_record_of_the_whole(order: tuple[int, ...]) -> None:
    merged = merge([shard_of(number, 3) for number in order])
    assert [each.case for each in merged.checks] == [f"case-{i}" for i in range(7)]
    assert "part" not in merged.backends["a"]
    assert merged.selection == {"losses": []}
    assert merged.command == ["lossparity", "run"]


def test_a_merge_is_what_a_look_at_each_check_makes() -> None:
    """The rule check by check, on records that overlap, ran or did not, with IDs of their own."""
    draw = random.Random(3)  # noqa: S311  made-up numbers
    for _ in range(20):
        records = []
        for _ in range(3):
            checks = [
                check(f"c{i}/float64/{aspect}", draw.choice(["match", "not-run"]), backend=backend, name=f"{backend}.f")
                for backend in draw.sample(["a", "b", "c"], 2)
                for i in range(6)
                for aspect in ("shape", "value")
                if draw.random() < 0.7
            ]
            if draw.random() < 0.5:
                checks = [dataclasses.replace(each, id=f"odd/{each.id}") for each in checks]
            whole = Check("*/d", "*", "d", *["*"] * 6, verdict=draw.choice(["not-run", "crashed"]))
            records.append(run(*checks, *([whole] if draw.random() < 0.5 else [])))
        ran = {each.backend for made in records for each in made.checks if each.verdict != "not-run"}
        found: dict[str, Check] = {}
        for each in (each for made in records for each in made.checks):
            if each.loss == "*" and each.verdict == "not-run" and each.backend in ran:
                continue
            if each.id not in found or found[each.id].verdict == "not-run":
                found[each.id] = each
        assert list(merge(records).checks) == list(found.values())


def test_a_shard_that_lost_checks_is_told() -> None:
    shard = shard_of(1, 2)
    shard.checks = list(shard.checks)[1:]
    with pytest.raises(ValueError, match="record 1 says that it has 4 checks of a, and has 3"):
        merge([shard, shard_of(2, 2)])


def test_a_shard_may_be_merged_twice() -> None:
    assert (
        merge([shard_of(1, 2), shard_of(2, 2), shard_of(1, 2)]).checks == merge([shard_of(1, 2), shard_of(2, 2)]).checks
    )


def test_a_shard_that_is_missing_is_told() -> None:
    says = "cannot merge: 2 of the 7 checks of a are in none of the records; give those of every shard"
    with pytest.raises(ValueError, match=says):
        merge([shard_of(1, 3), shard_of(3, 3)])
    with pytest.raises(ValueError, match="3 of the 7 checks of a are in none"):
        merge([shard_of(1, 2)])


def test_shards_of_other_plans_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="the number of checks of a is 7 in record 1 and 8 in record 2"):
        merge([shard_of(1, 2), shard_of(2, 2, 8)])


def test_shards_of_one_backend_go_with_the_whole_of_another() -> None:
    merged = merge([shard_of(2, 2), of("b"), shard_of(1, 2)])
    assert [each.case for each in merged.checks if each.backend == "a"] == [f"case-{i}" for i in range(7)]
    assert [each.backend for each in merged.checks] == ["a"] * 7 + ["b"]


def test_a_shard_whose_process_died_before_its_plan_is_a_gap_and_no_reason_to_refuse() -> None:
    dead = shard_of(2, 2)
    dead.checks = [Check("*/a", "*", "a", *["*"] * 6, verdict="crashed", reason="signal 11")]
    dead.backends["a"].update(status="crashed", reason="signal 11")
    del dead.backends["a"]["part"]
    merged = merge([shard_of(1, 2), dead])
    assert exit_code(merged) == 3
    assert merged.backends["a"]["part"] == {"of": 7, "ranges": [[0, 1], [2, 3], [4, 5], [6, 7]]}
