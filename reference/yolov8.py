"""The training loss of YOLOv8's detection head, and the assignment of anchors to boxes that it rests on.

Every anchor point predicts the distances to the four sides of a box, each as a distribution over `reg_max` bins, and a
logit for each class. `task_aligned_assign` decides which anchors answer for which box; the loss is then a complete IoU
and a distribution focal loss for those anchors and a binary cross entropy for all.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lossparity.reference.activations import sigmoid, sigmoid_textbook, softmax, softmax_textbook
from lossparity.reference.arithmetic import (
    Operand,
    atan,
    clip,
    constant,
    largest,
    maximum,
    minimum,
    nearest,
    power,
    where,
)
from lossparity.reference.binary import binary_cross_entropy_with_logits, binary_cross_entropy_with_logits_textbook
from lossparity.reference.core import Array, Gradients, Integer, Labels, Number, Real, Terms, loss, textbook
from lossparity.reference.detection import distribution_focal_loss, distribution_focal_textbook

_EPS = 1e-7  # in the complete IoU: added to heights, to the union, to the diagonal and to the trade-off's divisor
_INSIDE = 1e-9  # an anchor is inside a box by more than this, in pixels; also added to the best alignment
_LAST_BIN = 0.01  # a target distance stays this far below the last bin, so that it has a bin on either side


class Assignment(NamedTuple):
    """Which box each anchor answers for. B images, A anchors, C classes.

    labels: (B, A) int64, the class of that box; of a background anchor, the class of the first box.
    bboxes: (B, A, 4) its corners, in the unit of gt_bboxes.
    scores: (B, A, C) the target of the class scores: the normalised alignment in the box's class, else 0.
    foreground: (B, A) bool, whether the anchor answers for a box at all.
    gt_index: (B, A) int64, the box's number; 0 for background.
    """

    labels: Array
    bboxes: Array
    scores: Array
    foreground: Array
    gt_index: Array


def _complete_iou(box1: Array, box2: Array) -> tuple[Array, Array]:
    """Complete IoU of boxes (..., 4) row by row, and its derivative in box1. No gradient through the trade-off."""
    # ciou = iou - rho^2 / c^2 - alpha v,  iou = I / U,  U = w1 h1 + w2 h2 - I + eps,  h includes eps
    # v = 4 / pi^2 t^2,  t = atan(w2 / h2) - atan(w1 / h1),  alpha = v / (1 - iou + v + eps)
    # diou = (1 + iou) / U dI - iou / U (h1 dw1 + w1 dh1)
    # d(rho^2 / c^2) = (s ds / 2 - 2 rho^2 / c^2 (cw dcw + ch dch)) / c^2,  s: twice the way between the centres
    # dv = -8 / pi^2 t (h1 dw1 - w1 dh1) / (w1^2 + h1^2)
    low1, high1, low2, high2 = box1[..., :2], box1[..., 2:], box2[..., :2], box2[..., 2:]
    size1, size2 = high1 - low1 + [0.0, _EPS], high2 - low2 + [0.0, _EPS]
    inner = np.minimum(high1, high2) - np.maximum(low1, low2)
    inner = np.where(np.all(inner > 0.0, axis=-1, keepdims=True), inner, 0.0)
    outer = np.maximum(high1, high2) - np.minimum(low1, low2)
    way = low2 + high2 - low1 - high1
    intersection = np.prod(inner, axis=-1, keepdims=True)
    union = np.prod(size1, axis=-1, keepdims=True) + np.prod(size2, axis=-1, keepdims=True) - intersection + _EPS
    iou = intersection / union
    diagonal = np.sum(outer * outer, axis=-1, keepdims=True) + _EPS
    distance = 0.25 * np.sum(way * way, axis=-1, keepdims=True) / diagonal
    turn = np.arctan(size2[..., :1] / size2[..., 1:]) - np.arctan(size1[..., :1] / size1[..., 1:])
    shape = 4.0 / math.pi**2 * turn * turn
    trade_off = shape / (1.0 - iou + shape + _EPS)

    # Where two edges coincide each box has half of the derivative of max and min.
    of_inner = (1.0 + iou) / union * inner[..., ::-1]
    of_outer = 2.0 * distance / diagonal * outer
    of_size = -iou / union * size1[..., ::-1]
    of_turn = 8.0 / math.pi**2 * trade_off * turn / np.sum(size1 * size1, axis=-1, keepdims=True)
    of_size = of_size + of_turn * size1[..., ::-1] * [1.0, -1.0]
    centre = 0.5 * way / diagonal
    left, right = np.heaviside(low1 - low2, 0.5), np.heaviside(high2 - high1, 0.5)
    to_low = centre - of_size - left * of_inner - (1.0 - left) * of_outer
    to_high = centre + of_size + right * of_inner + (1.0 - right) * of_outer
    return (iou - distance - trade_off * shape)[..., 0], np.concatenate([to_low, to_high], axis=-1)


def task_aligned_assign(
    pred_scores: Any,
    pred_bboxes: Any,
    anchor_points: Any,
    gt_labels: Any,
    gt_bboxes: Any,
    mask_gt: Any,
    *,
    topk: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
    min_side: float = 0.0,
) -> Assignment:
    """Assign anchors to boxes by how well score and overlap agree (task-aligned learning).

    An anchor is a candidate for a box if its point lies inside. Of the candidates, those whose alignment
    score^alpha * iou^beta is among the box's `topk` best over all anchors answer for it, where score is the predicted
    probability of the box's class and iou the complete IoU, at least 0. An anchor claimed by several boxes goes to the
    one that it overlaps most. The target score is the alignment divided by the box's best and times its best overlap.

    Shapes: pred_scores (B, A, C) probabilities; pred_bboxes (B, A, 4) xyxy; anchor_points (A, 2); gt_labels (B, M, 1);
    gt_bboxes (B, M, 4) xyxy; mask_gt (B, M, 1), 0 where a row is padding. All boxes and points in one unit (pixels).
    Conventions: equal alignments are taken in the order of the anchors, equal overlaps in the order of the boxes (torch
    leaves both open). Dialect: `min_side` enlarges shorter sides to it when candidates are looked for (ultralytics 8.4:
    the second stride).
    Errors: ValueError for shapes that do not fit, a label outside [0, C) or topk < 1; TypeError for other kinds.
    Source: Feng et al., TOOD, https://arxiv.org/abs/2108.07755, section 3.2; as in YOLOv8,
    https://docs.ultralytics.com/reference/utils/tal/
    """
    scores = Real(minimum=0.0, maximum=1.0)("pred_scores", pred_scores)
    boxes, points = Real()("pred_bboxes", pred_bboxes), Real()("anchor_points", anchor_points)
    labels, truth = Labels()("gt_labels", gt_labels), Real()("gt_bboxes", gt_bboxes)
    mask = Real()("mask_gt", mask_gt)
    if scores is None or boxes is None or points is None or labels is None or truth is None or mask is None:
        raise TypeError("an argument is None; arrays are needed")
    _check(scores, boxes, "pred_bboxes", 4, points, labels, truth, mask, topk)
    for name, number in (("alpha", alpha), ("beta", beta), ("min_side", min_side)):
        Number(minimum=0.0)(name, number)
    valid = mask[..., 0] != 0.0  # (B, M)
    images, anchors, classes = scores.shape
    count = truth.shape[1]
    if count == 0:
        nowhere = np.zeros((images, anchors), dtype=np.int64)
        foreground = np.zeros((images, anchors), dtype=bool)
        return Assignment(nowhere, np.zeros_like(boxes), np.zeros_like(scores), foreground, nowhere.copy())
    claimed, alignment, overlap = _claims(scores, boxes, points, labels, truth, valid, topk, alpha, beta, min_side)

    most = np.zeros(claimed.shape, dtype=bool)
    np.put_along_axis(most, overlap.argmax(axis=1)[:, None, :], True, axis=1)
    several = claimed.sum(axis=1, keepdims=True) > 1
    claimed = (most & several) | (claimed & ~several)
    foreground, index = claimed.any(axis=1), claimed.argmax(axis=1)  # (B, A)

    alignment, overlap = alignment * claimed, overlap * claimed
    best, best_overlap = alignment.max(axis=2, keepdims=True), overlap.max(axis=2, keepdims=True)
    normalised = (alignment * best_overlap / (best + _INSIDE)).max(axis=1)
    own = np.take_along_axis(np.maximum(labels[..., 0], 0), index, axis=1)
    targets = (own[..., None] == np.arange(classes)) * (foreground * normalised)[..., None]
    return Assignment(own, np.take_along_axis(truth, index[..., None], axis=1), targets, foreground, index)


def _claims(
    scores: Array,
    boxes: Array,
    points: Array,
    labels: Array,
    truth: Array,
    valid: Array,
    topk: int,
    alpha: float,
    beta: float,
    min_side: float,
) -> tuple[Array, Array, Array]:
    """Which anchors each box claims, their alignment and their overlap; each (B, M, A)."""
    low, high = truth[:, :, None, :2], truth[:, :, None, 2:]
    if min_side:
        centre, half = 0.5 * (low + high), 0.5 * np.maximum(high - low, min_side)
        low, high = centre - half, centre + half
    inside = np.all((points - low > _INSIDE) & (high - points > _INSIDE), axis=-1) & valid[..., None]
    image, box, anchor = np.nonzero(inside)
    overlap = np.zeros(inside.shape)
    overlap[inside] = np.maximum(_complete_iou(truth[image, box], boxes[image, anchor])[0], 0.0)
    score = np.zeros(inside.shape)
    score[inside] = scores[image, anchor, labels[image, box, 0]]
    alignment = score**alpha * overlap**beta
    alignment[~inside] = 0.0  # with an exponent of 0 the power is 1
    first = np.argsort(-alignment, axis=-1, kind="stable")[..., :topk]
    claimed = np.zeros(inside.shape, dtype=bool)
    np.put_along_axis(claimed, first, True, axis=-1)
    return claimed & inside, alignment, overlap


def _check(
    scores: Array,
    boxes: Array,
    name: str,
    width: int,
    points: Array,
    labels: Array,
    truth: Array,
    mask: Array,
    topk: int,
) -> None:
    """Shapes and labels of the assignment's arguments; `boxes` is called `name` and has `width` columns."""
    if scores.ndim != 3:
        raise ValueError(f"pred_scores must be (images, anchors, classes); its shape is {scores.shape}")
    images, anchors, classes = scores.shape
    boxes_each = truth.shape[1] if truth.ndim == 3 else -1
    if truth.ndim != 3:
        raise ValueError(f"gt_bboxes must be (images, boxes, 4); its shape is {truth.shape}")
    for argument, array, shape in (
        (name, boxes, (images, anchors, width)),
        ("anchor_points", points, (anchors, 2)),
        ("gt_bboxes", truth, (images, boxes_each, 4)),
        ("gt_labels", labels, (images, boxes_each, 1)),
        ("mask_gt", mask, (images, boxes_each, 1)),
    ):
        if array.shape != shape:
            raise ValueError(f"{argument} must have the shape {shape}; its shape is {array.shape}")
    bad = labels[(mask != 0.0) & ((labels < 0) | (labels >= classes))]
    if bad.size:
        raise ValueError(f"gt_labels must lie in [0, {classes}), the classes of pred_scores; it holds {bad[0]}")
    if topk < 1:
        raise ValueError(f"topk must be at least 1; it is {topk}")


