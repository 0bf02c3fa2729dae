"""Pins: which releases are asked for, what they concern, and what to install for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lossparity.adapters import BACKENDS

Pins = Mapping[str, str]  # distribution -> version

# The first releases that work with NumPy 2. Those before were built for NumPy 1 and do not say so.
NUMPY_2 = {"torch": "2.3", "torchvision": "0.18", "scikit-learn": "1.4.2"}


class UnavailableError(ValueError):
    """What was asked for cannot be installed here by anyone: no such version, no wheel, versions that do not fit."""


def parse(words: str) -> dict[str, str]:
    """The pins in "torch==2.9.1 torchvision==0.24.1", separated by spaces or commas."""
    pins = {}
    for name, specifiers in read(words).items():
        version = exactly(specifiers)
        if version is None:
            raise UnavailableError(f"'{name}{specifiers}' is more than a version; write it as scikit-learn==1.5.2")
        pins[name] = version
    return pins


def read(words: str) -> dict[str, SpecifierSet]:
    """What is asked for of each distribution: one version, or a range as in "torch>=2.8,<2.9"."""
    asked: dict[str, SpecifierSet] = {}
    together = re.sub(r"\s*(,?)\s*(===|[=~!<>]=|[<>])\s*", r"\1\2", words.strip())
    for word in re.split(r"\s*,\s*(?=[A-Za-z])|\s+", together):
        try:
            requirement = Requirement(word)
        except InvalidRequirement:
            raise UnavailableError(f"{word!r} does not say one version; write it as scikit-learn==1.5.2") from None
        if requirement.url or not requirement.specifier:
            raise UnavailableError(f"{word!r} does not say one version; write it as scikit-learn==1.5.2")
        if requirement.extras or requirement.marker:
            raise UnavailableError(f"{word!r} is more than a version; write it as scikit-learn==1.5.2")
        name = canonicalize_name(requirement.name)
        if name in asked:
            raise UnavailableError(f"{name} is given twice: {asked[name]} and {requirement.specifier}")
        asked[name] = requirement.specifier
    if not backends_of(asked):
        known = dict.fromkeys(name for backend in BACKENDS.values() for name in backend.distributions)
        raise UnavailableError(f"no backend stands on {', '.join(asked)}; name one of {', '.join(known)}")
    return asked


def exactly(specifiers: SpecifierSet) -> str | None:
    """The version of a pin; None for a range."""
    if len(specifiers) != 1:
        return None
    (specifier,) = specifiers
    return specifier.version if specifier.operator in ("==", "===") and "*" not in specifier.version else None


def newest(name: str, specifiers: SpecifierSet, versions: Iterable[str]) -> str:
    """The newest of the versions that fits; a preview only where the range names one."""
    fitting = list(specifiers.filter(versions, prereleases=bool(specifiers.prereleases)))
    if not fitting:
        raise UnavailableError(f"no release of {name} that can be had here is {specifiers}")
    return max(fitting, key=Version)


def backends_of(pins: Mapping[str, object]) -> tuple[str, ...]:
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


def public(version: str) -> Version:
    """A version without its build: 2.9.1 of 2.9.1+cpu."""
    return Version(Version(version).public)


def is_release(installed: str, version: str) -> bool:
    """Whether what is installed is the release that was asked for, or a build of it: 2.9.1+cpu is 2.9.1."""
    return Version(version) in (Version(installed), public(installed))
