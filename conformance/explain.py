"""`lossparity explain ID`: one check in full, with a reproducer that needs only NumPy and the framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from lossparity import adapters
from lossparity.adapters import engines
from lossparity.adapters.base import Dialect, Implementation
from lossparity.conformance.cases import CASES, DTYPES, Case
from lossparity.conformance.compare import Outcome
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, SelectionError, checks
from lossparity.conformance.record import Check
from lossparity.conformance.straight import straight
from lossparity.reference.core import Array

LARGE = 64  # numbers, more of which nobody reads: a program then says how they are made


def explain(identifier: str, seed: int) -> str:
    """The check's inputs, reference, framework, error and reproducer. ValueError for an ID that is none."""
    backend, module, check = _find(identifier)
    versions = adapters.BACKENDS[backend].versions()
    judge = Judge(module, seed, versions)
    decided = judge(check)
    lines = [
        check.id,
        "",
        f"verdict    {decided.verdict}" + (f": {decided.reason}" if decided.reason else ""),
        f"call       {check.implementation}, {', '.join(f'{name} {version}' for name, version in versions.items())}",
        f"seed       {seed}",
    ]
    if check.aspect.startswith("dialect:") or decided.verdict in ("unsupported", "not-run"):
        return "\n".join(lines)
    case = CASES[check.loss][check.case]
    implementation = judge.implementations[check.loss, check.implementation]
    second = check.aspect.startswith("second:")
    outcome = judge.outcome(implementation, case, check.dtype, check.device, check.mode, second)
    arguments = case.build(seed, check.dtype)
    lines += ["", "inputs"]
    lines += [f"  {name} = {_literal(value)}" for name, value in arguments.items()]
    if check.aspect == "error":
        lines += ["", "reference", f"  {_refusal(check.loss, arguments)}"]
        lines += ["", "framework", f"  {_answer(outcome.error, outcome.value)}"]
        return "\n".join([*lines, "", *_reproducer(judge, implementation, case, check, outcome, None)])
    spoken = tuple(each for each in implementation.dialects if each.name in decided.declared)
    canonical, want = (_wanted(judge, implementation, case, check, dialects) for dialects in ((), spoken))
    got = outcome.gradients.get(check.aspect.partition(":")[2], outcome.value)
    lines += ["", "reference (float64)", f"  {_literal(canonical)}"]
    if spoken:
        names = " and ".join(each.name for each in spoken)
        lines += ["", f"reference in the dialect {names}", f"  {_literal(want)}"]
    lines += ["", "framework", f"  {_answer(outcome.error_of(check.aspect), got)}"]
    if decided.worst:
        worst = decided.worst
        lines += [
            "",
            f"at {worst['index']}   got {worst['got']!r}   want {worst['want']!r}",
            f"error {decided.error_ulp:.4g} ULP   tolerance {worst['tolerance']:.4g}   margin {decided.margin:.4g}",
        ]
    numbers = engines.numbers(want)
    if want.size > LARGE and decided.worst:
        numbers = f"{decided.worst['want']!r}, 'at', {decided.worst['index']}"
    wanted = {"shape": str(want.shape), "dtype": repr(check.dtype)}.get(check.aspect, numbers)
    return "\n".join([*lines, "", *_reproducer(judge, implementation, case, check, outcome, wanted)])


def _wanted(
    judge: Judge, implementation: Implementation, case: Case, check: Check, dialects: tuple[Dialect, ...]
) -> Array:
    """What the reference says of the check's aspect, in these dialects."""
    kind, _, name = check.aspect.partition(":")
    if kind == "second":
        moving = judge.differentiable(implementation, case)
        return judge.expected_second(case, check.dtype, dialects, moving).products[name]
    expected = judge.expected(case, check.dtype, dialects)
    return expected.gradients.get(name, expected.value)


def _find(identifier: str) -> tuple[str, ModuleType, Check]:
    parts = identifier.split("/")
    if len(parts) != 7:
        raise SelectionError(
            f"{identifier!r} is not a check's ID: loss/implementation/case/dtype/device/mode/aspect; "
            "copy one from the report"
        )
    loss, name, _, dtype, device, mode, aspect = parts
    if loss not in DEFINITIONS:
        raise SelectionError(f"unknown loss {loss!r} in {identifier!r}; there are {', '.join(DEFINITIONS)}")
    for backend, registered in adapters.BACKENDS.items():
        if registered.missing() or not registered.has(name):  # only the backend that is asked for is imported
            continue
        module = adapters.load(backend)
        if any((each.loss, each.name) == (loss, name) for each in module.IMPLEMENTATIONS):
            dtypes, second = (() if dtype == "any" else (dtype,)), aspect.startswith("second:")
            selection = Selection(losses=(loss,), dtypes=dtypes, devices=(device,), modes=(mode,), full=second)
            for check in checks(backend, module, selection):
                if check.id == identifier:
                    return backend, module, check
            raise SelectionError(f"no check {identifier!r}; `lossparity list cases --loss {loss}` names the cases")
    gaps = [each.missing() for each in adapters.BACKENDS.values() if each.has(name) and each.missing()]
    raise SelectionError(f"no implementation {name!r} of {loss} here" + (f": {gaps[0]}" if gaps else ""))


def _refusal(loss: str, arguments: Mapping[str, Any]) -> str:
    try:
        return f"returned {DEFINITIONS[loss](**arguments)!r}"
    except (TypeError, ValueError) as error:
        return f"raised {type(error).__name__}: {error}"


def _answer(error: BaseException | None, got: Array | None) -> str:
    if error is not None:
        return f"raised {type(error).__name__}: {error}"
    return "no gradient" if got is None else f"{got.dtype} {_literal(got)}"


def _reproducer(
    judge: Judge, implementation: Implementation, case: Case, check: Check, outcome: Outcome, want: Any
) -> Iterator[str]:
    """The very call that was checked, as a program of the framework alone."""
    engine = judge.engine
    request = judge.request(implementation, case, check.dtype, check.device)
    tensors = {name: engine.place(array, check.device, check.dtype) for name, array in request.arrays.items()}
    imports, statements = straight(implementation.function, implementation.entry_point, tensors, request.options)
    argument = check.aspect.partition(":")[2]
    sketch = engines.Sketch(
        request,
        check.mode,
        imports,
        statements,
        frozenset(name for name, recipe in case.arrays.items() if recipe.strided),
        check.aspect,
        None if outcome.value is None else request.cotangent(outcome.value.shape),
        outcome.gradients.get(argument) is not None or check.aspect in outcome.raised,
        _written(case, check.dtype, judge.seed, request.arrays),
        {name: request.direction(name, request.arrays[name].shape) for name in request.differentiable}
        if check.aspect.startswith("second:")
        else {},
    )
    yield "reproducer (save it as a file, run it with the same environment's Python)"
    yield ""
    yield f"# {check.id}, seed {judge.seed}"
    yield from engine.reproducer(sketch)
    if want is not None:
        yield f'print("want", {want})'


def _written(case: Case, dtype: str, seed: int, arrays: Mapping[str, Array]) -> dict[str, str]:
    """The large arrays as NumPy expressions; narrow dtypes round in their own way, and have their digits."""
    large = [name for name, array in arrays.items() if array.size > LARGE and dtype in DTYPES]
    return {name: case.written(seed, name) for name in large if case.written(seed, name)}


def _literal(value: Any) -> str:
    return repr(value.tolist()) if isinstance(value, np.ndarray) else repr(value)
