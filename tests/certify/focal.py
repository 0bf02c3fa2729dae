"""What to certify of the focal losses: exact terms, and where to look."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from certify.classification import clipped, softplus
from certify.numbers import REAL, UNIT, Rng, both, each, logits, positives, rows, some
from certify.search import Point, Subject
from exact import Dual, exp, log, log1p, mp, total

from lossparity import reference

# The definitions. 1 - p is spelled as what it is the probability of.


def sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x))


def entropy(x: Any, y: Any) -> Any:
    return y * softplus(-x) + (1 - y) * softplus(x)


def sigmoid_focal(
    inputs: Any,
    targets: Any,
    alpha: Any = 0.25,
    gamma: Any = 2.0,
    weight: Any = 1,
    from_logits: bool = True,
    clip: Any = 0.0,
    label_smoothing: Any = 0.0,
) -> Any:
    def term(x: Any, y: Any) -> Any:
        y = y * (1 - mp.mpf(label_smoothing)) + mp.mpf(label_smoothing) / 2
        balance = 1 if alpha < 0 else y * alpha + (1 - y) * (1 - mp.mpf(alpha))
        if from_logits:
            return balance * (y * sigmoid(-x) + (1 - y) * sigmoid(x)) ** gamma * entropy(x, y)
        c = clipped(x, clip)
        return balance * (y * (1 - x) + (1 - y) * x) ** gamma * -(y * log(c) + (1 - y) * log(1 - c))

    return weight * each(term)(inputs, targets)


def quality_focal(input: Any, target: Any, beta: Any = 2.0) -> Any:
    def term(x: Any, y: Any) -> Any:
        return abs(y * sigmoid(-x) - (1 - y) * sigmoid(x)) ** beta * entropy(x, y)

    return each(term)(input, target)


def varifocal(input: Any, target: Any, alpha: Any = 0.75, gamma: Any = 2.0, label: Any = None) -> Any:
    def term(x: Any, y: Any, label: Any) -> Any:
        return (y * label + alpha * sigmoid(x) ** gamma * (1 - label)) * entropy(x, y)

    if label is None:
        label = each(lambda y: mp.mpf(int(y.value > 0)))(target)
    return each(term)(input, target, label)


def softmax_focal(
    input: Any,
    target: Any,
    alpha: Any = None,
    gamma: Any = 2.0,
    from_logits: bool = True,
    clip: Any = 0.0,
    label_smoothing: Any = 0.0,
) -> Any:
    s = mp.mpf(label_smoothing)

    def term(x: Any, y: Any) -> Any:
        e = [exp(v - max(w.value for w in x)) for v in x] if from_logits else list(x)
        loss = Dual(0)
        for k, share in enumerate(y):
            others = total(e[:k]) + total(e[k + 1 :])
            rest, log_p = others / (others + e[k]), -log1p(others / e[k])
            p = e[k] / (others + e[k])
            c = clipped(p, clip)
            if c is not p:
                rest, log_p = 1 - c, log(c)
            balance = 1 if alpha is None or (np.ndim(alpha) == 0 and alpha < 0) else np.broadcast_to(alpha, len(x))[k]
            loss -= (share * (1 - s) + s / len(x)) * balance * rest**gamma * log_p
        return loss

    y = (
        target
        if target.dtype == object
        else np.array([[mp.mpf(int(j == t)) for j in range(input.shape[1])] for t in target])
    )
    return np.array([term(*row) for row in zip(input, y, strict=True)])


# The regimes


def parameters(rng: Rng, power: str) -> Point:
    powers = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 50.0, rng.uniform(0.0, 4.0)]
    return {power: float(rng.choice(powers))}


def balance(rng: Rng) -> float:
    return float(rng.choice([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, rng.uniform()]))


def scores(rng: Rng, x: Any, unit: Any) -> Any:
    """A target: any, 0 or 1, or next to the probability itself."""
    kind = rng.integers(3)
    if kind == 0:
        return unit(rng, 1)
    if kind == 1:
        return rng.integers(0, 2, 1).astype(float)
    with np.errstate(all="ignore"):
        p = 1.0 / (1.0 + np.exp(-x))
    return np.clip(p * (1.0 + rng.normal() * 2.0 ** -rng.integers(1, 53)), 0.0, 1.0)


def of_sigmoid(rng: Rng, draw: Any, unit: Any) -> Point:
    x = draw(rng, 1)
    options = {"weight": positives(rng, 1), "label_smoothing": float(rng.uniform())}
    return {"inputs": x, "targets": scores(rng, x, unit), "alpha": balance(rng), **parameters(rng, "gamma"),
            **some(rng, 0.2, options)}  # fmt: skip


def of_probabilities(rng: Rng, unit: Any) -> Point:
    p = unit(rng, 1)
    target = p if rng.uniform() < 0.2 else unit(rng, 1) if rng.uniform() < 0.5 else rng.integers(0, 2, 1).astype(float)
    options = {"clip": 10.0 ** rng.uniform(-7, -1), "label_smoothing": float(rng.uniform())}
    return {"inputs": p, "targets": target, "from_logits": False, "alpha": balance(rng), **parameters(rng, "gamma"),
            **some(rng, 0.2, options)}  # fmt: skip


def of_quality(rng: Rng, draw: Any, unit: Any) -> Point:
    x = draw(rng, 1)
    return {"input": x, "target": scores(rng, x, unit), **parameters(rng, "beta")}


def of_varifocal(rng: Rng, draw: Any, unit: Any) -> Point:
    x = draw(rng, 1)
    return {"input": x, "target": scores(rng, x, unit), "alpha": float(rng.choice([0.0, 0.75, 1.0, rng.uniform(0, 3)])),
            **parameters(rng, "gamma"), **some(rng, 0.2, {"label": rng.integers(0, 2, 1).astype(float)})}  # fmt: skip


def distribution(rng: Rng, classes: int) -> Any:
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(0, classes, 1)
    return rng.dirichlet(np.ones(classes), 1) if kind == 1 else np.eye(classes)[rng.integers(0, classes, 1)]


def of_softmax(rng: Rng) -> Point:
    classes = int(rng.integers(2, 5))
    alpha = rng.uniform(0.0, 1.0, classes) if rng.uniform() < 0.3 else np.asarray(balance(rng))
    options = {"clip": 10.0 ** rng.uniform(-7, -1), "label_smoothing": float(rng.uniform())}
    return {"input": logits(rng, 1, classes), "target": distribution(rng, classes), "alpha": alpha,
            **parameters(rng, "gamma"), **some(rng, 0.2, options)}  # fmt: skip


def of_shares(rng: Rng, unit: Any) -> Point:
    point = of_softmax(rng)
    return {**point, "input": unit(rng, *point["input"].shape), "from_logits": False}


POWERS = {"gamma": (0.0, 100.0), "beta": (0.0, 100.0)}
NUMBERS = {**POWERS, "targets": (0.0, 1.0), "target": (0.0, 1.0), "alpha": (-1.0, 1.0), "weight": (0.0, math.inf),
           "label_smoothing": (0.0, 1.0), "clip": (0.0, 0.5), "label": (0.0, 1.0)}  # fmt: skip
SHARES = {**NUMBERS, "input": (0.0, math.inf), "inputs": (0.0, 1.0)}

SUBJECTS = [
    Subject(reference.sigmoid_focal_loss, sigmoid_focal, both(of_sigmoid, REAL, UNIT), domain=NUMBERS),
    Subject(reference.sigmoid_focal_loss, sigmoid_focal, both(of_probabilities, UNIT), domain=SHARES,
            name="sigmoid_focal_loss of probabilities"),
    Subject(reference.quality_focal_loss, quality_focal, both(of_quality, REAL, UNIT), domain=NUMBERS),
    Subject(reference.varifocal_loss, varifocal, both(of_varifocal, REAL, UNIT),
            domain={**NUMBERS, "alpha": (0.0, math.inf)}),
    Subject(reference.softmax_focal_loss, softmax_focal, rows(of_softmax), domain=NUMBERS),
    Subject(reference.softmax_focal_loss, softmax_focal, both(of_shares, UNIT), domain=SHARES,
            name="softmax_focal_loss of probabilities"),
]  # fmt: skip
