"""The case table and its data: the same everywhere, never vacuous, bad where they say so, right where it is known."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lossparity.conformance import data
from lossparity.conformance.cases import CASES, DTYPES, TAGS, Case, digest
from lossparity.conformance.cases.table import rows
from lossparity.conformance.data import Recipe, Stream
from lossparity.conformance.describe import DEFINITIONS

EVERY = [case for cases in CASES.values() for case in cases.values()]


# --- the table


def test_names_are_unique_words_that_fit_into_an_id() -> None:
    for loss, cases in CASES.items():
        assert loss in DEFINITIONS
        for name, case in cases.items():
            assert (case.loss, case.name) == (loss, name)
            assert re.fullmatch(r"[A-Za-z0-9_.+-]+", name), f"{loss}: {name}"


def test_every_case_gives_arguments_of_its_loss_and_known_tags() -> None:
    for case in EVERY:
        loss = DEFINITIONS[case.loss]
        assert {*case.arrays, *case.options} <= set(loss.arguments), f"{case.loss}/{case.name}"
        assert set(loss.required) <= {*case.arrays, *case.options}, f"{case.loss}/{case.name}"
        assert case.tags <= TAGS
        assert set(case.dtypes) <= set(DTYPES)
        assert case.dtypes


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_case_builds(dtype: str) -> None:
    for case in EVERY:
        if dtype not in case.dtypes:
            continue
        for name, recipe in case.arrays.items():
            array = case.build(0, dtype)[name]
            assert array.dtype == (np.int64 if recipe.integer else dtype), f"{case.loss}/{case.name} {name}"
            # A vector of one element has no gap to be seen.
            assert array.flags.c_contiguous != (recipe.strided and array.size > 1), f"{case.loss}/{case.name} {name}"


def test_an_array_that_is_written_to_does_not_change_the_case() -> None:
    for case in EVERY:
        before = case.build(0, "float64")
        written = case.build(0, "float64")
        for name in case.arrays:
            written[name][...] = 77
            assert case.build(0, "float64")[name].tobytes() == before[name].tobytes(), f"{case.loss}/{case.name}"


def test_bad_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown tags \['krass'\]; there are"):
        list(rows("mse_loss", "x", {}, tags="kink krass"))


# --- the data


def drawn(recipe: Recipe, name: str, seed: int = 3) -> Any:
    return recipe.draw(Stream(seed, "loss", "case", name))


# The first 16 digits of the SHA-256 of what a recipe draws, computed once: they hold on every machine.
PINNED: dict[str, tuple[Recipe, str]] = {
    "reals": (data.reals(3, 4), "a0510dbbbcc44998"),
    "positives": (data.positives(5), "a6d80baed7dd75a9"),
    "units": (data.units(2, 3), "d4f053954d40482c"),
    "bits": (data.bits(3, 4), "c1eb991b7653aff3"),
    "signs": (data.signs(6), "da27fc6d8fd23ab9"),
    "labels": (data.labels(7, classes=5), "01309e01f8a3baa2"),
    "marked": (data.labels(9, classes=4, mark=-100), "e0e869572fdf8369"),
    "simplex": (data.simplex(4, 3), "4498aa44db602664"),
    "one_hot": (data.one_hot(4, 3), "62016b9214f41fcb"),
    "boxes": (data.boxes(3), "d41d7a02ded11afc"),
    "scores": (data.scores(3, 4), "522b328e7196dab1"),
}


@pytest.mark.parametrize("name", PINNED)
def test_the_data_are_the_same_everywhere(name: str) -> None:
    recipe, digits = PINNED[name]
    array = drawn(recipe, name)
    little = array.astype(array.dtype.newbyteorder("<"))
    assert hashlib.sha256(little.tobytes()).hexdigest()[:16] == digits


def test_the_stream_is_that_of_pcg64() -> None:
    """Against NumPy's own doubles, which use the upper 53 bits of the same words."""
    seed = int.from_bytes(hashlib.sha256(b"5/some/words").digest()[:16], "little")
    doubles = np.random.Generator(np.random.PCG64(seed)).random(40)
    assert np.array_equal(Stream(5, "some", "words").units((40,)), (2.0 * np.floor(doubles * 2.0**23) + 1.0) / 2.0**24)
    whole = np.floor(np.floor(doubles * 2.0**32) * 7.0 / 2.0**32)
    assert np.array_equal(Stream(5, "some", "words").integers((40,), 7), whole)


