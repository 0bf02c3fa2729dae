"""Every verdict of the matrix, provoked through `Judge` with a backend of a few lines of NumPy.

The toy's loss is mse_loss, written out here once more, and the cases are the ones below: the test of the verdicts must
not move with the case table.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lossparity.adapters.base import Answer, Call, Dialect, Implementation, KnownIssue, Unsupported
from lossparity.adapters.engines import Mode, NotCompiledError
from lossparity.conformance.cases import CASES, Case
from lossparity.conformance.cases.table import rows
from lossparity.conformance.data import given, positives, reals
from lossparity.conformance.execution.run import exit_code
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, checks
from lossparity.conformance.record import Check, Run
from lossparity.reference.arithmetic import Operand, weighted

X, Y = [[1.0, -2.0, 0.5], [3.0, 0.25, -1.5]], [[0.5, 1.0, 0.75], [-1.0, 2.0, 0.125]]


def table() -> Iterator[Case]:
    x, y = given(X), given(Y)
    yield from rows("mse_loss", "plain", {"input": x, "target": y})
    yield from rows("mse_loss", "kink", {"input": given([1.0, 2.0]), "target": given([1.0, 0.0])}, reductions=("none",))
    yield from rows("mse_loss", "empty", {"input": given(np.zeros((0, 2))), "target": given(np.zeros((0, 2)))},
                    tags="empty nan")  # fmt: skip
    yield from rows("mse_loss", "nan", {"input": given([np.nan, 1.0]), "target": given([0.0, 0.0])}, tags="nan",
                    reductions=("none",))  # fmt: skip
    yield from rows("mse_loss", "infinite", {"input": given([1e200, 1.0]), "target": given([0.0, 0.0])},
                    reductions=("none",), dtypes=("float64",))  # fmt: skip
    yield from rows("mse_loss", "sample-weight", {"input": x, "target": y, "sample_weight": positives(2, 1)})
    yield from rows("mse_loss", "bad-shapes", {"input": reals(2, 3), "target": reals(2, 2)}, tags="error",
                    reductions=("mean",))  # fmt: skip


@pytest.fixture(autouse=True)
def own_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CASES, "mse_loss", {case.name: case for case in table()})


def mse(input, target, reduction):
    """The value, and the gradients under a cotangent."""
    d = input - target
    terms = d * d
    value = {"none": terms, "sum": terms.sum(), "mean": terms.mean() if terms.size else np.nan * terms.sum()}[reduction]

    def gradients(g: Any) -> dict[str, Any]:
        slope = (2.0 * d * (g / d.size if reduction == "mean" and d.size else g)).astype(d.dtype)
        return {"input": slope, "target": -slope}

    return np.asarray(value), gradients


def evaluate(request):
    with np.errstate(all="ignore"):
        value, gradients = request.function(**request.arrays, **request.options)
        found = gradients(request.cotangent(value.shape))
    return Answer(value, {name: found[name] for name in request.differentiable})


ENGINE = SimpleNamespace(
    __name__="engines.toy", MODES={"eager": Mode(evaluate)}, REFUSED={}, devices=lambda: ["cpu"], version=lambda: "2.5"
)


def changed(
    value: Callable[[Any], Any] = lambda v: v, gradient: Callable[[str, Any], Any] = lambda _, g: g
) -> Callable[..., Any]:
    """The toy with something done to its value, and to each of its gradients."""

    @functools.wraps(mse)
    def other(**arguments: Any) -> Any:
        v, gradients = mse(**arguments)
        return np.asarray(value(v)), lambda g: {name: gradient(name, each) for name, each in gradients(g).items()}

    return other


def raising(error: Exception) -> Callable[..., Any]:
    @functools.wraps(mse)
    def other(**_: Any) -> Any:
        raise error

    return other


def backend(function: Callable[..., Any] = mse, *others: Implementation, **declared: Any) -> Any:
    one = Implementation("mse_loss", "toy.mse", function, ("none", "mean", "sum"), **declared)
    return SimpleNamespace(IMPLEMENTATIONS=[one, *others], ENGINE=ENGINE)


def decide(
    where: str,
    function: Callable[..., Any] = mse,
    *others: Implementation,
    version: str = "1.5",
    selection: Selection | None = None,
    **declared: Any,
) -> Check:
    """The verdict on one check, given as case/dtype/aspect, of the toy with these declarations."""
    module = backend(function, *others, **declared)
    case, dtype, aspect = where.split("/")
    planned = [
        check
        for check in checks("toy", module, selection or Selection())
        if (check.implementation, check.case, check.dtype, check.aspect) == ("toy.mse", case, dtype, aspect)
    ]
    assert len(planned) == 1, f"{where} is planned {len(planned)} times"
    return Judge(module, 0, {"toy": version})(planned[0])


# --- match


def test_an_honest_implementation_matches_everywhere() -> None:
    module = backend()
    judge = Judge(module, 0, {})
    found = [judge(check) for check in checks("toy", module, Selection()) if check.case != "bad-shapes-mean"]
    supported = [check for check in found if check.verdict != "unsupported"]
    assert {check.verdict for check in supported} == {"match"}
    assert {check.aspect for check in supported} == {"shape", "dtype", "value", "gradient:input", "gradient:target"}
    assert {check.dtype for check in supported} == {"float64", "float32"}


def test_a_match_tells_its_error_and_margin() -> None:
    check = decide("plain-none/float64/value", changed(lambda v: np.nextafter(v, np.inf)))
    assert check.verdict == "match"
    assert check.error_ulp is not None
    assert 1.0 <= check.error_ulp <= 4.0
    assert check.margin is not None
    assert 0.0 < check.margin <= 1.0
    assert check.worst is not None
    assert check.worst["got"] != check.worst["want"]


def test_the_id_is_made_of_the_checks_parts() -> None:
    check = decide("plain-none/float64/gradient:input")
    assert check.id == "mse_loss/toy.mse/plain-none/float64/cpu/eager/gradient:input"


def test_nan_and_infinity_match_where_the_definition_gives_them() -> None:
    assert decide("nan-none/float64/value").verdict == "match"
    assert decide("infinite-none/float64/value").verdict == "match"
    assert decide("empty-none/float32/shape").verdict == "match"


def test_bad_input_that_raises_matches() -> None:
    check = decide("bad-shapes-mean/float64/error")
    assert check.verdict == "match"
    assert "ValueError" in check.reason


# --- mismatch


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("aspect", ["value", "gradient:input", "gradient:target"])
def test_a_64_roundoff_error_is_a_mismatch(dtype: str, aspect: str) -> None:
    off = np.asarray(1.0 + 64.0 * np.finfo(dtype).eps, dtype=dtype)
    wrong = (
        changed(lambda v: v * off)
        if aspect == "value"
        else changed(gradient=lambda name, g: g * off if aspect.endswith(name) else g)
    )
    check = decide(f"plain-none/{dtype}/{aspect}", wrong)
    assert check.verdict == "mismatch"
    assert check.margin is not None
    assert check.margin > 1.0
    assert aspect in check.reason
    for word in ("want", "ULP", "tolerance"):
        assert word in check.reason


def test_only_the_aspect_that_is_wrong_is_a_mismatch() -> None:
    wrong = changed(gradient=lambda name, g: -g if name == "target" else g)
    assert decide("plain-none/float64/gradient:target", wrong).verdict == "mismatch"
    for aspect in ("shape", "dtype", "value", "gradient:input"):
        assert decide(f"plain-none/float64/{aspect}", wrong).verdict == "match"


def test_a_mismatch_names_the_element_and_its_inputs() -> None:
    def spoil(value: Any) -> Any:
        value[1, 2] += 0.5
        return value

    check = decide("plain-none/float64/value", changed(spoil))
    d = X[1][2] - Y[1][2]
    assert check.reason.startswith(f"value[1, 2] = {d * d + 0.5!r}, want {d * d!r}")
    assert check.worst is not None
    assert check.worst["index"] == [1, 2]
    assert check.worst["at"]["input"] == X[1][2]


def test_a_wrong_shape_is_a_mismatch() -> None:
    check = decide("plain-sum/float64/shape", changed(np.atleast_1d))
    assert (check.verdict, check.reason) == ("mismatch", "shape of value = (1,), want ()")
    assert decide("plain-sum/float64/value", changed(np.atleast_1d)).verdict == "mismatch"
    transposed = changed(gradient=lambda _, g: g.T)
    assert decide("plain-none/float64/shape", transposed).reason == "shape of gradient:input = (3, 2), want (2, 3)"
    assert decide("plain-none/float64/gradient:input", transposed).verdict == "mismatch"


def test_a_wrong_dtype_is_a_mismatch() -> None:
    check = decide("plain-sum/float32/dtype", changed(lambda v: v.astype(np.float64)))
    assert (check.verdict, check.reason) == ("mismatch", "dtype of value = float64, want float32")
    check = decide("plain-sum/float64/dtype", changed(gradient=lambda _, g: g.astype(np.float32)))
    assert (check.verdict, check.reason) == ("mismatch", "dtype of gradient:input = float32, want float64")


def test_a_missing_gradient_is_a_mismatch() -> None:
    check = decide(
        "plain-sum/float64/gradient:target", changed(gradient=lambda name, g: None if name == "target" else g)
    )
    assert check.verdict == "mismatch"
    assert "gradient:target = none" in check.reason


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("aspect", ["value", "gradient:input"])
def test_nan_and_infinity_are_no_finite_number(wrong: float, aspect: str) -> None:
    full = changed(lambda v: np.full_like(v, wrong), lambda _, g: np.full_like(g, wrong))
    for dtype in ("float64", "float32"):
        check = decide(f"plain-none/{dtype}/{aspect}", full)
        assert check.verdict == "mismatch"
        assert check.error_ulp == np.inf


@pytest.mark.parametrize("wrong", [0.0, np.inf, -np.inf])
@pytest.mark.parametrize("case", ["nan-none", "empty-mean"])
def test_nothing_else_passes_for_nan(case: str, wrong: float) -> None:
    def cleaned(value: Any) -> Any:
        return np.where(np.isnan(value), wrong, value)

    assert decide(f"{case}/float64/value", changed(cleaned)).verdict == "mismatch"


@pytest.mark.parametrize("wrong", [np.nan, -np.inf, 1.7e308])
def test_nothing_else_passes_for_infinity(wrong: float) -> None:
    def finite(value: Any) -> Any:
        return np.where(np.isinf(value), wrong, value)

    assert decide("infinite-none/float64/value", changed(finite)).verdict == "mismatch"


def test_bad_input_that_is_computed_is_a_mismatch() -> None:
    @functools.wraps(mse)
    def lenient(input: Any, target: Any, reduction: str) -> Any:
        return mse(input, np.resize(target, input.shape), reduction)

    check = decide("bad-shapes-mean/float64/error", lenient)
    assert check.verdict == "mismatch"
    assert "want an error" in check.reason


# --- error


def test_what_is_no_fault_of_the_framework_breaks_no_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    check = decide("plain-sum/float64/value", raising(MemoryError()))
    assert check.verdict == "crashed"
    assert check.reason.startswith("out of memory, so nothing is decided here")

    def fail(*_: Any) -> None:
        raise KeyError("a bug of ours")

    monkeypatch.setattr(Judge, "_compare", fail)
    check = decide("plain-sum/float64/value")
    assert check.verdict == "crashed"
    assert check.reason.startswith("the suite itself failed here, not the framework: ")
    assert exit_code(Run({}, 0, [], [check], backends={check.backend: {"asked": False, "status": "complete"}})) == 3


def test_an_exception_is_an_error_with_its_words() -> None:
    check = decide("plain-sum/float64/value", raising(RuntimeError("no kernel\nfor this")))
    assert (check.verdict, check.reason) == ("error", "raised RuntimeError: no kernel")


def fragile(error: Exception, *breaks: str) -> Callable[..., Answer]:
    """The toy's engine, whose autodiff raises with these arguments."""

    def run(request):
        if set(request.differentiable) & set(breaks):
            raise error
        return evaluate(request)

    return run


