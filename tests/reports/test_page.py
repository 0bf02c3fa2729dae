"""The page in a real browser: filters, links, the keyboard, widths and themes, and what it is without JavaScript."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from records import check, run
from reported import HOSTILE, hostile, huge, of_every_verdict

from lossparity.conformance.record import Run
from lossparity.reports import html as report
from lossparity.reports.diff import compare
from lossparity.reports.formats import FORMATS, Comparison

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
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]", timeout=10_000)
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
    assert "Reference 1 Framework 1.25 Difference 0.25 Tolerance 0.01 At index [2, 1] input 3.5 target [1, 2]" in text
    assert f"lossparity explain {made.checks[0].id}" in text
    assert page.evaluate("document.activeElement.textContent") == "plain"
    page.keyboard.press("Enter")  # on the focused link: it closes
    page.locator("tr.detail").wait_for(state="detached")
    page.keyboard.press("Enter")
    page.locator("tr.detail").wait_for(state="visible")
    missing = visit(made, "#check=no/such/check")
    assert "No check of this record has the ID no/such/check" in missing.locator("#shown").inner_text()


def test_a_check_far_down_is_found(visit: Callable[..., Any]) -> None:
    made = huge(3_000)
    page = visit(made, "#check=" + made.checks[2_789].id)
    assert page.locator("tr.detail").is_visible()
    text = page.locator("tr.detail").inner_text()
    assert made.checks[2_789].case in text
    assert str(made.checks[2_789].worst["got"]) in text
    assert str(made.checks[2_789].worst["want"]) in text
    detail, shown = (page.locator(each).bounding_box() for each in ("tr.detail", "#results"))
    assert detail["y"] > shown["y"]
    assert detail["y"] + detail["height"] <= shown["y"] + shown["height"] + 1  # all of it is in sight
    assert shown["y"] + shown["height"] <= 900
    page.locator("button[type=reset]").click()
    assert page.locator("#shown").inner_text() == "3,000 checks."


def test_only_the_rows_in_sight_are_in_the_document(visit: Callable[..., Any]) -> None:
    """Wherever the list is scrolled to, the rows there are those of the record, in the order of the sorting."""
    made = huge(3_000)
    page = visit(made)
    worst_first = sorted(range(3_000), key=lambda i: (made.checks[i].verdict != "mismatch", i))
    height = page.locator("#results tbody tr").first.bounding_box()["height"]
    for index in (0, 1_234, 17, 2_900, 2_999):
        page.locator("#results").evaluate("(list, top) => { list.scrollTop = top }", index * height)
        row = page.locator(f"#results tr[aria-rowindex='{index + 2}']")
        row.wait_for(state="attached")
        assert int(row.get_attribute("data-row")) == worst_first[index]
        assert row.bounding_box()["height"] == height
        assert page.locator("#results tbody tr").count() < 70
        shown = page.locator("#results").bounding_box()
        top = row.bounding_box()["y"] - shown["y"]
        assert -1 <= top <= shown["height"] - height + 1
    assert page.locator("#results table").get_attribute("aria-rowcount") == "3001"


def test_an_open_check_stays_where_it_is_however_far_one_scrolls(visit: Callable[..., Any]) -> None:
    page = visit(huge(3_000))
    results, rows = page.locator("#results"), page.locator("#results tbody tr:not(.detail)")
    whole = results.evaluate("list => list.scrollHeight")
    rows.nth(2).locator("th a").click()
    page.locator("tr.detail").wait_for(state="visible")
    extra = page.locator("tr.detail").bounding_box()["height"]
    assert extra > 100
    assert results.evaluate("list => list.scrollHeight") == pytest.approx(whole + extra, abs=2)
    height = rows.first.bounding_box()["height"]
    for index in (1_200, 0):
        results.evaluate("(list, top) => { list.scrollTop = top }", index * height)
        page.locator(f"tr[aria-rowindex='{index + 2}']").wait_for(state="attached")
        assert page.locator("tr.detail").count() == (index == 0)
        assert results.evaluate("list => list.scrollHeight") == pytest.approx(whole + extra, abs=2)
    assert page.locator("tr[data-row] + tr.detail").count() == 1


def test_the_list_is_walked_with_the_arrow_keys(visit: Callable[..., Any]) -> None:
    page = visit(huge(3_000))
    page.locator("#results tbody th a").first.focus()
    index = "Number(document.activeElement.closest('tr').getAttribute('aria-rowindex'))"
    for _ in range(80):
        page.keyboard.press("ArrowDown")
    assert page.evaluate(index) == 82
    page.keyboard.press("ArrowUp")
    assert page.evaluate(index) == 81
    page.locator("#results").evaluate("list => { list.scrollTop = 0 }")  # what has the focus leaves the document
    page.locator("tr[aria-rowindex='2']").wait_for(state="attached")
    page.wait_for_function("document.activeElement.id === 'results'")


def test_on_a_small_screen_a_check_opens_where_it_is_touched_and_fits(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict(), viewport={"width": 390, "height": 800})
    page.locator("#results tbody tr td").first.click()
    page.locator("tr.detail").wait_for(state="visible")
    box = page.locator("tr.detail .one").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.locator("#results tbody tr td").first.click()
    page.locator("tr.detail").wait_for(state="detached")


def test_long_inputs_are_shortened_and_whole_on_demand(visit: Callable[..., Any]) -> None:
    worst = {"index": [0], "got": 2.0, "want": 1.0, "tolerance": 0.5, "at": {"input": [i / 8 for i in range(300)]}}
    made = of_every_verdict()
    long = check("long/float64/value", "mismatch", worst=worst, error_ulp=5.0)
    page = visit(dataclasses.replace(made, checks=[*made.checks, long]), "#check=" + long.id)
    summary = page.locator("tr.detail details.long summary")
    assert "37.375" not in page.locator("tr.detail").inner_text()
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("tr.detail details.long > code").inner_text().endswith("37.25, 37.375]")


def test_the_command_of_a_check_is_copied(browser: Any, tmp_path: Path) -> None:
    made = of_every_verdict()
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(report.write(made, tmp_path / "p.html").as_uri() + "#check=" + made.checks[0].id)
    page.locator("tr.detail .copy").click()
    page.locator("tr.detail .copy", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"lossparity explain {made.checks[0].id}"
    context.close()


@pytest.mark.parametrize("made", [of_every_verdict(), hostile(), huge(2_000)])
def test_without_a_decompression_stream_the_page_unpacks_by_itself(browser: Any, tmp_path: Path, made: Run) -> None:
    """Browsers of before 2023: the same rows, from the same bytes."""
    path = report.write(made, tmp_path / "p.html")
    shown = []
    for script in ("", "delete globalThis.DecompressionStream"):
        context = browser.new_context()
        context.add_init_script(script)
        page = context.new_page()
        page.goto(path.as_uri() + "#checks?sort=case")
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate("typeof DecompressionStream") == ("undefined" if script else "function")
        shown.append(page.locator("#checks").inner_text())
        context.close()
    assert shown[0] == shown[1]
    assert f"{len(made.checks):,} checks." in shown[0]


def test_damaged_checks_are_told_and_the_rest_stays(browser: Any, tmp_path: Path) -> None:
    text = report.render(of_every_verdict())
    at = text.index('"data":"', text.index('id="data">')) + 30
    (tmp_path / "p.html").write_text(text[:at] + "AAAA" + text[at + 4 :], encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "p.html").as_uri())
    page.locator("#shown", has_text="cannot be read").wait_for()
    assert page.locator(".matrix a.cell").count() == 4
    assert page.locator("#filters").is_hidden()
    page.close()


def test_words_are_looked_for_across_the_parts_of_an_id(visit: Callable[..., Any]) -> None:
    made = of_every_verdict()
    odd = dataclasses.replace(check("odd/float64/value"), id="strange/Id")
    made = dataclasses.replace(made, checks=[*made.checks, odd])
    page = visit(made)
    for text in (
        "square/plain/float64",
        "eager/value",
        "eager/gradient:in",
        "r/value",
        "strange/id",
        "SQUARE/odd",
        "no",
    ):
        page.locator("input[name=text]").fill(text)
        holding = [c for c in made.checks if text.lower() in f"{c.id} {c.reason}".lower()]
        assert page.locator("#shown").inner_text() == f"{len(holding)} of {len(made.checks)} checks."


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
    page.wait_for_selector("html[data-ready]")
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


def violations(browser: Any, path: Path, address: str = "", *, script: bool = False, **options: Any) -> list[Any]:
    """What axe-core finds on a page, from the npm package in the folder that LOSSPARITY_AXE names."""
    axe = Path(os.environ.get("LOSSPARITY_AXE", "no such folder"), "axe.min.js")
    if not axe.exists():
        pytest.skip("axe-core is not installed: npm install axe-core, and its folder in LOSSPARITY_AXE")
    context = browser.new_context(**options, bypass_csp=True)
    page = context.new_page()
    page.goto(path.as_uri() + address)
    if script:
        page.wait_for_selector("html[data-ready]")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    context.close()
    assert len(found["passes"]) > 15
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1400])
@pytest.mark.parametrize("script", [True, False])
def test_axe_finds_nothing(browser: Any, tmp_path: Path, width: int, scheme: str, script: bool) -> None:
    made = of_every_verdict()
    text = report.render(made)
    if not script:  # what is seen without; where a browser runs none, axe has no timers
        text = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL).replace("noscript>", "div>")
    (tmp_path / "p.html").write_text(text, encoding="utf-8")
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    assert violations(browser, tmp_path / "p.html", "#check=" + made.checks[0].id, script=script, **options) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_comparison(browser: Any, tmp_path: Path, scheme: str) -> None:
    losses = ("mse_loss", "l1_loss", "huber_loss")
    before, after = (
        run(*(check(f"c{i}/float64/value", loss=loss, result=[value]) for loss in losses for i in range(9)))
        for value in (1.0, 2.0)
    )
    path = tmp_path / "d.html"
    path.write_text(FORMATS["html"](Comparison(compare(before, after))), encoding="utf-8")
    options = {"viewport": {"width": 390, "height": 900}, "color_scheme": scheme}
    assert violations(browser, path, **options) == []


def test_without_javascript_only_the_single_checks_are_missing(visit: Callable[..., Any]) -> None:
    page = visit(of_every_verdict(), "#mse_loss--toy.losses.square", java_script_enabled=False)
    assert page.locator("noscript").is_visible()
    assert page.locator("#filters").is_hidden()
    assert page.locator("#results").is_hidden()
    assert page.locator(".declared", has_text="it clips").is_visible()
    assert "mismatch 2 of 10" in " ".join(page.locator(".matrix").inner_text().split())
