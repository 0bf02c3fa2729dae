"""Losses as write-ups teach them, in PyTorch: some right, most wrong in one way that `check` must name."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

# --- right


def focal(logits, labels, alpha=0.25, gamma=2.0, reduction="mean"):
    ce = F.softplus(-logits) * labels + F.softplus(logits) * (1 - labels)
    rest = torch.sigmoid(-logits) * labels + torch.sigmoid(logits) * (1 - labels)
    loss = (alpha * labels + (1 - alpha) * (1 - labels)) * rest**gamma * ce if alpha >= 0 else rest**gamma * ce
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


class Huber(nn.Module):
    def __init__(self, delta=1.0, reduction="mean"):
        super().__init__()
        self.delta, self.reduction = delta, reduction

    def forward(self, prediction, truth):
        d = prediction - truth
        q = d.abs().clamp(max=self.delta)
        loss = q * (d.abs() - 0.5 * q)
        return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[self.reduction]


def mse(y_pred, y_true):
    return ((y_pred - y_true) ** 2).mean()


# --- wrong


def softmax_without_shift(logits, target):
    e = torch.exp(logits)
    p = e / e.sum(1, keepdim=True)
    return -torch.log(p.gather(1, target.unsqueeze(1))).mean()


def log_of_sigmoid(logits, target):
    p = torch.sigmoid(logits)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()


def bce_clipped(p, y):
    p = p.clamp(1e-15, 1 - 1e-15)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def bce_keras(p, y):
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(y * torch.log(p) + (1 - y) * torch.log1p(-p)).mean()


def focal_alpha_on_negatives(logits, targets, alpha=0.25, gamma=2.0):
    ce = F.softplus(-logits) * targets + F.softplus(logits) * (1 - targets)
    rest = torch.sigmoid(-logits) * targets + torch.sigmoid(logits) * (1 - targets)
    return ((1 - alpha) * targets + alpha * (1 - targets)) * rest**gamma * ce


def focal_of_the_mean(logits, targets, alpha=0.25, gamma=2.0):
    ce = F.binary_cross_entropy_with_logits(logits, targets)
    return alpha * (1 - torch.exp(-ce)) ** gamma * ce


def smoothing_over_others(logits, target, smoothing=0.1):
    classes = logits.shape[1]
    log_p = F.log_softmax(logits, 1)
    smooth = torch.full_like(log_p, smoothing / (classes - 1))
    smooth.scatter_(1, target.unsqueeze(1), 1 - smoothing)
    return -(smooth * log_p).sum(1).mean()


def ignored_in_the_mean(logits, target, ignore_index=-100):
    kept = target != ignore_index
    log_p = F.log_softmax(logits, 1)
    loss = -log_p.gather(1, torch.where(kept, target, 0).unsqueeze(1)).squeeze(1)
    return (loss * kept).mean()


def smooth_l1_without_beta(input, target, beta=1.0):
    d = (input - target).abs()
    return torch.where(d < beta, 0.5 * d**2, d - 0.5 * beta).mean()


def _iou(a, b, plus=0.0, eps=1e-7):
    width = (torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0]) + plus).clamp(min=0)
    height = (torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1]) + plus).clamp(min=0)
    both = width * height
    area_a = (a[..., 2] - a[..., 0] + plus) * (a[..., 3] - a[..., 1] + plus)
    area_b = (b[..., 2] - b[..., 0] + plus) * (b[..., 3] - b[..., 1] + plus)
    return both / (area_a + area_b - both + eps)


def iou_of_pixels(pred_boxes, gt_boxes):
    return 1 - _iou(pred_boxes, gt_boxes, plus=1.0)


def ciou_through_alpha(boxes1, boxes2, eps=1e-7):
    iou = _iou(boxes1, boxes2, eps=eps)
    low = torch.minimum(boxes1[..., :2], boxes2[..., :2])
    high = torch.maximum(boxes1[..., 2:], boxes2[..., 2:])
    diagonal = ((high - low) ** 2).sum(-1) + eps
    centre1, centre2 = (boxes1[..., :2] + boxes1[..., 2:]) / 2, (boxes2[..., :2] + boxes2[..., 2:]) / 2
    rho = ((centre1 - centre2) ** 2).sum(-1)
    w1, h1 = boxes1[..., 2] - boxes1[..., 0], boxes1[..., 3] - boxes1[..., 1]
    w2, h2 = boxes2[..., 2] - boxes2[..., 0], boxes2[..., 3] - boxes2[..., 1]
    v = 4 / math.pi**2 * (torch.atan(w2 / h2) - torch.atan(w1 / h1)) ** 2
    alpha = v / (1 - iou + v + eps)
    return 1 - iou + rho / diagonal + alpha * v


def dice_over_the_batch(pred, target, smooth=1e-7):
    both = (pred * target).sum()
    return 1 - (2 * both + smooth) / (pred.sum() + target.sum() + smooth)


def dice_per_sample(pred, target, smooth=1e-7):
    axes = tuple(range(1, pred.ndim))
    both = (pred * target).sum(axes)
    return (1 - (2 * both + smooth) / (pred.sum(axes) + target.sum(axes) + smooth)).mean()


def kl_exchanged(input, target):
    return (torch.exp(input) * (input - torch.log(target))).mean()


def weight_after_the_mean(logits, target, weight=None):
    loss = F.binary_cross_entropy_with_logits(logits, target)
    return loss if weight is None else loss * weight.mean()


def hinge_of_bits(scores, labels):
    return torch.relu(1 - (2 * labels - 1) * scores).mean()


def detached(input, target):
    return ((input.detach() - target) ** 2).mean()


def float32_always(input, target):
    return ((input.float() - target.float()) ** 2).mean()


def mutates_its_target(logits, target):
    target *= 0.9
    target += 0.05
    return F.binary_cross_entropy_with_logits(logits, target)


def channels_last(logits, target):
    log_p = F.log_softmax(logits, -1)
    return -log_p.gather(-1, target.unsqueeze(-1)).mean()


def probabilities(probs, labels, alpha=0.25, gamma=2.0):
    rest = probs * (1 - labels) + (1 - probs) * labels
    ce = -(labels * torch.log(probs) + (1 - labels) * torch.log(1 - probs))
    return (alpha * labels + (1 - alpha) * (1 - labels)) * rest**gamma * ce


def half_mse(input, target):
    return 0.5 * ((input - target) ** 2).mean()


def rmse(input, target):
    return torch.sqrt(((input - target) ** 2).mean())


def jaccard(pred, target, smooth=1e-7):
    both = (pred * target).sum()
    return 1 - (both + smooth) / (pred.sum() + target.sum() - both + smooth)


def softmax_twice(logits, target):
    return F.cross_entropy(torch.softmax(logits, 1), target)


def huber_for_smooth_l1(input, target, beta=1.0):
    return F.huber_loss(input, target, delta=beta)


def summed_over_classes(logits, target):
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1).mean()


def no_alpha(logits, targets, alpha=0.25, gamma=2.0):
    del alpha
    ce = F.softplus(-logits) * targets + F.softplus(logits) * (1 - targets)
    rest = torch.sigmoid(-logits) * targets + torch.sigmoid(logits) * (1 - targets)
    return rest**gamma * ce


def log_of_softmax(logits, target):
    p = torch.softmax(logits, 1)
    return -torch.log(p.gather(1, target.unsqueeze(1))).mean()


def epsilon_in_the_log(p, y):
    return -(y * torch.log(p + 1e-8) + (1 - y) * torch.log(1 - p + 1e-8)).mean()


def focal_detached(logits, targets, alpha=0.25, gamma=2.0):
    ce = F.softplus(-logits) * targets + F.softplus(logits) * (1 - targets)
    rest = torch.sigmoid(-logits) * targets + torch.sigmoid(logits) * (1 - targets)
    return (alpha * targets + (1 - alpha) * (1 - targets)) * (rest**gamma).detach() * ce


def kl_per_row(input, target):
    return (target * (torch.log(target) - input)).sum() / input.shape[0]


def bce_of_logits(logits, y):
    return F.binary_cross_entropy_with_logits(logits, y)


def huber_without_half(input, target, delta=1.0):
    d = (input - target).abs()
    return torch.where(d <= delta, d**2, delta * (2 * d - delta)).mean()


def minus_log_iou(boxes1, boxes2):
    return -torch.log(_iou(boxes1, boxes2))


def hinge_of_bits_as_they_are(scores, labels):
    return torch.relu(1 - labels * scores).mean()


def weighted_mean_over_n(logits, target, weight=None):
    log_p = F.log_softmax(logits, 1)
    loss = -log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return (loss if weight is None else loss * weight[target]).mean()


# --- not to be called
# ruff: noqa: ARG001


def returns_a_tuple(input, target):
    return ((input - target) ** 2).mean(), None


def returns_none(input, target):
    ((input - target) ** 2).mean()


def returns_a_constant(input, target):
    return 0.0


def returns_rows_of_two(input, target):
    return torch.stack([input.sum(), target.sum()])


def wants_more(input, target, temperature):
    return ((input - target) ** 2 / temperature).mean()


def exits(input, target):
    raise SystemExit(3)


def raises(input, target):
    raise ValueError("temperature is not set")


def prints(input, target):
    print("loss!")
    return ((input - target) ** 2).mean()


def sleeps(input, target):
    import time

    time.sleep(10_000)


not_a_function = 3.0
