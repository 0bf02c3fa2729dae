"""parity.html: one file, made from the record alone, that opens anywhere and fetches nothing.

Everything but the table of single checks is written out here and can be read without JavaScript. The checks are
embedded once, as compact JSON, and templates/parity.js shows those that are asked for. Every string of the record
is untrusted: Jinja escapes it, the JSON holds no "<", only http(s) addresses become links, and the page's own policy
runs no script but ours, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup

from lossparity.conformance.record import VERDICTS, Check, Run, write_whole
from lossparity.reports.findings import (
    SEVERITY,
    WHOLE,
    attention,
    backend_names,
    command_lines,
    explain_line,
    in_reading_order,
    listed,
    mapping,
    outcome,
    packages,
    plural,
    programs,
    short_number,
    tally,
    worst_verdict,
)

TEMPLATES = Path(__file__).parent / "templates"
_FINDINGS_SHOWN = 200
_REASON = 600  # characters of a single check's reason; `lossparity explain` has them all
_WORST_BUDGET = 1_200_000  # characters spent on the inputs of single checks, the worst checks first
_PROSE = re.compile(r"`(?P<code>[^`\n]+)`|(?P<address>https?://[^\s<>\"'`]+)")
_AGREEING = ("match", "lossy", "dialect")
_PLACE = ("python", "platform", "processor")  # told of a backend where it differs from the run's own


@dataclass
class Entry:
    """One implementation of one loss, and what was found."""

    loss: str
    name: str
    backend: str
    anchor: str
    about: Mapping[str, Any]
    checks: list[Check] = field(default_factory=list)
    heading: str = ""  # of its column in the matrix

    @property
    def counts(self) -> dict[str, int]:
        """Checks per verdict, the worst first."""
        return tally(self.checks)

    @property
    def ran(self) -> int:
        """How many checks there are without those that are declared unsupported."""
        return sum(check.verdict != "unsupported" for check in self.checks)

    @property
    def verdict(self) -> str:
        """The worst verdict; "" where there is no check."""
        return worst_verdict(check.verdict for check in self.checks)

    @property
    def namespace(self) -> str:
        """The dotted name but for its last part."""
        return self.name.partition("(")[0].rpartition(".")[0]

    @property
    def short(self) -> str:
        """The last part of the dotted name."""
        return self.name[len(self.namespace) :].lstrip(".")


@dataclass
class Section:
    """One loss and its implementations."""

    name: str
    anchor: str
    about: Mapping[str, Any]
    entries: list[Entry] = field(default_factory=list)


def render(run: Run) -> str:
    """The page, as text."""
    sections = _sections(run)
    entries = [entry for section in sections for entry in section.entries]
    findings = attention(run)
    return page(
        "parity.html.j2",
        _asset("parity.js"),
        run=run,
        environment=mapping(run.environment),
        outcome=outcome(run),
        counts=in_reading_order(tally(run.checks)),
        verdicts=VERDICTS,
        backends=_backends(run),
        commands=command_lines(run),
        findings=findings[:_FINDINGS_SHOWN],
        findings_left=len(findings) - _FINDINGS_SHOWN,
        sections=sections,
        columns=_columns(run, entries),
        census=_census(run),
        warnings=_warnings(entries),
        data=Markup(_embedded(run, entries)),  # noqa: S704 escaped there
    )


def page(template: str, script: str = "", **words: Any) -> str:
    """A page in the report's look: the template with our style, our script, and a policy that lets in nothing else."""
    style = _asset("parity.css")
    filled: str = (
        _environment()
        .get_template(template)
        .render(
            policy=_policy(script, style),
            script=Markup(script),  # noqa: S704 our own file
            style=Markup(style),  # noqa: S704 our own file
            **words,
        )
    )
    return filled


