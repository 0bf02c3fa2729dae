"""Focal losses: a cross entropy, weighted down where the prediction is already right.

1 - p is never formed by subtraction: it is the sigmoid of the negated logit, or the sum of the other classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lossparity.reference.activations import from_rows, shifted_exponentials, sigmoid_textbook, to_rows
from lossparity.reference.arithmetic import (
    Operand,
    absolute,
    constant,
    exp,
    largest,
    log,
    log1p,
    maximum,
    one_hot,
    power,
    product,
    weighted,
    where,
)
from lossparity.reference.arithmetic import clip as bounded
from lossparity.reference.blocks import in_blocks
from lossparity.reference.core import Array, Either, Flag, Gradients, Integer, Number, Real, Terms, loss, textbook
from lossparity.reference.elementary import clip_range

_UNIT = Real(differentiable=True, minimum=0.0, maximum=1.0)
_CLIP = Real(minimum=0.0, maximum=1.0, constant=True)
_SHARE = Real(minimum=0.0)
# A value, and its derivatives in the input and in the target.
_Rows: TypeAlias = tuple[Array, Array, Array]
_TINY = 1e-305  # below it a float64 loses digits, and then everything


class _Parts(NamedTuple):
    """Cross entropy, the base of the modulating factor, and the derivatives of each in the input and the target.

    size: where rest underflows for logits of more than 700, rest and ce are e^-size.
    """

    ce: Array
    rest: Array
    slopes: Callable[[], tuple[Array, Array, Array, Array]]
    size: Array | float = 0.0


class _Binary:
    """Binary cross entropy `ce` of logits x and targets y, and what is built on it."""

    # b: the part of the target against the logit's sign, a = 1 - b the part for it, e = exp(-|x|), s = sign(x):
    # ce = |x| b + log(1 + e),         dce/dx = p - y = s (b - a e) / (1 + e),    dce/dy = -x
    # 1 - p_t = (b + a e) / (1 + e),   d/dx = s (b - a) e / (1 + e)^2,            d/dy = -s (1 - e) / (1 + e)

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.size = x, np.abs(x)
        self.e = np.exp(-self.size)
        self.against = np.abs(y - (x >= 0.0))
        self.agreeing = 1.0 - self.against
        self.agreeing *= self.e
        self.inverse = 1.0 / (1.0 + self.e)
        self.ce = np.log1p(self.e)
        self.ce += self.size * self.against

    def error(self) -> Array:
        """p - y, without cancellation where y is 0 or 1."""
        error: Array = (self.against - self.agreeing) * np.copysign(self.inverse, self.x)
        return error

    def probabilities(self) -> tuple[Array, Array]:
        """p and 1 - p."""
        small, yes = self.e * self.inverse, self.x >= 0.0
        return np.where(yes, self.inverse, small), np.where(yes, small, self.inverse)

    def rest(self) -> Array:
        """1 - p_t."""
        rest: Array = (self.against + self.agreeing) * self.inverse
        return rest

    def slopes(self) -> tuple[Array, Array, Array, Array]:
        """The derivatives of ce and of 1 - p_t, each in x, then in y."""
        sign = np.copysign(self.inverse, self.x)
        rest_x = self.against * self.e
        rest_x -= self.agreeing
        rest_x *= sign
        rest_x *= self.inverse
        rest_y = self.e - 1.0
        rest_y *= sign
        sign *= self.against - self.agreeing
        return sign, rest_x, -self.x, rest_y


def _of_logits(x: Array, y: Array) -> _Parts:
    """Binary cross entropy of logits, and 1 - p_t."""
    b = _Binary(x, y)
    return _Parts(b.ce, b.rest(), b.slopes, b.size)


def _of_probabilities(p: Array, y: Array, low: float, high: float) -> _Parts:
    """The same of probabilities. The cross entropy's, and only those, are clipped; no gradient beyond the clip."""
    # ce = -y log c - (1 - y) log(1 - c),  c = clip(p);  1 - p_t = y (1 - p) + (1 - y) p;  0 log 0 = 0
    clipped = np.clip(p, low, high)
    no = 1.0 - y
    log_p, log_q = np.log(clipped), np.log1p(-clipped)
    ce = -_product(y, log_p) - _product(no, log_q)

    def slopes() -> tuple[Array, Array, Array, Array]:
        ce_x = _product(no, 1.0 / (1.0 - clipped)) - _product(y, 1.0 / clipped)
        ce_x *= p == clipped
        return ce_x, no - y, log_q - log_p, 1.0 - 2.0 * p

    return _Parts(ce, y * (1.0 - p) + no * p, slopes)


