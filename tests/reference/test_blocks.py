"""Long arrays are computed in stretches: the same numbers as in one, in little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from lossparity import reference
from lossparity.reference.blocks import in_blocks

ROWS = 50_000
rng = np.random.default_rng(0)


def boxes():
    corner = rng.uniform(0, 10, size=(ROWS, 2))
    return np.concatenate([corner, corner + rng.uniform(0.5, 5, size=(ROWS, 2))], axis=1)


PAIR = (rng.normal(size=ROWS), rng.uniform(size=ROWS))
ARGUMENTS = {
    "sigmoid_focal_loss": PAIR,
    "quality_focal_loss": PAIR,
    "varifocal_loss": PAIR,
    "softmax_focal_loss": (rng.normal(size=(ROWS, 5)), rng.uniform(size=(ROWS, 5))),
    "distribution_focal_loss": (rng.normal(size=(ROWS, 8)), rng.uniform(0, 7, size=ROWS)),
    "iou_loss": (boxes(), boxes()),
    "generalized_box_iou_loss": (boxes(), boxes()),
    "distance_box_iou_loss": (boxes(), boxes()),
    "complete_box_iou_loss": (boxes(), boxes()),
}


@pytest.mark.parametrize("shapes", [[(7,)], [(50_000,), (50_000, 3)], [(16_384, 2)], [(3, 100_000)], [(0, 4)]])
def test_every_row_once_and_in_order(shapes):
    arrays = [rng.normal(size=shape) for shape in shapes]
    longest = 0

    def formula(*columns):
        nonlocal longest
        longest = max(longest, *(column.size for column in columns))
        return columns[0] * 2.0, columns[-1] + 1.0

    doubled, raised = in_blocks(formula, *arrays)
    np.testing.assert_array_equal(doubled, arrays[0] * 2.0)
    np.testing.assert_array_equal(raised, arrays[-1] + 1.0)
    assert longest <= max(16_384, *(int(np.prod(shape[1:])) for shape in shapes))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_long_arrays_are_their_parts(name):
    loss, arguments = reference.LOSSES[name], ARGUMENTS[name]
    value, pullback = loss.vjp(*arguments, reduction="none")
    g = rng.normal(size=value.shape)
    gradients = pullback(g)
    for part in (slice(0, 100), slice(16_300, 16_500), slice(ROWS - 100, ROWS)):
        some = [argument[part] for argument in arguments]
        one, back = loss.vjp(*some, reduction="none")
        np.testing.assert_allclose(value[part], one, rtol=1e-14)
        for key, gradient in back(g[part]).items():
            np.testing.assert_allclose(gradients[key][part], gradient, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", [*ARGUMENTS, "dice_loss"])
def test_memory(name):
    arguments = ARGUMENTS.get(name, PAIR)
    tracemalloc.start()
    try:
        _, pullback = reference.LOSSES[name].vjp(*arguments, reduction="mean")
        pullback()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # At most four times the input; what one stretch needs on top is as large for any input.
    assert peak <= 4 * sum(argument.nbytes for argument in arguments) + 40 * 16_384 * 8
