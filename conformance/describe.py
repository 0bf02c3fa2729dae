"""Losses and implementations in words, for the record: the report is made from the record alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from lossparity import reference
from lossparity.adapters.base import Dialect
from lossparity.conformance.census import signature
from lossparity.reference.core import Loss

DEFINITIONS: dict[str, Loss] = {**reference.LOSSES, **reference.ACTIVATIONS}


def describe_losses() -> dict[str, Any]:
    """Each loss: its summary, its source, its formula and derivative as they stand beside the code, its signature."""
    return {name: _describe_loss(loss) for name, loss in DEFINITIONS.items()}


def _describe_loss(loss: Loss) -> dict[str, Any]:
    doc = inspect.cleandoc(loss.__doc__ or "")
    _, _, source = doc.partition("Source: ")
    parameters = ", ".join(
        name if parameter.default is parameter.empty else f"{name}={parameter.default!r}"
        for name, parameter in loss.__signature__.parameters.items()
    )
    return {
        "summary": doc.split("\n\n")[0].replace("\n", " "),
        "source": " ".join(source.split("\n\n")[0].split()),
        "formula": _formula(loss),
        "signature": f"{loss.name}({parameters})",
        "doc": _notes(doc),
    }


def _notes(doc: str) -> str:
    """What the docstring says between its summary and its source, a line for each heading ("Shapes: ...")."""
    body = doc.partition("\n\n")[2].partition("Source: ")[0]
    return re.sub(r"\n(?![A-Z][\w ]*:|\n)", " ", body).strip()


def _formula(loss: Loss) -> str:
    """The comment that stands right behind the docstring: formula and derivative."""
    lines = [line.strip() for line in inspect.getsource(loss.formula).splitlines()]
    start = next((i for i, line in enumerate(lines) if line.startswith("# ")), len(lines))
    block = []
    for line in lines[start:]:
        if not line.startswith("#"):
            break
        block.append(line.lstrip("#").removeprefix(" "))
    return "\n".join(block)


def describe_implementations(backend: str, module: ModuleType) -> dict[str, Any]:
    """Each implementation of a backend, keyed "loss/name"."""
    return {
        f"{each.loss}/{each.name}": {
            "backend": backend,
            "loss": each.loss,
            "parameters": list(each.parameters),
            "reductions": list(each.reductions),
            "dtypes": list(each.dtypes),
            "lacks": dict(each.lacks),
            "no_gradient": dict(each.no_gradient),
            "dialects": [
                {"name": d.name, "reason": d.reason, "source": d.source, "says": _says(d)} for d in each.dialects
            ],
            "known_issues": [
                {"name": k.name, "reason": k.reason, "link": k.link, "versions": k.versions} for k in each.known_issues
            ],
            "signature": signature(module, each.entry_point),
            "warnings": [],
        }
        for each in module.IMPLEMENTATIONS
    }


def _says(dialect: Dialect) -> str:
    """A dialect as a change of the reference's call."""
    if dialect.raises:
        return f"raises {dialect.raises}"
    if dialect.accepts:
        return "computes what the definition refuses"
    words = (
        [f"{name}={value!r}" for name, value in dialect.parameters.items()]
        if isinstance(dialect.parameters, Mapping)
        else [f"{dialect.name} of the call"]
        if dialect.parameters
        else []
    )
    if dialect.computed_as:
        words.append(f"computed as {inspect.cleandoc(dialect.computed_as.__doc__ or '').partition(chr(10))[0]}")
    if dialect.reduced_in:
        words.append(f"reduced in {dialect.reduced_in}")
    if dialect.dtype:
        words.append(f"returns {dialect.dtype}")
    return ", ".join(words)
