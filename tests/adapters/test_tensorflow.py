"""The plumbing of TensorFlow's adapter. Whether its losses are right is the matrix's business, not this file's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import own_process
import pytest

if not own_process.is_own("tensorflow"):

    def test_in_a_process_of_its_own() -> None:
        own_process.passes("tensorflow", __file__)

else:
    tf = importlib.import_module("tensorflow")
    adapter = importlib.import_module("lossparity.adapters.tensorflow")

    @pytest.fixture(scope="module", autouse=True)
    def _two_cpus() -> None:
        """A second logical CPU, before TensorFlow looks for its devices."""
        one = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one, one])

    def ones(shape: tuple[int, ...]) -> Any:
        return np.ones(shape)

    def run(
        function: Callable[..., Any],
        differentiable: tuple[str, ...] = (),
        cotangent: Any = ones,
        device: str = "cpu",
        **arrays: Any,
    ) -> Any:
        return adapter.evaluate(function, arrays, {}, differentiable, cotangent, device)

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
    def test_numbers_and_dtype_go_in_and_come_back_as_they_are(dtype: str) -> None:
        array = np.arange(24).reshape(3, 8).astype(dtype)[:, ::2]
        seen = []

        def function(input: Any) -> Any:
            seen.append(input.dtype.name)
            return input

        value, gradients = run(function, input=array)
        assert seen == [dtype]
        assert gradients == {}
        assert value.dtype == dtype
        np.testing.assert_array_equal(value, array)

    def test_a_number_comes_back_as_an_array_without_axes() -> None:
        value, gradients = run(lambda a: a * a, ("a",), a=np.array(3.0, np.float32))
        for array in (value, gradients["a"]):
            assert isinstance(array, np.ndarray)
            assert array.shape == ()
            assert array.dtype == np.float32

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_the_gradient_is_taken_under_the_cotangent_of_the_values_shape(dtype: str) -> None:
        x, g = np.array([1.0, 2.0, 3.0], dtype), np.array([1.0, -1.0, 0.5], dtype)
        shapes = []

        def cotangent(shape: tuple[int, ...]) -> Any:
            shapes.append(shape)
            return g

        value, gradients = run(lambda a: a * a, ("a",), cotangent, a=x)
        assert shapes == [(3,)]
        np.testing.assert_array_equal(value, x * x)
        np.testing.assert_array_equal(gradients["a"], 2.0 * x * g)
        assert gradients["a"].dtype == dtype

    def test_the_cotangent_takes_the_dtype_that_the_value_has() -> None:
        value, gradients = run(lambda a: tf.cast(a, tf.float32), ("a",), a=np.ones(2))
        assert value.dtype == np.float32
        assert gradients["a"].dtype == np.float64

    def test_gradients_only_of_what_is_asked_for() -> None:
        _, gradients = run(lambda a, b: a * b, ("b",), a=np.array(2.0), b=np.array(3.0))
        assert set(gradients) == {"b"}
        assert gradients["b"] == 2.0

    def test_no_path_is_none() -> None:
        arrays = {"a": np.ones(2), "b": np.ones(2)}
        _, gradients = run(lambda a, b: a + tf.stop_gradient(b), ("a", "b"), **arrays)
        assert gradients["b"] is None
        np.testing.assert_array_equal(gradients["a"], [1.0, 1.0])
        _, gradients = run(lambda a, b: tf.stop_gradient(a + b), ("a", "b"), **arrays)
        assert gradients == {"a": None, "b": None}

    def test_a_sparse_gradient_comes_back_whole() -> None:
        _, gradients = run(lambda a: tf.gather(a, [2]), ("a",), a=np.ones(3))
        np.testing.assert_array_equal(gradients["a"], [0.0, 0.0, 1.0])

    def test_what_tensorflow_raises_is_let_through() -> None:
        with pytest.raises(tf.errors.InvalidArgumentError):
            run(lambda a, b: a + b, a=np.ones(2), b=np.ones(3))

    @pytest.mark.parametrize(("device", "name"), [("cpu", "CPU:0"), ("cpu:1", "CPU:1")])
    def test_value_and_gradient_are_computed_on_the_device(device: str, name: str) -> None:
        placed = []

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def square(a: Any) -> Any:
            def gradient(g: Any) -> Any:
                placed.append((g * a).device)
                return 2.0 * g * a

            placed.extend([a.device, (a * a).device])
            return a * a, gradient

        assert device in adapter.devices()
        run(lambda a: square(a), ("a",), device=device, a=np.array([1.0, 2.0]))  # only its positional arguments count
        assert len(placed) == 3
        assert all(each.endswith(name) for each in placed)

    def test_the_first_cpu_comes_first_and_has_no_number() -> None:
        assert adapter.devices()[:2] == ["cpu", "cpu:1"]

    def test_devices_that_are_no_processors_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
        device = tf.config.LogicalDevice
        names = ("/device:GPU:0", "/device:CPU:0", "/device:XLA_CPU:0", "/device:GPU:1")
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda: [device(n, n.split(":")[1]) for n in names])
        assert adapter.devices() == ["cpu", "cuda:0", "cuda:1"]

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
