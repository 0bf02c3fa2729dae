"""Environments with pinned frameworks: built with pip or uv from wheels, kept in the user's cache, cleaned.

An environment is made under a temporary name and gets its own when it is whole, so a half-made one is never used, and
two builds at a time do not meet. What an interrupt or a failure leaves is removed at once, what a killed process left
at the next build, and an environment that nobody used for thirty days with it.

In it are the frameworks, NumPy and packaging. lossparity itself comes as a copy of the running package beside it
(`library`), for the time of a run: nothing else of the environment that runs this is to be seen in there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import lossparity
from lossparity.adapters import BACKENDS, outside
from lossparity.conformance.execution import scratch as scratches
from lossparity.conformance.execution.installers import BuildError, Installer, disk, installed, interpreter, is_full
from lossparity.conformance.execution.pins import Pins, backends_of, is_release, label, requirements
from lossparity.conformance.execution.scratch import scratch

UNUSED_DAYS = 30
_TEMPORARY = ".making-"


@dataclass(frozen=True)
class Environment:
    """A built environment. backends: those that can run in it."""

    folder: Path
    backends: tuple[str, ...]

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(interpreter(self.folder))


@contextlib.contextmanager
def environment(
    pins: Pins,
    *,
    keep: bool = True,
    installer: Installer | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Environment]:
    """An environment with these pins, from the cache or made now; without `keep` it is removed after its use.

    UnavailableError or BuildError, with what to do, where it cannot be made; nothing of it is then left.
    """
    home = cache()
    words = requirements(pins)
    folder = home / _key(pins, words)
    with contextlib.suppress(OSError):  # there is none yet, or it is not ours
        clean(home)
    if keep:
        found = _inspect(folder, pins)
        if found:
            yield _used(found)
            return
    installer = installer or installed()
    with _workshop(home, keep) as making:
        say(f"{label(pins)}: making an environment with {installer.name}")
        try:
            installer.create(making)
            installer.install(making, words)
        except OSError as error:
            raise BuildError(disk(error, home)) from None
        made = _inspect(making, pins)
        if made is None:
            raise BuildError(f"{label(pins)} was installed, but its environment does not hold it; try again")
        if not keep:
            yield made
            return
        if _inspect(folder, pins) is None:  # one that no longer works, or none
            _remove(folder)
        with contextlib.suppress(OSError):  # somebody else was first: theirs is as good
            os.rename(making, folder)
    found = _inspect(folder, pins)
    if found is None:
        raise BuildError(f"{folder} was removed while it was made; try again")
    yield _used(found)


@contextlib.contextmanager
def library() -> Iterator[str]:
    """A folder with a copy of the running lossparity, and of the packages whose backends are registered with it.

    For the interpreters of other environments: there is nothing else in it.
    """
    with scratch(tempfile.gettempdir(), "lossparity-library-") as folder:
        _copy(Path(lossparity.__file__).parent, folder)
        for _, entry in outside():
            _copy_outside(entry, folder)
        yield str(folder)


def _copy(source: Path, folder: Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / source.name, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy2(source, folder)


def _copy_outside(entry: metadata.EntryPoint, folder: Path) -> None:
    """The package that an entry point is of, and of what pip knows of it what makes it one; however it is installed."""
    specification = importlib.util.find_spec(entry.module.partition(".")[0])
    if specification is None or specification.origin is None or entry.dist is None:
        return  # a namespace, of which nobody knows the parts
    origin = Path(specification.origin)
    _copy(origin.parent if specification.submodule_search_locations else origin, folder)
    known = folder / f"{entry.dist.name.replace('-', '_')}-{entry.dist.version}.dist-info"
    known.mkdir(exist_ok=True)
    for name in ("METADATA", "entry_points.txt"):
        (known / name).write_text(entry.dist.read_text(name) or "", encoding="utf-8")


def cache() -> Path:
    """Where environments are kept: in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else "")
    return (Path(home) if home else Path.home() / ".cache") / "lossparity" / "environments"


def clean(home: Path) -> None:
    """Remove what nobody used for long, and what processes that were killed have left."""
    scratches.clean(home, _TEMPORARY)
    for folder in home.iterdir():
        used = folder / "used"
        with contextlib.suppress(OSError):  # another process is cleaning too
            since = (used if used.exists() else folder).stat().st_mtime
            if not folder.name.startswith(_TEMPORARY) and time.time() - since > UNUSED_DAYS * 86400:
                _remove(folder)


def _key(pins: Pins, words: Sequence[str]) -> str:
    """The name of an environment: its pins, its Python, and a digest of all that decides what gets into it."""
    indexes = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("PIP_", "UV_")) and any(word in name for word in ("INDEX", "FIND_LINKS", "CONFIG"))
    }
    decisive = json.dumps([sorted(words), sys.version, sys.base_prefix, platform.machine(), indexes])
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:10]
    names = "-".join(f"{name}-{version}" for name, version in pins.items())[:80]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', names)}-py{sys.version_info[0]}.{sys.version_info[1]}-{digest}"


_LOOK = """
import importlib.metadata as metadata, importlib.util, json, sys
names, imports = json.load(sys.stdin)
found = {}
for name in names:
    try:
        found[name] = metadata.version(name) or "0"
    except (metadata.PackageNotFoundError, KeyError):
        pass
print(json.dumps([found, [each for each in imports if importlib.util.find_spec(each)]]))
"""


def _inspect(folder: Path, pins: Pins) -> Environment | None:
    """The environment in a folder, None where it is not whole or holds something else. Imports no framework."""
    python = interpreter(folder)
    if not python.exists():
        return None
    imports = sorted({"numpy", "packaging", *(each for backend in BACKENDS.values() for each in backend.imports)})
    try:
        looked = subprocess.run(
            [str(python), "-I", "-c", _LOOK],
            input=json.dumps([list(pins), imports]),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        versions, importable = json.loads(looked.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    for name, version in pins.items():
        if name not in versions or not is_release(versions[name], version):
            return None
    if not {"numpy", "packaging"} <= set(importable):
        return None
    able = tuple(name for name in backends_of(pins) if set(BACKENDS[name].imports) <= set(importable))
    return Environment(folder, able)


def _used(found: Environment) -> Environment:
    with contextlib.suppress(OSError):
        (found.folder / "used").touch()
    return found


@contextlib.contextmanager
def _workshop(home: Path, keep: bool) -> Iterator[Path]:
    """An empty folder to make an environment in: in the cache, from which it is renamed, or else wherever one can be.

    Whatever happens, it is not there afterwards.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        place = home
        os.rmdir(tempfile.mkdtemp(prefix=_TEMPORARY, dir=home))  # whether it can be written
    except OSError as error:
        if keep:
            words = disk(error, home) if is_full(error) else f"the cache {home} cannot be written: {error.strerror}"
            raise BuildError(f"{words}; set XDG_CACHE_HOME, or do without it: --no-cache") from None
        place = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        try:
            making = stack.enter_context(scratch(place, _TEMPORARY if place == home else "lossparity-making-"))
        except OSError as error:
            raise BuildError(disk(error, place)) from None
        yield making


def _remove(folder: Path) -> None:
    """Remove an environment; first its name, so that nobody takes the rest for one."""
    nameless = folder.with_name(f"{_TEMPORARY}{folder.name}-{os.getpid()}")
    with contextlib.suppress(OSError):  # it is gone, or in use on a system that locks files
        os.rename(folder, nameless)
        scratches.remove(nameless)
