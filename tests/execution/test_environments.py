"""Environments: what goes into them, that they are whole or not there, and what is said when they cannot be made.

The installer is a fake that leaves marks where packages would be; what pip says is tried on the real one, without a
package index.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lossparity.conformance.execution import environments, installers
from lossparity.conformance.execution import pins as pins_of
from lossparity.conformance.execution.environments import environment
from lossparity.conformance.execution.installers import BuildError, Installer
from lossparity.conformance.execution.pins import UnavailableError, parse
from lossparity.conformance.execution.scratch import scratch

PINS = {"scikit-learn": "1.4.2"}
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither process groups nor such locks")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lossparity" / "environments"


def packages(folder: Path) -> Path:
    if os.name == "nt":
        return folder / "Lib" / "site-packages"
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def mark(folder: Path, words: Sequence[str]) -> None:
    """What an installer leaves: a module and its metadata for each requirement."""
    for word in words:
        name, _, version = re.sub("[<>].*", "", word).partition("==")
        module = {"scikit-learn": "sklearn"}.get(name, name)
        (packages(folder) / module).mkdir(parents=True)
        (packages(folder) / module / "__init__.py").touch()
        about = packages(folder) / f"{name.replace('-', '_')}-{version or '1'}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version or '1'}\n")


def fake(calls: list[Sequence[str]], trouble: BaseException | None = None) -> Installer:
    def install(folder: Path, words: Sequence[str]) -> None:
        calls.append(words)
        mark(folder, words[:1] if trouble else words)
        if trouble:
            raise trouble

    return Installer("fake", installers._create, install, lambda *_: [])


@pytest.mark.parametrize(
    ("words", "pins"),
    [
        ("scikit-learn==1.4.2", {"scikit-learn": "1.4.2"}),
        ("Scikit_Learn==1.4.2", {"scikit-learn": "1.4.2"}),
        ("torch==2.9.1 torchvision==0.24.1", {"torch": "2.9.1", "torchvision": "0.24.1"}),
        ("torch==2.9.1, numpy==1.26.4", {"torch": "2.9.1", "numpy": "1.26.4"}),
        (" torch==2.9.1+cpu ", {"torch": "2.9.1+cpu"}),
    ],
)
def test_pins(words: str, pins: dict[str, str]) -> None:
    assert parse(words) == pins


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("scikit-learn", "'scikit-learn' does not say one version; write it as scikit-learn==1.5.2"),
        ("", "does not say one version"),
        ("torch>=2.1", "is more than a version"),
        ("torch==2.*", "is more than a version"),
        ("torch==2.1,<3", "is more than a version"),
        ("torch @ file:///etc/passwd", "does not say one version"),
        ("tensorflow[and-cuda]==2.15.0", "is more than a version"),
        ("--index-url=x", "does not say one version"),
        ("torch==2.1 torch==2.2", "torch is given twice: ==2.1 and ==2.2"),
        ("numpy==1.26.4", "no backend stands on numpy; name one of torch"),
    ],
)
def test_pins_that_are_none(words: str, says: str) -> None:
    with pytest.raises(UnavailableError, match=re.escape(says)):
        parse(words)


@pytest.mark.parametrize(
    ("words", "installed", "backends"),
    [
        ("scikit-learn==1.4.2", ["numpy"], ("sklearn",)),
        ("scikit-learn==1.4.1.post1", ["numpy<2"], ("sklearn",)),
        ("scikit-learn==1.4.1 numpy==1.25.0", [], ("sklearn",)),
        ("keras==2.15.0", ["tensorflow", "numpy"], ("keras",)),
        ("keras==3.0.5 tensorflow-cpu==2.16.1", ["numpy"], ("tensorflow", "keras")),
        ("tensorflow==2.15.0", ["numpy"], ("tensorflow", "keras")),
        ("torch==2.0.1", ["numpy<2"], ("torch", "torchvision")),
        ("torchvision==0.27.1", ["torch", "numpy"], ("torchvision",)),
    ],
)
def test_what_is_installed_and_what_runs(words: str, installed: list[str], backends: tuple[str, ...]) -> None:
    pins = parse(words)
    assert pins_of.requirements(pins) == [*words.split(), *installed, "packaging"]
    assert pins_of.backends_of(pins) == backends


@pytest.mark.parametrize(
    ("installed", "version", "same"),
    [("2.9.1+cpu", "2.9.1", True), ("2.9.1+cpu", "2.9.1+cpu", True), ("1.4", "1.4.0", True),
     ("2.9.1", "2.9.1+cpu", False), ("2.9.1rc1", "2.9.1", False)],
)  # fmt: skip
def test_a_build_of_a_release_is_that_release(installed: str, version: str, same: bool) -> None:
    assert pins_of.is_release(installed, version) is same


def test_an_environment_is_made_once_and_found_again(home: Path) -> None:
    calls: list[Sequence[str]] = []
    said: list[str] = []
    with environment(PINS, installer=fake(calls), say=said.append) as made:
        assert Path(made.python).is_file()
        assert made.backends == ("sklearn",)
    with environment(PINS, installer=fake(calls), say=said.append) as again:
        assert again == made
    assert calls == [["scikit-learn==1.4.2", "numpy", "packaging"]]
    assert said == ["scikit-learn 1.4.2: making an environment with fake"]
    assert list(home.iterdir()) == [made.folder]


def test_another_version_another_index_and_another_python_are_another_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def key(pins: dict[str, str]) -> str:
        return environments._key(pins, pins_of.requirements(pins))

    names = {key(PINS), key({"scikit-learn": "1.5.2"})}
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://example.invalid/cpu")
    names.add(key(PINS))
    monkeypatch.setattr(sys, "version", "another")
    assert len({*names, key(PINS)}) == 4


def test_a_damaged_environment_is_made_again() -> None:
    calls: list[Sequence[str]] = []
    with environment(PINS, installer=fake(calls)) as made:
        (next(packages(made.folder).glob("scikit_learn*")) / "METADATA").unlink()
    with environment(PINS, installer=fake(calls)) as again:
        assert again == made
    made_with = installers.interpreter(made.folder)
    made_with.unlink()  # as when the Python it was made from is gone
    with environment(PINS, installer=fake(calls)):
        assert len(calls) == 3


def test_without_the_cache_nothing_is_taken_from_it_and_nothing_stays(home: Path) -> None:
    calls: list[Sequence[str]] = []
    with environment(PINS, installer=fake(calls)) as kept:
        pass
    with environment(PINS, keep=False, installer=fake(calls)) as made:
        assert made.folder != kept.folder
        assert Path(made.python).is_file()
    assert len(calls) == 2
    assert list(home.iterdir()) == [kept.folder]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), BuildError("no"), RuntimeError("a bug")])
def test_what_goes_wrong_leaves_nothing(home: Path, trouble: BaseException, keep: bool) -> None:
    with (
        pytest.raises(type(trouble)),
        environment(PINS, keep=keep, installer=fake([], trouble)),
    ):
        pass
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(home: Path, code: int) -> None:
    full = OSError(code, os.strerror(code), str(home / "x"))
    with (
        pytest.raises(BuildError, match=r"disk of .* is full: free some of it"),
        environment(PINS, installer=fake([], full)),
    ):
        pass
    assert list(home.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BuildError, match=r"cannot be written: .*; set XDG_CACHE_HOME"), environment(PINS):
        pass


def test_two_builds_at_a_time_end_in_one_environment(home: Path) -> None:
    meet = threading.Barrier(2, timeout=60)
    found: list[environments.Environment] = []

    def install(folder: Path, words: Sequence[str]) -> None:
        meet.wait()  # both are under way
        mark(folder, words)

    installer = Installer("fake", installers._create, install, lambda *_: [])

    def build() -> None:
        with environment(PINS, installer=installer) as made:
            found.append(made)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert list(home.iterdir()) == [found[0].folder]


def test_what_nobody_used_for_long_is_removed(home: Path) -> None:
    with environment(PINS, installer=fake([])) as old:
        pass
    with environment({"scikit-learn": "1.5.2"}, installer=fake([])) as recent:
        pass
    abandoned = home / ".making-killed"
    abandoned.mkdir()  # without a lock: of a file system that has none
    under_way = home / ".making-now"
    under_way.mkdir()
    for path, days in ((old.folder / "used", 31), (recent.folder / "used", 29), (abandoned, 2)):
        at = path.stat().st_mtime - days * 86400
        os.utime(path, (at, at))
    environments.clean(home)
    assert set(home.iterdir()) == {recent.folder, under_way}


@posix
@pytest.mark.parametrize("keep", [True, False])
def test_a_kill_in_the_build_leaves_no_installer_and_the_next_start_cleans_up(
    keep: bool, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = {"scikit-learn": "1.5.2"}
    with environment(other, installer=fake([])):
        pass
    alive = tmp_path / "alive"
    alive.touch()
    child = f"import fcntl, time; f = open({str(alive)!r}); fcntl.flock(f, fcntl.LOCK_EX); time.sleep(600)"
    program = f"""
