"""What to certify of activations, classification and margin losses: exact terms, and where to look."""

from __future__ import annotations

from typing import Any

import numpy as np
from certify.numbers import (
    PROBABLE,
    REAL,
    UNIT,
    WEIGHTS,
    Rng,
    both,
    each,
    logits,
    positives,
    rows,
    signs,
    some,
)
from certify.search import Point, Subject
from exact import Dual, dual, exp, log, log1p, maximum, mp

from lossparity import reference

# The definitions


def softplus(x: Any) -> Any:
    return maximum(x, 0) + log1p(exp(-abs(x))) if dual(x).value else log(1 + exp(x))


def clipped(p: Any, clip: Any) -> Any:
    low, high = bounds(clip)
    value = dual(p).value
    return Dual(low) if value < low else Dual(high) if value > high else p


def bounds(clip: Any) -> Any:
    """The interval, of which 1 - c is the float: a parameter of the definition, not a step of it."""
    return (clip, mp.mpf(1.0 - float(clip))) if np.ndim(clip) == 0 else clip


def sigmoid(input: Any) -> Any:
    return each(lambda x: 1 / (1 + exp(-x)))(input)


def softmax(input: Any) -> Any:
    e = each(exp)(input - max(x.value for x in input))
    return e / e.sum()


def log_softmax(input: Any) -> Any:
    return -np.array([log_sum(input - x, k) for k, x in enumerate(input)])


def log_sum(z: Any, k: int) -> Any:
    """log sum_j e^(x_j - x_k), z_j = x_j - x_k: no digit is lost where x_k is the largest."""
    others = np.delete(z, k)
    top = max([x.value for x in others], default=mp.mpf(0))
    if top <= 0:
        return log1p(sum((exp(x) for x in others), Dual(0)))
    return top + log(exp(Dual(-top)) + sum(exp(x - top) for x in others))


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = 1, clip: Any = 0.0, epsilon: Any = 0.0, **_: Any
) -> Any:
    p = each(lambda x: clipped(x, clip))(input)
    return -target * each(log)(p + epsilon) * weight - (1 - target) * each(log)(1 - p + epsilon) * weight


def binary_cross_entropy_with_logits(input: Any, target: Any, weight: Any = 1, pos_weight: Any = 1) -> Any:
    return weight * (pos_weight * target * each(softplus)(-input) + (1 - target) * each(softplus)(input))


def kl_div(input: Any, target: Any, log_target: bool = False, clip: Any = None) -> Any:
    def term(x: Any, t: Any) -> Any:
        if clip is not None:
            logs = tuple(mp.log(bound) for bound in bounds(clip))
            x, t = clipped(x, logs), clipped(t, logs if log_target else bounds(clip))
        return exp(t) * (t - x) if log_target else t * (log(t) - x)

    return each(term)(input, target)


def nll_loss(input: Any, target: Any, weight: Any = None) -> Any:
    w = 1 if weight is None else weight[target]
    return -w * input[np.arange(len(target)), target]


def cross_entropy(input: Any, target: Any, weight: Any = None, label_smoothing: Any = 0.0) -> Any:
    terms = []
    for n, x in enumerate(input):
        q = target[n] if target.dtype == object else [mp.mpf(int(j == target[n])) for j in range(len(x))]
        w = [mp.mpf(1)] * len(x) if weight is None else weight
        s = mp.mpf(label_smoothing)
        terms.append(sum((w[j] * ((1 - s) * q[j] + s / len(x)) * log_sum(x - x[j], j) for j in range(len(x))), Dual(0)))
    return np.array(terms)


def log_loss(y_true: Any, y_pred: Any, clip: Any = 0.0, renormalize: str = "never", **_: Any) -> Any:
    row = list(y_pred[0])
    if renormalize == "before_clip":
        whole = sum(row, Dual(0))
        row = [x / whole for x in row]
    row = [clipped(x, clip) for x in row]
    if renormalize == "after_clip":
        whole = sum(row, Dual(0))
        row = [x / whole for x in row]
    return np.array([-log(row[y_true[0]])])


def hinge_loss(input: Any, target: Any) -> Any:
    return each(lambda x, y: maximum(1 - y * x, 0))(input, target)


def squared_hinge_loss(input: Any, target: Any) -> Any:
    return hinge_loss(input, target) ** 2


def categorical_hinge_loss(input: Any, target: Any, zero_competes: bool = False) -> Any:
    terms = []
    for x, t in zip(input, target, strict=True):
        others = [v for k, v in enumerate(x) if k != t]
        if zero_competes:
            others.append(Dual(0))
        best = max(others, key=lambda v: v.value)
        terms.append(maximum(1 + best - x[t], 0))
    return np.array(terms)


def hinge_embedding_loss(input: Any, target: Any, margin: Any = 1.0) -> Any:
    return each(lambda x, y: x if y == 1 else maximum(margin - x, 0))(input, target)


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: Any = 0.0) -> Any:
    return each(lambda a, b, y: maximum(margin - y * (a - b), 0))(input1, input2, target)


# The regimes


