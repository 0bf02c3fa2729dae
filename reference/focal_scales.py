"""The natural scales of the focal losses of logits: what is added and subtracted on the way.

They go when tolerances follow from the textbook forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from lossparity.reference.core import Array

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


def sigmoid_sizes(
    x: Array, y: Array, alpha: float, gamma: float, clip: tuple[float, float] | None, smoothing: float
) -> _Rows:
    """Of sigmoid_focal_loss; clip: of probabilities, None for logits."""
    kept = 1.0 - smoothing
    y = kept * y + 0.5 * smoothing
    of_x = _of_logits(x, y) if clip is None else _of_probabilities(x, y, *clip)
    balance = 1.0 if alpha < 0.0 else alpha * y + (1.0 - alpha) * (1.0 - y)
    value, in_x, in_y = _modulated_sizes(of_x, gamma, balance, 0.0 if alpha < 0.0 else 2.0 * alpha - 1.0)
    return value, in_x, in_y * kept


def quality_sizes(x: Array, y: Array, beta: float) -> _Rows:
    """Of quality_focal_loss."""
    b = _Binary(x, y)
    error = b.error()

    def slopes() -> tuple[Array, Array, Array, Array]:
        return error, b.e * b.inverse * b.inverse, -x, np.ones_like(x)

    return _modulated_sizes(_Parts(b.ce, np.abs(error), slopes, b.size), beta)


def varifocal_sizes(x: Array, y: Array, positive: Array, alpha: float, gamma: float) -> _Rows:
    """Of varifocal_loss."""
    b = _Binary(x, y)
    p, q = b.probabilities()
    power = np.where(x < -700.0, np.exp(gamma * x), p**gamma) * alpha * (1.0 - positive)
    power_x, weight = gamma * power * q, y * positive + power
    return weight, weight + power_x + gamma * power * b.ce, positive * (1.0 + b.ce) + weight * np.abs(x)
