"""Value and gradient over the natural input of a loss, theirs beside ours: clipping, a kink, an overflow are seen.

One element, or one row, is moved along a line; everything else stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossparity.adapters.base import Request
from lossparity.conformance.diagnosis.search import Comparison
from lossparity.conformance.diagnosis.subject import Subject
from lossparity.conformance.diagnosis.target import TargetError
from lossparity.reference.core import Array

_POINTS = 121


@dataclass(frozen=True)
class Line:
    """What is moved: its name, from where to where, and the arrays of a call at one place."""

    over: str
    low: float
    high: float
    arrays: Callable[[float], Mapping[str, Array]]


def _pair(target: float) -> Callable[[float], Mapping[str, Array]]:
    return lambda x: {"input": np.array([x]), "target": np.array([target])}


def _row(x: float) -> Mapping[str, Array]:
    return {"input": np.array([[x, 0.0, 0.0]]), "target": np.array([0])}


def _boxes(x: float) -> Mapping[str, Array]:
    return {"boxes1": np.array([[x, 0.0, x + 2.0, 2.0]]), "boxes2": np.array([[0.0, 0.0, 2.0, 3.0]])}


_ERROR = Line("the error, input - target", -4.0, 4.0, _pair(0.0))
_LOGIT = Line("the logit, for the target 1", -120.0, 120.0, _pair(1.0))
_OVERLAP = Line("the offset of two boxes", -3.0, 3.0, _boxes)
_SCORE = Line("the score, for the label 1", -4.0, 4.0, _pair(1.0))
LINES: dict[str, Line] = {
    **dict.fromkeys(("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"), _ERROR),
    "binary_cross_entropy": Line("the probability, for the target 1", 0.0, 1.0, _pair(1.0)),
    "binary_cross_entropy_with_logits": _LOGIT,
    "sigmoid_focal_loss": Line(
        _LOGIT.over, -40.0, 40.0, lambda x: {"inputs": np.array([x]), "targets": np.array([1.0])}
    ),
    "cross_entropy": Line("the logit of the label, the others 0", -120.0, 120.0, _row),
    **dict.fromkeys(("hinge_loss", "squared_hinge_loss", "hinge_embedding_loss"), _SCORE),
    **dict.fromkeys(
        ("iou_loss", "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"), _OVERLAP
    ),
}


def curve(comparison: Comparison) -> dict[str, Any] | None:
    """The line of a loss: "over", "x", and "theirs" and "ours", each {"value", "gradient"}; None where it has none.

    The gradient is that of the number that is moved, under a cotangent of ones. What is not finite is None.
    """
    subject = comparison.subject
    line = LINES.get(subject.loss)
    if line is None or not comparison.rows:
        return None
    xs = np.linspace(line.low, line.high, _POINTS)
    row = comparison.rows[0]
    request = comparison.judge.request(subject.implementation, row.case, row.dtype, "cpu")
    found = [(_theirs(subject, request, line, float(x)), _ours(comparison, line, float(x))) for x in xs]
    return {
        "over": line.over,
        "x": xs.tolist(),
        **{
            name: {"value": [each[i][0] for each in found], "gradient": [each[i][1] for each in found]}
            for i, name in enumerate(("theirs", "ours"))
        },
    }


def _theirs(subject: Subject, request: Request, line: Line, x: float) -> tuple[float | None, float | None]:
    arrays = {n: a.astype(request.dtype) if a.dtype.kind == "f" else a for n, a in line.arrays(x).items()}
    if "target" in arrays and request.arrays["target"].dtype.kind == "f":
        arrays["target"] = arrays["target"].astype(request.dtype)
    moved = next(iter(arrays))
    asked = (moved,) if moved in request.differentiable else ()
    changed = replace(request, arrays=arrays, differentiable=asked, cotangent=lambda s: np.ones(s, request.dtype))
    try:
        answer = subject.evaluate(changed)
    except TargetError:
        return None, None
    if answer.value is None:  # a gap in the line: the checks say what it raises
        return None, None
    gradient = answer.gradients.get(moved)
    return _number(np.sum(answer.value)), None if gradient is None else _number(gradient.reshape(-1)[0])


def _ours(comparison: Comparison, line: Line, x: float) -> tuple[float | None, float | None]:
    arrays = line.arrays(x)
    reduction = {"reduction": "sum"} if comparison.loss.reductions else {}
    with np.errstate(all="ignore"):
        value, pullback = comparison.loss.vjp(**arrays, **reduction)
        gradient = pullback(np.ones(np.shape(value)))[next(iter(arrays))]
    return _number(value), _number(gradient.reshape(-1)[0])


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
