"""Cases of the classification losses."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from lossparity.conformance.cases.table import ALL, UNWEIGHTED, WEIGHTED, Case, rows
from lossparity.conformance.data import (
    Recipe,
    bits,
    given,
    labels,
    one_hot,
    positives,
    reals,
    scores,
    signs,
    simplex,
    strided,
    units,
)


def cases() -> Iterator[Case]:
    """The rows."""
    yield from _binary_cross_entropy()
    yield from _binary_cross_entropy_with_logits()
    yield from _nll_loss()
    yield from _cross_entropy()
    yield from _log_loss()
    yield from _kl_div()
    for name in ("hinge_loss", "squared_hinge_loss"):
        yield from _hinge(name)
    yield from _categorical_hinge()


def _pairs(name: str, x: Recipe, y: Recipe, *, soft: Recipe) -> Iterator[Case]:
    """What every elementwise loss of a prediction and a 0/1 target goes through."""
    row = functools.partial(rows, name)
    yield from row("plain", {"input": x, "target": y}, reductions=UNWEIGHTED)
    yield from row("soft-target", {"input": x, "target": soft})
    yield from row("strided", {"input": strided(x), "target": strided(y)}, tags="strided")
    yield from row("empty", {"input": given(np.zeros((0, 4))), "target": given(np.zeros((0, 4)))}, tags="empty nan")
    yield from rows(name, "default-reduction", {"input": x, "target": y}, reductions=())
    yield from row("weight", {"input": x, "target": y, "weight": positives(3, 4)})
    yield from row("weight-row", {"input": x, "target": y, "weight": positives(4)}, tags="broadcast")
    yield from row("weight-some-zero", {"input": x, "target": y, "weight": given([[0.0, 1.0, 2.0, 0.0]] * 3)})
    yield from row(
        "sample-weight-row", {"input": x, "target": y, "sample_weight": positives(3, 1)}, reductions=WEIGHTED
    )
    yield from row(
        "sample-weight-full", {"input": x, "target": y, "sample_weight": positives(3, 4)}, reductions=WEIGHTED
    )
    some = given([[0.0], [1.5], [0.0]])
    yield from row("sample-weight-some-zero", {"input": x, "target": y, "sample_weight": some}, reductions=WEIGHTED)
    yield from row("bad-shapes", {"input": x, "target": bits(3, 3)}, tags="error", reductions=("mean",))
    yield from row("bad-reduction", {"input": x, "target": y}, tags="error", reductions=("average",))


def _binary_cross_entropy() -> Iterator[Case]:
    name = "binary_cross_entropy"
    row = functools.partial(rows, name)
    yield from _pairs(name, units(3, 4), bits(3, 4), soft=units(3, 4))
    yield from row("one-element", {"input": units(1), "target": bits(1)})
    yield from row("rank4", {"input": units(2, 3, 2, 2), "target": bits(2, 3, 2, 2)})
    yield from row("worked", {"input": given([0.9, 0.1]), "target": given([0.0, 1.0])}, tags="worked constant")
    yield from row("right-at-0-and-1", {"input": given([0.0, 1.0]), "target": given([0.0, 1.0])}, tags="kink constant")
    yield from row("wrong-at-0-and-1", {"input": given([0.0, 1.0]), "target": given([1.0, 0.0])}, tags="kink constant")
    yield from row("soft-at-0-and-1", {"input": given([0.0, 1.0]), "target": given([0.25, 0.5])}, tags="kink constant")
    near = given([1e-30, 1e-10, 1e-4, 0.5])
    probabilities = {"input": near, "target": given([1.0, 0.0, 1.0, 0.0])}
    yield from row("near-0", probabilities, tags="saturated", narrow=("bfloat16",))
    for dtype in ("float64", "float32"):
        below = 1.0 - float(np.finfo(dtype).eps) / 2.0
        close = {"input": given([below, 1.0 - 2.0**-10]), "target": given([0.0, 1.0])}
        yield from row(f"near-1-{dtype}", close, tags="saturated", dtypes=(dtype,))
    yield from row("nan-input", {"input": given([np.nan, 0.5]), "target": given([1.0, 0.0])}, tags="nan")
    out = {"input": given([1.2, 0.5]), "target": given([1.0, 0.0])}
    yield from row("input-above-1", out, tags="error dangerous", reductions=("mean",))
    out = {"input": given([-0.1, 0.5]), "target": given([1.0, 0.0])}
    yield from row("input-below-0", out, tags="error dangerous", reductions=("mean",))
    out = {"input": given([0.2, 0.5]), "target": given([1.5, 0.0])}
    yield from row("target-above-1", out, tags="error dangerous", reductions=("mean",))


def _binary_cross_entropy_with_logits() -> Iterator[Case]:
    name = "binary_cross_entropy_with_logits"
    row = functools.partial(rows, name)
    x, y = reals(3, 4), bits(3, 4)
    yield from _pairs(name, x, y, soft=units(3, 4))
    yield from row("one-element", {"input": reals(1), "target": bits(1)})
    yield from row("rank4", {"input": reals(2, 3, 2, 2), "target": bits(2, 3, 2, 2)})
    yield from row("worked", {"input": given([[-1.0, 1.0], [1.0, 2.0]]), "target": given([[1.0, 0.0], [0.0, 1.0]])},
                   tags="worked")  # fmt: skip
    yield from row("pos-weight", {"input": x, "target": y, "pos_weight": positives(4)})
    yield from row("pos-weight-soft", {"input": x, "target": units(3, 4), "pos_weight": positives(4)})
    yield from row("pos-weight-one", {"input": x, "target": y, "pos_weight": given([2.5])})
    yield from row(
        "pos-weight+weight", {"input": x, "target": y, "pos_weight": positives(4), "weight": positives(3, 4)}
    )
    yield from row("kink", {"input": given([0.0, -0.0, 0.0]), "target": given([0.0, 1.0, 0.25])}, tags="kink constant")
    far = given([1e4, -1e4, 1e4, -1e4, 40.0, -40.0, 40.0, -40.0])
    yield from row("saturated", {"input": far, "target": given([1.0, 1.0, 0.0, 0.0] * 2)}, tags="saturated")
    yield from row("saturated+pos-weight", {"input": far, "target": given([1.0, 1.0, 0.0, 0.0] * 2),
                   "pos_weight": given([3.0])}, tags="saturated")  # fmt: skip
    huge = {"input": given([1e300, -1e300, 1e300, -1e300]), "target": given([1.0, 0.0, 0.0, 1.0])}
    yield from row("huge", huge, tags="saturated", dtypes=("float64",), reductions=("none",))
    yield from row("target-outside", {"input": x, "target": reals(3, 4)})
    yield from row("nan-input", {"input": given([np.nan, 0.5]), "target": given([1.0, 0.0])}, tags="nan")


def _nll_loss() -> Iterator[Case]:
    name = "nll_loss"
    row = functools.partial(rows, name)
    x, y, w = reals(5, 3, low=-4.0, high=0.0), labels(5, classes=3), positives(3)
    yield from row("plain", {"input": x, "target": y}, reductions=UNWEIGHTED)
    yield from row("one-element", {"input": reals(1, 3), "target": labels(1, classes=3)})
    yield from row("no-batch", {"input": reals(3), "target": given(1)})
    yield from row("rank4", {"input": reals(2, 3, 2, 2), "target": labels(2, 2, 2, classes=3)})
    yield from row("rank4-weight", {"input": reals(2, 3, 2, 2), "target": labels(2, 2, 2, classes=3), "weight": w})
    yield from row("strided", {"input": strided(x), "target": y}, tags="strided")
    yield from _indexed(name, x, 5)
    logs = given(np.log([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.4, 0.5, 0.1]]))
    # The write-up prints 1.4429 for the mean; it is 1.422899316455626.
    yield from row("worked-log", {"input": logs, "target": given([0, 1, 2])}, tags="worked")
    scores = given([[0.1, 0.2, 99.5], [1.3, 2.4, 0.4]])
    yield from row("worked-scores", {"input": scores, "target": given([2, 0])}, tags="worked")


def _indexed(name: str, x: Recipe, n: int) -> Iterator[Case]:
    """Class indices: weight x ignore_index, all ignored, empty, and labels that are out of range."""
    row = functools.partial(rows, name)
    y, w = labels(n, classes=3), positives(3)
    marked = labels(n, classes=3, mark=-100)
    yield from row("weight", {"input": x, "target": y, "weight": w})
    yield from row("weight-zero-class", {"input": x, "target": y, "weight": given([1.0, 0.0, 2.0])})
    yield from row("ignored", {"input": x, "target": marked})
    yield from row("ignored-weight", {"input": x, "target": marked, "weight": w})
    one = labels(n, classes=3, mark=1)
    yield from row("ignore_index1", {"input": x, "target": one}, {"ignore_index": 1})
    yield from row("ignore_index1-weight", {"input": x, "target": one, "weight": w}, {"ignore_index": 1})
    minus = labels(n, classes=3, mark=-1)
    yield from row("ignore_index-1", {"input": x, "target": minus}, {"ignore_index": -1})
    outside = labels(n, classes=3, mark=255)
    yield from row("ignore_index255", {"input": x, "target": outside}, {"ignore_index": 255})
    yield from row("all-ignored", {"input": x, "target": given([-100] * n)}, tags="nan constant")
    yield from row("empty", {"input": given(np.zeros((0, 3))), "target": Recipe(lambda _: np.zeros(0), integer=True)},
                   tags="empty nan")  # fmt: skip
    for label in (3, -1, -101):
        bad = {"input": x, "target": given([label] + [0] * (n - 1))}
        yield from row(f"label{label}", bad, tags="error dangerous", reductions=("mean",))
    yield from row("bad-shapes", {"input": x, "target": labels(n + 1, classes=3)}, tags="error", reductions=("mean",))
    yield from row("bad-weight", {"input": x, "target": y, "weight": positives(4)}, tags="error", reductions=("mean",))
    yield from row("bad-reduction", {"input": x, "target": y}, tags="error", reductions=("average",))


def _cross_entropy() -> Iterator[Case]:
    name = "cross_entropy"
    row = functools.partial(rows, name)
    x, y, w = reals(5, 3), labels(5, classes=3), positives(3)
    soft, hot = simplex(5, 3), one_hot(5, 3)
    yield from row("plain", {"input": x, "target": y}, reductions=UNWEIGHTED)
    yield from row("soft", {"input": x, "target": soft}, reductions=UNWEIGHTED)
    yield from row("one-hot", {"input": x, "target": hot}, reductions=UNWEIGHTED)
    yield from rows(name, "default-reduction", {"input": x, "target": y}, reductions=())
    yield from row("one-element", {"input": reals(1, 3), "target": labels(1, classes=3)})
    yield from row("one-class", {"input": reals(4, 1), "target": given([0, 0, 0, 0])}, tags="constant")
    yield from row("no-batch", {"input": reals(3), "target": given(1)})
    yield from row("rank3", {"input": reals(2, 3, 4), "target": labels(2, 4, classes=3)})
    yield from row("rank4", {"input": reals(2, 3, 2, 2), "target": labels(2, 2, 2, classes=3)})
    yield from row("rank4-weight", {"input": reals(2, 3, 2, 2), "target": labels(2, 2, 2, classes=3), "weight": w})
    yield from row("rank4-soft", {"input": reals(2, 3, 2, 2), "target": simplex(2, 3, 2, 2)})
    yield from row("rank4-soft+smooth", {"input": reals(2, 3, 2, 2), "target": simplex(2, 3, 2, 2)},
                   {"label_smoothing": 0.1})  # fmt: skip
    yield from row("strided", {"input": strided(x), "target": y}, tags="strided")
    yield from row("strided-soft", {"input": strided(x), "target": strided(soft)}, tags="strided")
    yield from row("many-classes", {"input": reals(3, 200, low=-10.0, high=10.0), "target": labels(3, classes=200)})
    yield from _indexed(name, x, 5)
    for a in (0.1, 0.5, 1.0):
        yield from row(f"smooth{a}", {"input": x, "target": y}, {"label_smoothing": a})
        yield from row(f"smooth{a}-soft", {"input": x, "target": soft}, {"label_smoothing": a})
        yield from row(f"smooth{a}-one-hot", {"input": x, "target": hot}, {"label_smoothing": a})
    marked = labels(5, classes=3, mark=-100)
    yield from row("smooth+weight", {"input": x, "target": y, "weight": w}, {"label_smoothing": 0.1})
    yield from row("smooth+ignored", {"input": x, "target": marked}, {"label_smoothing": 0.1})
    yield from row("smooth+ignored+weight", {"input": x, "target": marked, "weight": w}, {"label_smoothing": 0.1})
    one = labels(5, classes=3, mark=1)
    yield from row("smooth+ignore_index1+weight", {"input": x, "target": one, "weight": w},
                   {"label_smoothing": 0.2, "ignore_index": 1})  # fmt: skip
    four = {"input": reals(2, 3, 2, 2), "target": labels(2, 2, 2, classes=3, mark=-100), "weight": w}
    yield from row("smooth+ignored+weight-rank4", four, {"label_smoothing": 0.1})
    yield from row("soft-weight", {"input": x, "target": soft, "weight": w})
    yield from row("soft-weight+smooth", {"input": x, "target": soft, "weight": w}, {"label_smoothing": 0.1})
    yield from row("unnormalised-target", {"input": x, "target": units(5, 3)})
    for kind, target in (("", y), ("-one-hot", hot)):
        for which, weight in (("", positives(5)), ("-some-zero", given([0.0, 1.5, 0.0, 2.0, 1.0]))):
            arrays = {"input": x, "target": target, "sample_weight": weight}
            yield from row(f"sample-weight{which}{kind}", arrays, reductions=WEIGHTED)
    yield from row("sample-weight+smooth-one-hot", {"input": x, "target": hot, "sample_weight": positives(5)},
                   {"label_smoothing": 0.1}, reductions=WEIGHTED)  # fmt: skip
    far = given([[1e4, -1e4, 0.0], [-1e4, 0.0, 1e4], [100.0, 99.0, -100.0], [30.0, 0.0, 0.0]])
    yield from row("saturated", {"input": far, "target": given([0, 0, 1, 0])}, tags="saturated")
    yield from row("saturated-soft", {"input": far, "target": simplex(4, 3)}, tags="saturated")
    huge = {"input": given([[1e300, -1e300, 0.0], [1e300, 1e300, 0.0]]), "target": given([0, 1])}
    yield from row("huge", huge, tags="saturated", dtypes=("float64",))
    yield from row("equal-logits", {"input": given(np.zeros((2, 4))), "target": given([0, 3])}, tags="constant")
    masked = given([[0.5, -np.inf, 1.0], [-np.inf, 0.0, 2.0]])
    yield from row("masked", {"input": masked, "target": given([0, 2])}, tags="saturated")
    yield from row("masked-one-hot", {"input": masked, "target": given([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])},
                   tags="saturated")  # fmt: skip
    yield from row("nan-input", {"input": given([[np.nan, 0.5], [1.0, 2.0]]), "target": given([1, 0])}, tags="nan")
    three = given([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]])
    yield from row(
        "worked-ignore-index", {"input": three, "target": given([0, 1, 1])}, {"ignore_index": 0}, tags="worked"
    )
    # The write-ups say that summing all but the first row equals ignore_index=0: not where label 0 comes twice.
    yield from row("worked-not-the-first-row", {"input": three, "target": given([0, 0, 1])}, {"ignore_index": 0},
                   tags="worked")  # fmt: skip
    big = given([[9.0, 5.0, 8.0, 67.0, 11.0], [6.0, 75.0, 8.0, 4.0, 7.0]])
    wide = given([[0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    yield from row("worked-confident", {"input": big, "target": given([3, 1])}, tags="worked")
    yield from row("worked-confident-one-hot", {"input": big, "target": wide}, tags="worked")
    yield from row("worked-smooth", {"input": big, "target": given([3, 1])}, {"label_smoothing": 0.2}, tags="worked")
    four_classes = given([[0.121, 0.434, 0.2, 0.3343], [0.3, 0.342, 0.6, 0.123], [5.0, 2.0, -1.0, 3.0]])
    yield from row("worked-mean", {"input": four_classes, "target": given([1, 0, 3])}, tags="worked")


def _log_loss() -> Iterator[Case]:
    name = "log_loss"
    row = functools.partial(rows, name, reductions=())
    rows3, y3 = simplex(6, 3), given([0, 1, 2, 2, 1, 0])
    binary, y2 = units(6), given([0, 1, 1, 0, 1, 0])
    for how, normalize in (("mean", True), ("sum", False)):
        options = {"normalize": normalize}
        yield from row(f"multiclass-{how}", {"y_true": y3, "y_pred": rows3}, options)
        yield from row(f"binary-{how}", {"y_true": y2, "y_pred": binary}, options)
        yield from row(f"two-columns-{how}", {"y_true": y2, "y_pred": simplex(6, 2)}, options)
        weighted = {"y_true": y3, "y_pred": rows3, "sample_weight": positives(6)}
        yield from row(f"sample-weight-{how}", weighted, options)
        some = {"y_true": y3, "y_pred": rows3, "sample_weight": given([0.0, 1.0, 0.0, 2.0, 1.0, 0.5])}
        yield from row(f"sample-weight-some-zero-{how}", some, options)
        yield from row(f"binary-sample-weight-{how}",
                       {"y_true": y2, "y_pred": binary, "sample_weight": positives(6)}, options)  # fmt: skip
        zero = given(
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]
        )
        yield from row(f"probability-0-{how}", {"y_true": y3, "y_pred": zero}, options, tags="kink saturated")
        yield from row(f"right-at-1-{how}",
                       {"y_true": given([0, 1]), "y_pred": given([[1.0, 0.0], [0.0, 1.0]])}, options,
                       tags="kink saturated")  # fmt: skip
        mistaken = given([[0.0, 1.0, 0.0], [0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.125, 0.125, 0.75]])
        wrong = {"y_true": given([0, 1, 2, 2]), "y_pred": mistaken}
        yield from row(f"wrong-at-0-{how}", wrong, options, tags="kink saturated")
        small = given([[p, 0.3 - p, 0.7] for p in (0.001, 0.003, 0.007, 0.011, 0.017, 0.023)])
        yield from row(f"small-{how}", {"y_true": given([0, 1, 2, 0, 0, 0]), "y_pred": small}, options)
        half = given([[0.25, 0.125, 0.125], [0.5, 0.75, 0.25], [0.5, 0.5, 0.5]])
        yield from row(f"unnormalized-{how}", {"y_true": given([0, 1, 2]), "y_pred": half}, options)
    yield from row("worked", {"y_true": given([0, 1, 1, 0]), "y_pred": given([0.1, 0.9, 0.8, 0.3])}, tags="worked")
    yield from row("nan-input", {"y_true": given([0, 1, 1]), "y_pred": given([0.5, np.nan, 0.25])}, tags="nan")
    none = {"y_true": Recipe(lambda _: np.zeros(0), integer=True), "y_pred": given(np.zeros((0, 3)))}
    yield from row("empty", {**none, "labels": given([0, 1, 2])}, tags="empty nan")
    yield from row("bad-shapes", {"y_true": y3, "y_pred": simplex(5, 3)}, tags="error")
    yield from row("probability-above-1", {"y_true": given([0, 1]), "y_pred": given([1.2, 0.5])}, tags="error")


def _kl_div() -> Iterator[Case]:
    name = "kl_div"
    row = functools.partial(rows, name, reductions=(*ALL, "batchmean"))
    x, y = reals(4, 3, low=-4.0, high=-0.125), simplex(4, 3)
    yield from row("plain", {"input": x, "target": y})
    yield from row("log_target", {"input": x, "target": reals(4, 3, low=-4.0, high=-0.125)}, {"log_target": True})
    yield from row("one-element", {"input": reals(1, low=-4.0, high=-0.125), "target": units(1)})
    yield from row("rank3", {"input": reals(2, 3, 2, low=-4.0, high=-0.125), "target": simplex(2, 3, 2)})
    yield from row("strided", {"input": strided(x), "target": strided(y)}, tags="strided")
    yield from row("broadcast-row", {"input": x, "target": simplex(1, 3)}, tags="broadcast")
    yield from row("empty", {"input": given(np.zeros((0, 3))), "target": given(np.zeros((0, 3)))}, tags="empty nan")
    logs = given(np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    yield from row("target-0", {"input": logs, "target": given([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])}, tags="kink")
    yield from row("input-0", {"input": given([[-np.inf, 0.0]]), "target": given([[0.5, 0.5]])}, tags="kink")
    yield from row("both-0", {"input": given([[-np.inf, 0.0]]), "target": given([[0.0, 1.0]])}, tags="kink constant")
    yield from row("equal", {"input": given([[0.0, 0.0]]), "target": given([[1.0, 1.0]])}, tags="constant")
    yield from row("far", {"input": given([[-1e4, -1e-4]]), "target": given([[0.5, 0.5]])}, tags="saturated")
    yield from row("sample-weight", {"input": x, "target": y, "sample_weight": positives(4, 1)}, reductions=WEIGHTED)
    some = given([[0.0], [1.0], [0.0], [2.0]])
    yield from row("sample-weight-some-zero", {"input": x, "target": y, "sample_weight": some}, reductions=WEIGHTED)
    yield from row("bad-shapes", {"input": x, "target": simplex(4, 2)}, tags="error", reductions=("mean",))
    yield from row("bad-reduction", {"input": x, "target": y}, tags="error", reductions=("average",))


def _hinge(name: str) -> Iterator[Case]:
    row = functools.partial(rows, name)
    x, y = scores(3, 4), signs(3, 4)
    yield from row("plain", {"input": x, "target": y}, reductions=UNWEIGHTED)
    yield from row("one-element", {"input": reals(1, low=-0.5, high=0.5), "target": signs(1)})
    yield from row("vector", {"input": scores(6), "target": signs(6)}, reductions=UNWEIGHTED)
    # |x| < 1: no prediction is beyond the margin, so no weight is lost
    weighted = {"input": reals(6, low=-0.75, high=0.75), "target": signs(6), "sample_weight": positives(6)}
    yield from row("vector-sample-weight", weighted, reductions=WEIGHTED)
    yield from row("rank3", {"input": scores(2, 3, 2), "target": signs(2, 3, 2)})
    yield from row("strided", {"input": strided(x), "target": strided(y)}, tags="strided")
    yield from row(
        "kink", {"input": given([1.0, -1.0, 0.5, 1.0]), "target": given([1.0, -1.0, 1.0, -1.0])}, tags="kink"
    )
    yield from row("far", {"input": given([1e4, -1e4, 1e4, -1e4]), "target": given([1.0, -1.0, -1.0, 1.0])},
                   tags="saturated")  # fmt: skip
    yield from row("empty", {"input": given(np.zeros((0, 4))), "target": given(np.zeros((0, 4)))}, tags="empty nan")
    yield from row(
        "sample-weight-row", {"input": x, "target": y, "sample_weight": positives(3, 1)}, reductions=WEIGHTED
    )
    yield from row(
        "sample-weight-full", {"input": x, "target": y, "sample_weight": positives(3, 4)}, reductions=WEIGHTED
    )
    yield from row("one-sign", {"input": scores(6), "target": given([1.0] * 6)})
    yield from row("nan-input", {"input": given([np.nan, 0.5]), "target": given([1.0, -1.0])}, tags="nan")
    yield from row("bits", {"input": reals(6), "target": bits(6)}, tags="error", reductions=("none", "mean"))
    yield from row("bad-shapes", {"input": x, "target": signs(3, 3)}, tags="error", reductions=("mean",))
    yield from row("bad-reduction", {"input": x, "target": y}, tags="error", reductions=("average",))


def _categorical_hinge() -> Iterator[Case]:
    name = "categorical_hinge_loss"
    row = functools.partial(rows, name)
    x, y = scores(5, 3, near=6, within=0.25), labels(5, classes=3)  # the first two rows fall short of the margin
    yield from row("plain", {"input": x, "target": y}, reductions=UNWEIGHTED)
    yield from row("one-hot", {"input": x, "target": one_hot(5, 3)}, reductions=UNWEIGHTED)
    yield from row("one-element", {"input": reals(1, 3, low=-0.25, high=0.25), "target": labels(1, classes=3)})
    yield from row("sample-weight", {"input": x, "target": y, "sample_weight": positives(5)}, reductions=WEIGHTED)
    yield from row("sample-weight-one-hot", {"input": x, "target": one_hot(5, 3), "sample_weight": positives(5)},
                   reductions=WEIGHTED)  # fmt: skip
    # rows: on the kink; a tie of the two best others; well inside the margin
    kink = {"input": given([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5], [5.0, 1.0, 0.0]]), "target": given([0, 1, 0])}
    yield from row("kink", kink, tags="kink")
    hot = given([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    yield from row("kink-one-hot", {"input": kink["input"], "target": hot}, tags="kink")
    yield from row("strided", {"input": strided(x), "target": y}, tags="strided")
    missing = {"input": given([[np.nan, 0.0, 1.0], [0.5, 0.25, 1.0]]), "target": given([1, 0])}
    yield from row("nan-input", missing, tags="nan")
    none = {"input": given(np.zeros((0, 3))), "target": Recipe(lambda _: np.zeros(0), integer=True)}
    yield from row("empty", none, tags="empty nan")
    yield from row(
        "label3", {"input": x, "target": given([3, 0, 1, 2, 0])}, tags="error dangerous", reductions=("mean",)
    )
    yield from row("bad-shapes", {"input": x, "target": labels(4, classes=3)}, tags="error", reductions=("mean",))