@loss(
    {
        "pred_dist": Real(differentiable=True),
        "pred_scores": Real(differentiable=True),
        "anchor_points": Real(),
        "stride_tensor": Real(),
        "gt_labels": Labels(),
        "gt_bboxes": Real(),
        "mask_gt": Real(),
        "reg_max": Integer(),
        "box": Number(minimum=0.0),
        "cls": Number(minimum=0.0),
        "dfl": Number(minimum=0.0),
        "topk": Integer(),
        "alpha": Number(minimum=0.0),
        "beta": Number(minimum=0.0),
        "min_side": Number(minimum=0.0),
    },
    reductions=(),
)
def yolov8_detection_loss(
    pred_dist: Any,
    pred_scores: Any,
    anchor_points: Any,
    stride_tensor: Any,
    gt_labels: Any,
    gt_bboxes: Any,
    mask_gt: Any,
    *,
    reg_max: int = 16,
    box: float = 7.5,
    cls: float = 0.5,
    dfl: float = 1.5,
    topk: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
    min_side: float = 0.0,
) -> Terms:
    """The loss of YOLOv8's detection head: box, class and distribution terms, each with its gain, times the batch size.

    Shapes: pred_dist (B, A, 4 reg_max) logits, side by side for left, top, right, bottom; pred_scores (B, A, C)
    logits; anchor_points (A, 2) in grid units; stride_tensor (A, 1), pixels per grid unit; gt_labels (B, M, 1);
    gt_bboxes (B, M, 4) xyxy in pixels; mask_gt (B, M, 1), 0 where a row is padding. The value is one number.
    Domain: any logit; reg_max >= 2; x1 <= x2, y1 <= y2. Without a box (M = 0, or all padding) only the class term is
    left. Convention: assignment, target scores and the complete IoU's trade-off are constants of the gradient.
    Kinks: where the assignment changes, and those of the IoU (coinciding edges share half and half; boxes that only
    touch get none from the intersection).
    Dialect: min_side, as in task_aligned_assign.
    Errors: ValueError for shapes that do not fit, a label outside [0, C), reg_max < 2 or topk < 1.
    Source: ultralytics' v8DetectionLoss, https://docs.ultralytics.com/reference/utils/loss/; the parts: Zheng et al.,
    https://arxiv.org/abs/1911.08287, Li et al., https://arxiv.org/abs/2006.04388, Feng et al.,
    https://arxiv.org/abs/2108.07755.
    """
    # d = E[bins] under softmax(pred_dist), b = anchor -+ d;  t, f, g: target scores, foreground, its boxes / stride
    # w = sum_c t,  S = max(sum t, 1)
    # L = B / S (box sum_f w (1 - ciou(b, g)) + cls sum bce(pred_scores, t) + dfl sum_f w mean_4 dfl(pred_dist, g))
    # dL/dscores = B cls / S (sigmoid(x) - t)
    # dL/ddist_k = B / S w (box dciou/dd (-1) p_k (k - d) + dfl / 4 (p_k - w_k)),  dd/dx_k = p_k (k - d)
    _check(pred_scores, pred_dist, "pred_dist", 4 * reg_max, anchor_points, gt_labels, gt_bboxes, mask_gt, topk)
    if reg_max < 2:
        raise ValueError(f"reg_max must be at least 2, a bin on either side of a distance; it is {reg_max}")
    if stride_tensor.shape != (len(anchor_points), 1):
        raise ValueError(
            f"stride_tensor must have the shape ({len(anchor_points)}, 1); its shape is {stride_tensor.shape}"
        )
    batch = len(pred_scores)
    logits = pred_dist.reshape(*pred_dist.shape[:2], 4, reg_max)
    p = softmax(logits, dim=-1)
    bins = np.arange(reg_max, dtype=np.float64)
    distance = p @ bins
    boxes = np.concatenate([anchor_points - distance[..., :2], anchor_points + distance[..., 2:]], axis=-1)
    assigned = task_aligned_assign(
        sigmoid(pred_scores),
        boxes * stride_tensor,
        anchor_points * stride_tensor,
        gt_labels,
        gt_bboxes,
        mask_gt,
        topk=topk,
        alpha=alpha,
        beta=beta,
        min_side=min_side,
    )
    targets = assigned.scores
    total = max(float(targets.sum()), 1.0)
    of_class, to_scores = binary_cross_entropy_with_logits.vjp(pred_scores, targets, reduction="sum")

    here = np.nonzero(assigned.foreground)
    weight = targets[here].sum(axis=-1)
    points = anchor_points[here[1]]
    wanted = assigned.bboxes[here] / stride_tensor[here[1]]
    ciou, slope = _complete_iou(boxes[here], wanted)
    sides = np.concatenate([points - wanted[..., :2], wanted[..., 2:] - points], axis=-1)
    sides = np.clip(sides, 0.0, reg_max - 1.0 - _LAST_BIN)
    of_bins, to_bins = distribution_focal_loss.vjp(logits[here], sides, reduction="none")
    value = box * np.dot(weight, 1.0 - ciou) + cls * of_class + dfl * np.dot(weight, of_bins.mean(axis=-1))

    def pullback(g: Array | float) -> Gradients:
        factor = float(g) * batch / total
        of_logits = np.zeros_like(logits)
        of_distance = -box * weight[:, None] * slope * [-1.0, -1.0, 1.0, 1.0]  # a low edge is anchor - distance
        moved = p[here] * (bins - distance[here][..., None]) * of_distance[..., None]
        shares = np.broadcast_to(dfl * weight[:, None] / 4.0, sides.shape)
        of_logits[here] = factor * (moved + to_bins(shares)["input"])
        return {"pred_dist": of_logits.reshape(pred_dist.shape), "pred_scores": to_scores(factor * cls)["input"]}

    return Terms(np.asarray(batch / total * value), pullback)