def _product(a: Array, b: Array) -> Array:
    """a * b, and 0 where a is 0 even if b is infinite."""
    return np.where(a == 0.0, 0.0, a * b)


def _base(parts: _Parts, gamma: float) -> tuple[Array, Array]:
    """rest^gamma, and gamma ce / rest, which is taken as 0 at rest = 0."""
    ce, rest, _, size = parts
    power, relative = rest**gamma, ce / rest
    small = rest < _TINY
    if small.any():
        saturated = small & (size > 700.0)
        power = np.where(saturated, np.exp(-gamma * size), power)
        relative = np.where(saturated, 1.0, np.where(rest == 0.0, 0.0, relative))
    relative *= gamma
    return power, relative


def _modulated(parts: _Parts, gamma: float, balance: Array | float = 1.0, balance_y: float = 0.0) -> _Rows:
    """balance rest^gamma ce and its derivatives in x and in y; balance_y: d balance / dy."""
    # d = rest^gamma (dbalance ce + balance (dce + gamma ce / rest drest))
    power, steep = _base(parts, gamma)
    ce_x, rest_x, ce_y, rest_y = parts.slopes()
    for rest_, ce_ in ((rest_x, ce_x), (rest_y, ce_y)):
        rest_ *= steep
        rest_ += ce_
        rest_ *= balance
    if balance_y:
        rest_y += balance_y * parts.ce
    rest_x *= power
    rest_y *= power
    power *= parts.ce
    power *= balance
    return power, rest_x, rest_y


def _modulated_sizes(parts: _Parts, gamma: float, balance: Array | float = 1.0, balance_y: float = 0.0) -> _Rows:
    """The natural scale of `_modulated`: ce, rest and their derivatives are sums and differences of about 1."""
    power, steep = _base(parts, gamma)
    rest = np.maximum(parts.rest, _TINY)
    ce_x, rest_x, ce_y, rest_y = parts.slopes()
    of_value = power * (steep + 1.0)
    size_x, size_y = (
        balance * (of_value + power * (gamma * np.abs(ce_) + np.abs(rest_) * (gamma + steep * abs(gamma - 1.0))) / rest)
        for ce_, rest_ in ((ce_x, rest_x), (ce_y, rest_y))
    )
    return balance * of_value, size_x, size_y + abs(balance_y) * of_value


def _terms(
    names: tuple[str, str],
    columns: Sequence[Array],
    rule: Callable[..., _Rows],
    sizes: Callable[..., _Rows],
    weight: Array | None = None,
) -> Terms:
    """Terms of an elementwise loss: `rule` returns the value and its derivatives, `sizes` their natural scale."""
    shape = columns[0].shape
    flat = [column.reshape(-1) for column in columns]
    value, slope_x, slope_y = (part.reshape(shape) for part in in_blocks(rule, *flat))
    if weight is not None:
        value *= weight

    def pullback(g: Array | float) -> Gradients:
        g = g if weight is None else g * weight
        return {names[0]: slope_x * g, names[1]: slope_y * g}

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        g = g if weight is None else g * weight
        of_value, of_x, of_y = (part.reshape(shape) * g for part in in_blocks(sizes, *flat))
        return of_value, {names[0]: of_x, names[1]: of_y}

    return Terms(value, pullback, scale)


