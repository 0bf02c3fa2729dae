"""`lossparity check` and `lossparity.testing`: exit codes, data, a target that misbehaves, and tests of one's own."""

import json
import subprocess
import sys
import textwrap

import pytest

from lossparity.cli import main
from lossparity.testing import assert_conforms, conforms

# NumPy losses: no framework is imported into the process of these tests.
LOSSES = """
    import numpy as np

    def mse(y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2)

    def half_mse(y_true, y_pred):
        return 0.5 * np.mean((y_pred - y_true) ** 2)

    def clipped(y, p):
        p = np.clip(p, 1e-7, 1 - 1e-7)
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))

    def odd(prediction, truth, other=None):
        return np.mean((other - truth) ** 2)

    def prints(y_true, y_pred):
        print("loss!")
        return np.mean((y_pred - y_true) ** 2)

    def writes(y_true, y_pred):
        open("loss.txt", "w").write("loss")
        return np.mean((y_pred - y_true) ** 2)

    def sleeps(y_true, y_pred):
        import time
        time.sleep(1000)

    def ends(y_true, y_pred):
        import os
        os._exit(7)

    def leaves(y_true, y_pred):
        raise SystemExit(3)
"""


@pytest.fixture
def losses(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(textwrap.dedent(LOSSES))
    (tmp_path / "broken.py").write_text("import numpy\nthis is no Python\n")
    (tmp_path / "exits.py").write_text("import numpy, sys\nsys.exit(4)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("losses")
@pytest.mark.parametrize(
    ("name", "loss", "code", "verdict", "explained"),
    [
        ("mse", "mse_loss", 0, "conforms", []),
        ("half_mse", "mse_loss", 1, "differs", ["times-0.5"]),
        ("clipped", "binary_cross_entropy", 0, "dialect", ["clip-1e-07"]),
    ],
)
def test_the_verdict_is_the_exit_code_and_stands_in_the_data(capsys, name, loss, code, verdict, explained):
    assert main(["check", f"mine.py:{name}", "--as", loss, "--format", "json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == verdict
    assert found["loss"] == loss
    assert [each["name"] for each in found["explanations"]] == explained
    assert bool(found["differences"]) == (verdict != "conforms")
    assert found["contracts"] == []
    assert found["checks"] > 5


def test_the_text_says_what_it_is_and_the_page_draws_it(losses, capsys):
    assert main(["check", "mine.py:half_mse", "--as", "mse_loss", "-o", "out"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("half_mse differs from mse_loss")
    assert "from mine import half_mse" in text
    page = (losses / "out" / "check.html").read_text()
    assert page.count("<polyline") == 2  # value of both; NumPy has no gradient
    assert "half of it" in page


def test_hostile_names_stay_text(losses):
    (losses / "x<b>.py").write_text((losses / "mine.py").read_text())
    assert main(["check", "x<b>.py:half_mse", "--as", "mse_loss", "-o", "out"]) == 1
    assert "x<b>" not in (losses / "out" / "check.html").read_text()


@pytest.mark.usefixtures("losses")
def test_arguments_can_be_named(capsys):
    words = ["check", "mine.py:odd", "--as", "mse_loss"]
    assert main([*words, "--arg", "input=other"]) == 2
    assert main([*words, "--arg", "input"]) == 2
    assert "OURS=THEIRS" in capsys.readouterr().err


@pytest.mark.usefixtures("losses")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mine.py:sleeps", "does not come back: a call of it took over 1 s (--timeout)"),
        ("mine.py:ends", "ends the process that imports or calls it, with exit code 7"),
        ("mine.py:leaves", "sys.exit(3)"),
        ("mine.py:mes", "did you mean mse?"),
        ("mine.py", "is not FILE.py:NAME or package.module:NAME"),
        ("nowhere.py:mse", "there is no file nowhere.py"),
        ("broken.py:mse", "broken.py does not import: SyntaxError"),
        ("exits.py:mse", "it calls sys.exit(4)"),
        ("no.such.module:mse", "does not import: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_called_is_a_sentence_and_exit_code_2(capsys, target, words):
    assert main(["check", target, "--as", "mse_loss", "--timeout", "1", "--format", "json"]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in out + err
    assert json.loads(out)["verdict"] == "unsupported"


@pytest.mark.parametrize(
    ("name", "note"), [("prints", "prints to standard output"), ("writes", "writes files where it is run: loss.txt")]
)
def test_what_a_loss_does_beside_computing_is_noted(losses, capsys, name, note):
    assert main(["check", f"mine.py:{name}", "--as", "mse_loss"]) == 0
    assert note in capsys.readouterr().out
    assert not (losses / "loss.txt").exists()


def mse(input, target):
    return ((input - target) ** 2).mean()


def half_mse(input, target):
    return 0.5 * mse(input, target)


def test_assert_conforms():
    assert_conforms(mse, "mse_loss", engine="numpy")
    with pytest.raises(AssertionError, match=r"half_mse differs from mse_loss .* half of it"):
        assert_conforms(half_mse, "mse_loss", engine="numpy")
    assert_conforms(half_mse, "mse_loss", engine="numpy", expected_failures={"*": "half by design"})
    with pytest.raises(AssertionError, match="no check fails any more: plain"):
        assert_conforms(mse, "mse_loss", engine="numpy", expected_failures={"plain*": "was half once"})
    with pytest.raises(AssertionError, match="did you mean mse_loss"):
        assert_conforms(mse, "mse_los", engine="numpy")


@conforms("mse_loss", engine="numpy", dtypes=("float64",))
def test_a_decorated_function_is_a_test_of_every_case(input, target):
    return mse(input, target)


def test_a_decorated_function_that_differs_fails_case_by_case(tmp_path):
    (tmp_path / "test_half.py").write_text(
        textwrap.dedent(
            """
            from lossparity.testing import conforms

            @conforms("mse_loss", engine="numpy",
                      expected_failures={"plain-*/float64/*": "half", "none-such/*/*": "gone"})
            def test_half(input, target):
                return 0.5 * ((input - target) ** 2).mean()
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "test_half.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "XFAIL test_half.py::test_half[plain-mean/float64]" in done.stdout
    assert "FAILED test_half.py::test_half[plain-mean/float32]" in done.stdout
    assert "none-such" in done.stdout


def test_importing_it_is_light():
    program = "import sys, lossparity.testing; print([m for m in ('numpy', 'torch', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