def test_seeds_and_names_make_other_data() -> None:
    recipe = data.reals(3, 4)
    everything = {drawn(recipe, name, seed).tobytes() for name in ("input", "target") for seed in range(5)}
    assert len(everything) == 10


def test_the_digest_is_of_the_seed_and_no_accident_of_the_process() -> None:
    assert digest(0) != digest(1)
    program = "from lossparity.conformance.cases import digest; print(digest(1))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == digest(1)


@pytest.mark.parametrize("seed", range(20))
def test_recipes_keep_what_they_promise(seed: int) -> None:
    reals = drawn(data.reals(50, low=-2.0, high=3.0), "a", seed)
    assert reals.min() > -2.0
    assert reals.max() < 3.0
    assert set(np.unique(drawn(data.bits(2), "b", seed))) == {0.0, 1.0}
    assert set(np.unique(drawn(data.signs(2), "c", seed))) == {-1.0, 1.0}
    marked = drawn(data.labels(5, classes=3, mark=1), "d", seed)
    assert marked[0] != marked[1]
    assert 1 not in marked[:2]
    assert marked[-1] == 1
    assert set(marked) <= {0, 1, 2}
    shares = drawn(data.simplex(6, 5, 2), "e", seed)
    assert np.all(shares > 0.0)
    for dtype in DTYPES:
        assert np.all(shares.astype(dtype).sum(axis=1) == 1.0)
    assert np.all(drawn(data.one_hot(6, 3), "f", seed).sum(axis=1) == 1.0)
    boxes = drawn(data.boxes(20), "g", seed)
    assert np.all(boxes[:, 2:] - boxes[:, :2] >= 0.5)


def test_every_case_gives_the_same_bits_for_a_seed_and_float32_is_the_rounded_float64() -> None:
    for case in EVERY:
        one, other = case.build(4, "float64"), case.build(4, "float64")
        for name in case.arrays:
            assert one[name].tobytes() == other[name].tobytes()
            if "float32" in case.dtypes:
                narrow = case.build(4, "float32")[name]
                assert np.array_equal(narrow, one[name].astype(narrow.dtype), equal_nan=narrow.dtype.kind == "f")


def test_a_cotangent_keeps_away_from_0_and_has_both_signs() -> None:
    case = CASES["mse_loss"]["plain-none"]
    found = case.cotangent(0, "float32", (8, 8))
    assert found.dtype == np.float32
    assert np.all((np.abs(found) >= 0.5) & (np.abs(found) <= 2.0))
    assert {-1.0, 1.0} == set(np.sign(found).ravel())


# --- what the cases say


@pytest.mark.parametrize("seed", [0, 1])
def test_bad_input_is_refused_by_the_definition(seed: int) -> None:
    bad = [case for case in EVERY if "error" in case.tags]
    assert len(bad) > 50
    for case in bad:
        for dtype in case.dtypes:
            with pytest.raises((TypeError, ValueError)) as refused:
                DEFINITIONS[case.loss](**case.build(seed, dtype))
            assert len(str(refused.value)) > 20, f"{case.loss}/{case.name}: {refused.value}"


def test_every_loss_with_cases_has_bad_input_among_them() -> None:
    without = [loss for loss, cases in CASES.items() if not any("error" in case.tags for case in cases.values())]
    assert set(without) <= {"sigmoid", "softmax", "log_softmax"}  # which take everything


def test_quick_has_a_part_of_every_loss() -> None:
    for loss, cases in CASES.items():
        quick = sum(case.quick for case in cases.values())
        assert 0 < quick <= len(cases), loss


# --- the worked examples, with the true numbers that stand beside them in the write-ups' table

