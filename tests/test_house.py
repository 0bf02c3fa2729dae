"""The house: what may import what, what comes along with an import, what a wheel holds, what the README promises."""

from __future__ import annotations

import ast
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossparity
from lossparity import adapters, cli, reports
from lossparity.conformance.cases import CASES

ROOT = Path(__file__).parent.parent
ROOMS = ("reference", "adapters", "conformance", "reports")
# What each floor may import of the others (DESIGN: arrows only point down).
BELOW = {
    "reference": set(),
    "adapters": {"reference"},
    "conformance": {"reference", "adapters"},
    "reports": {"conformance"},  # and of it only what reads records: see below
}
OUTSIDE = {  # besides the standard library
    "reference": {"numpy"},
    "conformance": {"distributed", "numpy", "packaging", "pytest"},  # distributed: only where --dask is given
    "reports": {"numpy", "jinja2", "markupsafe", "tomli"},  # tomli: before Python 3.11
}
FRAMEWORKS = {
    "torch",
    "torchvision",
    "tensorflow",
    "keras",
    "tf_keras",
    "sklearn",
    "jax",
    "optax",
    "monai",
    "ultralytics",
}

checkout = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="not in a checkout")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, also late ones, and whether for the type checker alone."""
    tree = ast.parse(path.read_text())
    unseen: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            unseen.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in unseen) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import would import the module twice"
            yield from ((f"{node.module}.{alias.name}", id(node) in unseen) for alias in node.names)


@checkout
@pytest.mark.parametrize("room", ROOMS)
def test_arrows_only_point_down(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for name, _ in imports(path):
            first, *rest = name.split(".")
            if first != "lossparity" or not rest:
                assert (
                    first == "lossparity"
                    or first in sys.stdlib_module_names
                    or room == "adapters"
                    or (first in OUTSIDE[room])
                ), f"{path} imports {name}"
                continue
            own = rest[0] == room or rest[0] not in ROOMS  # lossparity.__version__
            allowed = any(".".join(rest).startswith(floor) for floor in BELOW[room])
            assert own or allowed, f"{path} imports {name}"


@checkout
def test_conformance_imports_no_reports() -> None:
    for path in (ROOT / "conformance").rglob("*.py"):
        found = [name for name, _ in imports(path) if name.startswith("lossparity.reports")]
        assert not found, f"{path} imports {found}"


@checkout
def test_frameworks_are_imported_in_their_adapters_alone() -> None:
    faces = [*(ROOT / "src").glob("lossparity/*.py"), *(ROOT / "src").glob("lossparity/cli/*.py")]
    files = [*faces, *(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))]
    for path in files:
        found = {name.split(".")[0] for name, _ in imports(path)} & FRAMEWORKS
        assert not found or ROOT / "adapters" in path.parents, f"{path} imports {found}"
    for name in ("__init__", "base"):
        assert not {module.split(".")[0] for module, _ in imports(ROOT / "adapters" / f"{name}.py")} & FRAMEWORKS


def modules_after(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["lossparity", "lossparity.plugin", "lossparity.cli"])
def test_it_is_light_to_import(name: str) -> None:
    """The plugin is loaded in every pytest run of its environment."""
    seen = modules_after(f"import {name}")
    assert not seen & {"numpy", "jinja2", *FRAMEWORKS}
    suite = {each for each in seen if each.startswith("lossparity.")}
    assert all(f"{each}.".startswith(f"{name}.") for each in suite)


def test_the_backends_are_registered_without_a_framework() -> None:
    seen = modules_after("from lossparity import adapters; [each.missing() for each in adapters.BACKENDS.values()]")
    assert not seen & FRAMEWORKS


def test_records_are_reported_without_a_framework_and_without_a_reference() -> None:
    names = [module.name for module in pkgutil.iter_modules(reports.__path__)]
    assert "html" in names
    seen = modules_after("".join(f"import lossparity.reports.{name}\n" for name in names))
    assert not seen & FRAMEWORKS
    assert not any(each.startswith(("lossparity.adapters", "lossparity.reference")) for each in seen)


# --- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not in a checkout")
    builders = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("wheel")
    (path,) = builders.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(path)


def test_the_wheel_holds_everything_under_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"lossparity", f"lossparity-{lossparity.__version__}.dist-info"}
    assert len(names) == len(set(names))
    held = set(names)
    rooms = {**{room: ROOT / room for room in ROOMS}, "cli": ROOT / "src" / "lossparity" / "cli"}
    for room, folder in rooms.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"lossparity/{room}/{path.relative_to(folder)}" in held
    assert {"lossparity/__init__.py", "lossparity/plugin.py", "lossparity/py.typed"} <= held
    (entries,) = (name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(wheel).read(entries).decode()
    assert "lossparity = lossparity.cli:main" in text
    assert "lossparity = lossparity.plugin" in text


@pytest.mark.skipif(adapters.BACKENDS["sklearn"].missing() is not None, reason="scikit-learn is not installed")
def test_the_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    words = ["run", "--backend", "sklearn", "--loss", "mse_loss", "-k", "plain", "-o", "out"]
    program = f"import lossparity, lossparity.cli as c; print(lossparity.__file__); raise SystemExit(c.main({words!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    run = lossparity.load(tmp_path / "out" / "parity.json")
    assert {check.verdict for check in run.checks} >= {"match"}
    assert (tmp_path / "out" / "parity.html").read_text().startswith("<!")


# --- the README


def commands(name: str) -> list[str]:
    """The lines of the console blocks of a document, without comments."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def mentioned(name: str) -> list[str]:
    return re.findall(r"`(lossparity [a-z][^`]*)`", (ROOT / name).read_text().replace("\n", " "))