def test_a_gradient_that_raises_leaves_the_value_and_the_other_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINE.MODES, "eager", Mode(fragile(RuntimeError("no derivative"), "target")))
    for aspect in ("shape", "dtype", "value", "gradient:input"):
        assert decide(f"plain-mean/float64/{aspect}").verdict == "match", aspect
    check = decide("plain-mean/float64/gradient:target")
    assert (check.verdict, check.reason) == ("error", "raised RuntimeError: no derivative")
    issue = KnownIssue(
        "no-slope", "It raises.", "https://toy", ">=1", raises="RuntimeError", aspects=("gradient:target",)
    )
    assert decide("plain-mean/float64/gradient:target", known_issues=(issue,)).verdict == "known"
    refuses = Dialect("no-slope", "It is data.", "https://toy", raises="RuntimeError")
    assert decide("plain-mean/float64/gradient:target", dialects=(refuses,)).verdict == "dialect"
    assert decide("plain-mean/float64/value", dialects=(refuses,)).verdict == "match"


def test_a_gradient_that_raises_in_one_entry_point_alone_is_no_twin() -> None:
    def evaluated(request):
        return fragile(RuntimeError("no derivative"), *getattr(request.function, "breaks", ()))(request)

    @functools.wraps(mse)
    def broken(**arguments: Any) -> Any:
        return mse(**arguments)

    broken.breaks = ("target",)  # type: ignore[attr-defined]
    one = Implementation("mse_loss", "toy.mse", broken, ("mean",), twin="toy.other")
    other = Implementation("mse_loss", "toy.other", mse, ("mean",))
    engine = SimpleNamespace(**{**vars(ENGINE), "MODES": {"eager": Mode(evaluated)}})
    module: Any = SimpleNamespace(IMPLEMENTATIONS=[one, other], ENGINE=engine)
    judge = Judge(module, 0, "1.0")
    planned = {c.aspect: c for c in checks("toy", module, Selection(expression="plain-mean and float64 and toy.mse"))}
    assert judge(planned["twin"]).reason == "gradient:target is not the same bits as that of toy.other"


