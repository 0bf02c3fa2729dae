"""What --full, and dtypes and modes by name, add to the matrix: which rows; the default data stays the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lossparity.adapters.base import Answer, Implementation, Unsupported
from lossparity.adapters.engines import Mode
from lossparity.conformance.cases import CASES, DTYPES, NARROW, Case, digest, full
from lossparity.conformance.data import given
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, SelectionError, checks, gradients_of
from lossparity.conformance.record import Check
from lossparity.conformance.second import expect_second
from lossparity.reference.precision import FORMATS

EVERY = [case for cases in CASES.values() for case in cases.values()]


def test_narrow_numbers_are_exact_in_the_dtype_and_stay_in_its_range() -> None:
    for case in EVERY:
        for dtype in case.narrow:
            wide, built = case.build(0, "float64"), case.build(0, dtype)
            for name, array in built.items():
                if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                    continue
                assert array.dtype == ("float32" if dtype == "bfloat16" else dtype)
                np.testing.assert_array_equal(FORMATS[dtype].round(array.astype(np.float64)), array)
                np.testing.assert_array_equal(np.isfinite(array), np.isfinite(wide[name]), f"{case.name} {name}")
                np.testing.assert_array_equal(array == 0.0, wide[name] == 0.0, f"{case.name} {name}")


def test_no_dtype_mode_or_direction_changes_the_digest_of_the_default_data(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(0)
    case = next(iter(CASES["mse_loss"].values()))
    case.build(0, "bfloat16")
    case.direction(0, "float16", "input", (3, 4))
    monkeypatch.setitem(CASES["mse_loss"], case.name, dataclasses.replace(case, narrow=(), first=False))
    digest.cache_clear()
    assert digest(0) == before
    monkeypatch.setitem(CASES["mse_loss"], case.name, dataclasses.replace(case, dtypes=("float64",)))
    digest.cache_clear()
    assert digest(0) != before
    digest.cache_clear()


def test_second_derivatives_are_asked_where_there_is_one() -> None:
    """A linear loss's is 0: such a check would compare nothing. Of the others most rows have one."""
    for name, cases in CASES.items():
        loss, zero, asked = DEFINITIONS[name], 0, 0
        for case in cases.values():
            if not case.first or case.tags & full.ROWS["second"].without or case.dtypes != DTYPES:
                continue
            arguments = {**loss.defaults, **case.build(0, "float64")}
            moving = {each: case.direction(0, "float64", each, arguments[each].shape) for each in gradients_of(case)}
            cotangent = case.cotangent(0, "float64", np.shape(loss(**arguments)))
            products = expect_second(loss, arguments, "float64", cotangent, moving).products.values()
            asked, zero = asked + 1, zero + (not any(product.any() for product in products))
        assert zero <= asked / 2 if loss.twice_differentiable else zero == asked, name


# --- the plan and the verdict, of a toy


def square(input, target, reduction):  # type: ignore[no-untyped-def]
    """The value, and its derivative in the input."""
    d = input - target
    if reduction == "none":
        return d * d, lambda g: 2.0 * d * g, lambda g, v, w: 2.0 * g * (v - w)
    return (d * d).sum(), lambda g: 2.0 * d * g, lambda g, v, w: 2.0 * g * (v - w)


def evaluate(request: Any) -> Answer:
    value, slope, _ = request.function(**request.arrays, **request.options)
    along = slope(request.cotangent(np.shape(value)))
    return Answer(np.asarray(value), {n: along if n == "input" else -along for n in request.differentiable})


def second(request: Any) -> Answer:
    value, _, curve = request.function(**request.arrays, **request.options)
    v, w = (request.direction(name, request.arrays[name].shape) for name in ("input", "target"))
    product = curve(request.cotangent(np.shape(value)), v, w)
    if product is None:
        return Answer(np.asarray(value), dict.fromkeys(request.differentiable))
    return Answer(np.asarray(value), {n: product if n == "input" else -product for n in request.differentiable})