def write(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the page, whole or not at all."""
    return write_whole(path, render(run).encode("utf-8", "replace"))


def _sections(run: Run) -> list[Section]:
    """Every loss of the record, with every implementation that was declared or checked, by backend."""
    checks = [check for check in run.checks if check.loss != WHOLE]
    names = dict.fromkeys([*run.losses, *(check.loss for check in checks)])
    anchors = _Anchors()
    sections = {name: Section(name, anchors.of(f"loss-{name}"), mapping(run.losses.get(name))) for name in names}
    found: dict[tuple[str, str], Entry] = {}

    def entry(loss: str, name: str, backend: str) -> Entry:
        if (loss, name) not in found:
            about = mapping(run.implementations.get(f"{loss}/{name}"))
            found[loss, name] = Entry(loss, name, backend, anchors.of(f"{loss}--{name}"), about)
        return found[loss, name]

    for key, about in run.implementations.items():
        loss, _, name = key.partition("/")
        if loss not in sections:
            sections[loss] = Section(loss, anchors.of(f"loss-{loss}"), {})
        entry(loss, name, str(mapping(about).get("backend", "")))
    for check in checks:
        entry(check.loss, check.implementation, check.backend).checks.append(check)
    order = {name: i for i, name in enumerate(backend_names(run))}
    for each in sorted(found.values(), key=lambda e: order.get(e.backend, len(order))):
        sections[each.loss].entries.append(each)
    return list(sections.values())


class _Anchors:
    """An HTML id per name: the name itself where it is a plain one, and never the same id twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)
        anchor, n = plain, 1
        while anchor in self._taken:
            n += 1
            anchor = f"{plain}-{n}"
        self._taken.add(anchor)
        return anchor


def _backends(run: Run) -> list[dict[str, Any]]:
    """Each backend: how it ended, in which versions, on which devices, and its counts."""
    environment = mapping(run.environment)
    counts: dict[str, Counter[str]] = {}
    for check in run.checks:
        counts.setdefault(check.backend, Counter())[check.verdict] += 1
    rows = []
    for name in backend_names(run):
        about = mapping(run.backends.get(name))
        seen = mapping(mapping(environment.get("backends")).get(name))
        place = {key: seen[key] for key in _PLACE if key in seen and seen[key] != environment.get(key)}
        rows.append(
            {
                "name": name,
                "status": str(about.get("status", "complete")),
                "reason": str(about.get("reason") or ""),
                "last_words": str(about.get("last_words") or "").strip(),
                "seconds": about.get("seconds"),
                "packages": packages(run, name),
                "place": place,
                "devices": _words(seen.get("devices")),
                "compiled": programs(about),
                "counts": counts.get(name, Counter()),
            }
        )
    return rows


