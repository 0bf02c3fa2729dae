"""`lossparity explain ID`: one check in full, with a reproducer that needs only NumPy and the framework."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from lossparity import adapters
from lossparity.adapters.base import Implementation
from lossparity.conformance.cases import CASES, Case
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, SelectionError, checks
from lossparity.conformance.record import Check
from lossparity.reference.core import Array


def explain(identifier: str, seed: int) -> str:
    """The check's inputs, reference, framework, error and reproducer. ValueError for an ID that is none."""
    backend, module, check = _find(identifier)
    versions = adapters.BACKENDS[backend].versions()
    judge = Judge(module, seed, adapters.BACKENDS[backend].version())
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
    outcome = judge.outcome(implementation, case, check.dtype, check.device, check.mode)
    arguments = case.build(seed, check.dtype)
    lines += ["", "inputs"]
    lines += [f"  {name} = {_literal(value)}" for name, value in arguments.items()]
    if check.aspect == "error":
        lines += ["", "reference", f"  {_refusal(check.loss, arguments)}"]
        lines += ["", "framework", f"  {_answer(outcome.error, outcome.value)}"]
        return "\n".join([*lines, "", *_reproducer(judge, implementation, case, check, None, None)])
    canonical = judge.expected(case, check.dtype, ())
    spoken = tuple(each for each in implementation.dialects if each.name in decided.declared)
    expected = judge.expected(case, check.dtype, spoken)
    name = check.aspect.partition(":")[2]
    want = expected.gradients.get(name, expected.value)
    got = outcome.gradients.get(name, outcome.value)
    lines += ["", "reference (float64)", f"  {_literal(canonical.gradients.get(name, canonical.value))}"]
    if spoken:
        names = " and ".join(each.name for each in spoken)
        lines += ["", f"reference in the dialect {names}", f"  {_literal(want)}"]
    lines += ["", "framework", f"  {_answer(outcome.error, got)}"]
    if decided.worst:
        worst = decided.worst
        lines += [
            "",
            f"at {worst['index']}   got {worst['got']!r}   want {worst['want']!r}",
            f"error {decided.error_ulp:.4g} ULP   tolerance {worst['tolerance']:.4g}   margin {decided.margin:.4g}",
        ]
    shape = expected.value.shape if outcome.value is None else outcome.value.shape
    cotangent = case.cotangent(seed, check.dtype, shape)
    return "\n".join([*lines, "", *_reproducer(judge, implementation, case, check, cotangent, want)])


def _find(identifier: str) -> tuple[str, ModuleType, Check]:
    parts = identifier.split("/")
    if len(parts) != 7:
        raise SelectionError(
            f"{identifier!r} is not a check's ID: loss/implementation/case/dtype/device/mode/aspect; "
            "copy one from the report"
        )
    loss, name, _, _, device, mode, _ = parts
    if loss not in DEFINITIONS:
        raise SelectionError(f"unknown loss {loss!r} in {identifier!r}; there are {', '.join(DEFINITIONS)}")
    for backend, registered in adapters.BACKENDS.items():
        # Only the backend whose implementation is asked for is imported; its name starts the implementation's.
        if registered.missing() or not name.startswith(registered.namespaces):
            continue
        module = adapters.load(backend)
        if any((each.loss, each.name) == (loss, name) for each in module.IMPLEMENTATIONS):
            selection = Selection(losses=(loss,), devices=(device,), modes=(mode,))
            for check in checks(backend, module, selection):
                if check.id == identifier:
                    return backend, module, check
            raise SelectionError(f"no check {identifier!r}; `lossparity list cases --loss {loss}` names the cases")
    gaps = [
        each.missing() for each in adapters.BACKENDS.values() if name.startswith(each.namespaces) and each.missing()
    ]
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
    judge: Judge, implementation: Implementation, case: Case, check: Check, cotangent: Array | None, want: Array | None
) -> Iterator[str]:
    """The very call that was checked, as a program: the adapter's own code, the numbers, the expected result."""
    evaluate = judge.module.MODES[check.mode]
    function = implementation.function
    arrays, options = judge.handed_over(implementation, case, check.dtype)
    differentiable = judge.differentiable(implementation, case)
    yield "reproducer (save it as a file, run it with the same environment's Python)"
    yield ""
    yield "from __future__ import annotations"
    yield ""
    sources = _Sources()
    sources.add(function)
    sources.add(evaluate)
    yield from sorted({"import numpy as np", *sources.imports}, key=lambda line: (line.startswith("from"), line))
    yield "from numpy import inf, nan"
    for block in sources.blocks:
        yield ""
        yield block
    yield ""
    yield f"# {check.id}, seed {judge.seed}"
    yield "arrays = {"
    for name, array in arrays.items():
        yield f"    {name!r}: {_array(array)},"
    yield "}"
    for name, recipe in case.arrays.items():
        if recipe.strided and name in arrays:
            yield f"arrays[{name!r}] = np.repeat(arrays[{name!r}], 2, axis=-1)[..., ::2]  # a gap behind every element"
    yield f"options = {options!r}"
    yield "cotangent = " + ("np.zeros" if cotangent is None else f"{{{cotangent.shape!r}: {_array(cotangent)}}}.get")
    yield (
        f"value, gradients = {evaluate.__name__}"
        f"({function.__name__}, arrays, options, {differentiable!r}, cotangent, {check.device!r})"
    )
    name = check.aspect.partition(":")[2]
    yield f'print("got ", repr({f"gradients[{name!r}]" if check.aspect.startswith("gradient:") else "value"}))'
    if want is not None:
        yield f'print("want", repr({_array(want)}))'


