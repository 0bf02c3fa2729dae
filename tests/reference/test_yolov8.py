"""YOLOv8's loss and assignment against a second definition: loops over single numbers, in 60 digits, duals for slopes.

The definition follows the papers anchor by anchor and shares no line with the reference.
"""

from __future__ import annotations

import math
from typing import Any

import exact
import numpy as np
import pytest
from exact import Dual, atan, constant, dual, exp, log1p, maximum, minimum, mp, total

from lossparity import reference
from lossparity.reference.bounded import Bounded
from lossparity.reference.precision import Exact, Native

EPS = mp.mpf(1e-7)
INSIDE = mp.mpf(1e-9)
GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}


def complete_iou(a: list[Any], b: list[Any]) -> Any:
    w1, h1, w2, h2 = a[2] - a[0], a[3] - a[1] + EPS, b[2] - b[0], b[3] - b[1] + EPS
    width = minimum(a[2], b[2]) - maximum(a[0], b[0])
    height = minimum(a[3], b[3]) - maximum(a[1], b[1])
    zero = dual(0)
    intersection = width * height if zero < width and zero < height else zero
    iou = intersection / (w1 * h1 + w2 * h2 - intersection + EPS)
    diagonal = (maximum(a[2], b[2]) - minimum(a[0], b[0])) ** 2 + (maximum(a[3], b[3]) - minimum(a[1], b[1])) ** 2 + EPS
    rho = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    v = (atan(w2 / h2) - atan(w1 / h1)) ** 2 * (4 / mp.pi**2)
    return iou - rho / diagonal - v * constant(v / (1 - iou + v + EPS))


def assign(scores: Any, boxes: Any, points: Any, labels: Any, truth: Any, mask: Any, topk: int, side: float) -> Any:
    """For one image: the box of each anchor (None: background) and its target score."""
    metric, overlap, claims = {}, {}, {}
    for m in range(len(truth)):
        x1, y1, x2, y2 = (mp.mpf(float(each)) for each in truth[m])
        w, h = max(x2 - x1, side), max(y2 - y1, side)
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        for a, (px, py) in enumerate(points):
            near = min(px - cx + w / 2, py - cy + h / 2, cx + w / 2 - px, cy + h / 2 - py)
            inside = bool(mask[m]) and near > INSIDE
            iou = complete_iou([dual(float(t)) for t in truth[m]], boxes[a]) if inside else dual(0)
            overlap[m, a] = max(iou.value, mp.mpf(0))
            score = scores[a][labels[m]] if inside else mp.mpf(0)
            metric[m, a] = mp.sqrt(score) * overlap[m, a] ** 6
            claims[m, a] = inside
        ranked = sorted(range(len(points)), key=lambda a, m=m: (-metric[m, a], a))[:topk]
        for a in range(len(points)):
            claims[m, a] = claims[m, a] and a in ranked
    owner: list[int | None] = []
    for a in range(len(points)):
        claimants = [m for m in range(len(truth)) if claims[m, a]]
        if len(claimants) > 1:
            claimants = [max(range(len(truth)), key=lambda m, a=a: (overlap[m, a], -m))]
        owner.append(claimants[0] if claimants else None)
    target = []
    for a, m in enumerate(owner):
        own = [b for b in range(len(points)) if owner[b] == m]
        best = max((metric[m, b] for b in own), default=mp.mpf(0)) if m is not None else mp.mpf(0)
        most = max((overlap[m, b] for b in own), default=mp.mpf(0)) if m is not None else mp.mpf(0)
        target.append(metric[m, a] * most / (best + INSIDE) if m is not None else mp.mpf(0))
    return owner, target


def definition(
    dist: Any, logits: Any, points: Any, stride: Any, labels: Any, truth: Any, mask: Any, topk: int, side: float
) -> Any:
    """The loss of the three terms with their gains, times the batch size. Arrays of duals in, a dual out."""
    bins = dist.shape[2] // 4
    box_term, class_term, bin_term, everything = dual(0), dual(0), dual(0), mp.mpf(0)
    for i in range(len(dist)):
        decoded, chances = [], []
        for a in range(len(points)):
            sides = []
            for k in range(4):
                row = dist[i, a, k * bins : (k + 1) * bins]
                weights = [exp(x - constant(max(row, key=lambda x: x.value))) for x in row]
                chance = [each / total(weights) for each in weights]
                chances.append(chance)
                sides.append(total([p * j for j, p in enumerate(chance)]))
            px, py = (mp.mpf(float(each)) for each in points[a])
            decoded.append([px - sides[0], py - sides[1], px + sides[2], py + sides[3]])
        steps = [mp.mpf(float(each)) for each in stride[:, 0]]
        scores = [[1 / (1 + mp.exp(-x.value)) for x in row] for row in logits[i]]
        pixels = [[constant(side) * s for side in box] for box, s in zip(decoded, steps, strict=True)]
        centres = [[mp.mpf(float(each)) * s for each in point] for point, s in zip(points, steps, strict=True)]
        owner, target = assign(scores, pixels, centres, labels[i, :, 0], truth[i], mask[i, :, 0], topk, side)
        for a, m in enumerate(owner):
            everything += target[a]
            for c, x in enumerate(logits[i, a]):
                wanted = target[a] if m is not None and labels[i, m, 0] == c else 0
                class_term += maximum(x, 0) - x * wanted + log1p(exp(-abs(x)))
            if m is None:
                continue
            want = [mp.mpf(float(each)) / steps[a] for each in truth[i, m]]
            box_term += (1 - complete_iou(decoded[a], [dual(each) for each in want])) * target[a]
            px, py = (mp.mpf(float(each)) for each in points[a])
            for k, far in enumerate((px - want[0], py - want[1], want[2] - px, want[3] - py)):
                far = min(max(far, mp.mpf(0)), mp.mpf(bins - 1) - mp.mpf(0.01))
                left = int(mp.floor(far))
                chance = chances[4 * a + k]
                ce = exact.log(chance[left]) * (left + 1 - far) + exact.log(chance[left + 1]) * (far - left)
                bin_term -= ce * target[a] / 4
    divisor = max(everything, mp.mpf(1))
    return (box_term * 7.5 + class_term * 0.5 + bin_term * 1.5) * len(dist) / divisor


