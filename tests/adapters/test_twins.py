"""A class and the function that it wraps, or the reverse, are one declaration."""

from __future__ import annotations

import numpy as np

from lossparity.adapters.base import Dialect, Implementation, implementations, twin
from lossparity.conformance.straight import straight

DIALECT = Dialect("half", "Half.", "https://toy", {"sample_weight": 0.5})

REGISTRY: list[Implementation] = []
implements = implementations(REGISTRY)


@implements(
    "mse_loss",
    "np.subtract",
    ("none", "mean"),
    dialects=(DIALECT,),
    lacks={"weight": "it has none"},
    twin=twin(
        "np.power",
        lambda input, target, exponent=2.0: np.power(input - target, exponent),
        dialects=(),
    ),
)
def loss(input, target):
    return np.subtract(input, target)


def test_a_twin_is_declared_as_the_other_is_but_for_what_differs() -> None:
    one, other = REGISTRY
    assert (one.name, one.twin, one.function) == ("np.subtract", None, loss)
    assert (other.name, other.twin, other.loss) == ("np.power", "np.subtract", "mse_loss")
    assert other.parameters == ("input", "target", "exponent")
    assert (other.reductions, other.lacks) == (one.reductions, one.lacks)
    assert (one.dialects, other.dialects) == ((DIALECT,), ())


def test_a_lambda_is_shown_in_straight_lines_too() -> None:
    tensors = {"input": np.ones(2), "target": np.zeros(2)}
    _, statements = straight(REGISTRY[1].function, "np.power", tensors, {"exponent": 2.0})
    assert statements == ["value = np.power(input - target, 2.0)"]
