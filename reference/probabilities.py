"""log_loss of class probabilities, as scikit-learn has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossparity.reference import elementary
from lossparity.reference.arithmetic import (
    Operand,
    log,
    log1p,
    take_label,
    weighted,
    where,
)
from lossparity.reference.arithmetic import clip as clipped
from lossparity.reference.core import (
    Array,
    Choice,
    Flag,
    Gradients,
    Labels,
    Real,
    Terms,
    loss,
    textbook,
)
from lossparity.reference.elementary import clip_range

_PROBABILITY = Real(differentiable=True, minimum=0.0, maximum=1.0)
_WEIGHT = Real(optional=True)
_CLIP = Real(minimum=0.0, maximum=1.0, constant=True)


@loss(
    {
        "y_true": Labels(),
        "y_pred": _PROBABILITY,
        "normalize": Flag(),
        "sample_weight": _WEIGHT,
        "labels": Labels(optional=True),
        "clip": _CLIP,
        "renormalize": Choice(("never", "before_clip", "after_clip")),
    },
    reductions=(),
)
def log_loss(
    y_true: Any,
    y_pred: Any,
    *,
    normalize: bool = True,
    sample_weight: Any = None,
    labels: Any = None,
    clip: Any = 0.0,
    renormalize: str = "never",
) -> Terms:
    """Cross entropy of given class probabilities, on scikit-learn's terms: y_true first, the result one number.

    Shapes: y_true (N,); y_pred (N, K), or (N,) or (N, 1), the probability of the second of two labels;
    sample_weight (N,). The columns belong to the sorted `labels`, by default those in y_true. `normalize` divides
    the sum by the sum of sample_weight. Domain: y_pred in [0, 1]; its rows need not sum to 1.
    Dialects: `clip` moves every probability into [c, 1 - c], or (low, high), with gradient 0 outside (scikit-learn,
    Keras); `renormalize` divides each row by its sum, before or after it is clipped (Keras: before for one-hot
    targets, after for sparse ones).
    Errors: ValueError for a probability outside [0, 1], a y_true that is not in labels, and shapes that do not fit.
    Source: sklearn.metrics.log_loss, https://scikit-learn.org/stable/modules/generated/sklearn.metrics.log_loss.html
    """
    # l_n = -log p_(n, t), t the column of y_true_n;  value = sum_n w_n l_n / sum_n w_n
    # dl_n/dp_(n, j) = -1 / p_(n, t) if j = t else 0;  where p is x / S, S = sum_j x_j: dl_n/dx_(n, j) has 1 / S more
    if y_true.ndim != 1 or y_pred.ndim not in (1, 2) or len(y_pred) != len(y_true):
        raise ValueError(f"y_pred must be (N,) or (N, K) for y_true (N,); they are {y_pred.shape} and {y_true.shape}")
    if sample_weight is not None and sample_weight.shape != y_true.shape:
        raise ValueError(f"sample_weight must have y_true's shape {y_true.shape}; its shape is {sample_weight.shape}")
    names = np.unique(y_true if labels is None else labels)
    columns = max(2, y_pred.shape[1] if y_pred.ndim > 1 else 1)
    if len(names) != columns:
        raise ValueError(f"labels must name the {columns} classes of y_pred {y_pred.shape}; they are {names.tolist()}")
    t = np.searchsorted(names, y_true)
    unknown = y_true[names.take(t, mode="clip") != y_true]
    if unknown.size:
        raise ValueError(f"y_true must hold only labels {names.tolist()}; it holds {unknown[0]}")
    low, high = clip_range(clip)
    if y_pred.size == len(y_true):
        terms, slope = _log_of_one_column(y_pred.reshape(-1), t == 1, low, high)
    else:
        terms, slope = _log_of_columns(y_pred, t, low, high, renormalize)
    weights = np.ones(len(t)) if sample_weight is None else sample_weight
    total = weights.sum() if normalize else 1.0
    value = elementary.product(weights, terms).sum() / total

    def pullback(g: Array | float) -> Gradients:
        return {"y_pred": elementary.product((weights / total)[:, None] * g, slope).reshape(y_pred.shape)}

    return Terms(np.asarray(value), pullback)


def _log_of_one_column(raw: Array, second: Array, low: float, high: float) -> tuple[Array, Array]:
    """-log p for the second label, -log(1 - p) for the first, and the slope; 1 - p is formed where it is exact."""
    p = np.where(second, raw, 1.0 - raw)
    terms = -np.where(second, np.log(raw), np.log1p(-raw))
    slope = np.where(second, -1.0, 1.0) / p
    above = np.where(second, raw > high, raw < 1.0 - high)
    terms, slope = np.where(p < low, -np.log(low), terms), np.where(p < low, 0.0, slope)
    return np.where(above, -np.log(high), terms), np.where(above, 0.0, slope)[:, None]


def _log_of_columns(raw: Array, t: Array, low: float, high: float, renormalize: str) -> tuple[Array, Array]:
    """-log p_t of each row, and its slope in the row.

    Of x_t / S, S the sum of the row, that is log1p(O / x_t) with the sum O of the others, and -O / (x_t S) its slope.
    """
    at = np.arange(len(t)), t
    whole = raw.sum(axis=1) if renormalize == "before_clip" else np.ones(len(t))
    share = raw / whole[:, None]
    outside = (share < low) | (share > high)
    p = np.clip(share, low, high)
    terms, slope = -np.log(p[at]), np.zeros(p.shape)
    if renormalize == "never":
        slope[at] = -1.0 / p[at]
        return terms, np.where(outside, 0.0, slope)
    x = raw if renormalize == "before_clip" else p
    others = x.copy()
    others[at] = 0.0
    rest, own = others.sum(axis=1), x[at]
    whole = rest + own
    likely = own > rest
    of_share = np.where(likely, np.log1p(np.where(likely, rest / own, 0.0)), -np.log(own / whole))
    slope[:] = 1.0 / whole[:, None]
    slope[at] = -(rest / own) / whole
    if renormalize == "after_clip":
        return of_share, np.where(outside, 0.0, slope)
    clipped_label = outside[at]
    return np.where(clipped_label, terms, of_share), np.where(clipped_label[:, None], 0.0, slope)


@textbook(log_loss)
def log_loss_textbook(
    y_true: Array,
    y_pred: Operand,
    normalize: bool,
    sample_weight: Operand | None,
    labels: Array | None,
    clip: Array,
    renormalize: str,
) -> Operand:
    """-sum_n w_n log p_(n, t) / sum_n w_n; of one column, the second label's p, log1p(-p) for the first."""
    low, high = clip_range(clip)
    t = np.searchsorted(np.unique(y_true if labels is None else labels), y_true)
    if y_pred.shape in (t.shape, (*t.shape, 1)):
        p = y_pred.reshape(t.shape)
        of_first = where(1.0 - p < low, log(p.lift(low)), where(1.0 - p > high, log(p.lift(high)), log1p(-p)))
        logs = where(t == 1, log(clipped(p, low, high)), of_first)
    else:
        rows = y_pred
        if renormalize == "before_clip":
            rows = rows / rows.sum(axis=1, keepdims=True)
        rows = clipped(rows, low, high)
        if renormalize == "after_clip":
            rows = rows / rows.sum(axis=1, keepdims=True)
        logs = log(take_label(rows, t, 1))
    value = -weighted(logs, sample_weight).sum()
    if not normalize:
        return value
    return value / (float(len(t)) if sample_weight is None else sample_weight.sum())
