"""The textbook forms against definitions that know nothing of them, over mpmath: value and every gradient."""

from __future__ import annotations

import numpy as np
import pytest
from certify.search import PRECISION, Subject, defined, exact
from certify.subjects import SUBJECTS
from exact import mp


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_textbook_form_is_the_definition(subject: Subject) -> None:
    compared = 0
    for regime in subject.regimes.values():
        rng = np.random.default_rng(1)
        for _ in range(15):
            point = regime.draw(rng)
            with mp.workprec(PRECISION):
                try:
                    want, got = defined(subject, point), exact(subject, point)
                except ZeroDivisionError:  # infinite
                    continue
                assert want.keys() == got.keys()
                for aspect, right in want.items():
                    for w, g in zip(right, got[aspect], strict=True):
                        compared += 1
                        assert abs(w - g) <= abs(w) * mp.mpf(2) ** -200 + mp.mpf(2) ** -1250, (aspect, point)
    assert compared > 40
