"""PyTorch's tensors, devices and autograd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lossparity.adapters.base import Answer, Request
from lossparity.adapters.engines import Sketch, answer, numbers

REFUSED = {("mps", "float64"): "Apple's GPU has no float64"}


def version() -> str:
    """torch's version."""
    return str(torch.__version__)


def devices() -> list[str]:
    """cpu, then every CUDA device, then Apple's GPU."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def place(array: Any, device: str, dtype: str) -> torch.Tensor:
    """The array as a tensor on `device`, with its strides (`Tensor.to` would close the gaps)."""
    tensor = torch.from_numpy(array)
    wanted = getattr(torch, dtype) if tensor.is_floating_point() else tensor.dtype
    if device == "cpu" and tensor.dtype == wanted:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=wanted, device=device).copy_(tensor)


def take(tensor: torch.Tensor) -> tuple[Any, str]:
    """The tensor in NumPy, which has no bfloat16, and the name of its dtype."""
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()
    return array, str(tensor.dtype).removeprefix("torch.")


def _forward(request: Request) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor | None]:
    """The value, the tensors whose gradients are asked for, and the cotangent (None: there is no graph)."""
    tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
    for name in request.differentiable:
        tensors[name].requires_grad_()
    value = request.function(**tensors, **request.options)
    leaves = [tensors[name] for name in request.differentiable]
    if not leaves or not value.requires_grad:
        return value, leaves, None
    return value, leaves, torch.from_numpy(np.asarray(request.cotangent(tuple(value.shape)))).to(value)


def evaluate(request: Request) -> Answer:
    """Value and gradients, as engines/__init__.py says."""
    value, leaves, seed = _forward(request)
    if seed is None:
        return answer(take, value, dict.fromkeys(request.differentiable))
    found = torch.autograd.grad(value, leaves, seed, allow_unused=True)
    return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


def backward_twice(request: Request) -> Answer:
    """The gradients that a second backward through the same graph gives."""
    value, leaves, seed = _forward(request)
    if seed is None:
        return answer(take, value, dict.fromkeys(request.differentiable))
    torch.autograd.grad(value, leaves, seed, allow_unused=True, retain_graph=True)
    found = torch.autograd.grad(value, leaves, seed, allow_unused=True)
    return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


def second(request: Request) -> Answer:
    """The Hessian-vector product of one argument, by double backward."""
    value, leaves, seed = _forward(request)
    if seed is None:
        return answer(take, value, dict.fromkeys(request.differentiable))
    (gradient,) = torch.autograd.grad(value, leaves, seed, allow_unused=True, create_graph=True)
    if gradient is None or not gradient.requires_grad:
        return answer(take, value, dict.fromkeys(request.differentiable))
    along = torch.from_numpy(np.asarray(request.direction(tuple(gradient.shape)))).to(gradient)
    found = torch.autograd.grad(gradient, leaves, along, allow_unused=True)
    return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


MODES = {"eager": evaluate}
_WRITTEN = {"eager": "{}"}


def reproducer(sketch: Sketch) -> Iterator[str]:
    """Tensors, the call and its backward, as engines/__init__.py says."""
    request = sketch.request
    yield from sketch.imported("import torch")
    yield ""
    for name, array, text in sketch.tensors():
        dtype = f"torch.{request.dtype if array.dtype.kind == 'f' else array.dtype}"
        device = "" if request.device == "cpu" else f", device={request.device!r}"
        made = f"torch.tensor({text}" if array.size else f"torch.zeros({array.shape}"
        made = f"{made}, dtype={dtype}{device})"
        if name in sketch.strided:
            made += ".repeat_interleave(2, -1)[..., ::2]"
        yield f"{name} = {made}" + (".requires_grad_()" if name == sketch.argument else "")
    yield from sketch.called(_WRITTEN[sketch.mode])
    if sketch.argument and sketch.path:
        yield f"value.backward(torch.tensor({numbers(sketch.cotangent)}).to(value))"
    grad = f"{sketch.argument}.grad" + (".tolist()" if sketch.path else "")
    shown = {"shape": "tuple(value.shape)", "dtype": "value.dtype"}.get(sketch.aspect, "value.tolist()")
    yield f'print("got ", {grad if sketch.argument else shown})'
