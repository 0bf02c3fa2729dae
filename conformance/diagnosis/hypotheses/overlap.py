"""How people write Dice and IoU losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossparity.conformance.diagnosis.hypotheses.row import Hypothesis
from lossparity.reference.arithmetic import Operand, atan, constant, log, maximum, minimum, total

_SMOOTH = (0.0, 1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)


def _rank(arguments: Mapping[str, Any]) -> int:
    return max(np.ndim(arguments["input"]), np.ndim(arguments["target"]))


def _squared(input: Operand, target: Operand, axis: Any, smooth: float) -> Any:
    both = total(input * target, axis)
    return 1.0 - (both * 2.0 + smooth) / (total(input * input, axis) + total(target * target, axis) + smooth)


def _jaccard(input: Operand, target: Operand, axis: Any, smooth: float) -> Any:
    both = total(input * target, axis)
    return 1.0 - (both + smooth) / (total(input, axis) + total(target, axis) - both + smooth)


_DICE = (
    Hypothesis(
        "per-sample",
        "Dice of each sample, averaged; the definition sums over everything unless axis says otherwise",
        lambda arguments: {"axis": tuple(range(1, _rank(arguments)))},
        when=lambda arguments: arguments.get("axis") is None and _rank(arguments) > 1,
        source="https://docs.monai.io/en/stable/losses.html#diceloss",
    ),
    Hypothesis(
        "over-the-batch",
        "Dice over the batch, not per sample: the sums run over everything, whatever axis is asked for",
        {"axis": None},
        when=lambda arguments: arguments.get("axis") is not None,
    ),
    Hypothesis("squared", "the denominator has squares, as in V-Net", form=_squared),
    Hypothesis("jaccard", "it is the Jaccard (IoU) loss: the overlap is counted once", form=_jaccard),
    *(
        Hypothesis(f"smooth-{s:g}", f"smooth is {s:g} whatever is asked for", {"smooth": s, "smooth_numerator": None})
        for s in _SMOOTH
    ),
    *(
        Hypothesis(
            f"smooth-{s:g}-below",
            f"{s:g} is added to the denominator alone: where both are empty the loss is 1, not 0",
            {"smooth": s, "smooth_numerator": 0.0},
            source="https://keras.io/api/losses/",
        )
        for s in _SMOOTH[1:]
    ),
)


class _Pair:
    """Two boxes' coordinates and the quantities that the losses are made of."""

    def __init__(self, boxes1: Operand, boxes2: Operand, eps: float, plus: float = 0.0, centred: bool = False) -> None:
        (x1, y1, x2, y2), (u1, v1, u2, v2) = (self._corners(each, centred) for each in (boxes1, boxes2))
        self.w1, self.h1, self.w2, self.h2 = x2 - x1 + plus, y2 - y1 + plus, u2 - u1 + plus, v2 - v1 + plus
        width = maximum(minimum(x2, u2) - maximum(x1, u1) + plus, 0.0, tie=0.0)
        height = maximum(minimum(y2, v2) - maximum(y1, v1) + plus, 0.0, tie=0.0)
        self.both = width * height
        self.union = self.w1 * self.h1 + self.w2 * self.h2 - self.both
        self.iou = self.both / (self.union + eps)
        self.width = maximum(x2, u2) - minimum(x1, u1) + plus
        self.height = maximum(y2, v2) - minimum(y1, v1) + plus
        dx, dy = x1 + x2 - u1 - u2, y1 + y2 - v1 - v2
        self.distance = (dx * dx + dy * dy) * 0.25 / (self.width * self.width + self.height * self.height + eps)

    @staticmethod
    def _corners(boxes: Operand, centred: bool) -> tuple[Any, Any, Any, Any]:
        a, b, c, d = (boxes[..., i] for i in range(4))
        return (a - c * 0.5, b - d * 0.5, a + c * 0.5, b + d * 0.5) if centred else (a, b, c, d)

    def penalty(self, kind: str, eps: float, through: bool) -> Any:
        """What is added to 1 - iou."""
        if kind == "iou":
            return 0.0
        if kind == "giou":
            area = self.width * self.height
            return (area - self.union) / (area + eps)
        if kind == "diou":
            return self.distance
        turn = atan(self.w2 / self.h2) - atan(self.w1 / self.h1)
        v = turn * turn * (4.0 / math.pi**2)
        alpha = v / (1.0 - self.iou + v + eps)
        return self.distance + (alpha if through else constant(alpha)) * v


def _form(kind: str, plus: float = 0.0, centred: bool = False, through: bool = False) -> Callable[..., Any]:
    def form(boxes1: Operand, boxes2: Operand, eps: float) -> Any:
        pair = _Pair(boxes1, boxes2, eps, plus, centred)
        return 1.0 - pair.iou + pair.penalty(kind, eps, through)

    return form


def _overlap(boxes1: Operand, boxes2: Operand, eps: float) -> Any:
    return _Pair(boxes1, boxes2, eps).iou


def _minus_log(boxes1: Operand, boxes2: Operand, eps: float) -> Any:
    return -log(_Pair(boxes1, boxes2, eps).iou)


def _boxes(kind: str) -> tuple[Hypothesis, ...]:
    rows = (
        Hypothesis("pixel-widths", "widths are +1 pixel: x2 - x1 + 1, as for whole pixels", form=_form(kind, plus=1.0)),
        Hypothesis("centre-and-size", "boxes are centre, width, height, not corners", form=_form(kind, centred=True)),
        *(
            Hypothesis(f"eps-{e:g}", f"eps is {e:g} whatever is asked for", {"eps": e})
            for e in (0.0, 1e-16, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-3)
        ),
        *(
            Hypothesis(f"is-{other}", f"it is the {other.upper()} loss", form=_form(other))
            for other in ("iou", "giou", "diou", "ciou")
            if other != kind
        ),
    )
    if kind == "ciou":
        through = "the trade-off alpha carries a gradient; the definition holds it constant"
        return (Hypothesis("alpha-carries-gradient", through, form=_form("ciou", through=True)), *rows)
    if kind == "iou":
        return (
            Hypothesis("not-subtracted", "it returns the overlap, not one minus it", form=_overlap),
            Hypothesis("minus-log", "it is -log of the overlap (UnitBox), not one minus it", form=_minus_log),
            *rows,
        )
    return rows


ROWS: dict[str, tuple[Hypothesis, ...]] = {
    "dice_loss": _DICE,
    "iou_loss": _boxes("iou"),
    "generalized_box_iou_loss": _boxes("giou"),
    "distance_box_iou_loss": _boxes("diou"),
    "complete_box_iou_loss": _boxes("ciou"),
}