def bce(rng: Rng, draw: Any) -> Point:
    target = draw(rng, 1) if rng.uniform() < 0.7 else rng.integers(0, 2, 1).astype(float)
    point = {"input": draw(rng, 1), "target": target}
    return {**point, **some(rng, 0.2, {"weight": positives(rng, 1), "epsilon": float(10.0 ** rng.uniform(-7, -1)),
            "clip": float(10.0 ** rng.uniform(-7, -1))})}  # fmt: skip


def bce_logits(rng: Rng, draw: Any, unit: Any) -> Point:
    target = unit(rng, 1) if rng.uniform() < 0.7 else rng.integers(0, 2, 1).astype(float)
    point = {"input": draw(rng, 1), "target": target}
    return {**point, **some(rng, 0.3, {"weight": positives(rng, 1), "pos_weight": positives(rng, 1)})}


def kl(rng: Rng, unit: Any) -> Point:
    with np.errstate(all="ignore"):
        p, q = np.log(unit(rng, 1)), unit(rng, 1)
    options = some(rng, 0.2, {"clip": 10.0 ** rng.uniform(-7, -1)})
    if rng.uniform() < 0.5:
        return {"input": p, "target": np.log(q), "log_target": True, **options}
    return {"input": p, "target": q, **options}


def nll(rng: Rng, draw: Any) -> Point:
    return {"input": draw(rng, 1, 3), "target": rng.integers(0, 3, 1), **some(rng, 0.5, {"weight": positives(rng, 3)})}


def ce(rng: Rng) -> Point:
    classes = int(rng.integers(1, 6))
    point: Point = {"input": logits(rng, 1, classes)}
    kind = rng.integers(0, 3)
    if kind == 0:
        point["target"] = rng.dirichlet(np.ones(classes), size=1)
    elif kind == 1:
        point["target"] = np.eye(classes)[rng.integers(0, classes, 1)]
    else:
        point["target"] = rng.integers(0, classes, 1)
    if point["target"].shape == point["input"].shape and point["target"].dtype != np.float64:
        point["target"] = np.ones((1, 1))
    options = {"weight": positives(rng, classes), "label_smoothing": float(rng.uniform(0.0, 1.0))}
    return {**point, **some(rng, 0.25, options)}


def probabilities(rng: Rng, draw: Any) -> Point:
    classes = int(rng.integers(2, 5))
    raw = draw(rng, 1, classes)
    point = {"y_true": rng.integers(0, classes, 1), "y_pred": raw / raw.sum() if rng.uniform() < 0.7 else raw}
    options = some(rng, 0.3, {"clip": 10.0 ** rng.uniform(-7, -1)})
    return {**point, "labels": np.arange(classes), "renormalize": str(rng.choice(["never", "before_clip",
            "after_clip"])), **options}  # fmt: skip


def hinge(rng: Rng, draw: Any) -> Point:
    return {"input": draw(rng, 1), "target": signs(rng, 1)}


def categorical(rng: Rng, draw: Any) -> Point:
    zero = {"zero_competes": bool(rng.integers(2))}
    return {"input": draw(rng, 1, 3), "target": rng.integers(0, 3, 1), **zero}


def embedding(rng: Rng, draw: Any) -> Point:
    return {**hinge(rng, draw), "margin": float(rng.choice([0.0, 0.3, 1.0, 50.0, -1.5, rng.uniform(0, 2)]))}


def ranking(rng: Rng, draw: Any) -> Point:
    margin = float(rng.choice([0.0, 0.3, 1.0, 50.0, -1.5, rng.uniform(0, 2)]))
    return {"input1": draw(rng, 1), "input2": draw(rng, 1), "target": signs(rng, 1), "margin": margin}


def vector(rng: Rng) -> Point:
    classes = int(rng.integers(1, 6))
    return {"input": logits(rng, classes), "cotangent": logits(rng, classes, scale=1.0)}


SUBJECTS = [
    Subject(reference.sigmoid, sigmoid, both(lambda rng, draw: {"input": draw(rng, 1)}, REAL)),
    Subject(reference.softmax, softmax, rows(vector)),
    Subject(reference.log_softmax, log_softmax, rows(vector)),
    Subject(reference.binary_cross_entropy, binary_cross_entropy, both(bce, UNIT), domain=WEIGHTS),
    Subject(
        reference.binary_cross_entropy_with_logits,
        binary_cross_entropy_with_logits,
        both(bce_logits, REAL, UNIT),
        domain=PROBABLE,
    ),
    Subject(reference.kl_div, kl_div, both(kl, UNIT)),
    Subject(reference.nll_loss, nll_loss, both(nll, REAL)),
    Subject(reference.cross_entropy, cross_entropy, rows(ce), domain=PROBABLE),
    Subject(reference.log_loss, log_loss, both(probabilities, UNIT)),
    Subject(reference.hinge_loss, hinge_loss, both(hinge, REAL), fixed=("target",)),
    Subject(reference.squared_hinge_loss, squared_hinge_loss, both(hinge, REAL), fixed=("target",)),
    Subject(reference.categorical_hinge_loss, categorical_hinge_loss, both(categorical, REAL)),
    Subject(reference.hinge_embedding_loss, hinge_embedding_loss, both(embedding, REAL), fixed=("target",)),
    Subject(reference.margin_ranking_loss, margin_ranking_loss, both(ranking, REAL), fixed=("target",)),
]
