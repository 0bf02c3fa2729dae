"""What a comparison says, in every format; and that no string of a record breaks out of any of them."""

from __future__ import annotations

import dataclasses
import datetime
import html
import html.parser
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from records import check, run

from lossparity.conformance.record import Check, Run
from lossparity.reports import formats
from lossparity.reports.diff import Diff, compare
from lossparity.reports.formats import FORMATS, SHOWN, Comparison, clean, code, escaped
from lossparity.reports.gate import decide
from lossparity.reports.policy import Policy, parse

OTHER = check("other/float64/value", name="toy.losses.other")


def judged(before: Run, after: Run, policy: Policy | None = None) -> Comparison:
    diff = compare(before, after, names=("old.json", "new.json"))
    return Comparison(diff, decide(diff, after, policy or Policy(), today=datetime.date(2030, 1, 1)))


def upgrade(losses: int = 3) -> Comparison:
    """Losses that regressed, one that was fixed, and one new warning."""

    def made(value: float, version: str, verdicts: tuple[str, str], warnings: list[str]) -> Run:
        worst = {"index": [0], "got": value, "at": {"input": 0.5}}
        names = [f"loss{i}" for i in range(losses)]
        checks = [check(verdict=verdicts[0], loss=name, result=[value], worst=worst) for name in names]
        fixed = check("fixed/float64/value", verdicts[1], loss="fixed_loss", result=[value])
        about = {"backend": "toy", "warnings": warnings}
        return run(*checks, fixed, version=version, implementations={f"fixed_loss/{fixed.implementation}": about})

    return judged(
        made(1.0, "1.4", ("match", "mismatch"), []),
        made(2.0, "1.5", ("mismatch", "match"), ["FutureWarning: soon"]),
    )


# --- What they say


def test_text_says_the_sentence_first() -> None:
    lines = formats.text(upgrade()).splitlines()
    assert lines[0] == "✗ FAILED  toy 1.4 to 1.5: loss0, loss1 and loss2 regressed (value), " + (
        "fixed_loss was fixed (value) and 1 new warning."
    )
    assert lines[2] == "✗ regressed (fail): loss0, value: 1 became 2 at input = 0.5 (1 check); was match, now mismatch"
    assert lines[3] == "    lossparity explain loss0/toy.losses.square/plain/float64/cpu/eager/value"
    assert "before: old.json; after: new.json" in lines
    assert "packages: toy 1.4 to 1.5" in lines
    assert lines[-1] == "4 checks, of which 4 ran on both sides: 3 regressed, 1 fixed"


def test_text_shows_ten_findings_at_most() -> None:
    said = formats.text(upgrade(30))
    assert said.count("lossparity explain") == SHOWN
    assert "and 22 more findings" in said
    assert formats.text(upgrade(8)).count("lossparity explain") == 9


def test_the_sentence_of_programs_has_the_worst_of_it() -> None:
    assert upgrade(1).sentence == (
        "toy 1.4 to 1.5: loss0 regressed (value), fixed_loss was fixed (value) and 1 new warning. "
        "loss0, value: 1 became 2 at input = 0.5 (1 check); was match, now mismatch."
    )
    same = run(check())
    assert judged(same, same).sentence == "toy 1.0 again: nothing changed in 1 check."


def test_json_has_everything() -> None:
    document = json.loads(formats.as_json(upgrade(30)))
    assert (document["verdict"], document["exit_code"], document["upgrade"]) == ("failed", 1, "toy 1.4 to 1.5")
    assert document["before"] == {"name": "old.json", "started": "", "packages": {"toy": {"toy": "1.4"}}}
    assert document["counts"] == {"regressed": 30, "fixed": 1}
    assert len(document["findings"]) == 32
    assert [each["action"] for each in document["findings"]] == ["fail"] * 30 + ["warn"] * 2
    first = document["findings"][0]
    assert (first["kind"], first["loss"], first["aspect"], first["backend"]) == ("regressed", "loss0", "value", "toy")
    assert first["size"] == pytest.approx(100.0)
    assert first["checks"] == ["loss0/toy.losses.square/plain/float64/cpu/eager/value"]
    assert first["explain"].startswith("lossparity explain loss0/")


