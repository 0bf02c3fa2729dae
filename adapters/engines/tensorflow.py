"""TensorFlow's tensors, devices and tapes, and what every library on it shares.

TensorFlow's tensors have no strides, so that of an array's memory layout only the numbers arrive.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lossparity.adapters import formulas
from lossparity.adapters.base import Answer, Call, Dialect, KnownIssue, Request
from lossparity.adapters.engines import Mode, Program, Sketch, answer, compiling, disk_cache, numbers

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else half a page about drivers on every import
_CACHE = disk_cache("xla")
if _CACHE:
    os.environ.setdefault("TF_XLA_FLAGS", f"--tf_xla_persistent_cache_directory={_CACHE}")

import tensorflow as tf  # noqa: E402  the lines above are for its import

REFUSED: dict[tuple[str, str], str] = {}


def version() -> str:
    """TensorFlow's version."""
    return str(tf.__version__)


def devices() -> list[str]:
    """The logical devices, the first CPU first: cpu, cpu:1, cuda:0."""
    kinds = {"CPU": "cpu", "GPU": "cuda"}
    found = [device.name.split(":")[-2:] for device in tf.config.list_logical_devices()]
    names = [f"{kinds[kind]}:{index}" for kind, index in found if kind in kinds]
    return sorted(("cpu" if name == "cpu:0" else name for name in names), key=lambda name: (name[:3] != "cpu", name))


def place(array: Any, device: str, dtype: str) -> Any:
    """The array as a tensor on `device`."""
    with _on(device):
        return tf.constant(array, dtype=dtype if array.dtype.kind == "f" else None)


def _on(device: str) -> Any:
    kind, _, index = device.partition(":")
    return tf.device(f"{'GPU' if kind == 'cuda' else 'CPU'}:{index or 0}")


def _warn(record: logging.LogRecord) -> bool:
    """Turn a logged deprecation ("From file:line: ...") into a warning; let other records pass."""
    said = record.getMessage()
    if "deprecated" not in said:
        return True
    warnings.warn(re.sub(r"^From \S+: ", "", said), DeprecationWarning, stacklevel=2)
    return False


@contextlib.contextmanager
def deprecations() -> Iterator[None]:
    """TensorFlow logs, once in a process, what it is going to remove: here that is a warning, as it is elsewhere."""
    logger = tf.get_logger()
    logger.addFilter(_warn)
    try:
        yield
    finally:
        logger.removeFilter(_warn)


def take(tensor: Any) -> tuple[Any, str]:
    """The tensor in NumPy, which has no bfloat16, and the name of its dtype."""
    tensor = tf.convert_to_tensor(tensor)  # a gradient may be sparse
    array = np.asarray(tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor)
    return array, str(tensor.dtype.name)


def _seed(cotangent: Callable[[tuple[int, ...]], Any], like: Any) -> Any:
    return tf.constant(np.asarray(cotangent(tuple(like.shape))), dtype=like.dtype)


@contextlib.contextmanager
def _placed(request: Request) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """The tensors by name, and those whose gradients are asked for; what is computed meanwhile is on the device too."""
    with deprecations(), _on(request.device):
        tensors = {name: place(array, request.device, request.dtype) for name, array in request.arrays.items()}
        yield tensors, [tensors[name] for name in request.differentiable]


def _taped(request: Request, tensors: dict[str, Any], leaves: list[Any], *, persistent: bool = False) -> Any:
    """The value, and the tape on which it was computed."""
    with tf.GradientTape(persistent=persistent) as tape:
        tape.watch(leaves)
        value = request.function(**tensors, **request.options)
    return value, tape


def _answer(request: Request, value: Any, found: Any) -> Answer:
    return answer(take, value, dict(zip(request.differentiable, found, strict=True)))


def evaluate(request: Request) -> Answer:
    """Value and gradients, as engines/__init__.py says."""
    with _placed(request) as (tensors, leaves):
        value, tape = _taped(request, tensors, leaves)
        found = tape.gradient(value, leaves, _seed(request.cotangent, value)) if leaves else []
        return _answer(request, value, found)


def backward_twice(request: Request) -> Answer:
    """The gradients that a second reading of a persistent tape gives."""
    with _placed(request) as (tensors, leaves):
        value, tape = _taped(request, tensors, leaves, persistent=True)
        seed = _seed(request.cotangent, value)
        tape.gradient(value, leaves, seed)
        return _answer(request, value, tape.gradient(value, leaves, seed))


