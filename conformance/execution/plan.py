"""How the checks of a backend are divided: into units that stay together, shards, and the next piece of work.

A position is that of a check in the plan, the list of all checks of one backend. A range [start, stop) is of positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeAlias

from lossparity.conformance.cases import CASES
from lossparity.conformance.record import CHECK_FIELDS, Check

Range: TypeAlias = tuple[int, int]

# The fields of a check that the plan fills, and those that deciding it does.
PLANNED = CHECK_FIELDS[: CHECK_FIELDS.index("verdict")]
DECIDED = CHECK_FIELDS[len(PLANNED) :]

# The devices whose context is void after a kernel has asserted, as it does on bad labels.
_VOIDED = ("cuda", "gpu", "rocm")


def units(checks: Sequence[Check]) -> list[Range]:
    """The ranges that one process decides together: the aspects of a call, whose outcome they share.

    In a mode that compiles, all calls of an implementation in a dtype, which share what is compiled.
    """
    found = []
    for _, positions in groupby(range(len(checks)), key=lambda position: _together(checks[position])):
        whole = list(positions)
        found.append((whole[0], whole[-1] + 1))
    return found


def _together(check: Check) -> tuple[str, ...]:
    call = (check.loss, check.implementation, check.dtype, check.device, check.mode)
    return (*call, check.case) if check.mode == "eager" else call


def shard(units: Sequence[Range], number: int, of: int) -> list[Range]:
    """The units of shard `number` (from 1) of `of`.

    They are dealt like cards, and each round begins one further on: dealt straight, one of two shards would get all
    of float32.
    """
    return [unit for i, unit in enumerate(units) if (i + i // of) % of == number - 1]


def dangerous(check: Check) -> bool:
    """Whether the check may leave its process unable to decide others: bad labels, where a kernel asserts on them.

    Whether a dialect still shows is looked up in every case, those among them.
    """
    cases = CASES.get(check.loss, {})
    seen = cases.values() if check.case == "any" else [cases[check.case]]
    return check.device.startswith(_VOIDED) and any("dangerous" in case.tags for case in seen)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same positions in as few ranges as it takes."""
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found


def size(ranges: Iterable[Range]) -> int:
    """How many positions there are."""
    return sum(stop - start for start, stop in ranges)


def take(waiting: list[Range], at_least: int) -> list[Range]:
    """Remove units from the front of `waiting` until they have `at_least` positions, or all of them."""
    taken: list[Range] = []
    count = 0
    while waiting and count < at_least:
        taken.append(waiting.pop(0))
        count += size(taken[-1:])
    return taken
