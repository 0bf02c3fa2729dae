"""Environments with pinned frameworks: built with pip or uv from wheels, kept in the user's cache, cleaned.

An environment is made under a temporary name and gets its own when it is whole, so a half-made one is never used, and
two builds at a time do not meet. What an interrupt or a failure leaves is removed at once, what a killed process left
after a day, and an environment that nobody used for thirty days with it.

In it are the frameworks, NumPy and packaging. lossparity itself comes as a copy of the running package beside it
(`library`), for the time of a run: nothing else of the environment that runs this is to be seen in there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

import lossparity
from lossparity.adapters import BACKENDS

Pins = Mapping[str, str]  # distribution -> version

# The first releases that work with NumPy 2. Those before were built for NumPy 1 and do not say so.
NUMPY_2 = {"torch": "2.3", "torchvision": "0.18", "scikit-learn": "1.4.2"}

UNUSED_DAYS = 30
ABANDONED_DAYS = 1
_TEMPORARY = ".making-"
_OLDEST_PIP = "22.3"  # the first with --python
_HERE = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {platform.system()} {platform.machine()}"

_UNREACHABLE = re.compile(
    r"connection broken|NewConnectionError|ConnectTimeout|ReadTimeout|name resolution|Connection refused|"
    r"ProxyError|SSLError|CERTIFICATE_VERIFY|error sending request|dns error|Network is unreachable",
    re.IGNORECASE,
)
_FULL = re.compile(r"No space left on device|Errno 28|Disk quota exceeded|Errno 122", re.IGNORECASE)
_NO_MATCH = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
_CONFLICT = re.compile(r"ResolutionImpossible|conflicting dependencies|No solution found", re.IGNORECASE)


class UnavailableError(ValueError):
    """What was asked for cannot be installed here by anyone: no such version, no wheel, versions that do not fit."""


class BuildError(RuntimeError):
    """An environment could not be made this time: the network, the disk, the installer."""


@dataclass(frozen=True)
class Environment:
    """A built environment. backends: those that can run in it."""

    folder: Path
    backends: tuple[str, ...]

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(interpreter(self.folder))


@dataclass(frozen=True)
class Installer:
    """How environments are made: the seam at which tests put a fake.

    create: makes an empty environment in a folder. install: puts requirements, wheels only, into it.
    versions: every release of a distribution, or those with a wheel for this Python, in any order.
    """

    name: str
    create: Callable[[Path], None]
    install: Callable[[Path, Sequence[str]], None]
    versions: Callable[[str, bool], list[str]]


def parse(words: str) -> dict[str, str]:
    """The pins in "torch==2.9.1 torchvision==0.24.1", separated by spaces or commas."""
    pins: dict[str, str] = {}
    for word in re.split(r"[\s,]+", words.strip()):
        try:
            requirement = Requirement(word)
            (specifier,) = requirement.specifier
            version = str(Version(specifier.version)) and specifier.version
        except (InvalidRequirement, InvalidVersion, ValueError):
            raise UnavailableError(f"{word!r} does not say one version; write it as scikit-learn==1.5.2") from None
        if specifier.operator not in ("==", "===") or requirement.url or requirement.extras or requirement.marker:
            raise UnavailableError(f"{word!r} is more than a version; write it as scikit-learn==1.5.2")
        name = canonicalize_name(requirement.name)
        if name in pins:
            raise UnavailableError(f"{name} is given twice: {pins[name]} and {version}")
        pins[name] = version
    if not backends_of(pins):
        known = dict.fromkeys(name for backend in BACKENDS.values() for name in backend.distributions)
        raise UnavailableError(f"no backend stands on {', '.join(pins)}; name one of {', '.join(known)}")
    return pins


def backends_of(pins: Pins) -> tuple[str, ...]:
    """The backends that an upgrade of these packages concerns."""
    return tuple(name for name, backend in BACKENDS.items() if set(backend.distributions) & pins.keys())


def label(pins: Pins) -> str:
    """The pins in words: "torch 2.9.1, torchvision 0.24.1"."""
    return ", ".join(f"{name} {version}" for name, version in pins.items())


def requirements(pins: Pins) -> list[str]:
    """What to install: the pins, what their backends stand on besides, and what lossparity needs to run there."""
    words = [f"{name}=={version}" for name, version in pins.items()]
    for backend in BACKENDS.values():
        if backend.distributions[0] in pins:
            words += [each for each in backend.install.split() if each not in pins and not _replaced(each, pins)]
    if "numpy" not in pins:
        old = any(name in pins and Version(pins[name]) < Version(first) for name, first in NUMPY_2.items())
        words.append("numpy<2" if old else "numpy")
    return list(dict.fromkeys([*words, "packaging"]))


def _replaced(distribution: str, pins: Pins) -> bool:
    """Whether another build of the same framework is pinned, as tensorflow-cpu is for tensorflow."""
    return any(
        backend.distributions[0] == distribution and pins.keys() & set(backend.distributions)
        for backend in BACKENDS.values()
    )


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
    try:
        home.mkdir(parents=True, exist_ok=True)
        clean(home)
    except OSError as error:
        raise BuildError(f"the cache {home} cannot be written: {error.strerror or error}; set XDG_CACHE_HOME") from None
    if keep:
        found = _inspect(folder, pins)
        if found:
            yield _used(found)
            return
    installer = installer or installed()
    with _temporary(home) as making:
        say(f"{label(pins)}: making an environment with {installer.name}")
        try:
            installer.create(making)
            installer.install(making, words)
        except OSError as error:
            raise BuildError(_disk(error, home)) from None
        made = _inspect(making, pins)
        if made is None:
            raise BuildError(f"{label(pins)} was installed, but its environment does not hold it; try again")
        if not keep:
            yield _used(made)
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
    """A folder with a copy of the running lossparity and nothing else, for the interpreters of other environments."""
    with tempfile.TemporaryDirectory(prefix="lossparity-", ignore_cleanup_errors=True) as folder:
        shutil.copytree(
            Path(lossparity.__file__).parent,
            Path(folder) / "lossparity",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        yield folder


def cache() -> Path:
    """Where environments are kept: in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else "")
    return (Path(home) if home else Path.home() / ".cache") / "lossparity" / "environments"


