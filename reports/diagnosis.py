"""What `lossparity check` found, as text and as a page. It reads the diagnosis as data and knows no framework."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WIDE, _HIGH, _LEFT, _FOOT = 640, 220, 64, 28


def text(found: Mapping[str, Any]) -> str:
    """The diagnosis for a terminal: the sentence, what it is, where it differs, contracts, accuracy, reproducer."""
    lines = [found["says"]]
    for heading, items in _sections(found):
        lines += ["", heading, *(f"  {item}" for item in items)]
    if found["reproducer"]:
        lines += ["", "Reproducer", *(f"  {line}" for line in found["reproducer"].splitlines())]
    return "\n".join(lines)


def _sections(found: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    if found["explanations"]:
        yield "What it is", [f"{each['name']}: {each['says']}{_link(each)}" for each in found["explanations"]]
    if found["differences"]:
        yield (
            "Where it differs, at the smallest input found",
            [line for d in found["differences"] for line in _shown(d)],
        )
    broken = [f"{each['name']}: {each['says']} Here {each['how']}." for each in found["contracts"]]
    kept = [f"kept: {', '.join(found['contracts_kept'])}"] if found["contracts_kept"] else []
    if broken or kept:
        yield "Contracts", [*(f"broken: {each}" for each in broken), *kept]
    if found["accuracy"]:
        yield "Accuracy", list(found["accuracy"])
    yield "How it was called", list(found["notes"])


def _link(each: Mapping[str, str]) -> str:
    return f" ({each['source']})" if each.get("source") else ""


def _shown(difference: Mapping[str, Any]) -> Iterator[str]:
    checks = difference["checks"]
    yield f"{difference['dtype']}, {checks} check{'s' if checks != 1 else ''} alike: {difference['says']}"
    yield f"  {', '.join(f'{name}={_short(value)}' for name, value in difference['inputs'].items())}"


def _short(value: Any) -> str:
    whole = repr(value)
    return whole if len(whole) <= 80 else f"{whole[:77]}..."


def page(found: Mapping[str, Any]) -> str:
    """The diagnosis as one HTML file that needs nothing else."""
    e = html.escape
    body = [f"<h1>{e(found['target'])}</h1>", f'<p class="says {e(found["verdict"])}">{e(found["says"])}</p>']
    if found.get("curve"):
        body += list(_curves(found["curve"]))
    for heading, items in _sections(found):
        body.append(f"<h2>{e(heading)}</h2><ul>{''.join(f'<li>{e(item)}</li>' for item in items)}</ul>")
    if found["reproducer"]:
        body.append(f"<h2>Reproducer</h2><pre tabindex=0>{e(found['reproducer'])}</pre>")
    title = f"{found['target']} as {found['loss']}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{e(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _curves(curve: Mapping[str, Any]) -> Iterator[str]:
    """Value and gradient over the loss's natural input, theirs over ours, each with its table."""
    for what in ("value", "gradient"):
        lines = {"ours": curve["ours"][what], "theirs": curve["theirs"][what]}
        if all(each is None for each in lines["theirs"]):
            continue
        yield f"<figure><figcaption>{html.escape(what.capitalize())} over {html.escape(curve['over'])}</figcaption>"
        yield _plot(curve["x"], lines, what)
        rows = "".join(
            f"<tr><td>{x:.4g}</td><td>{_cell(ours)}</td><td>{_cell(theirs)}</td></tr>"
            for x, ours, theirs in zip(curve["x"], lines["ours"], lines["theirs"], strict=True)
        )
        yield (
            "<details><summary>Numbers</summary><table><tr><th>input</th><th>definition</th><th>yours</th></tr>"
            f"{rows}</table></details></figure>"
        )


def _cell(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.7g}"


def _plot(x: Sequence[float], lines: Mapping[str, Sequence[float | None]], what: str) -> str:
    """Both lines in one picture, broken where a number is not finite."""
    numbers = [each for line in lines.values() for each in line if each is not None]
    low, high = min(numbers), max(numbers)
    high = high if high > low else low + 1.0

    def at(i: int, y: float) -> str:
        across = _LEFT + (x[i] - x[0]) / (x[-1] - x[0]) * (_WIDE - _LEFT - 8)
        return f"{across:.1f},{8 + (high - y) / (high - low) * (_HIGH - _FOOT - 8):.1f}"

    drawn = []
    for name, line in lines.items():
        parts: list[list[str]] = [[]]
        for i, y in enumerate(line):
            if y is None:
                parts.append([])
            else:
                parts[-1].append(at(i, y))
        drawn += [f'<polyline class="{name}" points="{" ".join(part)}"/>' for part in parts if part]
    foot = _HIGH - _FOOT
    return (
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{what}: the definition and yours">'
        f'<path class="axis" d="M{_LEFT},8V{foot}H{_WIDE - 8}"/>'
        f'<text x="{_LEFT - 6}" y="16" class="end">{high:.3g}</text>'
        f'<text x="{_LEFT - 6}" y="{foot}" class="end">{low:.3g}</text>'
        f'<text x="{_LEFT}" y="{_HIGH - 8}">{x[0]:g}</text>'
        f'<text x="{_WIDE - 8}" y="{_HIGH - 8}" class="end">{x[-1]:g}</text>{"".join(drawn)}</svg>'
        '<p class="key"><span class="ours">definition</span> <span class="theirs">yours</span></p>'
    )


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#59636e;--ours:#0550ae;--theirs:#bc4c00;--line:#d1d9e0}
@media(prefers-color-scheme:dark){:root{--ink:#f0f6fc;--paper:#0d1117;--soft:#9198a1;--ours:#79c0ff;--theirs:#ffa657;
--line:#3d444d}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:auto;padding:1rem}
h1{font-size:1.2rem;overflow-wrap:anywhere}h2{font-size:1rem;margin-top:2rem}
.says{font-size:1.1rem;border-left:.4rem solid var(--line);padding-left:1rem}
.says.conforms,.says.dialect{border-color:#1a7f37}.says.differs{border-color:#cf222e}
li{overflow-wrap:anywhere}pre{overflow:auto;padding:1rem;border:1px solid var(--line)}
figure{margin:1.5rem 0}figcaption{color:var(--soft)}svg{width:100%;height:auto}
svg text{font-size:12px;fill:var(--soft)}svg .end{text-anchor:end}svg .axis{fill:none;stroke:var(--line)}
polyline{fill:none;stroke-width:2}polyline.ours{stroke:var(--ours);stroke-width:4;opacity:.5}
polyline.theirs{stroke:var(--theirs);stroke-dasharray:6 3}
.key .ours{color:var(--ours)}.key .theirs{color:var(--theirs)}
table{border-collapse:collapse}td,th{padding:.1rem .8rem;text-align:right;border-bottom:1px solid var(--line)}
"""
