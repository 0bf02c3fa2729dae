"""What tests of running errors share: the rows, hostile inputs, single operations, and errors as shares of bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from hypothesis import strategies as st

from lossparity import reference
from lossparity.conformance.cases import CASES
from lossparity.reference.arithmetic import (
    Operand,
    absolute,
    atan,
    clip,
    constant,
    exp,
    expm1,
    largest,
    log,
    log1p,
    maximum,
    minimum,
    power,
    product,
    sqrt,
    where,
)
from lossparity.reference.bounded import Bounded
from lossparity.reference.core import Loss
from lossparity.reference.precision import FORMATS, Exact, Native

MP = mpmath.mp.clone()
MP.dps = 60
LOSSES: dict[str, Loss] = {**reference.LOSSES, **reference.ACTIVATIONS}
FORMS = [name for name, loss in LOSSES.items() if loss.textbook]
ROWS = [case for name in FORMS for case in CASES.get(name, {}).values() if case.quick and "error" not in case.tags]


def rounded(arguments: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Arrays of real numbers rounded to the dtype."""
    return {
        name: FORMATS[dtype].round(value).astype(np.float64)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        else value
        for name, value in arguments.items()
    }


def shares(loss: Loss, arguments: dict[str, Any], dtype: str) -> list[Any]:
    """Of the value and of each gradient: |computed in the dtype - exact| as a share of the bound, per element."""
    arguments, cotangent, _ = _inputs(loss, arguments, dtype)
    runs = [loss.evaluate(a, arguments, cotangent) for a in (Exact(MP), Bounded(dtype), Native(dtype))]
    return [_shares(*(run[0] for run in runs)), *(_shares(*(run[1][name] for run in runs)) for name in runs[0][1])]


def second_shares(loss: Loss, arguments: dict[str, Any], dtype: str) -> list[Any]:
    """The same of the Hessian-vector product of each argument, all of them moving."""
    arguments, cotangent, directions = _inputs(loss, arguments, dtype)
    runs = [loss.second(a, arguments, directions, cotangent) for a in (Exact(MP), Bounded(dtype), Native(dtype))]
    return [_shares(*(run[name] for run in runs)) for name in runs[0]]


def _inputs(loss: Loss, arguments: dict[str, Any], dtype: str) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """The arguments, a cotangent and directions of all that moves, rounded to the dtype."""
    arguments = rounded(arguments, dtype)
    cotangent = np.random.default_rng(3).uniform(0.5, 2.0, np.shape(loss(**arguments)))
    return arguments, rounded({"g": cotangent}, dtype)["g"], rounded(directions(loss, arguments), dtype)


def directions(loss: Loss, arguments: dict[str, Any]) -> dict[str, Any]:
    """One for each differentiable argument that is not labels."""
    draw = np.random.default_rng(4).normal
    given = {name: np.asarray(arguments[name]) for name in loss.differentiable if arguments.get(name) is not None}
    return {name: np.asarray(draw(size=array.shape)) for name, array in given.items() if array.dtype.kind == "f"}


def _shares(exact: Any, bounded: Any, native: Any) -> Any:
    error = np.broadcast_to(0.0 if bounded.error is None else bounded.error, np.shape(bounded.value))
    return share(np.ravel(np.asarray(exact, dtype=object)), np.ravel(error), np.ravel(native))


def share(exact: Any, error: Any, native: Any) -> Any:
    return np.array([_share(*each) for each in zip(exact, error.tolist(), native.astype(np.float64), strict=True)])


def _share(exact: Any, error: float, native: float) -> float:
    if math.isinf(error) or (MP.isnan(exact) and math.isnan(native)) or exact == native or float(exact) == native:
        return 0.0
    assert not math.isnan(error)
    if MP.isnan(exact) or MP.isinf(exact) or not math.isfinite(native):
        return math.inf
    # What float64 itself rounds is no part of a bound for a narrower dtype.
    return float(abs(MP.mpf(native) - exact) / (MP.mpf(error) + abs(exact) * MP.mpf(2) ** -48 + MP.mpf(2) ** -1074))


REAL = st.one_of(
    st.floats(-8.0, 8.0),
    st.floats(-1e4, 1e4),
    st.sampled_from(
        [0.0, -0.0, 1.0, -1.0, 0.5, 1e-3, 1e-7, 6e-8, 1e-38, 1e-40, 88.7, -88.0, 104.0, -17.0, 1e30, -1e30]
    ),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
)
UNIT = st.one_of(
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, 1.0, 0.5, 1e-7, 1.0 - 2.0**-8, 1.0 - 2.0**-11, 1.0 - 2.0**-24, 1e-40, 2.0**-25]),
)
SIGN = st.sampled_from([-1.0, 1.0])
POSITIVE = st.one_of(st.floats(0.0, 8.0), st.sampled_from([0.0, 1.0, 1e-6]))

