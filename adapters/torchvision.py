"""torchvision.ops, on PyTorch's tensors and autodiff."""

from __future__ import annotations

# torchvision must be imported before anything else that brings its own LLVM (see adapters/__init__.py).
from torchvision import ops

from lossparity.adapters.base import Implementation, implementations
from lossparity.adapters.torch import MODES, devices

__all__ = ["IMPLEMENTATIONS", "MODES", "devices"]

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

ALL = ("none", "mean", "sum")


@implements("sigmoid_focal_loss", "torchvision.ops.sigmoid_focal_loss", ALL)
def sigmoid_focal_loss(inputs, targets, alpha, gamma, reduction):  # type: ignore[no-untyped-def]
    return ops.sigmoid_focal_loss(inputs, targets, alpha=alpha, gamma=gamma, reduction=reduction)


@implements("generalized_box_iou_loss", "torchvision.ops.generalized_box_iou_loss", ALL)
def generalized_box_iou_loss(boxes1, boxes2, reduction, eps):  # type: ignore[no-untyped-def]
    return ops.generalized_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)


@implements("distance_box_iou_loss", "torchvision.ops.distance_box_iou_loss", ALL)
def distance_box_iou_loss(boxes1, boxes2, reduction, eps):  # type: ignore[no-untyped-def]
    return ops.distance_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)


@implements("complete_box_iou_loss", "torchvision.ops.complete_box_iou_loss", ALL)
def complete_box_iou_loss(boxes1, boxes2, reduction, eps):  # type: ignore[no-untyped-def]
    return ops.complete_box_iou_loss(boxes1, boxes2, reduction=reduction, eps=eps)