@textbook(yolov8_detection_loss)
def yolov8_detection_textbook(
    pred_dist: Operand,
    pred_scores: Operand,
    anchor_points: Operand,
    stride_tensor: Operand,
    gt_labels: Array,
    gt_bboxes: Operand,
    mask_gt: Operand,
    reg_max: int,
    box: float,
    cls: float,
    dfl: float,
    topk: int,
    alpha: float,
    beta: float,
    min_side: float,
) -> Operand:
    """batch / max(sum t, 1) (box sum w (1 - ciou) + cls sum bce + dfl sum w mean_4 dfl); w: sum_c t of an anchor.

    Which anchor answers for which box is decided by the nearest float64 numbers; the target scores t are computed, and
    constants of the gradient.
    """
    images, anchors = pred_dist.shape[:2]
    logits = pred_dist.reshape(images, anchors, 4, reg_max)
    distance = (softmax_textbook(logits, -1) * np.arange(reg_max, dtype=np.float64)).sum(axis=-1)
    points = [anchor_points[:, i] for i in (0, 1, 0, 1)]
    boxes = [points[i] - distance[..., i] if i < 2 else points[i] + distance[..., i] for i in range(4)]
    stride = stride_tensor[:, 0]
    pixels = [constant(edge) * stride for edge in boxes]
    scores = constant(sigmoid_textbook(pred_scores))
    assigned = task_aligned_assign(
        np.clip(nearest(scores), 0.0, 1.0),
        np.stack([nearest(edge) for edge in pixels], axis=-1),
        nearest(anchor_points * stride_tensor),
        gt_labels,
        nearest(gt_bboxes),
        nearest(mask_gt),
        topk=topk,
        alpha=alpha,
        beta=beta,
        min_side=min_side,
    )
    image, anchor = here = np.nonzero(assigned.foreground)
    owner = assigned.gt_index[here]
    truth = [gt_bboxes[image, owner, i] for i in range(4)]

    # t = alignment / (the box's best + 1e-9), times its best overlap: of the anchors that answer for it
    overlap = maximum(_complete_iou_textbook(truth, [edge[here] for edge in pixels]), 0.0)
    alignment = power(scores[(*here, assigned.labels[here])], alpha) * power(overlap, beta)
    same = (image[:, None] == image) & (owner[:, None] == owner)
    best, best_overlap = (_best(each, same) for each in (alignment, overlap))
    weight = constant(alignment * best_overlap / (best + _INSIDE))
    classes = pred_scores.shape[-1]
    spread = np.zeros((len(image), images, anchors, classes), dtype=bool)
    spread[(np.arange(len(image)), *here, assigned.labels[here])] = True
    targets = where(spread, weight.reshape(-1, 1, 1, 1), 0.0).sum(axis=0)

    value = cls * binary_cross_entropy_with_logits_textbook(pred_scores, targets, None, None).sum()
    wanted = [edge / stride[anchor] for edge in truth]
    ciou = _complete_iou_textbook([edge[here] for edge in boxes], wanted)
    value = value + box * (weight * (1.0 - ciou)).sum()
    for i, edge in enumerate(wanted):
        point = points[i][anchor]
        side = clip(point - edge if i < 2 else edge - point, 0.0, reg_max - 1.0 - _LAST_BIN)
        of_side = distribution_focal_textbook(logits[image, anchor, i], side)
        value = value + dfl * (weight * of_side).sum() / 4.0
    loss_of_all: Operand = value * float(images) / maximum(weight.sum(), 1.0)
    return loss_of_all