class _Sources:
    """The source of functions, with everything of their modules that they use, and the imports it takes."""

    def __init__(self) -> None:
        self.imports: list[str] = []
        self.blocks: list[str] = []
        self._seen: set[tuple[str, int]] = set()

    def add(self, function: Any) -> None:
        """Add a function of an adapter module, found by its first line: names may be used more than once."""
        module = inspect.getmodule(function)
        if module is None:
            raise ValueError(f"{function!r} has no module whose source could be shown")
        line = function.__code__.co_firstlineno
        for statement in _parsed(module)[1]:
            decorators = getattr(statement, "decorator_list", [])
            if min([statement.lineno, *(each.lineno for each in decorators)]) <= line <= (statement.end_lineno or 0):
                self._add(module, statement)
                return
        raise ValueError(f"{function!r} is not a function at the top of {module.__name__}")

    def _add(self, module: ModuleType, statement: ast.stmt) -> None:
        if (module.__name__, statement.lineno) in self._seen:
            return
        self._seen.add((module.__name__, statement.lineno))
        source, body = _parsed(module)
        shown: list[ast.AST] = [statement]
        first = statement.lineno
        if isinstance(statement, ast.FunctionDef):
            decorators = [each for each in statement.decorator_list if not _registers(each)]
            shown = [*decorators, statement.args, *statement.body]
            first = min([first, *(each.lineno for each in decorators)])
        used = {node.id for part in shown for node in ast.walk(part) if isinstance(node, ast.Name)}
        for other in body:
            if used & set(_bound(other)) and other is not statement:
                if isinstance(other, (ast.Import, ast.ImportFrom)):
                    self._import(other, used)
                elif other.lineno != statement.lineno:
                    self._add(module, other)
        lines = source.splitlines()[first - 1 : statement.end_lineno]
        self.blocks.append("\n".join(line.partition("  # noqa")[0].partition("  # type:")[0] for line in lines))

    def _import(self, statement: ast.Import | ast.ImportFrom, used: set[str]) -> None:
        for alias in statement.names:
            if (alias.asname or alias.name.partition(".")[0]) not in used:
                continue
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("lossparity"):
                self.add(getattr(importlib.import_module(statement.module or ""), alias.name))
                continue
            as_name = f" as {alias.asname}" if alias.asname else ""
            start = f"from {statement.module} import" if isinstance(statement, ast.ImportFrom) else "import"
            line = f"{start} {alias.name}{as_name}"
            if line not in self.imports:
                self.imports.append(line)


@functools.lru_cache
def _parsed(module: ModuleType) -> tuple[str, list[ast.stmt]]:
    source = inspect.getsource(module)
    return source, ast.parse(source).body


def _registers(decorator: ast.expr) -> bool:
    """Whether it is the adapter's `@implements(...)`, which a reproducer does without."""
    return isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "implements"


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module binds, those of its branches included."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):  # not what a comprehension in the value binds
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    else:
        for part in ast.iter_child_nodes(statement):
            branches = part.body if isinstance(part, ast.ExceptHandler) else [part]
            for branch in branches:
                if isinstance(branch, ast.stmt):
                    yield from _bound(branch)


def _array(array: Array) -> str:
    """An expression that gives the array, to the bit."""
    expression = f"np.array({array.tolist()!r}, dtype={str(array.dtype)!r})"
    return expression if array.size or array.ndim < 2 else f"np.zeros({array.shape!r}, dtype={str(array.dtype)!r})"


def _literal(value: Any) -> str:
    return repr(value.tolist()) if isinstance(value, np.ndarray) else repr(value)
