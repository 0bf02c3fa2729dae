"""The plumbing of Keras' adapter. Whether its losses are right is the matrix's business, not this file's."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np
import own_process
import pytest

from lossparity import adapters
from lossparity.adapters.base import Request

if not own_process.is_own("keras"):

    def test_in_a_process_of_its_own() -> None:
        own_process.passes("keras", __file__)

else:
    adapter: Any = adapters.load("keras")
    shared = adapter.shared
    keras = importlib.import_module("keras")
    tf = importlib.import_module("tensorflow")

    def test_keras_runs_on_tensorflow() -> None:
        assert os.environ["KERAS_BACKEND"] == "tensorflow"
        assert keras.backend.backend() == "tensorflow"

    def test_importing_the_adapter_leaves_keras_as_it_was() -> None:
        assert keras.backend.floatx() == "float32"
        assert keras.backend.epsilon() == 1e-7

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_a_class_computes_in_the_dtype_it_is_given(dtype: str) -> None:
        if dtype == "float64" and not (shared.HAS_DTYPE or keras.__version__ < "3"):
            pytest.skip("the classes of this version know floatx alone")
        x = np.array([[1.0, 2.0 + 2.0**-20]], dtype)
        arrays = {"input": x, "target": np.zeros_like(x)}
        function = adapter.regression.mean_absolute_error_class
        request = Request(function, arrays, {"reduction": "sum"}, ("input",), np.ones, "cpu", dtype)
        value, gradients, _ = adapter.ENGINE.evaluate(request)
        assert value.dtype == gradients["input"].dtype == dtype
        assert value == np.dtype(dtype).type(1.5 + 2.0**-21)

    def test_the_weights_of_samples_lose_the_axis_that_keras_averages() -> None:
        for shape, left in (((3, 1), (3,)), ((2, 3, 1), (2, 3)), ((3,), (3,)), ((1,), (1,)), ((3, 4), (3, 4))):
            assert shared.per_sample(np.ones(shape)).shape == left
        assert shared.per_sample(None) is None

    def test_a_reduction_keras_does_not_know_is_handed_on_to_be_refused() -> None:
        one = tf.constant([[1.0]])
        with pytest.raises(ValueError, match="average"):
            adapter.regression.mean_squared_error_class(one, one, "average")

    def test_the_bounds_of_the_clip_are_those_of_the_dtype() -> None:
        Call = importlib.import_module("lossparity.adapters.base").Call  # noqa: N806
        p = tf.constant([-1.0, 2.0])
        clipped = tf.clip_by_value(p, keras.backend.epsilon(), 1.0 - keras.backend.epsilon())
        bounds = shared.bounds(Call("", "float32", {}, frozenset()))
        assert [float(bound) for bound in clipped] == list(bounds)

    def test_every_reduction_it_declares_is_taken() -> None:
        by_name = {(each.loss, each.name): each for each in adapter.IMPLEMENTATIONS}
        for implementation in adapter.IMPLEMENTATIONS:
            assert set(implementation.reductions) <= {*shared.REDUCTIONS, "batchmean"}
        here = (
            shared.NO_WEIGHTED_MEAN in by_name["mse_loss", "keras.losses.MeanSquaredError"].unsupported
        )  # Keras before 3.7
        for reduction in shared.REDUCTIONS.values():
            if reduction != "mean_with_sample_weight" or not here:
                keras.losses.MeanSquaredError(reduction=reduction)

    def test_every_name_is_where_it_says_or_declared_absent() -> None:
        for implementation in adapter.IMPLEMENTATIONS:
            _, module, name = implementation.name.split(".")
            found: Any = getattr(getattr(keras, module), name, None)
            assert callable(found) or not implementation.exists, implementation.name
