"""parity.html: one file, made from the record alone, that opens anywhere and fetches nothing.

Everything but the table of single checks is written out here and can be read without JavaScript. The checks are
embedded once, packed (embedded.py), and the scripts beside the templates unpack and show those that are asked for.
Every string of the record is untrusted: Jinja escapes it, the JSON holds no "<", only http(s) addresses become links,
and the page's own policy runs no script but ours, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from lossparity.conformance.record import VERDICTS, Run, write_whole
from lossparity.reports import frameworks, lossy, prose, sections
from lossparity.reports.embedded import embedded
from lossparity.reports.findings import (
    WHOLE,
    attention,
    command_lines,
    explain_line,
    in_reading_order,
    listed,
    mapping,
    outcome,
    plural,
    short_number,
)

TEMPLATES = Path(__file__).parent / "templates"
CERTIFICATE = Path(__file__).resolve().parent.parent / "reference" / "certificate.json"  # `nox -s certify` writes it
SCRIPTS = ("unpack.js", "columns.js", "list.js", "parity.js")  # each uses those before it
_FINDINGS_SHOWN = 200


def render(run: Run) -> str:
    """The page, as text."""
    found = sections.sections(run)
    entries = [entry for section in found for entry in section.entries]
    findings = attention(run)
    return page(
        "parity.html.j2",
        "".join(map(_asset, SCRIPTS)),
        run=run,
        environment=mapping(run.environment),
        outcome=outcome(run),
        counts=in_reading_order(run.counts()),
        verdicts=VERDICTS,
        backends=frameworks.backends(run),
        commands=command_lines(run),
        findings=findings[:_FINDINGS_SHOWN],
        findings_left=len(findings) - _FINDINGS_SHOWN,
        sections=found,
        certificate=json.loads(CERTIFICATE.read_text(encoding="utf-8")),
        columns=frameworks.columns(run, entries),
        census=frameworks.census(run),
        warnings=frameworks.warnings(entries),
        data=Markup(  # noqa: S704  escaped there
            embedded(run, {f"{entry.loss}/{entry.name}": entry.anchor for entry in entries})
        ),
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
    environment.filters.update(
        linked=prose.linked, breakable=prose.breakable, short=short_number, number=prose.number, when=prose.when
    )
    environment.globals.update(
        accuracy=sections.accuracy,
        called=sections.called,
        worst=sections.worst,
        showing=sections.showing,
        refusals=sections.refusals,
        lost=lossy.lost,
        inputs=lossy.inputs,
        bar=_bar,
        checks_link=prose.checks_link,
        check_link=prose.check_link,
        explain_line=explain_line,
        plural=plural,
        listed=listed,
        whole=WHOLE,
        mapping=mapping,
    )
    return environment
