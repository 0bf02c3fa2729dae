"""PyTorch: torch.nn.functional and the torch.nn classes, and the activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import nn

from lossparity.adapters import engines, formulas
from lossparity.adapters.base import Call, Dialect, Implementation, KnownIssue, Unsupported, implementations, twin

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

ALL = ("none", "mean", "sum")
DOCS = "https://docs.pytorch.org/docs/stable/generated/"
SOURCE = "https://github.com/pytorch/pytorch/blob/v2.7.0/"
ISSUES = "https://github.com/pytorch/pytorch/issues/"

NAMESPACES = ("torch.nn.functional", "torch.nn")
LOSS_CLASSES = (nn.modules.loss._Loss,)
EXCLUDED = {
    "torch.nn.AdaptiveLogSoftmaxWithLoss": "a layer with weights of its own, drawn at random",
    "torch.nn.LinearCrossEntropyOptions": "options of linear_cross_entropy",
    "torch.nn.NLLLoss2d": "the former name of torch.nn.NLLLoss, which it is derived from unchanged",
}
ENGINE = engines.load("torch")


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None: an older torch does not know them all."""
    return {name: value for name, value in options.items() if value is not None}


# --- Activations


_SIGMOID = Dialect(
    "slope-of-result",
    "The gradient is (1 - p) p of the rounded p: where p is near 1, 1 - p has lost the digits that e^-x still has, and "
    "beyond an x of 37 (17 in float32) it is 0.",
    SOURCE + "aten/src/ATen/native/cpu/BinaryOpsKernel.cpp",
    computed_as=formulas.sigmoid_slope_of_result,
)


_SOFTMAX = Dialect(
    "slope-of-sum",
    "The gradient is p (g - sum g p): of a confident row's class both terms are g to all digits beyond a lead of 37 "
    "(17 in float32), and no digit of its gradient is left.",
    SOURCE + "aten/src/ATen/native/cpu/SoftMaxKernel.cpp",
    computed_as=formulas.softmax_slope_of_sum,
)
_OF_SUM = (
    "log-of-sum",
    "log sum e^(x - m) is the log of 1 and a small rest, which keeps of the rest only what it has beside 1: of a "
    "confident row no digit is left of the log-probability beyond a lead of 37 (17 in float32), nor of p - 1.",
    SOURCE + "aten/src/ATen/native/cpu/SoftMaxKernel.cpp",
)
_LOG_SOFTMAX = Dialect(*_OF_SUM, computed_as=formulas.log_softmax_of_sum)
_CROSS_ENTROPY = Dialect(*_OF_SUM, computed_as=formulas.cross_entropy_of_sum)
_LOGITS = Dialect(
    "cancelling-tail",
    "Computed as (1 - y) x - log sigmoid(x), which for y = 0 and a negative logit is a difference of two numbers of "
    "about x; and its gradient is sigmoid(x) - y, the same for y = 1 and a positive logit: no correct digit beyond a "
    "logit of 37 (17 in float32).",
    ISSUES + "195529",
    computed_as=formulas.logits_with_slope_of_probability,
)
_LOGITS_BY_FUNC = Dialect(
    "log-of-sum-by-func",
    "Under torch.func it is computed as (1 - y) x + m + log(e^-m + e^(-x - m)) with m = max(-x, 0): of a loss or a "
    "slope much below 1 only what it has beside 1 is left, also where the eager mode keeps it.",
    SOURCE + "aten/src/ATen/functorch/PyTorchOperatorHacks.cpp",
    computed_as=formulas.logits_with_log_of_sum,
    modes=("func",),
)


@implements(
    "sigmoid", "torch.sigmoid", dialects=(_SIGMOID,), twin=twin("torch.nn.Sigmoid", lambda input: nn.Sigmoid()(input))
)
def sigmoid(input):  # type: ignore[no-untyped-def]
    return torch.sigmoid(input)


@implements(
    "softmax",
    "torch.nn.functional.softmax",
    dialects=(_SOFTMAX,),
    twin=twin("torch.nn.Softmax", lambda input, dim: nn.Softmax(dim=dim)(input)),
)
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return F.softmax(input, dim=dim)


@implements(
    "log_softmax",
    "torch.nn.functional.log_softmax",
    dialects=(_LOG_SOFTMAX,),
    twin=twin("torch.nn.LogSoftmax", lambda input, dim: nn.LogSoftmax(dim=dim)(input)),
)
def log_softmax(input, dim):  # type: ignore[no-untyped-def]
    return F.log_softmax(input, dim=dim)


# --- Regression

_WEIGHT = Unsupported(
    "l1_loss, mse_loss and huber_loss have no weight before torch 2.6",
    lambda call: call.arguments["weight"] is not None,
    versions="<2.6",
)
_WITHOUT_WEIGHT: dict[str, Any] = {
    "lacks": {"weight": f"the class has no weight, only the function ({ISSUES}149841)"},
    "unsupported": (),
}

