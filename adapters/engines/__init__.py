"""The engines: how arrays go into a framework and gradients come out. One module each: numpy, torch, tensorflow, jax.

Devices, dtypes and modes live here and nowhere else. A library of losses names the engine that it runs on
(`ENGINE = engines.load("torch")`), and shares it with others. An engine module defines

    MODES                     name -> evaluate function; the first is the default ("eager"),
    REFUSED                   (kind of device, dtype) -> why the framework does not have that dtype there,
    devices()                 the devices that the framework sees, in the names of lossparity: cpu, cpu:1, cuda:0, mps,
    version()                 the framework's own version,
    place(array, device, dtype)
                              the array as the framework's tensor on that device: a floating one in `dtype`, any other
                              (labels, int64) as it is, its memory layout kept where the framework has one,
    take(tensor)              the way back: a NumPy array, and the tensor's dtype by name.

An evaluate function is

    evaluate(request) -> Answer          (both in adapters/base.py)

It places every array, calls the function, and returns the value and, for each differentiable argument, the gradient by
the framework's own autodiff under the cotangent. What the framework raises is let through, and so are its warnings,
which go into the record and are not printed. Where the engine differentiates it also has, of its eager mode,

    backward_twice(request)   the gradients as a second backward through the same graph gives them,
    second(request)           the Hessian-vector product: the gradient's derivative along `request.direction`;
                              `request.differentiable` holds that one argument alone.

For the reproducer that `lossparity explain` prints, an engine has

    reproducer(sketch)        the lines of a program that needs the framework alone and prints what it got.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from lossparity.adapters.base import Answer, Request


def load(name: str) -> ModuleType:
    """Import an engine, and with it the framework."""
    return importlib.import_module(f"{__name__}.{name}")


def answer(take: Callable[[Any], tuple[Any, str]], value: Any, gradients: Mapping[str, Any]) -> Answer:
    """The answer in NumPy's arrays, from a framework's tensors."""
    dtypes: dict[str, str] = {}

    def taken(name: str, tensor: Any) -> Any:
        if tensor is None:
            return None
        array, dtype = take(tensor)
        if dtype != str(array.dtype):
            dtypes[name] = dtype
        return array

    return Answer(taken("value", value), {n: taken(f"gradient:{n}", each) for n, each in gradients.items()}, dtypes)


@dataclass(frozen=True)
class Sketch:
    """What a reproducer is made of.

    imports, statements: of the call; the last statement assigns `value`.
    strided: the arguments that have a gap behind every element.
    aspect: what is printed: "value", "gradient:<argument>", "shape" or "dtype".
    cotangent: of the value; None where no gradient is asked for.
    path: whether the framework sees a path to the argument.
    """

    request: Request
    mode: str
    imports: Sequence[str]
    statements: Sequence[str]
    strided: frozenset[str]
    aspect: str
    cotangent: Any = None
    path: bool = True

    @property
    def argument(self) -> str:
        """The argument whose gradient is printed; "" for none."""
        return self.aspect.partition(":")[2]

    def imported(self, *own: str) -> Iterator[str]:
        """The engine's imports and those of the call, each once."""
        others = [line for line in self.imports if not line.startswith(tuple(f"{each}." for each in own))]
        yield from sorted(dict.fromkeys((*own, *others)), key=lambda line: (line.startswith("from"), line))

    def tensors(self) -> Iterator[tuple[str, Any, str]]:
        """Each array: its name, itself, and its numbers as they are written in a program."""
        for name, array in self.request.arrays.items():
            yield name, array, numbers(array)

    def called(self, wrap: str) -> Iterator[str]:
        """The statements, the last of them in `wrap` ("torch.compile(lambda: {})()"), in the default mode as it is."""
        *before, last = self.statements
        yield from before
        target, _, call = last.partition(" = ")
        yield f"{target} = {wrap.format(call)}"


def numbers(array: Any) -> str:
    """The shortest nested list that gives the array's numbers to the bit."""
    if array.dtype.kind != "f":
        return repr(array.tolist())
    shortest = np.array([float(str(each)) for each in array.reshape(-1)], dtype=np.float64).reshape(array.shape)
    return repr(shortest.tolist()).replace("inf", "float('inf')").replace("nan", "float('nan')")