def test_exceptions_are_known_by_their_class_its_bases_and_what_they_came_from() -> None:
    class CompilerError(Exception):
        pass

    try:
        try:
            raise UnicodeError("inner")
        except UnicodeError as inner:
            raise CompilerError("outer") from inner
    except CompilerError as error:
        wrapped = error
    for error in (ValueError("x"), UnicodeError("x"), wrapped):
        for name, verdict in (("ValueError", "dialect"), ("TypeError", "error")):
            refuses = Dialect("refuses", "It refuses.", "https://toy", raises=name)
            check = decide("plain-mean/float64/value", raising(error), dialects=(refuses,))
            assert check.verdict == verdict, (error, name)
            assert check.result == type(error).__name__


def test_declarations_see_where_and_on_what_a_call_runs() -> None:
    seen: list[Call] = []
    spy = Dialect("spy", "It looks.", "https://toy", parameters={}, when=lambda call: bool(seen.append(call)))
    decide("plain-mean/float64/value", halved, dialects=(spy,))
    assert {(call.device, call.mode, call.engine, call.engine_version) for call in seen} == {
        ("cpu", "eager", "toy", "2.5")
    }


@pytest.mark.parametrize("error", [AttributeError("mse"), NameError("mse"), ImportError("toy")])
def test_a_broken_adapter_does_not_pass_for_a_refusal(error: Exception) -> None:
    check = decide("bad-shapes-mean/float64/error", raising(error))
    assert check.verdict == "error"
    assert "no answer to bad input" in check.reason


# --- unsupported


