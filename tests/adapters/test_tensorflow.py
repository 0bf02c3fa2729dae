"""The plumbing of TensorFlow's adapter. Whether its losses are right is the matrix's business, not this file's."""

from __future__ import annotations

import importlib

import numpy as np
import own_process
import pytest

if not own_process.is_own("tensorflow"):

    def test_in_a_process_of_its_own() -> None:
        own_process.passes("tensorflow", __file__)

else:
    tf = importlib.import_module("tensorflow")
    adapter = importlib.import_module("lossparity.adapters.tensorflow")

    @pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
    def test_classes_go_last(shape: tuple[int, ...]) -> None:
        array = np.arange(np.prod(shape)).reshape(shape)
        expected = np.moveaxis(array, 1, -1) if len(shape) > 1 else array
        np.testing.assert_array_equal(adapter.classes_last(tf.constant(array)), expected)

    def test_every_reduction_of_v1_is_mapped() -> None:
        assert set(adapter.REDUCTIONS.values()) == set(tf.compat.v1.losses.Reduction.all())

    def test_every_name_is_where_it_says() -> None:
        for implementation in adapter.IMPLEMENTATIONS:
            found = tf
            for part in implementation.name.split(".")[1:]:
                found = getattr(found, part)
            assert callable(found)