def test_an_entry_point_of_two_losses_stands_under_the_one_that_it_is_named_after() -> None:
    name = "sklearn.metrics.log_loss"

    def made(*arguments: str) -> Run:
        rows = [{"name": each, "kind": "keyword-only", "default": "None"} for each in arguments]
        described = {f"{loss}/{name}": {"backend": "toy", "signature": rows}
                     for loss in ("binary_cross_entropy", "log_loss")}  # fmt: skip
        return run(check(), implementations=described)

    comparison = judged(made("eps"), made())
    (found,) = json.loads(formats.as_json(comparison))["findings"]
    assert (found["loss"], found["losses"]) == ("log_loss", ["log_loss", "binary_cross_entropy"])
    assert 'name="signature: log_loss and binary_cross_entropy, signature"' in formats.junit(comparison)


def test_every_format_shows_one_of_every_kind_of_cause_first() -> None:
    """Twenty losses that changed, each for a reason of its own, hide neither what stopped nor what lost accuracy."""

    def made(result: float, verdict: str, margin: float) -> Run:
        return run(*(check(loss=f"loss{i:02}", result=[result]) for i in range(20)),
                   check(loss="stopped", verdict=verdict), check(loss="drifted", margin=margin), OTHER)  # fmt: skip

    comparison = judged(made(1.0, "match", 0.1), made(2.0, "unsupported", 0.9))
    for said in (formats.text(comparison), formats.github(comparison), formats.markdown(comparison)):
        lines = [line for line in said.splitlines() if "(fail)" in line]
        assert [next(word for word in ("stopped", "changed", "drifted") if word in line) for line in lines[:4]] == [
            "stopped", "changed", "drifted", "changed",
        ]  # fmt: skip


def test_json_without_a_gate_has_no_verdict() -> None:
    document = json.loads(formats.as_json(Comparison(upgrade().diff)))
    assert (document["verdict"], document["exit_code"], document["policy"]) == ("compared", 0, None)
    assert {each["action"] for each in document["findings"]} == {None}


def test_exceptions_are_named_wherever_they_count() -> None:
    rule = {"loss": "mse_loss", "reason": "agreed in March", "expires": datetime.date(2031, 3, 1)}
    before, after = run(check(), OTHER), run(check(verdict="mismatch", result=[2.0]), OTHER)
    comparison = judged(before, after, parse({"exceptions": [rule]}, "pyproject.toml"))
    assert "regressed (warn, agreed in March, until 2031-03-01)" in formats.text(comparison)
    assert json.loads(formats.as_json(comparison))["findings"][0]["exception"] == {
        "loss": "mse_loss", "action": "warn", "reason": "agreed in March", "expires": "2031-03-01",
    }  # fmt: skip
    assert "agreed in March" in formats.html(comparison)


def test_ignored_findings_are_counted() -> None:
    before, after = run(check(), OTHER), run(check(verdict="mismatch", result=[2.0]), OTHER)
    comparison = judged(before, after, parse({"regressed": "ignore"}, "pyproject.toml"))
    assert "note: policy: 1 finding ignored (pyproject.toml)" in formats.text(comparison)
    assert json.loads(formats.as_json(comparison))["ignored"][0]["kind"] == "regressed"


def test_markdown_has_every_finding_and_its_checks() -> None:
    said = formats.markdown(upgrade(30))
    assert said.startswith("## ✗ lossparity: failed\n\n**toy 1.4 to 1.5: loss0, loss1, loss10 and 27 more regressed, ")
    assert said.count("`lossparity explain ") == 31
    before = run(*(check(f"c{i}/float64/value") for i in range(25)))
    after = run(*(check(f"c{i}/float64/value", "mismatch", result=[2.0]) for i in range(25)))
    said = formats.markdown(judged(before, after))
    assert said.count("  - `mse_loss/") == 20
    assert "  - and 5 more" in said


@pytest.mark.parametrize("limit", [3000, 50_000, 200_000])
def test_markdown_keeps_to_its_limit_and_says_so(limit: int) -> None:
    many = [check(loss=f"loss{i}", verdict="mismatch", result=[2.0], reason="é" * 300) for i in range(4000)]
    comparison = judged(run(*(dataclasses.replace(each, verdict="match", result=[1.0]) for each in many)), run(*many))
    said = formats.markdown(comparison, limit)
    assert len(said.encode()) < limit
    left = re.search(r"And ([\d,]+) more findings, left out for size\.\n$", said)
    assert left
    assert said.count("`lossparity explain ") == 4000 - int(left[1].replace(",", ""))


