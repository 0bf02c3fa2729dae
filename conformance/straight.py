"""An implementation's call as straight lines: what its function does with these very arguments, nothing else.

The function's source is read and evaluated in part: what is known becomes a literal, a branch that is not taken goes,
a helper of the adapter is replaced by what it returns, and what is left are calls of the framework.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

_UNKNOWN = object()


def straight(function: Any, name: str, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[list[str], ...]:
    """The imports and the statements of `function(**tensors, **options)`; the last one assigns `value`.

    name: the entry point as it is called in public ("torch.nn.L1Loss"): so it stands in the statements.
    tensors: the framework's own, by the names that they have in the statements.
    """
    root = name.partition(".")[0]
    entry = _Entry(name, root, function.__globals__.get(root))
    scope = _Scope(function, entry, {id(tensor): each for each, tensor in tensors.items()})
    parameters = inspect.signature(function).parameters
    given = {key: each.default for key, each in parameters.items() if each.default is not each.empty}
    scope.values.update({**given, **tensors, **options})
    with warnings.catch_warnings():  # of a call that is only looked into
        warnings.simplefilter("ignore")
        scope.statements.append(ast.Assign([ast.Name("value", ast.Store())], scope.run()))
    lines = [ast.unparse(ast.fix_missing_locations(each)) for each in scope.statements]
    names = {node.id for line in lines for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Name)}
    return sorted(_imports(names, scope.seen, entry)), lines


class _Entry:
    """The entry point under its public name."""

    def __init__(self, name: str, root: str, module: Any) -> None:
        self.name, self.root, self.module = name, root, module
        thing = module
        for part in name.split(".")[1:]:
            thing = getattr(thing, part, None)
        self.thing = thing


def _imports(names: set[str], seen: Mapping[str, Any], entry: _Entry) -> Iterator[str]:
    """The lines that give the names a meaning; those of the arguments have one."""
    for name in names:
        found = entry.module if name == entry.root else seen.get(name)
        if isinstance(found, ModuleType):
            real = _public(found)
            parent = entry.name.rpartition(".")[0]
            if name == entry.root and real == name and parent in sys.modules:
                yield f"import {parent}"
            else:
                yield f"import {real}" + ("" if real == name else f" as {name}")
        elif found is not None and hasattr(found, "__qualname__"):
            yield f"from {found.__module__} import {found.__qualname__}"


def _public(module: ModuleType) -> str:
    """A module's name without the parts that are private: what `import` is written with."""
    parts = module.__name__.split(".")
    return parts[0] if any(part.startswith("_") for part in parts) else module.__name__


def _body(function: Any) -> list[ast.stmt]:
    """The statements of a function; of a lambda, which has a line of its own, that it returns its expression."""
    if function.__name__ == "<lambda>":
        line = function.__code__.co_firstlineno
        nodes = ast.walk(ast.parse(inspect.getsource(sys.modules[function.__module__])))
        (found,) = (each for each in nodes if isinstance(each, ast.Lambda) and each.lineno == line)
        return [ast.Return(found.body)]
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(definition, ast.FunctionDef):
        raise TypeError(f"{function!r} is no function whose lines could be shown")
    return definition.body


