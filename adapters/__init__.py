"""The backends: one module each, registered here. Nothing here imports a framework until `load` is called."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Backend:
    """A registered backend.

    module: the adapter, imported only in the process that runs the backend.
    namespaces: how the names of its implementations begin.
    imports: the top-level packages without which the backend is not run.
    distributions: whose versions go into the record.
    install: what to hand to `pip install` to get it.
    """

    name: str
    module: str
    namespaces: tuple[str, ...]
    imports: tuple[str, ...]
    distributions: tuple[str, ...]
    install: str

    def missing(self) -> str | None:
        """Why the backend cannot run here, with the pip line that mends it; None if it can."""
        absent = [name for name in self.imports if importlib.util.find_spec(name) is None]
        if not absent:
            return None
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

    def version(self) -> str:
        """The version of its first distribution that is installed: what known issues are declared for."""
        return next(iter(self.versions().values()), "0")


# In this order when several are imported into one process: torchvision must come before tensorflow.
BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend("torch", "lossparity.adapters.torch", ("torch.",), ("torch",), ("torch",), "torch"),
        Backend(
            "torchvision",
            "lossparity.adapters.torchvision",
            ("torchvision.",),
            ("torch", "torchvision"),
            ("torchvision", "torch"),
            "torch torchvision",
        ),
        Backend(
            "tensorflow",
            "lossparity.adapters.tensorflow",
            ("tf.",),
            ("tensorflow",),
            ("tensorflow", "tensorflow-cpu"),
            "tensorflow",
        ),
        Backend(
            "keras",
            "lossparity.adapters.keras",
            ("keras.",),
            ("tensorflow", "keras"),
            ("keras", "tensorflow", "tensorflow-cpu"),
            "tensorflow keras",
        ),
        Backend(
            "sklearn",
            "lossparity.adapters.sklearn",
            ("sklearn.",),
            ("sklearn",),
            ("scikit-learn", "scipy"),
            "scikit-learn",
        ),
    )
}


def load(name: str) -> ModuleType:
    """Import a backend's adapter, and with it the framework."""
    return importlib.import_module(BACKENDS[name].module)
