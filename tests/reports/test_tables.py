"""A record and a comparison as CSV, and a record as Markdown: nothing of them is lost, and no string gets out."""

from __future__ import annotations

import csv
import html
import io
import math
from pathlib import Path
from typing import Any

import pytest
from records import check, run
from reported import HOSTILE, hostile, of_every_verdict

from lossparity.cli import main
from lossparity.conformance.record import VERDICTS, save
from lossparity.reports.diff import compare
from lossparity.reports.formats import Comparison
from lossparity.reports.notes import markdown
from lossparity.reports.tables import comparison_csv, record_csv


def rows(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_check_of_a_record_is_a_row() -> None:
    made = of_every_verdict()
    found = rows(record_csv(made))
    assert [row["id"] for row in found] == [each.id for each in made.checks]
    assert {row["verdict"] for row in found} == set(VERDICTS)
    assert float(found[1]["error_ulp"]) == 3.5
    assert math.isinf(float(found[2]["error_ulp"]))
    assert math.isnan(float(next(row for row in found if row["verdict"] == "known")["error_ulp"]))
    assert found[-1]["error_ulp"] == ""
    assert found[6]["reason"] == "value[1] = 1.5, want 1.0"


def test_every_change_is_a_row() -> None:
    before = run(check(), check("b/float64/value"), check("gone/float64/value"))
    after = run(
        check(verdict="mismatch", result=[2.0], error_ulp=9.0), check("b/float64/value", "mismatch", result=[2.5]),
        implementations={"mse_loss/toy.losses.square": {"backend": "toy", "warnings": ["soon, \"gone\""]}},
    )  # fmt: skip
    comparison = Comparison(compare(before, after))
    found = rows(comparison_csv(comparison))
    regressed = [row for row in found if row["kind"] == "regressed"]
    assert {row["case"] for row in regressed} == {"plain", "b"}
    assert {(row["verdict_before"], row["verdict_after"], row["error_ulp_before"]) for row in regressed} == {
        ("match", "mismatch", "1.0")
    }
    assert {float(row["moved_in_tolerances"]) for row in regressed} == {100.0, 150.0}
    assert [row["verdict_after"] for row in found if row["kind"] == "missing"] == [""]
    (warning,) = (row for row in found if row["kind"] == "warning")
    assert warning["id"] == ""
    assert 'soon, "gone"' in warning["says"]


@pytest.mark.parametrize("bad", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'a\r\nb,c"d', *HOSTILE])
def test_no_cell_is_a_formula_and_no_row_is_broken(bad: str) -> None:
    made = run(check(verdict="mismatch", loss=bad, name=bad, reason=bad))
    (row,) = rows(record_csv(made))
    for name in ("id", "loss", "implementation", "reason"):
        assert not row[name].startswith(("=", "+", "-", "@", "\t"))
        assert row[name].isprintable()
    (change,) = rows(comparison_csv(Comparison(compare(run(check(loss=bad, name=bad)), made))))
    assert not change["loss"].startswith(("=", "+", "-", "@", "\t"))


def test_a_record_as_markdown_says_what_a_release_note_needs() -> None:
    text = markdown(of_every_verdict())
    assert "**Incomplete: hard crashed" in text
    assert "| toy | toy 1.0 |" in text
    for verdict, (sign, meaning) in VERDICTS.items():
        assert f"- {sign} {verdict}: {meaning}" in text
    assert "- ✗ **mismatch** toy.losses.square (mse\\_loss, value, float64, float32, 2 checks)" in text
    assert "`lossparity explain mse_loss/toy.losses.square/bad/float64/cpu/eager/value`" in text
    assert "| mse\\_loss | float64 | toy.losses.square | tail | 0.0 of 16.0 digits | 1 ULP |" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") - line.count("\\|") for line in table[:3]}) == 1


def test_nothing_of_a_record_is_markup_in_the_note() -> None:
    text = markdown(hostile())
    outside = [part for i, part in enumerate(text.split("`")) if i % 2 == 0]
    assert not any("<script" in part or "<img" in part for part in outside)
    assert "http://" not in "".join(outside)
    assert html.unescape(text) != text


def test_the_command_writes_each_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = str(save(of_every_verdict(), tmp_path / "parity.json"))
    for name, start in (("p.html", "<!doctype html>"), ("p.md", "## Loss parity"), ("p.csv", "id,loss,")):
        assert main(["report", record, "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert main(["report", record, "-o", str(tmp_path / "x"), "--format", "csv"]) == 0
    capsys.readouterr()
    assert main(["report", record, "--format", "markdown"]) == 0
    assert capsys.readouterr().out == (tmp_path / "p.md").read_text(encoding="utf-8")
    assert main(["report", record]) == 2
    assert "give a file for the page: -o parity.html" in capsys.readouterr().err
    assert main(["diff", record, record, "--format", f"csv={tmp_path / 'd.csv'}"]) == 0
    assert (tmp_path / "d.csv").read_text().startswith("kind,action,finding,id,")