def module(function: Callable[..., Any] = square, **engine: Any) -> Any:
    given = {"MODES": {"eager": Mode(evaluate), "fast": Mode(evaluate)}, "REFUSED": {}, "second": second}
    toy = SimpleNamespace(__name__="engines.toy", devices=lambda: ["cpu"], version=lambda: "1.0", **{**given, **engine})
    names = ("toy.square", "toy.Square")
    implementations = [
        Implementation("mse_loss", name, function, ("none", "sum"), dtypes=(*DTYPES, *NARROW), twin=twin)
        for name, twin in zip(names, (None, "toy.square"), strict=True)
    ]
    return SimpleNamespace(IMPLEMENTATIONS=implementations, ENGINE=toy)


@pytest.fixture
def own_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = given([[1.0, -2.0, 0.5], [3.0, 0.25, -1.5]]), given([[0.5, 1.0, 0.75], [-1.0, 2.0, 0.125]])
    arrays = {"input": x, "target": y}
    kinked = Case("mse_loss", "kink-none", arrays, {"reduction": "none"}, frozenset({"kink"}))
    none = Case("mse_loss", "plain-none", arrays, {"reduction": "none"})
    total = Case("mse_loss", "plain-sum", arrays, {"reduction": "sum"}, quick=False, first=False)
    wide = Case("mse_loss", "wide-none", arrays, {"reduction": "none"}, dtypes=("float64",), narrow=())
    monkeypatch.setitem(CASES, "mse_loss", {case.name: case for case in (kinked, none, total, wide)})


def planned(selection: Selection) -> list[Check]:
    return list(checks("toy", module(), selection))


@pytest.mark.usefixtures("own_cases")
def test_the_default_run_is_the_same_with_and_without_the_rest() -> None:
    default, everything = planned(Selection()), planned(Selection(full=True))
    assert {check.dtype for check in default} == set(DTYPES)
    assert {check.mode for check in default} == {"eager"}
    assert not any(check.aspect.startswith("second:") for check in default)
    ids = {check.id for check in everything}
    assert {check.id for check in default} < ids
    assert len(ids) == len(everything)


@pytest.mark.usefixtures("own_cases")
def test_full_adds_each_on_its_own_rows() -> None:
    added = {check.id for check in planned(Selection(full=True))} - {check.id for check in planned(Selection())}
    checked = [check for check in planned(Selection(full=True)) if check.id in added]
    narrow = {(check.case, check.dtype) for check in checked if check.dtype in NARROW}
    assert narrow == {(case, dtype) for case in ("kink-none", "plain-none") for dtype in NARROW}
    curved = {(check.case, check.dtype) for check in checked if check.aspect.startswith("second:")}
    assert curved == {*(("plain-none", dtype) for dtype in full.SECOND_DTYPES), ("wide-none", "float64")}
    fast = {(check.implementation, check.case, check.dtype) for check in checked if check.mode == "fast"}
    assert fast == {("toy.square", case, "float32") for case in ("kink-none", "plain-none")}


@pytest.mark.usefixtures("own_cases")
def test_by_name_every_row_is_there_in_which_the_dtype_holds() -> None:
    found = planned(Selection(dtypes=("bfloat16",), modes=("fast",)))
    assert {check.case for check in found} == {"kink-none", "plain-none", "plain-sum"}
    assert {(check.dtype, check.mode) for check in found} == {("bfloat16", "fast")}
    with pytest.raises(SelectionError, match="float64, float32, float16, bfloat16"):
        Selection(dtypes=("float8",)).validate()


@pytest.mark.usefixtures("own_cases")
def test_in_another_mode_calls_of_one_signature_stand_together() -> None:
    rows = [(check.dtype, check.case) for check in planned(Selection(modes=("fast",))) if check.aspect == "value"]
    assert rows[:4] == [
        ("float32", "kink-none"),
        ("float32", "plain-none"),
        ("float32", "plain-sum"),
        ("float64", "kink-none"),
    ]


