"""PyTorch: torch.nn.functional and the torch.nn classes, and the activations."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention
from torch import nn

from lossparity.adapters.base import Call, Dialect, Implementation, Unsupported, implementations

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)

ALL = ("none", "mean", "sum")
DOCS = "https://docs.pytorch.org/docs/stable/generated/"


def devices() -> list[str]:
    """cpu, then every CUDA device, then Apple's GPU."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def place(array: Any, device: str) -> torch.Tensor:
    """The array as a tensor on `device`, with its dtype and its strides (`Tensor.to` would close the gaps)."""
    tensor = torch.from_numpy(array)
    if device == "cpu":
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device).copy_(tensor)


def evaluate(
    function: Callable[..., Any],
    arrays: Mapping[str, Any],
    options: Mapping[str, Any],
    differentiable: Sequence[str],
    cotangent: Callable[[tuple[int, ...]], Any],
    device: str,
) -> tuple[Any, dict[str, Any]]:
    """Value and gradients of `function`, as adapters/base.py says."""
    tensors = {name: place(array, device) for name, array in arrays.items()}
    for name in differentiable:
        tensors[name].requires_grad_()
    with warnings.catch_warnings():
        # Printed for every broadcasting case, and for kl_div's "mean": both are what is being tested.
        warnings.filterwarnings("ignore", message="Using a target size|reduction: 'mean' divides the total loss")
        value = function(**tensors, **options)
    gradients: dict[str, Any] = dict.fromkeys(differentiable)
    if differentiable and value.requires_grad:
        seed = torch.from_numpy(np.asarray(cotangent(tuple(value.shape)))).to(value)
        leaves = [tensors[name] for name in differentiable]
        found = torch.autograd.grad(value, leaves, seed, allow_unused=True)
        for name, gradient in zip(differentiable, found, strict=True):
            gradients[name] = None if gradient is None else gradient.cpu().numpy()
    return value.detach().cpu().numpy(), gradients


MODES = {"eager": evaluate}


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None: an older torch does not know them all."""
    return {name: value for name, value in options.items() if value is not None}


def _since(function: Callable[..., Any], argument: str) -> tuple[Unsupported, ...]:
    """What to declare where the installed torch's `function` may be too old for `argument`."""
    if argument in inspect.signature(function).parameters:
        return ()
    reason = f"{function.__name__} of torch {torch.__version__} has no {argument}"
    return (Unsupported(reason, lambda call: call.arguments[argument] is not None),)


def _shapes_differ(*names: str) -> Callable[[Call], bool]:
    def differ(call: Call) -> bool:
        return len({np.shape(call.arguments[n]) for n in names if call.arguments[n] is not None}) > 1

    return differ


# --- Activations


@implements("sigmoid", "torch.sigmoid")
def sigmoid(input):  # type: ignore[no-untyped-def]
    return torch.sigmoid(input)


@implements("sigmoid", "torch.nn.Sigmoid", twin="torch.sigmoid")
def sigmoid_module(input):  # type: ignore[no-untyped-def]
    return nn.Sigmoid()(input)


@implements("softmax", "torch.nn.functional.softmax")
def softmax(input, dim):  # type: ignore[no-untyped-def]
    return F.softmax(input, dim=dim)


@implements("softmax", "torch.nn.Softmax", twin="torch.nn.functional.softmax")
def softmax_module(input, dim):  # type: ignore[no-untyped-def]
    return nn.Softmax(dim=dim)(input)


@implements("log_softmax", "torch.nn.functional.log_softmax")
def log_softmax(input, dim):  # type: ignore[no-untyped-def]
    return F.log_softmax(input, dim=dim)


@implements("log_softmax", "torch.nn.LogSoftmax", twin="torch.nn.functional.log_softmax")
def log_softmax_module(input, dim):  # type: ignore[no-untyped-def]
    return nn.LogSoftmax(dim=dim)(input)


# --- Regression

# The weight of l1_loss, mse_loss and huber_loss is younger than torch 2.0.
_MODULE_WEIGHT = {"weight": "the class has no weight, only the function"}


