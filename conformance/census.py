"""What a framework offers, seen from outside: the losses in its public namespaces, and what an entry point takes.

An upgrade that adds, removes or renames either is seen on the day it is run. Which namespaces are looked into, and
what is left out on purpose, the adapter says (adapters/base.py).
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

# A callable is taken for a loss if its name holds one of these (case ignored), if it is a class derived from the
# framework's own base class of losses, or if its namespace is called `losses`. What is none is excluded by name.
LOSS_WORDS = (
    "loss",
    "entropy",
    "hinge",
    "error",
    "deviance",
    "divergence",
    "kl_div",
    "kldiv",
    "similarity",
    "focal",
    "huber",
)

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def census(module: ModuleType) -> dict[str, Any]:
    """The losses in an adapter's NAMESPACES: all of them, those without an adapter, and those excluded.

    An alias is in the first list, and counts as the entry point that it is another name of.
    """
    exclusions: dict[str, str] = getattr(module, "EXCLUDED", {})
    found = {name: dict(losses(module, name)) for name in getattr(module, "NAMESPACES", ())}
    everything = {name: thing for namespace in found.values() for name, thing in namespace.items()}
    excluded = {name: exclusions[name] for name in everything if name in exclusions}
    adapted = [resolve(module, each.entry_point) for each in module.IMPLEMENTATIONS]
    settled = {id(thing) for thing in (*adapted, *(everything[name] for name in excluded))}
    uncovered: dict[int, str] = {}
    for name, thing in everything.items():
        own_name = name.rpartition(".")[2] == getattr(thing, "__name__", None)
        if id(thing) not in settled and (own_name or id(thing) not in uncovered):
            uncovered[id(thing)] = name
    return {
        "namespaces": {name: list(namespace) for name, namespace in found.items()},
        "uncovered": sorted(uncovered.values()),
        "excluded": excluded,
    }


def losses(module: ModuleType, namespace: str) -> Iterator[tuple[str, Any]]:
    """Every public loss of a namespace, by dotted name."""
    place = resolve(module, namespace)
    bases = getattr(module, "LOSS_CLASSES", ())
    for name in sorted(dir(place)):
        if name.startswith("_"):
            continue
        thing = resolve(module, f"{namespace}.{name}")
        named = namespace.endswith(".losses") or any(word in name.lower() for word in LOSS_WORDS)
        derived = isinstance(thing, type) and issubclass(thing, bases)
        if callable(thing) and thing not in bases and (named or derived):
            yield f"{namespace}.{name}", thing


def resolve(module: ModuleType, name: str) -> Any:
    """What a dotted name stands for, None if it is not there. Its first part is a name in the adapter: tf, keras."""
    first, *rest = name.split(".")
    thing = getattr(module, first, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # to look is not to use
        for part in rest:
            try:
                thing = getattr(thing, part)
            except Exception:  # a part that is loaded when it is asked for can fail in any way
                return None
    return thing


def signature(module: ModuleType, name: str) -> list[dict[str, str | None]] | None:
    """What an entry point takes in public, a class to be made, with kind and default. None: it does not say."""
    thing = resolve(module, name)
    try:
        is_class = isinstance(thing, type)
        parameters = list(inspect.signature(thing.__init__ if is_class else thing).parameters.values())[is_class:]
    except (TypeError, ValueError):  # it is not there, or written in C
        return None
    return [
        {
            "name": each.name,
            "kind": each.kind.description,
            "default": None if each.default is each.empty else _ADDRESS.sub("", repr(each.default)),
        }
        for each in parameters
        if not each.name.startswith("_")
    ]
