"""pip and uv: how environments are made, what releases there are, and what it means when one of them refuses."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from lossparity.conformance.execution.pins import UnavailableError, public

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


class BuildError(RuntimeError):
    """An environment could not be made this time: the network, the disk, the installer."""


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


# Runs a program as its own child, and ends it and all that it has started when nobody holds the other end of its
# standard input any more: whoever called it may have been killed, and pip would go on for minutes.
_GUARD = """
import os, signal, subprocess, sys, threading
def watch():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
code = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)
sys.stdout.flush()
os._exit(code if code >= 0 else 128 - code)
"""


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program; what it said on both streams is in stdout. It does not outlive an interrupt, nor this process."""
    away = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV")
    surroundings = {name: value for name, value in os.environ.items() if name not in away}
    alive, ours = os.pipe()
    guard = [sys.executable, "-I", "-c", _GUARD] if hasattr(os, "killpg") else []
    try:
        with subprocess.Popen(
            [*guard, *command],
            stdin=alive,
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
                end_all(process)
                raise
    finally:
        os.close(alive)
        os.close(ours)
    return subprocess.CompletedProcess(command, process.returncode, said, "")


def end_all(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
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
    return Version(version) in {Version(each) for each in versions} | {public(each) for each in versions}


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


def interpreter(folder: Path) -> Path:
    """Where a virtual environment has its Python."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def disk(error: OSError, home: Path) -> str:
    """What the system refused, in words."""
    if is_full(error):
        return _full(home)
    return f"{error.filename or home}: {error.strerror or error}"


def is_full(error: OSError) -> bool:
    """Whether it is a disk without space, or a user without any of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _full(home: Path) -> str:
    return f"the disk of {home} is full: free some of it, or remove that folder, which is only a cache"
