"""The matrix: which checks there are.

    implementation x case x dtype x device x mode x aspect

`checks` lists them, for the pytest matrix and for `lossparity run`; judge.py decides them.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lossparity import reference
from lossparity.adapters import engine_of
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Setup, Unsupported
from lossparity.conformance.cases import CASES, DTYPES, NARROW, Case, full
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.record import Check

DEFAULT_SEED = 0


class SelectionError(ValueError):
    """A selection with a word that there is not, or that does not read; the message says what there is."""


@dataclass(frozen=True)
class Selection:
    """Which checks are asked for. Empty means all of them; for devices and modes, the framework's first.

    quick: of each row of the case table only the first reduction and the mean (Case.quick). What it leaves out is the
    sums and the reductions of weighted samples.
    shard: "2/3", the second of three parts of the plan; "" is all of it.
    full: the narrow dtypes, the other modes and the second derivatives too, each on the rows that cases/full.py names.
    """

    losses: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    expression: str = ""
    quick: bool = False
    shard: str = ""
    full: bool = False

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Selection:
        """A selection from what JSON or a command line gives: lists become tuples."""
        given: dict[str, Any] = {name: tuple(w) if isinstance(w, (list, tuple)) else w for name, w in words.items()}
        return cls(**given)

    def validate(self) -> None:
        """SelectionError that says which word is wrong and what it may be."""
        dtypes = (*DTYPES, *NARROW)
        for kind, given, known in (("loss", self.losses, tuple(DEFINITIONS)), ("dtype", self.dtypes, dtypes)):
            for name in given:
                if name not in known:
                    raise SelectionError(f"unknown {kind} {name!r}; there are {', '.join(known)}")
        compile_expression(self.expression)
        self.part()

    def part(self) -> tuple[int, int]:
        """The shard as numbers: which one, from 1, and of how many."""
        number, slash, of = (self.shard or "1/1").partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise SelectionError(f"shard {self.shard!r} is not I/N with 1 <= I <= N; write the second of three as 2/3")
        return int(number), int(of)


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
        raise SelectionError(f"-k {expression!r} does not read: join words with and, or, not and parentheses") from None
    # Every word above is quoted by repr; what is left is and, or, not and parentheses.
    return lambda identifier: bool(eval(code, {"__builtins__": {}}, {"text": identifier.lower()}))  # noqa: S307


def checks(backend: str, module: ModuleType, selection: Selection) -> Iterator[Check]:
    """Every check of a backend that the selection asks for, in the order in which they run."""
    wanted = compile_expression(selection.expression)
    default, *others = module.ENGINE.MODES
    engine = engine_of(module), str(module.ENGINE.version())
    for implementation in module.IMPLEMENTATIONS:
        if selection.losses and implementation.loss not in selection.losses:
            continue
        for device in selection.devices or module.ENGINE.devices()[:1]:
            for mode in selection.modes or (default, *(others if selection.full else ())):
                for case, dtype, aspect in _rows(implementation, selection, Setup(device, mode, *engine), default):
                    parts = (implementation.loss, implementation.name, case, dtype, device, mode, aspect)
                    check = Check("/".join(parts), parts[0], backend, *parts[1:])
                    if wanted(check.id):
                        yield check


def not_installed(backend: str, reason: str) -> Check:
    """The one check that stands for a backend that cannot be run at all."""
    return Check(f"*/{backend}", "*", backend, "*", "*", "*", "*", "*", "*", verdict="not-run", reason=reason)


def _rows(
    implementation: Implementation, selection: Selection, setup: Setup, default: str
) -> Iterator[tuple[str, str, str]]:
    """Case, dtype and aspect of each check in a setup.

    In the modes that are not the default, calls of one dtype, one set of options and the same shapes stand together:
    they share what is compiled.
    """
    mode = setup.mode
    calls = list(_calls(implementation, selection, mode, default))
    if mode != default:
        first: dict[Any, int] = {}
        calls.sort(key=lambda call: (call[1], first.setdefault((call[1], call[0].signature), len(first))))
    asked = everything if selection.full and mode == default else aspects
    for case, dtype in calls:
        for aspect in asked(implementation, case, dtype, setup):
            yield case.name, dtype, aspect
    declared: tuple[Dialect | KnownIssue, ...] = (*implementation.dialects, *implementation.known_issues)
    for each in declared:
        # Under --full, whether a declaration of every mode still shows is asked where all rows are.
        if mode in each.modes or not (each.modes or (mode != default and selection.full)):
            yield "any", "any", f"dialect:{each.name}"


def _calls(implementation: Implementation, selection: Selection, mode: str, default: str) -> Iterator[tuple[Case, str]]:
    """The cases in the dtypes that are asked for."""
    if selection.full and mode != default and implementation.twin:
        return  # the class calls the function: what a compiler makes of that is seen there
    for case in CASES.get(implementation.loss, {}).values():
        if selection.quick and not case.quick:
            continue
        offered = (*case.dtypes, *case.narrow)
        if not selection.full:
            asked = selection.dtypes or case.dtypes
        elif mode == default:
            asked = selection.dtypes or offered
            offered = (*case.dtypes, *(case.narrow if full.shows("narrow", case) else ()))
        else:
            asked = selection.dtypes or full.MODE_DTYPES
            offered = offered if full.shows(mode, case) else ()
        yield from ((case, dtype) for dtype in asked if dtype in offered)


def aspects(implementation: Implementation, case: Case, dtype: str, setup: Setup) -> tuple[str, ...]:
    """What is checked of one call: shape and dtype before the numbers."""
    if unsupported(implementation, case, dtype, setup):
        return ("value",)
    if "error" in case.tags:
        return ("error",)
    gradients = tuple(f"gradient:{name}" for name in gradients_of(case))
    compared = () if "empty" in case.tags and case.options.get("reduction", "none") == "none" else ("value",)
    return ("shape", "dtype", *compared, *gradients, *(("twin",) if implementation.twin else ()))


def everything(implementation: Implementation, case: Case, dtype: str, setup: Setup) -> tuple[str, ...]:
    """What is checked of one call under --full: also the second derivatives, along directions of all arguments."""
    found = aspects(implementation, case, dtype, setup)
    if found == ("value",) or dtype not in full.SECOND_DTYPES or not full.shows("second", case):
        return found
    return (*found, *(f"second:{name}" for name in gradients_of(case)))


def gradients_of(case: Case) -> tuple[str, ...]:
    """The arguments in which the case's loss is differentiable: class indices are not, and empty arrays have none."""
    if "empty" in case.tags:
        return ()
    loss = DEFINITIONS[case.loss]
    return tuple(name for name in loss.differentiable if name in case.arrays and not case.arrays[name].integer)


@functools.lru_cache(maxsize=8192)  # asked for each aspect of a call
def unsupported(implementation: Implementation, case: Case, dtype: str, setup: Setup) -> str | None:
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
    declared = [each for each in implementation.unsupported if not each.raises]  # the others are asked: judge.py
    if not declared:
        return None
    call = Call(case.name, dtype, {**loss.defaults, **case.build(DEFAULT_SEED, dtype)}, case.tags, *setup)
    return next((each.reason for each in declared if applies(each, call)), None)


def applies(declared: Unsupported | Dialect | KnownIssue, call: Call) -> bool:
    """Whether a declaration is for this call. One whose predicate cannot read bad input is not."""
    if declared.modes and call.mode not in declared.modes:
        return False
    try:
        return declared.when(call)
    except (IndexError, TypeError, ValueError):
        if "error" in call.tags:
            return False
        raise