def test_what_is_declared_as_not_offered_is_unsupported() -> None:
    lacks = decide("sample-weight-none/float64/value", lacks={"sample_weight": "weights are not for toys"})
    assert (lacks.verdict, lacks.reason) == ("unsupported", "weights are not for toys")
    silent = decide("sample-weight-none/float64/value")
    assert (silent.verdict, silent.reason) == ("unsupported", "toy.mse does not take sample_weight")
    dtype = decide("plain-none/float32/value", dtypes=("float64",))
    assert (dtype.verdict, dtype.reason) == ("unsupported", "toy.mse does not take float32")
    gone = decide("plain-none/float64/value", exists=False)
    assert (gone.verdict, gone.reason) == ("unsupported", "this version has no toy.mse")
    declared = Unsupported("one axis only", lambda call: call.arguments["input"].ndim > 1)
    assert decide("plain-none/float64/value", unsupported=(declared,)).reason == "one axis only"
    assert decide("kink-none/float64/value", unsupported=(declared,)).verdict == "match"


def test_a_reduction_that_is_not_offered_is_unsupported() -> None:
    one = Implementation("mse_loss", "toy.summed", mse, ("sum",))
    module = SimpleNamespace(IMPLEMENTATIONS=[one], ENGINE=ENGINE)
    judge = Judge(module, 0, {})
    found = {check.case: judge(check) for check in checks("toy", module, Selection(dtypes=("float64",)))}
    assert found["plain-none"].verdict == "unsupported"
    assert "no reduction 'none'; it has sum" in found["plain-none"].reason
    assert found["plain-sum"].verdict == "match"


def test_a_gradient_that_is_not_offered_is_unsupported() -> None:
    one = {"target": "the target is data"}
    check = decide("plain-none/float64/gradient:target", no_gradient=one)
    assert (check.verdict, check.reason) == ("unsupported", "the target is data")
    assert decide("plain-none/float64/gradient:input", no_gradient=one).verdict == "match"
    every = {"*": "a metric"}
    assert decide("plain-none/float64/gradient:input", no_gradient=every).reason == "a metric"


# --- not-run


def test_a_device_and_a_mode_that_are_not_there_are_not_run() -> None:
    check = decide("plain-none/float64/value", selection=Selection(devices=("cuda:0",)))
    assert (check.verdict, check.reason) == ("not-run", "no device cuda:0 here; there are cpu")
    check = decide("plain-none/float64/value", selection=Selection(modes=("compiled",)))
    assert (check.verdict, check.reason) == ("not-run", "no mode compiled; there are eager")


# --- dialect

HALF = Dialect("half", "Half of the square.", "https://toy", parameters={"sample_weight": 0.5})
ROWS = Dialect("row-means", "The mean of each row.", "https://toy", parameters={"average_last_axis": True})


def halved(input, target, reduction):
    value, gradients = mse(input, target, reduction)
    return value * 0.5, lambda g: {name: each * 0.5 for name, each in gradients(g).items()}


def half_row_sum(input, target, reduction):  # noqa: ARG001  only sums are tried
    """Half of the square, averaged over the last axis, summed."""
    d = input - target
    scale = 0.5 / d.shape[-1]

    def gradients(g: Any) -> dict[str, Any]:
        slope = (2.0 * scale * d * g).astype(d.dtype)
        return {"input": slope, "target": -slope}

    return np.asarray(scale * (d * d).sum()).astype(d.dtype), gradients


@pytest.mark.parametrize("aspect", ["value", "gradient:input", "gradient:target"])
def test_a_declared_difference_is_a_dialect(aspect: str) -> None:
    check = decide(f"plain-sum/float64/{aspect}", halved, dialects=(HALF,))
    assert (check.verdict, check.reason) == ("dialect", "half: Half of the square.")
    assert check.margin is not None
    assert check.margin <= 1.0
    assert decide(f"plain-sum/float64/{aspect}", halved).verdict == "mismatch"


def test_a_dialect_is_verified_and_not_an_excuse() -> None:
    @functools.wraps(mse)
    def a_third(**arguments: Any) -> Any:
        value, gradients = mse(**arguments)
        return value / 3.0, gradients

    check = decide("plain-sum/float64/value", a_third, dialects=(HALF,))
    assert check.verdict == "mismatch"
    assert f"want {float(np.square(np.subtract(X, Y)).sum())!r}" in check.reason  # of the canonical loss
    assert decide("plain-sum/float64/gradient:input", halved, dialects=(HALF,)).verdict == "dialect"
    only_value = changed(lambda v: v * 0.5)
    assert decide("plain-sum/float64/gradient:input", only_value, dialects=(HALF,)).verdict == "match"


def test_a_dialect_holds_only_for_the_calls_it_names() -> None:
    sums = Dialect("half", "", "", HALF.parameters, when=lambda call: call.arguments["reduction"] == "sum")
    assert decide("plain-sum/float64/value", halved, dialects=(sums,)).verdict == "dialect"
    assert decide("plain-none/float64/value", halved, dialects=(sums,)).verdict == "mismatch"


def test_the_parameters_of_a_dialect_may_depend_on_the_call() -> None:
    half = Dialect("half", "", "", parameters=lambda call: {"sample_weight": 0.5 + 0.0 * call.arguments["input"]})
    assert decide("plain-sum/float64/value", halved, dialects=(half,)).verdict == "dialect"


