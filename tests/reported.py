"""Records that the tests of reports and of the page read: one of every verdict, one of attacks, one of many checks."""

from __future__ import annotations

import math
import random

from records import check, run

from lossparity.conformance.record import Check, Run

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