def second(request: Request) -> Answer:
    """Hessian-vector products, by a tape around a tape."""
    names = request.differentiable
    with _placed(request) as (tensors, leaves):
        with tf.GradientTape() as outer:
            outer.watch(leaves)
            value, inner = _taped(request, tensors, leaves)
            gradients = inner.gradient(value, leaves, _seed(request.cotangent, value)) if leaves else []
            moving = [(n, tf.convert_to_tensor(g)) for n, g in zip(names, gradients, strict=True) if g is not None]
        along = [_seed(functools.partial(request.direction, name), each) for name, each in moving]
        found = outer.gradient([each for _, each in moving], leaves, along) if moving else [None] * len(leaves)
        return _answer(request, value, found)


def _function(jit_compile: bool) -> Callable[[Request], Program]:
    """tf.function: value and gradients in one graph, which XLA compiles where `jit_compile`."""

    def build(request: Request) -> Program:
        def whole(seed: Any, tensors: dict[str, Any]) -> tuple[Any, Any]:
            leaves = [tensors[name] for name in request.differentiable]
            value, tape = _taped(request, tensors, leaves)
            if not leaves:
                return value, []
            # The value's shape is known from here on; the cotangent is exact in its dtype.
            found = tape.gradient(value, leaves, tf.cast(tf.reshape(seed, value.shape), value.dtype))
            return value, [None if each is None else tf.convert_to_tensor(each) for each in found]

        compiled = tf.function(whole, jit_compile=jit_compile)
        with _placed(request) as (tensors, _):
            specification = {name: tf.TensorSpec(each.shape, each.dtype) for name, each in tensors.items()}
            program = compiled.get_concrete_function(tf.TensorSpec([None], tf.float64), specification)
        like = program.structured_outputs[0]

        def run(request: Request) -> Answer:
            with _placed(request) as (tensors, leaves):
                numbers = request.cotangent(tuple(like.shape)) if leaves else np.zeros(0)
                value, found = program(tf.constant(np.reshape(numbers, -1), tf.float64), tensors)
                return _answer(request, value, found)

        return run

    return build


MODES = {
    "eager": Mode(evaluate),
    "function": compiling(_function(jit_compile=False), "tf.function(lambda: {})()"),
    "xla": compiling(_function(jit_compile=True), "tf.function(lambda: {}, jit_compile=True)()"),
}


def reproducer(sketch: Sketch) -> Iterator[str]:
    """Tensors, the call and its tape, as engines/__init__.py says."""
    yield from sketch.imported("import tensorflow as tf")
    yield ""
    for name, array, text in sketch.tensors():
        dtype = f"tf.{sketch.request.dtype if array.dtype.kind == 'f' else array.dtype}"
        yield f"{name} = tf.constant({text if array.size else numbers(array)}, {dtype}, shape={array.shape})"
    if sketch.directions:
        names, along = ", ".join(sketch.directions), sketch.directions.items()
        yield "with tf.GradientTape() as outer:"
        yield f"    outer.watch([{names}])"
        yield "    with tf.GradientTape() as inner:"
        yield f"        inner.watch([{names}])"
        yield from (f"        {line}" for line in sketch.called(MODES[sketch.mode].written))
        cotangent = f"tf.constant({numbers(sketch.cotangent)}, value.dtype)"
        yield f"    gradients = inner.gradient(value, [{names}], {cotangent})"
        yield f"along = [{', '.join(f'tf.constant({numbers(each)}, {name}.dtype)' for name, each in along)}]"
        yield f"product = outer.gradient(gradients, {sketch.argument}, along)"
        yield 'print("got ", tf.convert_to_tensor(product).numpy().tolist())'
        return
    if sketch.argument:
        yield "with tf.GradientTape() as tape:"
        yield f"    tape.watch({sketch.argument})"
        yield from (f"    {line}" for line in sketch.called(MODES[sketch.mode].written))
        cotangent = f"tf.constant({numbers(sketch.cotangent)}, value.dtype)"
        yield f"gradient = tape.gradient(value, {sketch.argument}, {cotangent})"
        yield f'print("got ", {"tf.convert_to_tensor(gradient).numpy().tolist()" if sketch.path else "gradient"})'
        return
    yield from sketch.called(MODES[sketch.mode].written)
    shown = {"shape": "tuple(value.shape)", "dtype": "value.dtype.name"}.get(sketch.aspect, "value.numpy().tolist()")
    yield f'print("got ", {shown})'


