"""The plumbing of torchvision's adapter, which is torch's with other functions."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import numpy as np
import pytest

from lossparity.adapters.base import Request

torchvision = pytest.importorskip("torchvision")
adapter = importlib.import_module("lossparity.adapters.torchvision")


def test_it_runs_on_torchs_engine_and_imports_no_other_adapter() -> None:
    assert adapter.ENGINE.__name__ == "lossparity.adapters.engines.torch"
    assert not [name for name in vars(adapter) if name in ("of_torch", "devices", "evaluate")]


@pytest.mark.parametrize("implementation", adapter.IMPLEMENTATIONS, ids=lambda each: each.name)
def test_every_name_is_an_entry_point(implementation: Any) -> None:
    assert operator.attrgetter(implementation.name.partition(".")[2])(torchvision)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_loss_of_boxes_keeps_the_dtype_and_has_both_gradients(dtype: str) -> None:
    implementation = next(each for each in adapter.IMPLEMENTATIONS if each.loss == "generalized_box_iou_loss")
    arrays = {
        "boxes1": np.array([[0.0, 0.0, 2.0, 2.0]], dtype),
        "boxes2": np.array([[1.0, 1.0, 3.0, 3.0]], dtype),
    }
    options = {"reduction": "none", "eps": 0.0}
    value, gradients, _ = adapter.ENGINE.evaluate(
        Request(implementation.function, arrays, options, tuple(arrays), np.ones, "cpu", dtype)
    )
    assert value.dtype == dtype
    # intersection 1, union 7, enclosing box 9
    np.testing.assert_allclose(value, [1.0 - 1.0 / 7.0 + 2.0 / 9.0], rtol=1e-6)
    assert {name: (g.shape, str(g.dtype)) for name, g in gradients.items()} == dict.fromkeys(arrays, ((1, 4), dtype))
    np.testing.assert_allclose(gradients["boxes1"], -gradients["boxes2"][:, [2, 3, 0, 1]], rtol=1e-6)


def test_what_the_framework_raises_is_let_through() -> None:
    implementation = next(each for each in adapter.IMPLEMENTATIONS if each.loss == "sigmoid_focal_loss")
    arrays = {"inputs": np.ones(2), "targets": np.ones(2)}
    options = {"alpha": 0.25, "gamma": 2.0, "reduction": "average"}
    with pytest.raises(ValueError, match="reduction"):
        adapter.ENGINE.evaluate(Request(implementation.function, arrays, options, (), np.ones, "cpu", "float64"))
