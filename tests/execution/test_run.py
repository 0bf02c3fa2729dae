"""`run` with real processes: backends that crash, hang, chatter and are missing, and the others beside them.

A backend is broken through `--python`: its interpreter is a script that runs the real worker after a patch, or speaks
the worker's language for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from records import EXITS

from lossparity import adapters
from lossparity.adapters import Backend
from lossparity.conformance.execution.run import exit_code, run
from lossparity.conformance.matrix import Selection
from lossparity.conformance.record import FAILING, Check, Run, load, save

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the broken interpreters are shell scripts"),
    pytest.mark.skipif(adapters.BACKENDS["sklearn"].missing() is not None, reason="scikit-learn is not installed"),
]

MSE = Selection(losses=("mse_loss",))
WORKER = "import runpy; runpy.run_module('lossparity.conformance.execution.worker', run_name='__main__')"
# Runs the real worker, and at the third check what follows.
AT_THE_THIRD_CHECK = """
import os, signal, sys
from lossparity.conformance import judge
decide, count = judge.Judge.__call__, []
def faulty(self, check):
    count.append(check)
    if len(count) == 3:
        {what}
    return decide(self, check)
judge.Judge.__call__ = faulty
"""
PARTS = ("mse_loss", "torch", "torch.nn.functional.mse_loss", "plain-sum", "float64", "cpu", "eager", "value")
CHECKS = [Check(f"check {i}", *PARTS) for i in range(3)]
# Speaks for torch: starts at once, and needs no torch. What follows runs after one of three checks.
SPEAKER = f"""
import json, os, sys, threading
print(json.dumps({{"environment": {{"python": "3", "packages": {{"torch": "0"}}, "devices": ["cpu"]}}}}))
print(json.dumps({{"plan": {[dataclasses.astuple(check) for check in CHECKS]!r}}}))
print(json.dumps({{"result": {dataclasses.astuple(dataclasses.replace(CHECKS[0], verdict="match"))!r}}}), flush=True)
"""
FINISHES = f"""
for row in {[dataclasses.astuple(dataclasses.replace(check, verdict="match")) for check in CHECKS[1:]]!r}:
    print(json.dumps({{"result": row}}))
print(json.dumps({{"done": True}}), flush=True)
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> Any:
    """Makes an interpreter that runs a program whatever it is told to run."""

    def make(program: str) -> str:
        number = len(list(tmp_path.glob("*.py")))
        source, script = tmp_path / f"program{number}.py", tmp_path / f"python{number}"
        source.write_text(program)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{source}"\n')
        script.chmod(0o755)
        return str(script)

    return make


@pytest.fixture(scope="module")
def whole() -> Run:
    return run(["sklearn"], MSE)


def verdicts(found: Run, backend: str = "sklearn") -> list[tuple[str, str]]:
    return [(check.id, check.verdict) for check in found.checks if check.backend == backend]


def tail(found: Run, backend: str) -> list[Check]:
    return [check for check in found.checks if check.backend == backend]


def test_a_whole_run(whole: Run) -> None:
    assert whole.checks
    assert exit_code(whole) == 0
    assert whole.backends["sklearn"]["status"] == "complete"
    assert whole.backends["sklearn"]["asked"] is True
    seen = whole.environment["backends"]["sklearn"]
    assert seen["packages"]["scikit-learn"] == adapters.BACKENDS["sklearn"].versions()["scikit-learn"]
    assert seen["devices"] == ["cpu"]
    assert "mse_loss/sklearn.metrics.mean_squared_error" in whole.implementations
    assert not {check.verdict for check in whole.checks} & FAILING


def test_the_same_seed_gives_the_same_checks(whole: Run) -> None:
    again = run(["sklearn"], MSE)
    assert [dataclasses.replace(c, seconds=0.0) for c in again.checks] == [
        dataclasses.replace(c, seconds=0.0) for c in whole.checks
    ]
    assert again.data == whole.data


@pytest.mark.parametrize("seed", [0, 1])
def test_scikit_learn_is_at_parity(seed: int) -> None:
    found = run(["sklearn"], Selection(), seed=seed)
    assert [check.reason for check in found.checks if check.verdict in FAILING] == []
    assert exit_code(found) == 0
    assert found.seed == seed


