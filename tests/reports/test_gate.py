"""The gate's decisions and exit codes, and the commands gate, diff and accept."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from records import NAME, check, run

import lossparity
from lossparity import cli
from lossparity.conformance import record
from lossparity.conformance.cases import digest
from lossparity.conformance.execution.recording import host
from lossparity.conformance.record import Run
from lossparity.reports.diff import compare
from lossparity.reports.gate import FAILED, INCOMPLETE, PASSED, Decision, decide
from lossparity.reports.policy import Policy

OTHER = check("other/float64/value", name="toy.losses.other")
SAME = run(check(), OTHER)
WORSE = run(check(verdict="mismatch", result=[2.0]), OTHER)
GONE = run(check(verdict="crashed", reason="its process ended by SIGSEGV"), OTHER)


def gate(before: Run, after: Run, **rest: Any) -> Decision:
    return decide(compare(before, after), after, Policy(), **rest)


# --- Exit codes


def test_the_same_passes_and_a_regression_fails() -> None:
    assert gate(SAME, SAME).code == PASSED
    assert gate(SAME, WORSE).code == FAILED
    assert gate(WORSE, SAME).code == PASSED
    assert gate(WORSE, WORSE).code == PASSED  # it gates an upgrade, not the state of the world


def test_incomplete_wins_over_broken() -> None:
    before = run(check(), check("b/float64/value"), OTHER)
    both = run(check(verdict="mismatch", result=[2.0]), check("b/float64/value", "crashed"), OTHER)
    decision = gate(before, both)
    assert decision.code == INCOMPLETE
    assert {each.finding.kind for each in decision.judged} == {"regressed"}
    assert "nothing is decided" in decision.sentence


def test_fewer_checks_are_incomplete() -> None:
    fewer = run(OTHER, implementations=SAME.implementations)
    assert gate(SAME, fewer).code == INCOMPLETE
    assert gate(fewer, SAME).code == PASSED  # more checks are not


def test_a_baseline_that_has_gaps_of_its_own_does_not_block() -> None:
    assert gate(GONE, SAME).code == PASSED


def test_a_backend_that_only_the_candidate_has_and_that_crashed() -> None:
    crashed = {"new": {"status": "crashed", "asked": True, "reason": "its process ended by SIGSEGV"}}
    decision = gate(SAME, run(check(), OTHER, backends=crashed))
    assert decision.code == INCOMPLETE
    assert decision.gaps == ["new: crashed: its process ended by SIGSEGV"]


def test_nothing_compared_is_incomplete() -> None:
    nothing = run(check(verdict="unsupported"))
    assert gate(nothing, nothing).code == INCOMPLETE
    assert gate(run(), run()).gaps == ["no check ran in both records"]


def test_required_backends() -> None:
    assert gate(SAME, SAME, require_backends=["toy"]).code == PASSED
    absent = run(check(), OTHER, backends={"torch": {"status": "not-run", "reason": "torch is not installed"}})
    decision = gate(SAME, absent, require_backends=["torch"])
    assert decision.code == INCOMPLETE
    assert decision.gaps == ["backend torch is required and did not run: torch is not installed"]


def test_required_devices() -> None:
    assert gate(SAME, SAME, require_devices=["cpu"]).code == PASSED
    decision = gate(SAME, SAME, require_devices=["cuda:0"])
    assert decision.code == INCOMPLETE
    assert "device cuda:0 is required" in decision.gaps[0]


def test_the_sentence_counts_losses() -> None:
    def made(result: float) -> Run:
        losses = ("a", "b", "c")
        return run(*(check(loss=loss, result=[result], verdict="dialect") for loss in losses), version=f"1.{result:g}")

    assert gate(made(4), made(5)).sentence == "toy 1.4 to 1.5: a, b and c changed (value)."
    assert gate(made(4), made(4)).sentence == "toy 1.4 again: nothing changed in 3 checks."
    rounded = run(*(dataclasses.replace(each, result=[4.001]) for each in made(4).checks), version="1.4")
    assert gate(made(4), rounded).sentence == "toy 1.4 again: nothing changed beyond rounding in 3 checks."


def test_the_sentence_names_what_changed() -> None:
    """The upgrade of scikit-learn from 1.4.2 to 1.5.2."""
    rows = [{"name": name, "kind": "keyword-only", "default": "None"} for name in ("normalize", "eps")]
    name = "sklearn.metrics.log_loss"

    def made(result: float, version: str, signature: list[Any]) -> Run:
        about = {"backend": "toy", "signature": signature}
        described = {f"{loss}/{name}": about for loss in ("binary_cross_entropy", "log_loss")}
        one = check(loss="log_loss", name=name, result=[result])
        return run(one, OTHER, version=version, implementations=described)

    decision = gate(made(0.8, "1.4.2", rows), made(0.7, "1.5.2", rows[:1]))
    assert decision.sentence == "toy 1.4.2 to 1.5.2: log_loss changed (value) and eps is gone."
    signature = decision.judged[1].finding
    assert (signature.kind, signature.loss) == ("signature", "log_loss")
    assert signature.losses == ("log_loss", "binary_cross_entropy")


def test_the_sentence_names_three_losses_and_counts_the_rest() -> None:
    def made(verdict: str, result: float, *aspects: str) -> Run:
        checks = [check(f"c/float64/{aspect}", verdict, loss=loss, result=[result])
                  for loss in "abcde" for aspect in aspects]  # fmt: skip
        return run(*checks, OTHER)

    aspects = ("value", "gradient:input")
    many = gate(made("match", 1, *aspects), made("mismatch", 2, *aspects))
    assert many.sentence == "toy 1.0 again: a, b, c and 2 more regressed."
    one = [run(check(result=[x]), check("c/float64/gradient:input", result=[x]), OTHER) for x in (1.0, 2.0)]
    assert gate(*one).sentence == "toy 1.0 again: mse_loss changed (value, gradient of input)."


# --- The commands


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with records; no policy and no step summary is near."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "pyproject.toml").write_text("")
    for name, each in {"same": SAME, "worse": WORSE, "gone": GONE}.items():
        record.save(each, tmp_path / f"{name}.json")
    return tmp_path


@pytest.mark.parametrize(("candidate", "code"), [("same", 0), ("worse", 1), ("gone", 3)])
def test_gate_exits_with_the_verdict(candidate: str, code: int, files: Path, capsys: Any) -> None:
    assert cli.main(["gate", "same.json", f"{candidate}.json"]) == code
    said = capsys.readouterr().out
    assert ["PASSED", "FAILED", "", "INCOMPLETE"][code] in said
    assert f"before: same.json; after: {candidate}.json" in said
    assert not list(files.glob("*.html"))


@pytest.mark.usefixtures("files")
def test_diff_never_judges(capsys: Any) -> None:
    assert cli.main(["diff", "same.json", "worse.json"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("= COMPARED  toy 1.0 again: mse_loss regressed (value).")
    assert f"lossparity explain mse_loss/{NAME}/plain/float64/cpu/eager/value" in said


@pytest.mark.parametrize("command", ["gate", "diff"])
def test_records_that_do_not_compare_are_exit_2(command: str, files: Path, capsys: Any) -> None:
    others = {
        "seed": dataclasses.replace(SAME, seed=1),
        "cases": dataclasses.replace(SAME, data="other"),
        "machine": run(check(), OTHER, environment={"machine": "arm64"}),
    }
    for word, other in others.items():
        record.save(other, files / "other.json")
        assert cli.main([command, "same.json", "other.json"]) == 2
        assert word in capsys.readouterr().err
    assert cli.main([command, "same.json", "other.json", "--other-machine"]) == 0


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x1f\x8b\x08", b"{}", b"[]", b'{"schema": 99, "checks": []}', b"\xff\xfe", b"[" * 100_000, None],
)
@pytest.mark.parametrize("command", ["gate", "diff", "accept"])
def test_what_is_no_record_is_exit_2(command: str, payload: bytes | None, files: Path, capsys: Any) -> None:
    if payload is not None:
        (files / "bad.json").write_bytes(payload)
    before = (files / "same.json").read_bytes()
    words = ["--reason", "r"] if command == "accept" else []
    assert cli.main([command, "same.json", "bad.json", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lossparity: ")
    assert "bad.json" in error
    assert (files / "same.json").read_bytes() == before


def test_a_truncated_or_edited_record_is_exit_2(files: Path, capsys: Any) -> None:
    whole = (files / "same.json").read_bytes()
    document = json.loads(whole)
    document["checks"]["words"]["verdict"] = ["fine"]
    for payload in (whole[:-20], json.dumps(document).encode()):
        (files / "bad.json").write_bytes(payload)
        assert cli.main(["gate", "same.json", "bad.json"]) == 2
        assert "bad.json" in capsys.readouterr().err


def test_formats_to_files_and_to_the_terminal(files: Path, capsys: Any) -> None:
    words = [w for f in ("json=a.json", "markdown=a.md", "junit=a.xml", "html=a.html", "text") for w in ("--format", f)]
    assert cli.main(["gate", "same.json", "worse.json", *words]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert json.loads((files / "a.json").read_text())["exit_code"] == 1
    for name, start in {"a.md": "## ", "a.xml": "<?xml", "a.html": "<!doctype html>"}.items():
        assert (files / name).read_text().lstrip().startswith(start)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("given", ["yaml", "html", "json=", "=x"])
def test_a_format_that_there_is_not(given: str, capsys: Any) -> None:
    assert cli.main(["gate", "same.json", "same.json", "--format", given]) == 2
    assert "format" in capsys.readouterr().err


def test_output_folder(files: Path) -> None:
    assert cli.main(["gate", "same.json", "worse.json", "-o", "out"]) == 1
    assert [path.name for path in (files / "out").iterdir()] == ["gate.html"]


def test_only_the_backends_that_are_asked_for(files: Path, capsys: Any) -> None:
    there = check(backend="there", name="there.x")
    record.save(run(check(), there), files / "both.json")
    record.save(run(there), files / "one.json")
    assert cli.main(["gate", "both.json", "one.json"]) == 3
    assert cli.main(["gate", "both.json", "one.json", "--backend", "there"]) == 0
    assert cli.main(["gate", "both.json", "one.json", "--backend", "toy"]) == 3
    assert cli.main(["gate", "both.json", "one.json", "--backend", "nowhere"]) == 2
    assert "there are toy, there" in capsys.readouterr().err


@pytest.mark.usefixtures("files")
def test_required_on_the_command_line() -> None:
    for option, have, lack in (("--require-backend", "toy", "torch"), ("--require-device", "cpu", "cuda:0")):
        assert cli.main(["gate", "same.json", "same.json", option, have]) == 0
        assert cli.main(["gate", "same.json", "same.json", option, lack]) == 3


def test_the_policy_of_the_command_line(files: Path) -> None:
    (files / "mild.toml").write_text('[tool.lossparity.gate]\nregressed = "warn"\n')
    assert cli.main(["gate", "same.json", "worse.json", "--policy", "mild.toml"]) == 0
    (files / "pyproject.toml").write_text('[tool.lossparity.gate]\nregressed = "ignore"\n')
    assert cli.main(["gate", "same.json", "worse.json"]) == 0


# --- The step summary


def test_the_step_summary_is_added_to(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(files / "summary.md"))
    (files / "summary.md").write_text("before\n")
    assert cli.main(["gate", "same.json", "worse.json"]) == 1
    said = (files / "summary.md").read_text()
    assert said.startswith("before\n")
    assert "lossparity: failed" in said


def test_the_step_summary_stays_under_its_limit(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(files / "summary.md"))
    many = [check(loss=f"loss{i}", verdict="mismatch", result=[2.0], reason="x" * 900) for i in range(3000)]
    record.save(run(*(dataclasses.replace(each, verdict="match", result=[1.0]) for each in many)), files / "a.json")
    record.save(run(*many), files / "b.json")
    for taken in (0, 600_000, 1024 * 1024 - 1000, 2 * 1024 * 1024):
        (files / "summary.md").write_text("x" * taken)
        assert cli.main(["gate", "a.json", "b.json", "--format", "json=out.json"]) == 1
        size = (files / "summary.md").stat().st_size
        assert size < 1024 * 1024 or size == taken
        assert size > taken or taken > 1024 * 1024 - 2000


def test_a_step_summary_that_cannot_be_written_is_no_verdict(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(files / "no" / "such" / "folder"))
    assert cli.main(["gate", "same.json", "same.json"]) == 0
    assert "no step summary" in capsys.readouterr().err


# --- accept


def test_accept_rewrites_the_baseline_and_keeps_the_reason(files: Path, capsys: Any) -> None:
    assert cli.main(["accept", "same.json", "worse.json", "--reason", "agreed with ranking"]) == 0
    said = capsys.readouterr().out
    assert "accepted into same.json: toy 1.0 again: mse_loss regressed (value)" in said
    assert said.count("mse_loss, value: 1 became 2 (1 check)") == 1
    assert "reason: agreed with ranking" in said
    new = lossparity.load(files / "same.json")
    assert [each.verdict for each in new.checks] == [each.verdict for each in WORSE.checks]
    (entry,) = new.accepted
    assert entry["reason"] == "agreed with ranking"
    assert entry["findings"][0].startswith("mse_loss, value")
    assert datetime.datetime.fromisoformat(entry["when"]).tzinfo is not None
    assert cli.main(["gate", "same.json", "worse.json"]) == 0
    assert cli.main(["accept", "same.json", "worse.json", "--reason", "again"]) == 0
    assert [each["reason"] for each in lossparity.load(files / "same.json").accepted] == [
        "agreed with ranking",
        "again",
    ]


def test_accept_begins_a_baseline(files: Path, capsys: Any) -> None:
    assert cli.main(["accept", "base.json.gz", "same.json", "--reason", "the first"]) == 0
    assert "a first baseline of 2 checks" in capsys.readouterr().out
    assert lossparity.load(files / "base.json.gz").accepted[0]["reason"] == "the first"
    assert cli.main(["accept", "other.json.gz", "now", "--reason", "the first"]) == 2
    assert "lossparity run --quick" in capsys.readouterr().err


def test_accept_takes_a_record_that_does_not_compare(files: Path, capsys: Any) -> None:
    record.save(dataclasses.replace(SAME, data="newer cases"), files / "newer.json")
    assert cli.main(["accept", "same.json", "newer.json", "--reason", "a newer lossparity"]) == 0
    assert "does not compare with the old" in capsys.readouterr().out
    assert lossparity.load(files / "same.json").data == "newer cases"


def test_accept_needs_a_reason(files: Path) -> None:
    before = (files / "same.json").read_bytes()
    assert cli.main(["accept", "same.json", "worse.json", "--reason", " "]) == 2
    with pytest.raises(SystemExit, match="2"):
        cli.main(["accept", "same.json", "worse.json"])
    assert (files / "same.json").read_bytes() == before


def test_accept_refuses_an_incomplete_candidate(files: Path, capsys: Any) -> None:
    before = (files / "same.json").read_bytes()
    record.save(run(OTHER, implementations=SAME.implementations), files / "fewer.json")
    for candidate in ("gone.json", "fewer.json"):
        assert cli.main(["accept", "same.json", candidate, "--reason", "r"]) == 3
        assert "nothing was accepted" in capsys.readouterr().err
    assert (files / "same.json").read_bytes() == before


def test_a_full_disk_leaves_the_baseline_whole(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = (files / "same.json").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["accept", "same.json", "worse.json", "--reason", "r"]) == 3
    assert "No space left on device" in capsys.readouterr().err
    assert (files / "same.json").read_bytes() == before
    assert {path.name for path in files.iterdir()} == {"pyproject.toml", "same.json", "worse.json", "gone.json"}


def test_an_interrupt_leaves_the_baseline_whole(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = (files / "same.json").read_bytes()
    monkeypatch.setattr(os, "replace", stop)
    assert cli.main(["accept", "same.json", "worse.json", "--reason", "r"]) == 3
    assert (files / "same.json").read_bytes() == before
    assert len(list(files.iterdir())) == 4


# --- now, on a real framework


def test_now_runs_what_the_baseline_ran(files: Path, capsys: Any) -> None:
    pytest.importorskip("sklearn")
    words = ["--backend", "sklearn", "--loss", "log_loss", "--seed", "3"]
    assert cli.main(["run", *words, "--quick", "-o", "first"]) == 0
    assert cli.main(["accept", "base.json.gz", "first/parity.json", "--reason", "the first"]) == 0
    assert cli.main(["gate", "base.json.gz", "now", "-o", "second"]) == 0
    assert "again: nothing changed" in capsys.readouterr().out
    first, second = (lossparity.load(files / name / "parity.json") for name in ("first", "second"))
    assert [each.id for each in first.checks] == [each.id for each in second.checks]
    assert (second.seed, second.selection) == (3, first.selection)
    assert sorted(path.name for path in (files / "second").iterdir()) == ["gate.html", "parity.html", "parity.json"]


def test_the_quick_matrix_is_a_part_of_the_whole(files: Path) -> None:
    pytest.importorskip("sklearn")
    words = ["run", "--backend", "sklearn", "--loss", "mse_loss"]
    assert cli.main([*words, "-o", "whole"]) == 0
    assert cli.main([*words, "--quick", "-o", "quick"]) == 0
    whole, quick = (lossparity.load(files / name / "parity.json") for name in ("whole", "quick"))
    assert {each.id for each in quick.checks} < {each.id for each in whole.checks}
    assert all(each.worst is None for each in quick.checks if each.verdict == "match")
    assert cli.main(["gate", "whole/parity.json", "quick/parity.json"]) == 3  # fewer, and no reason given
    assert cli.main(["gate", "whole/parity.json", "quick/parity.json", "--quick"]) == 0
    assert cli.main(["gate", "quick/parity.json", "whole/parity.json"]) == 0


def test_now_refuses_a_baseline_before_it_runs(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(cli.gate, "run_again", None)  # would fail
    assert cli.main(["gate", "same.json", "now"]) == 2
    assert "other cases" in capsys.readouterr().err
    (files / "file").write_text("")
    assert cli.main(["gate", "same.json", "now", "-o", "file"]) == 2


def test_now_needs_to_know_what_was_asked_for(files: Path, capsys: Any) -> None:
    environment = {**SAME.environment, **host()}
    here = dataclasses.replace(SAME, environment=environment, data=digest(0))
    record.save(here, files / "same.json")
    assert cli.main(["gate", "same.json", "now"]) == 2
    assert "does not say what was asked for" in capsys.readouterr().err
    record.save(dataclasses.replace(here, selection={"losses": []}), files / "same.json")
    assert cli.main(["gate", "same.json", "now"]) == 2
    assert "unknown backend 'toy'" in capsys.readouterr().err


# --- The ready workflows


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_the_commands_of_the_workflows_exist(name: str) -> None:
    path = Path(__file__).parents[2] / "examples" / "ci" / name
    if not path.exists():
        pytest.skip("not in a checkout")
    folded = re.sub(r"\n +(?=--format|lossparity gate)", " ", path.read_text())
    commands = re.findall(r"(?:^|[ :-] )lossparity ((?:run|gate) .*)", folded, re.M)
    assert len(commands) == 2
    for command in commands:
        options = cli._parser().parse_args(shlex.split(command))
        assert options.command in (cli.run.command, cli.gate.command)
    assert f"lossparity=={lossparity.__version__}" in folded
