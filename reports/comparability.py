"""Whether two records compare: the same inputs, on the same kind of machine."""

from __future__ import annotations

from lossparity.conformance.record import Run
from lossparity.reports.findings import mapping


class IncomparableError(ValueError):
    """Two records that say nothing about each other: what differs, and what to do."""


def comparable(before: Run, after: Run, names: tuple[str, str], other_machine: bool) -> list[str]:
    """What to know of a comparison of these two; IncomparableError, with what to do, where there can be none."""
    first, second = names
    if before.seed != after.seed:
        raise IncomparableError(
            f"{first} ran with seed {before.seed} and {second} with seed {after.seed}: their inputs differ. "
            f"Run again with --seed {before.seed}"
        )
    if before.data != after.data:
        raise IncomparableError(
            f"{first} and {second} ran on other cases (data {before.data[:12] or 'unknown'} and "
            f"{after.data[:12] or 'unknown'}): they come from different releases of lossparity. "
            "Make both with the same one"
        )
    notes = []
    kinds = [_machine(run) for run in (before, after)]
    if kinds[0] != kinds[1]:
        text = f"{first} comes from {kinds[0]} and {second} from {kinds[1]}"
        if not other_machine:
            raise IncomparableError(
                f"{text}: another kind of machine rounds in other ways. Make a baseline on this kind of machine, or "
                "compare all the same with --other-machine"
            )
        notes.append(f"{text}: not every change is the upgrade's")
    for what, word in (("lossparity", "lossparity"), ("python", "Python"), ("processor", "processor")):
        values = [str(mapping(run.environment).get(what, "")) for run in (before, after)]
        if values[0] != values[1] and all(values):
            notes.append(f"{word} {values[0]} in {first}, {values[1]} in {second}")
    return notes


def _machine(run: Run) -> str:
    environment = mapping(run.environment)
    system = str(environment.get("platform", "")).partition("-")[0] or "an unknown system"
    return f"{system} on {environment.get('machine') or 'an unknown machine'}"
