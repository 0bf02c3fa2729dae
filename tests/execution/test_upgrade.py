"""Two releases against each other, a ladder of them, and the search for the one that changed a check.

Most of it goes without a package index: what a release would have given is a record made by hand. One pair of real
releases of scikit-learn is installed and run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import records

import lossparity
from lossparity import cli
from lossparity.conformance.cases import digest
from lossparity.conformance.execution import environments, recording, upgrade
from lossparity.conformance.execution.installers import BuildError, Installer, installed
from lossparity.conformance.execution.pins import UnavailableError
from lossparity.conformance.execution.upgrade import Plan
from lossparity.conformance.matrix import Selection
from lossparity.conformance.record import Run
from lossparity.reports import ladder

METRIC = "sklearn.metrics.mean_squared_error"
ID = f"mse_loss/{METRIC}/plain-mean/float64/cpu/eager/value"
RELEASES = ["1.2.0", "1.2.1", "1.2.2", "1.3.0rc1", "1.3.0", "1.3.1", "1.3.2", "1.4.0", "1.4.2", "1.5.0", "1.5.2"]


def release(version: str, value: float) -> Run:
    """What a release of scikit-learn gave."""
    check = records.check("plain-mean/float64/value", name=METRIC, backend="sklearn", result=[value], limits=[0.01])
    made = records.run(check)
    made.environment["backends"]["sklearn"]["packages"] = {"scikit-learn": version}
    return made


@pytest.fixture
def plan() -> Plan:
    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731
    return Plan(library="", installer=Installer("fake", nothing, nothing, lambda *_: list(RELEASES)))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have releases give 1.0 before `changed` and 2.0 from it on; the versions that were run, in order."""

    def set_up(changed: str = "9", trouble: Mapping[str, BaseException | Run] | None = None) -> list[str]:
        ran: list[str] = []

        def measure(pins: Mapping[str, str], plan: Plan) -> Run:  # noqa: ARG001
            (version,) = pins.values()
            ran.append(version)
            happens = (trouble or {}).get(version)
            if isinstance(happens, BaseException):
                raise happens
            return happens or release(version, 1.0 if upgrade.Version(version) < upgrade.Version(changed) else 2.0)

        monkeypatch.setattr(upgrade, "measure", measure)
        return ran

    return set_up


def bisect(plan: Plan, good: str = "1.2.0", bad: str = "1.5.2") -> upgrade.Bisection | None:
    differs = lambda a, b: ladder.first_change(a, b) is not None  # noqa: E731
    return upgrade.bisect(ID, "scikit-learn", good, bad, plan, differs)


# --- bisect


@pytest.mark.parametrize("changed", [each for each in RELEASES[1:] if "rc" not in each])
def test_the_first_release_that_changed_is_found_in_few_runs(
    changed: str, plan: Plan, measured: Callable[..., list[str]]
) -> None:
    ran = measured(changed)
    found = bisect(plan)
    assert found is not None
    whole = [each for each in RELEASES if "rc" not in each]
    assert found.after.version == changed
    assert found.before.version == whole[whole.index(changed) - 1]
    assert len(ran) == found.tried <= 2 + 4  # both ends, and log2 of eight between them
    assert found.between == 8
    says = ladder.found(found, "1.2.0")
    assert says.startswith(f"scikit-learn {changed} is the first release in which {ID} is not as in 1.2.0")
    assert "mse_loss, value: 1 became 2 (1 check)" in says


def test_the_good_one_may_be_the_newer(plan: Plan, measured: Callable[..., list[str]]) -> None:
    measured("1.3.1")
    found = bisect(plan, good="1.5.2", bad="1.2.0")
    assert found is not None
    assert (found.before.version, found.after.version) == ("1.3.1", "1.3.0")


def test_previews_count_only_where_one_is_asked_for(plan: Plan, measured: Callable[..., list[str]]) -> None:
    measured("1.3.0rc1")
    found = bisect(plan, good="1.3.0rc1", bad="1.5.2")
    assert found is None  # the same at both ends
    found = bisect(plan, good="1.2.2", bad="1.3.0")
    assert found is not None
    assert found.between == 0