@checkout
@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_commands_of_a_document_exist(name: str) -> None:
    parts = [part.strip() for line in commands(name) for part in line.split("&&")]
    lines = [*(part for part in parts if part.startswith("lossparity ")), *mentioned(name)]
    for line in lines:
        words = shlex.split(line)[1:]
        try:
            options = cli._parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{name} says `{line}`, which the command line does not take")
        for backend in getattr(options, "backend", None) or ():
            assert backend in adapters.BACKENDS, line
        for loss in getattr(options, "loss", None) or ():
            assert loss in CASES, line
    assert lines or name != "README.md"


def sessions_of_nox() -> list[str]:
    """The sessions that noxfile.py defines, by what nox itself finds in it."""
    pytest.importorskip("nox")
    program = f"import runpy, nox.registry; runpy.run_path({str(ROOT / 'noxfile.py')!r}); print(*nox.registry.get())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@checkout
def test_the_extras_are_the_backends() -> None:
    """pyproject.toml is read before anything of the suite can run: what it says twice is the same."""
    tomllib = pytest.importorskip("tomllib")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for backend in adapters.OURS:
        assert extras.get(backend.name) == list(backend.requires), f"the extra {backend.name} in pyproject.toml"


@checkout
def test_the_sessions_of_a_document_exist() -> None:
    sessions = set(sessions_of_nox())
    assert {backend.name for backend in adapters.OURS} <= sessions
    for name in ("README.md", "CONTRIBUTING.md"):
        for session in re.findall(r"\bnox -s ([\w-]+)", (ROOT / name).read_text()):
            assert session in sessions, f"{name}: nox -s {session}"


@checkout
@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_public_names_of_a_document_exist(name: str) -> None:
    found = re.findall(r"`(lossparity(?:\.\w+)+)`", (ROOT / name).read_text())
    assert found
    for each in set(found) - {adapters.GROUP}:
        assert pkgutil.resolve_name(each) is not None, f"{name}: {each}"


@checkout
def test_the_readmes_python_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    runnable = [block for block in blocks if "from lossparity import reference" in block]
    assert runnable
    for block in runnable:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102  our own README
