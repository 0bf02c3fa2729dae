"""What changed that is no check: signatures, warnings, the census."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lossparity.conformance.record import Run
from lossparity.reports.changes import Finding, Note, without_numbers
from lossparity.reports.findings import clipped, few, listed, mapping, rows


def notes(before: Run, after: Run) -> Iterator[Note]:
    """What entry points take and warn of that they did not, and what namespaces began or ceased to offer."""
    yield from _of_each("signature", signature_changes, before, after)
    yield from _of_each("warning", _new_warnings, before, after)
    yield from _census(before, after)


def told(found: Iterable[Note]) -> list[Finding]:
    """One finding for each thing that changed, however many entry points show it."""
    groups: dict[tuple[str, str, str], list[Note]] = {}
    for note in found:
        groups.setdefault((note.kind, note.backend, note.what), []).append(note)
    return [_finding(group) for group in groups.values()]


def _finding(group: Sequence[Note]) -> Finding:
    first = group[0]
    names = tuple(dict.fromkeys(note.implementation for note in group))
    losses = list(dict.fromkeys(loss for note in group for loss in note.losses))
    # An entry point of several losses stands for the one that it is named after.
    losses.sort(key=lambda loss: all(name.rpartition(".")[2] != loss for name in names))
    says = f"{few(names)}: {first.what}"
    if first.kind == "census":
        namespace = first.what.partition(" ")[0]
        says = f"{first.what} {clipped(listed([name.removeprefix(f'{namespace}.') for name in names]))}"
    return Finding(
        kind=first.kind,
        backend=first.backend,
        losses=tuple(losses),
        aspects=(first.aspect,),
        implementations=names,
        says=says,
        what=first.what,
    )


def _of_each(
    aspect: str,
    changes: Callable[[Mapping[str, Any], Mapping[str, Any]], Iterable[tuple[str, str]]],
    before: Run,
    after: Run,
) -> Iterator[Note]:
    """What each entry point of both records shows, whose losses share it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for key, old in before.implementations.items():
        new = after.implementations.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            loss, _, name = key.partition("/")
            for kind, what in changes(old, new):
                found.setdefault((kind, str(new.get("backend", "")), name, what), []).append(loss)
    for (kind, backend, name, what), losses in found.items():
        yield Note(kind, backend, tuple(losses), name, aspect, what)


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


def _new_warnings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    known = {without_numbers(str(each)) for each in old.get("warnings") or ()}
    for each in new.get("warnings") or ():
        if without_numbers(str(each)) not in known:
            yield "warning", clipped(str(each))


def _census(before: Run, after: Run) -> Iterator[Note]:
    for backend, now in after.census.items():
        old = mapping(mapping(before.census.get(backend)).get("namespaces"))
        for namespace, losses in mapping(mapping(now).get("namespaces")).items():
            if namespace not in old:
                continue
            for names, verb in (
                ([each for each in losses if each not in old[namespace]], "offers"),
                ([each for each in old[namespace] if each not in losses], "no longer offers"),
            ):
                for name in names:
                    yield Note("census", backend, ("*",), str(name), "census", f"{namespace} {verb}")
