"""What each kind of change means for a gate: `[tool.lossparity.gate]` of a pyproject.toml.

    [tool.lossparity.gate]
    fixed = "ignore"                  # a kind: fail, warn or ignore
    drift-factor = 8.0                # how much worse an error must be to have drifted

    [[tool.lossparity.gate.exceptions]]
    kind = "changed"                  # what it is for: kind, backend, implementation, loss, case, aspect; one at
                                      # least, * is a wildcard
    loss = "log_loss"
    action = "warn"
    reason = "clips at the dtype's eps since 1.5, agreed with the ranking team"
    expires = 2031-03-01              # the first day on which it is void

An exception counts check by check. One that has expired fails the gate, and so does one that matches nothing: it would
hide what comes next. One of which nothing was compared is not judged.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lossparity.reports.changes import Item
from lossparity.reports.movement import DRIFT_FACTOR

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest, which we need, needs it there

Action: TypeAlias = Literal["fail", "warn", "ignore"]
ACTIONS: tuple[Action, ...] = ("fail", "warn", "ignore")

# What a kind means where no policy says so. `missing` is none of a policy's: a run with gaps decides nothing.
DEFAULTS: dict[str, Action] = {
    "regressed": "fail",
    "stopped": "fail",
    "removed": "fail",
    "changed": "fail",
    "signature": "fail",
    "drifted": "fail",
    "fixed": "warn",
    "added": "warn",
    "extended": "warn",
    "warning": "warn",
    "census": "warn",
}
_SELECTORS = ("kind", "backend", "implementation", "loss", "case", "aspect")


class PolicyError(ValueError):
    """A policy that does not read: where, what was given, and what it may be."""


@dataclass(frozen=True)
class Rule:
    """One exception. Its selectors are patterns; what is not given matches everything."""

    selectors: Mapping[str, str]
    action: Action
    reason: str
    expires: datetime.date

    def matches(self, item: Item) -> bool:
        """Whether what changed is something that it is for."""
        for name, pattern in self.selectors.items():
            mine = item.losses if name == "loss" else (getattr(item, name),)
            if not any(fnmatchcase(word, pattern) for word in mine):
                return False
        return True

    def __str__(self) -> str:
        what = ", ".join(f"{name} = {pattern!r}" for name, pattern in self.selectors.items())
        return f"the exception for {what} ({self.reason})"


@dataclass(frozen=True)
class Policy:
    """What each kind means, and the exceptions, of which the first that matches counts. source: where it stands."""

    kinds: Mapping[str, Action] = field(default_factory=lambda: dict(DEFAULTS))
    rules: Sequence[Rule] = ()
    drift_factor: float = DRIFT_FACTOR
    source: str = "the default policy"


def find(start: str | Path = ".") -> Path | None:
    """The nearest pyproject.toml, from a folder upwards."""
    folder = Path(start).resolve()
    files = (each / "pyproject.toml" for each in (folder, *folder.parents))
    return next((file for file in files if file.is_file()), None)


def load(path: str | Path | None = None) -> Policy:
    """The policy of a pyproject.toml; without a path, of the nearest one. PolicyError for one that does not read."""
    found = find() if path is None else Path(path)
    if found is None:
        return Policy()
    try:
        document = tomllib.loads(found.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"cannot read the policy {found}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{found} is not TOML: {error}") from None
    table: Any = document
    for name in ("tool", "lossparity", "gate"):
        table = table.get(name, {}) if isinstance(table, Mapping) else None
    if not isinstance(table, Mapping):
        raise PolicyError(f"{found}: tool.lossparity.gate must be a table")
    if not table:
        if path is not None:
            raise PolicyError(f"{found} has no [tool.lossparity.gate]; without --policy the defaults hold")
        return Policy()
    return parse(table, str(found))


def parse(table: Mapping[str, Any], source: str) -> Policy:
    """The policy that a [tool.lossparity.gate] says."""
    kinds = dict(DEFAULTS)
    rules: list[Rule] = []
    factor = DRIFT_FACTOR
    for name, value in table.items():
        if name in DEFAULTS:
            kinds[name] = _action(value, f"{source}: {name}")
        elif name == "drift-factor":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 < value < float("inf"):
                raise PolicyError(f"{source}: drift-factor = {value!r} is not a number above 1")
            factor = float(value)
        elif name == "exceptions":
            if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
                raise PolicyError(f"{source}: exceptions must be tables: [[tool.lossparity.gate.exceptions]]")
            rules = [_rule(each, f"{source}: exception {number}") for number, each in enumerate(value, start=1)]
        else:
            known = ", ".join([*DEFAULTS, "drift-factor", "exceptions"])
            raise PolicyError(f"{source}: unknown key {name!r} in [tool.lossparity.gate]; there are {known}")
    return Policy(kinds, rules, factor, source)


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    unknown = [name for name in table if name not in (*_SELECTORS, "action", "reason", "expires")]
    if unknown:
        known = ", ".join([*_SELECTORS, "action", "reason", "expires"])
        raise PolicyError(f"{where} has an unknown key {unknown[0]!r}; there are {known}")
    selectors = {name: table[name] for name in _SELECTORS if name in table}
    if not selectors:
        raise PolicyError(f"{where} says not what it is for; give one of {', '.join(_SELECTORS)}")
    for name, pattern in selectors.items():
        if not isinstance(pattern, str) or not pattern:
            raise PolicyError(f"{where}: {name} = {pattern!r} is not a name")
    if "kind" in selectors and not any(fnmatchcase(kind, selectors["kind"]) for kind in (*DEFAULTS, "missing")):
        raise PolicyError(f"{where}: no kind matches {selectors['kind']!r}; there are {', '.join(DEFAULTS)}, missing")
    reason, expires = table.get("reason"), table.get("expires")
    if not isinstance(reason, str) or not reason.strip():
        raise PolicyError(f'{where} needs a reason: reason = "why this is agreed"')
    if isinstance(expires, str):
        try:
            expires = datetime.date.fromisoformat(expires)
        except ValueError:
            raise PolicyError(f"{where}: expires = {expires!r} is not a date such as 2031-03-01") from None
    if isinstance(expires, datetime.datetime) or not isinstance(expires, datetime.date):
        raise PolicyError(f"{where} needs the day on which it ends: expires = 2031-03-01")
    return Rule(selectors, _action(table.get("action", "warn"), f"{where}: action"), reason.strip(), expires)


def _action(value: Any, where: str) -> Action:
    for action in ACTIONS:
        if value == action:
            return action
    raise PolicyError(f"{where} = {value!r}; it may be {', '.join(ACTIONS)}")
