"""The matrix: which checks there are, and the verdict on each.

    implementation x case x dtype x device x mode x aspect

`checks` lists them, `Judge` decides them. Both are used by the pytest matrix and by `lossparity run`.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from packaging.specifiers import SpecifierSet  # pytest, which we need, needs it

from lossparity import reference
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported
from lossparity.conformance import tolerance, warned
from lossparity.conformance.cases import CASES, DTYPES, Case
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.record import Check
from lossparity.reference.core import Array, Gradients

DEFAULT_SEED = 0

# How many elements of a result the record keeps, so that a later run can be compared with this one.
DIGEST_SIZE = 16


@dataclass(frozen=True)
class Selection:
    """Which checks are asked for. Empty means all of them; for devices and modes, the framework's first.

    quick: of each row of the case table only the first reduction and the mean (Case.quick). What it leaves out is the
    sums and the reductions of weighted samples.
    """

    losses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    expression: str = ""
    quick: bool = False

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Selection:
        """A selection from what JSON or a command line gives: lists become tuples."""
        given: dict[str, Any] = {name: tuple(w) if isinstance(w, (list, tuple)) else w for name, w in words.items()}
        return cls(**given)

    def validate(self) -> None:
        """ValueError that says which word is wrong and what it may be."""
        for kind, given, known in (("loss", self.losses, tuple(DEFINITIONS)), ("dtype", self.dtypes, DTYPES)):
            for name in given:
                if name not in known:
                    raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(known)}")
        compile_expression(self.expression)


def compile_expression(expression: str) -> Callable[[str], bool]:
    """pytest's -k language over check IDs: words joined by `and`, `or`, `not` and parentheses, case ignored."""
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    python = " ".join(t if t in ("and", "or", "not", "(", ")") else f"({t.lower()!r} in text)" for t in tokens)
    if not tokens:
        return lambda _: True
    try:
        tree = ast.parse(python, "-k", "eval")
        if any(isinstance(node, (ast.Call, ast.Tuple)) for node in ast.walk(tree)):  # `a b` and `()`
            raise SyntaxError
        code = compile(tree, "-k", "eval")
    except SyntaxError:
        raise ValueError(f"-k {expression!r} does not read: join words with and, or, not and parentheses") from None
    # Every word above is quoted by repr; what is left is and, or, not and parentheses.
    return lambda identifier: bool(eval(code, {"__builtins__": {}}, {"text": identifier.lower()}))  # noqa: S307


def checks(backend: str, module: ModuleType, selection: Selection) -> Iterator[Check]:
    """Every check of a backend that the selection asks for, in the order in which they run."""
    wanted = compile_expression(selection.expression)
    for implementation in module.IMPLEMENTATIONS:
        if selection.losses and implementation.loss not in selection.losses:
            continue
        for device in selection.devices or module.devices()[:1]:
            for mode in selection.modes or tuple(module.MODES)[:1]:
                for case, dtype, aspect in _rows(implementation, selection):
                    parts = (implementation.loss, implementation.name, case, dtype, device, mode, aspect)
                    check = Check("/".join(parts), parts[0], backend, *parts[1:])
                    if wanted(check.id):
                        yield check


def not_installed(backend: str, reason: str) -> Check:
    """The one check that stands for a backend that cannot be run at all."""
    return Check(f"*/{backend}", "*", backend, "*", "*", "*", "*", "*", "*", verdict="not-run", reason=reason)


def _rows(implementation: Implementation, selection: Selection) -> Iterator[tuple[str, str, str]]:
    for case in CASES.get(implementation.loss, {}).values():
        if selection.quick and not case.quick:
            continue
        for dtype in selection.dtypes or case.dtypes:
            if dtype in case.dtypes:
                for aspect in aspects(implementation, case, dtype):
                    yield case.name, dtype, aspect
    names = [*(each.name for each in implementation.dialects), *(each.name for each in implementation.known_issues)]
    for name in names:
        yield "any", "any", f"dialect:{name}"


def aspects(implementation: Implementation, case: Case, dtype: str) -> tuple[str, ...]:
    """What is checked of one call: shape and dtype before the numbers."""
    if unsupported(implementation, case, dtype):
        return ("value",)
    if "error" in case.tags:
        return ("error",)
    gradients = tuple(f"gradient:{name}" for name in gradients_of(case))
    compared = () if "empty" in case.tags and case.options.get("reduction", "none") == "none" else ("value",)
    return ("shape", "dtype", *compared, *gradients, *(("twin",) if implementation.twin else ()))


