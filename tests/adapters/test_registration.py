"""What it takes to add a backend: one row, here or in a package from outside, and it is everywhere a backend is."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lossparity
from lossparity import adapters

ROOT = Path(__file__).parents[2]
INIT = """
from lossparity.adapters import Backend

BACKEND = Backend(
    "outside",
    module="outside.adapter",
    namespaces=("outside.",),
    imports=("outside",),
    distributions=("outside",),
    requires=("outside",),
    engine="numpy",
)


def squared(input, target):
    return (input - target) ** 2
"""
ADAPTER = """
import outside
from lossparity.adapters import engines
from lossparity.adapters.base import implementations

ENGINE = engines.load("numpy")
IMPLEMENTATIONS = []
implements = implementations(IMPLEMENTATIONS)


@implements("mse_loss", "outside.squared", ("none",), no_gradient={"*": "it is an error alone"})
def squared(input, target):
    return outside.squared(input, target)
"""


def install(folder: Path, entry: str = "outside:BACKEND", init: str = INIT) -> Path:
    """A package from outside, as pip leaves it behind."""
    for name, text in {
        "outside/__init__.py": init,
        "outside/adapter.py": ADAPTER,
        "outside-1.2.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: outside\nVersion: 1.2.3\n",
        "outside-1.2.3.dist-info/entry_points.txt": f"[{adapters.GROUP}]\noutside = {entry}\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def python(*words: str, path: Path | None = None, env: Mapping[str, str] | None = None) -> Any:
    """What a new interpreter says that finds `path`, in another folder than this."""
    source = str(Path(lossparity.__file__).parents[1])
    folders = [
        *([str(path)] if path else []),
        source,
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), **(env or {})}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=surroundings, cwd=path, timeout=300
    )


def test_an_outside_package_is_everywhere_a_backend_is(tmp_path: Path) -> None:
    there = install(tmp_path)
    listed = python("-m", "lossparity.cli", "list", "backends", path=there)
    assert "outside" in [line.split()[0] for line in listed.stdout.splitlines()], listed.stderr
    offered = python("-m", "lossparity.cli", "list", "implementations", "--backend", "outside", path=there)
    assert offered.stdout.split() == ["outside.squared", "mse_loss", "outside", "none"]

    words = ("-m", "lossparity.cli", "run", "--backend", "outside", "-o", "out")
    done = python(*words, path=there)
    assert done.returncode == 0, done.stdout + done.stderr
    run = lossparity.load(tmp_path / "out" / "parity.json")
    seen = run.environment["backends"]["outside"]
    assert seen["packages"]["outside"] == "1.2.3"
    assert seen["engine"] == {"name": "numpy", "version": seen["packages"]["numpy"]}
    assert {check.backend for check in run.checks} == {"outside"}
    assert run.counts()["match"] > 20
    assert "outside.squared" in (tmp_path / "out" / "parity.html").read_text()

    tests = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "lossparity.conformance"),
        *("--backend", "outside", "--dtype", "float32"),
        path=there,
    )
    assert tests.returncode == 0, tests.stdout
    explained = python("-m", "lossparity.cli", "explain", next(iter(run.checks)).id, path=there)
    assert "outside.squared, outside 1.2.3" in explained.stdout


def test_an_outside_package_comes_along_into_other_environments(tmp_path: Path) -> None:
    """Where `gate --from --to`, `sweep` and `bisect` run, only what upgrades is installed."""
    program = (
        "import os, subprocess, sys\n"
        "from lossparity.conformance.execution.environments import library\n"
        "look = 'import outside; from lossparity import adapters; print(outside.__file__, *adapters.BACKENDS)'\n"
        "with library() as folder:\n"
        "    env = {**os.environ, 'PYTHONPATH': folder}\n"
        "    subprocess.run([sys.executable, '-c', look], env=env, cwd=folder, check=True)"
    )
    done = python("-c", program, path=install(tmp_path))
    place, *names = done.stdout.split()
    assert names[-1] == "outside"
    assert "lossparity-library-" in place


def test_an_outside_package_may_be_imported_first(tmp_path: Path) -> None:
    """It imports lossparity.adapters: when the entry points are read there, it is only half there itself."""
    program = "import outside; from lossparity import adapters; print(adapters.BACKENDS['outside'] is outside.BACKEND)"
    done = python("-W", "error", "-c", program, path=install(tmp_path))
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize(
    ("entry", "init", "words"),
    [
        ("outside:BACKEND", "1 / 0", "ZeroDivisionError"),
        ("outside:ABSENT", INIT, "has no attribute 'ABSENT'"),
        ("outside:squared", INIT, "not a lossparity.adapters.Backend"),
        (
            "outside:BACKEND",
            INIT.replace('"outside",\n    module', '"torch",\n    module'),
            "a backend 'torch' already",
        ),
    ],
)
def test_an_outside_package_that_is_wrong_costs_itself_alone(tmp_path: Path, entry: str, init: str, words: str) -> None:
    program = "from lossparity import adapters; print(*adapters.BACKENDS)"
    done = python("-c", program, path=install(tmp_path, entry, init))
    assert set(done.stdout.split()) >= {backend.name for backend in adapters.OURS}
    assert "outside" not in done.stdout
    assert words in done.stderr
    assert f"outside = {entry} is left out" in done.stderr


def test_the_rows_are_whole() -> None:
    names = [backend.name for backend in adapters.OURS]
    assert len(set(names)) == len(names)
    for backend in adapters.OURS:
        assert importlib.util.find_spec(f"lossparity.adapters.engines.{backend.engine}"), backend
        assert importlib.util.find_spec(backend.module), backend
        assert backend.home, "nox would make an environment without a name"
        assert backend.distributions[0] in backend.install.split()


def test_an_adapter_does_not_run_on_an_engine_it_has_no_declarations_for() -> None:
    done = python("-m", "lossparity.cli", "run", "--backend", "keras", env={"KERAS_BACKEND": "torch"})
    if adapters.BACKENDS["keras"].missing():
        pytest.skip("keras is not installed")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "KERAS_BACKEND=torch is set, and keras is declared for KERAS_BACKEND=tensorflow: unset it" in done.stdout


def test_an_adapter_that_runs_on_another_engine_than_its_row_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if adapters.BACKENDS["sklearn"].missing():
        pytest.skip("scikit-learn is not installed")
    other = dataclasses.replace(adapters.BACKENDS["sklearn"], engine="torch")
    monkeypatch.setitem(adapters.BACKENDS, "sklearn", other)
    with pytest.raises(ImportError, match=r"registered for the engine torch; .* runs on numpy"):
        adapters.load("sklearn")


MARKED = INIT.replace('Backend(\n    "outside"', 'Backend("outside-numpy"').replace(
    'engine="numpy",', 'engine="numpy", variables={"OUTSIDE_ENGINE": "numpy"}, marked=True,'
)


def test_one_library_on_two_engines_is_two_rows(tmp_path: Path) -> None:
    """The second says its engine in its implementations' names, and so in the IDs of its checks."""
    there = install(tmp_path, init=MARKED)
    words = ("-m", "lossparity.cli", "run", "--backend", "outside-numpy", "-o", "out")
    assert python(*words, path=there).returncode == 0
    checks = lossparity.load(tmp_path / "out" / "parity.json").checks
    assert {check.implementation for check in checks} == {"outside.squared@numpy"}
    (first, *_) = checks
    assert first.id.startswith("mse_loss/outside.squared@numpy/")
    explained = python("-m", "lossparity.cli", "explain", first.id, path=there)
    assert "value = (input - target) ** 2" in explained.stdout
    other = python(*words, path=there, env={"OUTSIDE_ENGINE": "cupy"})
    assert other.returncode == 3
    assert "OUTSIDE_ENGINE=cupy is set" in other.stdout


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """examples/backend as its wheel installs it."""
    if not (ROOT / "examples" / "backend").exists():
        pytest.skip("not in a checkout")
    builders = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("installed")
    built = builders.WheelBuilder(str(ROOT / "examples" / "backend")).build(
        directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"]
    )
    (wheel,) = built
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_the_example_runs_from_its_wheel(example: Path) -> None:
    for name in ("jax", "optax"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    words = ("run", "--backend", "optax", "--dtype", "float32", "-k", "plain-none", "-o", "out")
    done = python("-m", "lossparity.cli", *words, path=example)
    assert done.returncode == 0, done.stdout + done.stderr
    run = lossparity.load(example / "out" / "parity.json")
    assert run.environment["backends"]["optax"]["engine"]["name"] == "jax"
    assert {check.backend for check in run.checks} == {"optax"}
    assert {"match", "lossy", "dialect"} <= run.counts().keys()
    assert json.dumps(run.census["optax"]["namespaces"]).count("optax.losses.") > 20


def test_the_example_is_short() -> None:
    files = [p for p in (ROOT / "examples" / "backend").rglob("*") if p.suffix in (".py", ".toml")]
    assert sum(len(p.read_text().splitlines()) for p in files) <= 150
