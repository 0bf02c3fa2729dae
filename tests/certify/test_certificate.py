"""The certificate's search, cut short: no worst input that it finds is beyond the bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from certify.__main__ import row
from certify.search import Subject, search
from certify.subjects import SUBJECTS

from lossparity.reference import Loss


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_the_bar_is_held(subject: Subject) -> None:
    found = list(search(subject, seed=1, starts=12, climbs=1, steps=25))
    assert {worst.regime for worst in found} == set(subject.regimes)
    aspects = {"value", *(f"gradient:{name}" for name in subject.loss.differentiable)}
    assert {worst.aspect for worst in found} <= aspects
    assert {"value", f"gradient:{subject.loss.differentiable[0]}"} <= {worst.aspect for worst in found}
    beyond = [row(subject.name, worst) for worst in found if not worst.share <= 1.0]
    assert not beyond, "\n".join(beyond)


def test_a_lost_digit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast form that computes log(1 + e^-|x|) where it should log1p is beyond the bar."""
    subject = next(each for each in SUBJECTS if each.name == "binary_cross_entropy_with_logits")
    true = Loss.vjp

    def careless(self: Loss, *args: Any, **kwargs: Any) -> Any:
        _, pullback = true(self, *args, **kwargs)
        x, y = np.asarray(kwargs["input"]), np.asarray(kwargs["target"])
        return np.log(1.0 + np.exp(-np.abs(x))) + np.maximum(x, 0.0) - x * y, pullback

    monkeypatch.setattr(Loss, "vjp", careless)
    plain = {
        "plain": replace(
            subject.regimes["ordinary"], draw=lambda rng: {"input": 10.0 * rng.normal(size=1), "target": np.ones(1)}
        )
    }
    worst = max(w.share for w in search(replace(subject, regimes=plain), seed=1, starts=20, climbs=1, steps=20))
    assert worst > 1.0