def gradients_of(case: Case) -> tuple[str, ...]:
    """The arguments in which the case's loss is differentiable: class indices are not, and empty arrays have none."""
    if "empty" in case.tags:
        return ()
    loss = DEFINITIONS[case.loss]
    return tuple(name for name in loss.differentiable if name in case.arrays and not case.arrays[name].integer)


@functools.lru_cache(maxsize=8192)  # asked for each aspect of a call
def unsupported(implementation: Implementation, case: Case, dtype: str) -> str | None:
    """Why the implementation does not offer what the case asks for; None if it does."""
    name = implementation.name
    if not implementation.exists:
        return f"this version has no {name}"
    if dtype not in implementation.dtypes:
        return f"{name} does not take {dtype}"
    loss = DEFINITIONS[case.loss]
    reduction = case.options.get("reduction", loss.defaults.get("reduction"))
    chosen = reduction in reference.REDUCTIONS or "reduction" not in implementation.parameters
    if reduction is not None and chosen and reduction not in implementation.reductions:
        return f"{name} has no reduction {reduction!r}; it has {', '.join(implementation.reductions)}"
    if reduction is not None and reduction not in reference.REDUCTIONS and "reduction" not in implementation.parameters:
        return f"{name} does not take a reduction"
    for argument in (*case.arrays, *case.options):
        if argument != "reduction" and argument not in implementation.parameters:
            if argument in case.options and case.options[argument] == loss.defaults.get(argument):
                continue
            return implementation.lacks.get(argument, f"{name} does not take {argument}")
    call = Call(case.name, dtype, {**loss.defaults, **case.build(DEFAULT_SEED, dtype)}, case.tags)
    return next((each.reason for each in implementation.unsupported if _applies(each, call)), None)


def _applies(declared: Unsupported | Dialect | KnownIssue, call: Call) -> bool:
    """Whether a declaration is for this call. One whose predicate cannot read bad input is not."""
    try:
        return declared.when(call)
    except (IndexError, TypeError, ValueError):
        if "error" in call.tags:
            return False
        raise


@dataclass(frozen=True)
class Outcome:
    """What the framework returned, or raised."""

    value: Array | None = None
    gradients: Mapping[str, Array | None] = dataclasses.field(default_factory=dict)
    error: BaseException | None = None


