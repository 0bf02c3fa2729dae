"""What is kept of the reference: found again bit for bit; never where anything is different, damaged or another's."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossparity.conformance.execution import expectations
from lossparity.conformance.execution.expectations import Expectations, digest
from lossparity.conformance.tolerance import Expected


def expected(seed: int = 0, shape: tuple[int, ...] = (2, 3)) -> Expected:
    numbers = np.random.default_rng(seed)
    value = np.asarray(numbers.normal(size=shape))
    if value.size:
        value.flat[0] = [np.nan, -0.0, np.inf, 5e-324][seed % 4]
    gradients = {"input": numbers.normal(size=(4,)), "target": numbers.normal(size=(0, 2))}
    # One number for all elements, as where no form adds anything to the dtype's underflow.
    limits = {name: np.broadcast_to(1e-3, each.shape) for name, each in gradients.items()}
    return Expected(value, gradients, np.full(shape, 1e-9), limits)


def bits(found: Expected) -> Any:
    arrays = [found.value, found.value_tolerance]
    arrays += [each[name] for name in found.gradients for each in (found.gradients, found.gradient_tolerances)]
    return [(each.shape, each.dtype.str, each.tobytes()) for each in arrays], list(found.gradients)


def never() -> Expected:
    raise AssertionError("it is kept")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_found_again_bit_for_bit(tmp_path: Path, shape: tuple[int, ...], seed: int) -> None:
    one = Expectations(tmp_path)
    made = one.expected(lambda: expected(seed, shape), a=1)
    one.write()
    assert bits(Expectations(tmp_path).expected(never, a=1)) == bits(made)


def test_another_process_that_runs_already_finds_it(tmp_path: Path) -> None:
    early, late = Expectations(tmp_path), Expectations(tmp_path)
    early.expected(expected, a=1)
    early.write()
    late.read()
    late.expected(never, a=1)
    late.write()
    assert len(list(tmp_path.glob("*/*"))) == 1  # nothing new, nothing written


ARRAY = np.arange(6.0).reshape(2, 3)
DIFFERENT: list[Any] = [
    ARRAY, ARRAY.reshape(3, 2), ARRAY.astype(np.float32), ARRAY.astype(np.int64), np.asfortranarray(ARRAY),
    ARRAY + 1e-16, ARRAY.tolist(), np.where(ARRAY == 0, -0.0, ARRAY), np.zeros(()), np.zeros(0), np.zeros((0, 3)),
    0, 0.0, -0.0, False, None, "0", "", (), (0,), [0], ((0,), 0), (0, (0,)), np.float64(0), np.float32(0), np.nan,
    1, True, {}, {"a": 0}, {"a": {"b": 0}}, {"a": 0, "b": 0}, {"b": 0, "a": 0},
]  # fmt: skip


def test_what_differs_in_anything_has_another_digest() -> None:
    found = [digest(x=each) for each in DIFFERENT] + [digest(y=0), digest(x=0, y=0), digest()]
    assert None not in found
    same = [(i, j) for j in range(len(found)) for i in range(j) if found[i] == found[j]]
    assert same == []
    assert digest(x=ARRAY.copy()) == digest(x=ARRAY)


@pytest.mark.parametrize("value", [object(), lambda x: x, np.array(["a"]), np.array([None]), {1, 2}, os.path.join, 1j])
def test_what_has_no_digest_is_not_kept(tmp_path: Path, value: Any) -> None:
    """Functions but the reference's and the adapters' own, whose sources nobody has looked at, among them."""
    assert digest(x=value) is None
    one = Expectations(tmp_path)
    one.expected(expected, x=value)
    one.write()
    assert list(tmp_path.glob("*/*")) == []


def test_a_form_of_the_reference_is_known_by_its_name() -> None:
    from lossparity.reference.regression import l1_textbook as one
    from lossparity.reference.regression import mse_textbook as other

    assert digest(x=one) is not None
    assert digest(x=one) != digest(x=other)


@pytest.mark.parametrize("what", ["sources", "numpy", "cpu"])
def test_other_sources_and_another_numpy_find_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    one = Expectations(tmp_path)
    one.expected(expected, a=1)
    one.write()
    if what == "sources":
        monkeypatch.setattr(expectations, "sources", lambda: "others")
    elif what == "numpy":
        monkeypatch.setattr(np, "__version__", "0.1")
    else:
        monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX2")
    other = Expectations(tmp_path)
    with pytest.raises(AssertionError, match="it is kept"):
        other.expected(never, a=1)
    # Nor where their files are put into its folder.
    other.folder.mkdir(mode=0o700)
    for path in one.folder.iterdir():
        path.rename(other.folder / path.name)
    with pytest.raises(AssertionError, match="it is kept"):
        Expectations(tmp_path).expected(never, a=1)


def test_sources_that_were_edited_meanwhile_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Expectations(tmp_path)
    one.expected(expected, a=1)
    monkeypatch.setattr(expectations, "sources", lambda: "edited")
    one.write()
    assert list(tmp_path.glob("*/*")) == []


def test_what_is_damaged_is_computed_again(tmp_path: Path) -> None:
    """Every byte flipped, and the file cut off everywhere: the numbers are never others than those computed."""
    made = {a: expected(a) for a in range(3)}
    one = Expectations(tmp_path)
    for a in made:
        one.expected(lambda a=a: made[a], a=a)  # type: ignore[misc]
    one.write()
    (path,) = one.folder.iterdir()
    whole = path.read_bytes()
    draw = random.Random(5)  # noqa: S311  any damage
    damaged = [whole[:n] for n in range(0, len(whole), 7)]
    for at in range(len(whole)):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :])
    recomputed = 0
    for each in damaged:
        path.write_bytes(each)
        there = Expectations(tmp_path)
        for a in made:
            calls: list[int] = []

            def compute(a: int = a, calls: list[int] = calls) -> Expected:
                calls.append(a)
                return made[a]

            assert bits(there.expected(compute, a=a)) == bits(made[a])
            recomputed += len(calls)
    assert recomputed > len(damaged)


@pytest.mark.parametrize(
    "entry",
    [
        None, 3, [], [0, "x"], [0, "x", [[], {}]], [-8, "x", [[], {}]], ["0", "x", [[], {}]], [0, 1, [[1e9], {}]],
        [0, "x", [[-1], {}]], [10**30, "x", [[], {}]], [0, "x", [[10**12], {}]], [0, "x", {}],
        [0, "x", [[], {"a": None}]],
    ],
)  # fmt: skip
def test_what_is_no_entry_is_computed_again(tmp_path: Path, entry: Any) -> None:
    one = Expectations(tmp_path)
    one._known[digest(a=1) or ""] = (memoryview(b"\0" * 64), entry)
    assert bits(one.expected(expected, a=1)) == bits(expected())


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_may_write_is_not_trusted(tmp_path: Path, which: str) -> None:
    one = Expectations(tmp_path)
    one.expected(expected, a=1)
    one.write()
    (path,) = one.folder.iterdir()
    (path if which == "file" else one.folder).chmod(0o777)
    with pytest.raises(AssertionError, match="it is kept"):
        Expectations(tmp_path).expected(never, a=1)


def test_no_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = Expectations(tmp_path / "file")
    one.expected(expected, a=1)
    one.write()
    one.read()


def test_it_stays_within_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "LIMIT", 20_000)
    used = Expectations(tmp_path)
    used.expected(expected, a="used")
    used.write()
    (kept,) = used.folder.iterdir()
    for i in range(60):
        monkeypatch.setattr(expectations, "sources", lambda i=i: str(i // 20))
        one = Expectations(tmp_path)
        one.expected(lambda i=i: expected(i, (8, 8)), a=i)  # type: ignore[misc]
        for number, path in enumerate(sorted(tmp_path.glob("*/*"), key=lambda path: path.stat().st_mtime)):
            os.utime(path, (number, number))  # a second apart each
        os.utime(kept)  # read just now
        one.write()
        assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 20_000
    assert kept.exists()
    assert len(list(tmp_path.iterdir())) < 4
