"""Optimizers: the rule by which gradients move parameters, as a recurrence over recorded gradients.

An optimizer here is a plain function: parameters and the gradients of all steps in, the parameters after each step
out. It never evaluates a loss, so two implementations can be compared along one and the same sequence of gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from lossparity.reference.core import Array, Flag, Number, as_array

_FLAG = Flag()
_POSITIVE = Number(minimum=0.0)

# A step takes (parameters, gradient, t), t = 1, 2, ..., and returns the parameters after it. It keeps the state.
_Step = Callable[[Array, Array, int], Array]


def _trajectory(rule: Callable[..., _Step]) -> Callable[..., Array]:
    """Make an optimizer of a rule: check the arguments and record the parameters after every step."""

    @functools.wraps(rule)
    def optimizer(params: Any, gradients: Any, *args: Any, **options: Any) -> Array:
        start = as_array("params", params).astype(np.float64)
        recorded = as_array("gradients", gradients).astype(np.float64, copy=False)
        if recorded.shape[1:] != start.shape or recorded.ndim == 0:
            raise ValueError(
                f"gradients must hold one gradient of the shape of params, {start.shape}, for each step: (steps, "
                f"*{start.shape}); their shape is {recorded.shape}"
            )
        step = rule(start, recorded, *args, **options)
        trajectory = np.empty(recorded.shape)
        here = start
        with np.errstate(all="ignore"):  # an overflow is part of the answer
            for t, gradient in enumerate(recorded, 1):
                here = trajectory[t - 1] = step(here, gradient, t)
        return trajectory

    return optimizer


def _rates(betas: Any) -> tuple[float, float]:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be two numbers, (beta1, beta2); it is {betas!r}")
    beta1, beta2 = (_POSITIVE(f"betas[{i}]", beta) for i, beta in enumerate(betas))
    if beta1 is None or beta2 is None or beta1 >= 1.0 or beta2 >= 1.0:
        raise ValueError(f"betas must lie in [0, 1); they are {betas!r}")
    return beta1, beta2


def _checked(**given: Any) -> None:
    """Numbers must not be negative; flags must be True or False."""
    for name, value in given.items():
        (_FLAG if name in ("nesterov", "maximize", "amsgrad", "decoupled", "epsilon_hat") else _POSITIVE)(name, value)


def _decayed(p: Array, g: Array, lr: float, weight_decay: float, decoupled: bool) -> tuple[Array, Array]:
    """Parameters and gradient after weight decay, which shrinks the former if `decoupled`, else adds to the latter."""
    if not weight_decay:
        return p, g
    return (p - lr * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)


@_trajectory
def sgd(
    params: Any,
    gradients: Any,
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    *,
    maximize: bool = False,
    decoupled: bool = False,
) -> _Step:
    """Stochastic gradient descent, with momentum and weight decay.

    Shapes: params (...); gradients (steps, ...); returns the parameters after each step, float64, (steps, ...).
    Domain: lr, momentum, dampening, weight_decay >= 0. The momentum begins as the first gradient, undampened.
    Dialect: `decoupled` takes lr * weight_decay * params from the parameters instead of adding to the gradient (Keras).
    Errors: ValueError for shapes that do not fit, a negative number, or nesterov without momentum or with dampening.
    Source: torch.optim.SGD, https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html; the momentum is
    Sutskever et al. 2013 with the rate outside of it.
    """
    # g = grad + weight_decay p  (-grad to maximize);  b_1 = g_1,  b_t = momentum b_{t-1} + (1 - dampening) g_t
    # p_t = p_{t-1} - lr b_t,  with nesterov p_{t-1} - lr (g_t + momentum b_t)
    # Keras' v = momentum v - lr g, p += v is the same at a constant rate: v = -lr b.
    _checked(
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        maximize=maximize,
        decoupled=decoupled,
    )
    if nesterov and (momentum == 0.0 or dampening != 0.0):
        raise ValueError(f"nesterov needs a momentum and no dampening; they are {momentum!r} and {dampening!r}")
    velocity: Array | None = None

    def step(p: Array, gradient: Array, t: int) -> Array:
        nonlocal velocity
        g = -gradient if maximize else gradient
        p, g = _decayed(p, g, lr, weight_decay, decoupled)
        if momentum:
            velocity = g if velocity is None else momentum * velocity + (1.0 - dampening) * g
            g = g + momentum * velocity if nesterov else velocity
        return p - lr * g

    return step


def _one_minus_power(beta: float, t: int) -> Any:
    """1 - beta^t: by subtraction 0.999^2 would leave 250 roundoffs of error. beta = 0: log 0 = -inf, and 1 - 0 = 1."""
    return -np.expm1(t * np.log(beta))


def _adam(
    lr: float,
    betas: Any,
    eps: float,
    weight_decay: float,
    amsgrad: bool,
    maximize: bool,
    decoupled: bool,
    epsilon_hat: bool,
) -> _Step:
    """The step of adam, and with `decoupled` decay of adamw."""
    beta1, beta2 = _rates(betas)
    _checked(
        lr=lr,
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=amsgrad,
        maximize=maximize,
        decoupled=decoupled,
        epsilon_hat=epsilon_hat,
    )
    mean: Array | float = 0.0
    square: Array | float = 0.0
    largest: Array | float = 0.0

    def step(p: Array, gradient: Array, t: int) -> Array:
        nonlocal mean, square, largest
        g = -gradient if maximize else gradient
        p, g = _decayed(p, g, lr, weight_decay, decoupled)
        mean = beta1 * mean + (1.0 - beta1) * g
        square = beta2 * square + (1.0 - beta2) * g * g
        largest = np.maximum(largest, square) if amsgrad else square
        correction1 = _one_minus_power(beta1, t)
        root2 = np.sqrt(_one_minus_power(beta2, t))
        divisor = np.sqrt(largest) / root2 + (eps / root2 if epsilon_hat else eps)
        moved: Array = p - lr / correction1 * (mean / divisor)
        return moved

    return step


@_trajectory
def adam(
    params: Any,
    gradients: Any,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    *,
    maximize: bool = False,
    decoupled: bool = False,
    epsilon_hat: bool = False,
) -> _Step:
    """Adam: steps of the mean gradient over the root of its mean square, both corrected for their start at 0.

    Shapes: params (...); gradients (steps, ...); returns the parameters after each step, float64, (steps, ...).
    Domain: lr, eps, weight_decay >= 0; betas in [0, 1). weight_decay adds to the gradient (L2), unlike adamw's.
    Conventions: with eps = 0, a parameter whose gradients were all 0 becomes NaN: 0 / 0. amsgrad keeps the largest
    mean square before its correction.
    Dialects: `epsilon_hat` adds eps to the root before its correction, the paper's last remark of section 2 (Keras);
    `decoupled` is adamw's decay (Keras' weight_decay in every optimizer).
    Errors: ValueError for shapes that do not fit or a number outside its domain.
    Source: Kingma and Ba, https://arxiv.org/abs/1412.6980, algorithm 1; amsgrad: Reddi et al.,
    https://arxiv.org/abs/1904.09237; torch.optim.Adam,
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """
    # g = grad + weight_decay p  (-grad to maximize)
    # m_t = beta1 m_{t-1} + (1 - beta1) g,  v_t = beta2 v_{t-1} + (1 - beta2) g^2,  amsgrad: the largest v so far
    # p_t = p_{t-1} - lr m^ / (sqrt(v^) + eps),  m^ = m_t / (1 - beta1^t),  v^ = v_t / (1 - beta2^t)
    return _adam(lr, betas, eps, weight_decay, amsgrad, maximize, decoupled, epsilon_hat)


@_trajectory
def adamw(
    params: Any,
    gradients: Any,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    maximize: bool = False,
    *,
    epsilon_hat: bool = False,
) -> _Step:
    """Adam with decoupled weight decay: the parameters shrink by lr * weight_decay before each step.

    Shapes: params (...); gradients (steps, ...); returns the parameters after each step, float64, (steps, ...).
    Domain, conventions and the dialect `epsilon_hat`: as adam. The gradient's moments know nothing of the decay.
    Errors: ValueError for shapes that do not fit or a number outside its domain.
    Source: Loshchilov and Hutter, https://arxiv.org/abs/1711.05101, algorithm 2, whose decay is scaled by the rate as
    torch.optim.AdamW's is, https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """
    # p_t = p' - lr m^ / (sqrt(v^) + eps),  p' = p_{t-1} - lr weight_decay p_{t-1},  m^ and v^ as in adam, of grad alone
    return _adam(lr, betas, eps, weight_decay, amsgrad, maximize, True, epsilon_hat)