class Judge:
    """Decides the checks of one backend. Calls and expectations are kept, so that aspects share them."""

    def __init__(self, module: ModuleType, seed: int, version: str) -> None:
        self.module = module
        self.seed = seed
        self.version = version
        self.implementations = {(each.loss, each.name): each for each in module.IMPLEMENTATIONS}
        self.devices = tuple(module.devices())
        self.outcome = functools.lru_cache(maxsize=8)(self._outcome)
        self.expected = functools.lru_cache(maxsize=4096)(self._expected)
        self.call = functools.lru_cache(maxsize=64)(self._call)
        self.vacuous = functools.lru_cache(maxsize=4096)(self._vacuous)
        self._heard: set[tuple[str, str]] = set()
        self._news: dict[str, list[str]] = {}

    def __call__(self, check: Check) -> Check:
        """The check with its verdict."""
        started = time.perf_counter()
        try:
            result = self._decide(check)
        except Exception as error:  # a broken row or declaration costs its own checks, not the run
            result = Ruling("error", f"the suite itself failed here, not the framework: {_describe(error)}")
        return dataclasses.replace(
            check,
            verdict=result.verdict,
            reason=result.reason,
            error_ulp=result.error_ulp,
            margin=result.margin,
            worst=result.worst,
            declared=[each.name for each in result.declared],
            result=result.result,
            limits=result.limits,
            seconds=round(time.perf_counter() - started, 6),
        )

    def _decide(self, check: Check) -> Ruling:
        implementation = self.implementations[check.loss, check.implementation]
        if check.device not in self.devices:
            return Ruling("not-run", f"no device {check.device} here; there are {', '.join(self.devices)}")
        if check.mode not in self.module.MODES:
            return Ruling("not-run", f"no mode {check.mode}; there are {', '.join(self.module.MODES)}")
        if check.aspect.startswith("dialect:"):
            return self._still_needed(implementation, check)
        refused = getattr(self.module, "REFUSED", {}).get((check.device.partition(":")[0], check.dtype))
        if refused:
            return Ruling("unsupported", refused)
        return self._judge(implementation, CASES[check.loss][check.case], check)

    def _judge(self, implementation: Implementation, case: Case, check: Check) -> Ruling:
        why = unsupported(implementation, case, check.dtype)
        if check.aspect.startswith("gradient:") and why is None:
            argument = check.aspect.partition(":")[2]
            why = implementation.no_gradient.get(argument, implementation.no_gradient.get("*"))
        if check.aspect == "twin" and why is None:
            why = unsupported(self.implementations[implementation.loss, implementation.twin or ""], case, check.dtype)
        if why is not None:
            return Ruling("unsupported", why)
        outcome = self.outcome(implementation, case, check.dtype, check.device, check.mode)
        if check.aspect == "error":
            canonical = _compare_error(outcome)
        else:
            vacuous = self.vacuous(case, check.dtype)
            if vacuous:
                return Ruling("error", f"vacuous case: {vacuous}")
            canonical = self._compare(implementation, case, check, outcome, ())
        if canonical.verdict == "match":
            return canonical
        return (
            self._in_dialect(implementation, case, check, outcome)
            or self._known(implementation, case, check, outcome, canonical)
            or canonical
        )

    def _outcome(self, implementation: Implementation, case: Case, dtype: str, device: str, mode: str) -> Outcome:
        """Run the framework."""
        arguments = {**DEFINITIONS[case.loss].defaults, **case.build(self.seed, dtype)}
        arguments = {name: arguments[name] for name in implementation.parameters if name in arguments}
        arrays = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
        options = {name: value for name, value in arguments.items() if name not in arrays}
        differentiable = self.differentiable(implementation, case)
        cotangent = functools.partial(case.cotangent, self.seed, dtype)
        evaluate = self.module.MODES[mode]
        with warned.listening() as caught:
            try:
                value, gradients = evaluate(implementation.function, arrays, options, differentiable, cotangent, device)
                outcome = Outcome(value, gradients)
            except Exception as error:  # whatever a framework raises is its answer
                outcome = Outcome(error=error)
        for warning in caught:
            key, text = f"{implementation.loss}/{implementation.name}", warned.words(warning)
            if (key, text) not in self._heard:
                self._heard.add((key, text))
                self._news.setdefault(key, []).append(text)
        return outcome

    def news(self) -> dict[str, list[str]]:
        """The warnings of each implementation ("loss/name") that were first heard since this was last asked."""
        news, self._news = self._news, {}
        return news

    def differentiable(self, implementation: Implementation, case: Case) -> tuple[str, ...]:
        """The arguments whose gradient is asked of the framework."""
        if "error" in case.tags or "*" in implementation.no_gradient:
            return ()
        return tuple(name for name in gradients_of(case) if name not in implementation.no_gradient)

    def _expected(self, case: Case, dtype: str, dialects: tuple[Dialect, ...]) -> tolerance.Expected:
        """What the reference says, in the dialect that the declarations together make."""
        call = self.call(case, dtype)
        arguments = dict(call.arguments)
        for dialect in dialects:
            given = dialect.parameters
            arguments.update(given(call) if callable(given) else given or {})
        loss = DEFINITIONS[case.loss]
        shape = np.shape(loss(**arguments))
        cotangent = case.cotangent(self.seed, dtype, shape)
        expected = tolerance.expect(loss, arguments, _precision(dialects, dtype), cotangent)

        def as_given(found: Gradients) -> Gradients:  # a dialect may have reshaped an argument
            return {name: array.reshape(np.shape(call.arguments[name])) for name, array in found.items()}

        return dataclasses.replace(
            expected,
            gradients=as_given(expected.gradients),
            gradient_tolerances=as_given(expected.gradient_tolerances),
        )

    def _call(self, case: Case, dtype: str) -> Call:
        arguments = {**DEFINITIONS[case.loss].defaults, **case.build(self.seed, dtype)}
        return Call(case.name, dtype, arguments, case.tags)

    def _vacuous(self, case: Case, dtype: str) -> str | None:
        """Why a pass of this case would say nothing; None if it says something."""
        try:
            expected = self.expected(case, dtype, ())
        except (TypeError, ValueError) as error:
            return f"the reference refuses it: {error}"
        numbers = [expected.value, *expected.gradients.values()]
        if "nan" not in case.tags and any(np.isnan(each).any() for each in numbers):
            return "NaN is expected where its tags do not say so"
        value = expected.value
        if value.size > 1 and np.all(value == value.flat[0]) and "constant" not in case.tags:
            return f"every term is {value.flat[0]:g}"
        loss = DEFINITIONS[case.loss]
        arguments = case.build(self.seed, dtype)
        for name, value in arguments.items():
            default = loss.defaults.get(name, value)
            same = default is value or (not isinstance(value, np.ndarray) and default == value)
            if name == "reduction" or same or case.tags & {"inert", "nan"}:
                continue
            try:
                without = tolerance.expect(
                    loss, {**arguments, name: default}, dtype, case.cotangent(self.seed, dtype, expected.value.shape)
                )
            except ValueError:
                continue  # without it the call is not even allowed
            if not _moved(expected, without):
                return f"{name} does not move the result"
        return None

    def _compare(
        self, implementation: Implementation, case: Case, check: Check, outcome: Outcome, dialects: tuple[Dialect, ...]
    ) -> Ruling:
        """The framework's answer against the reference's in a dialect (none: the canonical one)."""
        if outcome.error is not None:
            return Ruling(
                "error", f"raised {_describe(outcome.error)}", symptom="raises", result=type(outcome.error).__name__
            )
        if check.aspect == "twin":
            return self._compare_twin(implementation, case, check, outcome)
        expected = self.expected(case, check.dtype, dialects)
        dtypes = {"value": next((each.dtype for each in dialects if each.dtype), check.dtype)}
        answers = {"value": outcome.value, **{f"gradient:{n}": g for n, g in outcome.gradients.items()}}
        got = {name: array for name, array in answers.items() if array is not None}
        want = {"value": expected.value, **{f"gradient:{n}": g for n, g in expected.gradients.items()}}
        if check.aspect in ("shape", "dtype"):
            found: dict[str, Any] = {}
            wrong = ""
            for name, array in got.items():
                # Autodiff gives a gradient in its argument's dtype.
                is_shape, dtype = check.aspect == "shape", dtypes.get(name, check.dtype)
                have, need = (array.shape, want[name].shape) if is_shape else (str(array.dtype), dtype)
                found[name] = list(have) if isinstance(have, tuple) else have
                if have != need:
                    wrong = wrong or f"{check.aspect} of {name} = {have}, want {need}"
            return Ruling("mismatch" if wrong else "match", wrong, result=found)
        if check.aspect not in got:
            return Ruling("mismatch", f"{check.aspect} = none, want one: the framework sees no path to the argument")
        if check.aspect == "value":
            limit = expected.value_tolerance
        else:
            limit = expected.gradient_tolerances[check.aspect.partition(":")[2]]
        arguments = self.call(case, check.dtype).arguments
        precision = _precision(dialects, check.dtype)
        return _compare_numbers(check.aspect, got[check.aspect], want[check.aspect], limit, precision, arguments)

    def _compare_twin(self, implementation: Implementation, case: Case, check: Check, outcome: Outcome) -> Ruling:
        """Whether two entry points of one loss give the same bits."""
        twin = self.implementations[implementation.loss, implementation.twin or ""]
        other = self.outcome(twin, case, check.dtype, check.device, check.mode)
        if other.error is not None:
            return Ruling("mismatch", f"{twin.name} raised {_describe(other.error)}; {implementation.name} did not")
        pairs = {"value": (outcome.value, other.value)}
        pairs.update({f"gradient:{n}": (outcome.gradients[n], other.gradients.get(n)) for n in outcome.gradients})
        for name, (mine, its) in pairs.items():
            if (mine is None) != (its is None) or (mine is not None and mine.tobytes() != its.tobytes()):  # type: ignore[union-attr]
                return Ruling("mismatch", f"{name} is not the same bits as that of {twin.name}")
        return Ruling("match")

    def _in_dialect(self, implementation: Implementation, case: Case, check: Check, outcome: Outcome) -> Ruling | None:
        """The ruling of the smallest set of declared dialects that explains the outcome."""
        for together, ruling in self._readings(implementation, case, check, outcome):
            if ruling.verdict == "match":
                names = "+".join(each.name for each in together)
                reason = f"{names}: {'; '.join(each.reason for each in together)}"
                return dataclasses.replace(ruling, verdict="dialect", reason=reason, declared=together)
        return None

    def _readings(
        self, implementation: Implementation, case: Case, check: Check, outcome: Outcome
    ) -> Iterator[tuple[tuple[Dialect, ...], Ruling]]:
        """The ruling in each set of declared dialects, small ones first."""
        call = self.call(case, check.dtype)
        spoken = [each for each in implementation.dialects if _applies(each, call)]
        for size in range(1, len(spoken) + 1):
            for together in itertools.combinations(spoken, size):
                if any(each.raises for each in together):
                    same = size == 1 and type(outcome.error).__name__ == together[0].raises
                    ruling = Ruling("match", result=together[0].raises) if same else None
                elif check.aspect == "error":
                    accepted = size == 1 and together[0].accepts and not outcome.error
                    ruling = Ruling("match", result=_kept(outcome)) if accepted else None
                elif any(each.accepts for each in together) or outcome.error is not None:
                    ruling = None
                else:
                    try:
                        ruling = self._compare(implementation, case, check, outcome, together)
                    except ValueError:  # together, the dialects' parameters do not fit this call
                        ruling = None
                if ruling is not None:
                    yield together, ruling

    def _known(
        self, implementation: Implementation, case: Case, check: Check, outcome: Outcome, canonical: Ruling
    ) -> Ruling | None:
        """The ruling by a declared issue of this version, where what differs in some dialect looks as declared."""
        call = self.call(case, check.dtype)
        issues = [
            issue
            for issue in implementation.known_issues
            if check.aspect.startswith(issue.aspects)
            and SpecifierSet(issue.versions).contains(self.version, prereleases=True)
            and _applies(issue, call)
        ]
        if not issues:
            return None
        nothing: tuple[Dialect, ...] = ()
        for together, ruling in ((nothing, canonical), *self._readings(implementation, case, check, outcome)):
            for issue in issues:
                if issue.symptom in ("any", ruling.symptom):
                    reason = f"{issue.name}: {issue.reason} ({issue.link}); {ruling.reason}"
                    return dataclasses.replace(ruling, verdict="known", reason=reason, declared=(issue, *together))
        return None

    def _still_needed(self, implementation: Implementation, check: Check) -> Ruling:
        """Whether any case still shows the declared dialect or issue: the first that does decides."""
        name = check.aspect.partition(":")[2]
        everything: tuple[Dialect | KnownIssue, ...] = (*implementation.dialects, *implementation.known_issues)
        declared = next(each for each in everything if each.name == name)
        if not implementation.exists:
            return Ruling("unsupported", f"this version has no {implementation.name}")
        if isinstance(declared, KnownIssue):
            if not SpecifierSet(declared.versions).contains(self.version, prereleases=True):
                return Ruling("unsupported", f"{declared.name} is declared for {declared.versions}, not {self.version}")
            verdict = "known"
        else:
            verdict = "dialect"
        for case in CASES.get(implementation.loss, {}).values():
            for dtype in case.dtypes:
                if unsupported(implementation, case, dtype) or not _applies(declared, self.call(case, dtype)):
                    continue
                for aspect in aspects(implementation, case, dtype):
                    one = dataclasses.replace(check, case=case.name, dtype=dtype, aspect=aspect)
                    if declared in self._judge(implementation, case, one).declared:
                        shown = check.id.replace("/any/any/", f"/{case.name}/{dtype}/").replace(check.aspect, aspect)
                        return Ruling(verdict, f"still shows, as in {shown}")
        return Ruling("stale", f"no case shows {name!r} any more; remove it, or narrow its versions or `when`")