def scene(seed: int, boxes: int = 3, bins: int = 4, classes: int = 3) -> dict[str, Any]:
    """Two images on a grid of 4 x 4 cells of 8 pixels and one of 2 x 2 of 16; the last box of the second is padding."""
    draw = np.random.default_rng(seed)
    points = np.array([[x + 0.5, y + 0.5] for n in (4, 2) for y in range(n) for x in range(n)])
    low = draw.uniform(0, 14, (2, boxes, 2))
    truth = np.concatenate([low, low + draw.uniform(6, 18, (2, boxes, 2))], axis=-1)
    mask = np.ones((2, boxes, 1))
    if boxes:
        mask[1, -1], truth[1, -1] = 0.0, 0.0
    return {
        "pred_dist": draw.normal(size=(2, len(points), 4 * bins)) * 2,
        "pred_scores": draw.normal(size=(2, len(points), classes)) * 2,
        "anchor_points": points,
        "stride_tensor": np.array([[8.0]] * 16 + [[16.0]] * 4),
        "gt_labels": draw.integers(0, classes, (2, boxes, 1)),
        "gt_bboxes": truth,
        "mask_gt": mask,
    }


@pytest.mark.parametrize(
    ("seed", "boxes", "topk", "side"), [(0, 3, 10, 0.0), (1, 3, 2, 0.0), (2, 2, 3, 16.0), (3, 0, 10, 0.0)]
)
def test_value_and_gradients_are_those_of_the_definition(seed: int, boxes: int, topk: int, side: float) -> None:
    given = scene(seed, boxes)
    value, pullback = reference.yolov8_detection_loss.vjp(**given, reg_max=4, topk=topk, min_side=side)
    gradients = pullback(0.75)
    assert gradients.keys() == {"pred_dist", "pred_scores"}
    draw = np.random.default_rng(seed)
    directions = {name: draw.normal(size=given[name].shape) for name in gradients}
    as_dual = np.frompyfunc(lambda x, dx: Dual(float(x), float(dx)), 2, 1)
    rest = [given[name] for name in list(given)[2:]]
    for name in gradients:
        along = [as_dual(given[n], directions[n] if n == name else 0.0) for n in ("pred_dist", "pred_scores")]
        want = definition(*along, *rest, topk, side)
        assert float(value) == pytest.approx(float(want.value), rel=4e-15)
        slope, size = np.sum(directions[name] * gradients[name]), np.sum(np.abs(directions[name] * gradients[name]))
        assert abs(slope - 0.75 * float(want.slope)) <= 1e-14 * size
        assert (size > 0) == (name == "pred_scores" or boxes > 0)