@loss(
    {
        "inputs": Real(differentiable=True),
        "targets": _UNIT,
        "alpha": Number(maximum=1.0),
        "gamma": Number(minimum=0.0),
        "weight": Real(optional=True, minimum=0.0),
        "from_logits": Flag(),
        "clip": _CLIP,
        "label_smoothing": Number(minimum=0.0, maximum=1.0),
    },
    same_shape=("inputs", "targets"),
)
def sigmoid_focal_loss(
    inputs: Any,
    targets: Any,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
    *,
    weight: Any = None,
    from_logits: bool = True,
    clip: Any = 0.0,
    label_smoothing: float = 0.0,
) -> Terms:
    """Binary cross entropy of logits, weighted by (1 - p_t)^gamma and by alpha for positives, 1 - alpha for negatives.

    Shapes: inputs, targets alike. weight, of each element, broadcasts to them; one axis of weights against more
    weighs rows. mean divides by the number of elements, or by avg_factor. Domain: any logit; targets in [0, 1],
    not only 0 and 1; alpha <= 1, negative for none; gamma >= 0. Smooth.
    Dialects (Keras BinaryFocalCrossentropy): from_logits=False takes probabilities and clips those of the cross
    entropy, not those of the focal factor, to [clip, 1 - clip] or to a pair (low, high), with no gradient
    beyond; label_smoothing s makes the targets (1 - s) y + s / 2.
    Source: Lin et al., https://arxiv.org/abs/1708.02002; torchvision.ops.sigmoid_focal_loss for soft targets.
    """
    # l = w a_t (1 - p_t)^gamma ce,  p = sigmoid(x),  ce = -y log p - (1 - y) log(1 - p)
    # p_t = y p + (1 - y) (1 - p),  a_t = y alpha + (1 - y) (1 - alpha)
    # dl = w (1 - p_t)^gamma (da_t ce + a_t dce + a_t gamma ce d(1 - p_t) / (1 - p_t))
    if from_logits and clip.any():
        raise ValueError(f"clip is of probabilities, so it goes with from_logits=False; it is {clip.tolist()}")
    if not from_logits:
        _UNIT("inputs", inputs)
    bounds = clip_range(clip)
    kept = 1.0 - label_smoothing

    def parts(x: Array, y: Array) -> tuple[_Parts, float, Array | float, float]:
        y = kept * y + 0.5 * label_smoothing if label_smoothing else y
        of_x = _of_logits(x, y) if from_logits else _of_probabilities(x, y, *bounds)
        if alpha < 0.0:
            return of_x, gamma, 1.0, 0.0
        balance = 1.0 - y
        balance *= 1.0 - alpha
        balance += alpha * y
        return of_x, gamma, balance, 2.0 * alpha - 1.0

    def in_target(value: Array, of_x: Array, of_y: Array) -> _Rows:
        return value, of_x, of_y * kept if label_smoothing else of_y

    return _terms(
        ("inputs", "targets"),
        (inputs, targets),
        lambda x, y: in_target(*_modulated(*parts(x, y))),
        lambda x, y: in_target(*_modulated_sizes(*parts(x, y))),
        None if weight is None else _per_element(weight, inputs.shape),
    )


def _per_element(weight: Array, shape: tuple[int, ...]) -> Array:
    """The detection toolboxes' weights: of each element, or of each row."""
    if weight.ndim == 1 and len(shape) > 1:
        weight = weight.reshape(-1, *(1,) * (len(shape) - 1))
    try:
        return np.broadcast_to(weight, shape)
    except ValueError:
        raise ValueError(
            f"weight must broadcast to inputs, whose shape is {shape}, or weigh its rows; its shape is {weight.shape}"
        ) from None


