"""Losses of a distribution over classes, given as probabilities, log-probabilities or logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossparity.reference import elementary
from lossparity.reference.activations import entries, log_softmax_textbook, shifted_exponentials
from lossparity.reference.arithmetic import (
    Operand,
    constant,
    exp,
    log,
    product,
    take_label,
    weighted,
    where,
    with_slopes,
)
from lossparity.reference.arithmetic import clip as clipped
from lossparity.reference.blocks import elementwise, in_blocks
from lossparity.reference.core import (
    Array,
    Either,
    Flag,
    Gradients,
    Integer,
    Labels,
    Number,
    Real,
    Terms,
    loss,
    textbook,
)
from lossparity.reference.elementary import clip_range, difference, has_nan
from lossparity.reference.reduction import REDUCTIONS

_REAL = Real(differentiable=True)
_WEIGHT = Real(optional=True)


@loss(
    {
        "input": _REAL,
        "target": _REAL,
        "log_target": Flag(),
        "clip": Real(optional=True, minimum=0.0, maximum=1.0, constant=True),
    },
    broadcast=("input", "target"),
    reductions=tuple(REDUCTIONS),
)
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False, *, clip: Any = None) -> Terms:
    """Kullback-Leibler divergence of `target` from log-probabilities `input`, per element.

    Shapes: input and target broadcast; the terms have the common shape. "mean" divides by the number of
    elements, "batchmean" by the first axis of input. Domain: input any log-probability, -inf included; target
    >= 0 (NaN elsewhere), or any log-probability with `log_target`.
    Conventions: 0 log 0 = 0 log(0 / 0) = 0; there the derivative in target is its one-sided limit, -inf for a finite
    input and inf for an input of -inf.
    Dialects: `clip` moves both probabilities into [c, 1 - c], or (low, high), with gradient 0 outside (Keras).
    Source: torch.nn.functional.kl_div, https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html
    """
    # l = q (log q - x), q = target, or q = e^t and log q = t with log_target
    # dl/dx = -q
    # dl/dq = log q - x + 1;  with log_target dl/dt = q (t - x + 1)
    low, high = (0.0, math.inf) if clip is None else clip_range(clip)
    log_low, log_high = np.log(low), np.log(high)
    lowest, highest = (log_low, log_high) if log_target else (low, high)

    def rule(x: Array, t: Array) -> tuple[Array, Array, Array]:
        q = np.exp(t) if log_target else t
        ratio, lost = difference(t, x) if log_target else (np.log(t) - x, 0.0)
        if has_nan(ratio):
            ratio[(q == 0.0) & (x == -math.inf)] = math.inf
        of_target = (ratio + 1.0) + lost
        if log_target:
            of_target = elementary.product(q, of_target)
        return elementary.product(q, ratio), -q, of_target

    def clipped_rule(input: Array, target: Array) -> tuple[Array, Array, Array]:
        value, of_input, of_target = rule(np.clip(input, log_low, log_high), np.clip(target, lowest, highest))
        of_input[(input < log_low) | (input > log_high)] = 0.0
        of_target[(target < lowest) | (target > highest)] = 0.0
        return value, of_input, of_target

    value, of_input, of_target = elementwise(rule if clip is None else clipped_rule, input, target)

    return Terms(value, lambda g: {"input": of_input * g, "target": of_target * g})


@textbook(kl_div)
def kl_div_textbook(input: Operand, target: Operand, log_target: bool, clip: Array | None) -> Operand:
    """q (log q - x), q = e^t and log q = t with log_target; 0 for q = 0."""
    x, t = input, target
    if clip is not None:
        bounds = [input.lift(bound) for bound in clip_range(clip)]
        logs = [log(bound) for bound in bounds]
        x, t = clipped(input, *logs), clipped(target, *(logs if log_target else bounds))
    if log_target:
        return where(t > -math.inf, product(exp(t), t - x), 0.0)
    ratio = where((t <= 0.0) & (t >= 0.0) & (x <= -math.inf), -x, log(t) - x)
    return product(t, ratio)


def _check_classes(input: Array, weight: Array | None) -> None:
    """The classes are on axis 1, or on the only axis; `weight` holds one number for each."""
    axis = min(input.ndim - 1, 1)
    if axis < 0 or not input.shape[axis]:
        raise ValueError(
            f"input must have shape (C,), (N, C) or (N, C, d1, ...), with one class or more; its shape is {input.shape}"
        )
    classes = input.shape[axis]
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"weight must hold one number for each of the {classes} classes; its shape is {weight.shape}")


def checked_labels(
    target: Array, shape: tuple[int, ...], classes: int, ignore_index: int | None
) -> tuple[Array, Array | None]:
    """The labels, ignored ones replaced by 0, and which are not ignored (None: all)."""
    if target.shape != shape:
        raise ValueError(
            f"target must hold one label for each row of input, in shape {shape}; its shape is {target.shape}"
        )
    if target.dtype != np.int64 and target.size:
        raise TypeError(f"target must hold integer labels (or have the shape of input); its dtype is {target.dtype}")
    labels = target.astype(np.int64, copy=False)
    in_range = not labels.size or labels.view(np.uint64).max() < classes  # as an unsigned number, -1 is the largest
    if in_range and (ignore_index is None or not 0 <= ignore_index < classes):
        return labels, None
    kept = np.ones(labels.shape, bool) if ignore_index is None else np.asarray(labels != ignore_index)
    wrong = labels[kept & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        or_ignored = "" if ignore_index is None else f", or be ignore_index {ignore_index}"
        raise ValueError(f"target must hold labels from 0 to {classes - 1}{or_ignored}; it holds {wrong[0]}")
    return np.where(kept, labels, 0), kept


def _labels_of_blocks(target: Array, input: Array, x: Array, ignore_index: int) -> tuple[Array, Array | None]:
    """The same for (C,), (N, C) or (N, C, d1, ...), in the shape of a term for each row of its blocks x."""
    shape = input.shape[:-1] if input.ndim < 2 else input.shape[:1] + input.shape[2:]
    labels, kept = checked_labels(target, shape, x.shape[1], ignore_index)
    of_blocks = x.shape[:1] + x.shape[2:]
    return labels.reshape(of_blocks), kept if kept is None else kept.reshape(of_blocks)


def _blocks(array: Array) -> Array:
    """(C,) or (N, C) as (N, C), and (N, C, d1, ...) as (N, C, D): the classes stay on axis 1, nothing is moved."""
    if array.ndim == 1:
        return array[None]
    return array if array.ndim == 2 else array.reshape(*array.shape[:2], math.prod(array.shape[2:]))


def _row_weights(labels: Array, kept: Array | None, weight: Array | None) -> Array | float:
    """The class weight of each label, 0 for an ignored one; 1 where nothing is weighted."""
    if weight is None:
        return 1.0 if kept is None else kept.astype(np.float64)
    weights: Array = weight.take(labels)
    return weights if kept is None else weights * kept


@loss({"input": _REAL, "target": Labels(), "weight": _WEIGHT, "ignore_index": Integer()})
def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Terms:
    """Negative of the log-probability at the label.

    Shapes: input (C,), (N, C) or (N, C, d1, ...); target without the class axis; weight (C,). "mean" divides by
    the sum of the labels' weights. Domain: any log-probability. A row with label `ignore_index` counts 0, in the
    sum of weights too, whatever its input; so does -inf under weight 0.
    Errors: ValueError for a label that is neither in [0, C) nor `ignore_index`, and for shapes that do not fit.
    Source: torch.nn.functional.nll_loss, https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html
    """
    # l_n = -w_t x_(n, t), t = target_n, w_t = 0 if t = ignore_index;  "mean" divides by sum_n w_t
    # dl_n/dx_(n, j) = -w_t if j = t else 0
    _check_classes(input, weight)
    x = _blocks(input)
    labels, kept = _labels_of_blocks(target, input, x, ignore_index)
    at = entries(labels, x.shape)
    weights = _row_weights(labels, kept, weight)
    value = x.take(at)
    value = elementary.product(-weights, value) if isinstance(weights, np.ndarray) else -value
    if kept is not None:
        value[~kept] = 0.0

    def pullback(g: Array | float) -> Gradients:
        slope = np.asarray(weights * -(np.reshape(g, at.shape) if np.ndim(g) else g))
        if kept is not None:
            slope[~kept] = 0.0  # and not 0 * NaN where nothing is left to average
        gradient = np.zeros(input.size)
        gradient[at] = slope
        return {"input": gradient.reshape(input.shape)}

    return Terms(value.reshape(target.shape), pullback, denominator=_total(weights))


def _total(weights: Array | float) -> float | None:
    """What "mean" divides by: the sum of the weights, or the number of terms."""
    return float(weights.sum()) if isinstance(weights, np.ndarray) else None


@textbook(nll_loss, linear=True)
def nll_loss_textbook(
    input: Operand, target: Array, weight: Operand | None, ignore_index: int
) -> tuple[Operand, Operand | float | None]:
    """-w_t x_t at the label t, 0 for an ignored row; the mean divides by the sum of the w_t that count."""
    return _at_label(input, target, weight, ignore_index)


def _at_label(
    logs: Operand, target: Array, weight: Operand | None, ignore_index: int
) -> tuple[Operand, Operand | float | None]:
    """-w_t l_t of log-probabilities with the classes on axis 1 (or the only one), and what the mean divides by."""
    if logs.ndim == 1:
        value, denominator = _at_label(logs.reshape(1, -1), target[None], weight, ignore_index)
        return value.reshape(()), denominator
    labels, kept = checked_labels(target, logs.shape[:1] + logs.shape[2:], logs.shape[1], ignore_index)
    kept = np.ones(labels.shape, bool) if kept is None else kept
    at_label = take_label(logs, labels, 1)
    if weight is None:
        return where(kept, -at_label, 0.0), float(np.count_nonzero(kept))
    of_label = where(kept, weight[labels], 0.0)
    return where(kept, -product(of_label, at_label), 0.0), of_label.sum()


@loss(
    {
        "input": _REAL,
        "target": Either(),
        "weight": _WEIGHT,
        "ignore_index": Integer(),
        "label_smoothing": Number(minimum=0.0, maximum=1.0),
        "unit_targets": Flag(),
    }
)
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    unit_targets: bool = False,
) -> Terms:
    """Cross entropy of softmax(input) against class indices or class probabilities.

    Shapes: input (C,), (N, C) or (N, C, d1, ...); target: integer labels without the class axis, or probabilities
    in input's shape; weight (C,). "mean" divides by the sum of the labels' weights, for probabilities by the
    number of rows. Domain: all reals; a logit of -inf is a masked class, whose loss counts where its weight
    times (smoothed) probability is not 0. Rows labelled `ignore_index` count 0, whatever their input. Smooth.
    Dialect: `unit_targets` takes the probabilities of a row to sum to 1 in the gradient, whatever they sum to (TF).
    Errors: ValueError for a label that is neither in [0, C) nor `ignore_index`, for an `ignore_index` >= 0 with
    probabilities, and for shapes that do not fit.
    Source: torch.nn.functional.cross_entropy,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """
    # z_j = x_j - x_k, k the largest class, and R = sum of e^z without k's, so that -log p_j = log1p(R) - z_j
    # l = sum_j a_j (log1p(R) - z_j),  a_j = w_j ((1 - s) target_j + s / C),  s = label_smoothing
    # dl/dx_j = A p_j - a_j,  A = sum_j a_j (1 for unit_targets);  at k, where that would cancel,
    #         = B - A R / (1 + R),  B = A - a_k, the sum of the a_j without a_k
    # dl/dtarget_j = (1 - s) w_j (log1p(R) - z_j)
    _check_classes(input, weight)
    if target.shape != input.shape:
        return _cross_entropy_of_labels(input, target, weight, ignore_index, label_smoothing)
    if ignore_index >= 0:
        raise ValueError(f"ignore_index goes with labels; it is {ignore_index}, and target holds probabilities")
    target = target.astype(np.float64, copy=False)
    return _cross_entropy_of_probabilities(input, target, weight, label_smoothing, unit_targets)


def _cross_entropy_of_labels(input: Array, target: Array, weight: Array | None, ignore_index: int, s: float) -> Terms:
    # a_j = spike + flat_j at the label, flat_j elsewhere:  spike = (1 - s) w_t, flat = s w / C
    x = _blocks(input)
    labels, kept = _labels_of_blocks(target, input, x, ignore_index)
    row_weight = np.broadcast_to(_row_weights(labels, kept, weight), labels.shape)
    flat = s / x.shape[1] * (np.ones(x.shape[1]) if weight is None else weight)
    spike = (1.0 - s) * row_weight
    total = spike + flat.sum()  # A

    def rule(x: Array, labels: Array, spike: Array, total: Array) -> tuple[Array, ...]:
        z, e, top, rest = shifted_exponentials(x)
        value = total * np.log1p(rest) - elementary.product(spike, z.take(entries(labels, x.shape)))
        return value - _dot(flat, z) if s else value, e, rest, top // math.prod(x.shape[2:]) % x.shape[1]

    value, e, rest, largest = in_blocks(rule, x, labels, spike, total, axis=_axis_of_rows(x))
    if kept is not None:
        value[~kept] = 0.0

    def pullback(g: Array | float) -> Gradients:
        g = np.reshape(g, value.shape) if np.ndim(g) else g
        share = total * g / (1.0 + rest)
        gradient = e * share[:, None]
        others = np.where(largest == labels, 0.0, spike)  # B
        if s:
            gradient -= _per_class(flat, x) * _each_row(g, value)
            others += _sums_of_others(flat).take(largest)
        numbers = gradient.reshape(-1)
        numbers[entries(labels, x.shape)] -= spike * g
        numbers[entries(largest, x.shape)] = others * g - share * rest
        if kept is not None:
            np.copyto(gradient, 0.0, where=~kept[:, None])  # and not 0 * NaN where nothing is left to average
        return {"input": gradient.reshape(input.shape)}

    denominator = None if weight is None and kept is None else float(row_weight.sum())
    return Terms(value.reshape(target.shape), pullback, denominator)


def _cross_entropy_of_probabilities(
    input: Array, target: Array, weight: Array | None, s: float, unit_targets: bool
) -> Terms:
    x = _blocks(input)
    slope = 1.0 - s if weight is None else (1.0 - s) * _per_class(weight, x)
    flat = s / x.shape[1] if weight is None else s / x.shape[1] * _per_class(weight, x)
    plain = weight is None and not s

    def rule(x: Array, y: Array) -> tuple[Array, Array, Array]:
        z, e, top, rest = shifted_exponentials(x)
        a = y if plain else slope * y + flat
        others = a.copy()
        others.reshape(-1)[top] = 0.0
        others = others.sum(axis=1)  # B
        total = others + a.take(top)  # A
        log_sum = np.log1p(rest)
        value = total * log_sum - _dot(a, z)
        if unit_targets:
            total, others = np.ones_like(total), 1.0 - a.take(top)
        gradient = e * (total / (1.0 + rest))[:, None] - a
        gradient.reshape(-1)[top] = others - total * rest / (1.0 + rest)
        of_target = log_sum[:, None] - z
        return value, gradient, of_target if plain else elementary.product(slope, of_target)

    value, of_input, of_target = in_blocks(rule, x, _blocks(target), axis=_axis_of_rows(x))

    def pullback(g: Array | float) -> Gradients:
        g = _each_row(g, value)
        return {"input": (of_input * g).reshape(input.shape), "target": (of_target * g).reshape(input.shape)}

    shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()

    return Terms(value.reshape(shape), pullback)


def _each_row(g: Array | float, rows: Array) -> Array | float:
    """A cotangent of the terms, so that it meets the classes of the blocks' rows."""
    return np.reshape(g, rows.shape)[:, None] if np.ndim(g) else g