# Arguments of N elements each; a family adds its own losses here.
HOSTILE: dict[str, dict[str, st.SearchStrategy[float]]] = {
    "l1_loss": {"input": REAL, "target": REAL, "weight": POSITIVE},
    "mse_loss": {"input": REAL, "target": REAL, "weight": POSITIVE},
    "smooth_l1_loss": {"input": REAL, "target": REAL},
    "huber_loss": {"input": REAL, "target": REAL, "weight": POSITIVE},
    "hinge_embedding_loss": {"input": REAL, "target": SIGN},
    "margin_ranking_loss": {"input1": REAL, "input2": REAL, "target": SIGN},
    "binary_cross_entropy": {"input": UNIT, "target": UNIT, "weight": POSITIVE},
    "binary_cross_entropy_with_logits": {"input": REAL, "target": UNIT, "weight": POSITIVE},
    "kl_div": {"input": REAL, "target": UNIT},
    "squared_hinge_loss": {"input": REAL, "target": SIGN},
    "quality_focal_loss": {"input": REAL, "target": UNIT},
    "sigmoid": {"input": REAL},
    "softmax": {"input": REAL},
    "log_softmax": {"input": REAL},
}
WIDTHS = {"smooth_l1_loss": "beta", "huber_loss": "delta", "hinge_embedding_loss": "margin"}


# --- the operations, one by one

OPERATIONS: dict[str, Callable[[Operand, Operand], Operand]] = {
    "add": lambda x, y: x + y,
    "add a number": lambda x, _: x + 0.1,
    "subtract": lambda x, y: x - y,
    "from a number": lambda x, _: 1.0 - x,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "into a number": lambda x, _: 1.0 / x,
    "negative": lambda x, _: -x,
    "exp": lambda x, _: exp(x),
    "expm1": lambda x, _: expm1(x),
    "log": lambda x, _: log(x * x),
    "log of a sum": lambda x, y: log(absolute(x) + absolute(y)),
    "log1p": lambda x, _: log1p(x * x),
    "sqrt": lambda x, y: sqrt(x * x + y * y),
    "atan": lambda x, y: atan(x / y),
    "cube": lambda x, _: power(absolute(x), 3.0),
    "root": lambda x, y: power(absolute(x - y), 0.7),
    "square": lambda x, _: power(x, 2.0),
    "maximum": lambda x, y: maximum(x * y, x),
    "minimum": lambda x, y: minimum(x * y, y),
    "clip": lambda x, y: clip(x * y, 0.25, 0.75),
    "where": lambda x, y: where(x * y > x, exp(-absolute(x)), y),
    "product": lambda x, y: product(x, log(absolute(y))),
    "sum": lambda x, y: (x * y).sum() * x,
    "reshape": lambda x, y: (x.reshape(1, -1) * y.reshape(-1, 1)).sum(axis=0),
    "largest": lambda x, y: largest(x * y, 0) - x,
    "shift": lambda x, _: exp(x - constant(largest(x, 0))),
    "take": lambda x, y: x[::-1] * y,
}


def of_form(loss: Loss, arguments: dict[str, Any], cotangent: Any) -> tuple[Any, dict[str, Any]]:
    """How far the textbook form in float64 may be off in the value and in each gradient, in units of roundoff."""
    value, gradients = loss.evaluate(Bounded("float64"), arguments, cotangent)
    unit = FORMATS["float64"].unit

    def share(ball: Any) -> Any:
        return np.broadcast_to(0.0 if ball.error is None else ball.error / unit, np.shape(ball.value))

    return share(value), {name: share(gradient) for name, gradient in gradients.items()}


def hostile(name: str, data: Any, most: int) -> dict[str, Any]:
    """Arguments of a loss as hypothesis draws them, arrays of up to `most` numbers; reduction and width too."""
    size = data.draw(st.integers(1, most))
    arguments: dict[str, Any] = {
        argument: np.array(data.draw(st.lists(kind, min_size=size, max_size=size)))
        for argument, kind in HOSTILE[name].items()
    }
    if name in reference.LOSSES:
        arguments["reduction"] = data.draw(st.sampled_from(["none", "mean", "sum"]))
    if name in WIDTHS:
        arguments[WIDTHS[name]] = data.draw(st.sampled_from([0.0, 0.1, 1.0, 3.0]))
    return arguments
