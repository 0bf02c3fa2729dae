"""Faults put into the real frameworks, each of which the matrix must see, and say where.

A fault is a function that gets the adapter's own function and the call's arguments, and answers wrongly. Only the
checks of the faulty implementation are decided, by the same `Judge` that decides a run. TensorFlow and Keras are broken
in a process of their own (`python test_faults.py`): torch and tensorflow do not live in one process.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import own_process
import pytest

from lossparity import adapters
from lossparity.adapters import engines
from lossparity.adapters.base import Implementation
from lossparity.conformance.cases import CASES, DTYPES
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, checks
from lossparity.conformance.record import FAILING, Check

# Each implementation has one of them, enough to see a factor; a focal loss with gamma 2 may itself be off by 16 eps.
ORDINARY = "plain or multiclass or one-hot or axis1 or gamma1"


@dataclass(frozen=True)
class Fault:
    """What is done to an implementation, and the aspects in which it must be seen."""

    backend: str
    loss: str
    implementation: str
    function: Callable[..., Any]
    aspects: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.function.__name__}-{self.implementation}"


@functools.cache
def judge_of(backend: str) -> Judge:
    """One judge for all faults of a backend: what the reference says is computed once."""
    module = adapters.load(backend)
    if backend.startswith("torch"):
        import torch

        torch.set_num_threads(1)  # the arrays are small: waiting for a second thread takes longer
    return Judge(module, 0, adapters.BACKENDS[backend].versions())


def failing(backend: str, loss: str, name: str, fault: Callable[..., Any] | None = None, only: str = "") -> list[Check]:
    """The failing checks of an implementation, broken or as it is; `only` those that an expression picks."""
    judge = judge_of(backend)
    whole = judge.implementations[loss, name]
    if fault is not None:
        judge.implementations[loss, name] = dataclasses.replace(whole, function=broken(whole.function, fault))
    try:
        planned = checks(backend, adapters.load(backend), Selection(losses=(loss,), expression=only))
        decided = [judge(check) for check in planned if check.implementation == name]
    finally:
        judge.implementations[loss, name] = whole
    return [check for check in decided if check.verdict in FAILING]


def planned(implementation: Implementation) -> list[str]:
    """Its dtypes that a run looks at which does not ask for the narrow ones."""
    return [dtype for dtype in implementation.dtypes if dtype in DTYPES]


def broken(function: Callable[..., Any], fault: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)  # with it goes the signature, which says what the implementation takes
    def faulty(**arguments: Any) -> Any:
        return fault(function, **arguments)

    return faulty


@functools.cache
def control(backend: str, loss: str, name: str) -> list[Check]:
    return failing(backend, loss, name)


def factor_for(implementation: Implementation) -> Callable[..., Any]:
    """The fault that multiplies by 1 + 16 eps; autodiff carries the factor into every gradient.

    1 + 64 eps for Keras' focal loss over classes: the slope of what it really computes, of a softmax that is divided by
    its sum once more, may itself be off by 41 eps.

    eps is that of the dtype under test, or of the one in which the implementation declares to compute or to reduce.
    """
    declared = [str(word) for each in implementation.dialects for word in (each.reduced_in, each.dtype)]

    def factor(original: Callable[..., Any], **arguments: Any) -> Any:
        dtypes = [*declared, *(str(getattr(argument, "dtype", "")) for argument in arguments.values())]
        narrow = any("float32" in dtype for dtype in dtypes)
        times = 64.0 if implementation.loss == "softmax_focal_loss" else 16.0
        return original(**arguments) * (1.0 + times * float(np.finfo("float32" if narrow else "float64").eps))

    return factor


class Table:
    """Faults of one backend, collected by a decorator."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.faults: list[Fault] = []

    def __call__(self, loss: str, name: str, *aspects: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self.faults.append(Fault(self.backend, loss, name, function, aspects))
            return function

        return add


def torch_faults() -> list[Fault]:
    import torch
    import torch.nn.functional as F  # noqa: N812  torch's own convention

    table = Table("torch")

    def on(loss: str, *aspects: str, name: str = "") -> Any:
        return table(loss, name or f"torch.nn.functional.{loss}", *aspects)

    @on("mse_loss", "value", "gradient:input", "gradient:target")
    def sum_for_mean(original, reduction, **rest):
        return original(reduction="sum" if reduction == "mean" else reduction, **rest)

    @on("mse_loss", "value", "gradient:input")
    def mean_of_all_but_the_last_row(original, input, target, reduction, **rest):
        if reduction == "mean" and input.shape == target.shape and len(input) > 1 and rest.get("weight") is None:
            return original(input=input[:-1], target=target[:-1], reduction=reduction, **rest)
        return original(input=input, target=target, reduction=reduction, **rest)

    @on("mse_loss", "gradient:input", "gradient:target")
    def gradient_of_the_other_sign(original, **rest):
        value = original(**rest)
        return 2.0 * value.detach() - value

    @on("mse_loss", "gradient:input", "gradient:target")
    def gradient_twice_its_size(original, **rest):
        value = original(**rest)
        return 2.0 * value - value.detach()

    @on("mse_loss", "gradient:target")
    def target_detached(original, target, **rest):
        return original(target=target.detach(), **rest)

    @on("mse_loss", "gradient:input")
    def cotangent_ignored(original, **rest):
        value = original(**rest)
        value.register_hook(torch.ones_like)
        return value

    @on("mse_loss", "value", "gradient:input")
    def float32_inside_float64(original, input, target, reduction, weight=None):
        weight = None if weight is None else weight.float()
        return original(input=input.float(), target=target.float(), reduction=reduction, weight=weight).to(input.dtype)

    @on("mse_loss", "dtype")
    def always_float32(original, **rest):
        return original(**rest).float()

    @on("mse_loss", "dtype")
    def always_float64(original, **rest):
        return original(**rest).double()

    @on("mse_loss", "shape", "value")
    def transposed(original, reduction, **rest):
        value = original(reduction=reduction, **rest)
        return value.transpose(-1, -2) if value.ndim > 1 else value

    @on("mse_loss", "value")
    def nan_to_num(original, **rest):
        return torch.nan_to_num(original(**rest))

    @on("mse_loss", "value")
    def a_millionth_added(original, **rest):
        return original(**rest) + 1e-6

    @on("mse_loss", "value", "gradient:input")
    def strides_ignored(original, input, **rest):
        if not input.is_contiguous():
            return original(input=torch.as_strided(input, input.shape, torch.empty(input.shape).stride()), **rest)
        return original(input=input, **rest)

    @on("mse_loss", "value", "gradient:input", "gradient:target")
    def broadcasting_refused(original, input, target, **rest):
        if input.shape != target.shape:
            raise ValueError("shapes differ")
        return original(input=input, target=target, **rest)

    @on("mse_loss", "error")
    def default_for_an_unknown_reduction(original, reduction, **rest):
        return original(reduction=reduction if reduction in ("none", "mean", "sum") else "mean", **rest)

    @on("mse_loss", "twin", name="torch.nn.MSELoss")
    def class_off_by_a_bit(original, **rest):
        value = original(**rest)
        return value * (1.0 + torch.finfo(value.dtype).eps)

    @on("l1_loss", "shape")
    def squeezed(original, **rest):
        return original(**rest).squeeze()

    @on("l1_loss", "shape")
    def not_reduced_to_a_scalar(original, reduction, **rest):
        value = original(reduction=reduction, **rest)
        return value if reduction == "none" else value[None]

    @on("l1_loss", "gradient:input", "gradient:target")
    def subgradient_1_at_the_kink(original, input, target, reduction, weight=None):
        if weight is not None:
            return original(input=input, target=target, reduction=reduction, weight=weight)
        d = input - target
        size = torch.where(d >= 0, d, -d)
        return {"none": size, "mean": size.mean(), "sum": size.sum()}[reduction]

    @on("smooth_l1_loss", "value", "gradient:input")
    def huber_for_smooth_l1(original, input, target, reduction, beta):
        if beta == 0.0:
            return original(input=input, target=target, reduction=reduction, beta=beta)
        return F.huber_loss(input, target, reduction=reduction, delta=beta)

    @on("huber_loss", "value", "gradient:input")
    def smooth_l1_for_huber(original, input, target, reduction, delta, weight=None):
        if delta == 0.0 or weight is not None:
            return original(input=input, target=target, reduction=reduction, delta=delta, weight=weight)
        return F.smooth_l1_loss(input, target, reduction=reduction, beta=delta)

    @on("huber_loss", "value", "gradient:input")
    def delta_is_always_1(original, delta, **rest):
        return original(delta=1.0 if delta > 0.0 else delta, **rest)

    @on("huber_loss", "value", "gradient:input")
    def delta_off_by_a_millionth(original, delta, **rest):
        return original(delta=delta * (1.0 + 1e-6), **rest)

    @on("binary_cross_entropy", "value", "gradient:input")
    def clipped_at_1e_7(original, input, **rest):
        return original(input=input.clamp(1e-7, 1.0 - 1e-7), **rest)

    @on("binary_cross_entropy", "value", "gradient:input")
    def weight_forgotten(original, weight=None, **rest):  # noqa: ARG001
        return original(**rest)

    @on("binary_cross_entropy_with_logits", "value", "gradient:input", "gradient:target")
    def pos_weight_on_the_negatives(original, input, target, pos_weight=None, **rest):
        if pos_weight is None:
            return original(input=input, target=target, **rest)
        return original(input=-input, target=1.0 - target, pos_weight=pos_weight, **rest)

    @on("binary_cross_entropy_with_logits", "value", "gradient:input")
    def without_the_shift(original, input, target, reduction, weight=None, pos_weight=None):
        if weight is not None or pos_weight is not None:
            return original(input=input, target=target, reduction=reduction, weight=weight, pos_weight=pos_weight)
        terms = torch.log(1.0 + torch.exp(input)) - target * input
        return {"none": terms, "mean": terms.mean(), "sum": terms.sum()}[reduction]

    @on("softmax", "value", "gradient:input")
    def softmax_without_the_shift(original, input, dim):  # noqa: ARG001
        e = torch.exp(input)
        return e / e.sum(dim, keepdim=True)

    @on("softmax", "value", "gradient:input")
    def softmax_along_another_axis(original, input, dim):
        return original(input=input, dim=0 if dim == -1 else dim)

    @on("log_softmax", "value", "gradient:input")
    def logarithm_of_the_softmax(original, input, dim):  # noqa: ARG001
        return torch.log(F.softmax(input, dim=dim))

    @on("sigmoid", "gradient:input", name="torch.sigmoid")
    def sigmoid_by_its_formula(original, input):  # noqa: ARG001
        return 1.0 / (1.0 + torch.exp(-input))

    @on("nll_loss", "error")
    def exceptions_swallowed(original, input, **rest):
        try:
            return original(input=input, **rest)
        except (IndexError, RuntimeError, ValueError):
            return 0.0 * input.sum()

    @on("nll_loss", "value")
    def ignored_rows_count_in_the_mean(original, input, target, reduction, ignore_index, weight=None):
        if reduction != "mean" or not len(input) or weight is not None or input.ndim == 1:
            return original(input=input, target=target, reduction=reduction, ignore_index=ignore_index, weight=weight)
        total = original(input=input, target=target, reduction="sum", ignore_index=ignore_index)
        return total / target.numel()

    @on("cross_entropy", "value", "gradient:input")
    def class_weight_forgotten(original, weight=None, **rest):  # noqa: ARG001
        return original(**rest)

    @on("cross_entropy", "value", "gradient:input")
    def ignore_index_ignored(original, target, ignore_index, **rest):
        return original(target=target, ignore_index=ignore_index if ignore_index == -100 else -100, **rest)

    @on("cross_entropy", "value", "gradient:input")
    def mean_over_n_for_the_sum_of_weights(original, input, target, reduction, weight=None, **rest):
        if reduction != "mean" or weight is None or target.is_floating_point():
            return original(input=input, target=target, reduction=reduction, weight=weight, **rest)
        return original(input=input, target=target, reduction="sum", weight=weight, **rest) / target.numel()

    @on("cross_entropy", "value", "gradient:input")
    def smoothed_over_the_other_classes(original, input, label_smoothing, **rest):
        classes = input.shape[min(1, input.ndim - 1)]
        share = label_smoothing * classes / (classes - 1) if classes > 1 else label_smoothing
        return original(input=input, label_smoothing=min(share, 1.0), **rest)

    @on("cross_entropy", "value", "gradient:input")
    def softmax_twice(original, input, **rest):
        return original(input=F.softmax(input, dim=min(1, input.ndim - 1)), **rest)

    @on("cross_entropy", "value")
    def square_result_transposed(original, **rest):
        value = original(**rest)
        return value.transpose(-1, -2) if value.ndim == 3 else value

    @on("cross_entropy", "gradient:target")
    def no_gradient_for_probabilities(original, target, **rest):
        return original(target=target.detach() if target.is_floating_point() else target, **rest)

    @on("kl_div", "value", "gradient:input")
    def mean_for_batchmean(original, reduction, **rest):
        return original(reduction="mean" if reduction == "batchmean" else reduction, **rest)

    @on("kl_div", "value", "gradient:target")
    def log_target_ignored(original, log_target, **rest):  # noqa: ARG001
        return original(log_target=False, **rest)

    @on("hinge_embedding_loss", "gradient:input")
    def slope_at_the_margin_is_that_of_the_inside(original, input, target, margin, reduction):
        if reduction not in ("none", "mean", "sum") or target.shape != input.shape or not (input == margin).any():
            return original(input=input, target=target, margin=margin, reduction=reduction)
        terms = torch.where(target == 1.0, input, torch.where(input <= margin, margin - input, 0.0))
        return {"none": terms, "mean": terms.mean(), "sum": terms.sum()}[reduction]

    @on("margin_ranking_loss", "value", "gradient:input1", "gradient:input2")
    def margin_forgotten(original, margin, **rest):  # noqa: ARG001
        return original(margin=0.0, **rest)

    return table.faults


def torchvision_faults() -> list[Fault]:
    import torch
    from torchvision import ops

    table = Table("torchvision")

    def on(loss: str, *aspects: str) -> Any:
        return table(loss, f"torchvision.ops.{loss}", *aspects)

    @on("sigmoid_focal_loss", "value", "gradient:inputs")
    def another_default_alpha(original, alpha, **rest):
        return original(alpha=0.2500001 if alpha == 0.25 else alpha, **rest)

    @on("sigmoid_focal_loss", "value", "gradient:inputs")
    def alpha_on_the_negatives(original, alpha, **rest):
        return original(alpha=1.0 - alpha if 0.0 <= alpha <= 1.0 else alpha, **rest)

    @on("sigmoid_focal_loss", "value", "gradient:inputs")
    def alpha_cannot_be_switched_off(original, alpha, **rest):
        return original(alpha=0.25 if alpha < 0.0 else alpha, **rest)

    @on("sigmoid_focal_loss", "value", "gradient:inputs")
    def gamma_off_by_a_millionth(original, gamma, **rest):
        return original(gamma=gamma + 1e-6, **rest)

    @on("sigmoid_focal_loss", "gradient:inputs")
    def weight_taken_for_a_constant(original, inputs, targets, alpha, gamma, reduction):
        if gamma < 0.0 or not 0.0 <= alpha <= 1.0 or inputs.shape != targets.shape:
            return original(inputs=inputs, targets=targets, alpha=alpha, gamma=gamma, reduction=reduction)
        p = torch.sigmoid(inputs).detach()
        rest = targets * (1.0 - p) + (1.0 - targets) * p
        balance = alpha * targets + (1.0 - alpha) * (1.0 - targets)
        ce = torch.nn.functional.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        terms = balance * rest**gamma * ce
        return {"none": terms, "mean": terms.mean(), "sum": terms.sum()}[reduction]

    @on("generalized_box_iou_loss", "value", "gradient:boxes1")
    def eps_forgotten(original, eps, **rest):  # noqa: ARG001
        return original(eps=0.0, **rest)

    @on("generalized_box_iou_loss", "value", "gradient:boxes1")
    def eps_of_its_own(original, eps, **rest):  # noqa: ARG001
        return original(eps=1e-7, **rest)

    @on("generalized_box_iou_loss", "value", "gradient:boxes1")
    def enclosing_box_of_the_centres(original, boxes1, boxes2, reduction, eps):
        if boxes1.shape[-1] != 4 or boxes1.shape != boxes2.shape:
            return original(boxes1=boxes1, boxes2=boxes2, reduction=reduction, eps=eps)
        low = torch.maximum(boxes1[:, :2], boxes2[:, :2])
        high = torch.minimum(boxes1[:, 2:], boxes2[:, 2:])
        both = (high - low).clamp(min=0.0).prod(-1)
        either = (boxes1[:, 2:] - boxes1[:, :2]).prod(-1) + (boxes2[:, 2:] - boxes2[:, :2]).prod(-1) - both
        hull = (torch.maximum(boxes1[:, 2:], boxes2[:, 2:]) - torch.maximum(boxes1[:, :2], boxes2[:, :2])).prod(-1)
        terms = 1.0 - both / (either + eps) + (hull - either) / (hull + eps)
        return {"none": terms, "mean": terms.sum() / max(len(terms), 1), "sum": terms.sum()}[reduction]

    @on("distance_box_iou_loss", "value", "gradient:boxes1")
    def generalized_for_distance(original, **rest):  # noqa: ARG001
        return ops.generalized_box_iou_loss(**rest)

    @on("distance_box_iou_loss", "value")
    def boxes_read_as_centre_and_size(original, boxes1, **rest):
        if boxes1.shape[-1] == 4:
            boxes1 = ops.box_convert(boxes1, "cxcywh", "xyxy")
        return original(boxes1=boxes1, **rest)

    @on("complete_box_iou_loss", "value", "gradient:boxes1")
    def without_the_aspect_ratio(original, **rest):  # noqa: ARG001
        return ops.distance_box_iou_loss(**rest)

    @on("complete_box_iou_loss", "gradient:boxes2")
    def one_box_detached(original, boxes2, **rest):
        return original(boxes2=boxes2.detach(), **rest)

    return table.faults


def sklearn_faults() -> list[Fault]:
    on = Table("sklearn")

    @on("mse_loss", "sklearn.metrics.mean_squared_error", "value")
    def root_of_the_mean_square(original, **rest):
        return np.sqrt(original(**rest))

    @on("mse_loss", "sklearn.metrics.mean_squared_error", "value")
    def sample_weight_forgotten(original, sample_weight=None, **rest):  # noqa: ARG001
        return original(**rest)

    @on("l1_loss", "sklearn.metrics.mean_absolute_error", "value")
    def weighted_mean_over_n(original, input, target, sample_weight=None):
        value = original(input=input, target=target, sample_weight=sample_weight)
        return value if sample_weight is None else value * np.mean(sample_weight)

    @on("binary_cross_entropy", "sklearn.metrics.log_loss", "value")
    def clipped_at_1e_15(original, input, **rest):
        return original(input=np.clip(input.astype(np.float64), 1e-15, 1.0 - 1e-15), **rest)

    @on("log_loss", "sklearn.metrics.log_loss", "value")
    def always_normalized(original, normalize, **rest):  # noqa: ARG001
        return original(normalize=True, **rest)

    @on("log_loss", "sklearn.metrics.log_loss", "value")
    def logarithm_to_base_2(original, **rest):
        return original(**rest) / np.log(2.0)

    @on("hinge_loss", "sklearn.metrics.hinge_loss", "value")
    def labels_swapped(original, target, **rest):
        return original(target=-target, **rest)

    @on("categorical_hinge_loss", "sklearn.metrics.hinge_loss", "value")
    def classes_shifted(original, input, **rest):
        return original(input=np.roll(input, 1, axis=1), **rest)

    return on.faults


def tensorflow_faults() -> list[Fault]:
    import tensorflow as tf

    table = Table("tensorflow")

    def on(loss: str, name: str, *aspects: str) -> Any:
        return table(loss, f"tf.{name}", *aspects)

    @on("mse_loss", "compat.v1.losses.mean_squared_error", "value", "gradient:input")
    def zero_weights_do_not_count(original, reduction, **rest):
        other = "sum_by_nonzero_weights" if reduction == "sum_over_batch_size" else reduction
        return original(reduction=other, **rest)

    @on("mse_loss", "compat.v1.losses.mean_squared_error", "gradient:target")
    def target_stopped(original, target, **rest):
        return original(target=tf.stop_gradient(target), **rest)

    @on("mse_loss", "compat.v1.losses.mean_squared_error", "value", "gradient:input")
    def half_precision_inside(original, input, target, **rest):
        value = original(
            input=tf.cast(tf.cast(input, tf.float16), input.dtype),
            target=tf.cast(tf.cast(target, tf.float16), target.dtype),
            **rest,
        )
        return tf.cast(value, input.dtype)

    @on("huber_loss", "compat.v1.losses.huber_loss", "value", "gradient:input")
    def delta_forgotten(original, delta, **rest):  # noqa: ARG001
        return original(delta=1.0, **rest)

    @on("cross_entropy", "compat.v1.losses.softmax_cross_entropy", "value", "gradient:input")
    def smoothing_forgotten(original, label_smoothing, **rest):  # noqa: ARG001
        return original(label_smoothing=0.0, **rest)

    @on("cross_entropy", "nn.sparse_softmax_cross_entropy_with_logits", "value", "gradient:input")
    def labels_from_1(original, input, target):
        classes = input.shape[min(1, input.ndim - 1)]
        return original(input=input, target=tf.math.floormod(target + 1, classes))

    @on("softmax", "nn.softmax", "value", "gradient:input")
    def exp_without_the_shift(original, input, dim):  # noqa: ARG001
        e = tf.exp(input)
        return e / tf.reduce_sum(e, axis=dim, keepdims=True)

    @on("hinge_loss", "compat.v1.losses.hinge_loss", "value", "gradient:input")
    def squared_hinge(original, reduction, **rest):
        value = original(reduction=reduction, **rest)
        return value * value

    return table.faults


def keras_faults() -> list[Fault]:
    import tensorflow as tf

    table = Table("keras")

    def on(loss: str, name: str, *aspects: str) -> Any:
        return table(loss, f"keras.losses.{name}", *aspects)

    @on("binary_cross_entropy_with_logits", "BinaryCrossentropy", "value", "gradient:input")
    def logits_squashed(original, input, **rest):
        return original(input=tf.sigmoid(input), **rest)

    @on("cross_entropy", "CategoricalCrossentropy", "value", "gradient:input")
    def smoothing_doubled(original, label_smoothing, **rest):
        return original(label_smoothing=min(1.0, 2.0 * label_smoothing), **rest)

    @on("sigmoid_focal_loss", "BinaryFocalCrossentropy", "value", "gradient:inputs")
    def balancing_forgotten(original, alpha, **rest):  # noqa: ARG001
        return original(alpha=0.5, **rest)

    @on("dice_loss", "Dice", "value", "gradient:input")
    def axis_forgotten(original, axis, **rest):  # noqa: ARG001
        return original(axis=None, **rest)

    @on("mse_loss", "MeanSquaredError", "value", "gradient:input")
    def weights_forgotten(original, sample_weight=None, **rest):  # noqa: ARG001
        return original(**rest)

    @on("hinge_loss", "Hinge", "value", "gradient:input")
    def margin_of_0(original, input, target, **rest):
        return original(input=input + target, target=target, **rest)

    @on("cross_entropy", "CategoricalCrossentropy", "value", "gradient:input")
    def smoothing_axis_garbled(original, input, label_smoothing, **rest):
        """Wrong where a known issue is wrong already: in the axis that label_smoothing is divided along."""
        value = original(input=input, label_smoothing=label_smoothing, **rest)
        return value * 1.001 if label_smoothing > 0.0 and input.ndim > 2 else value

    return table.faults


TABLES: dict[str, Callable[[], list[Fault]]] = {
    "torch": torch_faults,
    "torchvision": torchvision_faults,
    "sklearn": sklearn_faults,
    "tensorflow": tensorflow_faults,
    "keras": keras_faults,
}


def installed(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if adapters.BACKENDS[name].missing() is None)


def implementations() -> Iterator[tuple[str, Implementation]]:
    for backend in installed(own_process.HERE):
        for each in adapters.load(backend).IMPLEMENTATIONS:
            yield backend, each


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames:
        faults = [fault for backend in installed(own_process.HERE) for fault in TABLES.get(backend, list)()]
        metafunc.parametrize("fault", faults, ids=[fault.name for fault in faults])
    if "implementation" in metafunc.fixturenames:
        found = list(implementations())
        metafunc.parametrize(("backend", "implementation"), found, ids=[f"{i.loss}-{i.name}" for _, i in found])


def assert_seen(red: list[Check], aspects: tuple[str, ...]) -> None:
    """Each aspect has a failing check whose reason names the place and says the numbers."""
    for aspect in aspects:
        reasons = [check.reason for check in red if check.aspect == aspect]
        assert reasons, f"not seen in {aspect}; seen in {sorted({check.aspect for check in red})}"
        named = [reason for reason in reasons if _says_where(aspect, reason)]
        assert named, f"{aspect} is not named with its numbers in any of {reasons[:3]}"


def _says_where(aspect: str, reason: str) -> bool:
    if aspect == "error":
        return reason.startswith("returned ") and "want an error" in reason
    if aspect == "twin":
        return "not the same bits as that of" in reason
    if aspect in ("shape", "dtype"):
        return reason.startswith(f"{aspect} of ") and "want" in reason
    return reason.startswith((aspect, "raised ")) and ("want" in reason or reason.startswith("raised "))


# --- In this process


def test_a_fault_is_seen_and_named(fault: Fault) -> None:
    assert control(fault.backend, fault.loss, fault.implementation) == []
    assert_seen(failing(fault.backend, fault.loss, fault.implementation, fault.function), fault.aspects)


def test_a_factor_is_seen_in_every_implementation(backend: str, implementation: Implementation) -> None:
    """1 + 16 eps on any one loss turns the run red, value and gradient, in float32 and in float64."""
    loss, name = implementation.loss, implementation.name
    assert failing(backend, loss, name, only=ORDINARY) == []
    red = failing(backend, loss, name, factor_for(implementation), only=ORDINARY)
    for dtype in planned(implementation):
        assert_seen([check for check in red if check.dtype == dtype], red_aspects(implementation))


@pytest.mark.skipif(adapters.BACKENDS["torch"].missing() is not None, reason="torch is not installed")
def test_a_logarithm_that_loses_the_tail_is_seen() -> None:
    """log(1 + e) for log1p(e): 0 for 4e-18 at a logit of 40, which torch's own kernel gives for a target of 0.

    That kernel's formula is declared, and for a target of 1 has all its digits: it does not excuse this one.
    """
    import torch

    def tail(_original: Callable[..., Any], input: Any, target: Any, reduction: str, **rest: Any) -> Any:
        if any(each is not None for each in rest.values()) or input.shape != target.shape:
            return _original(input=input, target=target, reduction=reduction, **rest)
        terms = input.clamp(min=0.0) - input * target + torch.log(1.0 + torch.exp(-input.abs()))
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(reduction)
        return {"none": terms, "mean": terms.mean(), "sum": terms.sum()}[reduction]

    loss = "binary_cross_entropy_with_logits"
    name = f"torch.nn.functional.{loss}"
    judge = judge_of("torch")
    whole = judge.implementations[loss, name]
    judge.implementations[loss, name] = dataclasses.replace(whole, function=broken(whole.function, tail))
    try:
        selection = Selection(losses=(loss,), expression="saturated-none and value and functional")
        decided = [judge(check) for check in checks("torch", adapters.load("torch"), selection)]
    finally:
        judge.implementations[loss, name] = whole
    assert [check.verdict for check in decided] == ["mismatch"] * 2
    assert all((check.error_ulp or 0.0) > 1e6 for check in decided)


def red_aspects(implementation: Implementation) -> tuple[str, ...]:
    """The value, and the gradient in the first argument where there is one."""
    module = SimpleNamespace(IMPLEMENTATIONS=[implementation], ENGINE=engines.load("numpy"))
    planned = [check.aspect for check in checks("", module, Selection())]
    gradients = [aspect for aspect in planned if aspect.startswith("gradient:")]
    return ("value",) if "*" in implementation.no_gradient else ("value", *gradients[:1])


# --- TensorFlow and Keras, in a process of their own


@pytest.fixture(scope="module", params=own_process.ELSEWHERE)
def elsewhere(request: pytest.FixtureRequest) -> dict[str, Any]:
    names = list(installed(own_process.ELSEWHERE[request.param]))
    if not names:
        pytest.skip(f"none of {', '.join(own_process.ELSEWHERE[request.param])} is installed")
    done = subprocess.run(
        [sys.executable, __file__, *names],
        capture_output=True,
        text=True,
        check=False,
        env=own_process.environment(),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_other_frameworks_are_whole_without_a_fault(elsewhere: dict[str, Any]) -> None:
    assert [name for name, red in elsewhere["control"].items() if red] == []


def test_the_other_frameworks_faults_are_seen_and_named(elsewhere: dict[str, Any]) -> None:
    assert len(elsewhere["faults"]) >= 8
    for name, aspects, red in elsewhere["faults"]:
        try:
            assert_seen([Check(*row) for row in red], tuple(aspects))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def test_a_factor_is_seen_in_the_other_frameworks(elsewhere: dict[str, Any]) -> None:
    assert len(elsewhere["factors"]) >= 20
    for name, dtypes, aspects, red in elsewhere["factors"]:
        for dtype in dtypes:
            try:
                assert_seen([Check(*row) for row in red if Check(*row).dtype == dtype], tuple(aspects))
            except AssertionError as error:
                raise AssertionError(f"{name} in {dtype}: {error}") from None


def main(names: list[str]) -> None:
    """Break the backends of these names; print what the matrix saw as one line of JSON."""
    found: dict[str, Any] = {"control": {}, "faults": [], "factors": []}
    for backend in names:
        for each in adapters.load(backend).IMPLEMENTATIONS:
            red = failing(backend, each.loss, each.name, only=ORDINARY)
            found["control"][f"{each.loss}/{each.name}"] = [rows(check) for check in red]
            red = failing(backend, each.loss, each.name, factor_for(each), only=ORDINARY)
            row = (f"{each.loss}/{each.name}", planned(each), red_aspects(each), [rows(check) for check in red])
            found["factors"].append(row)
        for fault in TABLES.get(backend, list)():
            place = (backend, fault.loss, fault.implementation)
            if f"{fault.loss}/{fault.implementation}, every case" not in found["control"]:
                red = failing(*place, only="float64")  # one dtype has every case, in half the time
                found["control"][f"{fault.loss}/{fault.implementation}, every case"] = [rows(check) for check in red]
            red = failing(*place, fault.function, only="float64")
            found["faults"].append((fault.name, fault.aspects, [rows(check) for check in red]))
    print(json.dumps(found, default=str))


def rows(check: Check) -> tuple[Any, ...]:
    return dataclasses.astuple(dataclasses.replace(check, worst=None))


# --- The tolerances leave no loss out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", CASES)
def test_16_roundoffs_are_more_than_the_tolerance_somewhere(
    loss: str, dtype: str, judge_of: Callable[[int], Judge]
) -> None:
    """In every loss and dtype, in the value and in every gradient, whatever framework is installed."""
    judge = judge_of(0)
    unit = 16.0 * float(np.finfo(dtype).eps)
    sharp: dict[str, bool] = {}
    for case in CASES[loss].values():
        if dtype not in case.dtypes or case.tags & {"error", "empty", "nan"}:
            continue
        expected = judge.expected(case, dtype, ())
        pairs = {"value": (expected.value, expected.value_tolerance)}
        pairs.update({name: (g, expected.gradient_tolerances[name]) for name, g in expected.gradients.items()})
        for name, (want, limit) in pairs.items():
            sharp[name] = sharp.get(name, False) or bool(np.any(limit < unit * np.abs(want)))
    assert "value" in sharp
    assert [name for name, found in sharp.items() if not found] == []


if __name__ == "__main__":
    main(sys.argv[1:])
