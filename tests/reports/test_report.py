"""The report and the terminal summary, from made-up records: no framework, and for the page a real browser."""

from __future__ import annotations

import dataclasses
import html.parser
import itertools
import json
import math
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from records import EXITS, check, run

from lossparity.conformance.execution.run import exit_code
from lossparity.conformance.record import VERDICTS, Check, Run, load, save
from lossparity.reports import findings
from lossparity.reports import html as report
from lossparity.reports.summary import summary

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "https://example.org/\"onmouseover='alert(1)",
    "a b/c?d#e&amp;f\u2028\x00\ud800",
    "constructor",
    "__proto__",
)


def of_every_verdict() -> Run:
    """One check of each verdict, and a backend for each way of not finishing."""
    worst = {"index": [2, 1], "got": 1.25, "want": 1.0, "tolerance": 0.01, "at": {"input": 3.5, "target": [1, 2]}}
    checks = [
        check("plain/float64/value", worst=worst),
        check("plain/float32/value", error_ulp=3.5, margin=0.5),
        check("plain/float64/gradient:input", error_ulp=math.inf, margin=0.25, worst={**worst, "got": math.nan}),
        check("clip/float64/value", "dialect", reason="clip: it clips.", declared=["clip"]),
        check("tail/float64/value", "lossy", reason="tail: 1 - p.", declared=["tail"]),
        check(
            "nan/float64/value",
            "known",
            reason="nan-at-0: it is NaN (https://example.org/1)",
            error_ulp=math.nan,
            declared=["nan-at-0"],
        ),
        check("bad/float64/value", "mismatch", reason="value[1] = 1.5, want 1.0", error_ulp=9e9, margin=70.0),
        check("bad/float32/value", "mismatch", reason="value[7] = 2.5, want 1.0", error_ulp=5e9, margin=60.0),
        check("any/any/dialect:old", "stale", reason="no case shows 'old' any more"),
        check("big/float64/value", "error", reason="raised ValueError: no"),
        check("weight/float64/value", "unsupported", reason="it weighs nothing"),
        check("plain/float64/value", "not-run", backend="far", name="far.square", device="cuda:0", reason="no cuda:0"),
        check("plain/float64/value", "crashed", backend="hard", name="hard.square", reason="it died"),
        check("plain/float64/value", "timeout", backend="slow", name="slow.square", reason="it hung"),
    ]
    about = {
        "backend": "toy", "parameters": ["input", "target"], "reductions": ["mean"], "dtypes": ["float64"],
        "lacks": {"weight": "it weighs nothing"}, "no_gradient": {"target": "it is held constant"},
        "dialects": [{"name": "clip", "reason": "it clips", "source": "https://example.org/clip", "says": "clip=1e-7"}],
        "known_issues": [{"name": "nan-at-0", "reason": "0/0", "link": "https://example.org/1", "versions": ">=1"}],
    }  # fmt: skip
    return run(
        *checks,
        losses={
            "mse_loss": {
                "summary": "The square of `input - target`.",
                "source": "Gauss, https://example.org/gauss.",
                "formula": "l = (x - y)^2",
                "signature": "mse_loss(input, target)",
                "doc": "Smooth.",
            },
            "nobodys_loss": {"summary": "Not implemented anywhere."},
        },
        implementations={"mse_loss/toy.losses.square": about},
        started="2026-11-22T14:55:03+00:00",
        seconds=12.5,
        backends={
            "hard": {"status": "crashed", "reason": "signal 11", "last_words": "Segmentation\nfault"},
            "slow": {"status": "timeout", "reason": "nothing for 60 s", "last_words": "loading"},
            "gone": {"status": "not-run", "reason": "gone is not installed: python -m pip install gone"},
        },
    )


def hostile() -> Run:
    """Every string of the record is an attack."""
    checks = [
        Check(
            f"{bad}/id", bad, bad, bad, bad, bad, bad, bad, bad, verdict=verdict, reason=bad, worst={"at": {bad: bad}}
        )
        for bad in HOSTILE
        for verdict in ("mismatch", "match")
    ]
    about = {
        "backend": HOSTILE[0], "parameters": HOSTILE, "lacks": dict.fromkeys(HOSTILE, HOSTILE[2]), "warnings": HOSTILE,
        "dialects": [dict.fromkeys(("name", "reason", "source", "says"), bad) for bad in HOSTILE],
        "known_issues": [dict.fromkeys(("name", "reason", "link", "versions"), bad) for bad in HOSTILE],
    }  # fmt: skip
    return Run(
        environment={
            **dict.fromkeys(("lossparity", "python", "platform", "processor"), HOSTILE[0]),
            "backends": {bad: {"packages": {bad: bad}, "devices": [bad]} for bad in HOSTILE},
        },
        seed=0,
        command=list(HOSTILE),
        checks=checks,
        started=HOSTILE[0],
        losses={bad: dict.fromkeys(("summary", "source", "formula", "signature", "doc"), bad) for bad in HOSTILE},
        implementations={f"{bad}/{bad}": about for bad in HOSTILE},
        backends={bad: {"status": bad, "reason": bad, "last_words": bad} for bad in HOSTILE},
        census={HOSTILE[0]: {"namespaces": {HOSTILE[1]: [HOSTILE[2]]}, "uncovered": [HOSTILE[2]], "excluded": {}}},
    )


