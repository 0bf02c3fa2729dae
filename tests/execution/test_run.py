"""`run` with real processes: backends that crash, hang, chatter and are missing, and the others beside them.

A backend is broken through `--python`: its interpreter is a script that runs the real worker after a patch, or speaks
the worker's language for it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faulty import FAULTY, WORKER
from records import EXITS, same

from lossparity import adapters
from lossparity.adapters import Backend
from lossparity.conformance.execution import pool
from lossparity.conformance.execution.plan import DECIDED, PLANNED, dangerous
from lossparity.conformance.execution.run import exit_code, run
from lossparity.conformance.matrix import Selection
from lossparity.conformance.record import FAILING, Check, Run, load, save
from lossparity.reports.merge import merge

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the broken interpreters are shell scripts"),
    pytest.mark.skipif(adapters.BACKENDS["sklearn"].missing() is not None, reason="scikit-learn is not installed"),
]

MSE = Selection(losses=("mse_loss",))
PARTS = ("mse_loss", "torch", "torch.nn.functional.mse_loss", "plain-sum", "float64", "cpu", "eager", "value")
CHECKS = [Check(f"check {i}", *PARTS) for i in range(3)]
# Speaks for torch: starts at once, and needs no torch. Before it decides a check, {fault} runs.
SPEAKER = """
import json, os, sys, threading
def say(**message):
    print(json.dumps(message), flush=True)
sys.stdin.readline()
say(ready=True)
decided = []
for line in sys.stdin:
    order = json.loads(line)
    if "describe" in order:
        say(environment={{"python": "3", "packages": {{"torch": "0"}}, "devices": ["cpu"]}})
        say(plan={plan!r}, ranges=[[0, {count}]], of={count})
    for start, stop in order.get("run", ()):
        for position in range(start, stop):
            verdict = "match"
            {fault}
            decided.append(position)
            say(result=[position, verdict, *{rest!r}])
    say(ready=True)
