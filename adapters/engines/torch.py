"""PyTorch's tensors, devices and autograd."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np
import torch

from lossparity.adapters.base import Answer, Request
from lossparity.adapters.engines import Mode, NotCompiledError, Program, Sketch, answer, compiling, disk_cache, numbers

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


def classes_last(tensor: Any) -> Any:
    """The tensor with its axis 1, the classes of the reference, moved to the end."""
    return tensor if tensor.ndim < 3 else tensor.movedim(1, -1)


def take(tensor: torch.Tensor) -> tuple[Any, str]:
    """The tensor in NumPy, which has no bfloat16, and the name of its dtype."""
    # force: autograd makes tensors of zeros that have no memory of their own
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
    return array, str(tensor.dtype).removeprefix("torch.")


def _forward(
    request: Request, function: Callable[..., torch.Tensor]
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor | None]:
    """The value, the tensors whose gradients are asked for, and the cotangent (None: there is no graph)."""
    tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
    for name in request.differentiable:
        tensors[name].requires_grad_()
    value = function(**tensors)
    leaves = [tensors[name] for name in request.differentiable]
    if not leaves or not value.requires_grad:
        return value, leaves, None
    return value, leaves, _like(request.cotangent, value)


def _like(numbers: Callable[[tuple[int, ...]], Any], tensor: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.asarray(numbers(tuple(tensor.shape)))).to(tensor)


def _function(request: Request) -> Callable[..., torch.Tensor]:
    """What is called, with its options, as a function of its tensors that shares its code with no other.

    Dynamo counts recompilations by code object, and after eight of them runs the rest of the calls in eager mode.
    """
    function, options = request.function, request.options

    def call(**tensors: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = function(**tensors, **options)
        return found

    return FunctionType(call.__code__.replace(), call.__globals__, closure=call.__closure__)


def evaluate(request: Request) -> Answer:
    """Value and gradients, as engines/__init__.py says."""
    return _gradients(request, _function(request))


def _gradients(request: Request, function: Callable[..., torch.Tensor]) -> Answer:
    value, leaves, seed = _forward(request, function)
    if seed is None:
        return answer(take, value, dict.fromkeys(request.differentiable))
    found = torch.autograd.grad(value, leaves, seed, allow_unused=True)
    return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


def backward_twice(request: Request) -> Answer:
    """The gradients that a second backward through the same graph gives."""
    value, leaves, seed = _forward(request, _function(request))
    if seed is None:
        return answer(take, value, dict.fromkeys(request.differentiable))
    torch.autograd.grad(value, leaves, seed, allow_unused=True, retain_graph=True)
    found = torch.autograd.grad(value, leaves, seed, allow_unused=True)
    return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


def second(request: Request) -> Answer:
    """Hessian-vector products, by double backward."""
    value, leaves, seed = _forward(request, _function(request))
    names = request.differentiable
    if seed is None:
        return answer(take, value, dict.fromkeys(names))
    gradients = torch.autograd.grad(value, leaves, seed, allow_unused=True, create_graph=True)
    moving = [(name, each) for name, each in zip(names, gradients, strict=True) if each is not None]
    moving = [(name, each) for name, each in moving if each.requires_grad]
    if not moving:
        return answer(take, value, dict.fromkeys(names))
    along = [_like(functools.partial(request.direction, name), each) for name, each in moving]
    found = torch.autograd.grad([each for _, each in moving], leaves, along, allow_unused=True)
    return answer(take, value, dict(zip(names, found, strict=True)))


# --- Modes


def _functional(request: Request) -> Answer:
    """Value and gradients by torch.func.vjp, which gives 0 where there is no path."""
    tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
    function, names = _function(request), request.differentiable
    if not names:
        return answer(take, function(**tensors), {})

    def of_leaves(*leaves: torch.Tensor) -> torch.Tensor:
        return function(**{**tensors, **dict(zip(names, leaves, strict=True))})

    value, pullback, *_ = torch.func.vjp(of_leaves, *(tensors[name] for name in names))
    found = pullback(_like(request.cotangent, value))
    return answer(take, value, dict(zip(names, found, strict=True)))


def _compile(backend: str) -> Mode:
    """torch.compile with a backend: the forward and, when it is first asked for, the backward are one graph each."""

    def build(request: Request) -> Program:
        if backend == "inductor":
            _keep_on_disk()
        program = torch.compile(_function(request), backend=backend, fullgraph=True, dynamic=False)
        graphs = 1

        def run(request: Request) -> Answer:
            nonlocal graphs
            before, breaks = _counted()
            with _quiet():
                try:
                    found = _gradients(request, program)
                except _dynamo().exc.Unsupported as error:
                    if _is_raised_by_the_function(error):
                        raise
                    raise NotCompiledError(f"torch.compile does not take it as one graph: {error.args[0]}") from error
            after, broken = _counted()
            if after - before != graphs or broken != breaks:
                said = f"{after - before} graphs, where {graphs} were due, and {broken - breaks} graph breaks"
                raise NotCompiledError(f"torch.compile left calls to the eager mode: {said}")
            graphs = 0
            return found

        return run

    return compiling(
        build, f"torch.compile(lambda: {{}}, backend={backend!r}, fullgraph=True)()", _no_compiler(backend)
    )


def _dynamo() -> Any:
    return importlib.import_module("torch._dynamo")  # takes as long as torch itself: only where it is needed


def _counted() -> tuple[int, int]:
    """How many graphs dynamo has made in this process, and how many graph breaks it has seen."""
    counters = _dynamo().utils.counters
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


def _is_raised_by_the_function(error: BaseException) -> bool:
    """Whether it is an exception of the call itself, as it would be in eager mode, and no refusal of dynamo's."""
    observed = getattr(_dynamo().exc, "ObservedException", ())
    return isinstance(error.__cause__ or error.__context__, observed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dynamo logs the traceback of whatever the function raises: it is in the record."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _no_compiler(backend: str) -> Callable[[str], str | None]:
    @functools.cache
    def missing(device: str) -> str | None:
        try:
            _dynamo().eval_frame.check_if_dynamo_supported()
        except RuntimeError as error:
            return f"torch.compile does not run here: {error}"
        if backend != "inductor" or device != "cpu":
            return None
        compilers = [name for name in importlib.import_module("torch._inductor.config").cpp.cxx if name]
        if any(shutil.which(name) for name in compilers):
            return None
        return f"inductor needs a C++ compiler, and there is no {' or '.join(compilers)} here; set CXX, or install one"

    return missing


def _keep_on_disk() -> None:
    folder = disk_cache("inductor")
    if folder:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)


