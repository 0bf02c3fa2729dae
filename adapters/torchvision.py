"""torchvision.ops, on PyTorch's tensors and autodiff."""

from __future__ import annotations

# torchvision must be imported before anything else that brings its own LLVM (see adapters/__init__.py).
import numpy as np
import torchvision  # noqa: F401  its implementations are named so
from torchvision import ops

from lossparity.adapters import engines, formulas
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, implementations

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

ALL = ("none", "mean", "sum")
DOCS = "https://docs.pytorch.org/vision/stable/generated/torchvision.ops."
SOURCE = "https://github.com/pytorch/vision/blob/v0.22.0/torchvision/ops/"

NAMESPACES = ("torchvision.ops",)
ENGINE = engines.load("torch")

_ALPHA = Dialect(
    "any-alpha",
    "alpha above 1 is computed with, to a negative loss; torchvision 0.22 began to refuse it.",
    "https://github.com/pytorch/vision/pull/8882",
    accepts=True,
    when=lambda call: call.arguments["alpha"] > 1.0,
    versions="<0.22",
)


@implements(
    "sigmoid_focal_loss",
    "torchvision.ops.sigmoid_focal_loss",
    ALL,
    dialects=(
        Dialect(
            "any-gamma",
            "A negative gamma, which turns the focus round, is computed with.",
            SOURCE + "focal_loss.py",
            accepts=True,
            when=lambda call: call.arguments["gamma"] < 0.0,
        ),
        _ALPHA,
        Dialect(
            "rounded-probability",
            "1 - p and 1 - p_t are differences, the cross entropy is torch's (1 - y) x - log sigmoid(x) with its "
            "slope p - y: where a prediction is right, their digits go with the logit, and beyond 37 (17 in float32) "
            "none is left.",
            SOURCE + "focal_loss.py",
            computed_as=formulas.focal_of_cancelling_tail,
        ),
    ),
    known_issues=(
        KnownIssue(
            "saturated-gradient",
            "The gradient is NaN for gamma below 1 where sigmoid rounds to the target: (1 - p_t)^(gamma - 1) is "
            "infinite, and multiplied with 0.",
            SOURCE + "focal_loss.py",
            versions=">=0.15",
            symptom="nan",
            aspects=("gradient",),
            when=lambda call: (
                0.0 < call.arguments["gamma"] < 1.0 and bool(np.any(np.abs(call.arguments["inputs"]) > 16.0))
            ),
        ),
    ),
)
def sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction):  # type: ignore[no-untyped-def]
    return ops.sigmoid_focal_loss(inputs, targets, alpha=alpha, gamma=gamma, reduction=reduction)


# --- Boxes

_NO_BOXES = Dialect(
    "no-boxes",
    "The mean over no boxes is 0.",
    SOURCE + "giou_loss.py",
    parameters={"zero_division": 0.0},
    when=lambda call: call.arguments["reduction"] == "mean" and not call.arguments["boxes1"].size,
)


def _flat(call: Call) -> bool:
    """Whether a box has no height."""
    return any(bool(np.any(b[..., 1] == b[..., 3])) for b in (call.arguments["boxes1"], call.arguments["boxes2"]))


_UPCAST = Dialect(
    "float32-boxes",
    "Boxes in float16 and bfloat16 are cast to float32, in which the value is computed and returned.",
    SOURCE + "_utils.py",
    dtype="float32",
    when=lambda call: call.dtype in ("float16", "bfloat16"),
)


@implements(
    "generalized_box_iou_loss",
    "torchvision.ops.generalized_box_iou_loss",
    ALL,
    dialects=(
        _NO_BOXES,
        _UPCAST,
        Dialect(
            "area-of-difference",
            "(C - U) / (C + eps) is differentiated as it stands: of boxes with next to no area U both parts of its "
            "slope in C are 1 / C, and no digit of their difference is left.",
            SOURCE + "giou_loss.py",
            computed_as=formulas.giou_of_difference,
        ),
    ),
)
def generalized_box_iou_loss(boxes1, boxes2, reduction, eps):  # type: ignore[no-untyped-def]
    return ops.generalized_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)


@implements("distance_box_iou_loss", "torchvision.ops.distance_box_iou_loss", ALL, dialects=(_NO_BOXES, _UPCAST))
def distance_box_iou_loss(boxes1, boxes2, reduction, eps):  # type: ignore[no-untyped-def]
    return ops.distance_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)


@implements(
    "complete_box_iou_loss",
    "torchvision.ops.complete_box_iou_loss",
    ALL,
    dialects=(
        _NO_BOXES,
        _UPCAST,
        Dialect(
            "eps-in-alpha-only",
            "eps reaches the trade-off alpha alone: the distance IoU loss inside is called without it, and takes 1e-7.",
            SOURCE + "ciou_loss.py",
            parameters={"distance_eps": 1e-7},
            when=lambda call: call.arguments["eps"] != 1e-7,
        ),
    ),
    known_issues=(
        KnownIssue(
            "no-height",
            "A box's width is divided by its height: without height the gradient is NaN, without both the loss too. "
            "The documentation rules such boxes out, the code lets them through.",
            SOURCE + "ciou_loss.py",
            versions=">=0.15",
            symptom="nan",
            when=_flat,
        ),
    ),
)
def complete_box_iou_loss(boxes1, boxes2, reduction, eps):  # type: ignore[no-untyped-def]
    return ops.complete_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)