def test_annotations_are_ten_of_a_level_at_most() -> None:
    lines = formats.github(upgrade(30)).splitlines()
    assert lines[0].startswith(
        "::error title=lossparity%3A failed::toy 1.4 to 1.5: loss0, loss1, loss10 and 27 more regressed, "
    )
    assert sum(line.startswith("::error ") for line in lines) == 10
    assert sum(line.startswith("::warning ") for line in lines) == 2
    assert lines[1].endswith("%0Alossparity explain loss0/toy.losses.square/plain/float64/cpu/eager/value")
    same = run(check())
    (line,) = formats.github(judged(same, same)).splitlines()
    assert line.startswith("::notice ")
    assert not any("::error" in line for line in formats.github(Comparison(upgrade().diff)).splitlines())


def test_junit_counts_what_it_holds() -> None:
    root = ET.fromstring(formats.junit(upgrade()))  # noqa: S314  our own
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "3", "0")
    assert len(suite.findall("testcase")) == 5
    assert len(suite.findall("testcase/failure")) == 3
    assert suite.find("testcase/failure").get("type") == "regressed"  # type: ignore[union-attr]
    same = run(check())
    (suite,) = ET.fromstring(formats.junit(judged(same, same)))  # noqa: S314
    assert [case.get("name") for case in suite.findall("testcase")] == ["unchanged"]
    gone = judged(run(check(), OTHER), run(check(verdict="crashed"), OTHER))
    (suite,) = ET.fromstring(formats.junit(gone))  # noqa: S314
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    assert suite.find("testcase/error") is not None


def test_html_has_the_same_findings() -> None:
    comparison = upgrade(30)
    page = formats.html(comparison)
    assert "toy 1.4 to 1.5: loss0, loss1, loss10 and 27 more regressed" in page
    assert page.count('<li class="finding ') == len(comparison.judged)
    for each in comparison.judged:
        assert each.finding.says in html.unescape(page)
    assert "<script" not in page
    assert "default-src 'none'" in html.unescape(page)
    assert formats.html(Comparison(comparison.diff)).count('<li class="finding ') == len(comparison.judged)


# --- Records are data


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'-alert(1)-'",
    "{{ 7 * 7 }}{% raw %}",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/p.png)",
    "http://evil.example www.evil.example a@evil.example #1 @everyone",
    "`code` ``two`` ```three```",
    "**bold** _it_ ~~no~~ $x$ | cell |",
    "<!-- hidden",
    "</details></summary>",
    "\n::error title=x::owned\n",
    "\r::set-output name=x::owned",
    "%0A::error::owned",
    "##[error]owned",
    "::add-mask::a",
    "\n\n# heading\n- item\n```\nfence",
    "]]><failure/><![CDATA[",
    "&lt;b&gt; &amp; &#60;",
    "\x00\x07\x1b[31mred\x1b[0m\x9b2J",
    "\u202egnp.exe \ufffe \ud800",
    "a" * 5000,
    "$(rm -rf ~) `id` ; true",
)


def hostile_comparison(text: str) -> Comparison:
    """Every string that a record gives is this one."""
    about = {
        "backend": text,
        "dialects": [{"name": text, "reason": text}],
        "signature": [{"name": text, "kind": "positional or keyword", "default": text}],
    }

    def made(number: float, more: dict[str, Any], **rest: Any) -> Run:
        checks = [
            Check(f"{text}/{aspect}", text, text, text, text, text, text, text, aspect, verdict=verdict, reason=text,
                  declared=[text], worst={"index": [0], "got": number, "at": {text: text}}, result=result,
                  limits=[0.1])
            for aspect, verdict, result in (("value", "dialect", [number]), (text, "mismatch", [number]),
                                            ("raises", "error" if number > 1 else "match", text))
        ]  # fmt: skip
        place = {"packages": {text: f"{number}{text}"}}
        environment = {"lossparity": text, "platform": "x", "machine": "x", "processor": f"{number}{text}",
                       "python": text, "backends": {text: place}}  # fmt: skip
        return Run(
            environment, 0, [text], checks, started=text, data="d",
            implementations={f"{text}/{text}": {**about, **more}},
            backends={text: {"status": "crashed", "reason": text, "asked": True}}, **rest,
        )  # fmt: skip

    before = made(1.0, {}, census={text: {"namespaces": {text: []}}})
    warned = {"warnings": [text], "signature": []}
    after = made(2.0, warned, census={text: {"namespaces": {text: [text, f"{text}.x"]}}})
    diff = compare(before, after, names=(text, text))
    rule = {"loss": "*", "aspect": "value", "reason": text, "expires": datetime.date(2031, 1, 1)}
    policy = parse({"exceptions": [rule, {**rule, "loss": "nothing", "reason": text}]}, text)
    return Comparison(diff, decide(diff, after, policy, today=datetime.date(2030, 1, 1)))