_L1_NAN = KnownIssue(
    "nan-gradient-0",
    "The sign of NaN is taken for 0: an element whose loss is NaN gets the gradient 0.",
    SOURCE + "tools/autograd/derivatives.yaml",
    versions=">=2.0",
    symptom="zero",
    aspects=("gradient",),
    when=lambda call: bool(np.isnan(call.arguments["input"] - call.arguments["target"]).any()),
)


_COMPILED_WITHOUT_WEIGHT = KnownIssue(
    "compiled-without-weight",
    "torch.compile leaves out the weight of l1_loss without a word, with each of its backends: the loss and its "
    "gradients are those of no weight.",
    "https://github.com/pytorch/pytorch/blob/v2.14.1/torch/_refs/nn/functional/__init__.py",
    versions=">=2.14",
    parameters={"weight": None},
    modes=("compile-aot", "compile"),
    when=lambda call: call.arguments["weight"] is not None,
)


@implements(
    "l1_loss",
    "torch.nn.functional.l1_loss",
    ALL,
    unsupported=(_WEIGHT,),
    known_issues=(_L1_NAN, _COMPILED_WITHOUT_WEIGHT),
    twin=twin(
        "torch.nn.L1Loss",
        lambda input, target, reduction: nn.L1Loss(reduction=reduction)(input, target),
        known_issues=(_L1_NAN,),
        **_WITHOUT_WEIGHT,
    ),
)
def l1_loss(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.l1_loss(input, target, reduction=reduction, **given(weight=weight))


@implements(
    "mse_loss",
    "torch.nn.functional.mse_loss",
    ALL,
    unsupported=(_WEIGHT,),
    twin=twin(
        "torch.nn.MSELoss",
        lambda input, target, reduction: nn.MSELoss(reduction=reduction)(input, target),
        **_WITHOUT_WEIGHT,
    ),
)
def mse_loss(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.mse_loss(input, target, reduction=reduction, **given(weight=weight))


_BETA_0 = Dialect(
    "kink-at-beta-0",
    "Before torch 2.1, with beta = 0 the gradient at input = target is -1, where that of l1_loss is 0.",
    ISSUES + "96813",
    {"subgradient": -1.0},
    when=lambda call: call.arguments["beta"] == 0.0,
    versions="<2.1",
)
_BETA_0_TARGET = KnownIssue(
    "kink-at-beta-0-target",
    "With beta = 0 the gradient of the target at input = target is -1 too: that of the input, the two exchanged.",
    ISSUES + "96813",
    versions=">=2.0,<2.1",
    parameters={"subgradient": 1.0},
    aspects=("gradient:target",),
    when=lambda call: call.arguments["beta"] == 0.0,
)


@implements(
    "smooth_l1_loss",
    "torch.nn.functional.smooth_l1_loss",
    ALL,
    dialects=(_BETA_0,),
    known_issues=(_BETA_0_TARGET,),
    twin=twin(
        "torch.nn.SmoothL1Loss",
        lambda input, target, reduction, beta: nn.SmoothL1Loss(reduction=reduction, beta=beta)(input, target),
    ),
)
def smooth_l1_loss(input, target, reduction, beta):  # type: ignore[no-untyped-def]
    return F.smooth_l1_loss(input, target, reduction=reduction, beta=beta)


_POSITIVE_DELTA = Dialect(
    "delta-above-0",
    "delta = 0, with which the loss is 0 everywhere, is refused.",
    DOCS + "torch.nn.HuberLoss.html",
    raises="RuntimeError",
    when=lambda call: call.arguments["delta"] == 0.0,
)
_MEAN_OVER_N = Dialect(
    "mean-over-n",
    "The mean of a weighted huber_loss divides by the number of elements; those of l1_loss and mse_loss divide by the "
    "sum of the weights.",
    SOURCE + "torch/nn/functional.py",
    parameters=lambda call: {
        "weight": None,
        "sample_weight": call.arguments["weight"],
        "reduction": "sum_over_batch_size",
    },
    when=lambda call: call.arguments["weight"] is not None and call.arguments["reduction"] == "mean",
    versions=">=2.6",
)


@implements(
    "huber_loss",
    "torch.nn.functional.huber_loss",
    ALL,
    unsupported=(_WEIGHT,),
    dialects=(_POSITIVE_DELTA, _MEAN_OVER_N),
    twin=twin(
        "torch.nn.HuberLoss",
        lambda input, target, reduction, delta: nn.HuberLoss(reduction=reduction, delta=delta)(input, target),
        dialects=(_POSITIVE_DELTA,),
        **_WITHOUT_WEIGHT,
    ),
)
def huber_loss(input, target, reduction, delta, weight=None):  # type: ignore[no-untyped-def]
    return F.huber_loss(input, target, reduction=reduction, delta=delta, **given(weight=weight))


# --- Classification


def _nearest_end(call: Call) -> Any:
    """The smallest of all p and 1 - p."""
    p = call.arguments["input"]
    return np.min(np.minimum(p, 1.0 - p), initial=1.0)


_ANY_TARGET = Dialect(
    "any-target",
    "Targets outside [0, 1] are computed with; torch 2.1 began to refuse them.",
    ISSUES + "87373",
    accepts=True,
    when=lambda call: bool(np.any((call.arguments["target"] < 0.0) | (call.arguments["target"] > 1.0))),
    versions="<2.1",
)
_BCE = (
    Dialect(
        "log-clamp",
        "Both logarithms are at least -100, so that the loss of a confident mistake is 100 and not infinite.",
        DOCS + "torch.nn.BCELoss.html",
        parameters={"log_clamp": -100.0},
        when=lambda call: bool(_nearest_end(call) < np.exp(-100.0)),
    ),
    Dialect(
        "gradient-floor",
        "The gradient divides by p (1 - p), or by 1e-12 (a float, in float64 too) where that is less.",
        SOURCE + "aten/src/ATen/native/Loss.cpp",
        parameters={"gradient_floor": float(np.float32(1e-12))},
        when=lambda call: bool(_nearest_end(call) < 1.5e-12),
    ),
    Dialect(
        "no-nan",
        "NaN is not between 0 and 1, and so it is refused.",
        SOURCE + "aten/src/ATen/native/Loss.cpp",
        raises="RuntimeError",
        when=lambda call: bool(np.isnan(call.arguments["input"]).any()),
    ),
    _ANY_TARGET,
)


_BCE_ISSUES = (
    KnownIssue(
        "floor-of-float16",
        "The gradient of a right answer of 0 or 1 is NaN in float16: 1e-12, below which p (1 - p) is not to fall, is 0 "
        "there, and 0 is divided by it.",
        SOURCE + "aten/src/ATen/native/Loss.cpp",
        versions=">=2.1",
        symptom="nan",
        aspects=("gradient:input",),
        when=lambda call: call.dtype == "float16" and bool(_nearest_end(call) == 0.0),
    ),
    KnownIssue(
        "second-plus-1e-12",
        "The second derivative adds 1e-12 to p and to 1 - p before it divides by their squares: in float64 no more "
        "than 12 digits are right, and near 0 and 1 none.",
        SOURCE + "torch/csrc/autograd/FunctionsManual.cpp",
        versions=">=2.0",
        computed_as=formulas.bce_second_plus_1e12,
        aspects=("second",),
    ),
)


@implements(
    "binary_cross_entropy",
    "torch.nn.functional.binary_cross_entropy",
    ALL,
    dialects=_BCE,
    known_issues=_BCE_ISSUES,
    twin=twin(
        "torch.nn.BCELoss",
        lambda input, target, reduction, weight=None: nn.BCELoss(weight=weight, reduction=reduction)(input, target),
    ),
)
def binary_cross_entropy(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


@implements(
    "binary_cross_entropy_with_logits",
    "torch.nn.functional.binary_cross_entropy_with_logits",
    ALL,
    dialects=(_LOGITS, _LOGITS_BY_FUNC),
    twin=twin(
        "torch.nn.BCEWithLogitsLoss",
        lambda input, target, reduction, weight=None, pos_weight=None: nn.BCEWithLogitsLoss(
            weight=weight, reduction=reduction, pos_weight=pos_weight
        )(input, target),
    ),
)
def bce_with_logits(input, target, reduction, weight=None, pos_weight=None):  # type: ignore[no-untyped-def]
    return F.binary_cross_entropy_with_logits(input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


@implements(
    "nll_loss",
    "torch.nn.functional.nll_loss",
    ALL,
    twin=twin(
        "torch.nn.NLLLoss",
        lambda input, target, reduction, ignore_index, weight=None: nn.NLLLoss(
            weight=weight, ignore_index=ignore_index, reduction=reduction
        )(input, target),
    ),
)
def nll_loss(input, target, reduction, ignore_index, weight=None):  # type: ignore[no-untyped-def]
    return F.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


_MASKED = KnownIssue(
    "masked-class",
    "The loss against class probabilities is NaN where a class of probability 0 has the logit -inf: it multiplies 0 "
    "with -inf; against class indices it is finite.",
    SOURCE + "aten/src/ATen/native/LossNLL.cpp",
    versions=">=2.0",
    symptom="nan",
    aspects=("value",),
    when=lambda call: (
        call.arguments["target"].dtype.kind == "f"
        and bool(np.any(np.isneginf(call.arguments["input"]) & (call.arguments["target"] == 0.0)))
    ),
)


@implements(
    "cross_entropy",
    "torch.nn.functional.cross_entropy",
    ALL,
    dialects=(_CROSS_ENTROPY,),
    known_issues=(_MASKED,),
    twin=twin(
        "torch.nn.CrossEntropyLoss",
        lambda input, target, reduction, ignore_index, label_smoothing, weight=None: nn.CrossEntropyLoss(
            weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )(input, target),
    ),
)
def cross_entropy(  # type: ignore[no-untyped-def]
    input, target, reduction, ignore_index, label_smoothing, weight=None
):
    return F.cross_entropy(
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _target_0(call: Call) -> bool:
    return not call.arguments["log_target"] and bool(np.any(call.arguments["target"] == 0.0))


_KL_DIV = (
    KnownIssue(
        "gradient-at-0",
        "The gradient for a target of 0 is NaN, that of xlogy at 0; the derivative is infinite there.",
        ISSUES + "89558",
        versions=">=2.0",
        symptom="nan",
        aspects=("gradient:target",),
        when=_target_0,
    ),
    KnownIssue(
        "both-0",
        "The loss is NaN where both probabilities are 0: only the target's logarithm is guarded, and 0 is multiplied "
        "with the input's -inf.",
        SOURCE + "aten/src/ATen/native/Loss.cpp",
        versions=">=2.0",
        symptom="nan",
        aspects=("value",),
        when=lambda call: _target_0(call) and bool(np.isneginf(call.arguments["input"]).any()),
    ),
)


@implements(
    "kl_div",
    "torch.nn.functional.kl_div",
    (*ALL, "batchmean"),
    known_issues=_KL_DIV,
    twin=twin(
        "torch.nn.KLDivLoss",
        lambda input, target, reduction, log_target: nn.KLDivLoss(reduction=reduction, log_target=log_target)(
            input, target
        ),
    ),
)
def kl_div(input, target, reduction, log_target):  # type: ignore[no-untyped-def]
    return F.kl_div(input, target, reduction=reduction, log_target=log_target)


# --- Margin losses

# What torch computes with although the definition refuses it, and where the derivative of its clamp shows.
_MARGIN = (
    Dialect(
        "any-target",
        "Targets other than -1 and 1 are computed with.",
        SOURCE + "aten/src/ATen/native/Loss.cpp",
        accepts=True,
        when=lambda call: bool(np.any(np.abs(call.arguments["target"]) != 1.0)),
    ),
    Dialect(
        "subgradient-1",
        "At the margin the slope is that of the side that loses: clamp's was 1 at its bound before torch 2.14.",
        ISSUES + "184572",
        parameters={"subgradient": 1.0},
        when=lambda call: "kink" in call.tags,
        versions="<2.14",
    ),
)


def _is_of_one_rank(input1: Any, input2: Any, target: Any, **_: Any) -> bool:
    return bool(np.ndim(input1) == np.ndim(input2) == np.ndim(target))


_SAME_RANK = Dialect(
    "same-rank",
    "Arrays with different numbers of axes are refused; those of one number of axes broadcast.",
    SOURCE + "torch/nn/functional.py",
    raises="RuntimeError",
    when=lambda call: not _is_of_one_rank(**call.arguments),
)
_CLAMP_NAN = KnownIssue(
    "nan-gradient-0",
    "NaN is not above clamp's bound: an element whose loss is NaN gets the gradient 0.",
    SOURCE + "tools/autograd/derivatives.yaml",
    versions=">=2.0",
    symptom="zero",
    aspects=("gradient",),
    when=lambda call: "nan" in call.tags,
)


@implements(
    "hinge_embedding_loss",
    "torch.nn.functional.hinge_embedding_loss",
    ALL,
    dialects=_MARGIN,
    known_issues=(_CLAMP_NAN,),
    twin=twin(
        "torch.nn.HingeEmbeddingLoss",
        lambda input, target, margin, reduction: nn.HingeEmbeddingLoss(margin=margin, reduction=reduction)(
            input, target
        ),
    ),
)
def hinge_embedding_loss(input, target, margin, reduction):  # type: ignore[no-untyped-def]
    return F.hinge_embedding_loss(input, target, margin=margin, reduction=reduction)


@implements(
    "margin_ranking_loss",
    "torch.nn.functional.margin_ranking_loss",
    ALL,
    dialects=(*_MARGIN, _SAME_RANK),
    known_issues=(_CLAMP_NAN,),
    twin=twin(
        "torch.nn.MarginRankingLoss",
        lambda input1, input2, target, margin, reduction: nn.MarginRankingLoss(margin=margin, reduction=reduction)(
            input1, input2, target
        ),
    ),
)
def margin_ranking_loss(input1, input2, target, margin, reduction):  # type: ignore[no-untyped-def]
    return F.margin_ranking_loss(input1, input2, target, margin=margin, reduction=reduction)