def clean(home: Path) -> None:
    """Remove what nobody used for long, and what processes that were killed have left."""
    now = time.time()
    for folder in home.iterdir():
        used = folder / "used"
        days = ABANDONED_DAYS if folder.name.startswith(_TEMPORARY) else UNUSED_DAYS
        with contextlib.suppress(OSError):  # another process is cleaning too
            since = (used if used.exists() else folder).stat().st_mtime
            if now - since > days * 86400:
                _remove(folder)


def interpreter(folder: Path) -> Path:
    """Where a virtual environment has its Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


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
        # 2.9.1 may be answered with 2.9.1+cpu, which is a build of it
        if name not in versions or Version(version) not in (Version(versions[name]), _public(versions[name])):
            return None
    if not {"numpy", "packaging"} <= set(importable):
        return None
    able = tuple(name for name in backends_of(pins) if set(BACKENDS[name].imports) <= set(importable))
    return Environment(folder, able)


def _public(version: str) -> Version:
    return Version(Version(version).public)


def _used(found: Environment) -> Environment:
    with contextlib.suppress(OSError):
        (found.folder / "used").touch()
    return found


@contextlib.contextmanager
def _temporary(home: Path) -> Iterator[Path]:
    """A folder to make an environment in. Whatever happens, it is not there afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=home))
    except OSError as error:
        raise BuildError(_disk(error, home)) from None
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove an environment; first its name, so that nobody takes the rest for one."""
    if not folder.exists():
        return
    if not folder.name.startswith(_TEMPORARY):
        nameless = folder.with_name(f"{_TEMPORARY}{folder.name}-{os.getpid()}")
        try:
            os.rename(folder, nameless)
        except OSError:
            return  # it is gone, or in use on a system that locks files
        folder = nameless
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _disk(error: OSError, home: Path) -> str:
    if _FULL.search(str(error)):
        return _full(home)
    return f"{error.filename or home}: {error.strerror or error}"


def _full(home: Path) -> str:
    return f"the disk of {home} is full: free some of it, or remove that folder, which is only a cache"


# --- pip and uv


def installed() -> Installer:
    """uv where it is present, else pip. Where pip is told of other indexes, it is pip: uv would not know of them."""
    uv = shutil.which("uv")
    pip = importlib.util.find_spec("pip") is not None
    if uv and not (pip and _pip_has_indexes()):
        return _uv(uv, pip)
    if not pip:
        raise BuildError("there is neither uv nor pip to make environments with: python -m ensurepip")
    version = importlib.metadata.version("pip")
    if Version(version) < Version(_OLDEST_PIP):
        raise BuildError(f"pip {version} is too old: python -m pip install --upgrade pip")
    return _pip()


def _pip() -> Installer:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]

    def install(folder: Path, words: Sequence[str]) -> None:
        options = ["install", "--quiet", "--progress-bar", "off", "--only-binary", ":all:", "--no-warn-script-location"]
        ended = _call([*pip, "--python", str(interpreter(folder)), *options, *words])
        if ended.returncode:
            raise _failure(ended, words, folder.parent, _pip_versions)

    return Installer("pip", _create, install, _pip_versions)


def _uv(uv: str, pip: bool) -> Installer:
    def versions(distribution: str, wheels: bool) -> list[str]:
        return _pip_versions(distribution, wheels, None if pip else [uv, "tool", "run", "pip"])

    def create(folder: Path) -> None:
        ended = _call([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        if ended.returncode:
            raise BuildError(_full(folder.parent) if _FULL.search(ended.stdout) else f"uv venv: {_last(ended.stdout)}")

    def install(folder: Path, words: Sequence[str]) -> None:
        options = ["pip", "install", "--quiet", "--only-binary", ":all:", "--python", str(interpreter(folder))]
        ended = _call([uv, *options, *words])
        if ended.returncode:
            raise _failure(ended, words, folder.parent, versions)

    return Installer("uv", create, install, versions)


def _create(folder: Path) -> None:
    ended = _call([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    if ended.returncode:
        full = _FULL.search(ended.stdout)
        raise BuildError(_full(folder.parent) if full else f"python -m venv failed: {_last(ended.stdout)}")


def _pip_versions(distribution: str, wheels: bool, pip: Sequence[str] | None = None) -> list[str]:
    command = [*(pip or [sys.executable, "-m", "pip"]), "--disable-pip-version-check", "--no-input"]
    if wheels:
        # `pip index` does not ask for what there are wheels. What `pip install` could choose from, it says if it fails.
        command += ["install", "--dry-run", "--no-deps", "--only-binary", ":all:", f"{distribution}===none"]
    else:
        command += ["index", "versions", "--pre", "--ignore-requires-python", distribution]
    ended = _call(command)
    listed = re.search(r"(?:Available versions: (.*)|\(from versions: (.*?)\))", ended.stdout)
    words = [each.strip() for each in (listed.group(1) or listed.group(2)).split(",")] if listed else []
    if words in ([], ["none"]) and _UNREACHABLE.search(ended.stdout):
        raise BuildError(f"the package index does not answer: {_last(ended.stdout)}")
    return [] if words == ["none"] else words


def _pip_has_indexes() -> bool:
    ended = _call([sys.executable, "-m", "pip", "config", "list"])
    return bool(re.search(r"(index-url|find-links|no-index)=", ended.stdout))


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program; what it said on both streams is in stdout. An interrupt ends it too."""
    away = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
    surroundings = {name: value for name, value in os.environ.items() if name not in away}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=surroundings,
        start_new_session=True,  # a group of its own, which can be ended as a whole
    ) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            _end_all(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, "")