def huge(n: int) -> Run:
    """As many checks as a real matrix has, with reasons and inputs."""
    draw = random.Random(3)  # noqa: S311  made-up numbers
    names = [f"toy.losses.loss_{i}" for i in range(40)]
    checks = []
    for i in range(n):
        worst = {
            "index": [i],
            "got": draw.random(),
            "want": draw.random(),
            "tolerance": 1e-9,
            "at": {"input": [draw.random()] * 8},
        }
        where = f"case-{i // 400}-{i % 7}/float64/gradient:input"
        reason = f"value[{i}] = {draw.random()}, want {draw.random()} (error {i} ULP, tolerance 1e-9)"
        verdict, reason = ("mismatch", reason) if i % 50 == 0 else ("match", "")
        of = {"loss": f"loss_{i % 25}", "name": names[i % 40]}
        checks.append(check(where, verdict, error_ulp=draw.random() * 9, margin=0.1, reason=reason, worst=worst, **of))
    return run(*checks)


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
    assert "Got nan Want 1.0 Tolerance 0.01 At index [2, 1] input 3.5 target [1, 2]" in text
    assert "float64 4 1 ∞ 0.25" in text  # compared, worst value, worst gradient, of the tolerance
    assert "float32 1 3.5 - 0.5" in text


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
    assert HOSTILE[0] in data["tables"]["loss"]
    assert data["ids"]["0"] == f"{HOSTILE[0]}/id"
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
    linked = str(report._linked("see https://a.example/x_(y)), `z < 1` and http://b.example."))
    assert linked == (
        'see <a href="https://a.example/x_(y" rel="noreferrer">https://a.example/x_(y</a>)), <code>z &lt; 1</code> and '
        '<a href="http://b.example" rel="noreferrer">http://b.example</a>.'
    )
    assert "<a" not in str(report._linked("javascript:alert(1) ftp://x file:///etc //x"))


def test_the_page_is_made_from_the_record_alone(tmp_path: Path) -> None:
    made = of_every_verdict()
    save(made, tmp_path / "parity.json.gz")
    assert report.render(load(tmp_path / "parity.json.gz")) == report.render(made)


def test_twenty_thousand_checks_make_a_page_of_a_few_megabytes() -> None:
    made = huge(20_000)
    assert len(report.render(made).encode()) < 4_000_000
    embedded = json.loads(Page(report.render(huge(500))).scripts[0])
    assert len(embedded["columns"]["verdict"]) == 500
    assert embedded["worst"]["0"]["at"].startswith("input = [0.")


# --- the page, in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser here: one of {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a run's page at an address; nothing may be fetched, and the console stays silent."""
    contexts, complaints, requests = [], [], []

    def opened(made: Run, address: str = "", **options: Any) -> Any:
        path = tmp_path / "parity.html"
        report.write(made, path)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri() + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert len(requests) == len(contexts)
    assert all(url.startswith("file://") for url in requests)


def cases(page: Any) -> list[str]:
    return [text.replace("\u200b", "") for text in page.locator("#results tbody tr:not(.detail) th").all_inner_texts()]


def test_filters_narrow_the_checks_and_the_address_keeps_them(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict())
    assert page.locator("#shown").inner_text() == "14 checks."
    page.locator("input[value=mismatch]").check()
    assert cases(page) == ["bad", "bad"]
    assert page.locator("#shown").inner_text() == "2 of 14 checks."
    page.locator("select[name=dtype]").select_option("float32")
    assert cases(page) == ["bad"]
    assert page.url.endswith("#checks?verdict=mismatch&dtype=float32")
    page.locator("button[type=reset]").click()
    assert len(cases(page)) == 14
    page.locator("input[name=text]").fill("NAN-at-0 value")
    assert cases(page) == ["nan"]
    page.locator("input[name=text]").fill("nothing has this")
    assert page.locator("#shown").inner_text() == "0 of 14 checks."
    assert page.locator("#results").is_hidden()


def test_a_filter_can_be_linked(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict(), "#checks?verdict=match&aspect=value&sort=ulp")
    assert cases(page) == ["plain", "plain"]
    assert page.locator("#results tbody tr").first.locator("td.n").first.inner_text() == "3.5"
    assert page.locator("input[value=match]").is_checked()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Error, ULP")
    page.locator("#summary a", has_text="stale").first.click()
    assert cases(page) == ["any"]
    page.go_back()
    assert cases(page) == ["plain", "plain"]