# --- What every library on TensorFlow has from its operations

_SOURCE = "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/python/ops/"


def classes_last(tensor: Any) -> Any:
    """The tensor with its axis 1, the classes of the reference, moved to the end."""
    return tensor if tensor.ndim < 3 else tf.transpose(tensor, [0, *range(2, tensor.ndim), 1])


def zero_at_nan(function: str) -> KnownIssue:
    """What the gradient of a comparison does with NaN, for which every comparison is false."""
    return KnownIssue(
        "nan-gradient-0",
        f"The gradient of {function} at NaN is 0: a NaN in the prediction leaves the weights that made it as they are.",
        _SOURCE,
        versions="tensorflow>=2.13",
        symptom="zero",
        aspects=("gradient:input",),
        when=lambda call: bool(np.isnan(call.arguments["input"]).any()),
    )


def _onednn() -> bool:
    """Whether oneDNN's kernels are used on the CPU: that depends on the processor and on TF_ENABLE_ONEDNN_OPTS."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


_ONEDNN_NAN = KnownIssue(
    "onednn-nan",
    "In float32 on the CPU, oneDNN's softmax turns a row that holds NaN into zeros around the NaN.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/kernels/mkl/mkl_softmax_op.cc",
    versions="tensorflow>=2.13",
    symptom="zero",
    aspects=("value",),
    when=lambda call: (
        call.device.startswith("cpu") and call.dtype == "float32" and bool(np.isnan(call.arguments["input"]).any())
    ),
)
SOFTMAX_ISSUES = (_ONEDNN_NAN,) if _onednn() else ()


def _indices(call: Call) -> bool:
    return np.asarray(call.arguments["target"]).dtype.kind in "iu"


SIGMOID = Dialect(
    "slope-of-result",
    "The gradient is (1 - p) p of the rounded p: where p is near 1, 1 - p has lost the digits that e^-x still has, and "
    "beyond an x of 37 (17 in float32) it is 0.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/python/ops/math_grad.py",
    computed_as=formulas.sigmoid_slope_of_result,
)
SOFTMAX = Dialect(
    "slope-of-sum",
    "The gradient is p (g - sum g p): of a confident row's class both terms are g to all digits beyond a lead of 37 "
    "(17 in float32), and no digit of its gradient is left.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/python/ops/nn_grad.py",
    computed_as=formulas.softmax_slope_of_sum,
)
_OF_SUM = (
    "log-of-sum",
    "log sum e^(x - m) is the log of 1 and a small rest, which keeps of the rest only what it has beside 1: of a "
    "confident row no digit is left of the log-probability beyond a lead of 37 (17 in float32), nor of p - 1.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/kernels/xent_op.h",
)
LOG_SOFTMAX = Dialect(*_OF_SUM, computed_as=formulas.log_softmax_of_sum)
CROSS_ENTROPY = Dialect(*_OF_SUM, computed_as=formulas.cross_entropy_of_sum)
UNIT_TARGETS = Dialect(
    "unit-targets",
    "The gradient takes each row of probabilities to sum to 1: documented to be wrong where it does not.",
    "https://www.tensorflow.org/api_docs/python/tf/nn/softmax_cross_entropy_with_logits",
    parameters={"unit_targets": True},
)
LABELS_TWICE = KnownIssue(
    "labels-twice",
    "Differentiated twice, it is 0 in the probabilities: its gradient in the logits is taken not to depend on them.",
    "https://github.com/tensorflow/tensorflow/issues/26495",
    versions="tensorflow>=2.13",
    symptom="zero",
    aspects=("second:target",),
    when=lambda call: not _indices(call),
)
MASKED_NAN = KnownIssue(
    "masked-nan",
    "A logit of -inf under a probability of 0 makes the loss NaN: 0 * inf. Of class indices it does not.",
    "https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/kernels/xent_op.h",
    versions="tensorflow>=2.13",
    symptom="nan",
    aspects=("value",),
    when=lambda call: not _indices(call) and bool(np.isneginf(call.arguments["input"]).any()),
)
