"""Whether a row of the case table can tell right from wrong: a property of its numbers, which depends on no framework.

A row says nothing where its result is NaN without saying so, the same number everywhere, or the same without an option
that it is there to try. No seed may make a row so: the tests of the table show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lossparity.conformance.cases import Case
from lossparity.conformance.describe import DEFINITIONS
from lossparity.reference.core import Array

MOVED = 2.0**-16  # a smaller relative change may be lost in float32's tolerances


def vacuous(case: Case, seed: int, dtype: str) -> str | None:
    """Why a pass of this row would say nothing; None if it says something."""
    loss = DEFINITIONS[case.loss]
    arguments = case.build(seed, dtype)
    try:
        result = _result(case, seed, dtype, arguments)
    except (TypeError, ValueError) as error:
        return f"the reference refuses it: {error}"
    if "nan" not in case.tags and any(np.isnan(array).any() for array in result.values()):
        return "NaN is expected where its tags do not say so"
    value = result["value"]
    if value.size > 1 and np.all(value == value.flat[0]) and "constant" not in case.tags:
        return f"every term is {value.flat[0]:g}"
    if case.tags & {"inert", "nan"}:
        return None
    for name, given in arguments.items():
        default = loss.defaults.get(name, given)
        if name == "reduction" or default is given or (not isinstance(given, np.ndarray) and default == given):
            continue
        try:
            without = _result(case, seed, dtype, {**arguments, name: default})
        except ValueError:
            continue  # without it the call is not even allowed
        if not _moved(result, without):
            return f"{name} does not move the result"
    return None


def _result(case: Case, seed: int, dtype: str, arguments: Mapping[str, Any]) -> dict[str, Array]:
    """The reference's value and gradients."""
    value, pullback = DEFINITIONS[case.loss].vjp(**arguments)
    value = np.asarray(value)
    return {"value": value, **pullback(case.cotangent(seed, dtype, value.shape))}


def _moved(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether any number of the two results differs by more than rounding may hide."""
    if one.keys() != other.keys() or any(one[name].shape != other[name].shape for name in one):
        return True
    with np.errstate(all="ignore"):
        return any(
            bool(
                np.any(~(np.abs(one[name] - other[name]) <= MOVED * np.maximum(np.abs(one[name]), np.abs(other[name]))))
            )
            for name in one
        )
