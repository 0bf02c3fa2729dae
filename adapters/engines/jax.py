"""JAX's arrays, devices and transforms. Its 64-bit types are on for float64 alone, as a user of JAX has them.

Where they are off, labels become int32, as everything in JAX does. JAX's arrays have no strides.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lossparity.adapters.base import Answer, Request
from lossparity.adapters.engines import Mode, Program, Sketch, answer, compiling, disk_cache, numbers

_CACHE = disk_cache("jax")
if _CACHE and "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # the eager mode compiles too, each operation by itself
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax  # noqa: E402  the lines above are for its import
import jax.numpy as jnp  # noqa: E402

REFUSED: dict[tuple[str, str], str] = {}

_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "cuda": "cuda", "rocm": "rocm", "tpu": "tpu"}


def version() -> str:
    """JAX's version."""
    return str(jax.__version__)


def _devices() -> dict[str, Any]:
    """Each device by its name here: JAX's default platform and the CPU, which is always there."""
    found = list(dict.fromkeys([*jax.devices("cpu"), *jax.devices()]))
    counts: dict[str, int] = {}
    named = {}
    for device in found:
        kind = _PLATFORMS.get(device.platform, device.platform)
        index = counts[kind] = counts.get(kind, -1) + 1
        named["cpu" if (kind, index) == ("cpu", 0) else f"{kind}:{index}"] = device
    return named


def devices() -> list[str]:
    """The devices, the first CPU first: cpu, cpu:1 (where XLA splits the processor), cuda:0, tpu:0."""
    return list(_devices())


def _wide(dtype: str) -> Any:
    """JAX's 64-bit types, on for float64 and off otherwise, until the end of a with block."""
    place: Any = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")  # before JAX 0.8
    return place.enable_x64(dtype == "float64")


def place(array: Any, device: str, dtype: str) -> Any:
    """The array on `device`."""
    with _wide(dtype):
        wanted = jnp.dtype(dtype) if array.dtype.kind == "f" else None
        return jax.device_put(jnp.asarray(array, dtype=wanted), _devices()[device])


def classes_last(array: Any) -> Any:
    """The array with its axis 1, the classes of the reference, moved to the end."""
    return array if array.ndim < 3 else jnp.moveaxis(array, 1, -1)


def take(array: Any) -> tuple[Any, str]:
    """The array in NumPy, which has no bfloat16, and the name of its dtype."""
    dtype = str(array.dtype)
    return np.asarray(array.astype(jnp.float32) if dtype == "bfloat16" else array), dtype


def _of_leaves(request: Request) -> tuple[Callable[..., Any], list[Any]]:
    """The function of the arguments whose gradients are asked for alone, and these."""
    tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
    names = request.differentiable

    def of_leaves(*leaves: Any) -> Any:
        return jnp.asarray(request.function(**{**tensors, **dict(zip(names, leaves, strict=True))}, **request.options))

    return of_leaves, [tensors[name] for name in names]


@contextlib.contextmanager
def _place(request: Request) -> Iterator[None]:
    with _wide(request.dtype), jax.default_device(_devices()[request.device]):
        yield


def _seed(cotangent: Callable[[tuple[int, ...]], Any], like: Any) -> Any:
    return jnp.asarray(cotangent(tuple(like.shape)), dtype=like.dtype)


def evaluate(request: Request) -> Answer:
    """Value and gradients, as engines/__init__.py says. JAX gives 0 where there is no path."""
    with _place(request):
        of_leaves, leaves = _of_leaves(request)
        if not leaves:
            return answer(take, of_leaves(), {})
        value, pullback = jax.vjp(of_leaves, *leaves)
        found = pullback(_seed(request.cotangent, value))
        return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


def backward_twice(request: Request) -> Answer:
    """The gradients that a second call of the same pullback gives."""
    with _place(request):
        of_leaves, leaves = _of_leaves(request)
        value, pullback = jax.vjp(of_leaves, *leaves)
        seed = _seed(request.cotangent, value)
        pullback(seed)
        return answer(take, value, dict(zip(request.differentiable, pullback(seed), strict=True)))


