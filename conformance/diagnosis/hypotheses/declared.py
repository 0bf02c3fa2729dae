"""The dialects that the adapters declare, as hypotheses: what a loss of somebody's own shares with a framework's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lossparity import adapters
from lossparity.adapters.base import Call, Dialect, Implementation
from lossparity.conformance.diagnosis.hypotheses.row import Hypothesis


def implementations(loss: str, engine: str) -> Iterator[tuple[adapters.Backend, Implementation]]:
    """The frameworks' implementations of a loss that stand on an engine and are installed here."""
    for backend in adapters.BACKENDS.values():
        if backend.engine == engine and not backend.missing() and not backend.refused():
            for each in adapters.load(backend.name).IMPLEMENTATIONS:
                if each.loss == loss:
                    yield backend, each


@functools.cache
def dialects(loss: str, engine: str) -> tuple[Hypothesis, ...]:
    """The declared dialects of a loss that are parameters of the reference."""
    found = {
        (dialect.name, dialect.reason): _hypothesis(dialect)
        for _, implementation in implementations(loss, engine)
        for dialect in implementation.dialects
        if dialect.parameters is not None
    }
    return tuple(found.values())


def _hypothesis(dialect: Dialect) -> Hypothesis:
    given = dialect.parameters

    def parameters(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return (given(_call(arguments)) if callable(given) else given) or {}

    return Hypothesis(dialect.name, dialect.reason.rstrip("."), parameters, when=_when(dialect), source=dialect.source)


def _when(dialect: Dialect) -> Callable[[Mapping[str, Any]], bool]:
    def when(arguments: Mapping[str, Any]) -> bool:
        return bool(dialect.when(_call(arguments)))

    return when


def _call(arguments: Mapping[str, Any]) -> Call:
    floats = [each for each in arguments.values() if isinstance(each, np.ndarray) and each.dtype.kind == "f"]
    return Call("", str(floats[0].dtype) if floats else "float64", arguments, frozenset())
