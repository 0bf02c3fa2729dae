"""What an adapter says of each implementation: what it calls, takes, refuses and does differently.

An adapter module defines

    IMPLEMENTATIONS   filled by its `implements = implementations(IMPLEMENTATIONS)` decorator,
    ENGINE            the engine that its functions run on: `engines.load("torch")` (adapters/engines/__init__.py).

It names its framework as the implementations do (`import tensorflow as tf` for "tf.nn.softmax"), so that what they call
can be looked up. For the census of what the framework offers it may also define

    NAMESPACES        where its public losses are: dotted names,
    LOSS_CLASSES      the framework's base classes, from which only losses are derived,
    EXCLUDED          dotted name -> why it is left out on purpose. What looks like a loss (conformance/census.py), has
                      no implementation above and is not excluded, is reported as uncovered.

History is data: a declaration says in `versions` for which releases it is true, and `adapters.load` keeps those that
are true of what is installed. A range is a version specifier (PEP 440) of the backend's first distribution; another
package's has its name in front; several are joined: ">=2.1,<2.16", "tensorflow>=2.16", ">=3.4 and tensorflow>=2.16".
"" is every version. What an older release lacks is named where it is called, so that the module can be imported there.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet  # pytest, which we need, needs it
from packaging.version import Version


def _no_direction(name: str, shape: tuple[int, ...]) -> Any:
    raise ValueError(f"a second derivative is along a direction; none was given for {name} of shape {shape}")


@dataclass(frozen=True)
class Request:
    """One call of an implementation, as an engine runs it.

    function, arrays, options: what is called, `function(**arrays as tensors, **options)`. Floating arrays are exact in
        `dtype`, and float32 where NumPy does not have that; labels are int64.
    dtype, device, cotangent: where and in what; the cotangent of a value of a shape.
    differentiable: the arguments whose gradients are asked for; with none, the value is computed without autodiff.
    direction: of a second derivative, along which each argument moves; of its name and its shape.
    """

    function: Callable[..., Any]
    arrays: Mapping[str, Any]
    options: Mapping[str, Any]
    differentiable: Sequence[str]
    cotangent: Callable[[tuple[int, ...]], Any]
    device: str
    dtype: str
    direction: Callable[[str, tuple[int, ...]], Any] = _no_direction


class Answer(NamedTuple):
    """What an engine returns of one call, as NumPy arrays.

    gradients: by argument; None where the framework sees no path to it.
    dtypes: the dtype of "value" or of "gradient:<argument>" where NumPy has no such dtype; its numbers are float32.
    """

    value: Any
    gradients: Mapping[str, Any]
    dtypes: Mapping[str, str] = {}


class Setup(NamedTuple):
    """Where and how a call runs: device and mode, and on what ("tensorflow", "2.21.0"): a library can be on several."""

    device: str = "cpu"
    mode: str = "eager"
    engine: str = ""
    engine_version: str = "0"


@dataclass(frozen=True)
class Call:
    """One call of an implementation, as predicates (`when`) and dialects see it.

    arguments: the reference's arguments by name, defaults filled in, arrays already rounded to `dtype`.
    tags: the case's tags.
    device, mode, engine, engine_version: of its `Setup`.
    """

    case: str
    dtype: str
    arguments: Mapping[str, Any]
    tags: frozenset[str]
    device: str = "cpu"
    mode: str = "eager"
    engine: str = ""
    engine_version: str = "0"


@functools.cache
def ranges(versions: str) -> tuple[tuple[str, SpecifierSet], ...]:
    """The packages (the backend's first is "") and ranges that `versions` names. ValueError where it does not read."""
    found = []
    for clause in versions.split(" and "):
        name = re.match(r"\s*([A-Za-z][\w.-]*)?", clause)
        try:
            found.append((name[1] or "", SpecifierSet(clause[name.end() :])))  # type: ignore[index,union-attr]
        except InvalidSpecifier:
            raise ValueError(
                f'versions={versions!r} does not read: write a range, ">=2.1,<2.16", with another package\'s name in '
                'front, "tensorflow>=2.16", and " and " between two'
            ) from None
    return tuple(found)


def covers(versions: str, installed: Mapping[str, str]) -> bool:
    """Whether the installed versions, by distribution, the backend's own first, are in the ranges.

    A pre-release counts as the release that it becomes. A package that is not there is in no range; where only a build
    of it is, as tensorflow-cpu is of tensorflow, that one counts.
    """
    for name, wanted in ranges(versions):
        version = named(name, installed)
        if version is None or not wanted.contains(Version(version).base_version):
            return False
    return True


def named(name: str, installed: Mapping[str, str]) -> str | None:
    """The version of a package, "" being the first; None where it is not installed."""
    if not name:
        return next(iter(installed.values()), "0")
    builds = (version for each, version in installed.items() if each.startswith(f"{name}-"))
    return installed.get(name) or next(builds, None)


def always(_: Call) -> bool:
    """A predicate that holds for every call."""
    return True


@dataclass(frozen=True, eq=False)
class Dialect:
    """A documented difference from the canonical loss, written as parameters of the reference.

    name: one or two words, [a-z0-9-]; part of a check's ID.
    reason, source: what differs and why, in a sentence; where that is documented (a link).
    parameters: arguments of the reference that reproduce the difference, or a function of the call giving them.
    raises: instead: the framework refuses, with this exception class, what the definition computes.
    accepts: instead: the framework computes what the definition refuses.
    dtype: instead: the framework computes in this dtype, and returns its value in it, whatever it was given.
    reduced_in: instead: the framework weighs and reduces the terms in this dtype, and casts the result back.
    computed_as: beside or without parameters: the formula that the framework really computes, a textbook form
        (lossparity.adapters.formulas) of the loss, less accurate than the loss's own. Agreeing only to what that costs
        is `lossy`.
    when: the calls to which the dialect applies.
    versions, modes: the releases, and the modes, that have it; () is every mode.
    """

    name: str
    reason: str
    source: str
    parameters: Mapping[str, Any] | Callable[[Call], Mapping[str, Any]] | None = None
    raises: str | None = None
    accepts: bool = False
    dtype: str | None = None
    reduced_in: str | None = None
    computed_as: Callable[..., Any] | None = None
    when: Callable[[Call], bool] = always
    versions: str = ""
    modes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ranges(self.versions)


RAISED = ("shape", "dtype", "value", "gradient", "twin")  # where what is not returned is missed


@dataclass(frozen=True, eq=False)
class KnownIssue:
    """A framework's bug: it differs from its own documentation, or from what can be defended.

    It says what the wrong answer is, in one of these ways, the first that is possible; any other difference is still a
    mismatch:

    parameters, computed_as: arguments of the reference that give it, or a function of the call giving them, and the
        formula, as in a dialect;
    raises: the exception class;
    symptom: "nan", "inf" or "zero", which every element that differs is; "twin", of the aspect "twin" alone: the two
        entry points are not the same, each being what is said of it;
    bounds: a function of the call giving the least and the greatest number that each element may be.

    versions, modes: the releases, and the modes, that have it; () is every mode.
    aspects: the aspects in which it shows, by prefix ("value", "gradient:input", "gradient"); RAISED is all of them.
    """

    name: str
    reason: str
    link: str
    versions: str
    symptom: Literal["nan", "inf", "zero", "twin"] | None = None
    aspects: tuple[str, ...] = ("value", "gradient")
    when: Callable[[Call], bool] = always
    modes: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | Callable[[Call], Mapping[str, Any]] | None = None
    raises: str | None = None
    bounds: Callable[[Call], tuple[Any, Any]] | None = None
    computed_as: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        ranges(self.versions)
        formula = self.computed_as if self.parameters is None else self.parameters
        said = [each for each in (self.symptom, formula, self.raises, self.bounds) if each is not None]
        if len(said) != 1 or self.symptom not in (None, "nan", "inf", "zero", "twin"):
            raise ValueError(
                f"known issue {self.name!r}: symptom={self.symptom!r}, parameters={self.parameters!r}, "
                f"raises={self.raises!r}, bounds={self.bounds!r}; say in one way what the wrong answer is, so that no "
                "other fault passes for it: parameters of the reference or a formula (computed_as) that give it, else "
                "raises='ValueError', else symptom='nan', 'inf' or 'zero', else bounds"
            )
        known = ("shape", "dtype", "value", "gradient", "second", "twin")
        if not self.aspects or any(each.partition(":")[0] not in known for each in self.aspects):
            raise ValueError(f"known issue {self.name!r}: aspects={self.aspects!r}; each begins with one of {known}")
        if self.symptom == "twin" and self.aspects != ("twin",):
            raise ValueError(f"known issue {self.name!r}: symptom='twin' is of aspects=('twin',), not {self.aspects!r}")

    @functools.cached_property
    def answer(self) -> Dialect | None:
        """The wrong answer as a dialect; None where it is said by a symptom or bounds."""
        if self.parameters is None and self.raises is None and self.computed_as is None:
            return None
        return Dialect(self.name, self.reason, self.link, self.parameters, self.raises, computed_as=self.computed_as)


@dataclass(frozen=True)
class Unsupported:
    """What an implementation does not offer, in these releases and modes (all: "", ()); `reason` says why.

    raises: the exception class with which it says so itself. It is asked then, and one that no longer refuses is stale.
    """

    reason: str
    when: Callable[[Call], bool] = always
    versions: str = ""
    modes: tuple[str, ...] = ()
    raises: str = ""

    def __post_init__(self) -> None:
        ranges(self.versions)


@dataclass(frozen=True, eq=False)
class Implementation:
    """One public entry point of a framework for one loss.

    name: its public dotted name, with "@engine" behind it on another engine than the backend's default.
    function: a function of the reference's argument names; what it does not name it does not take.
    reductions: the reference's reductions that it offers.
    lacks: why it does not take an argument, by name (else only that it does not is said).
    no_gradient: why it gives no gradient for an argument, by name; "*" for all of them.
    twin: the name of another implementation that must give the same bits.
    versions: the releases that have it.
    exists: False where the installed one is none of them.
    """

    loss: str
    name: str
    function: Callable[..., Any]
    reductions: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float64", "float32", "float16", "bfloat16")
    lacks: Mapping[str, str] = field(default_factory=dict)
    no_gradient: Mapping[str, str] = field(default_factory=dict)
    unsupported: tuple[Unsupported, ...] = ()
    dialects: tuple[Dialect, ...] = ()
    known_issues: tuple[KnownIssue, ...] = ()
    twin: str | None = None
    versions: str = ""
    exists: bool = True

    def __post_init__(self) -> None:
        ranges(self.versions)

    def at(self, installed: Mapping[str, str]) -> Implementation:
        """What is declared for these versions, the backend's own first.

        Known issues of other versions stay: that each is looked for, and where it is said to be, is in every record.
        """
        return dataclasses.replace(
            self,
            dialects=tuple(each for each in self.dialects if covers(each.versions, installed)),
            unsupported=tuple(each for each in self.unsupported if covers(each.versions, installed)),
            exists=covers(self.versions, installed),
        )

    @property
    def entry_point(self) -> str:
        """Its public dotted name, without the engine that it runs on here."""
        return self.name.partition("@")[0]

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The reference's arguments that the implementation takes."""
        return tuple(inspect.signature(self.function).parameters)


@dataclass(frozen=True)
class Twin:
    """The other entry point of a pair that must give the same bits: the class around a function, or the reverse.

    name, function: its own, as an `Implementation` has them. differs: what else is not as its twin's, by field.
    """

    name: str
    function: Callable[..., Any]
    differs: Mapping[str, Any]


def twin(name: str, function: Callable[..., Any], **differs: Any) -> Twin:
    """A `Twin`; `function` is a lambda that names the entry point, so that an older release may lack it."""
    return Twin(name, function, differs)


def implementations(registry: list[Implementation]) -> Callable[..., Callable[[Any], Any]]:
    """A decorator `implements(loss, name, reductions=..., twin=twin(...), ...)`: it adds an `Implementation` to
    `registry`, and with a `twin` a second one, which is declared as the first is.
    """

    def implements(
        loss: str, name: str, reductions: tuple[str, ...] = (), twin: Twin | None = None, **rest: Any
    ) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            one = Implementation(loss, name, function, reductions, **rest)
            registry.append(one)
            if twin is not None:
                other: dict[str, Any] = {"name": twin.name, "function": twin.function, "twin": name, **twin.differs}
                registry.append(dataclasses.replace(one, **other))
            return function

        return register

    return implements