@textbook(sigmoid_focal_loss)
def sigmoid_focal_textbook(
    inputs: Operand,
    targets: Operand,
    alpha: float,
    gamma: float,
    weight: Operand | None,
    from_logits: bool,
    clip: Array,
    label_smoothing: float,
) -> Any:
    """w a_t (1 - p_t)^gamma ce, with 1 - p_t = y (1 - p) + (1 - y) p."""
    y = targets + label_smoothing * (0.5 - targets) if label_smoothing else targets
    if from_logits:
        yes, no, ce = _textbook_binary(inputs, y)
    else:
        yes, no, c = inputs, 1.0 - inputs, bounded(inputs, *clip_range(clip))
        ce = -(product(y, log(c)) + product(1.0 - y, log1p(-c)))
    terms = power(y * no + (1.0 - y) * yes, gamma) * ce
    if alpha >= 0.0:
        terms = (alpha * y + (1.0 - alpha) * (1.0 - y)) * terms
    if weight is not None and weight.ndim == 1 and inputs.ndim > 1:
        weight = weight.reshape(-1, *(1,) * (inputs.ndim - 1))
    return weighted(terms, weight)


def _textbook_binary(x: Operand, y: Operand) -> tuple[Operand, Operand, Operand]:
    """p, 1 - p and the binary cross entropy of a logit."""
    return sigmoid_textbook(x), sigmoid_textbook(-x), maximum(x, 0.0) - x * y + log1p(exp(-absolute(x)))


@loss(
    {"input": Real(differentiable=True), "target": _UNIT, "beta": Number(minimum=0.0)},
    same_shape=("input", "target"),
)
def quality_focal_loss(input: Any, target: Any, beta: float = 2.0, reduction: str = "mean") -> Terms:
    """Binary cross entropy of logits with a quality as its target, weighted by the distance to that quality.

    Shapes: input, target alike. Domain: any logit; target in [0, 1], beta >= 0. Kink: for beta <= 1 at
    sigmoid(input) = target, where the factor's derivative is taken as 0.
    Source: Li et al., Generalized Focal Loss, https://arxiv.org/abs/2006.04388, equation 4.
    """
    # l = |y - p|^beta ce,  p = sigmoid(x),  ce = -y log p - (1 - y) log(1 - p)
    # dl/dx = |y - p|^beta (p - y + beta ce p (1 - p) / (p - y)),  dl/dy = |y - p|^beta (-x - beta ce / (p - y))

    def parts(x: Array, y: Array) -> tuple[_Parts, float]:
        b = _Binary(x, y)
        error = b.error()

        def slopes() -> tuple[Array, Array, Array, Array]:
            sign = np.sign(error)
            if not sign.all():  # at the kink, or p - y has underflowed for a target that agrees
                sign = np.where((error == 0.0) & (b.size > 700.0), -np.sign(x), sign)
            return error, sign * (b.e * b.inverse * b.inverse), -x, -sign

        return _Parts(b.ce, np.abs(error), slopes, b.size), beta

    return _terms(
        ("input", "target"),
        (input, target),
        lambda x, y: _modulated(*parts(x, y)),
        lambda x, y: _modulated_sizes(*parts(x, y)),
    )


@textbook(quality_focal_loss)
def quality_focal_textbook(input: Operand, target: Operand, beta: float) -> Operand:
    """|y - p|^beta ce, with y - p = y (1 - p) - (1 - y) p."""
    yes, no, ce = _textbook_binary(input, target)
    return power(absolute(target * no - (1.0 - target) * yes), beta) * ce