@pytest.fixture(params=HOSTILE, ids=lambda text: repr(text)[:24])
def hostile(request: pytest.FixtureRequest) -> Comparison:
    return hostile_comparison(request.param)


def test_hostile_text_is_lines_of_text(hostile: Comparison) -> None:
    said = formats.text(hostile)
    plain = formats.text(hostile_comparison("plain"))
    assert len(said.splitlines()) == len(plain.splitlines())
    for line in said.splitlines():
        assert line.isprintable()
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


def test_hostile_annotations_are_annotations(hostile: Comparison) -> None:
    lines = formats.github(hostile).split("\n")[:-1]
    assert len(lines) == len(formats.github(hostile_comparison("plain")).splitlines())
    for line in lines:
        found = re.fullmatch(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)", line)
        assert found, line
        for escape in re.findall("%(..)?", found[2] + found[3]):
            assert escape in ("25", "0A", "0D", "3A", "2C")
        assert line.isprintable()


class Tags(html.parser.HTMLParser):
    """The elements of a page, with their attributes' names."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[tuple[str, ...]] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    parser.close()
    return parser


def test_hostile_html_has_our_elements_only(hostile: Comparison) -> None:
    page = tags(formats.html(hostile))
    ours = tags(formats.html(hostile_comparison("plain"))).found | {("a", "href", "rel")}
    assert page.found <= ours
    assert all(link.startswith(("#", "data:,", "http://", "https://")) for link in page.links)


def test_hostile_markdown_is_markdown_of_ours(hostile: Comparison) -> None:
    said = formats.markdown(hostile)
    plain = formats.markdown(hostile_comparison("plain"))
    assert len(said.splitlines()) == len(plain.splitlines())
    outside = re.sub(r"(`+)( ?).*?[^`]\2\1(?!`)", "code", said)  # nothing in a code span is markup
    assert set(re.findall("<[^>]*>?", outside)) <= {"<details>", "<summary>", "</summary>", "</details>"}
    assert "://" not in outside
    assert "www." not in outside
    assert "@" not in outside
    for found in re.finditer(r"[`\[\]|_~$]", outside):
        assert outside[found.start() - 1] == "\\", outside[max(0, found.start() - 30) : found.end() + 30]
    for line in said.splitlines():
        assert line.isprintable()


def test_hostile_junit_is_well_formed(hostile: Comparison) -> None:
    root = ET.fromstring(formats.junit(hostile).encode())  # noqa: S314  our own
    plain = ET.fromstring(formats.junit(hostile_comparison("plain")))  # noqa: S314
    assert [each.tag for each in root.iter()] == [each.tag for each in plain.iter()]


def test_hostile_json_is_json(hostile: Comparison) -> None:
    document = json.loads(formats.as_json(hostile))
    assert len(document["findings"]) == len(hostile.judged)
    assert formats.as_json(hostile).isascii()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text)[:24])
def test_every_format_can_be_written(text: str) -> None:
    comparison = hostile_comparison(text)
    for write in FORMATS.values():
        assert write(comparison).encode("utf-8", "replace")


@pytest.mark.parametrize("line", ["plain", "`", "``", "a`b", "`a`", "```", ""])
def test_code_spans_hold_backticks(line: str) -> None:
    span = code(line)
    fence = re.match("`+", span)[0]  # type: ignore[index]
    assert span.endswith(fence)
    inside = span[len(fence) : -len(fence)]
    assert fence not in inside
    assert inside.strip() == line.strip()


def test_escapes_do_not_show() -> None:
    """What a reader sees of an escaped line is the line."""
    line = "<b> & *x* [a](b) `c` |d| ~e~ $f$ @g #h http://i www.j \\k"
    seen = html.unescape(re.sub(r"\\([\\`*_\[\]|~$])", r"\1", escaped(line)))
    assert seen == line


def test_clean_keeps_letters_of_every_script() -> None:
    assert clean("Größe 損失 ∂L/∂x") == "Größe 損失 ∂L/∂x"
    assert clean("a\tb\nc") == "a\ufffdb\ufffdc"


def test_the_sides_of_an_empty_diff() -> None:
    empty = Comparison(compare(run(), run()))
    assert isinstance(empty.diff, Diff)
    for write in FORMATS.values():
        assert write(empty)
