"""The target as an implementation of one loss: how it is called, found by trying."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from lossparity.adapters.base import Implementation, Request, Setup
from lossparity.conformance.cases import CASES, Case
from lossparity.conformance.compare import Outcome
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.diagnosis.matching import Matching, matchings, spellings, wrapped
from lossparity.conformance.diagnosis.target import Target, TargetError, told
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import gradients_of, unsupported

DTYPES = ("float64", "float32")
_OVER_CLASSES = ("cross_entropy", "nll_loss", "softmax_focal_loss")
_PLAIN = ("plain", "plain-one-hot", "indices", "near", "worked")


@dataclass(frozen=True)
class Subject:
    """A target that can be called as a loss.

    implementation: it, in the arguments of the definition. matching: what each of its parameters is.
    frozen: the arguments for which it gives no gradient, with the reason. notes: what was noticed on the way.
    """

    target: Target
    engine: ModuleType
    loss: str
    implementation: Implementation
    matching: Matching
    frozen: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def judge(self, seed: int) -> Judge:
        """What calls it."""
        module: Any = SimpleNamespace(IMPLEMENTATIONS=[self.implementation], ENGINE=self.engine)
        return Judge(module, seed, {})

    def evaluate(self, request: Request) -> Outcome:
        """What it answers; the exception too is an answer, but one about the target itself (TargetError) is raised."""
        try:
            return Outcome(*next(iter(self.engine.MODES.values())).evaluate(request))
        except TargetError:
            raise
        except Exception as error:
            return Outcome(error=error)

    def rows(self) -> Iterator[tuple[Case, str]]:
        """Every case that it takes, in every dtype; not those with bad input, which are the contracts' business."""
        for case in CASES[self.loss].values():
            for dtype in self.implementation.dtypes:
                known = dtype in case.dtypes or dtype not in DTYPES
                if (
                    known
                    and "error" not in case.tags
                    and unsupported(self.implementation, case, dtype, Setup()) is None
                ):
                    yield case, dtype


def subjects(
    target: Target,
    engine: ModuleType,
    loss: str,
    given: Mapping[str, str],
    reductions: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    seed: int = 0,
    takes: Collection[str] | None = None,
) -> Iterator[Subject]:
    """Every way of calling the target as `loss` that works. takes: the optional arguments that it takes.

    Errors: TargetError, where none does: with what was tried.
    """
    tried: dict[str, str] = {}
    found = False
    ways = list(matchings(DEFINITIONS[loss], target, given, takes))
    if loss in _OVER_CLASSES:
        ways += [replace(each, last=True) for each in ways]
    for matching in ways:
        function = wrapped(target, matching, engine)
        one = Subject(target, engine, loss, Implementation(loss, target.name, function, (), ()), matching)
        try:
            yield _settled(one, reductions, dtypes or DTYPES, seed)
            found = True
        except TargetError as error:
            tried.setdefault(str(error), matching.says())
    if not found:
        how = "; ".join(f"{error} (with {says})" for error, says in tried.items())
        raise TargetError(f"{target.short} cannot be called as {loss}: {how}")


def _settled(subject: Subject, reductions: Sequence[str], dtypes: Sequence[str], seed: int) -> Subject:
    """The subject with its reductions, dtypes and differentiable arguments found."""
    loss = DEFINITIONS[subject.loss]
    names = tuple(reductions) or loss.reductions
    implementation = replace(subject.implementation, reductions=names or (), dtypes=tuple(dtypes))
    subject = replace(subject, implementation=implementation)
    if loss.reductions and "reduction" in subject.matching.arguments:
        offered = _offered(subject, names, seed)
    elif loss.reductions:
        offered = (_fixed(subject, seed),)
    else:
        offered = ()
    subject = replace(subject, implementation=replace(implementation, reductions=offered))
    taken, refused = [], ""
    for dtype in dtypes:
        outcome = _try(subject, _case(subject, dtype), dtype, seed, ())
        if outcome.error is None:
            taken.append(dtype)
        else:
            refused = told(outcome.error)
    if not taken:
        raise TargetError(f"it raises {refused}")
    subject = replace(subject, implementation=replace(subject.implementation, dtypes=tuple(taken)))
    return _differentiable(subject, seed)


def _try(subject: Subject, case: Case, dtype: str, seed: int, differentiable: tuple[str, ...]) -> Outcome:
    """One call; the exception too is an outcome, but one about the target itself ends the trial."""
    judge = subject.judge(seed)
    request = replace(judge.request(subject.implementation, case, dtype, "cpu"), differentiable=differentiable)
    return subject.evaluate(request)


