"""What a row of the table of hypotheses is, and how several of them are one reading of the definition."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossparity.reference.core import Loss


def always(_: Mapping[str, Any]) -> bool:
    """A predicate that holds for every call."""
    return True


def is_mean(arguments: Mapping[str, Any]) -> bool:
    """The calls that ask for the mean."""
    return bool(arguments.get("reduction") == "mean")


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A way in which people write a loss: a change of the reference's call, or a textbook form of its own.

    name: one to four words, [a-z0-9.+-]; says: what it means, in a sentence that a reader can act on.
    parameters: arguments of the reference's call to change, or a function of the call's arguments that gives them.
    form: the formula that is really computed (lossparity.reference.arithmetic), in the arguments of the loss.
    symptom: instead: what the gradient is wherever it differs, where no formula says it: "nan".
    when: the calls for which it makes a difference; the others are those of the definition.
    source: where it is documented: then it is a dialect, and agreeing with it is conforming. "": it is a fault.
    """

    name: str
    says: str
    parameters: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] = field(default_factory=dict)
    form: Callable[..., Any] | None = None
    symptom: str = ""
    when: Callable[[Mapping[str, Any]], bool] = always
    source: str = ""


def reading(
    loss: Loss, together: Sequence[Hypothesis], arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], Callable[..., Any] | None]:
    """The arguments, and the textbook form (None: the loss's own), that hypotheses together make of a call."""
    changed, form = dict(arguments), None
    for each in together:
        if not each.when(arguments):
            continue
        given = each.parameters
        changed.update(given(arguments) if callable(given) else given)
        form = each.form or form
    return {name: value for name, value in changed.items() if name in loss.arguments}, form


def around(form: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A textbook form whose terms `change` has gone over; its denominator stays."""

    @functools.wraps(form)
    def changed(*args: Any, **arguments: Any) -> Any:
        found = form(*args, **arguments)
        return (change(found[0]), *found[1:]) if isinstance(found, tuple) else change(found)

    return changed


def mean(x: Any) -> Any:
    """The mean of all terms, as one number."""
    size = 1
    for n in x.shape:
        size *= n
    return x.sum() / float(max(size, 1))