def verdict(function: Callable[..., Any], aspect: str, dtype: str = "float32", **engine: Any) -> Check:
    toy = module(function, **engine)
    found = [
        check
        for check in checks("toy", toy, Selection(full=True))
        if (check.implementation, check.case, check.dtype, check.mode) == ("toy.square", "plain-none", dtype, "eager")
    ]
    return Judge(toy, 0, {"toy": "1.0"})(next(check for check in found if check.aspect == aspect))


@pytest.mark.usefixtures("own_cases")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("argument", ["input", "target"])
def test_a_second_derivative_matches_and_says_how_closely(argument: str, dtype: str) -> None:
    check = verdict(square, f"second:{argument}", dtype)
    assert check.verdict == "match"
    assert check.margin is not None
    assert check.margin < 1.0


def curved(change: Callable[[Any], Any]) -> Callable[..., Any]:
    def other(input, target, reduction):  # type: ignore[no-untyped-def]
        value, slope, curve = square(input, target, reduction)
        return value, slope, lambda *along: change(curve(*along))

    return other


@pytest.mark.usefixtures("own_cases")
def test_a_wrong_second_derivative_is_a_mismatch() -> None:
    assert verdict(curved(lambda p: p * 1.001), "second:input").verdict == "mismatch"
    none = verdict(curved(lambda _: None), "second:input")
    assert none.verdict == "mismatch"
    assert "no path" in none.reason
    assert verdict(curved(lambda p: p * 1.001), "gradient:input").verdict == "match"


@pytest.mark.usefixtures("own_cases")
def test_a_second_derivative_that_raises_is_an_error_and_leaves_the_gradient_alone() -> None:
    def refuses(_: Any) -> Any:
        raise RuntimeError("derivative for this is not implemented")

    check = verdict(curved(refuses), "second:target")
    assert (check.verdict, check.reason) == ("error", "raised RuntimeError: derivative for this is not implemented")
    assert verdict(curved(refuses), "gradient:target").verdict == "match"


@pytest.mark.usefixtures("own_cases")
@pytest.mark.parametrize("dtype", NARROW)
def test_a_narrow_dtype_that_the_engine_does_not_have_is_unsupported(dtype: str) -> None:
    check = verdict(square, "value", dtype, REFUSED={("cpu", dtype): f"this toy has no {dtype}"})
    assert (check.verdict, check.reason) == ("unsupported", f"this toy has no {dtype}")


# --- what is declared to be refused is asked


def refusing(raises: bool) -> Any:
    def half(input, target, reduction):  # type: ignore[no-untyped-def]
        if raises and input.dtype == np.float16:
            raise RuntimeError("\"mse_cpu\" not implemented for 'Half'")
        return square(input, target, reduction)

    toy = module(half)
    refusal = Unsupported("no float16 on the CPU", lambda call: call.dtype == "float16", raises="RuntimeError")
    toy.IMPLEMENTATIONS = [dataclasses.replace(toy.IMPLEMENTATIONS[0], unsupported=(refusal,))]
    return toy


@pytest.mark.usefixtures("own_cases")
@pytest.mark.parametrize("raises", [True, False])
def test_a_dtype_that_is_declared_to_be_refused_is_refused_or_stale(raises: bool) -> None:
    toy = refusing(raises)
    judge = Judge(toy, 0, {"toy": "1.0"})
    for dtype, expected in (("float16", "unsupported" if raises else "stale"), ("float32", "match")):
        found = [judge(check) for check in checks("toy", toy, Selection(dtypes=(dtype,))) if check.case == "plain-none"]
        assert {each.verdict for each in found} == {expected}
        if dtype == "float16":
            assert all("no float16 on the CPU" in each.reason for each in found)
            assert all(("not implemented for 'Half'" in each.reason) == raises for each in found)
