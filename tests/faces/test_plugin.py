"""The pytest plugin: nothing to other people's tests, and the matrix to those who ask for it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lossparity
from lossparity import adapters

ROOT = Path(__file__).parents[2]
SUITE = ("--pyargs", "lossparity.conformance")
# Of this environment's other plugins: some import numpy, which is not ours to answer for, and all take their time.
OTHERS = [word for name in ("hypothesispytest", "benchmark", "playwright", "base_url") for word in ("-p", f"no:{name}")]
NARROW = ("--backend", "sklearn", "--loss", "mse_loss", "--dtype", "float64")

sklearn = pytest.mark.skipif(adapters.BACKENDS["sklearn"].missing() is not None, reason="scikit-learn is not installed")


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OTHERS, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
    )


FOREIGN_CONFTEST = """
def pytest_addoption(parser):
    for name in ("--device", "--backend", "--seed", "--output", "--loss", "--mode", "--dtype"):
        parser.addoption(name, default="mine")
"""
FOREIGN_TEST = """
import sys

def test_options(pytestconfig):
    assert pytestconfig.getoption("device") == "mine"
    assert pytestconfig.getoption("seed") == "7"
    assert not pytestconfig.pluginmanager.has_plugin("lossparity-matrix")

def test_nothing_is_imported(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("lossparity")
    loaded = [name for name in sys.modules if name.startswith("lossparity")]
    assert loaded == ["lossparity", "lossparity.plugin"], loaded
    assert "numpy" not in sys.modules

def test_check(check):
    assert check == "a fixture of its own"
"""


@pytest.mark.parametrize("name", ["lossparity", "conformance", "tests"])
def test_a_foreign_run_is_left_alone(tmp_path: Path, name: str) -> None:
    """Even in a folder that has our name."""
    folder = tmp_path / name
    folder.mkdir()
    fixture = "import pytest\n\n@pytest.fixture\ndef check():\n    return 'a fixture of its own'\n"
    (folder / "conftest.py").write_text(FOREIGN_CONFTEST + fixture)
    (folder / "test_matrix.py").write_text(FOREIGN_TEST)
    done = run_pytest(tmp_path, name, "--seed", "7")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_options_are_those_of_the_suite_alone(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    pass\n")
    refused = run_pytest(tmp_path, "test_mine.py", "--backend", "torch")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --backend" in refused.stderr
    assert "lossparity: the conformance matrix" not in run_pytest(tmp_path, "test_mine.py", "--help").stdout
    assert "lossparity: the conformance matrix" in run_pytest(tmp_path, *SUITE, "--help").stdout


@sklearn
@pytest.mark.skipif(not (ROOT / "conformance").exists(), reason="not in a checkout")
@pytest.mark.parametrize("named", ["conformance", "conformance/test_matrix.py", "src/lossparity/conformance"])
def test_the_suite_is_known_by_its_path(named: str) -> None:
    done = run_pytest(ROOT, "--collect-only", named, *NARROW, "-k", "plain-mean")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_parity[mse_loss/sklearn.metrics.mean_squared_error/plain-mean/float64" in done.stdout


@pytest.mark.skipif(not (ROOT / "conformance").exists(), reason="not in a checkout")
def test_the_suite_come_upon_by_chance_says_how_to_ask_for_it(tmp_path: Path) -> None:
    os.symlink(ROOT / "conformance" / "test_matrix.py", tmp_path / "test_matrix.py")
    done = run_pytest(tmp_path, "-rs", ".")
    assert done.returncode == 0, done.stdout
    assert "name the suite: pytest conformance" in done.stdout


@sklearn
def test_it_writes_a_record_and_a_report(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, *SUITE, *NARROW, "--seed", "3", "--output", "out")
    assert done.returncode == 0, done.stdout
    run = lossparity.load(tmp_path / "out" / "parity.json")
    assert run.seed == 3
    assert run.command[0] == "pytest"
    assert run.backends["sklearn"]["asked"] is True
    assert {check.loss for check in run.checks} == {"mse_loss"}
    assert {check.dtype for check in run.checks} == {"float64", "any"}
    assert run.selection["losses"] == ["mse_loss"]
    assert "mse_loss" in (tmp_path / "out" / "parity.html").read_text()


@sklearn
def test_what_pytest_leaves_out_is_no_selection_of_ours(tmp_path: Path) -> None:
    """The gate repeats a selection; -k of pytest is another language than ours."""
    assert run_pytest(tmp_path, *SUITE, *NARROW, "-k", "plain-mean", "--output", "out").returncode == 0
    run = lossparity.load(tmp_path / "out" / "parity.json")
    assert all("plain-mean" in check.id for check in run.checks)
    assert run.selection == {}


@sklearn
def test_a_test_is_named_by_its_checks_id(tmp_path: Path) -> None:
    name = "mse_loss/sklearn.metrics.mean_squared_error/plain-mean/float64/cpu/eager/value"
    done = run_pytest(tmp_path, "--collect-only", *SUITE, *NARROW)
    assert f"test_parity[{name}]" in done.stdout
    assert not list(tmp_path.rglob("parity*"))


@sklearn
@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_xdist_gives_the_same_record(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, *SUITE, *NARROW, "--output", "one").returncode == 0
    done = run_pytest(tmp_path, "-n", "2", *SUITE, *NARROW, "--output", "two")
    assert done.returncode == 0, done.stdout
    one, two = (lossparity.load(tmp_path / name / "parity.json") for name in ("one", "two"))
    rows = [
        sorted(json.dumps(dataclasses.asdict(dataclasses.replace(check, seconds=0.0))) for check in run.checks)
        for run in (one, two)
    ]
    assert rows[0] == rows[1]
    assert one.implementations == two.implementations
    assert one.selection == two.selection


# --- exit codes

ABSENT = """
from lossparity import adapters
adapters.BACKENDS["absent"] = adapters.Backend(
    "absent", "lossparity.adapters.absent", ("absent.",), ("no_such_package",), (), ("no-such-package",), "numpy"
)
"""


def test_a_missing_backend_that_was_asked_for_is_3(tmp_path: Path) -> None:
    (tmp_path / "registers.py").write_text(ABSENT)
    done = run_pytest(tmp_path, "-rs", "-p", "registers", *SUITE, "--backend", "absent", "--output", "out")
    assert done.returncode == 3
    assert "not-run: no_such_package is not installed: python -m pip install no-such-package" in done.stdout
    (check,) = lossparity.load(tmp_path / "out" / "parity.json").checks
    assert (check.id, check.verdict) == ("*/absent", "not-run")


@sklearn
def test_a_missing_device_is_3(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "-rs", *SUITE, *NARROW, "--device", "cuda:9")
    assert done.returncode == 3
    assert "not-run: no device cuda:9 here; there are cpu" in done.stdout


@sklearn
def test_broken_parity_is_1_and_says_how_to_look_into_it(tmp_path: Path) -> None:
    (tmp_path / "breaks.py").write_text(
        "from sklearn import metrics\n"
        "whole = metrics.mean_squared_error\n"
        "metrics.mean_squared_error = lambda *a, **k: whole(*a, **k) * (1 + 1e-12)\n"
    )
    done = run_pytest(tmp_path, "-p", "breaks", *SUITE, *NARROW)
    assert done.returncode == 1
    assert "mismatch: value = " in done.stdout
    place = "lossparity explain mse_loss/sklearn.metrics.mean_squared_error/plain-mean/float64/cpu/eager/value"
    assert place in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--backend", "pytorch"), "unknown backend 'pytorch'; there are torch"),
        (("--loss", "mse"), "unknown loss 'mse'"),
        (("--dtype", "float8"), "unknown dtype 'float8'"),
    ],
)
def test_bad_use_is_refused_in_words(tmp_path: Path, words: tuple[str, str], says: str) -> None:
    done = run_pytest(tmp_path, *SUITE, *words)
    assert done.returncode not in (0, 1, 3)
    assert says in done.stdout + done.stderr
