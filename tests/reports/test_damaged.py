"""Records with one thing changed anywhere: each is read and reported, or refused in words. Never a traceback."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lossparity
from lossparity.conformance import record
from lossparity.conformance.record import RecordError, Run
from lossparity.reports import html
from lossparity.reports.comparability import IncomparableError
from lossparity.reports.diff import compare
from lossparity.reports.formats import Comparison, markdown, text
from lossparity.reports.gate import decide
from lossparity.reports.merge import merge
from lossparity.reports.policy import Policy
from lossparity.reports.summary import summary

SCHEMA_2 = Path(__file__).parent.parent / "conformance" / "schema-2.json.gz"
NAMES = ("log_loss/sklearn.metrics.log_loss", "huber_loss/torch.nn.functional.huber_loss")
INSTEAD = (None, True, -1, 0, 2**70, 1.5, -1e300, "", "x", "nan", [], {}, [None], [[]], {"a": {}}, [{"name": 3}], ["x"])


@pytest.fixture(scope="module")
def whole() -> Run:
    """A small record of two real implementations, with dialects, signatures, warnings and a census."""
    run = lossparity.load(SCHEMA_2)
    about = {name: {**run.implementations[name], "warnings": ["UserWarning: no"]} for name in NAMES}
    return dataclasses.replace(
        run,
        checks=[check for check in run.checks if f"{check.loss}/{check.implementation}" in NAMES],
        implementations=about,
        losses={name: run.losses[name] for name in ("log_loss", "huber_loss")},
        accepted=[{"reason": "r", "when": "2026-01-01", "says": "s", "before": "a", "after": "b", "findings": []}],
    )


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def mutated(document: Any, draw: random.Random) -> Any:
    """The document with one value replaced, taken out, doubled or exchanged."""
    document = copy.deepcopy(document)
    of_checks = draw.random() < 0.3
    ways = [way for way in places(document) if (way[0] == "checks") == of_checks]
    *outer, last = draw.choice(ways)
    inside = document
    for key in outer:
        inside = inside[key]
    match draw.randrange(4):
        case 0:
            del inside[last]
        case 1 if isinstance(inside, list):
            inside.insert(last, inside[last])
        case 2 if isinstance(inside[last], str) and inside[last]:
            at = draw.randrange(len(inside[last]))
            inside[last] = inside[last][:at] + draw.choice("A=\0é<") + inside[last][at + 1 :]
        case _:
            inside[last] = copy.deepcopy(draw.choice(INSTEAD))
    return document


def read(run: Run, whole: Run) -> None:
    """Everything that is made of a record; a ValueError is a refusal in words."""
    html.render(run)
    summary(run)
    for runs in ([run], [run, whole], [whole, run]):
        refused = "cannot merge: "
        try:
            merge(runs)
        except ValueError as error:
            refused = str(error)
        assert refused.startswith("cannot merge: ")
    for pair in ((whole, run), (run, whole)):
        try:
            diff = compare(*pair)
        except IncomparableError:
            continue
        text(Comparison(diff, decide(diff, pair[1], Policy())))
        markdown(Comparison(diff))


@pytest.mark.parametrize("schema", [2, 3])
def test_a_record_with_one_thing_changed_is_read_or_refused(whole: Run, tmp_path: Path, schema: int) -> None:
    path = record.save(whole, tmp_path / "whole.json")
    document = json.loads(gzip.decompress(SCHEMA_2.read_bytes()) if schema == 2 else path.read_bytes())
    if schema == 2:  # its checks are long: their number is as it is, the rest is the small one's
        small = json.loads(path.read_bytes())
        document = {**small, "schema": 2, "checks": document["checks"]}
    draw = random.Random(schema)  # noqa: S311  which damage, not which secret
    seen = {"read": 0, "refused": 0}
    for _ in range(100 if schema == 3 else 15):
        path.write_text(json.dumps(mutated(document, draw)), encoding="utf-8")
        try:
            run = lossparity.load(path)
        except RecordError:
            seen["refused"] += 1
        else:
            read(run, whole)
            seen["read"] += 1
    assert min(seen.values()) > 5, seen


def test_a_file_with_one_byte_changed_is_read_or_refused(whole: Run, tmp_path: Path) -> None:
    for name in ("r.json", "r.json.gz"):
        path = record.save(whole, tmp_path / name)
        payload = path.read_bytes()
        draw = random.Random(7)  # noqa: S311  which damage, not which secret
        for _ in range(25):
            at = draw.randrange(len(payload))
            path.write_bytes(payload[:at] + bytes([draw.randrange(256)]) + payload[at + draw.randrange(2) :])
            try:
                run = lossparity.load(path)
            except RecordError:
                continue
            read(run, whole)
