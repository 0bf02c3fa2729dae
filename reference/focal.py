"""Focal losses of logits against scores: a cross entropy, weighted down where the prediction is already right.

1 - p is never formed by subtraction from a rounded p: it is the sigmoid of the negated logit. What is raised to the
power gamma is carried twofold, since a power multiplies the error of its base by gamma.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lossparity.reference import elementary
from lossparity.reference.activations import sigmoid_textbook
from lossparity.reference.arithmetic import (
    Operand,
    absolute,
    exp,
    log,
    log1p,
    power,
    product,
    weighted,
    where,
    with_slopes,
)
from lossparity.reference.arithmetic import clip as bounded
from lossparity.reference.blocks import in_blocks
from lossparity.reference.core import Array, Flag, Gradients, Number, Real, Terms, loss, textbook
from lossparity.reference.elementary import clip_range
from lossparity.reference.twofold import Twofold, either, two_sum

_UNIT = Real(differentiable=True, minimum=0.0, maximum=1.0)
_CLIP = Real(minimum=0.0, maximum=1.0, constant=True)
_ONE = Twofold(np.asarray(1.0))
_HALF = Twofold(np.asarray(0.5))
_HUGE = 1e280
_SATURATED = 700.0  # beyond this logit e^-|x| loses digits, and then everything
# A value, and its derivatives in the input and in the target.
_Rows: TypeAlias = tuple[Array, Array, Array]


class _Binary:
    """Binary cross entropy of logits x and scores y, and what is built on it."""

    # e = exp(-|x|), s = sign(x);  against: the part of the target against the logit's sign, agreeing: the part for it
    # ce = |x| against + log(1 + e),  dce/dx = p - y = s (against - agreeing e) / (1 + e),  dce/dy = -x

    def __init__(self, x: Array, yes: Twofold, no: Twofold) -> None:
        self.positive = x >= 0.0  # also for -0.0
        self.sign = np.where(self.positive, 1.0, -1.0)
        self.x, self.size = x, np.abs(x)
        self.less = np.expm1(-self.size)  # e - 1
        e = np.exp(-self.size)
        # e carried twofold where the inherited error of x is the smaller one
        self.e = Twofold(e, np.where(e > 0.5, self.less - (e - 1.0), 0.0))
        whole = 1.0 + e
        self.whole = Twofold(whole, (e - (whole - 1.0)) + self.e.low)  # 1 + e, exact: e is at most 1
        self.against, self.agreeing = either(self.positive, no, yes), either(self.positive, yes, no)
        self.ce: Array = self.size * self.against.high + np.log1p(e)

    def error(self) -> Twofold:
        """p - y, times the sign of x."""
        against, agreeing = self.against, self.agreeing
        error = against.minus(agreeing.times(self.e))
        close = np.abs(error.high) < 1e-10 * against.high
        if close.any():  # only more digits of e say which of p and y is the larger one
            e = _long_exponentials(self.size[close])
            exact = _at(against, close).minus(_at(agreeing, close).times(e))
            np.place(error.high, close, exact.high)
            np.place(np.asarray(error.low), close, exact.low)
        return error.over(self.whole)

    def probabilities(self) -> tuple[Twofold, Array]:
        """p and 1 - p."""
        p = either(self.positive, _ONE, self.e).over(self.whole)
        return p, np.where(self.positive, self.e.high, 1.0) / self.whole.high


def _at(x: Twofold, places: Array) -> Twofold:
    return Twofold(x.high[places], np.asarray(x.low)[places])


def _long_exponentials(size: Array) -> Twofold:
    """e^-size, all bits of both parts: one by one, for a few numbers."""
    with decimal.localcontext() as context:
        exact = []
        for x in map(decimal.Decimal, size.tolist()):
            context.prec = 50 + max(0, -x.adjusted())  # so that e^-x of a tiny x is not 1
            exact.append((-x).exp())
        high = np.array([float(e) for e in exact])
        return Twofold(
            high, np.array([float(e - decimal.Decimal(h)) for e, h in zip(exact, high.tolist(), strict=True)])
        )


def _complement(y: Array) -> Twofold:
    return Twofold(*two_sum(1.0, -y))


class _Parts(NamedTuple):
    """Cross entropy and the base of the modulating factor, and the derivatives of each in the input and the target.

    vanishes: where the base and the cross entropy are the same number and too small for a float64, minus its logarithm.
    """

    ce: Array
    rest: Twofold
    ce_x: Array
    ce_y: Array
    rest_x: Array
    rest_y: Array
    vanishes: Array | None = None


def _of_logits(x: Array, yes: Twofold, no: Twofold) -> _Parts:
    """Binary cross entropy of logits, and 1 - p_t."""
    # 1 - p_t = (against + agreeing e) / (1 + e)
    # d/dx = s (against - agreeing) e / (1 + e)^2,  d/dy = -s (1 - e) / (1 + e)
    b = _Binary(x, yes, no)
    e, whole = b.e.high, b.whole.high
    against, agreeing = b.against, b.agreeing
    small = agreeing.times(b.e)
    lean = (against.high - agreeing.high) + (against.low - agreeing.low)
    return _Parts(
        b.ce,
        against.plus(small).over(b.whole),
        b.sign * ((against.high - small.high) + (against.low - small.low)) / whole,
        -x,
        b.sign * (lean * e) / whole / whole,
        b.sign * b.less / whole,
        np.where(against.high == 0.0, b.size, 0.0),
    )


def _of_probabilities(p: Array, yes: Twofold, no: Twofold, low: float, high: float) -> _Parts:
    """The same of probabilities. The cross entropy's, and only those, are clipped; no gradient beyond the clip."""
    # ce = -y log c - (1 - y) log(1 - c),  c = clip(p);  dce/dc = (1 - y) / (1 - c) - y / c
    # 1 - p_t = y (1 - p) + (1 - y) p;  0 log 0 = 0
    c = np.clip(p, low, high)
    log_yes, log_no = np.log(c), np.log1p(-c)
    return _Parts(
        -_product(yes.high, log_yes) - _product(no.high, log_no),
        yes.times(_complement(p)).plus(no.times(Twofold(p))),
        np.where(p == c, _ratio(no.high, 1.0 - c) - _ratio(yes.high, c), 0.0),
        np.where(np.abs(c - 0.5) < 0.25, np.log1p((1.0 - 2.0 * c) / c), log_no - log_yes),
        no.minus(yes).high,
        1.0 - 2.0 * p,
    )