def _columns(run: Run, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The matrix's columns: for each backend the namespaces from which its implementations come."""
    columns = []
    for backend in backend_names(run):
        spoken = [entry for entry in entries if entry.backend == backend]
        classes = {entry.namespace for entry in spoken if entry.short[:1].isupper()}
        mixed = classes & {entry.namespace for entry in spoken if not entry.short[:1].isupper()}
        for entry in spoken:
            kind = " classes" if entry.short[:1].isupper() else " functions"
            entry.heading = entry.namespace + (kind if entry.namespace in mixed else "")
        if spoken:
            headings = list(dict.fromkeys(entry.heading for entry in spoken))
            columns.append({"backend": backend, "headings": headings, "packages": packages(run, backend)})
    return columns


def _census(run: Run) -> list[dict[str, Any]]:
    """For each public namespace of a framework: the losses found there, and what this suite does about them."""
    checked = {key.partition("/")[2] for key in run.implementations}
    rows = []
    for backend, seen in mapping(run.census).items():
        uncovered = _words(mapping(seen).get("uncovered"))
        excluded = mapping(mapping(seen).get("excluded"))
        for namespace, names in mapping(mapping(seen).get("namespaces")).items():
            found = _words(names)
            rows.append(
                {
                    "backend": backend,
                    "namespace": namespace,
                    "found": len(found),
                    "checked": sum(name in checked for name in found),
                    "uncovered": [_inside(namespace, name) for name in uncovered if name in found],
                    "excluded": _by_reason(
                        {_inside(namespace, name): str(excluded[name]) for name in found if name in excluded}
                    ),
                }
            )
    return rows


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Reason -> the names that are excluded for it."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return names


def _inside(namespace: str, name: str) -> str:
    return name.removeprefix(f"{namespace}.")


def _warnings(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Each warning, with the implementations that raise it."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        for warning in _words(entry.about.get("warnings")):
            found.setdefault(warning, []).append(entry)
    return found


def _called(entry: Entry) -> str:
    """The entry point's own signature as Python writes it; "" where it has none to be seen."""
    parameters = entry.about.get("signature")
    if not isinstance(parameters, (list, tuple)):
        return ""
    words: list[str] = []
    for each in map(mapping, parameters):
        kind = str(each.get("kind"))
        if kind == "keyword-only" and not any(word.startswith("*") for word in words):
            words.append("*")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        default = each.get("default")
        words.append(f"{stars}{each.get('name')}" + ("" if default is None else f"={default}"))
    return f"{entry.short}({', '.join(words)})"


def _accuracy(entry: Entry) -> list[dict[str, Any]]:
    """Per dtype: the worst error of values and of gradients, and the worst margin, where the check agrees."""
    rows: dict[str, dict[str, Any]] = {}
    for check in entry.checks:
        if check.error_ulp is None or check.verdict not in _AGREEING:
            continue
        row = rows.setdefault(
            check.dtype, {"dtype": check.dtype, "n": 0, "value": None, "gradient": None, "margin": None}
        )
        row["n"] += 1
        aspect = "gradient" if check.aspect.startswith("gradient") else "value"
        row[aspect] = _larger(row[aspect], check.error_ulp)
        row["margin"] = _larger(row["margin"], check.margin)
    return list(rows.values())


def _larger(a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return a if b is None else b
    return a if math.isnan(a) or a >= b else b


def _worst(entry: Entry) -> dict[str, Check]:
    """The checks with the largest error: of those that agree, and of all, where that is another one."""
    measured = [check for check in entry.checks if check.error_ulp]
    agreeing = [check for check in measured if check.verdict in _AGREEING]
    found = {}
    if agreeing:
        found["Worst error where it agrees"] = max(agreeing, key=_error)
    if len(agreeing) < len(measured):
        found["Worst error of all" if found else "Worst error"] = max(measured, key=_error)
    return found


def _error(check: Check) -> tuple[float, bool]:
    error = -1.0 if check.error_ulp is None else check.error_ulp
    return (math.inf if math.isnan(error) else error, bool(check.worst))


def _showing(entry: Entry, verdict: str, name: str) -> int:
    """How many checks have the verdict because of the named dialect or known issue."""
    return sum(c.verdict == verdict and name in c.declared for c in entry.checks)


def _refusals(entry: Entry) -> list[tuple[str, str, int]]:
    """What is not offered, and why: (argument or "", reason, how many checks are unsupported for it)."""
    counts = Counter(c.reason or "no reason given" for c in entry.checks if c.verdict == "unsupported")
    lacking = mapping(entry.about.get("lacks")).items()
    no_gradient = mapping(entry.about.get("no_gradient")).items()
    named = [
        *((str(name), str(why)) for name, why in lacking),
        *(("gradient" if name == "*" else f"gradient of {name}", str(why)) for name, why in no_gradient),
    ]
    rows = [(name, why, counts.get(why, 0)) for name, why in named]
    told = {why for _, why in named}
    return [*rows, *(("", why, n) for why, n in counts.most_common() if why not in told)]


def _embedded(run: Run, entries: Sequence[Entry]) -> str:
    """The checks as JSON that can stand inside a script element: tables of words, and one column per field."""
    tables: dict[str, dict[str, int]] = {}

    def column(name: str, words: Iterable[str]) -> list[int]:
        table = tables.setdefault(name, {})
        return [table.setdefault(word, len(table)) for word in words]

    checks = list(run.checks)
    fields = ("verdict", "loss", "implementation", "case", "aspect", "dtype", "device", "mode", "backend")
    columns: dict[str, list[Any]] = {name: column(name, [getattr(c, name) for c in checks]) for name in fields}
    columns["reason"] = column("reason", [_clip(c.reason, _REASON) for c in checks])
    columns["ulp"] = [_compact(c.error_ulp) for c in checks]
    columns["margin"] = [_compact(c.margin) for c in checks]
    ids = {i: c.id for i, c in enumerate(checks) if c.id != _usual_id(c)}
    data = {
        "tables": {name: list(words) for name, words in tables.items()},
        "columns": columns,
        "ids": ids,
        "worst": _inputs(checks),
        "severity": SEVERITY,
        "verdicts": VERDICTS,
        "anchors": {f"{entry.loss}/{entry.name}": entry.anchor for entry in entries},
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _usual_id(c: Check) -> str:
    return f"{c.loss}/{c.implementation}/{c.case}/{c.dtype}/{c.device}/{c.mode}/{c.aspect}"


def _inputs(checks: Sequence[Check]) -> dict[int, Any]:
    """Where the error was found, by row; the worst checks first, until the budget is spent."""
    rank = {verdict: i for i, verdict in enumerate(SEVERITY)}
    rows = [i for i, check in enumerate(checks) if check.worst]
    rows.sort(key=lambda i: (rank[checks[i].verdict], [-x for x in _error(checks[i])]))
    kept: dict[int, Any] = {}
    spent = 0
    for i in rows:
        worst = {key: _number(value) for key, value in mapping(checks[i].worst).items()}
        spent += len(str(worst))
        if spent > _WORST_BUDGET:
            break
        kept[i] = worst
    return kept


def _compact(x: float | None) -> float | int | str | None:
    """Four digits are enough for an error; JSON has no infinity."""
    if x is None:
        return None
    if not math.isfinite(x):
        return str(x)
    return int(x) if x == int(x) and abs(x) < 1e6 else float(f"{x:.4g}")


def _number(value: Any) -> str:
    """Numbers, and lists and mappings of them, as they would be typed."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_number(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return _clip(f"[{', '.join(_number(each) for each in value)}]", _REASON)
    return _clip(str(value), _REASON)


def _clip(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 3]}..."


def _linked(text: Any) -> Markup:
    """`text`, escaped, with its http(s) addresses as links and what stands in backticks as code."""
    parts, end = [], 0
    text = str(text)
    for found in _PROSE.finditer(text):
        address = (found["address"] or "").rstrip(".,;:!?)")
        shown = Markup('<a href="{0}" rel="noreferrer">{0}</a>') if address else Markup("<code>{0}</code>")
        parts += [Markup.escape(text[end : found.start()]), shown.format(address or found["code"])]
        end = found.start() + len(address) if address else found.end()
    return Markup("").join([*parts, Markup.escape(text[end:])])


def _breakable(name: str) -> Markup:
    """A long name that may break after its dots and underscores, and before the words of a CamelCase name."""
    parts = re.split(r"(?<=[._(])|(?<=[a-z0-9])(?=[A-Z])", name)
    return Markup("<wbr>").join(Markup.escape(part) for part in parts)


def _when(started: str) -> str:
    """An ISO date and time, in words; as it stands where it is none."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return f"{moment.day} {moment:%B %Y, %H:%M}{'' if moment.tzinfo is None else ' UTC'}"


def _words(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []


def _checks_link(**state: str) -> str:
    return "#checks?" + urlencode(state, quote_via=quote, errors="replace")


def _check_link(check: Check) -> str:
    return "#check=" + quote(check.id, safe="/:,=.", errors="replace")


def _bar(counts: Mapping[str, int]) -> list[tuple[str, float, float]]:
    """(verdict, start, width) in percent; nothing that occurs is too small to be seen."""
    total = sum(counts.values())
    sizes = {verdict: max(n / total, 0.004) for verdict, n in counts.items()}
    whole, start, parts = sum(sizes.values()), 0.0, []
    for verdict, size in sizes.items():
        width = 100 * size / whole
        parts.append((verdict, round(start, 3), round(width, 3)))
        start += width
    return parts


def _policy(script: str, style: str) -> str:
    """A content security policy: nothing is fetched, and only our own script and style run."""

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {source(script)}; style-src {source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@lru_cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


@lru_cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,
    )
    environment.filters.update(linked=_linked, breakable=_breakable, short=short_number, number=_number, when=_when)
    environment.globals.update(
        accuracy=_accuracy,
        called=_called,
        worst=_worst,
        showing=_showing,
        refusals=_refusals,
        bar=_bar,
        checks_link=_checks_link,
        check_link=_check_link,
        explain_line=explain_line,
        plural=plural,
        listed=listed,
        whole=WHOLE,
        mapping=mapping,
    )
    return environment
