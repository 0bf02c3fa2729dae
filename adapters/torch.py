"""PyTorch: torch.nn.functional and the torch.nn classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own convention

from lossparity.adapters.base import Implementation, implementations

IMPLEMENTATIONS: list[Implementation] = []
implements = implementations(IMPLEMENTATIONS)


def devices() -> list[str]:
    """cpu, then every CUDA device, then Apple's GPU."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def evaluate(
    function: Callable[..., Any],
    arrays: Mapping[str, Any],
    options: Mapping[str, Any],
    differentiable: Sequence[str],
    cotangent: Callable[[tuple[int, ...]], Any],
    device: str,
) -> tuple[Any, dict[str, Any]]:
    """Value and gradients of `function`, as adapters/base.py says."""
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    for name in differentiable:
        tensors[name].requires_grad_()
    value = function(**tensors, **options)
    if not differentiable:
        return value.detach().cpu().numpy(), {}
    seed = torch.from_numpy(np.asarray(cotangent(tuple(value.shape)))).to(value)
    leaves = [tensors[name] for name in differentiable]
    gradients = torch.autograd.grad(value, leaves, seed, allow_unused=True)
    found = {n: None if g is None else g.cpu().numpy() for n, g in zip(differentiable, gradients)}  # noqa: B905
    return value.detach().cpu().numpy(), found


MODES = {"eager": evaluate}

ALL = ("none", "mean", "sum")


@implements("mse_loss", "torch.nn.functional.mse_loss", ALL)
def mse_loss(input, target, reduction, weight=None):  # type: ignore[no-untyped-def]
    return F.mse_loss(input, target, reduction=reduction, weight=weight)
