"""What a branch bumps: the frameworks' versions in requirements and lock files, at a revision of git and now.

This is how `gate --since REF` finds its two sides on a branch of Renovate, Dependabot or a person.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lossparity.cli.exits import UsageError

Found = Iterator[tuple[str, str]]  # distribution as it is written, and what is asked for: "==2.9.1", ">=2.8,<2.9"


@dataclass(frozen=True)
class Bump:
    """before, after: the pins of both sides, as --from and --to take them; empty where no framework moved.

    notes: what was seen and is not in them.
    """

    before: str
    after: str
    notes: tuple[str, ...] = ()


def bumped(since: str, folder: str = ".") -> Bump:
    """What the working tree bumps, compared with where it left the revision `since`.

    UsageError where git does not know of it, and where two files say two things of one package.
    """
    top = _git(folder, "rev-parse", "--show-toplevel").strip()
    try:
        base = _git(top, "merge-base", since, "HEAD").strip()
    except UsageError:  # a clone that is not deep enough to know: then it is the revision itself
        base = _git(top, "rev-parse", "--verify", f"{since}^{{commit}}").strip()
    moves: dict[str, tuple[int, str, str, str]] = {}  # package: (rank of its file, before, after, the file)
    for path in _git(top, "diff", "--name-only", "-z", base, "--").split("\0"):
        reader = _reader(PurePosixPath(path))
        if reader is None:
            continue
        rank, read = reader
        there, here = (_versions(read, text, path) for text in (_at(top, base, path), _now(top, path)))
        for name in there.keys() | here.keys():
            move = (rank, there.get(name, ""), here.get(name, ""), path)
            known = moves.get(name)
            if known and known[0] == rank and known[1:3] != move[1:3]:
                raise UsageError(
                    f"{known[3]} and {path} say two things of {name}: name both sides with --from and --to"
                )
            moves[name] = min(known or move, move)
    return _bump(moves)


def _bump(moves: Mapping[str, tuple[int, str, str, str]]) -> Bump:
    """The pins of every backend of which something moved: also those that stay, so that nothing is left open."""
    from lossparity.adapters import BACKENDS

    pinned = {name: (before, after) for name, (_, before, after, _) in moves.items() if before and after}
    notes = [
        f"{name} is in {path} on one side only" for name, (_, before, after, path) in moves.items()
        if not (before and after)
    ]  # fmt: skip
    changed = {name for name, (before, after) in pinned.items() if before != after}
    concerned: dict[str, None] = {}
    for backend in BACKENDS.values():
        own = [name for name in backend.distributions if name in pinned]
        if own and (changed & {*own, "numpy"}):
            concerned.update(dict.fromkeys([*own, *(["numpy"] if "numpy" in pinned else [])]))
    sides = [" ".join(f"{name}{pinned[name][side]}" for name in concerned) for side in (0, 1)]
    return Bump(sides[0], sides[1], tuple(sorted(notes)))


def _versions(read: Callable[[str], Found], text: str, path: str) -> dict[str, str]:
    """What a file asks for of the packages that bear on a backend. Of several entries of one, the newest counts."""
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    from lossparity.adapters import BACKENDS

    wanted = {"numpy", *(name for backend in BACKENDS.values() for name in backend.distributions)}
    found: dict[str, str] = {}
    try:
        for name, asked in read(text) if text else ():
            name = canonicalize_name(name)
            if name not in wanted or not asked:
                continue
            try:
                newer = name not in found or Version(asked.lstrip("=")) > Version(found[name].lstrip("="))
            except InvalidVersion:  # a range: the first one counts
                newer = False
            if newer:
                found[name] = asked
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} does not read: {error}") from None
    return found


# --- The files


def _reader(path: PurePosixPath) -> tuple[int, Callable[[str], Found]] | None:
    """How a file is read; a lock says more than requirements, and those more than a project's ranges."""
    if path.name in _LOCKS:
        return 0, _LOCKS[path.name]
    if path.suffix in (".txt", ".in") and re.search(r"requirements|constraints", str(path)):
        return 1 if path.suffix == ".txt" else 2, _requirements
    return (3, _pyproject) if path.name == "pyproject.toml" else None