WORKED: dict[tuple[str, str], tuple[Any, float]] = {
    ("binary_cross_entropy_with_logits", "worked-mean"): (1.0166782683994102, 1e-15),
    ("nll_loss", "worked-log-mean"): (1.422899316455626, 1e-15),  # printed as 1.4429, which is wrong
    ("nll_loss", "worked-scores-none"): ([-99.5, -1.3], 0.0),
    ("cross_entropy", "worked-ignore-index-mean"): (1.101942848229244, 1e-15),
    ("cross_entropy", "worked-smooth-none"): ([9.4, 11.0], 1e-15),
    ("cross_entropy", "worked-mean-mean"): (1.6153863011013, 1e-14),
    ("binary_cross_entropy", "worked-none"): ([2.302585092994046, 2.302585092994046], 1e-15),
    ("softmax", "worked"): ([0.0900306, 0.2447285, 0.6652410], 1e-6),
    ("l1_loss", "worked-sum"): (16.0, 0.0),
    ("mse_loss", "worked-sum"): (64.0, 0.0),
    ("smooth_l1_loss", "worked-sum"): (14.0, 0.0),
    ("log_loss", "worked"): (0.19763488164214868, 1e-15),
    ("sigmoid_focal_loss", "worked-none"): ([[0.5264, 1.2376, 2.7321e-5], [2.9062, 3.7049, 3.7840e-9]], 5e-5),
}


def value_of(case: Case) -> Any:
    return DEFINITIONS[case.loss](**case.build(0, "float64"))


@pytest.mark.parametrize("example", WORKED, ids=[f"{loss}-{name}" for loss, name in WORKED])
def test_a_worked_example_has_its_true_number(example: tuple[str, str]) -> None:
    loss, name = example
    want, relative = WORKED[example]
    case = CASES[loss][name]
    assert "worked" in case.tags
    np.testing.assert_allclose(value_of(case), want, rtol=relative, atol=0.0)


def test_a_confident_prediction_costs_next_to_nothing_by_index_and_one_hot() -> None:
    by_index = value_of(CASES["cross_entropy"]["worked-confident-none"])
    one_hot = value_of(CASES["cross_entropy"]["worked-confident-one-hot-none"])
    assert np.array_equal(by_index, one_hot)
    assert np.all((by_index >= 0.0) & (by_index <= 1.1e-24))


def test_default_reduction_is_the_mean() -> None:
    """A write-up says that torch's is the sum."""
    for name in ("mse_loss", "cross_entropy", "binary_cross_entropy"):
        case = CASES[name]["default-reduction"]
        assert "reduction" not in case.options
        arguments = case.build(0, "float64")
        assert DEFINITIONS[name](**arguments) == DEFINITIONS[name](**arguments, reduction="mean")


def test_alpha_is_of_the_positives() -> None:
    """A write-up gives it to the negatives."""
    positive, negative = value_of(CASES["sigmoid_focal_loss"]["worked-alpha-side-none"])
    p = 1.0 / (1.0 + np.exp(-0.5))
    assert positive == pytest.approx(0.9 * (1.0 - p) ** 2 * -np.log(p), rel=1e-14)
    assert negative == pytest.approx(0.1 * p**2 * -np.log(1.0 - p), rel=1e-14)


def test_all_but_the_first_row_is_not_ignore_index_0() -> None:
    """A write-up says so; it holds only where row 0 alone carries label 0."""
    case = CASES["cross_entropy"]["worked-not-the-first-row-sum"]
    arguments = case.build(0, "float64")
    rows_of = DEFINITIONS["cross_entropy"](arguments["input"], arguments["target"], reduction="none")
    assert value_of(case) == pytest.approx(rows_of[2], rel=1e-15)
    assert abs(value_of(case) - rows_of[1:].sum()) > 0.1


def test_a_case_is_drawn_once_for_every_dtype_and_every_asker() -> None:
    """Most of the suite's own time was once spent on drawing the same numbers ten times over."""
    drawn: list[str] = []
    recipe = data.reals(3, 4)

    def draw(stream: Stream) -> Any:
        drawn.append("")
        return recipe.draw(stream)

    case = Case("mse_loss", "counted", {"input": Recipe(draw), "target": data.reals(3, 4)})
    for dtype in DTYPES * 2:
        case.build(0, dtype)
    assert len(drawn) == 1
    case.build(1, "float64")
    assert len(drawn) == 2
