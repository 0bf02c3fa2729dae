"""Inputs at which fast forms were once wrong by more than the bar, each with its cause, against the textbook form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from certify.search import BAR, PRECISION, Point, Regime, Subject, measure
from exact import mp

from lossparity import reference

LOSSES = {**reference.LOSSES, **reference.ACTIVATIONS}

WORST: dict[str, tuple[str, Point]] = {
    # x - max is rounded, which costs |x - max| / 2 ULP of e^(x - max)
    "rounded-shift": ("cross_entropy", {"input": [[-152.1155853468785, -757.2379714488078]], "target": [0]}),
    "rounded-shift-softmax": ("softmax", {"input": [32.37902638, -112.65052356, 2.65988877], "cotangent": [1.0, 0, 0]}),
    # g - sum g p of a class with p near 1
    "confident-softmax": ("softmax", {"input": [42.84219793, -3.23417419], "cotangent": [-0.78719276, 0.58259124]}),
    "confident-log-softmax": (
        "log_softmax", {"input": [927.15522023, 959.63007521], "cotangent": [6.96940938e-03, 5.93928402e04]}),
    # log b - log a near p = 1/2
    "logarithms-alike": ("binary_cross_entropy", {"input": [0.5000011740341239], "target": [0.25]}),
    "epsilon-to-1": ("binary_cross_entropy", {"input": [0.9], "target": [1.0], "epsilon": 0.1}),
    "epsilon-alike": ("binary_cross_entropy", {"input": [0.50000586], "target": [0.25], "epsilon": 8.0}),
    "epsilon-far-from-a-half": ("binary_cross_entropy", {"input": [0.4], "target": [0.25], "epsilon": 40.0}),
    # t - x + 1 after t - x was rounded
    "kl-near-minus-1": ("kl_div", {"input": [0.30742921], "target": [-0.69257079], "log_target": True}),
    # log p_t of p_t = x_t / sum near 1
    "renormalized": (
        "log_loss",
        {"y_true": [0], "y_pred": [[0.990369717, 3.1098e-291]], "labels": [0, 1], "renormalize": "before_clip"}),
    "renormalized-clipped": (
        "log_loss", {"y_true": [0], "y_pred": [[0.797, 4.9433e-4]], "labels": [0, 1], "renormalize": "after_clip"}),
    # A - a_k where the label has all but a little of the weight
    "little-smoothing": ("cross_entropy", {"input": [[40.0, 0.0, 1.0]], "target": [0], "label_smoothing": 1e-12}),
    # p - y of a logit so small that e^-x, to 50 digits, is 1
    "tiny-logit": ("quality_focal_loss", {"input": [1e-300], "target": [0.5], "beta": 0.5}),
    # p - y where smoothing brings y to p
    "smoothed-to-a-half": (
        "sigmoid_focal_loss",
        {"inputs": [-1.9097562478977133e-05], "targets": [0.4999809025518209], "label_smoothing": 0.9999236022493239}),
    # 1 - p to a high power
    "steep": ("softmax_focal_loss", {"input": [[50.0, 49.98, 0.75]], "target": [[0.5, 0.25, 0.25]], "gamma": 50.0}),
    # areas that are subtracted
    "boxes-an-ulp-apart": ("iou_loss", {
        "boxes1": [[0.1, 0.2, 0.7, 0.9]], "boxes2": [[0.1, 0.2, 0.7, 0.9000000000000001]], "eps": 0.0}),
    "one-element-region": ("dice_loss", {"input": [0.4998], "target": [1e-100], "axis": 0, "smooth": 0.0}),
    # the side of a kink
    "categorical-hinge-side": (
        "categorical_hinge_loss", {"input": [[1.0341933631271236, 0.03419336312712364, -0.0935]], "target": [0]}),
    "ranking-side": (
        "margin_ranking_loss", {"input1": [-0.99999999], "input2": [1e-8], "target": [-1.0], "margin": 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("row", WORST)
def test_worst_input(row: str) -> None:
    name, point = WORST[row]
    arrays: dict[str, Any] = {k: np.asarray(v) if isinstance(v, list) else v for k, v in point.items()}
    subject = Subject(LOSSES[name], lambda: None, {"": Regime(lambda _: point)})
    with mp.workprec(PRECISION):
        results = measure(subject, arrays)
    assert results
    for aspect, result in results.items():
        assert result.error <= BAR[aspect.split(":")[0]], (aspect, result)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("binary_cross_entropy", {"input": [0.0], "target": [1.0]}),
        ("binary_cross_entropy_with_logits", {"input": [1.7e308], "target": [-1.0]}),
        ("nll_loss", {"input": [[-np.inf, 0.0]], "target": [0]}),
    ],
)
def test_weight_0_leaves_an_infinite_term_out(name: str, arguments: Any) -> None:
    loss = reference.LOSSES[name]
    weight = [0.0, 1.0] if name == "nll_loss" else [0.0]
    assert np.isinf(loss(**arguments, reduction="none"))
    value, pullback = loss.vjp(**arguments, weight=weight, reduction="none")
    assert value.tolist() == [0.0]
    assert not any(np.any(gradient) for gradient in pullback(np.ones(1)).values())