@dataclass(frozen=True)
class Ruling:
    """A verdict with its evidence. `symptom` is what the difference looks like (see KnownIssue); "": none of those."""

    verdict: str
    reason: str = ""
    error_ulp: float | None = None
    margin: float | None = None
    worst: Mapping[str, Any] | None = None
    symptom: str = ""
    declared: tuple[Dialect | KnownIssue, ...] = ()
    result: Any = None
    limits: list[float] | None = None


def _precision(dialects: tuple[Dialect, ...], dtype: str) -> str:
    """The dtype in which the framework computes."""
    return next((each.precision or each.dtype or dtype for each in dialects if each.precision or each.dtype), dtype)


def _compare_error(outcome: Outcome) -> Ruling:
    if outcome.error is None:
        reason = f"returned {outcome.value!r}, want an error: the input is bad"
        return Ruling("mismatch", reason, result=_kept(outcome))
    if isinstance(outcome.error, (AttributeError, NameError, ImportError, SyntaxError)):
        return Ruling("error", f"raised {_describe(outcome.error)}, which is no answer to bad input")
    return Ruling("match", f"raised {_describe(outcome.error)}", result=type(outcome.error).__name__)


def _compare_numbers(
    aspect: str, got: Array, want: Array, limit: Array, dtype: str, arguments: Mapping[str, Any]
) -> Ruling:
    if got.shape != want.shape:
        return Ruling("mismatch", f"{aspect} has shape {got.shape}, want {want.shape}", result=_digest(got))
    ulps = tolerance.ulp_error(got, want, dtype)
    with np.errstate(all="ignore"):
        nearest = want.astype(dtype).astype(np.float64)
        difference = np.abs(got.astype(np.float64) - np.where(np.isfinite(nearest), nearest, want))
        margins = np.where(ulps == 0.0, 0.0, difference / limit)
        margins = np.where((ulps == 0.0) | np.isfinite(limit), margins, np.inf)  # no tolerance without a bound
        margins = np.where(np.isnan(margins), np.inf, margins)
    if not got.size:
        return Ruling("match", "no elements: shape and dtype are all there is")
    margin, error = float(margins.max()), float(ulps.max())
    index = np.unravel_index(int((margins if margin > 1 else ulps).argmax()), want.shape)
    worst = {
        "index": [int(i) for i in index],
        "got": float(got[index]),
        "want": float(want[index]),
        "tolerance": float(np.broadcast_to(limit, want.shape)[index]),
        "at": _inputs_at(index, arguments),
    }
    kept: dict[str, Any] = {
        "result": _digest(got),
        "limits": [float(f"{each:.2g}") for each in _digest(limit, want.shape)],
    }
    if margin <= 1.0:
        return Ruling("match", "", error, margin, worst, **kept)
    place = f"[{', '.join(str(int(i)) for i in index)}]" if index else ""
    reason = (
        f"{aspect}{place} = {float(got[index])!r}, want {float(want[index])!r} "
        f"(error {float(ulps[index]):.4g} ULP, tolerance {worst['tolerance']:.3g})"
    )
    return Ruling("mismatch", reason, error, margin, worst, _symptom(got[margins > 1.0]), **kept)