def _best(x: Operand, same: Array) -> Operand:
    """The largest of those that are of the same box, for each."""
    return largest(where(same, x.reshape(1, -1), 0.0), 1).reshape(-1) if len(same) else x


def _complete_iou_textbook(one: list[Operand], other: list[Operand]) -> Operand:
    """I / U - rho^2 / c^2 - alpha v, with 1e-7 in heights, U, c^2 and alpha's divisor; no gradient through alpha."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = one, other
    w1, h1, w2, h2 = x2 - x1, y2 - y1 + _EPS, u2 - u1, v2 - v1 + _EPS
    w, h = minimum(x2, u2) - maximum(x1, u1), minimum(y2, v2) - maximum(y1, v1)
    intersection = where((w > 0.0) & (h > 0.0), w * h, 0.0)
    iou = intersection / (w1 * h1 + w2 * h2 - intersection + _EPS)
    width, height = maximum(x2, u2) - minimum(x1, u1), maximum(y2, v2) - minimum(y1, v1)
    dx, dy = u1 + u2 - x1 - x2, v1 + v2 - y1 - y2
    distance = (dx * dx + dy * dy) / 4.0 / (width * width + height * height + _EPS)
    turn = (atan(w2 / h2) - atan(w1 / h1)) * (2.0 / (4.0 * atan(w1.lift(1.0))))
    v = turn * turn
    return iou - distance - constant(v / (1.0 - iou + v + _EPS)) * v