def test_a_backend_that_dies_at_its_import_is_crashed(interpreter: Any) -> None:
    python = interpreter(f"import sys; sys.modules['sklearn'] = None\n{WORKER}")
    found = run(["sklearn"], MSE, pythons={"sklearn": python})
    (check,) = found.checks
    assert check.verdict == "crashed"
    assert "its process ended with exit code 1" in check.reason
    assert "ModuleNotFoundError" in check.reason
    assert found.backends["sklearn"]["status"] == "crashed"
    assert "ModuleNotFoundError" in found.backends["sklearn"]["last_words"]
    assert exit_code(found) == 3


@pytest.mark.parametrize(
    ("what", "ending"),
    [
        ("os.abort()", "by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "by SIGSEGV"),
        ("os._exit(7)", "with exit code 7"),
        ("sys.exit('enough')", "with exit code 1"),
    ],
)
def test_a_backend_that_dies_in_the_middle_keeps_what_it_decided(
    interpreter: Any, whole: Run, what: str, ending: str
) -> None:
    python = interpreter(AT_THE_THIRD_CHECK.format(what=what) + WORKER)
    found = run(["sklearn"], MSE, pythons={"sklearn": python})
    assert [check.id for check in found.checks] == [check.id for check in whole.checks]
    assert verdicts(found)[:2] == verdicts(whole)[:2]
    assert found.checks[2].verdict == "crashed"
    assert f"its process ended {ending}" in found.checks[2].reason
    assert {check.verdict for check in found.checks[3:]} == {"not-run"}
    assert {check.reason for check in found.checks[3:]} == {"sklearn crashed before this check"}
    assert exit_code(found) == 3
    if "abort" in what:  # the faulthandler tells where
        assert found.checks[2].reason.endswith("its last words: Fatal Python error: Aborted")
        assert "in faulty" in found.backends["sklearn"]["last_words"]
        assert "Extension modules" not in found.backends["sklearn"]["last_words"]
    if "enough" in what:
        assert found.checks[2].reason.endswith("its last words: enough")


def test_a_crash_leaves_the_other_backend_whole(interpreter: Any, whole: Run, tmp_path: Path) -> None:
    python = interpreter(SPEAKER + "print('no kernel image', file=sys.stderr)\nos.abort()\n")
    found = run(["torch", "sklearn"], MSE, pythons={"torch": python})
    assert verdicts(found) == verdicts(whole)
    first, second, third = tail(found, "torch")
    assert (first.verdict, second.verdict, third.verdict) == ("match", "crashed", "not-run")
    assert "SIGABRT" in second.reason
    assert "no kernel image" in second.reason
    assert exit_code(found) == 3
    again = load(save(found, tmp_path / "parity.json"))
    assert verdicts(again, "torch") == verdicts(found, "torch")
    assert again.backends == found.backends


def test_a_backend_that_hangs_is_ended(interpreter: Any) -> None:
    hangs = interpreter(SPEAKER + "print('waiting for the device', file=sys.stderr)\nthreading.Event().wait()\n")
    finishes = interpreter(SPEAKER + FINISHES)
    found = run(["torch", "tensorflow"], MSE, pythons={"torch": hangs, "tensorflow": finishes}, timeout=3.0)
    three = found.checks[:3]
    assert [check.verdict for check in three] == ["match", "timeout", "not-run"]
    assert three[1].reason == "no sign of life for 3 s; its last words: waiting for the device"
    assert three[2].reason == "torch hung before this check"
    assert found.backends["torch"]["status"] == "timeout"
    assert found.backends["tensorflow"]["status"] == "complete"
    assert [check.verdict for check in found.checks[3:]] == ["match"] * 3
    assert exit_code(found) == 3


def test_a_backend_that_hangs_at_its_end_is_ended(interpreter: Any) -> None:
    """Its answers are closed, and its process does not end."""
    silent = "os.close(1)\nthreading.Event().wait()\n"
    found = run(["torch"], MSE, pythons={"torch": interpreter(SPEAKER + silent)}, timeout=1.5)
    assert [check.verdict for check in found.checks] == ["match", "timeout", "not-run"]
    assert "its answers ended, but not its process" in found.checks[1].reason
    found = run(["torch"], MSE, pythons={"torch": interpreter(SPEAKER + FINISHES + silent)}, timeout=1.5)
    assert [check.verdict for check in found.checks] == ["match"] * 3
    assert found.backends["torch"]["status"] == "complete"


def test_one_at_a_time(interpreter: Any) -> None:
    done = interpreter(SPEAKER + FINISHES)
    heard: list[tuple[str, str]] = []

    def progress(backend: str, _done: int, _planned: int, status: str) -> None:
        heard.append((backend, status))

    run(["torch", "keras"], MSE, pythons={"torch": done, "keras": done}, jobs=1, progress=progress)
    first = [backend for backend, _ in heard]
    assert first == sorted(first, key=["torch", "keras"].index)
    assert ("torch", "complete") in heard
    assert ("keras", "complete") in heard


CHATTER = """
import os, sys
print("Welcome to this interpreter")
print("42")
print('["not", "a", "message"]')
print('{"unknown": "message"}', flush=True)
os.write(1, b"\\xff\\xfe\\x00 not text\\n")
"""


def test_what_is_printed_does_not_disturb(interpreter: Any, whole: Run) -> None:
    printing = "print('from the framework'); os.write(1, b'{\"done\": true}\\\\n'); print('{', flush=True)"
    python = interpreter(CHATTER + AT_THE_THIRD_CHECK.format(what=printing) + WORKER)
    found = run(["sklearn"], MSE, pythons={"sklearn": python})
    assert found.backends["sklearn"]["status"] == "complete"
    assert verdicts(found) == verdicts(whole)


def test_a_line_cut_off_by_death_is_no_result(interpreter: Any) -> None:
    cut = json.dumps({"result": dataclasses.astuple(CHECKS[1])})[:-20]
    found = run(["torch"], MSE, pythons={"torch": interpreter(SPEAKER + f"sys.stdout.write({cut!r})\n")})
    assert [check.verdict for check in found.checks] == ["match", "crashed", "not-run"]


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> str:
    backend = Backend("absent", "lossparity.adapters.absent", ("absent.",), ("no_such_package",), (), "no-such-package")
    monkeypatch.setitem(adapters.BACKENDS, "absent", backend)
    return "absent"


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Register these backends alone."""
    for name in list(adapters.BACKENDS):
        if name not in names:
            monkeypatch.delitem(adapters.BACKENDS, name)


def test_a_missing_backend_that_was_asked_for_makes_the_run_incomplete(absent: str, whole: Run) -> None:
    found = run([absent, "sklearn"], MSE)
    first, *rest = found.checks
    assert (first.id, first.verdict) == ("*/absent", "not-run")
    assert first.reason == "no_such_package is not installed: python -m pip install no-such-package"
    assert found.backends[absent]["status"] == "not-run"
    assert [(check.id, check.verdict) for check in rest] == verdicts(whole)
    assert exit_code(found) == 3


def test_a_missing_backend_that_was_not_asked_for_is_no_gap(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, absent, "sklearn")
    found = run([], MSE)
    assert [check.verdict for check in found.checks if check.backend == absent] == ["not-run"]
    assert found.backends[absent]["asked"] is False
    assert exit_code(found) == 0


def test_nothing_that_ran_is_incomplete(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, absent)
    assert exit_code(run([], MSE)) == 3


def test_an_interrupt_leaves_no_process_behind(interpreter: Any, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\n{SPEAKER}threading.Event().wait()\n"

    def interrupted(_backend: str, done: int, _planned: int, _status: str) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["torch"], MSE, pythons={"torch": interpreter(program)}, progress=interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


# --- exit codes


@pytest.mark.parametrize(("code", "found"), EXITS, ids=[f"{i}-{code}" for i, (code, _) in enumerate(EXITS)])
def test_exit_codes(code: int, found: Run) -> None:
    assert exit_code(found) == code