@loss(
    {
        "input": Real(differentiable=True),
        "target": _UNIT,
        "alpha": Number(minimum=0.0),
        "gamma": Number(minimum=0.0),
        "label": Real(optional=True, minimum=0.0, maximum=1.0),
    },
    broadcast=("input", "target", "label"),
    same_shape=("input", "target"),
)
def varifocal_loss(
    input: Any, target: Any, alpha: float = 0.75, gamma: float = 2.0, reduction: str = "mean", *, label: Any = None
) -> Terms:
    """Binary cross entropy of logits against an IoU-aware score, with only the negatives weighted down.

    Shapes: input, target alike. Domain: any logit; target in [0, 1], 0 for a negative; gamma, alpha >= 0. A jump
    in target at 0: the derivative there is that of a negative whose target moves.
    Dialect: label, which target is a positive's (1) or a negative's (0), for target > 0 (ultralytics).
    Source: Zhang et al., VarifocalNet, https://arxiv.org/abs/2008.13367, equation 2; the gradient passes through
    p^gamma too.
    """
    # l = w ce,  w = y label + alpha p^gamma (1 - label),  p = sigmoid(x),  ce = -y log p - (1 - y) log(1 - p)
    # dl/dx = w (p - y) + gamma alpha p^gamma (1 - p) (1 - label) ce,  dl/dy = label ce - w x

    def rows(x: Array, y: Array, *label: Array) -> tuple[_Binary, Array, Array, Array]:
        b = _Binary(x, y)
        positive = label[0] if label else (y > 0.0).astype(np.float64)
        p, q = b.probabilities()
        power = p**gamma
        if (p < _TINY).any():
            power = np.where(x < -700.0, np.exp(gamma * x), power)
        power *= alpha
        power *= 1.0 - positive
        return b, positive, power, gamma * power * q

    def rule(x: Array, y: Array, *label: Array) -> _Rows:
        b, positive, power, power_x = rows(x, y, *label)
        weight = y * positive + power
        return weight * b.ce, weight * b.error() + power_x * b.ce, positive * b.ce - weight * x

    def sizes(x: Array, y: Array, *label: Array) -> _Rows:
        b, positive, power, power_x = rows(x, y, *label)
        weight = y * positive + power
        return weight, weight + power_x + gamma * power * b.ce, positive * (1.0 + b.ce) + weight * np.abs(x)

    return _terms(("input", "target"), (input, target) if label is None else (input, target, label), rule, sizes)


@textbook(varifocal_loss)
def varifocal_textbook(input: Operand, target: Operand, alpha: float, gamma: float, label: Operand | None) -> Operand:
    """(y label + alpha p^gamma (1 - label)) ce."""
    positive = where(target > 0.0, target.lift(1.0), 0.0) if label is None else label
    p, _, ce = _textbook_binary(input, target)
    return (target * positive + alpha * power(p, gamma) * (1.0 - positive)) * ce


