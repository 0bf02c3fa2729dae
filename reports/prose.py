"""How what a record says is written on a page: links, numbers, names that may break. All of it is untrusted text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from lossparity.conformance.record import Check

SHORTENED = 600  # characters of a list of numbers or of a reason
_PROSE = re.compile(r"`(?P<code>[^`\n]+)`|(?P<address>https?://[^\s<>\"'`]+)")


def linked(text: Any) -> Markup:
    """`text`, escaped, with its http(s) addresses as links and what stands in backticks as code."""
    parts, end = [], 0
    text = str(text)
    for found in _PROSE.finditer(text):
        address = (found["address"] or "").rstrip(".,;:!?)")
        shown = Markup('<a href="{0}" rel="noreferrer">{0}</a>') if address else Markup("<code>{0}</code>")
        parts += [Markup.escape(text[end : found.start()]), shown.format(address or found["code"])]
        end = found.start() + len(address) if address else found.end()
    return Markup("").join([*parts, Markup.escape(text[end:])])


def breakable(name: str) -> Markup:
    """A long name that may break after its dots and underscores, and before the words of a CamelCase name."""
    parts = re.split(r"(?<=[._(])|(?<=[a-z0-9])(?=[A-Z])", name)
    return Markup("<wbr>").join(Markup.escape(part) for part in parts)


def when(started: str) -> str:
    """An ISO date and time, in words; as it stands where it is none."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return f"{moment.day} {moment:%B %Y, %H:%M}{'' if moment.tzinfo is None else ' UTC'}"


def number(value: Any) -> str:
    """Numbers, and lists and mappings of them, as they would be typed."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {number(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return clip(f"[{', '.join(number(each) for each in value)}]")
    return clip(str(value))


def clip(text: str, size: int = SHORTENED) -> str:
    """`text`, or its first characters."""
    return text if len(text) <= size else f"{text[: size - 3]}..."


def words(value: Any) -> list[str]:
    """A list of a record as text; empty where it is none."""
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []


def checks_link(**state: str) -> str:
    """The address of the checks that a filter lets through."""
    return "#checks?" + urlencode(state, quote_via=quote, errors="replace")


def check_link(check: Check) -> str:
    """The address of one check."""
    return "#check=" + quote(check.id, safe="/:,=.", errors="replace")
