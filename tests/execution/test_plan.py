"""How a plan is divided: completely, evenly, the same way every time."""

from __future__ import annotations

from collections import Counter

import pytest

from lossparity.conformance.execution.plan import joined, shard, size, take, units
from lossparity.conformance.matrix import Selection
from lossparity.conformance.record import Check


def plan(calls: int, mode: str = "eager") -> list[Check]:
    """A plan of two implementations, as long as a real one's: three aspects of each case in two dtypes."""
    return [
        Check("/".join(parts), "mse_loss", "b", *parts[1:])
        for name in ("f", "g")
        for case in range(calls)
        for dtype in ("float64", "float32")
        for parts in [
            ("mse_loss", name, f"case{case}", dtype, "cpu", mode, aspect) for aspect in ("shape", "value", "x")
        ]
    ]


def test_the_aspects_of_a_call_stay_together() -> None:
    assert units(plan(2)) == [(start, start + 3) for start in range(0, 24, 3)]
    assert units([]) == []


def test_what_is_compiled_together_stays_together() -> None:
    checks = sorted(plan(4, "compile"), key=lambda check: (check.implementation, check.dtype))
    assert units(checks) == [(start, start + 12) for start in range(0, 48, 12)]


@pytest.mark.parametrize("of", [1, 2, 3, 4, 7, 50])
def test_shards_are_the_plan_and_even(of: int) -> None:
    checks = plan(100)
    shards = [shard(units(checks), number, of) for number in range(1, of + 1)]
    positions = [i for each in shards for start, stop in each for i in range(start, stop)]
    assert sorted(positions) == list(range(len(checks)))
    sizes = [size(each) for each in shards]
    assert max(sizes) - min(sizes) <= 3
    assert shards == [shard(units(checks), number, of) for number in range(1, of + 1)]


@pytest.mark.parametrize("of", [2, 3, 4, 6])
def test_no_shard_is_of_one_dtype(of: int) -> None:
    """Dealt straight, one of two would get all of float32."""
    checks = plan(100)
    for number in range(1, of + 1):
        found = Counter(checks[start].dtype for start, _ in shard(units(checks), number, of))
        assert max(found.values()) <= 1.3 * min(found.values())


def test_more_shards_than_units_leaves_some_empty() -> None:
    found = [shard([(0, 3), (3, 5)], number, 4) for number in range(1, 5)]
    assert sorted(found) == [[], [], [(0, 3)], [(3, 5)]]


def test_ranges_are_joined_and_taken_whole() -> None:
    assert joined([(5, 7), (0, 2), (2, 3)]) == [(0, 3), (5, 7)]
    waiting = [(0, 3), (3, 6), (6, 9)]
    assert take(waiting, 4) == [(0, 3), (3, 6)]
    assert waiting == [(6, 9)]
    assert take(waiting, 100) == [(6, 9)]
    assert take(waiting, 1) == []


@pytest.mark.parametrize("words", ["0/3", "4/3", "1/0", "3", "a/b", "1/2/3", "-1/3", "1.0/2", "/", "1/", "²/3"])
def test_what_is_no_shard_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="is not I/N with 1 <= I <= N; write the second of three as 2/3"):
        Selection(shard=words).validate()


def test_a_shard_reads() -> None:
    assert Selection(shard="2/3").part() == (2, 3)
    assert Selection().part() == (1, 1)