@loss(
    {
        "input": Real(differentiable=True),
        "target": Either(),
        "alpha": Real(optional=True, constant=True),
        "gamma": Number(minimum=0.0),
        "axis": Integer(),
        "from_logits": Flag(),
        "clip": _CLIP,
        "label_smoothing": Number(minimum=0.0, maximum=1.0),
    }
)
def softmax_focal_loss(
    input: Any,
    target: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    reduction: str = "mean",
    *,
    axis: int = -1,
    from_logits: bool = True,
    clip: Any = 0.0,
    label_smoothing: float = 0.0,
) -> Terms:
    """Cross entropy of softmax(input) with each class weighted by alpha and by (1 - p)^gamma.

    Shapes: input (..., C), the classes along `axis`; target: integer labels without that axis, or probabilities
    in input's shape; alpha one number or (C,). The terms have input's shape without the axis. Domain: any logit,
    a masked class is -inf; labels in [0, C), probabilities in [0, 1]; alpha None or negative for none;
    gamma >= 0. Smooth. Labels have no gradient.
    Dialects (Keras CategoricalFocalCrossentropy): from_logits=False takes probabilities, divided by their sum;
    clip moves p to [clip, 1 - clip], or into a pair (low, high), with no gradient beyond; label_smoothing s
    makes the target (1 - s) y + s / C.
    Source: Lin et al., https://arxiv.org/abs/1708.02002, over classes as keras.losses.CategoricalFocalCrossentropy.
    """
    # l = -sum_c a_c (1 - p_c)^gamma log p_c,  a_c = alpha_c y_c,  p = softmax(x)
    # h_c = p_c dl/dp_c = a_c (1 - p_c)^gamma (gamma p_c log p_c / (1 - p_c) - 1)
    # dl/dx_k = h_k (1 - p_k) - p_k sum_{c != k} h_c,  dl/dy_k = -alpha_k (1 - p_k)^gamma log p_k
    # With p = x / sum(x): dl/dx_k = (h_k / p_k - sum_c h_c) / sum(x)
    if not -input.ndim <= axis < input.ndim or not input.shape[axis]:
        raise ValueError(f"axis must be one of input's axes, with a class at least; it is {axis}, input {input.shape}")
    axis %= input.ndim
    x = to_rows(input, axis)
    if not from_logits:
        _SHARE("input", x)
    shape, classes = input.shape[:axis] + input.shape[axis + 1 :], x.shape[1]
    soft = target.shape == input.shape
    y = to_rows(np.asarray(_UNIT("target", target)), axis) if soft else _labels(target, shape, classes)
    alpha = _alphas(alpha, classes)
    low, high = clip_range(clip)
    kept = 1.0 - label_smoothing

    def rows(x: Array, y: Array) -> _Classes:
        y = y if soft else (y[:, None] == np.arange(classes)).astype(np.float64)
        y = kept * y + label_smoothing / classes if label_smoothing else y
        return _Classes(x, y, alpha, gamma, low, high, from_logits)

    def rule(x: Array, y: Array) -> tuple[Array, ...]:
        c = rows(x, y)
        return (c.value(), c.of_input(), c.factor * c.log_p * -kept) if soft else (c.value(), c.of_input())

    def sizes(x: Array, y: Array) -> tuple[Array, ...]:
        of_value, of_input, of_target = rows(x, y).sizes()
        return (of_value, of_input, of_target * kept) if soft else (of_value, of_input)

    value, *slopes = in_blocks(rule, x, y)

    def scaled(parts: Sequence[Array], g: Array | float) -> Gradients:
        g = g.reshape(-1, 1) if isinstance(g, np.ndarray) else g
        return {
            name: from_rows(part * g, input.shape, axis) for name, part in zip(("input", "target"), parts, strict=False)
        }

    def scale(g: Array | float) -> tuple[Array | float, Gradients]:
        of_value, *of_gradients = in_blocks(sizes, x, y)
        return of_value.reshape(shape) * g, scaled(of_gradients, g)

    return Terms(value.reshape(shape), lambda g: scaled(slopes, g), scale)


@textbook(softmax_focal_loss)
def softmax_focal_textbook(
    input: Operand,
    target: Any,
    alpha: Array | None,
    gamma: float,
    axis: int,
    from_logits: bool,
    clip: Array,
    label_smoothing: float,
) -> Operand:
    """-sum alpha_c y_c (1 - p_c)^gamma log p_c, where 1 - p of the larger half is the sum of the other classes."""
    x = input.moveaxis(axis, -1)
    classes = x.shape[-1]
    y = target.moveaxis(axis, -1) if isinstance(target, Operand) else one_hot(target, classes)
    y = y + label_smoothing * (1.0 / classes - y) if label_smoothing else y
    z = x - constant(largest(x, -1)) if from_logits else x
    e = exp(z) if from_logits else x
    whole = e.sum(axis=-1, keepdims=True)
    p = e / whole
    log_p = z - log(whole) if from_logits else log(p)
    most = p > 0.5
    rest = where(most, where(most, 0.0, e).sum(axis=-1, keepdims=True) / whole, 1.0 - p)
    low, high = clip_range(clip)
    if low > 0.0 or high < 1.0:
        c = bounded(p, low, high)
        inside = (p >= low) & (p <= high)
        rest, log_p = where(inside, rest, 1.0 - c), where(inside, log_p, log(c))
    return -product(y, _alphas(alpha, classes) * (power(rest, gamma) * log_p)).sum(axis=-1)