def _end_all(process: subprocess.Popen[str]) -> None:
    """End a program and those it has started: pip starts another pip, which would go on writing."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _failure(
    ended: subprocess.CompletedProcess[str],
    words: Sequence[str],
    home: Path,
    versions: Callable[[str, bool], list[str]],
) -> UnavailableError | BuildError:
    """What an installer's last words mean, and what to do."""
    said = ended.stdout
    if _FULL.search(said):
        return BuildError(_full(home))
    if _UNREACHABLE.search(said):
        return BuildError(f"the package index does not answer: {_last(said)}")
    pinned = {name: version for name, _, version in (word.partition("==") for word in words) if version}
    unmatched = _NO_MATCH.search(said)
    if unmatched or _CONFLICT.search(said):
        for name, version in pinned.items():
            why = _why_not(name, version, versions)
            if why:
                return UnavailableError(why)
        if unmatched and unmatched.group(1) not in pinned:
            return UnavailableError(f"{' '.join(pinned)} needs {unmatched.group(1)}, which has no wheel for {_HERE}")
        together = " ".join(f"{name}=={version}" for name, version in pinned.items())
        return UnavailableError(f"{together} cannot be installed together for {_HERE}: {_last(said)}")
    return BuildError(f"installing {' '.join(words)} ended with exit code {ended.returncode}: {_last(said)}")


def _why_not(name: str, version: str, versions: Callable[[str, bool], list[str]]) -> str | None:
    """Why a release cannot be installed here; None if it can."""
    here = versions(name, True)
    if _has(here, version):
        return None
    anywhere = versions(name, False)
    near = _nearest(version, here)
    offer = f"; the nearest that can be had: {', '.join(near)}" if near else ""
    if not anywhere and not here:
        return f"there is no {name} in the package index, or the index does not answer"
    if _has(anywhere, version):
        return f"{name} {version} has no wheel for {_HERE}{offer}; or run lossparity with a Python that it supports"
    return f"{name} has no release {version} for {_HERE}{offer}"


def _has(versions: Sequence[str], version: str) -> bool:
    return Version(version) in {Version(each) for each in versions} | {_public(each) for each in versions}


def _nearest(version: str, versions: Sequence[str]) -> list[str]:
    """The release before and the one after, as far as there are any."""
    ordered = sorted(Version(each) for each in versions if not Version(each).is_prerelease)
    before = [each for each in ordered if each < Version(version)][-1:]
    return [str(each) for each in (*before, *[each for each in ordered if each > Version(version)][:1])]


def _last(said: str) -> str:
    """The last lines that say something, as one."""
    lines = [
        line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("WARNING", "[notice]"))
    ]
    return " ".join(lines[-3:])[-500:] or "it said nothing"