MODES = {
    "eager": Mode(evaluate),
    "compile-aot": _compile("aot_eager"),
    "compile": _compile("inductor"),
    "func": Mode(_functional),
}


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
        moves = name == sketch.argument or name in sketch.directions
        yield f"{name} = {made}" + (".requires_grad_()" if moves else "")
    cotangent = "" if sketch.cotangent is None else f"value.new_tensor({numbers(sketch.cotangent)})"
    if sketch.mode == "func" and sketch.argument:
        *before, last = sketch.statements
        yield from before
        call = f"lambda {sketch.argument}: {last.partition(' = ')[2]}"
        yield f"value, pullback = torch.func.vjp({call}, {sketch.argument})"
        yield f"(gradient,) = pullback({cotangent})"
        yield 'print("got ", gradient.tolist())'
        return
    yield from sketch.called(MODES[sketch.mode].written)
    if sketch.directions:
        names, along = ", ".join(sketch.directions), sketch.directions.items()
        yield f"gradients = torch.autograd.grad(value, ({names},), {cotangent}, create_graph=True)"
        yield f"along = ({', '.join(f'{name}.new_tensor({numbers(each)})' for name, each in along)},)"
        yield "sum((g * v).sum() for g, v in zip(gradients, along)).backward()"
        yield f'print("got ", {sketch.argument}.grad.tolist())'
        return
    if sketch.argument and sketch.path:
        yield f"value.backward({cotangent})"
    grad = f"{sketch.argument}.grad" + (".tolist()" if sketch.path else "")
    shown = {"shape": "tuple(value.shape)", "dtype": "value.dtype"}.get(sketch.aspect, "value.tolist()")
    yield f'print("got ", {grad if sketch.argument else shown})'