def second(request: Request) -> Answer:
    """Hessian-vector products, reverse over reverse, as the other engines have it."""
    names = request.differentiable
    with _place(request):
        of_leaves, leaves = _of_leaves(request)
        value = of_leaves(*leaves)
        if not leaves:
            return answer(take, value, {})
        seed = _seed(request.cotangent, value)
        gradients, pullback = jax.vjp(lambda *moving: jax.vjp(of_leaves, *moving)[1](seed), *leaves)
        along = (_seed(functools.partial(request.direction, n), g) for n, g in zip(names, gradients, strict=True))
        return answer(take, value, dict(zip(names, pullback(tuple(along)), strict=True)))


def _jit(request: Request) -> Program:
    """Value and gradients as one program of XLA."""
    names = request.differentiable

    def whole(tensors: dict[str, Any], seed: Any) -> tuple[Any, Any]:
        def of_leaves(*leaves: Any) -> Any:
            return jnp.asarray(request.function(**{**tensors, **dict(zip(names, leaves, strict=True))}, **options))

        if not names:
            return of_leaves(), ()
        value, pullback = jax.vjp(of_leaves, *(tensors[name] for name in names))
        return value, pullback(seed)

    def forward(tensors: dict[str, Any]) -> Any:
        return jnp.asarray(request.function(**tensors, **options))

    options = request.options
    with _place(request):
        tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
        like = jax.eval_shape(forward, tensors)
        program = jax.jit(whole).lower(tensors, like).compile()

    def run(request: Request) -> Answer:
        with _place(request):
            tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
            seed = _seed(request.cotangent, like) if names else jnp.zeros(like.shape, like.dtype)
            value, found = program(tensors, jax.device_put(seed, _devices()[request.device]))
            return answer(take, value, dict(zip(names, found, strict=True)))

    return run


MODES = {"eager": Mode(evaluate), "jit": compiling(_jit, "jax.jit(lambda: {})()")}


def reproducer(sketch: Sketch) -> Iterator[str]:
    """Arrays, the call and its pullback, as engines/__init__.py says."""
    yield from sketch.imported("import jax", "import jax.numpy as jnp")
    yield ""
    if sketch.request.dtype == "float64":
        yield "jax.config.update('jax_enable_x64', True)"
    for name, array, text in sketch.tensors():
        dtype = sketch.request.dtype if array.dtype.kind == "f" else "int"
        yield f"{name} = jnp.array({text}, dtype='{dtype}').reshape({array.shape})"
    if not sketch.argument:
        yield from sketch.called(MODES[sketch.mode].written)
        shown = {"shape": "value.shape", "dtype": "value.dtype"}.get(sketch.aspect, "value.tolist()")
        yield f'print("got ", {shown})'
        return
    *before, last = sketch.statements
    yield from before
    if sketch.directions:
        names, along = ", ".join(sketch.directions), sketch.directions.items()
        cotangent = f"jnp.array({numbers(sketch.cotangent)}, dtype='{sketch.request.dtype}')"
        yield f"call = lambda {names}: {last.partition(' = ')[2]}"
        yield f"gradients = lambda {names}: jax.vjp(call, {names})[1]({cotangent})"
        yield f"along = ({', '.join(f'jnp.array({numbers(each)}, dtype={name}.dtype)' for name, each in along)},)"
        yield f"products = jax.vjp(gradients, {names})[1](along)"
        yield f'print("got ", products[{list(sketch.directions).index(sketch.argument)}].tolist())'
        return
    call = f"lambda {sketch.argument}: {last.partition(' = ')[2]}"
    call = call if sketch.mode == "eager" else f"jax.jit({call})"
    yield f"value, pullback = jax.vjp({call}, {sketch.argument})"
    yield f"(gradient,) = pullback(jnp.array({numbers(sketch.cotangent)}, dtype=value.dtype))"
    yield 'print("got ", gradient.tolist())'