def _case(subject: Subject, dtype: str) -> Case:
    """The plainest case that the subject takes."""
    cases = [
        case
        for case in CASES[subject.loss].values()
        if "error" not in case.tags and unsupported(subject.implementation, case, dtype, Setup()) is None
    ]
    if not cases:
        cases = [
            case
            for case in CASES[subject.loss].values()
            if "error" not in case.tags and set(case.arrays) <= set(subject.matching.arguments)
        ]
    if not cases:
        needed = ", ".join(DEFINITIONS[subject.loss].required)
        raise TargetError(f"no case of {subject.loss} fits what it takes; the definition needs {needed}")
    return min(cases, key=lambda case: (not case.name.startswith(_PLAIN), bool(case.tags)))


def _offered(subject: Subject, names: Sequence[str], seed: int) -> tuple[str, ...]:
    """The reductions that it takes, spelled as it wants them."""
    spelled: Any = subject.implementation.function.spelled  # type: ignore[attr-defined]
    found, refused = [], ""
    cases = CASES[subject.loss].values()
    for name in names:
        case = next((c for c in cases if c.options.get("reduction") == name and c.name.startswith(_PLAIN)), None)
        if case is None or unsupported(subject.implementation, case, subject.implementation.dtypes[0], Setup()):
            continue
        want = DEFINITIONS[subject.loss](**case.build(seed, "float64"))
        for spelling in spellings(name):
            spelled[name] = spelling
            outcome = _first_dtype(subject, case, seed)
            if outcome.error is None and np.asarray(outcome.value).shape == np.shape(want):
                found.append(name)
                break
            refused = told(outcome.error) if outcome.error else refused
        else:
            spelled.pop(name, None)
    if not found:
        raise TargetError(f"it takes none of the reductions {', '.join(names)}" + (f": {refused}" if refused else ""))
    return tuple(found)


def _first_dtype(subject: Subject, case: Case, seed: int) -> Outcome:
    """The outcome in the first dtype that it does not refuse."""
    outcome = Outcome()
    for dtype in subject.implementation.dtypes:
        outcome = _try(subject, case, dtype, seed, ())
        if outcome.error is None:
            break
    return outcome


def _fixed(subject: Subject, seed: int) -> str:
    """The one reduction of a target that takes no word for it, by its value's shape and by what twice the rows make."""
    loss = DEFINITIONS[subject.loss]
    dtype = subject.implementation.dtypes[0]
    case = _case(subject, dtype)
    arguments = case.build(seed, "float64")
    outcome = _first_dtype(subject, case, seed)
    if outcome.error is not None:
        raise TargetError(f"it raises {told(outcome.error)}")
    terms = np.shape(loss(**{**arguments, "reduction": "none"}))
    shape = np.asarray(outcome.value).shape
    if shape == terms and terms:
        return "none"
    if shape in ((), (1,)):
        used = str(np.asarray(outcome.value).dtype)
        used = used if used in subject.implementation.dtypes else subject.implementation.dtypes[0]
        request = subject.judge(seed).request(subject.implementation, case, used, "cpu")
        data = [n for n, a in request.arrays.items() if n not in ("weight", "pos_weight") and a.ndim]
        twice = {n: np.concatenate([a, a]) if n in data else a for n, a in request.arrays.items()}
        doubled = subject.evaluate(replace(request, arrays=twice, differentiable=()))
        if doubled.error is not None:
            raise TargetError(f"with twice the rows it raises {told(doubled.error)}")
        with np.errstate(all="ignore"):
            ratio = float(np.asarray(doubled.value, dtype=np.float64) / np.asarray(outcome.value, dtype=np.float64))
        return "sum" if abs(ratio - 2.0) < abs(ratio - 1.0) else "mean"
    if shape == terms[: len(shape)]:
        return "none"  # a hypothesis may say over what it is folded
    raise TargetError(f"it returns the shape {shape}; {subject.loss} has terms of shape {terms}, or one number")


def _differentiable(subject: Subject, seed: int) -> Subject:
    """The subject with what it gives no gradient for, each argument tried alone."""
    dtype = subject.implementation.dtypes[0]
    case = _case(subject, dtype)
    frozen: dict[str, str] = {}
    for name in gradients_of(case):
        outcome = _try(subject, case, dtype, seed, (name,))
        if outcome.error is not None:
            frozen[name] = f"with a gradient for {name} it raises {told(outcome.error)}"
        elif outcome.gradients.get(name) is None:
            frozen[name] = f"the framework sees no path to {name}"
    return replace(subject, implementation=replace(subject.implementation, no_gradient=frozen), frozen=frozen)
