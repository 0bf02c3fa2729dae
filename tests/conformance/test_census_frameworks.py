"""The census, signatures and warnings of the installed frameworks, as their adapters give them."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import Any

import numpy as np
import own_process
import pytest

from lossparity import adapters, reference
from lossparity.adapters.base import Request
from lossparity.conformance import census, warned
from lossparity.conformance.describe import describe_implementations
from lossparity.conformance.kit import assert_adapter


def module_of(backend: str) -> Any:
    missing = adapters.BACKENDS[backend].missing()
    if missing:
        pytest.skip(missing)
    return adapters.load(backend)


OWN = next((home for home in own_process.ELSEWHERE if own_process.is_own(home)), None)
here = pytest.mark.parametrize("backend", own_process.ELSEWHERE[OWN] if OWN else own_process.HERE)


@here
def test_every_loss_is_found(backend: str) -> None:
    """The rule finds whatever was adapted by hand; what it finds is adapted, excluded with a reason, or uncovered."""
    module = module_of(backend)
    seen = census.census(module)
    found = {name for namespace in seen["namespaces"].values() for name in namespace}
    assert all(seen["namespaces"].values()), "a namespace without losses"
    by_hand = {each.entry_point for each in module.IMPLEMENTATIONS if each.loss in reference.LOSSES and each.exists}
    assert by_hand <= found
    assert not by_hand & {*seen["uncovered"], *seen["excluded"]}
    aliases = found - by_hand - {*seen["uncovered"], *seen["excluded"]}
    elsewhere = {id(census.resolve(module, name)) for name in found - aliases}
    assert {id(census.resolve(module, name)) for name in aliases} <= elsewhere
    assert all(reason for reason in seen["excluded"].values())
    assert json.loads(json.dumps(seen)) == seen


@here
def test_the_adapter_keeps_its_promises(backend: str) -> None:
    module = module_of(backend)
    assert_adapter(module)
    assert [each.name for each in module.IMPLEMENTATIONS if not adapters.BACKENDS[backend].has(each.name)] == []


@here
def test_every_signature_is_plain(backend: str) -> None:
    module = module_of(backend)
    for key, each in describe_implementations(backend, module).items():
        signature = each["signature"]
        assert signature or key == "sigmoid/torch.sigmoid", f"{key} has no signature"
        text = json.dumps(signature)
        assert json.loads(text) == signature
        assert "0x" not in text


@here
def test_warnings_are_let_through(backend: str) -> None:
    """The adapter keeps no warning of the framework to itself."""
    module = module_of(backend)

    def old(input: Any) -> Any:
        for category in warned.HEARD:
            warnings.warn("going", category, stacklevel=1)
        return input + input

    run_mode = next(iter(module.ENGINE.MODES.values())).evaluate
    with warned.listening() as heard:
        run_mode(Request(old, {"input": np.ones(2)}, {}, (), np.ones, "cpu", "float64"))
    assert [warned.words(each) for each in heard] == [f"{category.__name__}: going" for category in warned.HEARD]


if OWN == "tensorflow":

    def test_what_tensorflow_logs_as_deprecated_is_a_warning() -> None:
        """Without the place it was called from, which is this machine's."""
        tf = importlib.import_module("tensorflow")
        adapter = module_of("tensorflow")

        def old(input: Any) -> Any:
            tf.get_logger().warning("something else")
            return tf.compat.v1.nn.softmax_cross_entropy_with_logits(labels=input, logits=input)

        with warned.listening() as heard:
            adapter.ENGINE.evaluate(Request(old, {"input": np.ones((2, 3))}, {}, (), np.ones, "cpu", "float64"))
        (said,) = map(warned.words, heard)
        assert said.startswith("DeprecationWarning: softmax_cross_entropy_with_logits")
        assert "deprecated" in said
        assert ".py:" not in said

    def test_the_logger_is_left_as_it_was() -> None:
        tf = importlib.import_module("tensorflow")
        before = list(tf.get_logger().filters)
        with pytest.raises(ZeroDivisionError):
            module_of("tensorflow").ENGINE.evaluate(Request(lambda: 1 / 0, {}, {}, (), np.ones, "cpu", "float64"))
        assert tf.get_logger().filters == before


@pytest.mark.skipif(OWN is not None, reason="this is such a process")
@pytest.mark.parametrize("home", own_process.ELSEWHERE)
def test_in_a_process_of_their_own(home: str) -> None:
    own_process.passes(home, __file__)