@pytest.mark.parametrize(
    ("seed", "boxes", "topk", "side"), [(0, 3, 10, 0.0), (1, 3, 2, 0.0), (2, 2, 3, 16.0), (3, 0, 10, 0.0)]
)
def test_textbook_form_is_the_definition(seed: int, boxes: int, topk: int, side: float) -> None:
    given = scene(seed, boxes)
    arguments = {**given, "reg_max": 4, "topk": topk, "min_side": side}
    value, gradients = reference.yolov8_detection_loss.evaluate(Exact(mp), arguments, 1.0)
    draw = np.random.default_rng(seed)
    as_dual = np.frompyfunc(lambda x, dx: Dual(float(x), float(dx)), 2, 1)
    for name in ("pred_dist", "pred_scores"):
        direction = draw.normal(size=given[name].shape)
        along = [as_dual(given[n], direction if n == name else 0.0) for n in ("pred_dist", "pred_scores")]
        want = definition(*along, *[given[n] for n in list(given)[2:]], topk, side)
        assert abs(value - want.value) <= abs(want.value) * mp.mpf(10) ** -45
        slope = np.sum(exact.to_mp(direction) * gradients[name])
        assert abs(slope - want.slope) <= mp.mpf(10) ** -45 * np.sum(np.abs(exact.to_mp(direction) * gradients[name]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounding_stays_within_the_running_error(dtype: str) -> None:
    arguments = {name: a.astype(dtype) if a.dtype.kind == "f" else a for name, a in scene(0).items()}
    arguments["reg_max"] = 4
    loss = reference.yolov8_detection_loss
    right = loss.evaluate(Exact(mp), arguments, 1.0)
    balls = loss.evaluate(Bounded(dtype), arguments, 1.0)
    got = loss.evaluate(Native(dtype), arguments, 1.0)

    def compare(numbers: Any, exactly: Any, ball: Any) -> None:
        error = np.abs(exact.to_mp(np.ravel(numbers).astype(float)) - np.ravel(exactly)).astype(float)
        assert np.all(error <= np.ravel(ball.error) + 1e-40)
        assert np.any(error > 0.002 * np.ravel(ball.error))

    compare(got[0], right[0], balls[0])
    for name, gradient in got[1].items():
        compare(gradient, right[1][name], balls[1][name])


def test_the_assignment_is_that_of_the_definition() -> None:
    given = scene(4, boxes=4)
    points = given["anchor_points"] * given["stride_tensor"]
    draw = np.random.default_rng(4)
    scores = draw.uniform(size=(2, len(points), 3))
    centre = points + draw.normal(size=points.shape)
    half = draw.uniform(4, 9, (2, len(points), 2))
    boxes = np.concatenate([centre - half, centre + half], axis=-1)
    truth = (given["gt_labels"], given["gt_bboxes"], given["mask_gt"])
    got = reference.task_aligned_assign(scores, boxes, points, *truth, topk=3)
    for i in range(2):
        duals = [[dual(float(each)) for each in box] for box in boxes[i]]
        exactly = [[mp.mpf(float(s)) for s in row] for row in scores[i]]
        centres = [[mp.mpf(float(each)) for each in point] for point in points]
        labels, box, mask = (each[i] for each in truth)
        owner, target = assign(exactly, duals, centres, labels[:, 0], box, mask[:, 0], 3, 0.0)
        assert [m for m in owner if m is not None], "nothing is assigned: the test would say nothing"
        for a, m in enumerate(owner):
            assert bool(got.foreground[i, a]) == (m is not None)
            if m is not None:
                assert got.gt_index[i, a] == m
                assert got.labels[i, a] == labels[m, 0]
                np.testing.assert_array_equal(got.bboxes[i, a], box[m])
                assert got.scores[i, a, labels[m, 0]] == pytest.approx(float(target[a]), rel=1e-13)
            assert np.count_nonzero(got.scores[i, a]) <= (m is not None)


def test_an_anchor_that_two_boxes_claim_goes_to_the_one_it_overlaps_most() -> None:
    """Equal overlaps: to the first box. Equal alignments: the first anchors."""
    points = np.array([[4.0, 4.0], [5.0, 5.0], [6.0, 6.0]])
    boxes = np.tile([[[0.0, 0.0, 10.0, 10.0]]], (1, 3, 1))
    scores = np.full((1, 3, 2), 0.25)
    truth = np.array([[[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [0.0, 0.0, 10.0, 10.0]]])
    labels = np.array([[[1], [0], [0]]])
    got = reference.task_aligned_assign(scores, boxes, points, labels, truth, np.ones((1, 3, 1)), topk=2)
    assert got.foreground.tolist() == [[True, True, False]]
    assert got.gt_index.tolist() == [[0, 0, 0]]
    np.testing.assert_allclose(got.scores[0, :2, 1], got.scores[0, 0, 1])
    assert not got.scores[0, :, 0].any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pred_dist": np.zeros((2, 20, 15))}, r"pred_dist must have the shape \(2, 20, 16\)"),
        ({"pred_scores": np.zeros((2, 20))}, "pred_scores must be"),
        ({"anchor_points": np.zeros((20, 3))}, "anchor_points must have the shape"),
        ({"stride_tensor": np.zeros(20)}, r"stride_tensor must have the shape \(20, 1\)"),
        ({"gt_labels": np.full((2, 3, 1), 3)}, r"gt_labels must lie in \[0, 3\)"),
        ({"gt_bboxes": np.zeros((2, 2, 4))}, "gt_labels must have the shape"),
        ({"mask_gt": np.ones((2, 3))}, "mask_gt must have the shape"),
        ({"reg_max": 1, "pred_dist": np.zeros((2, 20, 4))}, "reg_max must be at least 2"),
        ({"topk": 0}, "topk must be at least 1"),
        ({"box": -1.0}, "box must lie in"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reference.yolov8_detection_loss(**{**scene(0), "reg_max": 4, **change})


def test_a_label_of_padding_is_not_looked_at() -> None:
    given = scene(0)
    before = reference.yolov8_detection_loss(**given, reg_max=4)
    given["gt_labels"][1, -1] = 99
    assert reference.yolov8_detection_loss(**given, reg_max=4) == before
    assert math.isfinite(before)