def test_two_dialects_together_explain_what_neither_does_alone() -> None:
    both = decide("plain-sum/float64/value", half_row_sum, dialects=(HALF, ROWS))
    assert both.verdict == "dialect"
    assert both.reason.startswith("half+row-means: ")
    for alone in (HALF, ROWS):
        assert decide("plain-sum/float64/value", half_row_sum, dialects=(alone,)).verdict == "mismatch"


def test_the_smallest_set_of_dialects_is_named() -> None:
    check = decide("plain-sum/float64/value", halved, dialects=(ROWS, HALF))
    assert check.reason.startswith("half: ")


def test_a_dialect_that_does_not_fit_the_call_explains_nothing() -> None:
    unfit = Dialect("unfit", "", "", parameters={"sample_weight": np.ones(7)})
    assert decide("plain-sum/float64/value", halved, dialects=(unfit,)).verdict == "mismatch"


def test_a_declared_refusal_is_a_dialect() -> None:
    refuses = Dialect("no-sums", "Sums are refused.", "", raises="TypeError")
    check = decide("plain-sum/float64/value", raising(TypeError("no sums")), dialects=(refuses,))
    assert check.verdict == "dialect"
    assert check.reason.startswith("no-sums: ")
    other = decide("plain-sum/float64/value", raising(ValueError("no sums")), dialects=(refuses,))
    assert (other.verdict, other.reason) == ("error", "raised ValueError: no sums")


def test_a_declared_leniency_is_a_dialect() -> None:
    @functools.wraps(mse)
    def lenient(input: Any, target: Any, reduction: str) -> Any:
        return mse(input, np.resize(target, input.shape), reduction)

    accepts = Dialect("any-shape", "Shapes are made to fit.", "", accepts=True)
    check = decide("bad-shapes-mean/float64/error", lenient, dialects=(accepts,))
    assert check.verdict == "dialect"
    assert check.reason.startswith("any-shape: ")
    assert decide("plain-sum/float64/value", changed(lambda v: v + 1.0), dialects=(accepts,)).verdict == "mismatch"


def test_a_declared_dtype_is_a_dialect() -> None:
    wide = Dialect("doubles", "The value is a double.", "", dtype="float64", when=lambda call: call.dtype == "float32")

    @functools.wraps(mse)
    def doubles(input: Any, target: Any, reduction: str) -> Any:
        value, gradients = mse(input.astype(np.float64), target.astype(np.float64), reduction)
        return value, lambda g: {name: each.astype(input.dtype) for name, each in gradients(g).items()}

    assert decide("plain-mean/float32/dtype", doubles, dialects=(wide,)).verdict == "dialect"
    # A double is held to a double's tolerance.
    rounded = changed(lambda v: v.astype(np.float64) * (1.0 + 2.0**-40))
    assert decide("plain-mean/float32/dtype", rounded, dialects=(wide,)).verdict == "dialect"
    assert decide("plain-mean/float64/dtype", changed(lambda v: v.astype(np.float32))).verdict == "mismatch"


def test_a_declared_reduction_widens_only_what_it_is_declared_for() -> None:
    narrow = Dialect("narrow", "Reduces in float32.", "", reduced_in="float32", when=lambda call: "plain" in call.case)
    rounded = changed(lambda v: v.astype(np.float32).astype(np.float64) * (1.0 + 2.0**-23))
    assert decide("plain-sum/float64/value", rounded, dialects=(narrow,)).verdict == "dialect"
    assert decide("kink-none/float64/value", rounded, dialects=(narrow,)).verdict == "mismatch"
    far = changed(lambda v: v * (1.0 + 1e-3))
    assert decide("plain-sum/float64/value", far, dialects=(narrow,)).verdict == "mismatch"


# --- lossy


def over_100(input: Operand, target: Operand, weight: Operand | None) -> Operand:
    """(x - y)^2 as ((x - y)^2 + 100) - 100."""
    d = input - target
    result: Operand = weighted(d * d + 100.0, weight) - weighted(input.lift(100.0), weight)
    return result


OVER = Dialect("over-100", "The square has only the digits that it has beside 100.", "", computed_as=over_100)
NOISE = 2.0**-24 * 50.0  # of the size that 100 leaves in float32, and far beyond the rounding of a square of size 1


def test_what_only_a_less_accurate_formula_explains_is_lossy() -> None:
    noisy = changed(lambda v: (v + NOISE).astype(v.dtype))
    assert decide("plain-none/float32/value", noisy).verdict == "mismatch"
    check = decide("plain-none/float32/value", noisy, dialects=(OVER,))
    assert check.verdict == "lossy"
    assert check.declared == ["over-100"]
    assert check.reason.startswith("over-100: ")
    assert decide("any/any/dialect:over-100", noisy, dialects=(OVER,)).verdict == "lossy"


def test_a_less_accurate_formula_excuses_no_more_than_it_costs() -> None:
    far = changed(lambda v: (v + 100.0 * NOISE).astype(v.dtype))
    assert decide("plain-none/float32/value", far, dialects=(OVER,)).verdict == "mismatch"
    tilted = changed(gradient=lambda _, g: (g * (1.0 + 2.0**-18)).astype(g.dtype))
    assert decide("plain-none/float32/gradient:input", tilted, dialects=(OVER,)).verdict == "mismatch"