def _requirements(text: str) -> Found:
    """requirements.txt, with hashes, comments and markers; -r and -c name files of their own."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = re.split(r"(?:^|\s)#|\s--", line)[0].strip()
        if words and not words.startswith("-"):
            yield from _requirement(words)


def _requirement(words: str) -> Found:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(words)
    except InvalidRequirement:  # a path, a link
        return
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        yield requirement.name, str(requirement.specifier)


def _pyproject(text: str) -> Found:
    """The dependencies of a project, its extras and groups, and Poetry's."""
    document = _toml(text)
    project, groups = document.get("project", {}), document.get("dependency-groups", {})
    listed = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values(), *groups.values()]
    for words in (each for part in listed for each in part if isinstance(each, str)):
        yield from _requirement(words)
    poetry = document.get("tool", {}).get("poetry", {})
    for table in (poetry, *poetry.get("group", {}).values()):
        for name, asked in table.get("dependencies", {}).items():
            version = asked.get("version", "") if isinstance(asked, Mapping) else asked
            if isinstance(version, str):
                yield name, _poetry(version)


def _poetry(version: str) -> str:
    """Poetry's ^1.2, ~1.2 and bare 1.2 as PEP 440 says them."""
    caret = re.fullmatch(r"([\^~]?)\s*(\d+(?:\.\d+)*)", version.strip())
    if caret is None:
        return "" if version.strip() == "*" else version.replace(" ", "")
    sign, low = caret.groups()
    if not sign:
        return f"=={low}"
    parts = [int(each) for each in low.split(".")]
    first = next((i for i, each in enumerate(parts) if each), len(parts) - 1)  # up to the next of that part, with ^
    keep = min(2, len(parts)) if sign == "~" else first + 1
    high = [*parts[: keep - 1], parts[keep - 1] + 1]
    return f">={low},<{'.'.join(map(str, high))}"


def _lock(text: str) -> Found:
    """uv.lock, poetry.lock and pdm.lock ([[package]]), pylock.toml ([[packages]])."""
    document = _toml(text)
    for package in [*document.get("package", []), *document.get("packages", [])]:
        markers = package.get("resolution-markers") or package.get("markers") or package.get("marker") or []
        markers = (
            markers.values() if isinstance(markers, Mapping) else [markers] if isinstance(markers, str) else markers
        )
        if "version" in package and _any_here(markers):
            yield package["name"], f"=={package['version']}"


def _any_here(markers: Iterable[str]) -> bool:
    from packaging.markers import InvalidMarker, Marker

    markers = list(markers)
    try:
        return not markers or any(Marker(each).evaluate({"extra": ""}) for each in markers)
    except InvalidMarker:
        return True


def _pipfile(text: str) -> Found:
    """Pipfile.lock."""
    document = json.loads(text)
    for part in ("default", "develop"):
        for name, package in document.get(part, {}).items():
            if "version" in package and _any_here([package["markers"]] if "markers" in package else []):
                yield name, package["version"]


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


_LOCKS: dict[str, Callable[[str], Found]] = {
    **dict.fromkeys(("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml"), _lock),
    "Pipfile.lock": _pipfile,
}


# --- git


def _git(folder: str, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", folder, *words], capture_output=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        raise UsageError("--since asks git, which is not installed: name both sides with --from and --to") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"git {' '.join(words)}: {''.join(said) or 'it failed'}")
    return done.stdout.decode(errors="replace")


def _at(top: str, base: str, path: str) -> str:
    try:
        return _git(top, "show", f"{base}:{path}")
    except UsageError:  # it was not there yet
        return ""


def _now(top: str, path: str) -> str:
    file = Path(top) / path
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
