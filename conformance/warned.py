"""The warnings that an implementation raises while it runs: a framework's word on what its next release breaks."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# Of what is to come, and of how a call is meant. RuntimeWarning is of numbers, on which the verdicts have their say.
HEARD: tuple[type[Warning], ...] = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning)

_FOLDERS = re.compile(r"(?<![\w/:])/(?:[^\s/:'\"]+/)+")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")
_NUMBERS = re.compile(r"#(?:,?\s+#)+|#,(?=[)\]])")


@contextlib.contextmanager
def listening() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings instead of printing them, each once from where it is raised."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        for category in HEARD:
            warnings.simplefilter("default", category)
        yield caught


def words(caught: warnings.WarningMessage) -> str:
    """A warning as "Category: first line", without the folders of this machine."""
    lines = str(caught.message).strip().splitlines()
    return f"{caught.category.__name__}: {_FOLDERS.sub('', lines[0])[:300]}" if lines else caught.category.__name__


def settle(heard: Iterable[str]) -> list[str]:
    """Each warning once. Those that differ in numbers alone (the shapes of each case) are one, with # for them."""
    alike: dict[str, set[str]] = {}
    for text in heard:
        alike.setdefault(_NUMBERS.sub("#", _NUMBER.sub("#", text)), set()).add(text)
    return sorted(next(iter(texts)) if len(texts) == 1 else pattern for pattern, texts in alike.items())


def with_warnings(implementations: Mapping[str, Any], heard: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The implementations of a record, each with the warnings that were heard of it."""
    return {key: {**each, "warnings": settle(heard.get(key, ()))} for key, each in implementations.items()}
