"""The backends: one module and one row each, registered here. Nothing here imports a framework until `load` is called.

What a backend is stands once, in its row: noxfile.py, the extras in pyproject.toml, the suite's own tests and the
census follow from it. A package from outside registers under the entry-point group `lossparity.adapters`: the entry
point gives its `Backend`, and its module must import no framework (examples/backend is one, whole). It is then
everywhere a backend is.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

GROUP = "lossparity.adapters"


@dataclass(frozen=True)
class Backend:
    """A registered backend.

    module: the adapter, imported only in the process that runs the backend.
    namespaces: how the names of its implementations begin.
    imports: the top-level packages without which the backend is not run.
    distributions: whose versions go into the record; the first is the one that declarations name the versions of.
    requires: what pip installs; the extra of its name in pyproject.toml.
    engine: the engine that its declarations are for (adapters/engines).
    variables: the environment variables that choose it where the library stands on several.
    marked: whether its implementations' names end in "@engine": the library's names alone mean another engine.
    home: the backends that nox installs into one environment have one home, and tests give each home a process.
    """

    name: str
    module: str
    namespaces: tuple[str, ...]
    imports: tuple[str, ...]
    distributions: tuple[str, ...]
    requires: tuple[str, ...]
    engine: str
    variables: Mapping[str, str] = field(default_factory=dict)
    marked: bool = False
    home: str = ""

    @property
    def install(self) -> str:
        """What to hand to `pip install` to get it."""
        return " ".join(re.split(r"[<>=!~;\[ ]", each)[0] for each in self.requires)

    def has(self, implementation: str) -> bool:
        """Whether an implementation of this name is one of its, by how the name begins and ends."""
        engine = implementation.partition("@")[2]
        return implementation.startswith(self.namespaces) and engine == (self.engine if self.marked else "")

    def refused(self) -> str | None:
        """Why the environment variables keep the backend from its engine; None if they do not."""
        for key, value in self.variables.items():
            if os.environ.get(key, value) != value:
                return f"{key}={os.environ[key]} is set, and {self.name} is declared for {key}={value}: unset it"
        return None

    def missing(self) -> str | None:
        """Why the backend cannot run here, with what mends it; None if it can."""
        absent = [name for name in self.imports if importlib.util.find_spec(name) is None]
        if not absent:
            return self.refused()
        verb = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {verb} not installed: python -m pip install {self.install}"

    def versions(self) -> dict[str, str]:
        """The installed version of each distribution."""
        found = {}
        for name in self.distributions:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found


_TENSORFLOW = ("tensorflow", "tensorflow-cpu")

# In this order when several are imported into one process: torchvision must come before tensorflow.
OURS = (
    Backend(
        "torch",
        module="lossparity.adapters.torch",
        namespaces=("torch.",),
        imports=("torch",),
        distributions=("torch",),
        requires=("torch>=2.0",),
        engine="torch",
        home="torch",
    ),
    Backend(
        "torchvision",
        module="lossparity.adapters.torchvision",
        namespaces=("torchvision.",),
        imports=("torch", "torchvision"),
        distributions=("torchvision", "torch"),
        requires=("torch>=2.0", "torchvision>=0.15"),
        engine="torch",
        home="torch",
    ),
    Backend(
        "tensorflow",
        module="lossparity.adapters.tensorflow",
        namespaces=("tf.",),
        imports=("tensorflow",),
        distributions=_TENSORFLOW,
        requires=("tensorflow>=2.13",),
        engine="tensorflow",
        home="tensorflow",
    ),
    Backend(
        "keras",
        module="lossparity.adapters.keras",
        namespaces=("keras.",),
        imports=("tensorflow", "keras"),
        distributions=("keras", *_TENSORFLOW),
        requires=("tensorflow>=2.13", "keras>=2.13"),
        engine="tensorflow",
        variables={"KERAS_BACKEND": "tensorflow"},
        home="tensorflow",
    ),
    Backend(
        "sklearn",
        module="lossparity.adapters.sklearn",
        namespaces=("sklearn.",),
        imports=("sklearn",),
        distributions=("scikit-learn", "scipy"),
        requires=("scikit-learn>=1.2",),
        engine="numpy",
        home="sklearn",
    ),
)


def outside() -> Iterator[tuple[Backend, importlib.metadata.EntryPoint]]:
    """The backends of other packages; what does not load, or takes a name that is taken, is left out with a warning."""
    taken = {backend.name for backend in OURS}
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            backend = entry.load()
            if not isinstance(backend, Backend):
                raise TypeError(f"it is {backend!r}, not a lossparity.adapters.Backend")
            if backend.name in taken:
                raise ValueError(f"there is a backend {backend.name!r} already")
        except Exception as error:  # another package's mistake must not take the suite down
            said = f"{type(error).__name__}: {error}"
            warnings.warn(f"lossparity: the entry point {entry.name} = {entry.value} is left out: {said}", stacklevel=2)
            continue
        taken.add(backend.name)
        yield backend, entry


def __getattr__(name: str) -> Any:
    """BACKENDS, found when it is first asked for: an outside package that is imported first imports this module."""
    if name != "BACKENDS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, {each.name: each for each in (*OURS, *(backend for backend, _ in outside()))})


if TYPE_CHECKING:
    BACKENDS: dict[str, Backend]


def load(name: str) -> ModuleType:
    """Import a backend's adapter, and with it the framework, on the engine that it is registered for.

    Its IMPLEMENTATIONS are then what it declares for the versions that are installed; DECLARED is all of it.
    ImportError where the adapter runs on another engine here: its declarations would be of nothing.
    """
    backend: Backend = sys.modules[__name__].BACKENDS[name]
    refused = backend.refused()
    if refused:
        raise ImportError(refused)
    os.environ.update(backend.variables)
    module = importlib.import_module(backend.module)
    found = engine_of(module)
    if found != backend.engine:
        raise ImportError(
            f"{name} is registered for the engine {backend.engine}; {backend.module} runs on {found} here"
        )
    if not hasattr(module, "DECLARED"):
        declared = [_on(found, each) if backend.marked else each for each in module.IMPLEMENTATIONS]
        module.DECLARED = tuple(declared)  # type: ignore[attr-defined]
        module.IMPLEMENTATIONS[:] = [each.at(backend.versions()) for each in declared]
    return module


def engine_of(module: ModuleType) -> str:
    """The name of the engine that an adapter runs on."""
    return str(module.ENGINE.__name__.rpartition(".")[2])


def _on(engine: str, implementation: Any) -> Any:
    """An implementation under the name that it has on an engine which is not the usual one of its library."""
    names = {key: getattr(implementation, key) for key in ("name", "twin")}
    named = {key: f"{name.partition('@')[0]}@{engine}" for key, name in names.items() if name}
    return dataclasses.replace(implementation, **named)