say(done=True)
{end}
"""


def speaker(fault: str = "pass", checks: Sequence[Check] = tuple(CHECKS), end: str = "") -> str:
    plan = [[getattr(check, name) for name in PLANNED] for check in checks]
    rest = [getattr(CHECKS[0], name) for name in DECIDED[1:]]
    return SPEAKER.format(plan=plan, count=len(plan), fault=fault, rest=rest, end=end)


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
    assert same(again) == same(whole)


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
def test_a_check_that_kills_its_process_costs_itself_alone(
    interpreter: Any, whole: Run, what: str, ending: str
) -> None:
    poisoned = whole.checks[2]
    python = interpreter(FAULTY.format(when=f"check.id == {poisoned.id!r}", what=what) + WORKER)
    found = run(["sklearn"], MSE, pythons={"sklearn": python})
    check = found.checks[2]
    assert (check.id, check.verdict) == (poisoned.id, "crashed")
    assert f"its process ended {ending}" in check.reason
    assert same(found, but=[2]) == same(whole, but=[2])
    assert found.backends["sklearn"]["status"] == "crashed"
    assert exit_code(found) == 3
    if "abort" in what:  # the faulthandler tells where
        assert check.reason.endswith("its last words: Fatal Python error: Aborted")
        assert "in faulty" in found.backends["sklearn"]["last_words"]
        assert "Extension modules" not in found.backends["sklearn"]["last_words"]
    if "enough" in what:
        assert check.reason.endswith("its last words: enough")


def test_a_check_that_hangs_costs_itself_alone(interpreter: Any, whole: Run) -> None:
    hanging = whole.checks[5]
    what = "print('waiting for the device', file=sys.stderr, flush=True); time.sleep(600)"
    python = interpreter(FAULTY.format(when=f"check.id == {hanging.id!r}", what=what) + WORKER)
    found = run(["sklearn"], MSE, pythons={"sklearn": python}, timeout=25.0)
    assert (found.checks[5].id, found.checks[5].verdict) == (hanging.id, "timeout")
    assert found.checks[5].reason == "no sign of life for 25 s; its last words: waiting for the device"
    assert same(found, but=[5]) == same(whole, but=[5])
    assert found.backends["sklearn"]["status"] == "timeout"
    assert exit_code(found) == 3


def test_a_process_that_is_killed_costs_one_check(interpreter: Any, whole: Run, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    # Slow enough for its end not to be reached first.
    slow = FAULTY.format(when="True", what="time.sleep(0.005)")
    python = interpreter(f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\n{slow}{WORKER}")
    killed: list[int] = []

    def kill(_backend: str, done: int, _planned: int, _status: str) -> None:
        if done == 20 and not killed:
            killed.append(int(note.read_text()))
            os.kill(killed[0], signal.SIGKILL)

    found = run(["sklearn"], MSE, pythons={"sklearn": python}, jobs=1, progress=kill)
    assert killed
    (hit,) = [i for i, check in enumerate(found.checks) if check.verdict == "crashed"]
    assert hit >= 20
    assert "by SIGKILL" in found.checks[hit].reason
    assert same(found, but=[hit]) == same(whole, but=[hit])


def test_a_backend_that_keeps_dying_is_given_up(interpreter: Any, whole: Run) -> None:
    """Each process decides two checks and dies at its third: one start and three more."""
    python = interpreter(FAULTY.format(when="len(count) == 3", what="os._exit(7)") + WORKER)
    found = run(["sklearn"], MSE, pythons={"sklearn": python}, jobs=1)
    assert [check.id for check in found.checks] == [check.id for check in whole.checks]
    assert [i for i, check in enumerate(found.checks) if check.verdict == "crashed"] == [2, 5, 8, 11]
    kept = [0, 1, 3, 4, 6, 7, 9, 10]
    assert [found.checks[i].verdict for i in kept] == [whole.checks[i].verdict for i in kept]
    assert {check.verdict for check in found.checks[12:]} == {"not-run"}
    assert {check.reason for check in found.checks[12:]} == {"sklearn crashed before this check"}
    assert exit_code(found) == 3


def test_a_crash_leaves_the_other_backend_whole(interpreter: Any, whole: Run, tmp_path: Path) -> None:
    python = interpreter(speaker("if position == 1: print('no kernel image', file=sys.stderr); os.abort()"))
    found = run(["torch", "sklearn"], MSE, pythons={"torch": python})
    assert verdicts(found) == verdicts(whole)
    first, second, third = tail(found, "torch")
    assert (first.verdict, second.verdict, third.verdict) == ("match", "crashed", "match")
    assert "SIGABRT" in second.reason
    assert "no kernel image" in second.reason
    assert exit_code(found) == 3
    again = load(save(found, tmp_path / "parity.json"))
    assert verdicts(again, "torch") == verdicts(found, "torch")
    assert again.backends == found.backends


def test_a_backend_that_hangs_holds_up_no_other(interpreter: Any) -> None:
    hangs = interpreter(speaker("if position == 1: threading.Event().wait()"))
    finishes = interpreter(speaker())
    found = run(["torch", "tensorflow"], MSE, pythons={"torch": hangs, "tensorflow": finishes}, timeout=6.0)
    assert [check.verdict for check in found.checks] == ["match", "timeout", "match"] + ["match"] * 3
    assert found.checks[1].reason == "no sign of life for 6 s"
    assert found.backends["torch"]["status"] == "timeout"
    assert found.backends["tensorflow"]["status"] == "complete"
    assert exit_code(found) == 3


def test_a_backend_that_hangs_at_its_end_is_ended(interpreter: Any) -> None:
    """Its answers are closed, and its process does not end."""
    silent = "os.close(1); threading.Event().wait()"
    python = interpreter(speaker(f"if position == 1: {silent}"))
    found = run(["torch"], MSE, pythons={"torch": python}, timeout=4.0)
    assert [check.verdict for check in found.checks] == ["match", "timeout", "match"]
    assert "its answers ended, but not its process" in found.checks[1].reason
    found = run(["torch"], MSE, pythons={"torch": interpreter(speaker(end=silent))}, timeout=4.0)
    assert [check.verdict for check in found.checks] == ["match"] * 3
    assert found.backends["torch"]["status"] == "complete"
    found = run(["torch"], MSE, pythons={"torch": interpreter(speaker(end="threading.Event().wait()"))}, timeout=4.0)
    assert found.backends["torch"]["status"] == "complete"


def test_what_voids_a_device_comes_last_and_in_processes_of_its_own(interpreter: Any) -> None:
    """After a device-side assert, whatever the process is asked next goes wrong."""
    loss, name = "cross_entropy", "torch.nn.functional.cross_entropy"
    cases = ("label3-mean", "plain-sum", "label-1-mean", "plain-mean")
    checks = [
        Check(f"{case} {aspect}", loss, "torch", name, case, "float64", "cuda:0", "eager", aspect)
        for case in cases
        for aspect in ("error", "twin")
    ]
    labels = [i for i, check in enumerate(checks) if "label" in check.case]
    fault = f"verdict = 'error' if any(i in {labels} and i // 2 != position // 2 for i in decided) else verdict"
    python = interpreter(speaker(fault, checks))
    order: list[int] = []
    found = run(["torch"], MSE, pythons={"torch": python}, jobs=2, progress=lambda _, done, *__: order.append(done))
    assert [check.id for check in found.checks] == [check.id for check in checks]
    assert [check.verdict for check in found.checks] == ["match"] * len(checks)
    assert order[-1] == len(checks)


def test_only_bad_labels_on_a_gpu_are_dangerous() -> None:
    def there(case: str, device: str) -> Check:
        return Check("", "cross_entropy", "torch", "f", case, "float64", device, "eager", "error")

    assert dangerous(there("label3-mean", "cuda:1"))
    assert not dangerous(there("label3-mean", "cpu"))
    assert not dangerous(there("plain-mean", "cuda:0"))
    assert dangerous(there("any", "cuda:0"))  # a dialect is looked for in every case
    assert not dangerous(dataclasses.replace(there("any", "cuda:0"), loss="mse_loss"))


# --- several processes of one backend


@pytest.fixture(scope="module")
def matrix() -> Run:
    return run(["sklearn"], Selection(), jobs=1)


def test_the_record_does_not_depend_on_the_number_of_processes(
    interpreter: Any, matrix: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool, "_WORTH_A_PROCESS", 100)
    folder = tmp_path / "pids"
    folder.mkdir()
    # The first waits until there are three, so that each of them gets a part whatever else the machine is doing.
    python = interpreter(
        f"import os; open(os.path.join({str(folder)!r}, str(os.getpid())), 'w').close()\n"
        + FAULTY.format(when=f"len(os.listdir({str(folder)!r})) < 3", what="time.sleep(0.02)")
        + WORKER
    )
    found = run(["sklearn"], Selection(), pythons={"sklearn": python}, jobs=3)
    assert len(list(folder.iterdir())) == 3
    assert same(found) == same(matrix)


@pytest.mark.parametrize("of", [2, 5])
def test_the_shards_of_a_run_are_that_run(matrix: Run, of: int, tmp_path: Path) -> None:
    """Byte for byte, but for times."""
    shards = [run(["sklearn"], Selection(shard=f"{i}/{of}"), jobs=1) for i in range(1, of + 1)]
    sizes = [len(each.checks) for each in shards]
    assert sum(sizes) == len(matrix.checks)
    assert max(sizes) - min(sizes) < 0.1 * len(matrix.checks)
    paths = [save(each, tmp_path / f"{i}.json") for i, each in enumerate(shards)]
    written = []
    for number, found in enumerate((matrix, merge([load(path) for path in reversed(paths)]))):
        found = dataclasses.replace(found, started="", seconds=0.0)
        found.checks = [dataclasses.replace(check, seconds=0.0) for check in found.checks]
        found.backends = {name: {**line, "seconds": 0.0} for name, line in found.backends.items()}
        written.append(save(found, tmp_path / f"whole{number}.json").read_bytes())
    assert written[0] == written[1]


def test_one_at_a_time(interpreter: Any) -> None:
    done = interpreter(speaker())
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
    python = interpreter(CHATTER + FAULTY.format(when="len(count) == 3", what=printing) + WORKER)
    found = run(["sklearn"], MSE, pythons={"sklearn": python})
    assert found.backends["sklearn"]["status"] == "complete"
    assert verdicts(found) == verdicts(whole)


def test_a_line_cut_off_by_death_is_no_result(interpreter: Any) -> None:
    cut = json.dumps({"result": [1, "match"]})[:-4]
    python = interpreter(speaker(f"if position == 1: sys.stdout.write({cut!r}); sys.exit()"))
    found = run(["torch"], MSE, pythons={"torch": python})
    assert [check.verdict for check in found.checks] == ["match", "crashed", "match"]


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> str:
    backend = Backend(
        "absent", "lossparity.adapters.absent", ("absent.",), ("no_such_package",), (), ("no-such-package",), "numpy"
    )
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
    hangs = speaker("if position == 1: threading.Event().wait()")
    program = f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\n{hangs}"

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