def test_a_release_that_cannot_be_run_is_passed_over_and_told(plan: Plan, measured: Callable[..., list[str]]) -> None:
    crashed = dataclasses.replace(release("1.3.1", 1.0), checks=[])
    crashed.backends["sklearn"].update(status="crashed", reason="its process ended", last_words="a\nImportError: b")
    measured("1.3.2", {"1.3.2": UnavailableError("1.3.2 has no wheel"), "1.3.1": crashed})
    found = bisect(plan)
    assert found is not None
    assert (found.before.version, found.after.version) == ("1.3.0", "1.4.0")
    assert found.skipped == {
        "1.3.2": "1.3.2 has no wheel",
        "1.3.1": "sklearn crashed: its process ended: ImportError: b",
    }
    says = ladder.found(found, "1.2.0")
    assert "or one of those below that could not be run" in says
    assert "scikit-learn 1.3.2 could not be run: 1.3.2 has no wheel" in says


def test_an_end_that_cannot_be_run_ends_it(plan: Plan, measured: Callable[..., list[str]]) -> None:
    measured("1.3.2", {"1.5.2": BuildError("the package index does not answer")})
    with pytest.raises(BuildError, match="does not answer"):
        bisect(plan)


@pytest.mark.parametrize(
    ("identifier", "package", "says"),
    [
        ("nothing", "scikit-learn", "'nothing' is not a check's ID"),
        (ID.replace("mse_loss", "no_loss"), "scikit-learn", "is not a check's ID"),
        (ID, "keras", "is not of the package keras; it stands on scikit-learn, scipy"),
        (ID.replace("sklearn.", "jax."), "keras", "is not of the package keras"),
        (ID.replace("plain", "unknown"), "scikit-learn", "has the check"),
    ],
)
def test_a_check_that_is_none(
    identifier: str, package: str, says: str, plan: Plan, measured: Callable[..., list[str]]
) -> None:
    measured()
    with pytest.raises(UnavailableError, match=says):
        upgrade.bisect(identifier, package, "1.2.0", "1.5.2", plan, lambda *_: True)


# --- sweep


def test_a_ladder_says_which_release_changed_what(plan: Plan, measured: Callable[..., list[str]]) -> None:
    measured("1.4.0", {"1.3.2": UnavailableError("scikit-learn 1.3.2 has no wheel")})
    rungs: list[ladder.Rung] = []
    for step in upgrade.sweep("scikit-learn", ["1.2.0", "1.3.2", "1.3.1", "1.4.0"], plan):
        rungs.append(ladder.climb("scikit-learn", rungs, step.version, step.run, step.problem))
    lines = ladder.table("scikit-learn", rungs).splitlines()
    assert lines == [
        "scikit-learn: what each release changed since the one before it",
        "1.2.0  the first, 1 check",
        "1.3.2  not run: scikit-learn 1.3.2 has no wheel",
        "1.3.1  nothing changed in 1 check",
        "1.4.0  mse_loss changed (value)",
        "         ≠ mse_loss, value: 1 became 2 (1 check)",
    ]
    assert rungs[2].since == "1.2.0"
    assert "| 1.4.0 | mse\\_loss changed (value)<br>≠ mse\\_loss, value: 1 became 2 (1 check) |" in ladder.markdown(
        "p", rungs
    )


def test_what_a_record_says_cannot_break_out_of_the_table() -> None:
    rungs = [ladder.Rung("1\n::error::<script>|", None, "a\nb | <b> `c`\x1b[31m")]
    assert len(ladder.table("p", rungs).splitlines()) == 2
    assert "\x1b" not in ladder.table("p", rungs)
    page = ladder.markdown("p", rungs)
    assert len(page.splitlines()) == 5
    assert "<script>" not in page
    assert "\\|" in page


# --- The command line


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["gate"], 2, "gate takes BASELINE and CANDIDATE, or --from and --to"),
        (["gate", "--from", "torch==2.1"], 2, "give --from and --to"),
        (["gate", "a.json", "--from", "torch==2.1", "--to", "torch==2.2"], 2, "give --from and --to, and no record"),
        (["gate", "--from", "torch==2.1", "--to", "keras==3.1"], 2, "--from names torch and --to names keras"),
        (["gate", "--from", "torch==2.1", "--to", "torch"], 2, "'torch' does not say one version"),
        (["gate", "--from", "torch==2.1", "--to", "torch==2.2", "--python", "torch=x"], 2, "--python does not go"),
        (["sweep", "scikit-learn", "1.4.2", "?"], 2, "does not say one version"),
        (["sweep", "no-such", "1.4.2"], 2, "no backend stands on no-such"),
        (["bisect", "x", "--package", "keras", "--good", "3.0", "--bad", "3.1"], 2, "is not a check's ID"),
        (["bisect", ID, "--package", "scikit-learn", "--good", "1.2.0", "--bad", "1.3.0"], 2, "nothing to find"),
    ],
)
def test_bad_words(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str], measured: Callable[..., list[str]]
) -> None:
    measured()
    assert cli.main(words) == code
    assert says in capsys.readouterr().err