def test_a_check_can_be_linked(visit: Callable[..., Any]) -> None:
    made = of_every_verdict()
    page = visit(made, "#check=" + made.checks[0].id)
    detail = page.locator("tr.detail")
    assert detail.is_visible()
    text = " ".join(detail.inner_text().split())
    assert "Got 1.25 Want 1.0 Tolerance 0.01 At index [2, 1] Inputs there input = 3.5, target = [1, 2]" in text
    assert f"lossparity explain {made.checks[0].id}" in text
    assert page.evaluate("document.activeElement.textContent") == "plain"
    page.keyboard.press("Enter")  # on the focused link: it closes
    assert page.locator("tr.detail").count() == 0
    missing = visit(made, "#check=no/such/check")
    assert "No check of this record has the ID no/such/check" in missing.locator("#shown").inner_text()


def test_a_check_far_down_is_found(visit: Callable[..., Any]) -> None:
    made = huge(3_000)
    page = visit(made, "#check=" + made.checks[2_789].id)
    assert page.locator("tr.detail").is_visible()
    assert made.checks[2_789].case in page.locator("tr.detail").inner_text()
    page.locator("button[type=reset]").click()
    assert len(cases(page)) == 100
    page.locator("#more").click()
    assert len(cases(page)) == 200


def test_losses_and_implementations_can_be_linked(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict())
    page.locator(".matrix a.cell").first.click()
    assert page.url.endswith("#mse_loss--toy.losses.square")
    assert page.locator(":target h4").inner_text().startswith("toy.losses.square")
    page.locator(":target .chips a", has_text="match").last.click()
    assert set(cases(page)) <= {"plain", "bad"}


def test_the_table_works_from_the_keyboard(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict())
    page.locator("[data-sort=ulp]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.sort") == "ulp"
    assert cases(page)[0] in ("nan", "plain")  # NaN and infinity come first
    assert page.locator("a.skip").evaluate("e => { e.focus(); return e.getBoundingClientRect().width > 20 }")


def test_hostile_strings_stay_text_in_a_browser(visit: Callable[..., Any]) -> None:
    made = hostile()
    page = visit(made, "#check=" + "%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E/id")
    assert page.locator("img, svg[onload], main script").count() == 0
    assert HOSTILE[0] in page.locator("tr.detail").inner_text()
    page.locator("select[name=loss]").select_option(HOSTILE[3])
    assert page.locator("#shown").inner_text() == f"2 of {len(made.checks)} checks."
    page.locator("select[name=loss]").select_option("__proto__")
    assert page.locator("#shown").inner_text() == f"2 of {len(made.checks)} checks."


def test_the_policy_stops_a_script_that_is_not_ours(browser: Any, tmp_path: Path) -> None:
    text = report.render(of_every_verdict()).replace("</body>", "<script>document.title = 'taken'</script></body>")
    path = tmp_path / "tampered.html"
    path.write_text(text, encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title() != "taken"
    assert page.locator("#shown").inner_text() == "14 checks."
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_width_makes_the_page_scroll_sideways(visit: Callable[..., Any], width: int, scheme: str) -> None:
    long = check("x" * 90 + "/float64/value", "mismatch", name="toy." + "y" * 90, reason="z" * 300)
    made = of_every_verdict()
    made = dataclasses.replace(made, checks=[*made.checks, long])
    page = visit(made, "#check=" + long.id, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_read(visit: Callable[..., Any], scheme: str) -> None:
    """WCAG's contrast of text against its background is at least 4.5."""
    page = visit(of_every_verdict(), color_scheme=scheme)
    found = page.evaluate(
        """() => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const over = (under, colour) => {
            canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1);
            canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const text = (rgb) => `rgb(${rgb.join(",")})`;
          const paper = getComputedStyle(document.body).backgroundColor;
          const told = document.querySelectorAll(".mark, .dim, .why, small, a, dt, .cell .n, .cell .name");
          return [...told].map((each) => {
            let under = paper;
            const parents = [];
            for (let at = each; at; at = at.parentElement) parents.unshift(getComputedStyle(at).backgroundColor);
            for (const colour of parents) under = text(over(under, colour));
            return [over(under, under), over(under, getComputedStyle(each).color), each.className + each.textContent];
          });
        }"""
    )

    def luminance(rgb: list[int]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    assert len(found) > 50
    for under, over, what in found:
        low, high = sorted((luminance(under), luminance(over)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{what}: {over} on {under}"


def test_without_javascript_only_the_single_checks_are_missing(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict(), "#mse_loss--toy.losses.square", java_script_enabled=False)
    assert page.locator("noscript").is_visible()
    assert page.locator("#filters").is_hidden()
    assert page.locator("#results").is_hidden()
    assert page.locator(".declared", has_text="it clips").is_visible()
    assert "mismatch 2 of 10" in " ".join(page.locator(".matrix").inner_text().split())
