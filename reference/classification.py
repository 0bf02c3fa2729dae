"""Classification losses, on probabilities, log-probabilities, logits and margins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lossparity.reference.activations import (
    entries,
    exponentials,
    log_softmax_textbook,
    shifted,
    shifted_exponentials,
    to_rows,
)
from lossparity.reference.arithmetic import (
    Operand,
    absolute,
    constant,
    exp,
    largest,
    log,
    log1p,
    maximum,
    nearest,
    one_hot,
    product,
    take_label,
    weighted,
    where,
    with_slopes,
)
from lossparity.reference.arithmetic import clip as clipped
from lossparity.reference.core import (
    REDUCTIONS,
    Argument,
    Array,
    Choice,
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

_PROBABILITY = Real(differentiable=True, minimum=0.0, maximum=1.0)
_REAL = Real(differentiable=True)
_PAIR = ("input", "target")
_WEIGHT = Real(optional=True)
_CLIP = Real(minimum=0.0, maximum=1.0, constant=True)


def _has_nan(array: Array) -> bool:
    """Whether an array that was just computed holds a NaN: in one pass, since a sum of squares makes none itself."""
    return math.isnan(np.vdot(array, array))


def _product(factor: Array | float, logs: Array) -> Array:
    """factor * logs with 0 * inf = 0, the convention 0 log 0 = 0. NaN stays NaN."""
    product: Array = factor * logs
    if _has_nan(product):
        product = np.where((factor == 0) & np.isinf(logs), 0.0, product)
    return product


def clip_range(clip: Array) -> tuple[float, float]:
    """The interval [c, 1 - c] for one number c, [low, high] for two."""
    if clip.shape not in ((), (2,)) or (clip.shape == () and clip > 0.5) or (clip.shape == (2,) and clip[0] > clip[1]):
        raise ValueError(f"clip must be one number c <= 0.5, or a pair low <= high; it is {clip.tolist()}")
    return (float(clip), 1.0 - float(clip)) if clip.shape == () else (float(clip[0]), float(clip[1]))


def _weighted(g: Array | float, weight: Array | None) -> Array | float:
    return g if weight is None else g * weight


@loss(
    {
        "input": _PROBABILITY,
        "target": _PROBABILITY,
        "weight": _WEIGHT,
        "clip": _CLIP,
        "log_clamp": Number(maximum=0.0),
        "gradient_floor": Number(minimum=0.0),
        "epsilon": Number(minimum=0.0),
    },
    broadcast=("input", "target", "weight"),
    same_shape=("input", "target"),
)
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    *,
    clip: Any = 0.0,
    log_clamp: float = -math.inf,
    gradient_floor: float = 0.0,
    epsilon: float = 0.0,
) -> Terms:
    """Cross entropy of a probability against the probability of a yes.

    Shapes: input and target alike; weight broadcasts to them. Domain: input and target in [0, 1].
    Conventions: 0 log 0 = 0, and the gradient there is that of the term that is left; weight 0 makes 0 of infinity.
    Dialects: `clip` moves the probability into [c, 1 - c], or (low, high), with gradient 0 outside (Keras);
    `log_clamp` bounds both logarithms of the value from below and `gradient_floor` the p (1 - p) by which the
    gradient is divided (torch: -100 and float32's 1e-12); `epsilon` is added inside both logarithms (TF v1).
    Errors: ValueError for a probability outside [0, 1].
    Source: torch.nn.functional.binary_cross_entropy,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html
    """
    # a = p + eps, b = 1 - p + eps, p clipped;  l = -w (y log a + (1 - y) log b)
    # dl/dp = w ((1 - y) / b - y / a) = w (p - y + eps (1 - 2 y)) / (a b)
    # dl/dy = w (log b - log a)
    low, high = clip_range(clip)
    p = input if (low, high) == (0.0, 1.0) else np.clip(input, low, high)
    a = p + epsilon if epsilon else p
    log_a, log_b = np.log(a), np.log1p(epsilon - p)
    if epsilon:  # near 1 it is 1 - p that loses nothing
        log_b = np.where(p > 0.5, np.log((1.0 - p) + epsilon), log_b)
    value = _product(target, np.maximum(log_a, log_clamp) if log_clamp > -math.inf else log_a)
    value += _product(1.0 - target, np.maximum(log_b, log_clamp) if log_clamp > -math.inf else log_b)
    value = -value if weight is None else _product(-weight, value)

    def pullback(g: Array | float) -> Gradients:
        slope = p - target
        if epsilon:
            slope += epsilon * (1.0 - 2.0 * target)
        divisor = 1.0 - p
        if epsilon:
            divisor += epsilon
        divisor *= a
        if gradient_floor:
            np.maximum(divisor, gradient_floor, out=divisor)
        slope /= divisor
        if _has_nan(slope):  # 0 / 0: p = y = 0 leaves -log(1 - p), p = y = 1 leaves -log p
            slope[(p == 0) & (target == 0)] = 1.0
            slope[(p == 1) & (target == 1)] = -1.0
        if p is not input:
            slope[(input < low) | (input > high)] = 0.0
        of_target = log_b - log_a
        if weight is not None:
            slope, of_target = _product(weight, slope), _product(weight, of_target)
        slope *= g
        of_target *= g
        return {"input": slope, "target": of_target}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        size = np.abs(_weighted(1.0, weight))
        return size, {"target": g * size}

    return Terms(value, pullback, scale)


@textbook(binary_cross_entropy)
def binary_cross_entropy_textbook(
    input: Operand,
    target: Operand,
    weight: Operand | None,
    clip: Array,
    log_clamp: float,
    gradient_floor: float,
    epsilon: float,
) -> Operand:
    """-w (y log p + (1 - y) log(1 - p)), log(1 - p) as log1p(-p); with epsilon added inside both, log(1 - p + eps).

    With torch's clamp and floor, derivatives are those that torch writes: (p - y) / max(p (1 - p), floor), and in y the
    difference of the logarithms before they are clamped.
    """
    p = clipped(input, *clip_range(clip))
    log_p = log(p + epsilon)
    log_q = log(1.0 - p + epsilon) if epsilon else log1p(-p)

    def entropy(of_yes: Operand, of_no: Operand) -> Operand:
        return -(product(target, of_yes) + product(1.0 - target, of_no))

    if log_clamp == -math.inf and not gradient_floor:
        return weighted(entropy(log_p, log_q), weight)
    value = entropy(maximum(log_p, log_clamp), maximum(log_q, log_clamp))
    slope = (p - target) / maximum(p * (1.0 - p), gradient_floor)
    return weighted(with_slopes(value, (p, slope), (target, log_q - log_p)), weight)


@loss(
    {"input": _REAL, "target": _REAL, "weight": _WEIGHT, "pos_weight": _WEIGHT},
    broadcast=("input", "target", "weight", "pos_weight"),
    same_shape=("input", "target"),
)
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Terms:
    """Cross entropy of sigmoid(input) against the probability of a yes, exact in both tails.

    Shapes: input and target alike; weight and pos_weight broadcast to them. Domain: all reals; meaningful for
    target in [0, 1], which is not checked (torch does not either). Smooth. `pos_weight` multiplies the positive term.
    Source: torch.nn.functional.binary_cross_entropy_with_logits,
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """
    # With e = e^-|x|:  -log sigmoid(x) = log1p(e) + max(-x, 0),  -log sigmoid(-x) = log1p(e) + max(x, 0)
    # l = -w (v y log sigmoid(x) + (1 - y) log sigmoid(-x)) = w (c log1p(e) + h x),  v = pos_weight,
    #     c = v y + (1 - y),  h = 1 - y for x >= 0, -v y for x < 0
    # dl/dx = w (h - c sign(x) e / (1 + e)), where nothing cancels if y is 0 or 1
    # dl/dy = w ((v - 1) log1p(e) - x (1 for x >= 0, v for x < 0))
    positive = ~np.signbit(input)
    e = np.abs(input)
    np.exp(np.negative(e, out=e), out=e)
    log1p_e = np.log1p(e)
    if pos_weight is None:
        h, c = positive - target, None
    else:
        of_yes, of_no = pos_weight * target, 1.0 - target
        h = positive * of_no - ~positive * of_yes
        c = of_yes + of_no
    value = _product(h, input)
    value += log1p_e if c is None else c * log1p_e
    if weight is not None:
        value *= weight

    def pullback(g: Array | float) -> Gradients:
        g = _weighted(g, weight)
        slope = 1.0 + e
        np.divide(e, slope, out=slope)
        np.copysign(slope, input, out=slope)
        if c is not None:
            slope *= c
        np.subtract(h, slope, out=slope)
        slope *= g
        if pos_weight is None:
            return {"input": slope, "target": input * -g}
        of_target = (pos_weight - 1.0) * log1p_e
        of_target -= input * (positive + ~positive * pos_weight)
        of_target *= g
        return {"input": slope, "target": of_target}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        size = np.abs(_weighted(1.0, weight) * (1.0 if c is None else c))
        return size, {"input": size * g} if pos_weight is None else {"input": size * g, "target": size * g}

    return Terms(value, pullback, scale)


def softplus(x: Operand) -> Operand:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|), of a textbook form. At 0 each side has half of the derivative."""
    return log1p(exp(-absolute(x))) + maximum(x, 0.0)


@textbook(binary_cross_entropy_with_logits)
def binary_cross_entropy_with_logits_textbook(
    input: Operand, target: Operand, weight: Operand | None, pos_weight: Operand | None
) -> Operand:
    """w (log1p(e^-|x|) + max(x, 0) - x y), as TensorFlow documents it; with a pos_weight v

    w (v y softplus(-x) + (1 - y) softplus(x)), where no term is negative. Each is exact in both tails.
    """
    if pos_weight is None:
        return weighted(log1p(exp(-absolute(input))) + (maximum(input, 0.0) - input * target), weight)
    return weighted(product(pos_weight * target, softplus(-input)) + product(1.0 - target, softplus(input)), weight)


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
    x, t = input, target
    if clip is not None:
        low, high = clip_range(clip)
        log_low, log_high = np.log(low), np.log(high)
        x = np.clip(input, log_low, log_high)
        t = np.clip(target, log_low, log_high) if log_target else np.clip(target, low, high)
    q = np.exp(t) if log_target else t
    ratio = (t if log_target else np.log(t)) - x
    if _has_nan(ratio):
        ratio[(q == 0) & (x == -math.inf)] = math.inf
    value = _product(q, ratio)

    def pullback(g: Array | float) -> Gradients:
        of_input = q * -g
        of_target = ratio + 1.0
        if log_target:
            of_target = _product(q, of_target)
        of_target *= g
        if clip is not None:
            of_input[(input < log_low) | (input > log_high)] = 0.0
            lowest, highest = (log_low, log_high) if log_target else (low, high)
            of_target[(target < lowest) | (target > highest)] = 0.0
        return {"input": of_input, "target": of_target}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        return 0.0, {"target": g * q if log_target else g + np.zeros_like(q)}

    return Terms(value, pullback, scale)


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
    ratio = where((t <= 0.0) & (t >= 0.0) & (x <= -math.inf), math.inf, log(t) - x)
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


def _labels(
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
    labels, kept = _labels(target, shape, x.shape[1], ignore_index)
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
    value = _product(-weights, value) if isinstance(weights, np.ndarray) else -value
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


@textbook(nll_loss)
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
    labels, kept = _labels(target, logs.shape[:1] + logs.shape[2:], logs.shape[1], ignore_index)
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
    # z_j = x_j - max x and R = sum of e^z without the maximum's, so that -log p_j = log1p(R) - z_j
    # l = sum_j a_j (log1p(R) - z_j),  a_j = w_j ((1 - s) target_j + s / C),  s = label_smoothing
    # dl/dx_j = A p_j - a_j,  A = sum_j a_j (1 for unit_targets);  at the maximum A - a_j - A R / (1 + R): no cancelling
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
    at = entries(labels, x.shape)
    row_weight = _row_weights(labels, kept, weight)
    spike = (1.0 - s) * row_weight
    total = spike
    z, top = shifted(x)
    value = -_product(spike, z.take(at))
    if s:
        flat = s / x.shape[1] * (np.ones(x.shape[1]) if weight is None else weight)
        total = spike + flat.sum()
        value -= _dot(flat, z)
    e, rest = exponentials(z, top, out=z)
    value += total * np.log1p(rest)
    if kept is not None:
        value[~kept] = 0.0

    def pullback(g: Array | float) -> Gradients:
        g = np.reshape(g, at.shape) if np.ndim(g) else g
        others = 1.0 + rest
        gradient = e * (total * g / others)[:, None]
        if s:
            gradient -= _per_class(flat, e) * np.expand_dims(g, 1 if np.ndim(g) else 0)
        flattened = gradient.reshape(-1)
        flattened[at] -= spike * g
        beside = total - spike * (top == at)  # A - a_j at the maximum
        if s:
            beside -= np.broadcast_to(_per_class(flat, e), e.shape).take(top)
        flattened[top] = (beside - total * rest / others) * g
        if kept is not None:
            np.copyto(gradient, 0.0, where=~kept[:, None])
        return {"input": gradient.reshape(input.shape)}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        g = np.broadcast_to(np.reshape(g, at.shape) if np.ndim(g) else g, at.shape)
        size = np.abs(_per_class(flat, e)) * g[:, None] if s else np.zeros(e.shape)
        size.reshape(-1)[at] += np.abs(spike) * g
        return np.broadcast_to(np.abs(total), at.shape).reshape(target.shape), {"input": size.reshape(input.shape)}

    return Terms(value.reshape(target.shape), pullback, scale, denominator=_total(row_weight))


def _cross_entropy_of_probabilities(
    input: Array, target: Array, weight: Array | None, s: float, unit_targets: bool
) -> Terms:
    x, a = _blocks(input), _blocks(target)
    shape = input.shape[:-1] if input.ndim < 2 else input.shape[:1] + input.shape[2:]
    z, e, top, rest = shifted_exponentials(x)
    if s:
        a = (1.0 - s) * a
        a += s / x.shape[1]
    if weight is not None:
        a = a * _per_class(weight, x)
    total = a.sum(axis=1)
    log_sum = np.log1p(rest)
    value = total * log_sum - _dot(a, z)
    slope = 1.0 - s if weight is None else (1.0 - s) * _per_class(weight, x)

    def each_row(g: Array | float) -> Array | float:
        return np.reshape(g, total.shape)[:, None] if np.ndim(g) else g

    def pullback(g: Array | float) -> Gradients:
        others = 1.0 + rest
        whole = np.ones_like(total) if unit_targets else total
        gradient = e * (whole / others)[:, None]
        gradient -= a
        gradient.reshape(-1)[top] = whole - a.take(top) - whole * rest / others
        gradient *= each_row(g)
        of_target = _product(slope * each_row(g), log_sum[:, None] - z)
        return {"input": gradient.reshape(input.shape), "target": of_target.reshape(input.shape)}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        of_input, of_target = np.abs(a) * each_row(g), np.broadcast_to(np.abs(slope) * each_row(g), x.shape)
        gradients = {"input": of_input.reshape(input.shape), "target": of_target.reshape(input.shape)}
        return np.abs(total).reshape(shape), gradients

    return Terms(value.reshape(shape), pullback, scale)


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
    axis, s = min(input.ndim - 1, 1), input.lift(label_smoothing)
    classes = input.shape[axis]
    logs = log_softmax_textbook(input, axis)
    along = [classes if i == axis else 1 for i in range(input.ndim)]
    per_class = None if weight is None else weight.reshape(along)
    if isinstance(target, Operand):
        y = (1.0 - s) * target + s / classes if label_smoothing else target
        a = weighted(y, per_class)
        value = -product(a, logs).sum(axis=axis)
        if not unit_targets:
            return value
        of_target = (1.0 - s) * weighted(-logs, per_class)
        return _of_rows(value, axis, (input, exp(logs) - a), (target, of_target))
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
    if _has_nan(total):
        total = _product(_per_class(a, z) if a.ndim == 1 else a, z).sum(axis=1)
    return total


@loss(
    {
        "y_true": Labels(),
        "y_pred": _PROBABILITY,
        "normalize": Flag(),
        "sample_weight": _WEIGHT,
        "labels": Labels(optional=True),
        "clip": _CLIP,
        "renormalize": Choice(("never", "before_clip", "after_clip")),
    },
    reductions=(),
)
def log_loss(
    y_true: Any,
    y_pred: Any,
    *,
    normalize: bool = True,
    sample_weight: Any = None,
    labels: Any = None,
    clip: Any = 0.0,
    renormalize: str = "never",
) -> Terms:
    """Cross entropy of given class probabilities, on scikit-learn's terms: y_true first, the result one number.

    Shapes: y_true (N,); y_pred (N, K), or (N,) or (N, 1), the probability of the second of two labels;
    sample_weight (N,). The columns belong to the sorted `labels`, by default those in y_true. `normalize` divides
    the sum by the sum of sample_weight. Domain: y_pred in [0, 1]; its rows need not sum to 1.
    Dialects: `clip` moves every probability into [c, 1 - c], or (low, high), with gradient 0 outside (scikit-learn,
    Keras); `renormalize` divides each row by its sum, before or after it is clipped (Keras: before for one-hot
    targets, after for sparse ones).
    Errors: ValueError for a probability outside [0, 1], a y_true that is not in labels, and shapes that do not fit.
    Source: sklearn.metrics.log_loss, https://scikit-learn.org/stable/modules/generated/sklearn.metrics.log_loss.html
    """
    # l_n = -log p_(n, t), t the column of y_true_n;  value = sum_n w_n l_n / sum_n w_n
    # dl_n/dp_(n, j) = -1 / p_(n, t) if j = t else 0;  where p is x / S, S = sum_j x_j: dl_n/dx_(n, j) has 1 / S more
    if y_true.ndim != 1 or y_pred.ndim not in (1, 2) or len(y_pred) != len(y_true):
        raise ValueError(f"y_pred must be (N,) or (N, K) for y_true (N,); they are {y_pred.shape} and {y_true.shape}")
    if sample_weight is not None and sample_weight.shape != y_true.shape:
        raise ValueError(f"sample_weight must have y_true's shape {y_true.shape}; its shape is {sample_weight.shape}")
    names = np.unique(y_true if labels is None else labels)
    columns = max(2, y_pred.shape[1] if y_pred.ndim > 1 else 1)
    if len(names) != columns:
        raise ValueError(f"labels must name the {columns} classes of y_pred {y_pred.shape}; they are {names.tolist()}")
    t = np.searchsorted(names, y_true)
    unknown = y_true[names.take(t, mode="clip") != y_true]
    if unknown.size:
        raise ValueError(f"y_true must hold only labels {names.tolist()}; it holds {unknown[0]}")
    low, high = clip_range(clip)
    if y_pred.size == len(y_true):
        terms, slope, size = _log_of_one_column(y_pred.reshape(-1), t == 1, low, high)
    else:
        terms, slope, size = _log_of_columns(y_pred, t, low, high, renormalize)
    weights = np.ones(len(t)) if sample_weight is None else sample_weight
    factor = weights / weights.sum() if normalize else weights

    def pullback(g: Array | float) -> Gradients:
        return {"y_pred": _product(factor[:, None] * g, slope).reshape(y_pred.shape)}

    value = _product(weights, terms).sum() / (weights.sum() if normalize else 1.0)

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        return np.sum(np.abs(factor)), {"y_pred": (np.abs(factor)[:, None] * g * size).reshape(y_pred.shape)}

    return Terms(np.asarray(value), pullback, scale)


def _log_of_one_column(raw: Array, second: Array, low: float, high: float) -> tuple[Array, Array, Array]:
    """-log p for the second label, -log (1 - p) for the first; their slope, and its natural scale."""
    lowest, highest = np.where(second, low, 1.0 - high), np.where(second, high, 1.0 - low)
    p = np.clip(raw, lowest, highest)
    terms = -np.where(second, np.log(p), np.log1p(-p))  # 1 - p is not formed: log1p keeps its digits
    slope = np.where(second, -1.0 / p, 1.0 / (1.0 - p))
    slope[(raw < lowest) | (raw > highest)] = 0.0
    return terms, slope[:, None], np.zeros((len(p), 1))


def _log_of_columns(raw: Array, t: Array, low: float, high: float, renormalize: str) -> tuple[Array, Array, Array]:
    """-log p_t of each row; its slope in the row, and the slope's natural scale."""
    rows = np.arange(len(t))
    sums = raw.sum(axis=1, keepdims=True) if renormalize == "before_clip" else np.ones((len(t), 1))
    share = raw / sums
    outside = (share < low) | (share > high)
    p = np.clip(share, low, high)
    terms = -np.log(p[rows, t])
    slope = np.zeros(p.shape)
    slope[rows, t] = np.where(outside[rows, t], 0.0, -1.0 / p[rows, t])
    if renormalize == "never":
        return terms, slope, np.zeros(p.shape)
    if renormalize == "before_clip":  # p_t = x_t / S: dl/dx_j = (1 - [j = t] / p_t) / S
        added = np.where(outside[rows, t], 0.0, 1.0)[:, None]
    else:  # p_t = c_t / S, S the sum of the clipped c: dl/dx_j = 1 / S - [j = t] / c_t, where x_j is not clipped
        sums = p.sum(axis=1, keepdims=True)
        terms += np.log(sums[:, 0])
        slope *= sums
        added = ~outside
    return terms, (slope + added) / sums, (np.abs(slope) + added) / sums  # a difference at the label


@textbook(log_loss)
def log_loss_textbook(
    y_true: Array,
    y_pred: Operand,
    normalize: bool,
    sample_weight: Operand | None,
    labels: Array | None,
    clip: Array,
    renormalize: str,
) -> Operand:
    """-sum_n w_n log p_(n, t) / sum_n w_n; of one column, the second label's p, log1p(-p) for the first."""
    low, high = clip_range(clip)
    t = np.searchsorted(np.unique(y_true if labels is None else labels), y_true)
    if y_pred.shape in (t.shape, (*t.shape, 1)):
        p = y_pred.reshape(t.shape)
        of_first = where(1.0 - p < low, log(p.lift(low)), where(1.0 - p > high, log(p.lift(high)), log1p(-p)))
        logs = where(t == 1, log(clipped(p, low, high)), of_first)
    else:
        rows = y_pred
        if renormalize == "before_clip":
            rows = rows / rows.sum(axis=1, keepdims=True)
        rows = clipped(rows, low, high)
        if renormalize == "after_clip":
            rows = rows / rows.sum(axis=1, keepdims=True)
        logs = log(take_label(rows, t, 1))
    value = -weighted(logs, sample_weight).sum()
    if not normalize:
        return value
    return value / (float(len(t)) if sample_weight is None else sample_weight.sum())


_HINGE: dict[str, Argument] = {
    "input": _REAL,
    "target": Real(),
    "labels": Choice(("signed", "binary", "auto")),
}


def _signs(target: Array, labels: str) -> Array:
    """The targets of a hinge loss as -1 and 1."""
    if labels == "binary" or (labels == "auto" and ((target == 0) | (target == 1)).all()):
        return 2.0 * target - 1.0
    wrong = target[(np.abs(target) != 1) & ~np.isnan(target)]
    if labels == "signed" and wrong.size:
        raise ValueError(f'target must hold -1 and 1 (or 0 and 1 with labels="binary"); it holds {wrong[0]:g}')
    return target


@loss({**_HINGE, "subgradient": Number(minimum=0.0, maximum=1.0)}, broadcast=_PAIR, same_shape=_PAIR)
def hinge_loss(
    input: Any, target: Any, reduction: str = "mean", *, subgradient: float = 0.0, labels: str = "signed"
) -> Terms:
    """How far a signed score falls short of the margin 1.

    Shapes: input and target alike. Domain: all reals; target -1 or 1, and not differentiable.
    Kink: at target * input = 1 the derivative of max(0, z) is `subgradient`, 0 by default (TF v1; Keras 1).
    Dialects: `labels` = "binary" maps every target y to 2 y - 1 (TF v1), "auto" does so if all of them are 0 or 1,
    and otherwise takes them as they are, real numbers too (Keras).
    Errors: ValueError for a target other than -1 and 1 with labels = "signed".
    Source: keras.losses.Hinge, https://keras.io/api/losses/hinge_losses/
    """
    # z = 1 - y x;  l = max(0, z)
    # dl/dx = -y (1 if z > 0, subgradient if z = 0, else 0)
    y = _signs(target, labels)
    z = 1.0 - y * input
    return Terms(np.maximum(z, 0.0), lambda g: {"input": np.heaviside(z, subgradient) * -y * g})


def _signs_of(target: Operand, labels: str) -> Operand:
    """The targets of a hinge loss as -1 and 1, of a textbook form."""
    binary = labels == "binary" or (labels == "auto" and bool(np.isin(nearest(target), (0.0, 1.0)).all()))
    return 2.0 * target - 1.0 if binary else target


@textbook(hinge_loss)
def hinge_textbook(input: Operand, target: Operand, subgradient: float, labels: str) -> Operand:
    """max(0, 1 - y x)."""
    return maximum(1.0 - _signs_of(target, labels) * input, 0.0, tie=subgradient)


@loss(_HINGE, broadcast=_PAIR, same_shape=_PAIR)
def squared_hinge_loss(input: Any, target: Any, reduction: str = "mean", *, labels: str = "signed") -> Terms:
    """The square of hinge_loss.

    Shapes: input and target alike. Domain: all reals; target -1 or 1, and not differentiable. Kink: none.
    Dialects: `labels`, as in hinge_loss. Errors: ValueError for a target other than -1 and 1 with labels = "signed".
    Source: keras.losses.SquaredHinge, https://keras.io/api/losses/hinge_losses/
    """
    # z = max(0, 1 - y x);  l = z^2
    # dl/dx = -2 y z
    y = _signs(target, labels)
    z = np.maximum(1.0 - y * input, 0.0)
    return Terms(z * z, lambda g: {"input": -2.0 * y * z * g})


@textbook(squared_hinge_loss)
def squared_hinge_textbook(input: Operand, target: Operand, labels: str) -> Operand:
    """max(0, 1 - y x)^2."""
    z = maximum(1.0 - _signs_of(target, labels) * input, 0.0)
    return z * z


@loss(
    {
        "input": _REAL,
        "target": Either(differentiable=False),
        "subgradient": Number(minimum=0.0, maximum=1.0),
        "definition": Choice(("crammer_singer", "keras")),
    }
)
def categorical_hinge_loss(
    input: Any,
    target: Any,
    reduction: str = "mean",
    *,
    subgradient: float = 0.0,
    definition: str = "crammer_singer",
) -> Terms:
    """How far the label's score falls short of 1 above the best of the others.

    Shapes: input (..., C); target: integer labels (...), or one-hot (..., C); one term per row. Domain: all reals.
    Kinks: at z = 0 the derivative of max(0, z) is `subgradient`, 0 by default (Keras 1); scores that tie for the
    best share its derivative equally. `target` is not differentiable.
    Dialects: `definition` = "keras" takes the maximum over (1 - target) * input, where the label's own entry is 0 and
    so competes, and the sum of target * input, for any real target.
    Errors: ValueError for a label outside [0, C), a target that is not one-hot, and shapes that do not fit.
    Source: Crammer and Singer 2001, https://www.jmlr.org/papers/v2/crammer01a.html; keras.losses.CategoricalHinge.
    """
    # z = 1 + max_(j != t) x_j - x_t;  l = max(0, z)
    # dl/dx_j = (1 / ties if x_j is the maximum, -1 if j = t, else 0) (1 if z > 0, subgradient if z = 0, else 0)
    if not input.ndim or not input.shape[-1]:
        raise ValueError(f"input must have shape (..., C), with at least one class; its shape is {input.shape}")
    x, shape = to_rows(input, -1), input.shape[:-1]
    if target.shape == input.shape:
        y = to_rows(target, -1).astype(np.float64)
    else:
        labels, _ = _labels(target, shape, x.shape[1], None)
        labels = labels.reshape(-1)
        y = np.zeros(x.shape)
        y[np.arange(len(labels)), labels] = 1.0
    if definition == "crammer_singer":
        wrong = ~((y == 0) | (y == 1)).all(axis=1) | (y.sum(axis=1) != 1)
        wrong &= ~np.isnan(y).any(axis=1)
        if wrong.any():
            raise ValueError(f"target must be one-hot along its last axis; it holds the row {y[wrong][0]}")
        others = np.where(y == 1, -math.inf, x)
    else:
        others = _product(1.0 - y, x)
    best = others.max(axis=1)
    z = 1.0 + (best - _product(y, x).sum(axis=1))

    def pullback(g: Array | float) -> Gradients:
        ties = others == best[:, None]
        slope = ties * (1.0 - y) / np.count_nonzero(ties, axis=1)[:, None] - y
        slope *= (np.heaviside(z, subgradient) * np.reshape(g, -1))[:, None]
        return {"input": slope.reshape(input.shape)}

    return Terms(np.maximum(z, 0.0).reshape(shape), pullback, lambda _: (1.0, {}))


@textbook(categorical_hinge_loss)
def categorical_hinge_textbook(input: Operand, target: Operand | Array, subgradient: float, definition: str) -> Operand:
    """max(0, 1 + max over the other classes - the label's); Keras' of (1 - y) x, and the sum of y x."""
    if definition == "keras":
        y = target if isinstance(target, Operand) else input.lift(one_hot(target, input.shape[-1]))
        best, own = largest(product(1.0 - y, input), -1), product(y, input).sum(axis=-1)
    else:
        labels = nearest(target).argmax(axis=-1) if isinstance(target, Operand) else target
        best = largest(where(one_hot(labels, input.shape[-1]), -math.inf, input), -1)
        own = take_label(input, labels)
    return maximum(1.0 + (best.reshape(own.shape) - own), 0.0, tie=subgradient)