def test_a_less_accurate_formula_that_is_not_needed_is_stale() -> None:
    assert decide("plain-none/float32/value", mse, dialects=(OVER,)).verdict == "match"
    assert decide("any/any/dialect:over-100", mse, dialects=(OVER,)).verdict == "stale"


# --- known


def issue(versions: str = ">=1.2,<2.0", **wrong: Any) -> KnownIssue:
    return KnownIssue("bug-7", "It is wrong.", "https://toy/7", versions, **wrong)


WRONG: dict[str, Callable[..., Any]] = {
    "halved": changed(lambda v: v * 0.5, lambda _, g: g * 0.5),
    "number": changed(lambda v: v + 1.0),
    "nan": changed(lambda v: v * np.nan),
    "inf": changed(lambda v: v + np.inf),
    "zero": changed(lambda v: v * 0.0),
    "raises": raising(RuntimeError("boom")),
}
TOLD: dict[str, dict[str, Any]] = {
    "halved": {"parameters": {"sample_weight": 0.5}},
    "number": {
        "bounds": lambda call: ((call.arguments["input"] - call.arguments["target"]) ** 2 + x for x in (0.9, 1.1))
    },
    **{symptom: {"symptom": symptom} for symptom in ("nan", "inf", "zero")},
    "raises": {"raises": "RuntimeError"},
}


@pytest.mark.parametrize("shown", WRONG)
@pytest.mark.parametrize("declared", TOLD)
def test_a_known_issue_is_known_by_its_wrong_answer(shown: str, declared: str) -> None:
    check = decide("plain-none/float64/value", WRONG[shown], known_issues=(issue(**TOLD[declared]),))
    if declared == shown:
        assert check.verdict == "known"
        assert check.reason.startswith("bug-7: It is wrong. (https://toy/7); ")
        assert ("raised RuntimeError" if shown == "raises" else "want") in check.reason
    else:
        assert check.verdict == ("error" if shown == "raises" else "mismatch")


def test_a_known_issue_by_parameters_is_verified_in_every_aspect() -> None:
    declared = (issue(**TOLD["halved"]),)
    for aspect in ("value", "gradient:input", "gradient:target"):
        assert decide(f"plain-sum/float64/{aspect}", WRONG["halved"], known_issues=declared).verdict == "known"
    garbled = changed(lambda v: v * 0.5, lambda _, g: g * 0.5000001)
    assert decide("plain-sum/float64/value", garbled, known_issues=declared).verdict == "known"
    assert decide("plain-sum/float64/gradient:input", garbled, known_issues=declared).verdict == "mismatch"


def test_a_known_issue_and_a_dialect_show_together() -> None:
    declared: dict[str, Any] = {"dialects": (ROWS,), "known_issues": (issue(**TOLD["halved"]),)}
    check = decide("plain-sum/float64/value", half_row_sum, **declared)
    assert (check.verdict, list(check.declared)) == ("known", ["bug-7", "row-means"])


def test_an_argument_that_a_declaration_repeats_has_the_gradient_of_all_its_copies() -> None:
    def twice(input, target, reduction):
        value, gradients = mse(input, target, reduction)
        return value * 2.0, lambda g: {name: each * 2.0 for name, each in gradients(g).items()}

    def both(call: Call) -> dict[str, Any]:
        return {name: np.stack([call.arguments[name]] * 2) for name in ("input", "target")}

    for aspect in ("value", "gradient:input", "gradient:target"):
        check = decide(f"plain-sum/float64/{aspect}", twice, known_issues=(issue(parameters=both),))
        assert check.verdict == "known", check.reason


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"symptom": "any"},
        {"symptom": "number"},
        {"symptom": "nan", "raises": "ValueError"},
        {"symptom": "nan", "aspects": ("",)},
        {"symptom": "nan", "aspects": ()},
        {"symptom": "nan", "aspects": ("values",)},
        {"symptom": "twin"},
    ],
)
def test_a_known_issue_that_anything_could_pass_for_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="known issue 'bug-7'"):
        issue(**wrong)


@pytest.mark.parametrize(("version", "verdict"), [("1.1", "mismatch"), ("1.2", "known"), ("2.0", "mismatch")])
def test_a_known_issue_is_known_in_its_versions(version: str, verdict: str) -> None:
    declared = (issue(**TOLD["halved"]),)
    assert decide("plain-sum/float64/value", halved, known_issues=declared, version=version).verdict == verdict


def test_a_known_issue_is_known_in_its_aspects() -> None:
    declared = (issue(**TOLD["halved"], aspects=("gradient:input",)),)
    assert decide("plain-sum/float64/gradient:input", halved, known_issues=declared).verdict == "known"
    assert decide("plain-sum/float64/gradient:target", halved, known_issues=declared).verdict == "mismatch"
    assert decide("plain-sum/float64/value", halved, known_issues=declared).verdict == "mismatch"


def test_wrong_numbers_do_not_excuse_a_missing_gradient_or_a_wrong_shape() -> None:
    for told in (TOLD["halved"], TOLD["nan"], {"bounds": lambda _: (-1e9, 1e9)}):
        none = changed(gradient=lambda *_: None)
        assert decide("plain-sum/float64/gradient:input", none, known_issues=(issue(**told),)).verdict == "mismatch"
    wide = changed(lambda v: np.atleast_1d(v))
    for told in (TOLD["halved"], TOLD["nan"], {"bounds": lambda _: (-1e9, 1e9)}):
        assert decide("plain-sum/float64/value", wide, known_issues=(issue(**told),)).verdict == "mismatch"


