"""Records made by hand, for the tests of what is read from records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from lossparity.conformance.record import Check, Run

NAME = "toy.losses.square"


def check(where: str = "plain/float64/value", verdict: str = "match", **rest: Any) -> Check:
    """A check given as case/dtype/aspect. Of a value or gradient that holds: the result 1.0, tolerance 0.01."""
    case, dtype, aspect = where.split("/")
    loss, name = rest.pop("loss", "mse_loss"), rest.pop("name", NAME)
    backend, device = rest.pop("backend", "toy"), rest.pop("device", "cpu")
    if aspect.startswith(("value", "gradient")) and verdict in ("match", "lossy", "dialect", "known", "mismatch"):
        rest = {"result": [1.0], "limits": [0.01], "error_ulp": 1.0, "margin": 0.1, **rest}
    parts = (loss, name, case, dtype, device, "eager", aspect)
    return Check("/".join(parts), loss, backend, *parts[1:], verdict=verdict, **rest)


def run(*checks: Check, version: str = "1.0", **rest: Any) -> Run:
    """A record of these checks, by backends that came with toy in a version."""
    backends = list(dict.fromkeys(each.backend for each in checks))
    environment = {
        "lossparity": "0", "python": "3.12", "platform": "Linux-6.1", "machine": "x86_64",
        "backends": {name: {"packages": {name: version}, "devices": ["cpu"]} for name in backends},
        **rest.pop("environment", {}),
    }  # fmt: skip
    described = {f"{each.loss}/{each.implementation}": {"backend": each.backend} for each in checks}
    implementations = {**described, **rest.pop("implementations", {})}
    asked = {name: {"status": "complete", "asked": True, "reason": ""} for name in backends}
    return Run(
        environment, 0, ["lossparity", "run"], list(checks), implementations=implementations, data="cases",
        backends={**asked, **rest.pop("backends", {})}, **rest,
    )  # fmt: skip


def _outcomes(*rows: tuple[str, str, str], asked: Sequence[str] = ()) -> Run:
    """A run of checks given as (backend, device, verdict)."""
    checks = [
        Check("x", "mse_loss", backend, "f", "c", "float64", device, "eager", "value", v) for backend, device, v in rows
    ]
    return Run({}, 0, [], checks, backends={row[0]: {"asked": row[0] in asked} for row in rows})


# What a run comes to: its exit code, and its checks.
EXITS: list[tuple[int, Run]] = [
    (0, _outcomes(("a", "cpu", "match"), ("a", "cpu", "dialect"), ("a", "cpu", "known"), ("a", "cpu", "unsupported"))),
    (1, _outcomes(("a", "cpu", "match"), ("a", "cpu", "mismatch"))),
    (1, _outcomes(("a", "cpu", "match"), ("a", "cpu", "stale"))),
    (1, _outcomes(("a", "cpu", "match"), ("a", "cpu", "error"))),
    (3, _outcomes(("a", "cpu", "match"), ("a", "cpu", "crashed"))),
    (3, _outcomes(("a", "cpu", "match"), ("a", "cpu", "timeout"))),
    (3, _outcomes(("a", "cpu", "mismatch"), ("b", "cpu", "crashed"))),  # a run with gaps decides nothing
    (3, _outcomes()),
    (3, _outcomes(("a", "cpu", "unsupported"))),
    (3, _outcomes(("a", "cuda:0", "not-run"))),
    (0, _outcomes(("a", "cpu", "match"), ("b", "cpu", "not-run"))),
    (3, _outcomes(("a", "cpu", "match"), ("b", "cpu", "not-run"), asked=["b"])),
    (0, _outcomes(("a", "cuda:0", "match"), ("b", "cuda:0", "not-run"))),  # one of them has the device
    (3, _outcomes(("a", "cpu", "match"), ("a", "cuda:0", "not-run"))),  # none has
]


def same(found: Run, but: Sequence[int] = ()) -> Any:
    """A record without what differs from run to run: times and the command. but: the checks that are left out.

    Checks that went wrong leave their traces in the backend's line, which then is left out as well.
    """
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    checks = [dataclasses.replace(check, seconds=0.0) for check in found.checks]
    backends = {name: {**line, "seconds": 0.0} for name, line in found.backends.items()}
    fields.update(checks=[check for i, check in enumerate(checks) if i not in but], backends=backends)
    for name in ("started", "seconds", "command", *(["backends"] if but else [])):
        del fields[name]
    return json.loads(json.dumps(fields, default=dataclasses.asdict))