def test_what_cannot_be_made_now_is_incomplete_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise BuildError("the package index does not answer: refused")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "installed", lambda: Installer("fake", refuse, refuse, lambda *_: []))
    words = ["gate", "--from", "keras==3.0.4", "--to", "keras==3.0.5", "-o", str(tmp_path / "out")]
    assert cli.main(words) == 3
    assert "lossparity: the package index does not answer: refused" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "cache" / "lossparity" / "environments").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM to catch")
def test_a_request_to_end_is_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environments, "installed", lambda: Installer("fake", end, end, lambda *_: []))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["sweep", "keras", "3.0.4"]) == 3
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert list((tmp_path / "lossparity" / "environments").iterdir()) == []


def test_a_sweep_keeps_its_records_and_is_incomplete_with_a_gap(
    tmp_path: Path, measured: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    measured("1.4.0", {"1.4.2": BuildError("the disk is full")})
    words = ["sweep", "scikit-learn", "1.3.2", "1.4.0", "-o", str(tmp_path), "--markdown", str(tmp_path / "t.md")]
    assert cli.main(words) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1.3.2.json", "1.4.0.json", "t.md"]
    assert "≠ mse_loss, value: 1 became 2" in capsys.readouterr().out
    assert cli.main(["sweep", "scikit-learn", "1.3.2", "1.4.2"]) == 3
    assert "1.4.2  not run: the disk is full" in capsys.readouterr().out


def test_a_sweep_goes_on_where_it_was_interrupted(
    tmp_path: Path,
    measured: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = {**recording.host(), "backends": {"sklearn": {"packages": {"scikit-learn": "1.3.2"}, "devices": ["cpu"]}}}
    whole = dataclasses.replace(
        release("1.3.2", 1.0), environment=here, data=digest(0), selection=dataclasses.asdict(Selection())
    )
    measured("9", {"1.3.2": whole, "1.4.0": KeyboardInterrupt()})
    words = ["sweep", "scikit-learn", "1.3.2", "1.4.0", "-o", str(tmp_path / "out")]
    assert cli.main(words) == 3
    said = capsys.readouterr().err
    assert f"interrupted; 1 of 2 records are in {tmp_path / 'out'}, and the same command goes on there" in said
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["1.3.2.json"]
    again = dataclasses.replace(
        whole, environment={**here, "backends": {"sklearn": {"packages": {"scikit-learn": "1.4.0"}}}}
    )
    ran = measured("9", {"1.4.0": again})
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    assert ran == ["1.4.0"]
    assert f"scikit-learn 1.3.2: taken from {tmp_path / 'out' / '1.3.2.json'}, made " in printed.err
    assert "1.4.0  nothing changed in 1 check" in printed.out
    ran = measured("9")  # the same releases in another spelling
    assert cli.main(["sweep", "Scikit_Learn", "1.3.2", "1.4.0", "-o", str(tmp_path / "out")]) == 0
    assert ran == []
    # what another command would not have made is made again, and why is said
    ran = measured("9", {"1.3.2": whole, "1.4.0": again})
    assert cli.main([*words, "--loss", "mse_loss"]) == 0
    assert ran == ["1.3.2", "1.4.0"]
    assert "running it again: " in (said := capsys.readouterr().err)
    assert "is of another selection" in said
    (tmp_path / "out" / "1.3.2.json").write_text("{")
    ran = measured("9", {"1.3.2": whole, "1.4.0": again})
    assert cli.main(words) == 0
    assert ran == ["1.3.2"]
    assert "is not a whole record" in capsys.readouterr().err


# --- Ranges, and what pins leave open


def test_a_range_is_its_newest_release_and_that_is_said(plan: Plan) -> None:
    said: list[str] = []
    plan = dataclasses.replace(plan, say=said.append)
    both = upgrade.sides("scikit-learn>=1.3,<1.4", "scikit-learn ~= 1.4", plan)
    assert both == ({"scikit-learn": "1.3.2"}, {"scikit-learn": "1.5.2"})
    assert said == [
        "scikit-learn<1.4,>=1.3: the newest that fits is 1.3.2",
        "scikit-learn~=1.4: the newest that fits is 1.5.2",
    ]
    assert upgrade.sides("scikit-learn==1.3.*", "scikit-learn==1.3.0rc1", plan)[0] == {"scikit-learn": "1.3.2"}
    assert upgrade.sides("scikit-learn<=1.3.0rc1", "scikit-learn==1.3", plan)[0] == {"scikit-learn": "1.3.0rc1"}
    with pytest.raises(UnavailableError, match=r"no release of scikit-learn that can be had here is >=9"):
        upgrade.sides("scikit-learn>=9", "scikit-learn==1.3", plan)


def test_what_a_pin_leaves_open_is_said_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def keras(version: str, tensorflow: str) -> Run:
        check = records.check("plain-mean/float64/value", name="keras.losses.mse", backend="keras")
        made = records.run(check)
        made.environment["backends"]["keras"]["packages"] = {"keras": version, "tensorflow": tensorflow}
        return made

    monkeypatch.setattr(upgrade, "both", lambda *_: (keras("3.0.4", "2.16.2"), keras("3.0.5", "2.17.1")))
    words = ["gate", "--from", "keras==3.0.4", "--to", "keras==3.0.5"]
    opened = "tensorflow is not pinned and went from 2.16.2 to 2.17.1 with it: pin it on both sides to see keras alone"
    assert cli.main(words) == 0
    assert capsys.readouterr().out.splitlines()[1] == opened
    assert cli.main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["foreword"] == [opened]
    assert cli.main([*words, "--format", "markdown"]) == 0
    assert opened in capsys.readouterr().out
    pinned = ["gate", "--from", "keras==3.0.4 tensorflow==2.16.2", "--to", "keras==3.0.5 tensorflow==2.17.1"]
    assert cli.main(pinned) == 0
    assert "is not pinned" not in capsys.readouterr().out


# --- Real releases


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache for the environments of this module."""
    if "1.5.2" not in installed().versions("scikit-learn", True):
        pytest.skip("no package index with scikit-learn 1.5.2 for this Python answers")
    return str(tmp_path_factory.mktemp("cache"))


def test_a_real_upgrade_is_red_with_its_sentence(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", kept)
    words = ["--from", "scikit-learn==1.4.2", "--to", "scikit-learn==1.5.2", "--backend", "sklearn"]
    assert cli.main(["gate", *words, "--format", "json", "-o", str(tmp_path)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["upgrade"] == "scikit-learn 1.4.2 to 1.5.2"
    assert (said["before"]["name"], said["after"]["name"]) == ("scikit-learn 1.4.2", "scikit-learn 1.5.2")
    red = {each["kind"]: (each["loss"], each["says"]) for each in said["findings"] if each["action"] == "fail"}
    assert red.keys() == {"changed", "signature"}
    assert red["changed"][0] == "log_loss"
    assert "No longer renormalize" in red["changed"][1]
    assert red["signature"][1] == "sklearn.metrics.log_loss: argument eps is gone"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["after.json", "before.json", "gate.html"]


def test_the_gate_over_releases_takes_what_run_takes(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", kept)
    words = ["--from", "scikit-learn>=1.5.1,<1.5.3", "--to", "scikit-learn==1.5.2", "--loss", "mse_loss"]
    narrow = ["--dtype", "float32", "--device", "cpu", "--mode", "eager", "-k", "plain or any"]
    assert cli.main(["gate", *words, *narrow, "-o", str(tmp_path)]) == 0
    assert "scikit-learn<1.5.3,>=1.5.1: the newest that fits is 1.5.2" in capsys.readouterr().err
    for name in ("before.json", "after.json"):
        checks = lossparity.load(tmp_path / name).checks
        assert {(each.loss, each.dtype) for each in checks} <= {("mse_loss", "float32"), ("mse_loss", "any")}
        assert any(each.dtype == "float32" for each in checks)
    both = [str(tmp_path / "before.json"), str(tmp_path / "after.json")]
    assert cli.main(["gate", *both, "--loss", "mse_loss", "--dtype", "float32", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["compared"] > 0
    assert cli.main(["gate", *both, "-k", "no_such_check"]) == 3
    assert cli.main(["gate", *both, "--dtype", "float64"]) == 2
    assert "unknown dtype 'float64'; there are float32" in capsys.readouterr().err


def test_the_same_release_twice_is_green(
    kept: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", kept)
    assert cli.main(["gate", "--from", "scikit-learn==1.5.2", "--to", "scikit-learn==1.5.2", "--quick"]) == 0
    out = capsys.readouterr().out
    assert "scikit-learn 1.5.2 again: nothing changed" in out
    assert "before: scikit-learn 1.5.2 (" in out
    assert "after: scikit-learn 1.5.2 again (" in out
