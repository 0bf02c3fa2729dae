"""`explain`: a check in full, and a reproducer that runs as printed without lossparity and answers the same."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import own_process
import pytest

from lossparity import adapters, cli
from lossparity.conformance.cases import CASES
from lossparity.conformance.explain import explain
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, checks
from lossparity.conformance.record import Check

HEADLINE = re.compile(r"^reproducer .*$", re.MULTILINE)
MSE = "mse_loss/sklearn.metrics.mean_squared_error/{}/{}/cpu/eager/{}"


def installed(*names: str) -> list[str]:
    return [name for name in names if adapters.BACKENDS[name].missing() is None]


def needs(name: str) -> pytest.MarkDecorator:
    missing = adapters.BACKENDS[name].missing()
    return pytest.mark.skipif(missing is not None, reason=str(missing))


def program_of(text: str) -> str:
    """What stands behind the headline: the whole program, as it would be copied into a file."""
    found = HEADLINE.search(text)
    assert found, text
    return text[found.end() :]


def straight_program(identifier: str) -> str:
    """The reproducer of a check, which a maintainer can read at a glance."""
    program = program_of(explain(identifier, 0))
    lines = [line for line in program.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 15, program
    for word in ("lossparity", "def ", "typing", "lambda"):
        assert word not in "\n".join(lines), program
    return program


def sample(backend: str) -> Iterator[tuple[Check, Judge]]:
    """Of each implementation a value, a gradient, an array with gaps, and bad input, where it has them."""
    module = adapters.load(backend)
    judge = Judge(module, 0, adapters.BACKENDS[backend].versions())
    for implementation in module.IMPLEMENTATIONS:
        wanted = {"value", "gradient", "strided", "error"}
        for check in checks(backend, module, Selection(losses=(implementation.loss,), dtypes=("float32",))):
            kind = "strided" if check.case.startswith("strided") else check.aspect.partition(":")[0]
            if check.implementation != implementation.name or kind not in wanted:
                continue
            if check.aspect not in ("value", "error") and not check.aspect.startswith("gradient"):
                continue
            if judge(check).verdict not in ("unsupported", "not-run"):
                wanted.remove(kind)
                yield check, judge


def answer(check: Check, judge: Judge) -> str:
    """What the reproducer must print or raise."""
    implementation = judge.implementations[check.loss, check.implementation]
    case = CASES[check.loss][check.case]
    outcome = judge.outcome(implementation, case, check.dtype, check.device, check.mode)
    if outcome.error is not None:
        return f"raised {type(outcome.error).__name__}"
    got = outcome.gradients[check.aspect.partition(":")[2]] if check.aspect.startswith("gradient") else outcome.value
    return f"got  {None if got is None else got.tolist()}"


def run_program(program: str) -> str:
    """The first thing that a program prints, or the exception it ends with."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(program, "reproducer", "exec"), {"__name__": "__main__"})  # noqa: S102  this is its purpose
    except Exception as error:
        return f"raised {type(error).__name__}"
    return printed.getvalue().partition("\nwant ")[0].rstrip("\n")


# Programs arrive as JSON; the interpreter that runs them has never seen lossparity.
RUNNER = """
import contextlib, io, json, sys

{source}

print(json.dumps([run_program(program) for program in json.load(sys.stdin)]))
assert not [name for name in sys.modules if name.startswith("lossparity")]
"""


def runner() -> str:
    import inspect

    return RUNNER.format(source=inspect.getsource(run_program))


def test_every_reproducer_answers_the_same_in_a_fresh_interpreter() -> None:
    """Of scikit-learn, torchvision and torch: as printed, without lossparity."""
    names, programs, answers = [], [], []
    for backend in installed(*own_process.HERE):
        for check, judge in sample(backend):
            names.append(check.id)
            programs.append(straight_program(check.id))
            answers.append(answer(check, judge))
    if not names:
        pytest.skip("none of them is installed")
    done = subprocess.run(
        [sys.executable, "-c", runner()], input=json.dumps(programs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True))
    assert found == dict(zip(names, answers, strict=True))
    assert any(text.startswith("raised") for text in found.values())


@pytest.mark.parametrize("home", own_process.ELSEWHERE)
def test_the_reproducers_of_the_others_answer_the_same(home: str) -> None:
    """In a process of their own, because torch is in this one."""
    names = installed(*own_process.ELSEWHERE[home])
    if not names:
        pytest.skip(f"none of {', '.join(own_process.ELSEWHERE[home])} is installed")
    done = subprocess.run(
        [sys.executable, __file__, *names], capture_output=True, text=True, check=False, env=own_process.environment()
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) > 20
    assert {name: got for name, got, _ in rows} == {name: want for name, _, want in rows}


def main(names: list[str]) -> None:
    """Explain a sample of these backends' checks and run the reproducers; what came of it as JSON."""
    rows = []
    for backend in names:
        for check, judge in sample(backend):
            program = straight_program(check.id)
            rows.append((check.id, run_program(program), answer(check, judge)))
    print(json.dumps(rows))


