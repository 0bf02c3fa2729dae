"""The report and the terminal summary, from made-up records: no framework, and for the page a real browser."""

from __future__ import annotations

import html.parser
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import EXITS, check, run
from reported import HOSTILE, hostile, huge, of_every_verdict

from lossparity import reference
from lossparity.conformance import packed
from lossparity.conformance.execution.run import exit_code
from lossparity.conformance.record import VERDICTS, Check, Run, load, save
from lossparity.reports import findings
from lossparity.reports import html as report
from lossparity.reports.html import CERTIFICATE, short_number
from lossparity.reports.prose import linked
from lossparity.reports.summary import summary


class Page(html.parser.HTMLParser):
    """What a browser would make of the page: elements, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.scripts: list[str] = []
        self._raw = ""
        self.feed(text)
        self.text = " ".join("".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag if tag in ("script", "style") else ""
        if tag in ("p", "div", "li", "dt", "dd", "th", "td"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  as html.parser calls it
        self._raw = ""

    def handle_data(self, data: str) -> None:
        if self._raw == "script":
            self.scripts.append(data)
        elif not self._raw:
            self.parts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.tags if each == tag]


# --- what a record says


@pytest.mark.parametrize(("code", "made"), EXITS)
def test_the_sentence_says_what_the_exit_code_says(code: int, made: Run) -> None:
    said = findings.outcome(made)
    assert exit_code(made) == code
    assert {"holds": 0, "broken": 1, "incomplete": 3}[said.word] == code
    if code == 0:
        assert findings.attention(made) == []


def test_the_sentence() -> None:
    ok = [check(f"c{i}/float64/value") for i in range(1200)]
    assert findings.outcome(run(*ok)).sentence == "Parity holds: 1,200 checks, 0 mismatches."
    unsupported = check("w/float64/value", "unsupported")
    assert findings.outcome(run(*ok[:1], unsupported)).sentence == "Parity holds: 1 check, 0 mismatches."
    assert findings.outcome(run()).sentence == "Incomplete: no check ran."
    assert findings.outcome(of_every_verdict()).sentence == (
        "Incomplete: hard crashed; slow timed out; 1 check of far was not run; "
        "10 checks ran, 2 mismatches, 1 stale and 1 error; gone was not run."
    )
    absent = run(*ok[:2], backends={"gone": {"status": "not-run"}, "lost": {"status": "not-run"}})
    assert findings.outcome(absent).sentence == "Parity holds: 2 checks, 0 mismatches; gone and lost were not run."
    assert findings.outcome(absent, asked=["gone"]).sentence == (
        "Incomplete: gone was not run; 2 checks ran, 0 mismatches; lost was not run."
    )
    assert findings.outcome(run(*ok[:1]), asked=["other"]).word == "incomplete"


def test_findings_are_grouped_by_what_differs_and_the_worst_comes_first() -> None:
    reason = "value[{0}] = {0}.5, want 1e-{0} (error inf ULP)"
    checks = [check(f"c{i}/float64/value", "mismatch", reason=reason.format(i), margin=float(i)) for i in range(2, 9)]
    checks += [check("c9/float64/value", "error", reason="raised float32 trouble")]
    checks += [check("c9/float32/value", "error", reason="raised float64 trouble")]
    checks += [check("c1/float64/gradient:input", "mismatch", reason="gradient:input = 1.0, want 2", margin=math.nan)]
    found = findings.attention(run(*checks))
    assert [(f.verdict, f.aspect, len(f.checks)) for f in found] == [
        ("mismatch", "gradient:input", 1),  # NaN is the worst of all
        ("mismatch", "value", 7),
        ("error", "value", 1),  # the digits of a dtype's name are no number
        ("error", "value", 1),
    ]
    assert found[1].worst.margin == 8.0


def test_explain_lines_are_safe_in_a_shell() -> None:
    assert (
        findings.explain_line(check()) == "lossparity explain mse_loss/toy.losses.square/plain/float64/cpu/eager/value"
    )
    assert findings.explain_line(check("$(rm x)/float64/value")).startswith("lossparity explain 'mse_loss/")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (None, "-"), (0.0, "0"), (0.123456, "0.123"), (2.0, "2"), (61.71, "61.7"), (1234.5, "1,234"), (5e-4, "5.0e-4"),
        (7.66e15, "7.7e15"), (math.inf, "∞"), (-math.inf, "-∞"), (math.nan, "NaN"), (999_999.0, "999,999"),
    ],
)  # fmt: skip
def test_numbers_to_the_digits_that_matter(number: float | None, shown: str) -> None:
    assert findings.short_number(number) == shown


# --- the terminal


def test_the_summary_counts_and_names_the_worst() -> None:
    lines = summary(of_every_verdict()).splitlines()
    assert lines[0].startswith("Incomplete: hard crashed")
    header = lines[2].split()
    assert header[0] == "backend"
    assert header[-1] == "versions"
    assert set(header[1:-1]) == set(VERDICTS)
    rows = {line.split()[0]: line.split()[1 : len(header) - 1] for line in lines[3:8]}
    assert rows["toy"][header.index("mismatch") - 1] == "2"
    assert rows["toy"][header.index("match") - 1] == "3"
    assert rows["slow"][header.index("timeout") - 1] == "1"
    assert len({len(line) for line in lines[2:3]} | {line.index("toy 1.0") for line in lines[3:4]}) == 2
    text = "\n".join(lines)
    assert "C hard: crashed: signal 11\n    Segmentation\n    fault" in text
    assert "gone is not installed: python -m pip install gone" in text
    assert "✗ mismatch: toy.losses.square [mse_loss], value, float64, float32: 2 checks, up to 9.0e9 ULP" in text
    assert "lossparity explain mse_loss/toy.losses.square/bad/float64/cpu/eager/value" in text


def test_the_summary_stops_after_ten_findings() -> None:
    many = [check(f"c/float64/gradient:x{chr(97 + i)}", "mismatch", reason="no") for i in range(13)]
    text = summary(run(*many))
    assert text.count("lossparity explain ") == 10
    assert text.endswith("... and 3 more findings, all of them in the report")


def lossy_run() -> Run:
    """A loss that loses its digits in two dtypes, from a little to all."""
    at = {"at": {"input": -3.5, "target": 0.0}}
    return run(
        check(),
        check("mild/float32/value", "lossy", error_ulp=12.5, worst=at, declared=["tail"]),
        check("wide/float32/gradient:input", "lossy", error_ulp=2.0**20, worst=at, declared=["tail"]),
        check("wide/float64/value", "lossy", error_ulp=math.inf, declared=["tail", "last-axis"]),
        check("wide/float64/value", "lossy", error_ulp=1e3, declared=["tail"], loss="l1_loss", name="toy.absolute"),
    )


def test_what_a_less_accurate_formula_costs_is_said_and_where_it_begins() -> None:
    made = lossy_run()
    lines = [line for line in summary(made).splitlines() if line.startswith("≲")]
    assert lines[0] == (
        "≲ lossy: mse_loss, float32: 2 checks of 1 implementation (tail) lose up to 6.0 of 7.2 digits; "
        "it begins with 12.5 ULP at input = -3.5, target = 0.0"
    )
    assert "(tail, last-axis) lose up to all 16.0 digits; it begins with ∞ ULP" in lines[1]
    assert "l1_loss, float64: 1 check of 1 implementation (tail) lose up to 3.0 of 16.0 digits" in lines[2]
    text = Page(report.render(made).replace("<wbr>", "")).text
    assert "≲ lossy in float32: loses up to 6.0 of 7.2 digits (1.0e6 ULP), in gradient:input of wide" in text
    assert "It begins with 12.5 ULP, in value of mild, at input = -3.5, target = 0.0." in text
    assert "≲" not in summary(run(check())).split("versions")[1]


def test_nothing_in_a_record_steers_the_terminal() -> None:
    bad = check("c/float64/value", "mismatch", reason="\x1b[2Jgone\r\x07")
    crash = {"toy": {"status": "crashed", "reason": "\x1b]0;x\x07", "last_words": "\x1b[31m"}}
    text = summary(run(bad, backends=crash))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text


def test_a_crashed_backend_is_told_once() -> None:
    dead = Check("*/toy", "*", "toy", *["*"] * 6, verdict="crashed", reason="signal 11")
    made = run(dead, check(backend="well"), backends={"toy": {"status": "crashed", "reason": "signal 11"}})
    text = summary(made)
    assert "explain" not in text
    assert text.count("signal 11") == 1
    page = Page(report.render(made))
    assert "toy the whole backend signal 11" in page.text
    assert "loss-*" not in str(page.tags)


# --- the page, as text


def test_the_page_says_everything_without_a_script() -> None:
    made = of_every_verdict()
    page = Page(report.render(made).replace("<wbr>", ""))
    text = page.text
    assert "10 checks ran, 2 mismatches, 1 stale and 1 error" in text
    for verdict, (sign, meaning) in VERDICTS.items():
        assert f"{sign} {verdict}" in text
        assert meaning in text
    assert "22 November 2026, 14:55 UTC, for 12.5 s" in text
    assert "python -m pip install gone" in text
    assert "Segmentation fault" in text
    assert "toy 1.0" in text
    assert "lossparity explain mse_loss/toy.losses.square/bad/float64/cpu/eager/value" in text
    assert "No implementation of it is in this record." in text  # nobodys_loss
    assert "l = (x - y)^2" in text
    assert "Dialect clip clip=1e-7 shown by 1 check it clips" in text
    assert "Known issue nan-at-0, versions >=1 shown by 1 check" in text
    assert "weight: it weighs nothing (1 check)" in text
    assert "gradient of target: it is held constant" in text
    assert "Worst error where it agrees: ∞ ULP, gradient:input of plain, float64" in text
    assert "Reference 1.0 Framework nan Tolerance 0.01 At index [2, 1] input 3.5 target [1, 2]" in text
    assert "float64 3 1 ∞ 0.25" in text  # compared, worst value, worst gradient, of the tolerance
    assert "float32 1 3.5 - 0.5" in text


def test_a_loss_shows_the_certificate_of_its_reference() -> None:
    rows = json.loads(CERTIFICATE.read_text(encoding="utf-8"))
    text = Page(report.render(of_every_verdict())).text
    assert f"at most {short_number(max(row['share'] for row in rows['mse_loss']))} of its bar" in text
    first = rows["mse_loss"][0]
    numbers = " ".join(short_number(first[key]) for key in ("ulp", "condition", "share"))
    assert f"{first['aspect']} {first['regime']} {numbers}" in text
    for loss, found in rows.items():
        assert loss in {**reference.LOSSES, **reference.ACTIVATIONS}
        assert {row["aspect"].split(" of ")[0].split(":")[0] for row in found} <= {"value", "gradient"}
        assert all(row["share"] <= 1.0 for row in found), loss


def test_the_matrix_has_a_row_per_loss_and_a_column_per_namespace() -> None:
    checks = [check(), check(name="toy.losses.Square"), check(backend="b", name="b.square")]
    text = report.render(run(*checks, losses={"mse_loss": {}, "lonely_loss": {}})).replace("<wbr>", "")
    matrix = text[text.index('<table class="matrix">') : text.index('<section id="losses"')]
    assert re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', matrix) == [
        "Loss", "toy.losses functions", "toy.losses classes", "b",
    ]  # fmt: skip
    assert re.findall(r'<th scope="row"[^>]*><a href="#([^"]+)">', matrix) == ["loss-mse_loss", "loss-lonely_loss"]
    assert matrix.count('class="cell v-match"') == 3


def test_a_cell_shows_the_worst_verdict_and_opt_outs_are_no_passes() -> None:
    checks = [check(f"c{i}/float64/value") for i in range(3)]
    checks += [check("d/float64/value", "dialect"), check("e/float64/value", "unsupported")]
    text = Page(report.render(run(*checks))).text
    assert "≈ dialect 1 of 4 square" in text
    refused = Page(report.render(run(check("e/float64/value", "unsupported")))).text
    assert "· unsupported 1 square" in refused


def test_every_link_inside_the_page_leads_somewhere() -> None:
    page = Page(report.render(of_every_verdict()))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inner = {str(a["href"])[1:] for a in page.all("a") if str(a["href"]).startswith("#")}
    assert {target for target in inner if not target.startswith(("checks?", "check="))} <= set(ids)
    labels = {a[key] for _, a in page.tags for key in ("aria-labelledby",) if key in a}
    assert labels <= set(ids)


def test_tables_and_headings_are_those_of_a_document() -> None:
    page = Page(report.render(of_every_verdict()))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in header for header in page.all("th"))
    assert ("html", {"lang": "en"}) in page.tags


def test_the_page_fetches_nothing_and_runs_only_its_own_script() -> None:
    page = Page(report.render(of_every_verdict()))
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert [tag for tag, a in page.tags if "src" in a or "style" in a or any(key.startswith("on") for key in a)] == []
    assert [a["href"] for a in page.all("link")] == ["data:,"]


def test_an_empty_run_is_a_page_too() -> None:
    page = Page(report.render(Run({}, 0, [], [])))
    assert "Incomplete: no check ran." in page.text
    assert "The record names no backend." in page.text


def test_hostile_strings_stay_text() -> None:
    text = report.render(hostile())
    page = Page(text)
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "{{ 7 * 7 }}" in page.text
    for attributes in (a for _, a in page.tags):
        assert not any(key.startswith("on") for key in attributes)
        assert not str(attributes.get("href", "#")).lower().startswith("javascript")
    assert {str(a["href"]).split("/")[0] for a in page.all("a") if not str(a["href"]).startswith("#")} == {"https:"}
    assert "https://example.org/" in {a["href"] for a in page.all("a")}
    data = json.loads(page.scripts[0])
    assert HOSTILE[0] in json.loads(unpacked(data["head"])[0])["words"]["loss"]
    assert json.loads(unpacked(data["ids"])[0])["0"] == f"{HOSTILE[0]}/id"
    text.encode("utf-8", "replace")


def test_a_hostile_record_is_written_and_summed_up(tmp_path: Path) -> None:
    assert report.write(hostile(), tmp_path / "p.html").read_bytes().startswith(b"<!doctype html>")
    assert "\x00" not in summary(hostile())


def test_odd_shapes_inside_a_record_are_no_crash() -> None:
    made = run(check())
    made.environment = {"backends": ["no", "mapping"]}
    made.losses = {"mse_loss": "text"}
    made.implementations = {"mse_loss/toy.losses.square": None, "no-slash": {"dialects": None, "lacks": ["x"]}}
    made.backends = {"toy": None}
    assert "Parity holds: 1 check" in report.render(made)
    assert "Parity holds: 1 check" in summary(made)


def test_links_end_where_the_address_ends() -> None:
    found = str(linked("see https://a.example/x_(y)), `z < 1` and http://b.example."))
    assert found == (
        'see <a href="https://a.example/x_(y" rel="noreferrer">https://a.example/x_(y</a>)), <code>z &lt; 1</code> and '
        '<a href="http://b.example" rel="noreferrer">http://b.example</a>.'
    )
    assert "<a" not in str(linked("javascript:alert(1) ftp://x file:///etc //x"))


def test_the_page_is_made_from_the_record_alone(tmp_path: Path) -> None:
    made = of_every_verdict()
    save(made, tmp_path / "parity.json.gz")
    assert report.render(load(tmp_path / "parity.json.gz")) == report.render(made)


def unpacked(column: dict[str, Any]) -> list[str]:
    """The lines of an embedded column."""
    lines: list[str] = packed.read(column, "lines", packed.Budget(2**30))
    return lines


def test_twenty_thousand_checks_make_a_page_of_a_megabyte() -> None:
    assert len(report.render(huge(20_000)).encode()) < 2_000_000
    made = huge(500)
    embedded = json.loads(Page(report.render(made)).scripts[0])
    places = unpacked(embedded["worst"]["places"])
    assert len(places) == 500
    for each in made.checks[:3]:
        assert json.dumps([each.worst["index"], each.worst["want"], each.worst["at"]], separators=(",", ":")) in places


def test_the_inputs_of_the_worst_checks_come_first_and_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossparity.reports.embedded._WORST_BUDGET", 3_000)
    made = huge(200)
    data = json.loads(Page(report.render(made)).scripts[0])
    rows = np.cumsum(packed.read(data["worst"]["row"], "whole", packed.Budget(2**30))).tolist()
    worst_first = sorted(range(200), key=lambda i: (made.checks[i].verdict != "mismatch", -made.checks[i].error_ulp))
    assert 5 < len(rows) < 30
    assert rows == sorted(worst_first[: len(rows)])
