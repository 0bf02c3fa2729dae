"""Several records as one: each backend (or device, or dtype) may have run in its own environment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lossparity.conformance.record import Checks, Run
from lossparity.conformance.warned import with_warnings
from lossparity.reports.findings import WHOLE, commands, mapping

# Where a backend's records disagree, the one further to the left is what happened.
_STATUSES = ("crashed", "timeout", "complete", "not-run")
_PLACE = ("python", "platform", "machine", "processor", "cpus")


class MergeError(ValueError):
    """Records that do not become one: what differs, and what to do."""


def merge(runs: Sequence[Run]) -> Run:
    """One record of several: same seed, same lossparity, each check once.

    A check that was not run here and ran there counts as run. The shards of a run become the record of that run, in
    which only times and the command are others. MergeError, with the reason, for records that do not
    fit: another seed or lossparity, a backend in two versions, a check with two verdicts, a loss defined twice, a shard
    that is missing.
    """
    if not runs:
        raise MergeError("merge needs at least one record; none was given")
    _agree("seed", [run.seed for run in runs], "run them with the same --seed")
    _agree("data", [run.data for run in runs], "make them with the same lossparity, whose cases may differ otherwise")
    versions = [mapping(run.environment).get("lossparity") for run in runs]
    _agree("lossparity", versions, "run them with the same lossparity, whose reference may differ otherwise")
    made_by = list(dict.fromkeys(_unsharded(command) for run in runs for command in commands(run)))
    selections = [{name: word for name, word in run.selection.items() if name != "shard"} for run in runs]
    return Run(
        environment=_environment(runs),
        seed=runs[0].seed,
        command=[word for i, command in enumerate(made_by) for word in (("&&", *command) if i else command)],
        checks=_checks(runs),
        started=min((run.started for run in runs if run.started), default=""),
        seconds=sum(run.seconds for run in runs),
        losses=_union("loss", [run.losses for run in runs]),
        implementations=_implementations(runs),
        backends=_backends(runs),
        census=_union("the census of", [run.census for run in runs]),
        data=runs[0].data,
        selection=selections[0] if all(each == selections[0] for each in selections) else {},
        accepted=[each for run in runs for each in run.accepted],
    )


def _agree(what: str, values: Sequence[Any], remedy: str) -> None:
    for number, value in enumerate(values, start=1):
        if value != values[0]:
            raise MergeError(
                f"cannot merge: {what} is {values[0]!r} in record 1 and {value!r} in record {number}; {remedy}"
            )


def _checks(runs: Sequence[Run]) -> Checks:
    """Each check once, in the order of the records; a backend that ran anywhere is no longer absent.

    The checks of a backend that ran in shards stand as its plan has them, and each backend's together.
    """
    parts = [Checks.of(run.checks) for run in runs]
    checks = Checks.joined(parts)
    number = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    not_run = checks.is_in("verdict", ["not-run"])
    ran = {name for (name,) in checks.take(~not_run).tally("backend")}
    absent = checks.is_in("loss", [WHOLE]) & not_run & checks.is_in("backend", ran)
    rows = np.flatnonzero(~absent)
    # By ID: the first that ran stands for it, or else the last, at the place of the first.
    _, first, same = np.unique(checks.numbered()[rows], return_index=True, return_inverse=True)
    same = same.reshape(-1)
    stands = np.zeros(len(first), np.int64)
    stands[same] = rows
    decided = ~not_run[rows]
    stands[same[decided][::-1]] = rows[decided][::-1]
    _, verdicts = checks.codes("verdict")
    differing = np.flatnonzero(decided & (verdicts[rows] != verdicts[stands[same]]))
    if len(differing):
        earlier, later = (checks[int(row)] for row in (stands[same[differing[0]]], rows[differing[0]]))
        where, there = (int(number[row]) + 1 for row in (stands[same[differing[0]]], rows[differing[0]]))
        raise MergeError(
            f"cannot merge: check {later.id} is {earlier.verdict} in record {where} and {later.verdict} in "
            f"record {there}; compare such records with `lossparity diff`"
        )
    positions = np.full(len(checks), -1)
    backends, of = checks.codes("backend")
    whole = checks.is_in("loss", [WHOLE])
    for i, run in enumerate(runs):
        for name, line in run.backends.items():
            if part := mapping(line).get("part"):
                own = np.flatnonzero((number == i) & checks.is_in("backend", [name]) & ~whole)
                ranges = [np.arange(start, stop) for start, stop in part["ranges"]]
                at = np.concatenate([np.zeros(0, np.int64), *ranges])
                if len(at) != len(own):
                    raise MergeError(
                        f"cannot merge: record {i + 1} says that it has {len(at):,} checks of {name}, and has "
                        f"{len(own):,}; run that shard again"
                    )
                positions[own] = at
    order = np.argsort(first)
    if (positions >= 0).any():
        of_group = np.full(len(first), -1)
        np.maximum.at(of_group, same, positions[rows])
        appears = np.full(len(backends), len(rows))
        np.minimum.at(appears, of[rows], np.arange(len(rows)))
        order = np.lexsort((first, of_group, appears[of[stands]]))
    return checks.take(stands[order])


def _part(name: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a backend's records have of its plan: nothing to be said where it is all of it, or why it is not is told."""
    parts = [line["part"] for line in lines if "part" in line]
    if not parts or any("part" not in line and line.get("status") == "complete" for line in lines):
        return {}
    _agree(f"the number of checks of {name}", [part["of"] for part in parts], "make the shards of one selection")
    ranges: list[list[int]] = []
    for start, stop in sorted(each for part in parts for each in part["ranges"]):
        if ranges and start <= ranges[-1][1]:
            ranges[-1][1] = max(stop, ranges[-1][1])
        else:
            ranges.append([start, stop])
    of, held = parts[0]["of"], sum(stop - start for start, stop in ranges)
    if held == of:
        return {}
    if any("part" not in line and line.get("status") in ("crashed", "timeout") for line in lines):
        return {"part": {"of": of, "ranges": ranges}}
    raise MergeError(
        f"cannot merge: {of - held:,} of the {of:,} checks of {name} are in none of the records; "
        "give those of every shard"
    )


