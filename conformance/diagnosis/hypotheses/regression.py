"""How people write regression and margin losses."""

from __future__ import annotations

from typing import Any

from lossparity.conformance.diagnosis.hypotheses.row import Hypothesis, is_mean, mean
from lossparity.reference.arithmetic import Operand, absolute, maximum, sqrt, where
from lossparity.reference.regression import huber_textbook, smooth_l1_textbook


def _root_of_mean(input: Operand, target: Operand) -> Any:
    d = input - target
    return sqrt(mean(d * d))


def _without_beta(input: Operand, target: Operand, beta: float) -> Any:
    d = input - target
    size = absolute(d)
    return where(size < beta, d * d * 0.5, size - 0.5)


def _not_divided(input: Operand, target: Operand, beta: float) -> Any:
    d = input - target
    size = absolute(d)
    return where(size < beta, d * d * 0.5, size - 0.5 * beta)


def _beta_1(input: Operand, target: Operand) -> Any:
    return smooth_l1_textbook(input, target, 1.0, 0.0)


def _huber(input: Operand, target: Operand, beta: float) -> Any:
    return huber_textbook(input, target, beta, None)


def _smooth_l1(input: Operand, target: Operand, delta: float) -> Any:
    return smooth_l1_textbook(input, target, delta, 0.0)


def _no_half(input: Operand, target: Operand, delta: float) -> Any:
    d = input - target
    size = absolute(d)
    return where(size <= delta, d * d, (size * 2.0 - delta) * delta)


def _as_given(input: Operand, target: Operand) -> Any:
    return maximum(1.0 - target * input, 0.0, tie=0.0)


ROWS: dict[str, tuple[Hypothesis, ...]] = {
    "mse_loss": (Hypothesis("root", "the root of the mean squared error (RMSE)", form=_root_of_mean, when=is_mean),),
    "smooth_l1_loss": (
        Hypothesis("beta-is-1", "smooth L1 without beta: the kink is at 1 whatever beta is", form=_beta_1),
        Hypothesis("not-divided-by-beta", "smooth L1 without beta: the square is not divided by it", form=_not_divided),
        Hypothesis("half-for-half-beta", "smooth L1, beta as threshold alone: 1/2 is subtracted", form=_without_beta),
        Hypothesis("huber", "it is huber_loss with delta = beta: beta times smooth L1", form=_huber),
    ),
    "huber_loss": (
        Hypothesis("smooth-l1", "it is smooth_l1_loss with beta = delta: Huber divided by delta", form=_smooth_l1),
        Hypothesis("no-half", "twice Huber: the square has no factor 1/2", form=_no_half),
    ),
    "hinge_loss": (
        Hypothesis(
            "labels-0-1",
            "hinge on 0/1 labels: every label y becomes 2 y - 1, so labels of -1 and 1 are misread",
            {"labels": "binary"},
            source="https://www.tensorflow.org/api_docs/python/tf/compat/v1/losses/hinge_loss",
        ),
        Hypothesis("labels-auto", "labels are mapped to -1 and 1 only where all are 0 or 1", {"labels": "auto"}),
        Hypothesis(
            "labels-as-given",
            "hinge on 0/1 labels as they are: a label of 0 makes every term 1, whatever the score",
            form=_as_given,
        ),
        Hypothesis("subgradient-1", "at the margin the slope is that of the side that loses", {"subgradient": 1.0}),
    ),
    "squared_hinge_loss": (
        Hypothesis("labels-0-1", "hinge on 0/1 labels: every label y becomes 2 y - 1", {"labels": "binary"}),
        Hypothesis("labels-auto", "labels are mapped to -1 and 1 only where all are 0 or 1", {"labels": "auto"}),
    ),
    "hinge_embedding_loss": (
        Hypothesis("subgradient-1", "at the margin the slope is that of the side that loses", {"subgradient": 1.0}),
        Hypothesis("subgradient-0.5", "at the margin the slope is halved", {"subgradient": 0.5}),
    ),
    "margin_ranking_loss": (
        Hypothesis("subgradient-1", "at the margin the slope is that of the side that loses", {"subgradient": 1.0}),
        Hypothesis("subgradient-0.5", "at the margin the slope is halved", {"subgradient": 0.5}),
    ),
}
