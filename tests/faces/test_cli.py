"""The command line: its exit codes, its words, and the same verdicts as pytest's.

0 parity holds, 1 parity is broken, 2 bad usage or unreadable input, 3 incomplete.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lossparity
from lossparity import adapters, cli
from lossparity.adapters import Backend
from lossparity.conformance import record
from lossparity.conformance.cases import CASES, digest
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.execution import recording
from lossparity.conformance.execution import run as running
from lossparity.conformance.record import Check, Run

sklearn = pytest.mark.skipif(adapters.BACKENDS["sklearn"].missing() is not None, reason="scikit-learn is not installed")


def call(*words: str) -> int:
    """The exit code, also where argparse leaves by itself."""
    try:
        return cli.main(words)
    except SystemExit as left:
        return int(left.code or 0)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> str:
    backend = Backend(
        "absent", "lossparity.adapters.absent", ("absent.",), ("no_such_package",), (), ("no-such-package",), "numpy"
    )
    monkeypatch.setitem(adapters.BACKENDS, "absent", backend)
    return "absent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One call on scikit-learn: the record and the report."""
    if adapters.BACKENDS["sklearn"].missing() is not None:
        pytest.skip("scikit-learn is not installed")
    out = tmp_path_factory.mktemp("one-call") / "parity"
    assert call("run", "--backend", "sklearn", "-o", str(out)) == 0
    return out


# --- run


def test_one_call_writes_the_record_and_the_report(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["parity.html", "parity.json"]
    run = lossparity.load(folder / "parity.json")
    assert run.command == ["lossparity", "run", "--backend", "sklearn", "-o", str(folder)]
    assert run.counts()["match"] > 100
    assert not set(run.counts()) & record.FAILING
    assert len({check.id for check in run.checks}) == len(run.checks)
    assert "sklearn.metrics.log_loss" in (folder / "parity.html").read_text()


@sklearn
def test_run_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "parity"
    assert call("run", "--backend", "sklearn", "--loss", "mse_loss", "--dtype", "float32", "-o", str(out)) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Parity holds: ")
    assert f"record  {out / 'parity.json'}" in printed.out
    assert f"report  {out / 'parity.html'}" in printed.out
    assert "sklearn: starting" in printed.err
    assert {(check.loss, check.dtype) for check in lossparity.load(out / "parity.json").checks} <= {
        ("mse_loss", "float32"),
        ("mse_loss", "any"),
    }


@sklearn
def test_a_seed_is_taken_and_recorded(tmp_path: Path) -> None:
    words = ("run", "--backend", "sklearn", "--loss", "l1_loss", "-k", "plain", "-o", str(tmp_path))
    assert call(*words, "--seed", "5") == 0
    assert lossparity.load(tmp_path / "parity.json").seed == 5


BAD_USE: list[tuple[str, str]] = [
    ("run --backend pytorch", "unknown backend 'pytorch'; there are torch, "),
    ("run --loss mse", "unknown loss 'mse'; there are "),
    ("run --dtype float8", "unknown dtype 'float8'; there are float64, float32"),
    ("run -k 'mean and'", "does not read"),
    ("run -k 'a b'", "does not read"),
    ("run --backend sklearn -k no_such_check", "no check matches what was asked for"),
    ("run --timeout 0", "0 is not a number of seconds"),
    ("run --timeout soon", "soon is not a number of seconds"),
    ("run --jobs 0", "0 is not a whole number of 1 or more"),
    ("run --jobs -1", "-1 is not a whole number of 1 or more"),
    ("run --seed x", "invalid int value"),
    ("run --python sklearn", "--python takes BACKEND=PATH; 'sklearn' has no ="),
    ("run --python pytorch=/bin/sh", "unknown backend 'pytorch'"),
    ("run --python sklearn=/no/such/python", "there is no interpreter at /no/such/python"),
    ("run --no-such-option", "unrecognized arguments"),
    ("report no.json -o x.html", "cannot read no.json: No such file"),
    ("merge no.json -o x.json", "cannot read no.json: No such file"),
    ("gate no.json no.json", "cannot read no.json: No such file"),
    ("diff no.json no.json", "cannot read no.json: No such file"),
    ("explain nonsense", "'nonsense' is not a check's ID"),
    ("list cases --loss mse", "unknown loss 'mse'"),
    ("list backends --backend pytorch", "unknown backend 'pytorch'"),
    ("list everything", "invalid choice"),
    ("", "the following arguments are required"),
    ("frobnicate", "invalid choice"),
]


@pytest.mark.parametrize(("line", "words"), BAD_USE, ids=[line or "nothing" for line, _ in BAD_USE])
def test_bad_use_is_2_with_what_to_do(
    line: str, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "-k no_such" in line and adapters.BACKENDS["sklearn"].missing():
        pytest.skip("scikit-learn is not installed")
    monkeypatch.chdir(tmp_path)
    given = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line)]
    assert call(*given) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_2_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "run", None)  # it is not come to
    taken = tmp_path / "file"
    taken.write_text("mine")
    for out in (taken, taken / "below", taken / "far" / "below"):
        assert call("run", "--backend", "sklearn", "-o", str(out)) == 2
        assert f"{taken} is a file; give a folder" in capsys.readouterr().err
    assert taken.read_text() == "mine"


