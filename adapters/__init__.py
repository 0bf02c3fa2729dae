"""The backends: one module and one row each, registered here. Nothing here imports a framework until `load` is called.

What a backend is stands once, in its row: noxfile.py, the extras in pyproject.toml, the suite's own tests and the census
follow from it. A package from outside registers under the entry-point group `lossparity.adapters`: the entry point
gives its `Backend`, and its module must import no framework (examples/backend is one, whole). It is then everywhere a
backend is.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType

GROUP = "lossparity.adapters"


@dataclass(frozen=True)
class Backend:
    """A registered backend.

    module: the adapter, imported only in the process that runs the backend.
    namespaces: how the names of its implementations begin.
    imports: the top-level packages without which the backend is not run.
    distributions: whose versions go into the record; the first is the one that declarations name the versions of.
    requires: what pip installs; the extra of its name in pyproject.toml.
    engines: the engines that it has declarations for, each with the environment variables that choose it; the first is
        the default, which no check's ID names. One engine, without variables, is all that most have.
    home: the backends that nox installs into one environment have one home.
    """

    name: str
    module: str
    namespaces: tuple[str, ...]
    imports: tuple[str, ...]
    distributions: tuple[str, ...]
    requires: tuple[str, ...]
    engines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    home: str = ""

    @property
    def install(self) -> str:
        """What to hand to `pip install` to get it."""
        return " ".join(re.split(r"[<>=!~;\[ ]", each)[0] for each in self.requires)

    def engine(self) -> str | None:
        """The engine that the environment variables choose; None where that is one without declarations."""
        default = next(iter(self.engines.values()), {})
        for name, variables in self.engines.items():
            if all(os.environ.get(key, default.get(key)) == value for key, value in variables.items()):
                return name
        return None

    def missing(self) -> str | None:
        """Why the backend cannot run here, with what mends it; None if it can."""
        absent = [name for name in self.imports if importlib.util.find_spec(name) is None]
        if absent:
            verb = "is" if len(absent) == 1 else "are"
            return f"{' and '.join(absent)} {verb} not installed: python -m pip install {self.install}"
        if self.engine() is None and self.engines:
            keys = dict.fromkeys(key for variables in self.engines.values() for key in variables)
            given = ", ".join(f"{key}={os.environ[key]}" for key in keys if key in os.environ)
            return f"{given}: {self.name} has declarations for {' and '.join(self.engines)} alone; unset it"
        return None

    def versions(self) -> dict[str, str]:
        """The installed version of each distribution."""
        found = {}
        for name in self.distributions:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found

    def version(self) -> str:
        """The version of its first distribution that is installed: what known issues are declared for."""
        return next(iter(self.versions().values()), "0")


_TENSORFLOW = ("tensorflow", "tensorflow-cpu")
_KERAS = {"tensorflow": {"KERAS_BACKEND": "tensorflow"}}

# In this order when several are imported into one process: torchvision must come before tensorflow.
OURS = (
    Backend("torch", "lossparity.adapters.torch", ("torch.",), ("torch",), ("torch",), ("torch>=2.0",),
            {"torch": {}}, "torch"),
    Backend("torchvision", "lossparity.adapters.torchvision", ("torchvision.",), ("torch", "torchvision"),
            ("torchvision", "torch"), ("torch>=2.0", "torchvision>=0.15"), {"torch": {}}, "torch"),
    Backend("tensorflow", "lossparity.adapters.tensorflow", ("tf.",), ("tensorflow",), _TENSORFLOW,
            ("tensorflow>=2.13",), {"tensorflow": {}}, "tensorflow"),
    Backend("keras", "lossparity.adapters.keras", ("keras.",), ("tensorflow", "keras"), ("keras", *_TENSORFLOW),
            ("tensorflow>=2.13", "keras>=2.13"), _KERAS, "tensorflow"),
    Backend("sklearn", "lossparity.adapters.sklearn", ("sklearn.",), ("sklearn",), ("scikit-learn", "scipy"),
            ("scikit-learn>=1.2",), {"numpy": {}}, "sklearn"),
)  # fmt: skip


def _outside() -> Iterator[Backend]:
    """The backends of other packages. One that does not load, or takes a name that is taken, is left out and said so."""
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
        yield backend


BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (*OURS, *_outside())}


def load(name: str) -> ModuleType:
    """Import a backend's adapter, and with it the framework, on the engine that the environment chooses.

    On another engine than the default, each implementation's name ends in "@engine". ImportError where there is none.
    """
    backend = BACKENDS[name]
    chosen = backend.engine()
    if backend.engines and chosen is None:
        raise ImportError(str(backend.missing()))
    for key, value in backend.engines.get(chosen or "", {}).items():
        os.environ.setdefault(key, value)
    module = importlib.import_module(backend.module)
    found = module.ENGINE.__name__.rpartition(".")[2]
    if backend.engines and found != chosen:
        raise ImportError(f"{name} runs on {found} here, and has declarations for {' and '.join(backend.engines)} alone")
    if backend.engines and found != next(iter(backend.engines)):
        module.IMPLEMENTATIONS[:] = [_on(found, each) for each in module.IMPLEMENTATIONS]
    return module


def _on(engine: str, implementation: object) -> object:
    names = {key: getattr(implementation, key) for key in ("name", "twin")}
    ending = f"@{engine}"
    named = {key: name if not name or name.endswith(ending) else name + ending for key, name in names.items()}
    return dataclasses.replace(implementation, **named)  # type: ignore[type-var]
