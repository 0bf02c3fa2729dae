"""What an adapter says of each implementation: what it calls, takes, refuses and does differently.

An adapter module defines

    IMPLEMENTATIONS   filled by its `implements = implementations(IMPLEMENTATIONS)` decorator,
    MODES             name -> evaluate function; the first is the default ("eager"),
    devices()         the devices that the framework sees, in the names of lossparity: cpu, cpu:1, cuda:0, mps.

It may also define

    REFUSED           (kind of device, dtype) -> why the framework does not have that dtype there.

It names its framework as the implementations do (`import tensorflow as tf` for "tf.nn.softmax"), so that what they call
can be looked up. For the census of what the framework offers it may also define

    NAMESPACES        where its public losses are: dotted names,
    LOSS_CLASSES      the framework's base classes, from which only losses are derived,
    EXCLUDED          dotted name -> why it is left out on purpose. What looks like a loss (conformance/census.py), has
                      no implementation above and is not excluded, is reported as uncovered.

An evaluate function is

    evaluate(function, arrays, options, differentiable, cotangent, device) -> (value, gradients)

It places every array of `arrays` (NumPy, in the dtype under test, labels int64) on `device` as the framework's own
tensor, without a change of dtype or of memory layout, calls `function(**tensors, **options)`, and returns
NumPy arrays: the value, and for each name in `differentiable` the gradient by the framework's own autodiff under
`cotangent(value.shape)` (None where the framework says that there is no path). What the framework raises is let
through, and so are its warnings, which go into the record and are not printed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Call:
    """One call of an implementation, as predicates (`when`) and dialects see it.

    arguments: the reference's arguments by name, defaults filled in, arrays already rounded to `dtype`.
    tags: the case's tags.
    device: where it runs; what a declaration says of one kind of device depends on it.
    """

    case: str
    dtype: str
    arguments: Mapping[str, Any]
    tags: frozenset[str]
    device: str = "cpu"


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
    dtype: instead: the framework returns its value in this dtype whatever it was given.
    precision: instead: the framework computes in this dtype; `dtype` alone means both.
    when: the calls to which the dialect applies.
    """

    name: str
    reason: str
    source: str
    parameters: Mapping[str, Any] | Callable[[Call], Mapping[str, Any]] | None = None
    raises: str | None = None
    accepts: bool = False
    dtype: str | None = None
    precision: str | None = None
    when: Callable[[Call], bool] = always


@dataclass(frozen=True, eq=False)
class KnownIssue:
    """A framework's bug: it differs from its own documentation, or from what can be defended.

    versions: the releases that have it, as a version specifier (">=2.1,<2.16") of the backend's first distribution.
    symptom: what the elements that differ look like; any other difference is still a mismatch.
    aspects: the aspects in which it shows, by prefix ("value", "gradient:input", "gradient").
    """

    name: str
    reason: str
    link: str
    versions: str
    symptom: Literal["nan", "inf", "zero", "raises", "number", "any"]
    aspects: tuple[str, ...] = ("value", "gradient")
    when: Callable[[Call], bool] = always


@dataclass(frozen=True)
class Unsupported:
    """What an implementation does not offer; `reason` says why."""

    reason: str
    when: Callable[[Call], bool]


@dataclass(frozen=True, eq=False)
class Implementation:
    """One public entry point of a framework for one loss.

    name: its public dotted name.
    function: a function of the reference's argument names; what it does not name it does not take.
    reductions: the reference's reductions that it offers.
    lacks: why it does not take an argument, by name (else only that it does not is said).
    no_gradient: why it gives no gradient for an argument, by name; "*" for all of them.
    twin: the name of another implementation that must give the same bits.
    exists: False where the installed version does not have it.
    """

    loss: str
    name: str
    function: Callable[..., Any]
    reductions: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float64", "float32")
    lacks: Mapping[str, str] = field(default_factory=dict)
    no_gradient: Mapping[str, str] = field(default_factory=dict)
    unsupported: tuple[Unsupported, ...] = ()
    dialects: tuple[Dialect, ...] = ()
    known_issues: tuple[KnownIssue, ...] = ()
    twin: str | None = None
    exists: bool = True

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The reference's arguments that the implementation takes."""
        return tuple(inspect.signature(self.function).parameters)


def implementations(registry: list[Implementation]) -> Callable[..., Callable[[Any], Any]]:
    """A decorator `implements(loss, name, reductions=..., ...)` that adds an `Implementation` to `registry`."""

    def implements(loss: str, name: str, reductions: tuple[str, ...] = (), **rest: Any) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            registry.append(Implementation(loss, name, function, reductions, **rest))
            return function

        return register

    return implements
