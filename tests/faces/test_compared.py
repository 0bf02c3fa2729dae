"""What of two records is compared when only a part of the matrix is asked for."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from records import check, run

from lossparity.cli.compared import _chosen
from lossparity.conformance.cases import CASES
from lossparity.conformance.matrix import Selection, compile_expression
from lossparity.conformance.record import Check

SLOW = next(name for name, case in CASES["mse_loss"].items() if not case.quick)
QUICK = next(name for name, case in CASES["mse_loss"].items() if case.quick)


def chosen(one: Check, selection: Selection) -> bool:
    """Whether a check is asked for, of one check."""
    if one.loss == "*":
        return True
    asked = (("loss", "losses"), ("dtype", "dtypes"), ("device", "devices"), ("mode", "modes"))
    return (
        all(getattr(one, a) in (getattr(selection, b) or (getattr(one, a),)) for a, b in asked if a != "dtype")
        and (not selection.dtypes or one.dtype in (*selection.dtypes, "any"))
        and not (selection.quick and not CASES[one.loss][one.case].quick)
        and compile_expression(selection.expression)(one.id)
    )


@pytest.mark.parametrize(
    "selection",
    [
        {},
        {"losses": ("l1_loss",)},
        {"dtypes": ("float32",)},
        {"devices": ("cuda:0",), "modes": ("eager",)},
        {"quick": True},
        {"expression": "l1_loss and not float64"},
        {"expression": "odd"},
        {"losses": ("mse_loss",), "dtypes": ("float64",), "quick": True, "expression": "value or shape"},
    ],
)
def test_a_part_is_what_a_look_at_each_check_chooses(selection: dict[str, Any]) -> None:
    checks = [
        check(f"{case}/{dtype}/{aspect}", loss=loss, device=device)
        for loss, case, dtype, aspect, device in itertools.product(
            ("mse_loss", "l1_loss"), (SLOW, QUICK), ("float64", "float32", "any"), ("value", "shape"), ("cpu", "cuda:0")
        )
    ]
    checks[5] = dataclasses.replace(checks[5], id="odd/name")
    checks.append(Check("*/gone", "*", "gone", *["*"] * 6, verdict="not-run"))
    made, asked = run(*checks, census={"toy": {}}), Selection(**selection)
    part = _chosen(made, asked)
    assert [each.id for each in part.checks] == [each.id for each in checks if chosen(each, asked)]
    assert len(part.checks) > 1
    assert (part.census == {}) == bool(asked.losses)
    assert {key.split("/")[0] for key in part.implementations} <= {*(asked.losses or ("mse_loss", "l1_loss", "*"))}
