"""What every mode promises, on real frameworks, each in its own process: the eager mode's numbers, really compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import own_process
import pytest

from lossparity.adapters import engines
from lossparity.adapters.base import Answer, Request
from lossparity.adapters.engines import Mode, NotCompiledError

NAMES = ("torch", "tensorflow", "jax")
MODES = {
    "torch": ("eager", "compile-aot", "compile", "func"),
    "tensorflow": ("eager", "function", "xla"),
    "jax": ("eager", "jit"),
}
OWN = next((name for name in NAMES if own_process.is_own(name)), None)

if OWN is None:

    @pytest.mark.parametrize("name", NAMES)
    def test_in_a_process_of_its_own(name: str) -> None:
        own_process.passes(name, __file__)

    def test_numpy_has_the_eager_mode_alone() -> None:
        assert list(engines.load("numpy").MODES) == ["eager"]
        assert engines.compiled(engines.load("numpy")) == {}

else:
    engine = engines.load(OWN)
    COMPILING = tuple(name for name, mode in engine.MODES.items() if mode.programs)
    X = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]], np.float32)
    LABELS = np.array([2, 0])

    if OWN == "torch":
        import torch

        def cross(input: Any, labels: Any, power: float) -> Any:
            return -(torch.log_softmax(input, 1).gather(1, labels[:, None])[:, 0] ** power)

        @pytest.fixture(autouse=True)
        def without_a_cpp_compiler(request: pytest.FixtureRequest) -> None:
            mode = getattr(request.node, "callspec", None) and request.node.callspec.params.get("mode")
            missing = mode and engine.MODES[mode].missing("cpu")
            if missing:
                pytest.skip(missing)

    elif OWN == "tensorflow":
        import tensorflow as tf

        def cross(input: Any, labels: Any, power: float) -> Any:
            return -(tf.gather(tf.nn.log_softmax(input), labels, axis=1, batch_dims=1) ** power)

    else:
        import jax
        import jax.numpy as jnp

        def cross(input: Any, labels: Any, power: float) -> Any:
            return -(jnp.take_along_axis(jax.nn.log_softmax(input), labels[:, None], 1)[:, 0] ** power)

    def cotangent(shape: tuple[int, ...]) -> Any:
        return np.linspace(1.0, 2.0, int(np.prod(shape)), dtype=np.float32).reshape(shape)

    def request(function: Callable[..., Any], arrays: Any, options: Any = None, **rest: Any) -> Request:
        given = {"differentiable": ("input",), "cotangent": cotangent, "device": "cpu", "dtype": "float32", **rest}
        return Request(function, arrays, options or {}, **given)

    def assert_alike(one: Answer, other: Answer) -> None:
        np.testing.assert_allclose(one.value, other.value, rtol=1e-6, atol=1e-7)
        for name, gradient in other.gradients.items():
            np.testing.assert_allclose(one.gradients[name], gradient, rtol=1e-5, atol=1e-7)
        assert one.dtypes == other.dtypes

    def test_the_modes_are_those_of_the_contract() -> None:
        assert tuple(engine.MODES) == MODES[str(OWN)]

    @pytest.mark.parametrize("mode", MODES[OWN][1:])
    @pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
    def test_value_and_gradient_are_those_of_the_eager_mode(mode: str, dtype: str) -> None:
        arrays = {"input": X.astype("float64" if dtype == "float64" else "float32"), "labels": LABELS}
        asked = request(cross, arrays, {"power": 2.0}, dtype=dtype)
        found, eager = engine.MODES[mode].evaluate(asked), engine.evaluate(asked)
        if dtype != "bfloat16":
            assert_alike(found, eager)
        else:  # fused, a program may round less often
            np.testing.assert_allclose(found.value, eager.value, rtol=2e-2)
        assert found.dtypes == eager.dtypes

    @pytest.mark.parametrize("mode", COMPILING)
    def test_one_program_serves_all_numbers_and_no_other_options_or_shapes(mode: str) -> None:
        """Labels and the cotangent are inputs of it: of a constant in it the second call would give the first's."""
        run, programs = engine.MODES[mode].evaluate, engine.MODES[mode].programs
        before = programs.compiled
        asked = request(cross, {"input": X, "labels": LABELS}, {"power": 3.0})
        other = request(cross, {"input": -X, "labels": 1 - LABELS // 2}, {"power": 3.0}, cotangent=np.ones)
        for each in (asked, other, asked):
            assert_alike(run(each), engine.evaluate(each))
        assert programs.compiled == before + 1
        assert_alike(run(dataclasses.replace(asked, options={"power": 1.5})), engine.evaluate(
            dataclasses.replace(asked, options={"power": 1.5})))  # fmt: skip
        wide = request(cross, {"input": np.hstack([X, X]), "labels": LABELS}, {"power": 3.0})
        assert_alike(run(wide), engine.evaluate(wide))
        assert programs.compiled == before + 3
        assert engines.compiled(engine)[mode] == programs.compiled

    @pytest.mark.parametrize("mode", MODES[OWN][1:])
    def test_the_value_alone(mode: str) -> None:
        asked = request(cross, {"input": X, "labels": LABELS}, {"power": 1.0}, differentiable=())
        found = engine.MODES[mode].evaluate(asked)
        assert found.gradients == {}
        np.testing.assert_allclose(found.value, engine.evaluate(asked).value, rtol=1e-6)

    @pytest.mark.parametrize("mode", MODES[OWN])
    def test_what_the_function_raises_is_no_fall_back(mode: str) -> None:
        def refuses(input: Any) -> Any:
            raise ValueError("the shapes do not fit" if input is not None else "")

        with pytest.raises(Exception, match="the shapes do not fit") as raised:
            engine.MODES[mode].evaluate(request(refuses, {"input": X}))
        assert not isinstance(raised.value, NotCompiledError)

    def test_a_mode_is_one_line_and_then_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
        from lossparity import adapters
        from lossparity.conformance.explain import explain
        from lossparity.conformance.judge import Judge
        from lossparity.conformance.matrix import Selection, checks

        backend = {"jax": None}.get(str(OWN), OWN)
        if backend not in adapters.BACKENDS:
            pytest.skip(f"no backend of ours runs on {OWN} alone")
        monkeypatch.setitem(engine.MODES, "again", Mode(engine.evaluate, "(lambda: {})()"))
        module = adapters.load(str(backend))
        judge = Judge(module, 0, adapters.BACKENDS[str(backend)].versions())
        for selection in (Selection(modes=("again",), losses=("sigmoid",)), Selection(full=True, losses=("sigmoid",))):
            found = [each for each in checks(str(backend), module, selection) if each.mode == "again"]
            assert {judge(each).verdict for each in found} <= {"match", "lossy", "dialect", "known", "unsupported"}
            assert found
        value = next(each for each in found if each.aspect == "value")
        assert "(lambda: " in explain(value.id, 0)

    if OWN == "torch":

        def test_many_options_of_one_function_are_compiled_each() -> None:
            """Dynamo runs a code object eagerly from its ninth recompilation on, without a word."""
            before = engines.compiled(engine)["compile-aot"]
            graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            for i in range(20):
                asked = request(cross, {"input": X, "labels": LABELS}, {"power": 4.0 + i})
                assert_alike(engine.MODES["compile-aot"].evaluate(asked), engine.evaluate(asked))
            assert engines.compiled(engine)["compile-aot"] - before == 20
            assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - graphs == 20

        @pytest.mark.parametrize("mode", ["compile-aot", "compile"])
        def test_a_call_that_is_left_to_the_eager_mode_is_found_out(mode: str) -> None:
            asked = request(cross, {"input": X, "labels": LABELS}, {"power": 30.0})
            with torch.compiler.set_stance("force_eager"), pytest.raises(NotCompiledError, match="0 graphs"):
                engine.MODES[mode].evaluate(asked)
            assert_alike(engine.MODES[mode].evaluate(asked), engine.evaluate(asked))

        def test_a_program_that_serves_a_second_call_eagerly_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
            asked = request(cross, {"input": X, "labels": LABELS}, {"power": 31.0})
            engine.MODES["compile-aot"].evaluate(asked)
            monkeypatch.setattr(engines, "signature", lambda request: request.function)  # too coarse: others share it
            first = request(cross, {"input": X, "labels": LABELS}, {"power": 32.0})
            engine.MODES["compile-aot"].evaluate(first)
            wide = request(cross, {"input": np.hstack([X, X]), "labels": LABELS}, {"power": 32.0})
            with pytest.raises(NotCompiledError, match="1 graphs, where 0 were due"):
                engine.MODES["compile-aot"].evaluate(wide)

        def test_a_graph_break_is_found_out() -> None:
            def branches(input: Any) -> Any:
                return input * 2.0 if input.sum() > 0 else input

            with pytest.raises(NotCompiledError, match="one graph"):
                engine.MODES["compile-aot"].evaluate(request(branches, {"input": X}))

        def test_without_a_cpp_compiler_inductor_is_missing_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
            import torch._inductor.config

            monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
            reason = engine._compile("inductor").missing("cpu")
            assert (
                reason
                == "inductor needs a C++ compiler, and there is no no-such-compiler here; set CXX, or install one"
            )
            assert engine._compile("aot_eager").missing("cpu") is None

        def test_no_path_is_none_eagerly_and_zero_by_transforms() -> None:
            def detached(input: Any) -> Any:
                return input.detach() * 2.0 + input * 0.0

            asked = request(detached, {"input": X})
            np.testing.assert_array_equal(engine.MODES["func"].evaluate(asked).gradients["input"], 0.0 * X)