def _axis_of_rows(x: Array) -> int:
    """Along which axis (N, C) or (N, C, D) is cut into stretches."""
    return 0 if x.ndim == 2 or len(x) >= x.shape[2] else -1


def _sums_of_others(a: Array) -> Array:
    """The sum of all numbers but one, for each of them: of what is before it and what is after it."""
    before, after = np.zeros(len(a)), np.zeros(len(a))
    before[1:], after[:-1] = np.cumsum(a[:-1]), np.cumsum(a[:0:-1])[::-1]
    return before + after


@textbook(cross_entropy)
def cross_entropy_textbook(
    input: Operand,
    target: Operand | Array,
    weight: Operand | None,
    ignore_index: int,
    label_smoothing: float,
    unit_targets: bool,
) -> Any:
    """-sum_j w_j ((1 - s) y_j + s / C) log p_j, log p as log_softmax has it.

    Of labels it is (1 - s) times -w_t log p_t, and s times the mean over the classes of -w_j log p_j.
    """
    logs = log_softmax_textbook(input, min(input.ndim - 1, 1))
    return cross_entropy_of(logs, input, target, weight, ignore_index, label_smoothing, unit_targets)


def cross_entropy_of(
    logs: Operand,
    input: Operand,
    target: Operand | Array,
    weight: Operand | None,
    ignore_index: int,
    label_smoothing: float,
    unit_targets: bool,
) -> Any:
    """The same of given log-probabilities, however they were computed."""
    axis, s = min(input.ndim - 1, 1), input.lift(label_smoothing)
    classes = input.shape[axis]
    along = [classes if i == axis else 1 for i in range(input.ndim)]
    per_class = None if weight is None else weight.reshape(along)
    if isinstance(target, Operand):
        y = (1.0 - s) * target + s / classes if label_smoothing else target
        a = weighted(y, per_class)
        value = -product(a, logs).sum(axis=axis)
        if not unit_targets:
            return value
        of_target, p, one = (1.0 - s) * weighted(-logs, per_class), exp(logs), input.lift(1.0)
        # backwards twice, the sum of the targets counts: the derivative of `of_target` in the input has it
        slope = with_slopes(p - a, (p, one), (a, -one), (a.sum(axis=axis, keepdims=True), p))
        return _of_rows(value, axis, (input, slope), (target, of_target))
    value, denominator = _at_label(logs, target, weight, ignore_index)
    if label_smoothing:
        flat = -weighted(logs, per_class).sum(axis=axis) / classes
        ignored = np.asarray(target) == ignore_index
        value = product(1.0 - s, value) + where(ignored, 0.0, s * flat)
    return value, denominator


def _of_rows(value: Operand, axis: int, *slopes: tuple[Operand, Operand]) -> Operand:
    """`value`, one number for each row, with the given derivative in each number of the rows."""
    nothing = with_slopes(0.0 * constant(slopes[0][1]), *slopes)
    return constant(value) + nothing.sum(axis=axis)


def _per_class(weight: Array, x: Array) -> Array:
    """One number for each class, so that it meets axis 1 of x."""
    return weight if x.ndim == 2 else weight[:, None]


def _dot(a: Array, z: Array) -> Array:
    """sum_j a_j z_j over axis 1 of z, with 0 * inf = 0; a is one number for each class, or as many as z."""
    total: Array = np.einsum("c,nc...->n..." if a.ndim == 1 else "nc...,nc...->n...", a, z)
    if has_nan(total):
        total = elementary.product(_per_class(a, z) if a.ndim == 1 else a, z).sum(axis=1)
    return total