@implements("l1_loss", "torch.nn.functional.l1_loss", ALL, unsupported=_since(F.l1_loss, "weight"))
def l1_loss(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.l1_loss(input, target, reduction=reduction, **given(weight=weight))


@implements("l1_loss", "torch.nn.L1Loss", ALL, twin="torch.nn.functional.l1_loss", lacks=_MODULE_WEIGHT)
def l1_loss_module(input, target, reduction):  # type: ignore[no-untyped-def]
    return nn.L1Loss(reduction=reduction)(input, target)


@implements("mse_loss", "torch.nn.functional.mse_loss", ALL, unsupported=_since(F.mse_loss, "weight"))
def mse_loss(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.mse_loss(input, target, reduction=reduction, **given(weight=weight))


@implements("mse_loss", "torch.nn.MSELoss", ALL, twin="torch.nn.functional.mse_loss", lacks=_MODULE_WEIGHT)
def mse_loss_module(input, target, reduction):  # type: ignore[no-untyped-def]
    return nn.MSELoss(reduction=reduction)(input, target)


@implements("smooth_l1_loss", "torch.nn.functional.smooth_l1_loss", ALL)
def smooth_l1_loss(input, target, reduction, beta):  # type: ignore[no-untyped-def]
    return F.smooth_l1_loss(input, target, reduction=reduction, beta=beta)


@implements("smooth_l1_loss", "torch.nn.SmoothL1Loss", ALL, twin="torch.nn.functional.smooth_l1_loss")
def smooth_l1_loss_module(input, target, reduction, beta):  # type: ignore[no-untyped-def]
    return nn.SmoothL1Loss(reduction=reduction, beta=beta)(input, target)


_MEAN_OVER_N = Dialect(
    "mean-over-n",
    "With a weight, the mean of huber_loss divides by the number of elements; that of l1_loss and mse_loss by the "
    "sum of the weights.",
    "https://github.com/pytorch/pytorch/blob/v2.7.0/torch/nn/functional.py",
    parameters=lambda call: {
        "weight": None,
        "sample_weight": call.arguments["weight"],
        "reduction": "sum_over_batch_size",
    },
    when=lambda call: call.arguments["weight"] is not None and call.arguments["reduction"] == "mean",
)


@implements(
    "huber_loss",
    "torch.nn.functional.huber_loss",
    ALL,
    unsupported=_since(F.huber_loss, "weight"),
    dialects=(_MEAN_OVER_N,) if "weight" in inspect.signature(F.huber_loss).parameters else (),
)
def huber_loss(input, target, reduction, delta, weight=None):  # type: ignore[no-untyped-def]
    return F.huber_loss(input, target, reduction=reduction, delta=delta, **given(weight=weight))


@implements("huber_loss", "torch.nn.HuberLoss", ALL, twin="torch.nn.functional.huber_loss", lacks=_MODULE_WEIGHT)
def huber_loss_module(input, target, reduction, delta):  # type: ignore[no-untyped-def]
    return nn.HuberLoss(reduction=reduction, delta=delta)(input, target)


# --- Classification


@implements("binary_cross_entropy", "torch.nn.functional.binary_cross_entropy", ALL)
def binary_cross_entropy(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


@implements(
    "binary_cross_entropy",
    "torch.nn.BCELoss",
    ALL,
    twin="torch.nn.functional.binary_cross_entropy",
)
def binary_cross_entropy_module(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return nn.BCELoss(weight=weight, reduction=reduction)(input, target)


@implements("binary_cross_entropy_with_logits", "torch.nn.functional.binary_cross_entropy_with_logits", ALL)
def bce_with_logits(input, target, reduction, weight=None, pos_weight=None):  # type: ignore[no-untyped-def]
    return F.binary_cross_entropy_with_logits(input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


@implements(
    "binary_cross_entropy_with_logits",
    "torch.nn.BCEWithLogitsLoss",
    ALL,
    twin="torch.nn.functional.binary_cross_entropy_with_logits",
)
def bce_with_logits_module(input, target, reduction, weight=None, pos_weight=None):  # type: ignore[no-untyped-def]
    return nn.BCEWithLogitsLoss(weight=weight, reduction=reduction, pos_weight=pos_weight)(input, target)


@implements("nll_loss", "torch.nn.functional.nll_loss", ALL)
def nll_loss(input, target, reduction, ignore_index, weight=None):  # type: ignore[no-untyped-def]
    return F.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


@implements("nll_loss", "torch.nn.NLLLoss", ALL, twin="torch.nn.functional.nll_loss")
def nll_loss_module(input, target, reduction, ignore_index, weight=None):  # type: ignore[no-untyped-def]
    return nn.NLLLoss(weight=weight, ignore_index=ignore_index, reduction=reduction)(input, target)


@implements("cross_entropy", "torch.nn.functional.cross_entropy", ALL)
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


@implements("cross_entropy", "torch.nn.CrossEntropyLoss", ALL, twin="torch.nn.functional.cross_entropy")
def cross_entropy_module(  # type: ignore[no-untyped-def]
    input, target, reduction, ignore_index, label_smoothing, weight=None
):
    criterion = nn.CrossEntropyLoss(
        weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
    return criterion(input, target)


@implements("kl_div", "torch.nn.functional.kl_div", (*ALL, "batchmean"))
def kl_div(input, target, reduction, log_target):  # type: ignore[no-untyped-def]
    return F.kl_div(input, target, reduction=reduction, log_target=log_target)


@implements("kl_div", "torch.nn.KLDivLoss", (*ALL, "batchmean"), twin="torch.nn.functional.kl_div")
def kl_div_module(input, target, reduction, log_target):  # type: ignore[no-untyped-def]
    return nn.KLDivLoss(reduction=reduction, log_target=log_target)(input, target)