import subprocess, sys, tempfile
from lossparity.conformance.execution import environments, installers
tempfile.tempdir = {str(tmp_path)!r}
def install(folder, words):
    inner = [sys.executable, "-c", {child!r}]
    installers._call([sys.executable, "-c", f"import subprocess; subprocess.run({{inner!r}})"])  # as pip starts a pip
installer = installers.Installer("slow", installers._create, install, lambda *_: [])
with environments.library(), environments.environment({PINS!r}, keep={keep}, installer=installer):
    pass
"""
    with subprocess.Popen([sys.executable, "-c", program]) as build:
        wait_for(lambda: held(alive))
        build.kill()
    wait_for(lambda: not held(alive))
    assert len([*home.glob(".making-*")]) == 1
    assert list(tmp_path.glob("lossparity-library-*")) != []
    with (
        environments.library() as folder,
        environment(other, installer=fake([])) as found,
    ):  # it is there: nothing to make
        assert list(home.iterdir()) == [found.folder]
        assert list(tmp_path.glob("lossparity-library-*")) == [Path(folder).parent]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def held(file: Path) -> bool:
    """Whether a process that runs has locked a file."""
    import fcntl

    with file.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@posix
def test_what_is_in_use_is_not_cleaned(tmp_path: Path) -> None:
    with scratch(tmp_path, "x-") as one:
        os.utime(one.parent, (0, 0))
        program = f"from lossparity.conformance.execution.scratch import clean; clean({str(tmp_path)!r}, 'x-')"
        subprocess.run([sys.executable, "-c", program], check=True)
        assert one.is_dir()
    assert list(tmp_path.glob("x-*")) == []


@pytest.mark.parametrize("keep", [True, False])
def test_without_the_cache_a_home_that_cannot_be_written_will_do(
    keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if keep:
        with pytest.raises(BuildError, match="do without it: --no-cache"), environment(PINS, installer=fake([])):
            pass
        return
    with environment(PINS, keep=False, installer=fake([])) as made:
        assert made.backends == ("sklearn",)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_nothing_of_this_environment_is_seen_in_a_made_one() -> None:
    look = (
        "import importlib.util as u; print([n for n in ('pytest', 'jinja2', 'mpmath', 'lossparity') if u.find_spec(n)])"
    )
    with environment(PINS, installer=fake([])) as made:
        seen = subprocess.run([made.python, "-I", "-c", look], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


def test_the_library_is_lossparity_and_nothing_else() -> None:
    with environments.library() as folder:
        assert [each.name for each in Path(folder).iterdir()] == ["lossparity"]
        inside = Path(folder) / "lossparity"
        assert (inside / "conformance" / "execution" / "worker.py").is_file()
        assert not any(each.is_symlink() or each.name == "__pycache__" for each in inside.rglob("*"))
    assert not Path(folder).exists()


# --- pip or uv


@pytest.mark.parametrize(
    ("uv", "pip", "config", "chosen"),
    [
        ("uv", True, "global.timeout='9'", "uv"),
        ("uv", True, "global.extra-index-url='https://example.invalid'", "pip"),  # uv would not look there
        ("uv", False, "", "uv"),
        (None, True, "", "pip"),
    ],
)
def test_uv_where_it_is_and_pip_where_pip_knows_more(
    uv: str | None, pip: bool, config: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installers.shutil, "which", lambda _: uv)
    monkeypatch.setattr(installers.importlib.util, "find_spec", lambda _: pip or None)
    monkeypatch.setattr(installers, "_call", lambda words: subprocess.CompletedProcess(words, 0, config, ""))
    monkeypatch.setattr(installers.importlib.metadata, "version", lambda _: "23.0")
    assert installers.installed().name == chosen


def test_neither_uv_nor_a_pip_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installers.shutil, "which", lambda _: None)
    monkeypatch.setattr(installers.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(installers.importlib.metadata, "version", lambda _: "21.2.4")
    with pytest.raises(BuildError, match=re.escape("pip 21.2.4 is too old: python -m pip install --upgrade pip")):
        installers.installed()
    monkeypatch.setattr(installers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BuildError, match="there is neither uv nor pip"):
        installers.installed()


@posix
def test_an_interrupted_installer_takes_its_children_along(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []

    def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
        assert process.stdout
        assert process.stdout.readline() == "here\n"  # the child runs
        kept.append(os.dup(process.stdout.fileno()))
        raise KeyboardInterrupt

    child = "import time; print('here', flush=True); time.sleep(20); print('late', flush=True)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        installers._call([sys.executable, "-c", parent])
    with os.fdopen(kept[0]) as rest:
        assert rest.read() == ""  # it ends when nobody is left to write


# --- What installers say, and what it means

ALL = ["0.24.2", "1.1.3", "1.4.2", "1.5.0rc1", "1.5.2", "2.0.0+cpu"]


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        ("ERROR: No matching distribution found for scikit-learn==9.9", UnavailableError, "has no release 9.9 for"),
        ("ERROR: No matching distribution found for scikit-learn==1.3", UnavailableError, "had: 1.1.3, 1.4.2"),
        ("ERROR: No matching distribution found for scikit-learn==0.24.2", UnavailableError, "0.24.2 has no wheel for"),
        ("ERROR: No matching distribution found for nowheel", UnavailableError, "needs nowheel, which has no wheel"),
        ("ERROR: ResolutionImpossible: for help", UnavailableError, "cannot be installed together"),
        ("No solution found when resolving dependencies:", UnavailableError, "cannot be installed together"),
        ("OSError: [Errno 28] No space left on device", BuildError, "is full: free some of it"),
        ("WARNING: Retrying ... connection broken by 'NewConnectionError'\nERROR: No matching distribution found for "
         "scikit-learn==1.4.2", BuildError, "package index does not answer"),
        ("error: error sending request for url", BuildError, "package index does not answer"),
        ("Segmentation fault", BuildError, "numpy ended with exit code 1: Segmentation fault"),
        ("", BuildError, "it said nothing"),
    ],
)  # fmt: skip
def test_what_an_installer_says_becomes_a_sentence(
    said: str, error: type[Exception], says: str, tmp_path: Path
) -> None:
    version = re.search(r"scikit-learn==(\S+)", said)
    words = [f"scikit-learn=={version.group(1) if version else '1.4.2'}", "numpy"]
    ended = subprocess.CompletedProcess([], 1, said, "")
    found = installers._failure(ended, words, tmp_path, lambda _, wheels: ALL[1:] if wheels else ALL)
    assert type(found) is error
    assert says in str(found)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Installer:
    pytest.importorskip("pip", reason="pip is not installed here")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return installers._pip()


def test_pip_without_such_a_package(pip: Installer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with (
        pytest.raises(UnavailableError, match="there is no scikit-learn in the package index"),
        environment(PINS, installer=pip),
    ):
        pass
    assert list(home.iterdir()) == []


def test_pip_without_a_network(pip: Installer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port where nothing answers
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(BuildError, match="the package index does not answer"), environment(PINS, installer=pip):
        pass
    assert list(home.iterdir()) == []