def _digest(array: Array, shape: tuple[int, ...] | None = None) -> list[float]:
    """An array's elements, in the fewest digits that tell them apart; of a large one some, evenly spread."""
    flat = np.broadcast_to(array, array.shape if shape is None else shape).reshape(-1)
    if flat.size > DIGEST_SIZE:
        flat = flat[np.linspace(0, flat.size - 1, DIGEST_SIZE).astype(np.int64)]
    return [float(str(each)) for each in flat]


def _kept(outcome: Outcome) -> list[float] | None:
    """What the framework computed, for the record, where the definition has nothing to compare it with."""
    return None if outcome.value is None else _digest(outcome.value)


def _symptom(differing: Array) -> str:
    if np.isnan(differing).all():
        return "nan"
    if np.isinf(differing).all():
        return "inf"
    return "zero" if not differing.any() else "number"


def _inputs_at(index: tuple[Any, ...], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of each array that belong to one element of a result: it, else its row, else a small whole."""
    found = {}
    for name, value in arguments.items():
        if not isinstance(value, np.ndarray):
            continue
        rows = len(index) <= value.ndim and all(i < n for i, n in zip(index, value.shape, strict=False))
        part = value[index[: value.ndim]] if index and rows else value
        if part.size <= 16:
            found[name] = part.tolist()
    return found


def _moved(one: tolerance.Expected, other: tolerance.Expected) -> bool:
    """Whether two expectations differ by more than their tolerances anywhere."""
    if one.value.shape != other.value.shape or one.gradients.keys() != other.gradients.keys():
        return True
    with np.errstate(all="ignore"):
        return bool(
            np.any(np.abs(one.value - other.value) > one.value_tolerance)
            or any(
                np.any(np.abs(g - other.gradients[n]) > one.gradient_tolerances[n]) for n, g in one.gradients.items()
            )
        )


def _describe(error: BaseException | None) -> str:
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first[:200]}"
