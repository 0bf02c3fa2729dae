"""What changed that is no check: signatures, warnings, the census."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lossparity.conformance.record import Run
from lossparity.reports.changes import Finding, without_numbers
from lossparity.reports.findings import clipped, listed, mapping, rows


def _both(before: Run, after: Run) -> Iterator[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each implementation of both records: its name, backend, loss, and what they say of it."""
    for key, about in before.implementations.items():
        now = after.implementations.get(key)
        if isinstance(about, Mapping) and isinstance(now, Mapping):
            loss, _, name = key.partition("/")
            yield name, str(now.get("backend", "")), loss, about, now


def _grouped(
    kind_of: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterable[tuple[str, str]]], before: Run, after: Run
) -> Iterator[tuple[str, str, str, list[str], list[str]]]:
    """(kind, backend, what, losses, implementations) of what each implementation of both records shows."""
    found: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for name, backend, loss, old, new in _both(before, after):
        for kind, what in kind_of(old, new):
            losses, names = found.setdefault((kind, backend, what), ({}, {}))
            losses[loss] = names[name] = None
    for (kind, backend, what), (losses, names) in found.items():
        yield kind, backend, what, list(losses), list(names)


def signatures(before: Run, after: Run) -> Iterator[Finding]:
    """What entry points take that they did not, or no longer take."""
    for kind, backend, what, losses, names in _grouped(signature_changes, before, after):
        says = f"{_some(names)}: {what}"
        yield Finding(kind, backend, losses[0], "signature", tuple(names), says, losses=tuple(losses))


def signature_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, sentence) for each difference in what an entry point takes."""
    before, after = (_parameters(about.get("signature")) for about in (old, new))
    if before is None or after is None:  # one of them does not say what it takes
        return
    gone = [name for name in before if name not in after]
    fresh = [name for name in after if name not in before]
    order_before, order_after = list(before), list(after)
    for name in list(gone):
        place = order_before.index(name)
        successor = order_after[place] if place < len(order_after) else ""
        if successor in fresh and before[name] == after[successor] and _by_position(before[name]):
            yield "signature", f"argument {name} is now called {successor}"
            gone.remove(name)
            fresh.remove(successor)
            before = {successor if key == name else key: each for key, each in before.items()}
    for name in gone:
        yield "signature", f"argument {name} is gone"
    common = [name for name in before if name in after and _by_position(before[name]) and _by_position(after[name])]
    ordered = [name for name in after if name in common]
    if ordered != common:
        yield "signature", f"its arguments have another order: {', '.join(ordered)}; was {', '.join(common)}"
    for name in fresh:
        kind, default = after[name]
        later = [each for each in list(after)[list(after).index(name) + 1 :] if each in common]
        if kind.startswith("variadic"):
            yield "extended", f"it takes {name} of any number"
        elif default is None:
            yield "signature", f"new argument {name} must be given"
        elif _by_position(after[name]) and later:
            yield "signature", f"new argument {name}={default} stands before {later[0]}"
        else:
            yield "extended", f"new argument {name}={default}"
    for name, (kind, default) in before.items():
        if name not in after or kind.startswith("variadic"):
            continue
        kind_now, default_now = after[name]
        if default is not None and default_now is None:
            yield "signature", f"argument {name} must be given; its default was {default}"
        elif default is None and default_now is not None:
            yield "extended", f"argument {name} has a default: {default_now}"
        elif default != default_now:
            yield "signature", f"the default of {name} is {default_now}, was {default}"
        if kind != kind_now and (kind == "positional or keyword" or kind_now != "positional or keyword"):
            yield "signature", f"argument {name} is {kind_now}, was {kind}"


def _parameters(signature: Any) -> dict[str, tuple[str, str | None]] | None:
    """name -> (kind, default) of a recorded signature."""
    if not isinstance(signature, (list, tuple)):
        return None
    found = {}
    for each in rows(signature):
        default = each.get("default")
        found[str(each.get("name"))] = str(each.get("kind")), None if default is None else str(default)
    return found


def _by_position(parameter: tuple[str, str | None]) -> bool:
    return parameter[0] in ("positional-only", "positional or keyword")


def warnings(before: Run, after: Run) -> Iterator[Finding]:
    """Warnings that were not raised before."""

    def fresh(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        known = {without_numbers(str(each)) for each in old.get("warnings") or ()}
        for each in new.get("warnings") or ():
            if without_numbers(str(each)) not in known:
                yield "warning", clipped(str(each))

    for kind, backend, what, losses, names in _grouped(fresh, before, after):
        says = f"{_some(names)}: {what}"
        yield Finding(kind, backend, losses[0], "warning", tuple(names), says, losses=tuple(losses))


def census(before: Run, after: Run) -> Iterator[Finding]:
    """Losses that a namespace began or ceased to offer."""
    for backend, now in after.census.items():
        old = mapping(mapping(before.census.get(backend)).get("namespaces"))
        for namespace, losses in mapping(mapping(now).get("namespaces")).items():
            if namespace not in old:
                continue
            for names, verb in (
                ([each for each in losses if each not in old[namespace]], "offers"),
                ([each for each in old[namespace] if each not in losses], "no longer offers"),
            ):
                if names:
                    inside = [str(name).removeprefix(f"{namespace}.") for name in names]
                    says = f"{namespace} {verb} {clipped(listed(inside))}"
                    yield Finding("census", backend, "*", "census", tuple(map(str, names)), says)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return listed(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"
