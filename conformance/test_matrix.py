"""The matrix as pytest tests: pytest --pyargs lossparity.conformance --backend torch.

One test per check. `dialect` passes, `known` is an expected failure, `unsupported` and `not-run` are skips with their
reasons; everything else fails with what differs and how to look into it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lossparity.conformance.record import Check


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Say how to ask for the matrix where it was come upon by chance: `pytest .`."""
    if not metafunc.config.pluginmanager.has_plugin("lossparity-matrix"):
        reason = "name the suite: pytest conformance, or pytest --pyargs lossparity.conformance"
        metafunc.parametrize("check", [pytest.param(None, marks=pytest.mark.skip(reason=reason))], ids=["matrix"])


def test_parity(check: Check, request: pytest.FixtureRequest) -> None:
    """Decide one check."""
    matrix: Any = request.config.pluginmanager.get_plugin("lossparity-matrix")
    decided = matrix.decide(check)
    request.node.user_properties.append(("lossparity", dataclasses.astuple(decided)))
    request.node.user_properties.append(("lossparity-warnings", matrix.news(check)))
    if decided.verdict in ("unsupported", "not-run"):
        pytest.skip(f"{decided.verdict}: {decided.reason}")
    if decided.verdict == "known":
        pytest.xfail(decided.reason)
    if decided.verdict not in ("match", "lossy", "dialect"):
        pytest.fail(f"{decided.verdict}: {decided.reason}\nlossparity explain {decided.id}", pytrace=False)
