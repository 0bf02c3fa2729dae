"""The verdict on each check.

A check is compared with the canonical reference first, then with the declared dialects, then with the known issues.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from lossparity.adapters import engine_of, engines
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Request, Setup, covers, named, ranges
from lossparity.adapters.engines import NotCompiledError
from lossparity.conformance import tolerance, warned
from lossparity.conformance.cases import CASES, Case
from lossparity.conformance.checks import Check
from lossparity.conformance.compare import (
    Outcome,
    Ruling,
    compare_error,
    compare_numbers,
    describe,
    is_a,
    kept,
    precision,
)
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.execution.expectations import Expectations
from lossparity.conformance.matrix import applies, everything, gradients_of, unsupported
from lossparity.conformance.second import Second, expect_second
from lossparity.conformance.tables import PARTS
from lossparity.reference.core import Gradients


class Judge:
    """Decides the checks of one backend. Calls and expectations are kept, so that aspects share them.

    versions: what is installed, by distribution, the backend's own first. kept: expectations of other processes.
    """

    def __init__(
        self, module: ModuleType, seed: int, versions: Mapping[str, str], kept: Expectations | None = None
    ) -> None:
        self.engine = module.ENGINE
        self.on = engine_of(module), str(module.ENGINE.version())
        self.seed = seed
        self.versions = versions
        self.kept = kept
        self.implementations = {(each.loss, each.name): each for each in module.IMPLEMENTATIONS}
        self.devices = tuple(self.engine.devices())
        self.outcome = functools.lru_cache(maxsize=4096)(self._outcome)
        self.expected = functools.lru_cache(maxsize=4096)(self._expected)
        self.expected_second = functools.lru_cache(maxsize=64)(self._expected_second)
        self.call = functools.lru_cache(maxsize=4096)(self._call)
        self._heard: set[tuple[str, str]] = set()
        self._news: dict[str, list[str]] = {}
        self._compiled = dict.fromkeys(engines.compiled(self.engine), 0)

    def __call__(self, check: Check) -> Check:
        """The check with its verdict."""
        started = time.perf_counter()
        try:
            result = self._decide(check)
        except MemoryError:
            result = Ruling("crashed", "out of memory, so nothing is decided here: give it more, or fewer --jobs")
        except NotCompiledError as error:
            result = Ruling("error", str(error))
        except Exception as error:  # a broken row or declaration costs its own checks, not the run; and decides nothing
            result = Ruling("crashed", f"the suite itself failed here, not the framework: {describe(error)}")
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
        if check.mode not in self.engine.MODES:
            return Ruling("not-run", f"no mode {check.mode}; there are {', '.join(self.engine.MODES)}")
        missing = self.engine.MODES[check.mode].missing(check.device)
        if missing:
            return Ruling("not-run", missing)
        if check.aspect.startswith("dialect:"):
            return self._still_needed(implementation, check)
        refused = self.engine.REFUSED.get((check.device.partition(":")[0], check.dtype))
        if refused:
            return Ruling("unsupported", refused)
        return self._judge(implementation, CASES[check.loss][check.case], check)

    def _judge(self, implementation: Implementation, case: Case, check: Check) -> Ruling:
        setup = Setup(check.device, check.mode, *self.on)
        why = unsupported(implementation, case, check.dtype, setup)
        if check.aspect.startswith(("gradient:", "second:")) and why is None:
            argument = check.aspect.partition(":")[2]
            why = implementation.no_gradient.get(argument, implementation.no_gradient.get("*"))
        if check.aspect == "twin" and why is None:
            twin = self.implementations[implementation.loss, implementation.twin or ""]
            why = unsupported(twin, case, check.dtype, setup)
        second = check.aspect.startswith("second:")
        if second and why is None and not hasattr(self.engine, "second"):
            why = "it differentiates nothing twice"
        if why is not None:
            return Ruling("unsupported", why)
        outcome = self.outcome(implementation, case, check.dtype, check.device, check.mode, second)
        refusal = self._refusal(implementation, case, check, outcome)
        if refusal is not None:
            return refusal
        if check.aspect == "error":
            canonical = compare_error(outcome)
        else:
            canonical = self._compare(implementation, case, check, outcome, ())
        if canonical.verdict == "match":
            return canonical
        return (
            self._in_dialect(implementation, case, check, outcome)
            or self._known(implementation, case, check, outcome, canonical)
            or canonical
        )

    def _refusal(self, implementation: Implementation, case: Case, check: Check, outcome: Outcome) -> Ruling | None:
        """The ruling by what is declared to be refused: it is, or no longer is; None where nothing is declared."""
        refusing = [each for each in implementation.unsupported if each.raises]
        if not refusing:
            return None
        call = self.call(case, check.dtype, check.device, check.mode)
        declared = next((each for each in refusing if applies(each, call)), None)
        if declared is None:
            return None
        if is_a(outcome.error_of(check.aspect), declared.raises):
            return Ruling("unsupported", f"{declared.reason}: {describe(outcome.error_of(check.aspect))}")
        return Ruling("stale", f"declared to raise {declared.raises} here, and does not: {declared.reason}")

    def _outcome(
        self, implementation: Implementation, case: Case, dtype: str, device: str, mode: str, second: bool = False
    ) -> Outcome:
        """Run the framework. second: for the second derivatives in place of the gradients."""
        evaluate = self.engine.second if second else self.engine.MODES[mode].evaluate

        def answer(*names: str) -> Outcome:
            request = self.request(implementation, case, dtype, device)  # each time, see there
            try:
                return Outcome(*evaluate(dataclasses.replace(request, differentiable=names)))
            except (MemoryError, NotCompiledError):  # say nothing of the framework's answer
                raise
            except Exception as error:  # whatever a framework raises is its answer
                return Outcome(error=error)

        names = self.differentiable(implementation, case)
        with warned.listening() as caught:
            outcome = answer(*names) if second else _apart(answer, names)  # a product is of what moves together
        for warning in caught:
            key, text = f"{implementation.loss}/{implementation.name}", warned.words(warning)
            if (key, text) not in self._heard:
                self._heard.add((key, text))
                self._news.setdefault(key, []).append(text)
        return outcome

    def request(self, implementation: Implementation, case: Case, dtype: str, device: str) -> Request:
        """What the implementation is called with: the arrays and the options that it takes, defaults filled in."""
        given = self._call(case, dtype).arguments  # made anew: a framework may write into what it is given
        taken = {name: given[name] for name in implementation.parameters if name in given}
        arrays = {name: value for name, value in taken.items() if isinstance(value, np.ndarray)}
        return Request(
            implementation.function,
            arrays,
            {name: value for name, value in taken.items() if name not in arrays},
            self.differentiable(implementation, case),
            functools.partial(case.cotangent, self.seed, dtype),
            device,
            dtype,
            functools.partial(case.direction, self.seed, dtype),
        )

    def news(self) -> dict[str, list[str]]:
        """The warnings of each implementation ("loss/name") that were first heard since this was last asked."""
        news, self._news = self._news, {}
        return news

    def programs(self) -> dict[str, int]:
        """How many programs were compiled since this was last asked, by mode; those that compiled none are left out."""
        now, before = engines.compiled(self.engine), self._compiled
        self._compiled = now
        return {mode: count - before[mode] for mode, count in now.items() if count > before[mode]}

    def differentiable(self, implementation: Implementation, case: Case) -> tuple[str, ...]:
        """The arguments whose gradient is asked of the framework."""
        if "error" in case.tags or "*" in implementation.no_gradient:
            return ()
        return tuple(name for name in gradients_of(case) if name not in implementation.no_gradient)

    def _expected(self, case: Case, dtype: str, dialects: tuple[Dialect, ...]) -> tolerance.Expected:
        """What the reference says, in the dialect that the declarations together make."""
        call = self.call(case, dtype)
        loss, arguments = DEFINITIONS[case.loss], self._arguments(case, dtype, dialects)
        form, reduced_in, computed_in = formula = _formula(dialects, dtype)

        def compute() -> tolerance.Expected:
            cotangent = case.cotangent(self.seed, dtype, np.shape(loss(**arguments)))
            return tolerance.expect(loss, arguments, computed_in, cotangent, form, reduced_in)

        of = {"loss": case.loss, "case": case.name, "seed": self.seed, "dtype": dtype, "arguments": arguments}
        expected = self.kept.expected(compute, **of, formula=formula) if self.kept else compute()

        def as_given(found: Gradients) -> Gradients:
            """In the shapes of the arguments, which a dialect may have reshaped, or repeated along a new first axis."""
            like = {name: np.asarray(call.arguments[name]) for name in found}
            return {
                name: array.reshape(-1, *like[name].shape).sum(axis=0) if like[name].size else array
                for name, array in found.items()
            }

        return dataclasses.replace(
            expected,
            gradients=as_given(expected.gradients),
            gradient_tolerances=as_given(expected.gradient_tolerances),
        )

    def _expected_second(self, case: Case, dtype: str, dialects: tuple[Dialect, ...], names: tuple[str, ...]) -> Second:
        """The same of the second derivatives, where the arguments of these names move."""
        loss, arguments = DEFINITIONS[case.loss], self._arguments(case, dtype, dialects)
        cotangent = case.cotangent(self.seed, dtype, np.shape(loss(**arguments)))
        given = self.call(case, dtype).arguments
        moving = {}
        for name in names:
            direction = case.direction(self.seed, dtype, name, np.shape(given[name]))
            moving[name] = direction.reshape(np.shape(arguments[name]))  # a dialect may have reshaped it
        form, reduced_in, computed_in = _formula(dialects, dtype)
        return expect_second(loss, arguments, computed_in, cotangent, moving, form, reduced_in)

    def _arguments(self, case: Case, dtype: str, dialects: tuple[Dialect, ...]) -> dict[str, Any]:
        """What the loss is called with in these dialects."""
        call = self.call(case, dtype)
        arguments = dict(call.arguments)
        for dialect in dialects:
            given = dialect.parameters
            arguments.update(given(call) if callable(given) else given or {})
        return arguments

    def _call(self, case: Case, dtype: str, device: str = "cpu", mode: str = "eager") -> Call:
        arguments = {**DEFINITIONS[case.loss].defaults, **case.build(self.seed, dtype)}
        return Call(case.name, dtype, arguments, case.tags, device, mode, *self.on)

    def _compare(
        self, implementation: Implementation, case: Case, check: Check, outcome: Outcome, dialects: tuple[Dialect, ...]
    ) -> Ruling:
        """The framework's answer against the reference's in a dialect (none: the canonical one)."""
        error = outcome.error_of(check.aspect)
        if error is not None:
            return Ruling("error", f"raised {describe(error)}", symptom="raises", result=type(error).__name__)
        if check.aspect == "twin":
            return self._compare_twin(implementation, case, check, outcome)
        if check.aspect.startswith("second:"):
            return self._compare_second(implementation, case, check, outcome, dialects)
        expected = self.expected(case, check.dtype, dialects)
        if check.aspect in ("shape", "dtype"):
            return _compare_kind(check, outcome, expected, dialects)
        name = check.aspect.partition(":")[2]
        got = outcome.gradients.get(name) if name else outcome.value
        if got is None:
            return Ruling("mismatch", f"{check.aspect} = none, want one: the framework sees no path to the argument")
        want = expected.gradients[name] if name else expected.value
        limit = expected.gradient_tolerances[name] if name else expected.value_tolerance
        arguments = self.call(case, check.dtype).arguments
        return compare_numbers(check.aspect, got, want, limit, precision(dialects, check.dtype), arguments)

    def _compare_second(
        self, implementation: Implementation, case: Case, check: Check, outcome: Outcome, dialects: tuple[Dialect, ...]
    ) -> Ruling:
        """A Hessian-vector product; where it is 0, a framework may see no path to the argument."""
        name = check.aspect.partition(":")[2]
        arguments = self.call(case, check.dtype).arguments
        second = self.expected_second(case, check.dtype, dialects, self.differentiable(implementation, case))
        want = second.products[name].reshape(np.shape(arguments[name]))
        limit = second.tolerances[name].reshape(want.shape)
        got = outcome.gradients[name]
        if got is None and want.any():
            return Ruling("mismatch", f"{check.aspect} = none, want one: the framework sees no path to the argument")
        got = np.zeros_like(arguments[name]) if got is None else got
        return compare_numbers(check.aspect, got, want, limit, precision(dialects, check.dtype), arguments)

    def _compare_twin(self, implementation: Implementation, case: Case, check: Check, outcome: Outcome) -> Ruling:
        """Whether two entry points of one loss give the same bits."""
        twin = self.implementations[implementation.loss, implementation.twin or ""]
        other = self.outcome(twin, case, check.dtype, check.device, check.mode, False)
        if other.error is not None:
            reason = f"{twin.name} raised {describe(other.error)}; {implementation.name} did not"
            return Ruling("mismatch", reason, symptom="twin")
        pairs = {"value": (outcome.value, other.value)}
        names = dict.fromkeys([*outcome.gradients, *other.gradients])
        pairs.update({f"gradient:{n}": (outcome.gradients.get(n), other.gradients.get(n)) for n in names})
        for name, (mine, its) in pairs.items():
            if (mine is None) != (its is None) or (mine is not None and mine.tobytes() != its.tobytes()):  # type: ignore[union-attr]
                return Ruling("mismatch", f"{name} is not the same bits as that of {twin.name}", symptom="twin")
        return Ruling("match")

    def _in_dialect(self, implementation: Implementation, case: Case, check: Check, outcome: Outcome) -> Ruling | None:
        """The ruling of the smallest set of declared dialects that explains the outcome."""
        for together, ruling in self._readings(implementation, case, check, outcome):
            if ruling.verdict == "match":
                names = "+".join(each.name for each in together)
                reason = f"{names}: {'; '.join(each.reason for each in together)}"
                return dataclasses.replace(ruling, verdict=_verdict(together), reason=reason, declared=together)
        return None

    def _readings(
        self,
        implementation: Implementation,
        case: Case,
        check: Check,
        outcome: Outcome,
        wrong: tuple[Dialect, ...] = (),
    ) -> Iterator[tuple[tuple[Dialect, ...], Ruling]]:
        """The ruling in each set of declared dialects, small ones first; `wrong` is in all of them, at the end."""
        call = self.call(case, check.dtype, check.device, check.mode)
        error = outcome.error_of(check.aspect)
        spoken = [each for each in implementation.dialects if applies(each, call)]
        for size in range(0 if wrong else 1, len(spoken) + 1):
            for chosen in itertools.combinations(spoken, size):
                together = (*chosen, *wrong)
                if any(each.raises for each in together):
                    same = len(together) == 1 and is_a(error, together[0].raises or "")
                    ruling = Ruling("match", result=type(error).__name__) if same else None
                elif check.aspect == "error":
                    accepted = len(together) == 1 and together[0].accepts and not error
                    ruling = Ruling("match", result=kept(outcome)) if accepted else None
                elif any(each.accepts for each in together) or error is not None:
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
        """The ruling by a declared issue of this version, where the answer is the wrong one that it tells of, in some
        dialect."""
        call = self.call(case, check.dtype, check.device, check.mode)
        issues = [
            issue
            for issue in implementation.known_issues
            if check.aspect.startswith(issue.aspects) and covers(issue.versions, self.versions) and applies(issue, call)
        ]
        if not issues:
            return None
        nothing: tuple[Dialect, ...] = ()
        for together, ruling in ((nothing, canonical), *self._readings(implementation, case, check, outcome)):
            for issue in issues:
                if issue.symptom and issue.symptom == ruling.symptom:
                    return _known(issue, together, ruling)
        for issue in issues:
            wrong = (issue.answer,) if issue.answer else ()
            for together, ruling in self._readings(implementation, case, check, outcome, wrong) if wrong else ():
                if ruling.verdict == "match":
                    return _known(issue, together[:-1], canonical)
            if issue.bounds and canonical.worst and self._within(case, check, outcome, *issue.bounds(call)):
                return _known(issue, nothing, canonical)
        return None

    def _within(self, case: Case, check: Check, outcome: Outcome, low: Any, high: Any) -> bool:
        """Whether every element of a value or gradient is between two numbers, or NaN as it should be."""
        expected = self.expected(case, check.dtype, ())
        kind, _, argument = check.aspect.partition(":")
        if kind not in ("value", "gradient"):
            return False
        got, want = (each.value if kind == "value" else each.gradients.get(argument) for each in (outcome, expected))
        if got is None or want is None:
            return False
        return bool(np.all(((low <= got) & (got <= high)) | (np.isnan(got) & np.isnan(want))))

    def _still_needed(self, implementation: Implementation, check: Check) -> Ruling:
        """Whether any case still shows the declared dialect or issue: the first that does decides."""
        name = check.aspect.partition(":")[2]
        declarations: tuple[Dialect | KnownIssue, ...] = (*implementation.dialects, *implementation.known_issues)
        declared = next(each for each in declarations if each.name == name)
        if not implementation.exists:
            return Ruling("unsupported", f"this version has no {implementation.name}")
        if isinstance(declared, KnownIssue):
            if not covers(declared.versions, self.versions):
                here = [f"{name} {named(name, self.versions)}".strip() for name, _ in ranges(declared.versions)]
                reason = f"{declared.name} is declared for {declared.versions}, not {' and '.join(here)}"
                return Ruling("unsupported", reason)
            verdict = "known"
        else:
            verdict = _verdict((declared,))
        shown = self._shown(implementation, declared, check)
        if shown:
            return Ruling(verdict, f"still shows, as in {shown}")
        return Ruling("stale", f"no case shows {name!r} any more; remove it, or narrow its versions, modes or `when`")

    def _shown(self, implementation: Implementation, declared: Dialect | KnownIssue, check: Check) -> str | None:
        """The ID of the first check that shows a declaration, in any dtype and mode in which it is said to hold.

        What is said of every mode is not looked for in those that compile, but for the one that is asked for: a
        program for each case takes minutes. What costs least is looked at first: narrow dtypes after all cases in the
        others, and second derivatives last.
        """
        modes, kind = self.engine.MODES, check.device.partition(":")[0]
        said = declared.modes or [name for name in modes if modes[name].programs is None or name == check.mode]
        for mode in (name for name in said if name in modes and not modes[name].missing(check.device)):
            setup = Setup(check.device, mode, *self.on)
            cases = CASES.get(implementation.loss, {}).values()
            for narrow, twice in ((False, False), (True, False), (False, True), (True, True)):
                for case, dtype in ((c, d) for c in cases for d in (c.narrow if narrow else c.dtypes)):
                    call = self.call(case, dtype, check.device, mode)
                    refused = unsupported(implementation, case, dtype, setup) or self.engine.REFUSED.get((kind, dtype))
                    if refused or not applies(declared, call):
                        continue
                    for aspect in everything(implementation, case, dtype, setup):
                        if aspect.startswith("second:") != twice:
                            continue
                        one = dataclasses.replace(check, case=case.name, dtype=dtype, mode=mode, aspect=aspect)
                        with contextlib.suppress(NotCompiledError):  # then another case has to show it
                            if declared in self._judge(implementation, case, one).declared:
                                return "/".join(getattr(one, part) for part in PARTS)
        return None


def _verdict(dialects: tuple[Dialect, ...]) -> str:
    """The verdict on what agrees in these dialects."""
    return "lossy" if any(each.computed_as for each in dialects) else "dialect"


def _compare_kind(
    check: Check, outcome: Outcome, expected: tolerance.Expected, dialects: tuple[Dialect, ...]
) -> Ruling:
    """Shape or dtype of the value and of every gradient."""
    dtypes = {"value": next((each.dtype for each in dialects if each.dtype), check.dtype)}
    got = {"value": outcome.value, **{f"gradient:{n}": g for n, g in outcome.gradients.items()}}
    want = {"value": expected.value, **{f"gradient:{n}": g for n, g in expected.gradients.items()}}
    found: dict[str, Any] = {}
    wrong = ""
    for name, array in got.items():
        if array is None:
            continue
        have: Any
        need: Any
        if check.aspect == "shape":
            have, need = array.shape, want[name].shape
        else:  # autodiff gives a gradient in its argument's dtype
            have, need = outcome.dtypes.get(name) or str(array.dtype), dtypes.get(name, check.dtype)
        found[name] = list(have) if isinstance(have, tuple) else have
        if have != need:
            wrong = wrong or f"{check.aspect} of {name} = {have}, want {need}"
    return Ruling("mismatch" if wrong else "match", wrong, result=found)


def _formula(dialects: tuple[Dialect, ...], dtype: str) -> tuple[Callable[..., Any] | None, str | None, str]:
    """The formula that the dialects name, the dtype in which it is reduced, and that in which it is computed."""
    form = next((each.computed_as for each in dialects if each.computed_as), None)
    reduced_in = next((each.reduced_in for each in dialects if each.reduced_in), None)
    return form, reduced_in, next((each.dtype for each in dialects if each.dtype), dtype)


def _apart(answer: Callable[..., Outcome], names: tuple[str, ...]) -> Outcome:
    """What a call comes to under these arguments' gradients; where that raises, its value and each of them alone."""
    whole = answer(*names)
    if whole.error is None or not names:
        return whole
    alone = answer()
    if alone.error is not None:
        return whole
    found = {name: answer(name) for name in names}
    dtypes = dict(alone.dtypes)
    for each in found.values():
        dtypes.update({name: dtype for name, dtype in each.dtypes.items() if name != "value"})
    return Outcome(
        alone.value,
        {name: each.gradients[name] for name, each in found.items() if each.error is None},
        dtypes,
        raised={f"gradient:{name}": each.error for name, each in found.items() if each.error is not None},
    )


def _known(issue: KnownIssue, together: tuple[Dialect, ...], ruling: Ruling) -> Ruling:
    """What differs, as the issue that it is."""
    reason = f"{issue.name}: {issue.reason} ({issue.link}); {ruling.reason}"
    return dataclasses.replace(ruling, verdict="known", reason=reason, declared=(issue, *together))
