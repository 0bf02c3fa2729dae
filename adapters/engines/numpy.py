"""NumPy arrays as they are: values without gradients, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lossparity.adapters.base import Answer, Request
from lossparity.adapters.engines import Mode, Sketch

REFUSED = {("cpu", "bfloat16"): "NumPy has no bfloat16"}


def version() -> str:
    """NumPy's version."""
    return np.__version__


def devices() -> list[str]:
    """NumPy arrays live on the CPU."""
    return ["cpu"]


def place(array: Any, device: str, dtype: str) -> Any:  # noqa: ARG001  there is but one device
    """The array itself, unless its dtype is another."""
    return array if array.dtype.kind != "f" else array.astype(dtype, copy=False)


def classes_last(array: Any) -> Any:
    """The array with its axis 1, the classes of the reference, moved to the end."""
    return array if array.ndim < 3 else np.moveaxis(array, 1, -1)


def take(array: Any) -> tuple[Any, str]:
    """The array itself, and the name of its dtype."""
    return np.asarray(array), str(np.asarray(array).dtype)


def evaluate(request: Request) -> Answer:
    """The value, as engines/__init__.py says; there is no path to any gradient."""
    tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
    with np.errstate(invalid="ignore"):  # it warns of each NaN
        value = request.function(**tensors, **request.options)
    return Answer(np.asarray(value), dict.fromkeys(request.differentiable))


MODES = {"eager": Mode(evaluate)}


def reproducer(sketch: Sketch) -> Iterator[str]:
    """NumPy arrays and the call, as engines/__init__.py says."""
    yield from sketch.imported("import numpy as np")
    yield ""
    for name, array, text in sketch.tensors():
        dtype = sketch.request.dtype if array.dtype.kind == "f" else array.dtype
        made = f"np.array({text}, dtype='{dtype}')" if array.size else f"np.zeros({array.shape}, dtype='{dtype}')"
        yield f"{name} = " + (f"np.repeat({made}, 2, axis=-1)[..., ::2]" if name in sketch.strided else made)
    yield from sketch.called(MODES[sketch.mode].written)
    shown = {"shape": "np.shape(value)", "dtype": "np.asarray(value).dtype"}.get(sketch.aspect)
    yield f'print("got ", {shown or "np.asarray(value).tolist()"})'