def test_bounds_let_an_element_be_nan_where_it_should_be() -> None:
    wide = KnownIssue("wide", "It is wrong.", "https://toy", ">=1", bounds=lambda _: (-9.0, 9.0))
    doubled, lost = changed(lambda v: 2.0 * v + 1.0), changed(lambda v: np.full_like(v, np.nan))
    assert decide("nan-none/float64/value", doubled, known_issues=(wide,)).verdict == "known"
    assert decide("nan-none/float64/value", lost, known_issues=(wide,)).verdict == "mismatch"


# --- modes


def twofold(module: Any, **modes: Callable[..., Any]) -> Any:
    """A backend whose engine runs a call in these modes too, each by another function."""

    def mode(function: Callable[..., Any]) -> Mode:
        return Mode(lambda request: evaluate(dataclasses.replace(request, function=function)))

    there = {"eager": Mode(evaluate), **{name: mode(function) for name, function in modes.items()}}
    return SimpleNamespace(
        IMPLEMENTATIONS=module.IMPLEMENTATIONS, ENGINE=SimpleNamespace(**{**vars(ENGINE), "MODES": there})
    )


def decided(module: Any, selection: Selection) -> dict[tuple[str, str], set[str]]:
    """The verdicts by mode and aspect."""
    judge = Judge(module, 0, {"toy": "1.0"})
    found: dict[tuple[str, str], set[str]] = {}
    for each in checks("toy", module, selection):
        found.setdefault((each.mode, each.aspect), set()).add(judge(each).verdict)
    return found


def test_a_declaration_of_some_modes_is_none_of_the_others() -> None:
    half = dataclasses.replace(HALF, modes=("fast", "faster"))
    module = twofold(backend(dialects=(half,)), fast=halved, faster=mse)
    every = Selection(modes=("eager", "fast", "faster"), expression="plain-mean and float64 or dialect")
    found = decided(module, every)
    assert ("eager", "dialect:half") not in found
    assert found["eager", "value"] == found["faster", "value"] == {"match"}
    assert found["fast", "value"] == {"dialect"}
    # It is said to hold in both, and shows in one: that is enough, also where the other is run alone.
    assert found["fast", "dialect:half"] == found["faster", "dialect:half"] == {"dialect"}
    assert decided(module, Selection(modes=("faster",)))["faster", "dialect:half"] == {"dialect"}
    assert decided(twofold(backend(dialects=(half,)), fast=mse, faster=mse), every)["fast", "dialect:half"] == {"stale"}


def test_what_is_not_offered_in_a_mode_is_offered_in_the_others() -> None:
    lacks = Unsupported("it does not compile", modes=("fast",))
    module = twofold(backend(unsupported=(lacks,)), fast=mse)
    found = decided(module, Selection(modes=("eager", "fast"), expression="plain-mean and float64"))
    assert found["eager", "value"] == {"match"}
    assert found["fast", "value"] == {"unsupported"}


def test_stale_is_judged_over_all_dtypes_and_modes() -> None:
    """A declaration that shows in one of them is not stale where another is run alone."""
    module = twofold(backend(mse, dialects=(HALF,)), fast=halved)
    alone = Selection(modes=("eager",), expression="dialect")
    assert decided(module, alone)["eager", "dialect:half"] == {"dialect"}
    narrow = dataclasses.replace(HALF, when=lambda call: call.dtype == "float16")
    declared = {"dtypes": ("float64", "float32", "float16"), "dialects": (narrow,)}
    for selection in (Selection(), Selection(dtypes=("float64",))):
        assert decide("any/any/dialect:half", halved, selection=selection, **declared).verdict == "dialect"
        assert decide("any/any/dialect:half", mse, selection=selection, **declared).verdict == "stale"


# --- stale


def test_a_dialect_that_no_case_shows_is_stale() -> None:
    check = decide("any/any/dialect:half", dialects=(HALF,))
    assert check.verdict == "stale"
    assert "no case shows 'half'" in check.reason
    shown = decide("any/any/dialect:half", halved, dialects=(HALF,))
    assert shown.verdict == "dialect"
    assert "mse_loss/toy.mse/" in shown.reason


def test_a_known_issue_that_no_case_shows_is_stale() -> None:
    assert decide("any/any/dialect:bug-7", known_issues=(issue(**TOLD["halved"]),)).verdict == "stale"
    assert decide("any/any/dialect:bug-7", halved, known_issues=(issue(**TOLD["halved"]),)).verdict == "known"
    later = decide("any/any/dialect:bug-7", known_issues=(issue(**TOLD["halved"]),), version="2.3")
    assert later.verdict == "unsupported"
    assert ">=1.2,<2.0" in later.reason


def test_a_declaration_that_only_helps_another_is_still_needed() -> None:
    for name in ("half", "row-means"):
        check = decide(f"any/any/dialect:{name}", half_row_sum, dialects=(HALF, ROWS))
        assert check.verdict == "dialect"


def test_a_predicate_need_not_read_bad_input() -> None:
    def differ(call: Call) -> bool:
        return "refused" not in call.case and bool(np.any(call.arguments["input"] > 100.0 + call.arguments["target"]))

    assert decide("any/any/dialect:half", dialects=(dataclasses.replace(HALF, when=differ),)).verdict == "stale"
    assert decide("bad-shapes-mean/float64/error", unsupported=(Unsupported("far", differ),)).verdict == "match"