def _unsharded(command: Sequence[str]) -> tuple[str, ...]:
    """A command without its --shard: that of the whole run."""
    words = [word for word in command if not word.startswith("--shard=")]
    while "--shard" in words:
        at = words.index("--shard")
        del words[at : at + 2]
    return tuple(words)


def _environment(runs: Sequence[Run]) -> dict[str, Any]:
    """The environments as one; what differs between them is kept with each backend."""
    environments = [mapping(run.environment) for run in runs]
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for environment in environments for key in environment):
        if key != "backends":
            values = [environment[key] for environment in environments if key in environment]
            distinct = list(dict.fromkeys(_text(value) for value in values))
            merged[key] = values[0] if len(distinct) == 1 else "; ".join(distinct)
    differing = [key for key in _PLACE if len({_text(e.get(key)) for e in environments}) > 1]
    backends: dict[str, dict[str, Any]] = {}
    for number, environment in enumerate(environments, start=1):
        for name, seen in mapping(environment.get("backends")).items():
            place = {key: environment[key] for key in differing if key in environment}
            backends[name] = _backend_environment(name, number, backends.get(name), {**place, **mapping(seen)})
    return {**merged, "backends": backends}


def _backend_environment(
    name: str, number: int, before: Mapping[str, Any] | None, seen: Mapping[str, Any]
) -> dict[str, Any]:
    if before is None or not before.get("packages"):
        return dict(seen)
    if not seen.get("packages"):
        return dict(before)
    if before["packages"] != seen["packages"]:
        raise MergeError(
            f"cannot merge: {name} ran with {_versions(before)} in an earlier record and with {_versions(seen)} in "
            f"record {number}; compare versions with `lossparity diff` or `lossparity gate`"
        )
    engines = [mapping(each.get("engine")) for each in (before, seen)]
    if all(engines) and engines[0] != engines[1]:
        first, second = (f"{each.get('name')} {each.get('version')}" for each in engines)
        raise MergeError(
            f"cannot merge: {name} ran on {first} in an earlier record and on {second} in record {number}; compare "
            "engines with `lossparity diff` or `lossparity gate`"
        )
    both = {**before, **seen}
    for key in _PLACE:
        if key in both:
            both[key] = "; ".join(dict.fromkeys(_text(part[key]) for part in (before, seen) if key in part))
    both["devices"] = list(dict.fromkeys([*before.get("devices", ()), *seen.get("devices", ())]))
    return both


def _backends(runs: Sequence[Run]) -> dict[str, Any]:
    merged: dict[str, dict[str, Any]] = {}
    for run in runs:
        for name, backend in run.backends.items():
            backend = dict(mapping(backend))
            if name not in merged:
                merged[name] = backend
                continue
            first, second = sorted((merged[name], backend), key=_status_rank)
            seconds = sum(float(part.get("seconds") or 0.0) for part in (first, second))
            programs: Counter[str] = Counter(mapping(first.get("programs")))
            programs.update(mapping(second.get("programs")))
            merged[name] = {**second, **first, "seconds": seconds}
            if programs:
                merged[name]["programs"] = dict(sorted(programs.items()))
            if "asked" in first or "asked" in second:
                merged[name]["asked"] = bool(first.get("asked") or second.get("asked"))
    for name, backend in merged.items():
        backend.pop("part", None)
        backend.update(_part(name, [mapping(run.backends[name]) for run in runs if name in run.backends]))
    return merged


def _status_rank(backend: Mapping[str, Any]) -> int:
    status = backend.get("status")
    return _STATUSES.index(status) if status in _STATUSES else len(_STATUSES)


def _implementations(runs: Sequence[Run]) -> dict[str, Any]:
    """The implementations, described alike in every record, with the warnings of all of them: each ran another part."""
    heard: dict[str, list[str]] = {}
    silent: list[dict[str, Any]] = []
    for run in runs:
        silent.append({key: {**mapping(entry), "warnings": ()} for key, entry in run.implementations.items()})
        for key, entry in run.implementations.items():
            heard.setdefault(key, []).extend(str(each) for each in mapping(entry).get("warnings") or ())
    return with_warnings(_union("implementation", silent), heard)


def _union(what: str, tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for number, table in enumerate(tables, start=1):
        for name, entry in table.items():
            if _text(merged.setdefault(name, entry)) != _text(entry):
                raise MergeError(
                    f"cannot merge: {what} {name} is described differently in record {number} than before; "
                    "the records come from different sources of lossparity"
                )
    return merged


def _versions(seen: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in mapping(seen["packages"]).items())


def _text(value: Any) -> str:
    """One text for equal values, whether they were just made (tuples) or read back (lists)."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
