"""How people write cross entropies, divergences and focal losses."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossparity.conformance.diagnosis.hypotheses.row import Hypothesis, mean
from lossparity.reference.activations import log_softmax_textbook, sigmoid_textbook, softmax_textbook
from lossparity.reference.arithmetic import (
    Operand,
    clip,
    constant,
    exp,
    log,
    maximum,
    minimum,
    one_hot,
    power,
    product,
    total,
    weighted,
)
from lossparity.reference.binary import softplus

# What people add or clip at, so that a logarithm stays finite.
_SMALL = (1e-15, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
_KERAS = "https://keras.io/api/losses/probabilistic_losses/"
_SKLEARN = "https://scikit-learn.org/stable/modules/generated/sklearn.metrics.log_loss.html"
_DOCUMENTED = {1e-7: _KERAS, 1e-15: _SKLEARN}


# --- binary


def _bce(log_p: Any, log_q: Any, y: Any, weight: Any) -> Any:
    return weighted(-(y * log_p + (1.0 - y) * log_q), weight)


def _log_of_sigmoid(input: Operand, target: Operand, weight: Any) -> Any:
    p = 1.0 / (1.0 + exp(-input))
    return _bce(log(p), log(1.0 - p), target, weight)


def _log_of_stable_sigmoid(input: Operand, target: Operand, weight: Any) -> Any:
    p = sigmoid_textbook(input)
    return _bce(log(p), log(1.0 - p), target, weight)


def _logits_plus(epsilon: float) -> Callable[..., Any]:
    def form(input: Operand, target: Operand, weight: Any) -> Any:
        p = sigmoid_textbook(input)
        return _bce(log(p + epsilon), log(1.0 - p + epsilon), target, weight)

    return form


def _logits_clipped(low: float) -> Callable[..., Any]:
    def form(input: Operand, target: Operand, weight: Any) -> Any:
        p = clip(sigmoid_textbook(input), low, 1.0 - low)
        return _bce(log(p), log(1.0 - p), target, weight)

    return form


def _of_probabilities(input: Operand, target: Operand, weight: Any) -> Any:
    return _bce(log(input), log(1.0 - input), target, weight)


def _of_logits(input: Operand, target: Operand, weight: Any) -> Any:
    return _bce(-softplus(-input), -softplus(input), target, weight)


def _by_logsigmoid(input: Operand, target: Operand, weight: Any) -> Any:
    return weighted((1.0 - target) * input + softplus(-input), weight)


def _clipped_at(low: float) -> Callable[..., Any]:
    def form(input: Operand, target: Operand, weight: Any) -> Any:
        return _of_probabilities(clip(input, low, 1.0 - low), target, weight)

    return form


_CLIPS = tuple(
    Hypothesis(
        f"clip-{c:g}",
        f"probabilities are clipped at {c:g}: the loss of a confident mistake ends at {-np.log(c):.4g}",
        form=_clipped_at(c),
        source=_DOCUMENTED.get(c, ""),
    )
    for c in _SMALL
)


def _logits_smoothed(share: float) -> Callable[..., Any]:
    def form(input: Operand, target: Operand, weight: Any) -> Any:
        return _of_logits(input, target * (1.0 - share) + 0.5 * share, weight)

    return form


_BINARY_LOGITS = (
    *(
        Hypothesis(
            f"label-smoothing-{share:g}",
            f"labels are smoothed by {share:g}: y (1 - {share:g}) + {share / 2:g}",
            form=_logits_smoothed(share),
            source=_KERAS,
        )
        for share in (0.05, 0.1, 0.2)
    ),
    Hypothesis(
        "log-of-a-sigmoid",
        "it takes the log of a sigmoid: infinite or NaN beyond a logit of about 17 in float32 and 37 in float64",
        form=_log_of_sigmoid,
    ),
    Hypothesis(
        "log-of-a-sigmoid",
        "it takes the log of a sigmoid, and of 1 - p by subtraction: digits are lost in the tails",
        form=_log_of_stable_sigmoid,
    ),
    Hypothesis("probabilities", "it takes probabilities, not logits", form=_of_probabilities),
    Hypothesis(
        "logsigmoid",
        "it is (1 - y) x - log sigmoid(x), which has no digits left for y = 0 and x far below 0, as torch computes it",
        form=_by_logsigmoid,
        source="https://github.com/pytorch/pytorch/issues/195529",
    ),
    *(Hypothesis(f"epsilon-{c:g}", f"{c:g} is added inside the logarithms", form=_logits_plus(c)) for c in _SMALL),
    *(Hypothesis(f"clip-{c:g}", f"probabilities are clipped at {c:g}", form=_logits_clipped(c)) for c in _SMALL),
)


# --- over classes


def _axis(x: Operand) -> int:
    return 1 if x.ndim > 1 else 0


def _log_softmax(x: Operand) -> Any:
    return log_softmax_textbook(x, _axis(x))


def _softmax(x: Operand) -> Any:
    return softmax_textbook(x, _axis(x))


def _over_classes(
    logs: Callable[[Operand], Any], *, others: bool = False, count_ignored: bool = False, over_n: bool = False
) -> Callable[..., Any]:
    """Cross entropy of labels or probabilities against `logs` of the input."""

    def form(input: Operand, target: Any, weight: Any, ignore_index: int, label_smoothing: float) -> Any:
        log_p = logs(input)
        axis, classes = _axis(log_p), log_p.shape[_axis(log_p)]
        w = None if weight is None else weight.reshape([classes if i == axis else 1 for i in range(log_p.ndim)])

        def crossed(share: Any) -> Any:
            terms = product(share, log_p)
            return -total(weighted(terms, w), axis)

        if isinstance(target, Operand):
            return crossed(target * (1.0 - label_smoothing) + label_smoothing / classes)
        kept = target != ignore_index
        hot = one_hot(np.where(kept, target, 0), classes, axis)
        rest = (1.0 - hot) / max(classes - 1, 1) if others else np.full(hot.shape, 1.0 / classes)
        smooth = hot * (1.0 - label_smoothing) + label_smoothing * rest
        terms = crossed(smooth * np.expand_dims(kept, axis))
        if count_ignored or over_n:
            return terms, float(max(kept.size if count_ignored else np.count_nonzero(kept), 1))
        if w is None:
            return terms, float(np.count_nonzero(kept)) or float("nan")
        return terms, (w * (hot * np.expand_dims(kept, axis))).sum()

    return form


def _of_nll(**options: bool) -> Callable[..., Any]:
    whole = _over_classes(lambda x: x, **options)

    def form(input: Operand, target: Any, weight: Any, ignore_index: int) -> Any:
        return whole(input, target, weight, ignore_index, 0.0)

    return form


def _ignores(arguments: Mapping[str, Any]) -> bool:
    target = np.asarray(arguments["target"])
    return bool(
        arguments.get("reduction") == "mean"
        and target.dtype.kind in "iu"
        and (target == arguments["ignore_index"]).any()
    )


def _weighed(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("weight") is not None and arguments.get("reduction") == "mean"


def _unshifted(x: Operand) -> Operand:
    e = exp(x)
    return log(e / total(e, _axis(x), True))


def _unshifted_sum(x: Operand) -> Operand:
    return x - log(total(exp(x), _axis(x), True))


_OVERFLOWS = "no max shift: the softmax overflows above a logit of 88 in float32 and 709 in float64"
_COUNTED = "the mean divides by all rows (pixels), ignored ones too"
_OVER_CLASSES = (
    Hypothesis("no-max-shift", _OVERFLOWS, form=_over_classes(_unshifted)),
    Hypothesis("no-max-shift", _OVERFLOWS, form=_over_classes(_unshifted_sum)),
    Hypothesis(
        "log-of-a-softmax",
        "it takes the log of a softmax: infinite where a probability underflows, beyond 103 in float32",
        form=_over_classes(lambda x: log(_softmax(x))),
    ),
    Hypothesis("probabilities", "it takes probabilities, not logits", form=_over_classes(log)),
    Hypothesis("log-probabilities", "it takes log-probabilities: there is no softmax", form=_over_classes(lambda x: x)),
    Hypothesis(
        "softmax-twice", "the softmax is applied twice", form=_over_classes(lambda x: _log_softmax(_softmax(x)))
    ),
    Hypothesis(
        "smoothing-over-others",
        "label smoothing over K - 1 classes: the share goes to the other classes only, not to all K",
        form=_over_classes(_log_softmax, others=True),
        when=lambda arguments: bool(arguments.get("label_smoothing")),
    ),
    Hypothesis(
        "ignored-in-the-mean",
        f"ignore_index still counts: {_COUNTED}",
        form=_over_classes(_log_softmax, count_ignored=True),
        when=_ignores,
    ),
    Hypothesis(
        "weighted-mean-over-n",
        "the mean of weighted rows divides by their number; the definition divides by the sum of the weights",
        form=_over_classes(_log_softmax, over_n=True),
        when=_weighed,
    ),
    *(
        Hypothesis(
            f"epsilon-{c:g}",
            f"{c:g} is added to the probability inside the logarithm",
            form=_over_classes(functools.partial(lambda c, x: log(_softmax(x) + c), c)),
        )
        for c in _SMALL
    ),
    *(
        Hypothesis(
            f"clip-{c:g}",
            f"probabilities are clipped at {c:g}",
            form=_over_classes(functools.partial(lambda c, x: log(clip(_softmax(x), c, 1.0)), c)),
        )
        for c in _SMALL
    ),
)


# --- divergence


def _kl(input: Operand, target: Operand, log_target: bool) -> Any:
    return exp(input) * (input - (target if log_target else log(target)))


def _kl_of_probabilities(input: Operand, target: Operand) -> Any:
    return product(target, log(target) - log(input))


def _kl_cross(input: Operand, target: Operand, log_target: bool) -> Any:
    return -product(exp(target) if log_target else target, input)


# --- focal


def _focal(
    parts: Callable[[Operand, Operand], tuple[Any, Any]],
    balance: str = "positives",
    averaged: bool = False,
    detached: bool = False,
    names: tuple[str, str] = ("inputs", "targets"),
) -> Callable[..., Any]:
    """The focal loss of `parts`: the cross entropy and 1 - p_t."""

    def form(**arguments: Any) -> Any:
        x, y, alpha, gamma = arguments[names[0]], arguments[names[1]], arguments["alpha"], arguments["gamma"]
        ce, rest = parts(x, y)
        if averaged:
            ce = mean(ce)
            rest = 1.0 - exp(-ce)
        factor = power(rest, float(gamma))
        loss = ce * (constant(factor) if detached else factor)
        if alpha >= 0.0 and balance == "positives":
            share = y * alpha + (1.0 - y) * (1.0 - alpha)
            return mean(share) * loss if averaged else share * loss
        return loss * alpha if alpha >= 0.0 and balance == "all" else loss

    form.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (*names, "alpha", "gamma")]
    )
    return form


def _stable(x: Operand, y: Operand) -> tuple[Any, Any]:
    ce = y * softplus(-x) + (1.0 - y) * softplus(x)
    return ce, y * sigmoid_textbook(-x) + (1.0 - y) * sigmoid_textbook(x)


def _subtracted(x: Operand, y: Operand) -> tuple[Any, Any]:
    p = sigmoid_textbook(x)
    return (1.0 - y) * x + softplus(-x), 1.0 - (p * y + (1.0 - p) * (1.0 - y))


def _naive(x: Operand, y: Operand) -> tuple[Any, Any]:
    p = 1.0 / (1.0 + exp(-x))
    return -(y * log(p) + (1.0 - y) * log(1.0 - p)), 1.0 - (p * y + (1.0 - p) * (1.0 - y))


def _of_ce(x: Operand, y: Operand) -> tuple[Any, Any]:
    ce = (1.0 - y) * x + softplus(-x)
    return ce, 1.0 - exp(-ce)


def _turned(x: Operand, y: Operand) -> tuple[Any, Any]:
    ce, rest = _stable(x, y)
    return ce, 1.0 - rest


def _from_p(x: Operand, y: Operand) -> tuple[Any, Any]:
    return -(product(y, log(x)) + product(1.0 - y, log(1.0 - x))), y * (1.0 - x) + (1.0 - y) * x


def _epsilon(c: float) -> Callable[[Operand, Operand], tuple[Any, Any]]:
    def parts(x: Operand, y: Operand) -> tuple[Any, Any]:
        p = sigmoid_textbook(x)
        return -(y * log(p + c) + (1.0 - y) * log(1.0 - p + c)), y * (1.0 - p) + (1.0 - y) * p

    return parts


def _clipped(c: float) -> Callable[[Operand, Operand], tuple[Any, Any]]:
    def parts(x: Operand, y: Operand) -> tuple[Any, Any]:
        p = minimum(maximum(sigmoid_textbook(x), c, tie=1.0), 1.0 - c, tie=1.0)
        return -(y * log(p) + (1.0 - y) * log(1.0 - p)), y * (1.0 - p) + (1.0 - y) * p

    return parts


_TORCHVISION = "https://docs.pytorch.org/vision/main/generated/torchvision.ops.sigmoid_focal_loss.html"
_FOCAL = (
    Hypothesis(
        "alpha-on-negatives",
        "alpha weighs the negatives; the definition gives alpha to the positives and 1 - alpha to the negatives",
        lambda arguments: {"alpha": 1.0 - arguments["alpha"]},
        when=lambda arguments: arguments["alpha"] >= 0.0,
    ),
    Hypothesis(
        "gamma-below-1",
        "with gamma below 1 the gradient is NaN where 1 - p_t is 0: the derivative of its power is infinite there",
        symptom="nan",
        when=lambda arguments: 0.0 < arguments["gamma"] < 1.0,
        source=_TORCHVISION,
    ),
    Hypothesis("no-alpha", "alpha is left out: positives and negatives weigh the same", {"alpha": -1.0}),
    Hypothesis("alpha-on-all", "alpha multiplies positives and negatives alike", form=_focal(_stable, "all")),
    *(
        Hypothesis(f"gamma-{g:g}", f"gamma is {g:g} whatever is asked for", {"gamma": g})
        for g in (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)
    ),
    *(
        Hypothesis(f"alpha-{a:g}", f"alpha is {a:g} whatever is asked for", {"alpha": a})
        for a in (0.25, 0.5, 0.75, 1.0)
    ),
    Hypothesis("probabilities", "it takes probabilities, not logits", form=_focal(_from_p)),
    Hypothesis(
        "averaged-first",
        "focal on an already averaged cross entropy: p_t is e^-mean, one for the whole batch",
        form=_focal(_stable, averaged=True),
        when=lambda arguments: arguments.get("reduction") in ("mean", "sum"),
    ),
    Hypothesis("averaged-first", "focal on an already averaged cross entropy", form=_focal(_stable, averaged=True)),
    Hypothesis(
        "averaged-first",
        "focal on an already averaged cross entropy, with one alpha for all",
        form=_focal(_stable, "all", averaged=True),
    ),
    Hypothesis("turned-around", "the factor is p_t^gamma: it weighs easy examples up", form=_focal(_turned)),
    Hypothesis("factor-detached", "no gradient flows through (1 - p_t)^gamma", form=_focal(_stable, detached=True)),
    Hypothesis(
        "one-minus-p",
        "1 - p_t is formed by subtraction: no digit is right beyond a logit of 17 in float32, as in torchvision",
        form=_focal(_subtracted),
        source=_TORCHVISION,
    ),
    Hypothesis(
        "one-minus-exp",
        "1 - p_t is formed as 1 - e^-ce: no digit is right beyond a logit of 17 in float32",
        form=_focal(_of_ce),
    ),
    Hypothesis("one-minus-exp", "1 - p_t is 1 - e^-ce, one alpha for all", form=_focal(_of_ce, "all")),
    Hypothesis(
        "log-of-a-sigmoid",
        "it takes the log of a sigmoid: infinite or NaN beyond a logit of about 17 in float32 and 37 in float64",
        form=_focal(_naive),
    ),
    *(Hypothesis(f"epsilon-{c:g}", f"{c:g} is added inside the logarithms", form=_focal(_epsilon(c))) for c in _SMALL),
    *(Hypothesis(f"clip-{c:g}", f"probabilities are clipped at {c:g}", form=_focal(_clipped(c))) for c in _SMALL),
)

ROWS: dict[str, tuple[Hypothesis, ...]] = {
    "binary_cross_entropy": (
        *_CLIPS,
        *(Hypothesis(f"epsilon-{c:g}", f"{c:g} is added inside both logarithms", {"epsilon": c}) for c in _SMALL),
        Hypothesis(
            "log-clamp",
            "both logarithms are at least -100, as in torch",
            {"log_clamp": -100.0, "gradient_floor": float(np.float32(1e-12))},
            source="https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html",
        ),
        Hypothesis("logits", "it takes logits, not probabilities", form=_of_logits),
    ),
    "binary_cross_entropy_with_logits": _BINARY_LOGITS,
    "cross_entropy": _OVER_CLASSES,
    "nll_loss": (
        Hypothesis(
            "ignored-in-the-mean",
            f"ignore_index still counts: {_COUNTED}",
            form=_of_nll(count_ignored=True),
            when=_ignores,
        ),
        Hypothesis(
            "weighted-mean-over-n",
            "the mean of weighted rows divides by their number; the definition divides by the sum of the weights",
            form=_of_nll(over_n=True),
            when=_weighed,
        ),
    ),
    "kl_div": (
        Hypothesis("arguments-exchanged", "KL with the arguments exchanged: KL(input || target)", form=_kl),
        Hypothesis("probabilities", "input is a probability; the definition takes its log", form=_kl_of_probabilities),
        Hypothesis("cross-entropy", "the target's entropy is left out: it is the cross entropy", form=_kl_cross),
        Hypothesis(
            "batchmean",
            "the mean divides by the batch, not by all elements: what the definition calls batchmean",
            {"reduction": "batchmean"},
            when=lambda arguments: arguments.get("reduction") == "mean",
        ),
        *(Hypothesis(f"clip-{c:g}", f"both are clipped at {c:g}", {"clip": [c, 1.0]}) for c in _SMALL),
    ),
    "sigmoid_focal_loss": _FOCAL,
    "softmax_focal_loss": (
        Hypothesis("no-alpha", "alpha is left out", {"alpha": 1.0}),
        *(Hypothesis(f"gamma-{g:g}", f"gamma is {g:g} whatever is asked for", {"gamma": g}) for g in (0.0, 1.0, 2.0)),
        Hypothesis("probabilities", "it takes probabilities, not logits", {"from_logits": False}),
    ),
}