def test_the_declarations_of_an_entry_point_that_is_gone_are_not_stale() -> None:
    assert decide("any/any/dialect:half", dialects=(HALF,), exists=False).verdict == "unsupported"


# --- twin


def test_no_call_is_made_twice() -> None:
    """Neither for another aspect nor for the twin."""
    calls: list[Any] = []

    @functools.wraps(mse)
    def counted(**arguments: Any) -> Any:
        calls.append(arguments)
        return mse(**arguments)

    reductions = ("none", "mean", "sum")
    module = backend(counted, Implementation("mse_loss", "toy.other", counted, reductions), twin="toy.other")
    plan = list(checks("toy", module, Selection()))
    judge = Judge(module, 0, {"toy": "1.5"})
    decided = [check for check in map(judge, plan) if check.verdict != "unsupported"]
    assert {check.verdict for check in decided} == {"match"}
    assert len(calls) == len({(check.implementation, check.case, check.dtype) for check in decided})


def test_a_twin_must_give_the_same_bits() -> None:
    def the_class(function: Callable[..., Any]) -> Implementation:
        return Implementation("mse_loss", "toy.Class", function, ("none", "mean", "sum"))

    assert decide("plain-sum/float64/twin", mse, the_class(mse), twin="toy.Class").verdict == "match"
    bit = np.float64(1.0 + 2.0**-52)
    for other in (changed(lambda v: v * bit), changed(gradient=lambda _, g: g * bit)):
        check = decide("plain-none/float64/twin", mse, the_class(other), twin="toy.Class")
        assert check.verdict == "mismatch"
        assert "not the same bits as that of toy.Class" in check.reason
    check = decide("plain-sum/float64/twin", mse, the_class(raising(TypeError("x"))), twin="toy.Class")
    assert check.verdict == "mismatch"
    assert "toy.Class raised TypeError: x" in check.reason


# --- the selection


def test_the_selection_picks_by_its_words() -> None:
    module = backend()
    everything = list(checks("toy", module, Selection()))
    assert [c.id for c in checks("toy", module, Selection(losses=("l1_loss",)))] == []
    narrow = list(checks("toy", module, Selection(dtypes=("float32",))))
    assert {check.dtype for check in narrow} == {"float32"}
    picked = {c.id for c in checks("toy", module, Selection(expression="Plain and (value or gradient) and not mean"))}
    wanted = {
        c.id for c in everything if "plain" in c.id and ("value" in c.id or "gradient" in c.id) and "mean" not in c.id
    }
    assert picked == wanted
    assert len({check.id for check in everything}) == len(everything)


@pytest.mark.parametrize("expression", ["and", "a and", "(a", "a b", "a (b)", "()", "not"])
def test_an_expression_that_does_not_read_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="does not read"):
        Selection(expression=expression).validate()


@pytest.mark.parametrize("expression", ["1/0", "text", "'plain'", "[]", "x:=1", "float64\\"])
def test_the_words_of_an_expression_are_only_searched_for(expression: str) -> None:
    assert list(checks("toy", backend(), Selection(expression=expression))) == []


def test_an_unknown_loss_or_dtype_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown loss 'mse'; there are .*mse_loss"):
        Selection(losses=("mse",)).validate()
    with pytest.raises(ValueError, match="unknown dtype 'float8'; there are float64, float32"):
        Selection(dtypes=("float8",)).validate()


def test_what_fell_back_to_the_eager_mode_is_an_error_also_where_one_is_expected() -> None:
    def not_compiled(_: Any) -> Answer:
        raise NotCompiledError("torch.compile left calls to the eager mode: 0 graphs, where 1 were due")

    engine = SimpleNamespace(**{**vars(ENGINE), "MODES": {"eager": Mode(not_compiled)}})
    module = SimpleNamespace(IMPLEMENTATIONS=[Implementation("mse_loss", "toy.mse", mse, ("mean",))], ENGINE=engine)
    judge = Judge(module, 0, "1.0")  # type: ignore[arg-type]
    decided = [judge(check) for check in checks("toy", module, Selection())]  # type: ignore[arg-type]
    errors = [each for each in decided if each.verdict != "unsupported"]
    assert {each.aspect for each in errors} >= {"value", "error"}
    assert {(each.verdict, each.reason) for each in errors} == {
        ("error", "torch.compile left calls to the eager mode: 0 graphs, where 1 were due")
    }


def test_a_mode_that_the_machine_does_not_have_is_not_run_with_its_reason() -> None:
    mode = Mode(evaluate, missing=lambda device: f"no compiler for {device} here")
    engine = SimpleNamespace(**{**vars(ENGINE), "MODES": {"eager": Mode(evaluate), "fast": mode}})
    module = SimpleNamespace(IMPLEMENTATIONS=[Implementation("mse_loss", "toy.mse", mse, ("mean",))], ENGINE=engine)
    judge = Judge(module, 0, "1.0")  # type: ignore[arg-type]
    decided = [judge(check) for check in checks("toy", module, Selection(modes=("fast",)))]  # type: ignore[arg-type]
    assert {(each.verdict, each.reason) for each in decided} == {("not-run", "no compiler for cpu here")}