class _Scope:
    """A function's body with its names bound. Statements that make something new are shared by all scopes."""

    def __init__(self, function: Any, entry: _Entry, names: dict[int, str], caller: _Scope | None = None) -> None:
        self.body = _body(function)
        self.function = function
        self.entry = entry
        self.names = names  # by id() of an object that the statements have already made
        self.values: dict[str, Any] = {}
        self.nodes: dict[str, ast.expr] = {}  # what a parameter was called with, where that is no literal
        self.statements: list[ast.stmt] = caller.statements if caller else []
        self.kept: list[Any] = caller.kept if caller else []  # so that no id() is used twice
        self.seen: dict[str, Any] = caller.seen if caller else {}
        closure = inspect.getclosurevars(function)
        self.known = {**closure.builtins, **closure.globals, **closure.nonlocals}

    def run(self) -> ast.expr:
        """What the function returns, as an expression; the statements before that are kept."""
        found = self._run(self.body)
        return ast.Constant(None) if found is None else found

    def _run(self, body: list[ast.stmt]) -> ast.expr | None:
        for statement in body:
            if isinstance(statement, ast.Return):
                return self.write(statement.value or ast.Constant(None))
            if isinstance(statement, ast.If):
                found = self._run(statement.body if self.value(statement.test) else statement.orelse)
                if found is not None:
                    return found
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self._assign(statement.targets[0].id, statement.value)
            elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                raise TypeError(f"a statement that cannot be shown in one line: {ast.unparse(statement)}")
        return None

    def _assign(self, name: str, expression: ast.expr) -> None:
        value = self.value(expression)
        written = self.write(expression)
        self.values[name] = value
        if self.literal(value) is None:
            self.statements.append(ast.Assign([ast.Name(name, ast.Store())], written))
            self.nodes[name] = ast.Name(name, ast.Load())
            if value is not _UNKNOWN:
                self.names[id(value)] = name
                self.kept.append(value)

    def value(self, expression: ast.expr) -> Any:
        """What an expression gives here."""
        code = compile(ast.fix_missing_locations(ast.Expression(expression)), "straight", "eval")
        try:
            return eval(code, {**self.known, **self.values})  # noqa: S307  a line of the adapter, as it would run
        except Exception:  # what the framework refuses is shown, and raised by whoever runs it
            return _UNKNOWN

    def literal(self, value: Any) -> ast.expr | None:
        """A value as it is written; None where it is no literal."""
        if id(value) in self.names:
            return ast.Name(self.names[id(value)], ast.Load())
        if self.entry.thing is not None and value is self.entry.thing:
            return ast.parse(self.entry.name, mode="eval").body
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return ast.parse(f"float('{value}')", mode="eval").body
        if value is None or isinstance(value, (bool, int, float, str)):
            return ast.Constant(value)
        if isinstance(value, dict):
            found = [self.literal(each) for each in value.values()]
            keys = [self.literal(each) for each in value]
            return None if None in found or None in keys else ast.Dict(keys, found)  # type: ignore[arg-type]
        if type(value) in (list, tuple):
            found = [self.literal(each) for each in value]
            make = ast.List if isinstance(value, list) else ast.Tuple
            return None if None in found else make(found, ast.Load())  # type: ignore[arg-type]
        return None

    def write(self, expression: ast.expr) -> ast.expr:
        """The expression with everything that is known written out."""
        value = self.value(expression)
        found = None if self._is_the_frameworks(expression) else self.literal(value)
        if found is not None:
            return found
        if isinstance(expression, ast.Name):
            if expression.id not in self.nodes and expression.id in self.known:
                self.seen[expression.id] = value
            return self.nodes.get(expression.id, expression)
        if isinstance(expression, ast.IfExp):
            return self.write(expression.body if self.value(expression.test) else expression.orelse)
        if isinstance(expression, ast.Call):
            return self._write_call(expression)
        for field, child in ast.iter_fields(expression):
            if isinstance(child, ast.expr):
                setattr(expression, field, self.write(child))
            elif isinstance(child, list) and child and isinstance(child[0], ast.expr):
                setattr(expression, field, [self.write(each) for each in child])
        return expression

    def _is_the_frameworks(self, expression: ast.expr) -> bool:
        """Whether it is a call of the framework, which is shown even where it gives a number."""
        if not isinstance(expression, ast.Call):
            return False
        called = self.value(expression.func)
        return called is not _UNKNOWN and not self._is_ours(called) and called not in vars(builtins).values()

    def _is_ours(self, called: Any) -> bool:
        """Whether it is a helper of the adapter."""
        ours = self.function.__module__.partition(".")[0]
        return isinstance(called, FunctionType) and called.__module__.partition(".")[0] == ours

    def _write_call(self, call: ast.Call) -> ast.expr:
        called = self.value(call.func)
        arguments = [self.write(each) for each in call.args]
        keywords: list[ast.keyword] = []
        for keyword in call.keywords:
            written = self.write(keyword.value)
            if keyword.arg is None and isinstance(written, ast.Dict):
                keywords.extend(
                    ast.keyword(str(ast.literal_eval(key)), value)
                    for key, value in zip(written.keys, written.values, strict=True)
                    if key is not None
                )
            else:
                keywords.append(ast.keyword(keyword.arg, written))
        if self._is_ours(called):
            return self._inline(called, call, arguments, keywords)
        return ast.Call(self.write(call.func), arguments, keywords)

    def _inline(
        self, helper: FunctionType, call: ast.Call, arguments: list[ast.expr], keywords: list[ast.keyword]
    ) -> ast.expr:
        """What a helper of the adapter returns."""
        scope = _Scope(helper, self.entry, self.names, self)
        signature = inspect.signature(helper)
        nodes = signature.bind(*arguments, **{each.arg: each.value for each in keywords if each.arg})
        named = {each.arg: self.value(each.value) for each in call.keywords if each.arg}
        values = signature.bind(*map(self.value, call.args), **named)
        values.apply_defaults()
        scope.values.update(values.arguments)
        scope.nodes.update({name: node for name, node in nodes.arguments.items() if isinstance(node, ast.expr)})
        return scope.run()
