"""What goes wrong around a command: its own faults, the terminal's encoding, a reader who leaves, a disk that is full.

None of it may look like a verdict: 1 is parity that is broken, and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import records

from lossparity import cli
from lossparity.cli import terminal
from lossparity.conformance import record
from lossparity.conformance.execution import run as running
from lossparity.conformance.record import VERDICTS
from lossparity.reports import diff as differences

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither such pipes nor such limits")


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Two records, of which the second breaks parity: a gate says 1."""
    good = records.run(records.check())
    bad = records.run(records.check(verdict="mismatch", result=[2.0], reason="value = 2, want 1"), version="2.0")
    return [str(record.save(each, tmp_path / f"{name}.json")) for name, each in (("a", good), ("b", bad))]


def started(words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lossparity.cli", *words]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=120, **options)


# --- Faults of our own


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (KeyError("x"), "a fault of lossparity itself, so nothing is decided: KeyError: 'x'"),
        (ValueError("operands could not be broadcast"), "ValueError: operands could not be broadcast"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (OSError(11, "Resource temporarily unavailable"), "BlockingIOError: "),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "UnicodeDecodeError"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_fault_of_our_own_is_3_and_its_traceback_is_kept(
    fault: Exception, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(running, "run", fail)
    assert cli.main(["run", "-o", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    kept = re.search(r"the traceback is in (\S+) \(--debug shows it here\)", said)
    assert kept
    text = Path(kept.group(1)).read_text()
    Path(kept.group(1)).unlink()
    assert text.startswith("Traceback")
    assert "in fail" in text
    for words in (["--debug", "run"], ["run", "--debug"]):
        assert cli.main([*words, "-o", str(tmp_path / "out")]) == 3
        said = capsys.readouterr().err
        assert said.startswith("Traceback")
        assert says in said.splitlines()[-1]
        assert "lossparity-traceback" not in said


def test_out_of_memory_is_3_with_a_sentence(
    pair: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(differences, "compare", fail)
    assert cli.main(["gate", *pair]) == 3
    assert capsys.readouterr().err == (
        "lossparity: out of memory, so nothing is decided: narrow the command down, or give it more\n"
    )


# --- Output


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_output_will_do(encoding: str, pair: list[str]) -> None:
    done = started(
        ["gate", *pair], stdout=subprocess.PIPE, encoding=encoding, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"{'✗' if encoding == 'utf-8' else 'x'} FAILED  toy 1.0 to 2.0: ")
    assert "?" not in done.stdout.splitlines()[0]


def test_every_sign_of_ours_has_a_plain_form() -> None:
    signs = {sign for sign, *_ in VERDICTS.values()} | {sign for sign, *_ in differences.KINDS.values()}
    assert {"✓", "≠"} <= signs
    for sign in signs:
        assert sign.isascii() or terminal._PLAIN[sign].isascii()
        assert "?" not in sign.encode("ascii", "lossparity").decode()[1:]


def test_what_has_no_plain_form_is_told_apart() -> None:
    assert "≠ 重\udcff".encode("ascii", "lossparity") == b"!= ??"


@posix
def test_a_reader_who_leaves_changes_no_exit_code(pair: list[str]) -> None:
    for words, code in ((["list", "losses"], 0), (["list", "cases"], 0), (["gate", *pair], 1)):
        reader, writer = os.pipe()
        os.close(reader)
        done = started(words, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_on_a_full_disk_is_3(pair: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = started(["gate", *pair], stdout=full)
    assert done.returncode == 3
    assert (
        done.stderr
        == "lossparity: standard output: No space left on device: free some space there, or write elsewhere\n"
    )


# --- Files


@posix
def test_a_full_disk_names_the_file_and_is_3(pair: list[str], tmp_path: Path) -> None:
    import resource

    for words in (["report", pair[0], "-o"], ["merge", *pair[:1], "-o"], ["gate", *pair, "--format", "json="]):
        page = tmp_path / "out" / "page.json"
        given = [*words[:-1], f"{words[-1]}{page}"] if words[-1].endswith("=") else [*words, str(page)]
        done = started(
            given, stdout=subprocess.PIPE, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
        )
        assert done.returncode == 3, done.stderr
        assert done.stderr == f"lossparity: {page}: File too large: free some space there, or write elsewhere\n"
        assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_cannot_be_made_is_named(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "gate.json"
    assert cli.main(["gate", *pair, "--format", f"json={target}"]) == 2
    assert f"lossparity: {target}: " in capsys.readouterr().err
