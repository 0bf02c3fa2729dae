"""What every engine promises: how arrays go in and gradients come out, on real frameworks, each in its own process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import own_process
import pytest

from lossparity.adapters import engines
from lossparity.adapters.base import Answer, Request

NAMES = ("numpy", "torch", "tensorflow", "jax")
OWN = next((name for name in NAMES if own_process.is_own(name)), None)

if OWN is None:

    @pytest.mark.parametrize("name", NAMES)
    def test_in_a_process_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")  # JAX's way to split the processor
        own_process.passes(name, __file__)

else:
    assert os.environ["XLA_FLAGS"]
    engine = engines.load(OWN)
    differentiates = pytest.mark.skipif(OWN == "numpy", reason="NumPy has no gradients")
    STRIDES = OWN in ("numpy", "torch")

    if OWN == "tensorflow":
        import tensorflow as tf

        one = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one, one])

    def stop(tensor: Any) -> Any:
        """The tensor without the path to where it came from."""
        if OWN == "torch":
            return tensor.detach()
        if OWN == "tensorflow":
            return tf.stop_gradient(tensor)
        import jax

        return jax.lax.stop_gradient(tensor)

    def ones(shape: tuple[int, ...]) -> Any:
        return np.ones(shape)

    def run(
        function: Callable[..., Any],
        differentiable: tuple[str, ...] = (),
        cotangent: Any = ones,
        evaluate: Callable[[Request], Answer] = engine.evaluate,
        device: str = "cpu",
        dtype: str = "float64",
        **arrays: Any,
    ) -> Answer:
        return evaluate(Request(function, arrays, {}, differentiable, cotangent, device, dtype))

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
    def test_numbers_and_dtype_go_in_and_come_back_as_they_are(dtype: str) -> None:
        if ("cpu", dtype) in engine.REFUSED:
            pytest.skip(engine.REFUSED["cpu", dtype])
        carried = "float32" if dtype == "bfloat16" else dtype
        array = np.arange(24).reshape(3, 8).astype(carried)[:, ::2]
        seen = []

        def function(input: Any, labels: Any) -> Any:
            seen.append((str(getattr(input.dtype, "name", input.dtype)).removeprefix("torch."), str(labels.dtype)))
            return input

        answer = run(function, input=array, labels=np.array([1, 2]), dtype=dtype)
        assert seen[0][0] == dtype
        assert "int" in seen[0][1]
        assert answer.gradients == {}
        assert str(answer.value.dtype) == carried
        assert answer.dtypes == ({"value": "bfloat16"} if dtype == "bfloat16" else {})
        np.testing.assert_array_equal(answer.value, array)

    def test_an_array_keeps_its_gaps_where_the_framework_has_strides() -> None:
        placed = engine.place(np.zeros((3, 8))[:, ::2], "cpu", "float32")
        if STRIDES:
            assert (placed.stride() if OWN == "torch" else tuple(s // 4 for s in placed.strides)) in ((8, 2), (4, 1))
        assert tuple(placed.shape) == (3, 4)

    def test_a_number_comes_back_as_an_array_without_axes() -> None:
        value = run(lambda a: a.sum() if OWN != "tensorflow" else tf.reduce_sum(a), a=np.ones((2, 3))).value
        assert isinstance(value, np.ndarray)
        assert value.shape == ()
        assert value.dtype == np.float64

    def test_what_the_framework_raises_is_let_through() -> None:
        class OwnError(Exception):
            pass

        def function(a: Any) -> Any:
            raise OwnError(a)

        with pytest.raises(OwnError):
            run(function, a=np.ones(2))

    def test_the_callers_arrays_are_left_alone() -> None:
        array = np.ones(3)
        run(lambda a: a * 2.0, () if OWN == "numpy" else ("a",), a=array)
        np.testing.assert_array_equal(array, np.ones(3))

    def test_the_first_cpu_comes_first_and_has_no_number() -> None:
        assert engine.devices()[0] == "cpu"
        if OWN in ("tensorflow", "jax"):
            assert engine.devices()[:2] == ["cpu", "cpu:1"]

    def test_its_version_is_the_frameworks() -> None:
        import importlib.metadata

        assert engine.version().partition("+")[0] in importlib.metadata.version(OWN)

    def test_there_is_no_gradient_without_autodiff() -> None:
        if OWN == "numpy":
            assert run(lambda a: a, ("a",), a=np.ones(2)).gradients == {"a": None}

    # --- gradients

    @differentiates
    @pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
    def test_the_gradient_is_taken_under_the_cotangent_of_the_values_shape(dtype: str) -> None:
        carried = "float32" if dtype == "bfloat16" else dtype
        x, g = np.array([1.0, 2.0, 3.0], carried), np.array([1.0, -1.0, 0.5], carried)
        shapes = []

        def cotangent(shape: tuple[int, ...]) -> Any:
            shapes.append(shape)
            return g

        answer = run(lambda a: a * a, ("a",), cotangent, a=x, dtype=dtype)
        assert shapes == [(3,)]
        np.testing.assert_array_equal(answer.value, x * x)
        np.testing.assert_array_equal(answer.gradients["a"], 2.0 * x * g)
        assert answer.dtypes.get("gradient:a", str(answer.gradients["a"].dtype)) == dtype

    @differentiates
    def test_gradients_only_of_what_is_asked_for() -> None:
        gradients = run(lambda a, b: a * b, ("b",), a=np.array(2.0), b=np.array(3.0)).gradients
        assert set(gradients) == {"b"}
        assert gradients["b"] == 2.0

    @differentiates
    def test_no_path_is_none_and_with_jax_zero() -> None:
        arrays = {"a": np.ones(2), "b": np.ones(2)}
        gradients = run(lambda a, b: a + stop(b), ("a", "b"), **arrays).gradients
        np.testing.assert_array_equal(gradients["a"], [1.0, 1.0])
        assert not gradients["b"].any() if OWN == "jax" else gradients["b"] is None

    @differentiates
    def test_a_second_backward_gives_what_the_first_does() -> None:
        x = np.array([1.0, 2.0])
        first = run(lambda a: a * a * a, ("a",), a=x)
        again = run(lambda a: a * a * a, ("a",), evaluate=engine.backward_twice, a=x)
        np.testing.assert_array_equal(again.gradients["a"], first.gradients["a"])
        np.testing.assert_array_equal(again.value, first.value)

    @differentiates
    def test_the_second_derivative_is_along_the_direction() -> None:
        x, v, g = np.array([1.0, 2.0, -3.0]), np.array([1.0, 0.5, 2.0]), np.array([2.0, 1.0, -1.0])
        request = Request(lambda a, b: a * a * a * b, {"a": x, "b": np.array(2.0)}, {}, ("a",), lambda _: g, "cpu",
                          "float64", lambda _, __: v)  # fmt: skip
        answer = engine.second(request)
        np.testing.assert_allclose(answer.value, 2.0 * x**3, rtol=1e-15)
        np.testing.assert_allclose(answer.gradients["a"], 12.0 * x * g * v, rtol=1e-15)

    @differentiates
    def test_a_second_derivative_has_what_two_arguments_have_in_common() -> None:
        x, y, g = np.array([1.0, 2.0]), np.array([3.0, -1.0]), np.array([2.0, 1.0])
        along = {"a": np.array([1.0, 0.5]), "b": np.array([-2.0, 4.0])}
        request = Request(lambda a, b: a * a * b, {"a": x, "b": y}, {}, ("a", "b"), lambda _: g, "cpu", "float64",
                          lambda name, _: along[name])  # fmt: skip
        found = engine.second(request).gradients
        np.testing.assert_allclose(found["a"], 2.0 * g * (y * along["a"] + x * along["b"]), rtol=1e-15)
        np.testing.assert_allclose(found["b"], 2.0 * g * x * along["a"], rtol=1e-15)

    @differentiates
    def test_a_second_derivative_needs_a_direction() -> None:
        with pytest.raises(ValueError, match="direction"):
            run(lambda a: a * a, ("a",), evaluate=engine.second, a=np.ones(2))

    def test_every_device_computes_where_it_says() -> None:
        for device in engine.devices():
            seen: list[str] = []

            def function(a: Any, seen: list[str] = seen) -> Any:
                if OWN == "jax":
                    import jax

                    seen.extend(str(each.id) for each in jax.numpy.square(a).devices())
                elif OWN != "numpy":
                    seen.append(str((a * a).device))
                return a * 2.0

            answer = run(function, device=device, dtype="float32", a=np.ones(2, np.float32))
            index = device.partition(":")[2] or "0"
            assert all(each.endswith(index) or each == device for each in seen)
            np.testing.assert_array_equal(answer.value, [2.0, 2.0])

    # --- engines alone

    if OWN == "torch":
        import torch

        def test_zeros_without_memory_are_taken() -> None:
            array, dtype = engine.take(torch._efficientzerotensor((2, 3)))
            np.testing.assert_array_equal(array, np.zeros((2, 3)))
            assert dtype == "float32"

        def test_placing_keeps_strides_on_another_device() -> None:
            tensor = engine.place(np.zeros((3, 8), np.float32)[:, ::2], "meta", "float16")
            assert tensor.device.type == "meta"  # the one other device that is everywhere
            assert tensor.stride() == (8, 2)
            assert tensor.dtype == torch.float16

        def test_devices_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
            monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
            monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
            assert engine.devices() == ["cpu", "cuda:0", "cuda:1", "mps"]

    if OWN == "tensorflow":

        def test_the_cotangent_takes_the_dtype_that_the_value_has() -> None:
            answer = run(lambda a: tf.cast(a, tf.float32), ("a",), a=np.ones(2))
            assert answer.value.dtype == np.float32
            assert answer.gradients["a"].dtype == np.float64

        def test_a_sparse_gradient_comes_back_whole() -> None:
            gradients = run(lambda a: tf.gather(a, [2]), ("a",), a=np.ones(3)).gradients
            np.testing.assert_array_equal(gradients["a"], [0.0, 0.0, 1.0])

        def test_value_and_gradient_are_computed_on_the_device() -> None:
            placed = []

            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def square(a: Any) -> Any:
                def gradient(g: Any) -> Any:
                    placed.append((g * a).device)
                    return 2.0 * g * a

                placed.extend([a.device, (a * a).device])
                return a * a, gradient

            run(lambda a: square(a), ("a",), device="cpu:1", a=np.array([1.0, 2.0]))  # positional arguments count
            assert len(placed) == 3
            assert all(each.endswith("CPU:1") for each in placed)

        def test_devices_that_are_no_processors_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
            device = tf.config.LogicalDevice
            names = ("/device:GPU:0", "/device:CPU:0", "/device:XLA_CPU:0", "/device:GPU:1")
            monkeypatch.setattr(tf.config, "list_logical_devices", lambda: [device(n, n.split(":")[1]) for n in names])
            assert engine.devices() == ["cpu", "cuda:0", "cuda:1"]

    if OWN == "jax":

        def test_64_bit_types_are_on_for_float64_alone() -> None:
            import jax

            for dtype, wide in (("float64", True), ("float32", False)):
                seen: list[bool] = []
                run(lambda a, seen=seen: seen.append(jax.config.jax_enable_x64) or a, a=np.ones(2), dtype=dtype)
                assert seen == [wide]
            assert not jax.config.jax_enable_x64
