"""The engines: how arrays go into a framework and gradients come out. One module each: numpy, torch, tensorflow, jax.

Devices, dtypes and modes live here and nowhere else. A library of losses names the engine that it runs on
(`ENGINE = engines.load("torch")`), and shares it with others. An engine module defines

    MODES                     name -> Mode: how a call is run; the first is the default ("eager"). A mode is one line
                              there and nowhere else: matrix, --full, reproducer and record follow from it,
    REFUSED                   (kind of device, dtype) -> why the framework does not have that dtype there,
    devices()                 the devices that the framework sees, in the names of lossparity: cpu, cpu:1, cuda:0, mps,
    version()                 the framework's own version,
    place(array, device, dtype)
                              the array as the framework's tensor on that device: a floating one in `dtype`, any other
                              (labels, int64) as it is, its memory layout kept where the framework has one,
    classes_last(tensor)      (N, C, ...) as (N, ..., C),
    take(tensor)              the way back: a NumPy array, and the tensor's dtype by name.

A mode's evaluate function is

    evaluate(request) -> Answer          (both in adapters/base.py)

It places every array, calls the function, and returns the value and, for each differentiable argument, the gradient by
the framework's own autodiff under the cotangent. What the framework raises is let through, and so are its warnings,
which go into the record and are not printed. Where the engine differentiates it also has, of its eager mode,

    backward_twice(request)   the gradients as a second backward through the same graph gives them,
    second(request)           the Hessian-vector product instead of each gradient: all of `request.differentiable` move
                              along `request.direction`. It is the gradient of the sum, over the arguments, of gradient
                              times direction; None where the framework sees no path from the gradients.

For the reproducer that `lossparity explain` prints, an engine has

    reproducer(sketch)        the lines of a program that needs the framework alone and prints what it got.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lossparity.adapters.base import Answer, Request


def load(name: str) -> ModuleType:
    """Import an engine, and with it the framework."""
    return importlib.import_module(f"{__name__}.{name}")


class NotCompiledError(Exception):
    """A compiler left the call, or a part of it, to the eager mode: its numbers say nothing of the compiled one.

    No framework raises it, so that it is never taken for a framework's answer.
    """


@dataclass(frozen=True)
class Mode:
    """A way in which an engine runs a call.

    evaluate: runs it.
    written: how a reproducer writes it; {} stands for the call.
    missing: why this machine does not have it on a device; None where it does.
    programs: those that it compiled; None where it compiles none.
    """

    evaluate: Callable[[Request], Answer]
    written: str = "{}"
    missing: Callable[[str], str | None] = lambda _: None
    programs: Programs | None = None


Program = Callable[[Request], Answer]


class Programs:
    """The programs of a compiling mode: one for each implementation with its options and the shapes of its arrays.

    Every number of an array is an input of the program; options are constants in it. Calls in the order of their
    signatures (`signature`) find theirs among the last few, which are kept.
    """

    KEPT = 32

    def __init__(self, build: Callable[[Request], Program]) -> None:
        self._build = build
        self._kept: OrderedDict[Hashable, Program] = OrderedDict()
        self.compiled = 0

    def __call__(self, request: Request) -> Answer:
        """The call, by its program."""
        key = signature(request)
        program = self._kept.pop(key, None)
        if program is None:
            program = self._build(request)
            self.compiled += 1
        found = program(request)  # one that raises is not kept: nothing says that it was compiled
        self._kept[key] = program
        if len(self._kept) > self.KEPT:
            self._kept.popitem(last=False)
        return found


def compiling(build: Callable[[Request], Program], written: str, missing: Any = Mode.missing) -> Mode:
    """The mode in which `build` makes a program of a call, to be run with other numbers too."""
    programs = Programs(build)
    return Mode(programs, written, missing, programs)


def signature(request: Request) -> Hashable:
    """What a program depends on: all of the call but the numbers in its arrays and the cotangent."""
    shapes = tuple((name, each.shape, str(each.dtype), each.strides) for name, each in request.arrays.items())
    options = repr(sorted(request.options.items()))
    return request.function, options, shapes, tuple(request.differentiable), request.dtype, request.device


def compiled(engine: ModuleType) -> dict[str, int]:
    """How many programs an engine has really compiled in this process, by mode."""
    return {name: mode.programs.compiled for name, mode in engine.MODES.items() if mode.programs is not None}


def disk_cache(compiler: str) -> str | None:
    """The folder in which a compiler keeps its programs between runs; None where none can be made.

    They are machine code: each kind of processor has its own.
    """
    cpuinfo = Path("/proc/cpuinfo")
    flags = [line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")] if cpuinfo.exists() else []
    kind = hashlib.sha256("".join([platform.machine(), platform.processor(), *flags[:1]]).encode()).hexdigest()[:12]
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else "")
    try:
        folder = (Path(home) if home else Path.home() / ".cache") / "lossparity" / "compilers" / f"{compiler}-{kind}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # read-only, or no home at all
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


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
    aspect: what is printed: "value", "gradient:<argument>", "second:<argument>", "shape" or "dtype".
    cotangent: of the value; None where no gradient is asked for.
    path: whether the framework sees a path to the argument.
    written: the arguments that are written as NumPy expressions, their digits being too many.
    directions: of a second derivative, of each argument that moves.
    """

    request: Request
    mode: str
    imports: Sequence[str]
    statements: Sequence[str]
    strided: frozenset[str]
    aspect: str
    cotangent: Any = None
    path: bool = True
    written: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def argument(self) -> str:
        """The argument whose gradient is printed; "" for none."""
        return self.aspect.partition(":")[2]

    def imported(self, *own: str) -> Iterator[str]:
        """The engine's imports and those of the call, each once."""
        others = [line for line in self.imports if not line.startswith(tuple(f"{each}." for each in own))]
        others += ["import numpy as np"] if self.written else []
        yield from sorted(dict.fromkeys((*own, *others)), key=lambda line: (line.startswith("from"), line))

    def tensors(self) -> Iterator[tuple[str, Any, str]]:
        """Each array: its name, itself, and its numbers as they are written in a program."""
        for name, array in self.request.arrays.items():
            yield name, array, self.written.get(name) or numbers(array)

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