def _product(a: Array, b: Array) -> Array:
    """a * b, and 0 where a is 0 even if b is infinite."""
    return np.where(a == 0.0, 0.0, a * b)


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where a is 0 even if b is."""
    return np.where(a == 0.0, 0.0, a / b)


def _power(base: Twofold, gamma: float, vanishes: Array | None = None) -> tuple[Array, Array | float]:
    """base^gamma as a product of two factors, which underflow only where their product with any number does.

    vanishes: where the base is too small for a float64, minus its logarithm; elsewhere less than 700.
    """
    power = base.power(gamma)
    small = power < 1e-280
    if vanishes is not None:
        small |= vanishes > _SATURATED
    if not small.any():
        return power, 1.0
    root = base.power(0.5 * gamma)
    if vanishes is not None:
        root = np.where(vanishes > _SATURATED, np.exp(-0.5 * gamma * vanishes), root)
    return np.where(small, root, power), np.where(small, root, 1.0)


def _modulated(parts: _Parts, gamma: float, balance: Array | float = 1.0, balance_y: float = 0.0) -> _Rows:
    """balance rest^gamma ce and its derivatives in x and in y; balance_y: d balance / dy."""
    # d = rest^gamma (balance (dce + gamma ce / rest drest) + dbalance ce)
    ce, rest, ce_x, ce_y, rest_x, rest_y, vanishes = parts
    power, again = _power(rest, gamma, vanishes)
    relative = ce / rest.high if gamma else np.zeros_like(ce)
    if not relative.max(initial=0.0) < _HUGE:  # also for NaN, of 0 / 0
        saturated = 0.0 if vanishes is None else (vanishes > _SATURATED).astype(np.float64)
        relative = np.where(rest.high == 0.0, saturated, relative)
        unit = np.where(relative < _HUGE, 1.0, 2.0**-100)  # so that the sums do not overflow before power meets them
        ce, ce_x, ce_y, relative, again = ce * unit, ce_x * unit, ce_y * unit, ce * unit / rest.high, again / unit
        relative = np.where(rest.high == 0.0, saturated, relative)
    value = power * (balance * ce)
    of_x = power * (balance * (ce_x + gamma * (relative * rest_x)))
    of_y = balance * (ce_y + gamma * (relative * rest_y))
    if balance_y:
        of_y = of_y + balance_y * ce
    return value * again, of_x * again, elementary.product(power, of_y) * again  # of a jump to inf: 0, where power is


def _terms(
    names: tuple[str, str],
    columns: Sequence[Array],
    rule: Callable[..., _Rows],
    weight: Array | None = None,
) -> Terms:
    """Terms of an elementwise loss: `rule` returns the value and its derivatives in the two named arguments."""
    shape = columns[0].shape
    flat = [column.reshape(-1) for column in columns]
    value, slope_x, slope_y = (part.reshape(shape) for part in in_blocks(rule, *flat))
    value, slope_x, slope_y = (elementary.weighted(part, weight) for part in (value, slope_x, slope_y))

    def pullback(g: Array | float) -> Gradients:
        return {names[0]: slope_x * g, names[1]: slope_y * g}

    return Terms(value, pullback)


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

    def rule(x: Array, y: Array) -> _Rows:
        yes = _smoothed(y, label_smoothing) if label_smoothing else Twofold(y)
        no = _ONE.minus(yes)
        parts = _of_logits(x, yes, no) if from_logits else _of_probabilities(x, yes, no, *bounds)
        if alpha < 0.0:
            value, of_x, of_y = _modulated(parts, gamma)
        else:
            # a_t as a sum: what both classes have, and what the heavier one has on top
            heavier = yes if alpha > 0.5 else no
            balance = min(alpha, 1.0 - alpha) + abs(2.0 * alpha - 1.0) * heavier.high
            value, of_x, of_y = _modulated(parts, gamma, balance, 2.0 * alpha - 1.0)
        return value, of_x, of_y * (1.0 - label_smoothing) if label_smoothing else of_y

    return _terms(
        ("inputs", "targets"),
        (inputs, targets),
        rule,
        None if weight is None else _per_element(weight, inputs.shape),
    )


def _smoothed(y: Array, smoothing: float) -> Twofold:
    """(1 - s) y + s / 2, as y + s (1/2 - y)."""
    return Twofold(y).plus(Twofold(np.asarray(smoothing)).times(_HALF.minus(Twofold(y))))


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
        terms = (alpha * y + (y.lift(1.0) - alpha) * (1.0 - y)) * terms
    if weight is not None and weight.ndim == 1 and inputs.ndim > 1:
        weight = weight.reshape(-1, *(1,) * (inputs.ndim - 1))
    return weighted(terms, weight)


def _textbook_binary(x: Operand, y: Operand) -> tuple[Operand, Operand, Operand]:
    """p, 1 - p and the binary cross entropy of a logit, with its slope p - y as (1 - y) - (1 - p) where p is near 1."""
    yes = x >= 0.0
    e = exp(where(yes, -x, x))
    ce = where(yes, x, 0.0) - x * y + log1p(e)
    rest = e / (1.0 + e)
    slope = where(yes, (1.0 - y) - rest, rest - y)
    return sigmoid_textbook(x), sigmoid_textbook(-x), with_slopes(ce, (x, slope), (y, -x))


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

    def rule(x: Array, y: Array) -> _Rows:
        b = _Binary(x, Twofold(y), _complement(y))
        error = b.error()
        opposed = error.high < 0.0
        rest = either(opposed, Twofold(-error.high, -error.low), error)
        sign = b.sign * np.sign(error.high)
        saturated = (b.against.high == 0.0) & (b.size > _SATURATED)
        sign = np.where(saturated, -b.sign, sign)  # though p - y has underflowed
        parts = _Parts(
            b.ce,
            rest,
            b.sign * error.high,
            -x,
            sign * b.e.high / b.whole.high / b.whole.high,
            -sign,
            np.where(saturated, b.size, 0.0),
        )
        return _modulated(parts, beta)

    return _terms(("input", "target"), (input, target), rule)


@textbook(quality_focal_loss)
def quality_focal_textbook(input: Operand, target: Operand, beta: float) -> Operand:
    """|y - p|^beta ce, with y - p = y (1 - p) - (1 - y) p."""
    yes, no, ce = _textbook_binary(input, target)
    apart = target * no - (1.0 - target) * yes
    return power(apart if beta == 2.0 else absolute(apart), beta) * ce


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

    def rule(x: Array, y: Array, *label: Array) -> _Rows:
        b = _Binary(x, Twofold(y), _complement(y))
        positive = label[0] if label else (y > 0.0).astype(np.float64)
        p, rest = b.probabilities()
        power, again = _power(p, gamma, -x)
        error, modulated = b.sign * b.error().high, power * b.ce
        heavy, light = y * positive, alpha * (1.0 - positive) * again
        return (
            heavy * b.ce + light * modulated,
            heavy * error + light * (power * error + gamma * (rest * modulated)),
            positive * (b.ce - y * x) - light * (power * x),
        )

    return _terms(("input", "target"), (input, target) if label is None else (input, target, label), rule)


@textbook(varifocal_loss)
def varifocal_textbook(input: Operand, target: Operand, alpha: float, gamma: float, label: Operand | None) -> Operand:
    """(y label + alpha p^gamma (1 - label)) ce."""
    positive = where(target > 0.0, target.lift(1.0), 0.0) if label is None else label
    p, _, ce = _textbook_binary(input, target)
    return (target * positive + alpha * power(p, gamma) * (1.0 - positive)) * ce
