"""What the page says of backends and frameworks: how each ended, where its losses are found, what it warns of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossparity.conformance.record import Run
from lossparity.reports.findings import backend_names, by_backend, mapping, packages, programs
from lossparity.reports.prose import words
from lossparity.reports.sections import Entry

_PLACE = ("python", "platform", "processor")  # told of a backend where it differs from the run's own


def backends(run: Run) -> list[dict[str, Any]]:
    """Each backend: how it ended, in which versions, on which devices, and its counts."""
    environment = mapping(run.environment)
    counts = by_backend(run)
    rows = []
    for name in backend_names(run):
        about = mapping(run.backends.get(name))
        seen = mapping(mapping(environment.get("backends")).get(name))
        place = {key: seen[key] for key in _PLACE if key in seen and seen[key] != environment.get(key)}
        rows.append(
            {
                "name": name,
                "status": str(about.get("status", "complete")),
                "reason": str(about.get("reason") or ""),
                "last_words": str(about.get("last_words") or "").strip(),
                "seconds": about.get("seconds"),
                "packages": packages(run, name),
                "place": place,
                "devices": words(seen.get("devices")),
                "compiled": programs(about),
                "counts": counts.get(name, {}),
            }
        )
    return rows


def columns(run: Run, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The matrix's columns: for each backend the namespaces from which its implementations come."""
    found = []
    for backend in backend_names(run):
        spoken = [entry for entry in entries if entry.backend == backend]
        classes = {entry.namespace for entry in spoken if entry.short[:1].isupper()}
        mixed = classes & {entry.namespace for entry in spoken if not entry.short[:1].isupper()}
        for entry in spoken:
            kind = " classes" if entry.short[:1].isupper() else " functions"
            entry.heading = entry.namespace + (kind if entry.namespace in mixed else "")
        if spoken:
            headings = list(dict.fromkeys(entry.heading for entry in spoken))
            found.append({"backend": backend, "headings": headings, "packages": packages(run, backend)})
    return found


def census(run: Run) -> list[dict[str, Any]]:
    """For each public namespace of a framework: the losses found there, and what this suite does about them."""
    checked = {key.partition("/")[2] for key in run.implementations}
    rows = []
    for backend, seen in mapping(run.census).items():
        uncovered = words(mapping(seen).get("uncovered"))
        excluded = mapping(mapping(seen).get("excluded"))
        for namespace, names in mapping(mapping(seen).get("namespaces")).items():
            found = words(names)
            rows.append(
                {
                    "backend": backend,
                    "namespace": namespace,
                    "found": len(found),
                    "checked": sum(name in checked for name in found),
                    "uncovered": [_inside(namespace, name) for name in uncovered if name in found],
                    "excluded": _by_reason(
                        {_inside(namespace, name): str(excluded[name]) for name in found if name in excluded}
                    ),
                }
            )
    return rows


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> the names that are excluded for it."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return names


def _inside(namespace: str, name: str) -> str:
    return name.removeprefix(f"{namespace}.")


def warnings(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Each warning, with the implementations that raise it."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        for warning in words(entry.about.get("warnings")):
            found.setdefault(warning, []).append(entry)
    return found
