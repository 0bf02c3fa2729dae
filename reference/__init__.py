"""Pure-NumPy reference losses, with exact vector-Jacobian products.

    >>> from lossparity import reference
    >>> value, pullback = reference.cross_entropy.vjp([[0.0, 1.0]], [1])
    >>> pullback()["input"]

Computation is float64. `LOSSES` maps every loss's name to it, `ACTIVATIONS` those of the functions that
losses are built on, `OPTIMIZERS` the rules by which gradients move parameters.
"""

from __future__ import annotations

from collections.abc import Callable

from lossparity.reference.activations import log_softmax, sigmoid, softmax
from lossparity.reference.binary import binary_cross_entropy, binary_cross_entropy_with_logits
from lossparity.reference.boxes import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
    iou_loss,
)
from lossparity.reference.classification import cross_entropy, kl_div, nll_loss
from lossparity.reference.core import Array, Loss
from lossparity.reference.detection import distribution_focal_loss
from lossparity.reference.focal import quality_focal_loss, sigmoid_focal_loss, varifocal_loss
from lossparity.reference.focal_softmax import softmax_focal_loss
from lossparity.reference.margin import (
    categorical_hinge_loss,
    hinge_embedding_loss,
    hinge_loss,
    margin_ranking_loss,
    squared_hinge_loss,
)
from lossparity.reference.optimizers import adam, adamw, sgd
from lossparity.reference.probabilities import log_loss
from lossparity.reference.reduction import REDUCTIONS
from lossparity.reference.regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from lossparity.reference.segmentation import dice_loss
from lossparity.reference.yolov8 import task_aligned_assign, yolov8_detection_loss

LOSSES: dict[str, Loss] = {
    each.name: each
    for each in (
        l1_loss,
        mse_loss,
        smooth_l1_loss,
        huber_loss,
        binary_cross_entropy,
        binary_cross_entropy_with_logits,
        nll_loss,
        cross_entropy,
        kl_div,
        log_loss,
        hinge_loss,
        squared_hinge_loss,
        categorical_hinge_loss,
        hinge_embedding_loss,
        margin_ranking_loss,
        sigmoid_focal_loss,
        softmax_focal_loss,
        varifocal_loss,
        quality_focal_loss,
        distribution_focal_loss,
        dice_loss,
        iou_loss,
        generalized_box_iou_loss,
        distance_box_iou_loss,
        complete_box_iou_loss,
        yolov8_detection_loss,
    )
}

ACTIVATIONS: dict[str, Loss] = {each.name: each for each in (sigmoid, softmax, log_softmax)}

OPTIMIZERS: dict[str, Callable[..., Array]] = {"sgd": sgd, "adam": adam, "adamw": adamw}

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "OPTIMIZERS",
    "REDUCTIONS",
    "Loss",
    *ACTIVATIONS,
    *LOSSES,
    *OPTIMIZERS,
    "task_aligned_assign",
]