@needs("sklearn")
@pytest.mark.parametrize("aspect", ["value", "error"])
def test_a_reproducer_runs_as_a_file(tmp_path: Path, aspect: str) -> None:
    case = "plain-mean" if aspect == "value" else "bad-shapes-mean"
    path = tmp_path / "reproducer.py"
    path.write_text(program_of(explain(MSE.format(case, "float64", aspect), 0)))
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, check=False)
    if aspect == "value":
        assert done.returncode == 0, done.stderr
        got, want = done.stdout.splitlines()
        assert got.startswith("got  ")
        assert want.startswith("want ")
    else:
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("ValueError: ")


# --- what is said


@needs("sklearn")
def test_a_large_array_is_written_as_a_recipe() -> None:
    if adapters.BACKENDS["torch"].missing():
        pytest.skip("torch is not installed")
    judge = Judge(adapters.load("torch"), 0, adapters.BACKENDS["torch"].versions())
    for dtype, aspect in (("float32", "value"), ("float64", "gradient:input")):
        identifier = f"cross_entropy/torch.nn.functional.cross_entropy/many-classes-none/{dtype}/cpu/eager/{aspect}"
        program = explain(identifier, 0).partition("reproducer")[2].partition("\n\n")[2]
        assert "np.random.PCG64(" in program
        assert max(map(len, program.splitlines())) < 400
        (check,) = (each for each in checks("torch", adapters.load("torch"), Selection()) if each.id == identifier)
        assert run_program(program) == answer(check, judge)


def test_a_match_is_explained_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    identifier = MSE.format("plain-mean", "float64", "value")
    assert cli.main(["explain", identifier, "--seed", "3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(identifier)
    for words in ("verdict    match", "call       sklearn.metrics.mean_squared_error, scikit-learn ", "seed       3"):
        assert words in text
    for words in (
        "inputs\n  ",
        "\n  input = [[",
        "reference (float64)",
        "framework\n  float64 ",
        "ULP   tolerance",
        "margin",
    ):
        assert words in text


@needs("sklearn")
def test_a_dialect_is_explained_with_its_reference() -> None:
    identifier = "binary_cross_entropy/sklearn.metrics.log_loss/wrong-at-0-and-1-mean/float64/cpu/eager/value"
    text = explain(identifier, 0)
    assert "verdict    dialect: clip: " in text
    assert "reference in the dialect clip\n  36.04" in text
    assert "reference (float64)\n  inf" in text


@needs("sklearn")
def test_a_refusal_is_explained_from_both_sides() -> None:
    text = explain(MSE.format("bad-shapes-mean", "float64", "error"), 0)
    assert "reference\n  raised ValueError: " in text
    assert "framework\n  raised ValueError: " in text


@needs("sklearn")
def test_what_did_not_run_is_explained_without_numbers() -> None:
    text = explain(MSE.format("plain-none", "float64", "value"), 0)
    assert "verdict    unsupported: " in text
    assert not HEADLINE.search(text)
    text = explain(MSE.format("plain-mean", "float64", "value").replace("/cpu/", "/cuda:7/"), 0)
    assert "verdict    not-run: no device cuda:7 here" in text


@needs("sklearn")
def test_whether_a_declaration_is_needed_is_explained() -> None:
    text = explain("hinge_loss/sklearn.metrics.hinge_loss/any/any/cpu/eager/dialect:one-label", 0)
    assert "verdict    known: still shows, as in hinge_loss/sklearn.metrics.hinge_loss/one-sign-mean/" in text


BAD: list[tuple[str, str]] = [
    ("", "'' is not a check's ID: loss/implementation/case/dtype/device/mode/aspect"),
    ("mse_loss", "copy one from the report"),
    ("a/b/c/d/e/f/g/h", "is not a check's ID"),
    ("mse/f/c/float64/cpu/eager/value", "unknown loss 'mse'"),
    ("mse_loss/nowhere.mse/plain-mean/float64/cpu/eager/value", "no implementation 'nowhere.mse' of mse_loss here"),
    (
        "mse_loss/sklearn.metrics.log_loss/plain-mean/float64/cpu/eager/value",
        "no implementation 'sklearn.metrics.log_l",
    ),
    (MSE.format("plane", "float64", "value"), "`lossparity list cases --loss mse_loss` names the cases"),
    (MSE.format("plain-mean", "float8", "value"), "no check "),
    (MSE.format("plain-mean", "float64", "smell"), "no check "),
]


@needs("sklearn")
@pytest.mark.parametrize(("identifier", "words"), BAD, ids=[words for _, words in BAD])
def test_what_is_no_id_is_refused_in_words(identifier: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", identifier]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.startswith("lossparity: ")
    assert "Traceback" not in printed.err


def test_a_missing_backend_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: Any = adapters.Backend(
        "absent", "lossparity.adapters.absent", ("absent.",), ("no_such_package",), (), ("no-such-package",), "numpy"
    )
    monkeypatch.setitem(adapters.BACKENDS, "absent", absent)
    with pytest.raises(ValueError, match="no_such_package is not installed: python -m pip install no-such-package"):
        explain("mse_loss/absent.mse/plain-mean/float64/cpu/eager/value", 0)


if __name__ == "__main__":
    main(sys.argv[1:])