def test_a_backend_that_was_asked_for_and_is_missing_is_3(
    absent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", "--backend", absent, "-o", str(tmp_path)) == 3
    printed = capsys.readouterr().out
    assert printed.startswith("Incomplete: absent was not run")
    assert "python -m pip install no-such-package" in printed
    assert lossparity.load(tmp_path / "parity.json").backends["absent"]["status"] == "not-run"


@sklearn
def test_a_backend_that_is_missing_and_was_not_asked_for_is_0(
    absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(adapters, "BACKENDS", {name: adapters.BACKENDS[name] for name in (absent, "sklearn")})
    assert call("run", "--loss", "l1_loss", "-o", str(tmp_path)) == 0
    assert "absent was not run" in capsys.readouterr().out


@sklearn
@pytest.mark.parametrize("words", [("--device", "cuda:9"), ("--device", "tpu"), ("--mode", "compiled")])
def test_a_device_or_mode_that_is_not_there_is_3(words: tuple[str, str], tmp_path: Path) -> None:
    narrow = ("run", "--backend", "sklearn", "--loss", "l1_loss", "-k", "plain or any", "-o", str(tmp_path))
    assert call(*narrow, *words) == 3
    checks = lossparity.load(tmp_path / "parity.json").checks
    assert {check.verdict for check in checks} == {"not-run"}
    assert words[1] in checks[0].reason


def broken_run(*_: Any, **__: Any) -> Run:
    check = Check(
        "l1_loss/f/c/float64/cpu/eager/value", "l1_loss", "sklearn", "f", "c", "float64", "cpu", "eager", "value"
    )
    mismatch = dataclasses.replace(check, verdict="mismatch", reason="value = 1.0, want 2.0", error_ulp=9.0, margin=5.0)
    backends = {"sklearn": {"status": "complete", "asked": True, "reason": "", "last_words": "", "seconds": 0.1}}
    return Run(
        {**recording.host(), "backends": {}}, 0, ["lossparity", "run"], [mismatch], backends=backends, data=digest(0)
    )


def test_broken_parity_is_1_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "run", broken_run)
    assert call("run", "-o", str(tmp_path)) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("Parity is broken: 1 mismatch in 1 check")
    assert "value = 1.0, want 2.0" in printed
    assert "lossparity explain l1_loss/f/c/float64/cpu/eager/value" in printed


def test_an_interrupt_is_3_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run", interrupted)
    assert call("run", "-o", str(tmp_path / "parity")) == 3
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- report and merge


def test_report_writes_the_page_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "again.html"
    assert call("report", str(folder / "parity.json"), "-o", str(page)) == 0
    assert capsys.readouterr().out.strip() == str(page)
    assert page.read_bytes() == (folder / "parity.html").read_bytes()


UNREADABLE: list[tuple[str, str]] = [
    ("{", "is not a whole record"),
    ('{"schema": 999, "checks": []}', "has schema 999"),
    ('{"a": 1}', "is not a lossparity record"),
]


@pytest.mark.parametrize(("text", "words"), UNREADABLE)
@pytest.mark.parametrize("command", ["report", "merge", "gate", "diff"])
def test_what_cannot_be_read_is_2(
    command: str, text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = tmp_path / "bad.json", tmp_path / "out.json"
    bad.write_text(text)
    given = [str(bad)] if command in ("report", "merge") else [str(bad), str(bad)]
    output = ["-o", str(out)] if command in ("report", "merge") else []
    assert call(command, *given, *output) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [bad]


def test_a_report_that_cannot_be_written_is_2(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    assert call("report", str(folder / "parity.json"), "-o", str(taken / "page.html")) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_merge_makes_one_record_of_several(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run", broken_run)
    assert call("run", "-o", str(tmp_path / "broken")) == 1
    one, other = str(folder / "parity.json"), str(tmp_path / "broken" / "parity.json")
    assert call("merge", one, "-o", str(tmp_path / "one")) == 0
    assert len(lossparity.load(tmp_path / "one" / "parity.json").checks) == len(lossparity.load(one).checks)
    assert (tmp_path / "one" / "parity.html").exists()
    assert call("merge", one, other, "-o", str(tmp_path / "both.json.gz")) == 1
    assert "mismatch" in lossparity.load(tmp_path / "both.json.gz").counts()


def test_records_of_other_data_do_not_merge(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lossparity.load(folder / "parity.json")
    other = record.save(dataclasses.replace(run, data="another"), tmp_path / "other.json")
    assert call("merge", str(folder / "parity.json"), str(other), "-o", str(tmp_path / "both")) == 2
    assert "cannot merge: data is" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [other]


def test_a_record_does_not_differ_from_itself(folder: Path) -> None:
    same = str(folder / "parity.json")
    assert call("gate", same, same) == 0
    assert call("diff", same, same) == 0


# --- list and the rest


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "losses") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DEFINITIONS)
    assert all(len(line.split()) > 2 for line in lines)
    assert call("list", "backends") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(adapters.BACKENDS)
    assert call("list", "cases", "--loss", "l1_loss", "--loss", "mse_loss") == 0
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == [f"{loss}/{name}" for loss in ("l1_loss", "mse_loss") for name in CASES[loss]]


@sklearn
def test_list_names_implementations(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "implementations", "--backend", "sklearn", "--loss", "hinge_loss") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[:3] == ["sklearn.metrics.hinge_loss", "hinge_loss", "sklearn"]


def test_list_tells_what_is_declared_for_releases_that_are_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("list", "implementations", "--all-versions", "--backend", "sklearn", "--loss", "log_loss")
    assert call(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("sklearn.metrics.log_loss  log_loss  sklearn  ") for line in lines)
    told = [line.split(None, 3)[3] for line in lines]
    assert any(each.split() == ["is", "there", "every", "version"] for each in told)
    assert any(each.startswith("dialect") and "  <1.5 " in each and "renormalize: " in each for each in told)
    assert sum("clip: " in each for each in told) == 2  # before 1.2 and since


@pytest.mark.skipif(adapters.BACKENDS["torch"].missing() is not None, reason="torch is not installed")
def test_list_tells_what_is_computed_less_accurately(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "implementations", "--all-versions", "--backend", "torch", "--loss", "sigmoid") == 0
    assert re.search(
        r"^torch\.sigmoid +sigmoid +torch +lossy +every version +slope-of-result: ", capsys.readouterr().out, re.M
    )


@pytest.mark.parametrize("backend", ["sklearn", "tensorflow"])
def test_nothing_of_the_framework_comes_through_the_list(backend: str) -> None:
    if adapters.BACKENDS[backend].missing():
        pytest.skip(f"{backend} is not installed")
    words = [sys.executable, "-m", "lossparity.cli", "list", "implementations", "--backend", backend]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(rf"# {backend}: of \d+ losses found, \d+ have no adapter", line)
    assert len(done.stdout.splitlines()) > 5


def test_a_framework_that_does_not_import_is_told(
    absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no_such_package.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert call("list", "implementations", "--backend", absent) == 3
    assert re.search(r"# absent: could not be asked: \w+Error: ", capsys.readouterr().err)


def test_an_environment_without_lossparity_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = next(each for each in (bare / "bin" / "python", bare / "Scripts" / "python.exe") if each.exists())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONPATH", raising=False)
        assert call("run", "--backend", "sklearn", "--python", f"sklearn={python}", "-o", str(tmp_path / "out")) == 2
    said = capsys.readouterr().err
    assert f"there is no lossparity in it: {python} -m pip install lossparity" in said
    assert not (tmp_path / "out").exists()


def test_list_says_what_is_missing(absent: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "backends", "--backend", absent) == 0
    assert "python -m pip install no-such-package" in capsys.readouterr().out
    assert call("list", "implementations", "--backend", absent) == 0
    assert "no_such_package is not installed" in capsys.readouterr().err


def test_version_and_help_are_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == f"lossparity {lossparity.__version__}"
    for words in ((), ("run",), ("report",), ("merge",), ("explain",), ("list",), ("gate",), ("diff",)):
        assert call(*words, "--help") == 0
        assert "usage: lossparity" in capsys.readouterr().out


def test_the_installed_command_is_this_one() -> None:
    script = Path(sys.executable).with_name("lossparity")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "lossparity.cli"]
    done = subprocess.run([*command, "explain", "x/y"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lossparity: 'x/y' is not a check's ID")


# --- pytest says the same


def test_pytest_gives_the_same_verdicts(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--pyargs"]
    done = subprocess.run(
        [*command, "lossparity.conformance", "--backend", "sklearn", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    by_command, by_pytest = (lossparity.load(path / "parity.json") for path in (folder, tmp_path))
    assert [comparable(check) for check in by_pytest.checks] == [comparable(check) for check in by_command.checks]
    assert by_pytest.implementations == by_command.implementations
    assert by_pytest.data == by_command.data
    assert (tmp_path / "parity.html").exists()
    counts = by_pytest.counts()
    skipped = counts.get("unsupported", 0) + counts.get("not-run", 0)
    assert f"{skipped} skipped" in done.stdout
    assert f"{counts['match'] + counts['dialect']} passed" in done.stdout
    assert f"{counts['known']} xfailed" in done.stdout


def comparable(check: Check) -> str:
    return json.dumps(dataclasses.asdict(dataclasses.replace(check, seconds=0.0)))


@pytest.mark.parametrize("words", ["0/3", "4/3", "3", ""])
def test_a_bad_shard_is_told(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--shard", words])
    assert ended.value.code == 2
    assert f"{words!r} is not I/N with 1 <= I <= N; write the second of three as 2/3" in capsys.readouterr().err