class _Classes:
    """Rows of the focal loss over classes: y alpha (1 - p)^gamma log p, negated and summed."""

    def __init__(
        self, x: Array, y: Array, alpha: Array | float, gamma: float, low: float, high: float, from_logits: bool
    ) -> None:
        self.y, self.gamma, self.from_logits = y, gamma, from_logits
        self.total: Array | float
        self.p, self.rest, self.log_p, self.total = _of_classes(x) if from_logits else _of_shares(x)
        q = self.rest
        self.inside: Array | float = 1.0
        if low > 0.0 or high < 1.0:
            clipped = np.clip(self.p, low, high)
            self.inside = (self.p == clipped) | np.isnan(clipped)
            q, self.log_p = np.where(self.inside, q, 1.0 - clipped), np.where(self.inside, self.log_p, np.log(clipped))
        self.near = q + (q == 0.0)  # to divide by
        self.factor = q**gamma * alpha
        self.weight = y * self.factor
        self.tame = np.maximum(self.log_p, -np.finfo(np.float64).max)  # 0 log 0 = 0
        self.steep = gamma * self.p * self.tame / self.near
        self.h = self.weight * (self.steep - 1.0) * self.inside

    def value(self) -> Array:
        value: Array = -np.where(self.weight == 0.0, self.weight * self.tame, self.weight * self.log_p).sum(axis=1)
        return value

    def of_input(self) -> Array:
        h, sums = self.h, self.h.sum(axis=1, keepdims=True)
        of_input: Array
        if self.from_logits:
            of_input = h * self.rest - self.p * (sums - h)
        else:
            of_input = (np.where(h == 0.0, 0.0, h / self.p) - sums) / self.total
        return of_input

    def sizes(self) -> tuple[Array, Array, Array]:
        """The natural scale of the value and of the gradients: 1 - p, log p and the sums over classes."""
        of_term = self.factor * (self.gamma * np.abs(self.tame) / self.near + 1.0)
        h, g, p = np.abs(self.h), self.gamma, self.p
        of_h = self.weight * (g * (p + np.abs(self.tame)) + np.abs(self.steep) * abs(g - 1.0) + g) / self.near
        of_h *= self.inside
        of_input = h + of_h * self.rest + p * (h + of_h).sum(axis=1, keepdims=True) - p * of_h
        if not self.from_logits:
            of_input /= np.where(p == 0.0, 1.0, p) * self.total
        return (self.y * of_term).sum(axis=1), of_input, of_term


def _of_classes(x: Array) -> tuple[Array, Array, Array, float]:
    """Softmax of each row: p, 1 - p, log p, and 1."""
    log_p, p, top, others = shifted_exponentials(x)
    total: Array = 1.0 + others
    log_p -= np.log1p(others)[:, None]
    p.reshape(-1)[top] = 1.0
    p /= total[:, None]
    rest = 1.0 - p
    rest.reshape(-1)[top] = others / total
    return p, rest, log_p, 1.0


def _of_shares(x: Array) -> tuple[Array, Array, Array, Array]:
    """Probabilities divided by their sum: p, 1 - p, log p, and the sum."""
    total: Array = x.sum(axis=1, keepdims=True)
    p: Array = x / total
    return p, 1.0 - p, np.log(p), total


def _labels(target: Array, shape: tuple[int, ...], classes: int) -> Array:
    if target.dtype != np.int64 and target.size:
        raise TypeError(f"target must hold integer labels, or probabilities in input's shape; it is {target.dtype}")
    if target.shape != shape:
        raise ValueError(
            f"target must hold one label for each row of input, in shape {shape}, or probabilities in input's shape;"
            f" its shape is {target.shape}"
        )
    labels = target.reshape(-1)
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"target must hold labels in [0, {classes}); it holds {wrong[0]}")
    return labels


def _alphas(alpha: Array | None, classes: int) -> Array | float:
    if alpha is None or (alpha.ndim == 0 and alpha < 0.0):
        return 1.0
    if alpha.shape not in ((), (classes,)):
        raise ValueError(f"alpha must be one number, or one for each of {classes} classes; its shape is {alpha.shape}")
    if (alpha < 0.0).any():
        raise ValueError(f"alpha must not be negative for a single class; it is {alpha.tolist()}")
    return alpha
