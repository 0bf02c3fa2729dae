"""What a framework offers and says: the census of its losses, the signatures, the warnings; in record and report."""

from __future__ import annotations

import functools
import importlib.util
import math
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lossparity import adapters, reference
from lossparity.adapters import engines
from lossparity.adapters.base import Implementation
from lossparity.conformance import census, warned
from lossparity.conformance.execution.run import run
from lossparity.conformance.judge import Judge
from lossparity.conformance.matrix import Selection, checks
from lossparity.conformance.record import Run, load, save
from lossparity.reports import html
from lossparity.reports.merge import merge

# --- The census of a framework made here


class Base:
    """The framework's base class of losses."""


class Derived(Base):
    def __init__(self, beta: float = 1.0, *, weight: Any = None, _level: int = 3) -> None:
        self.beta, self.weight = beta, weight


class Strange:
    """A namespace with a part that cannot be loaded."""

    def __dir__(self) -> list[str]:
        return ["broken_loss", "fine_loss"]

    @property
    def broken_loss(self) -> Any:
        raise RuntimeError("libcu.so: cannot open shared object file")

    @staticmethod
    def fine_loss(input: Any) -> Any:
        return input


def l1_loss(input: Any, target: Any) -> Any:
    return abs(input - target)


def cross_entropy(
    input: Any, /, target: Any, *rest: Any, reduction: str = "mean", how: Any = l1_loss, **more: Any
) -> Any:
    return input, target, rest, reduction, how, more


def adapter(*names: str, **tables: Any) -> Any:
    """An adapter of the framework `lib`: its namespaces as given, and implementations of these names."""
    lib = SimpleNamespace(
        nn=SimpleNamespace(
            l1_loss=l1_loss,
            absolute_loss=l1_loss,  # another name of it
            cross_entropy=cross_entropy,
            Soft=Derived,
            Base=Base,
            relu=max,
            _private_loss=l1_loss,
            loss_names=["l1"],
        ),
        losses=SimpleNamespace(anything=math.hypot, Base=Base),
        strange=Strange(),
    )
    found = [Implementation("l1_loss", name, l1_loss, ("mean",)) for name in names]
    return SimpleNamespace(IMPLEMENTATIONS=found, lib=lib, **tables)


def test_what_is_found() -> None:
    """By a word in the name, by its base class, or for being in a namespace of losses; neither private nor data."""
    seen = census.census(adapter(NAMESPACES=("lib.nn", "lib.losses"), LOSS_CLASSES=(Base,)))
    assert seen["namespaces"] == {
        "lib.nn": ["lib.nn.Soft", "lib.nn.absolute_loss", "lib.nn.cross_entropy", "lib.nn.l1_loss"],
        "lib.losses": ["lib.losses.anything"],
    }


def test_what_nobody_adapts_is_uncovered_once_by_its_own_name() -> None:
    module = adapter(NAMESPACES=("lib.nn", "lib.losses"))
    seen = census.census(module)
    assert seen["uncovered"] == ["lib.losses.Base", "lib.losses.anything", "lib.nn.cross_entropy", "lib.nn.l1_loss"]
    assert seen["excluded"] == {}


@pytest.mark.parametrize("name", ["lib.nn.l1_loss", "lib.nn.absolute_loss"])
def test_an_adapter_of_one_name_covers_the_other(name: str) -> None:
    assert census.census(adapter(name, NAMESPACES=("lib.nn",)))["uncovered"] == ["lib.nn.cross_entropy"]


def test_an_exclusion_has_its_reason_and_covers_the_other_name() -> None:
    seen = census.census(adapter(NAMESPACES=("lib.nn",), EXCLUDED={"lib.nn.l1_loss": "a toy", "lib.nn.gone": "old"}))
    assert seen["excluded"] == {"lib.nn.l1_loss": "a toy"}
    assert seen["uncovered"] == ["lib.nn.cross_entropy"]


def test_an_adapter_of_what_this_version_lacks_covers_nothing() -> None:
    seen = census.census(adapter("lib.nn.not_yet_loss", NAMESPACES=("lib.nn",)))
    assert seen["uncovered"] == ["lib.nn.cross_entropy", "lib.nn.l1_loss"]


def test_a_loss_that_an_upgrade_adds_or_removes_is_seen() -> None:
    module = adapter("lib.nn.l1_loss", NAMESPACES=("lib.nn",))
    before = census.census(module)
    module.lib.nn.new_loss = max
    del module.lib.nn.cross_entropy
    after = census.census(module)
    assert set(after["namespaces"]["lib.nn"]) ^ set(before["namespaces"]["lib.nn"]) == {
        "lib.nn.new_loss",
        "lib.nn.cross_entropy",
    }
    assert after["uncovered"] == ["lib.nn.new_loss"]


def test_a_backend_that_says_nothing_of_namespaces_has_an_empty_census() -> None:
    assert census.census(adapter()) == {"namespaces": {}, "uncovered": [], "excluded": {}}


def test_what_cannot_be_loaded_is_not_there() -> None:
    seen = census.census(adapter(NAMESPACES=("lib.strange", "lib.nowhere")))
    assert seen["namespaces"] == {"lib.strange": ["lib.strange.fine_loss"], "lib.nowhere": []}


# --- Signatures


def test_the_signature_of_a_function() -> None:
    assert census.signature(adapter(), "lib.nn.cross_entropy") == [
        {"name": "input", "kind": "positional-only", "default": None},
        {"name": "target", "kind": "positional or keyword", "default": None},
        {"name": "rest", "kind": "variadic positional", "default": None},
        {"name": "reduction", "kind": "keyword-only", "default": "'mean'"},
        {"name": "how", "kind": "keyword-only", "default": "<function l1_loss>"},
        {"name": "more", "kind": "variadic keyword", "default": None},
    ]


def test_the_signature_of_a_class_is_how_it_is_made() -> None:
    """Without self, and without what is marked as private."""
    assert census.signature(adapter(), "lib.nn.Soft") == [
        {"name": "beta", "kind": "positional or keyword", "default": "1.0"},
        {"name": "weight", "kind": "keyword-only", "default": "None"},
    ]


@pytest.mark.parametrize("name", ["lib.nn.relu", "lib.nn.nothing", "nowhere.at_all", "lib.nn.loss_names"])
def test_what_has_no_signature_to_be_seen_has_none(name: str) -> None:
    assert census.signature(adapter(), name) is None


# --- Warnings


def caught(message: str | Warning, category: type[Warning] | None = None) -> str:
    with warned.listening() as heard:
        warnings.warn(message, category, stacklevel=1)
    return warned.words(*heard)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("reduce is gone in 3.0\nUse reduction.", "UserWarning: reduce is gone in 3.0"),
        ("/home/me/env/lib/torch/nn.py:12: old", "UserWarning: nn.py:12: old"),
        ("see https://pytorch.org/docs/nn.html", "UserWarning: see https://pytorch.org/docs/nn.html"),
        ("mean and/or sum", "UserWarning: mean and/or sum"),
        ("", "UserWarning"),
        ("x" * 1000, "UserWarning: " + "x" * 300),
    ],
)
def test_a_warning_in_words(message: str, said: str) -> None:
    assert caught(message) == said


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_what_is_to_come_is_heard_whatever_the_filters_say(category: type[Warning]) -> None:
    for action in ("ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)  # type: ignore[arg-type]
            assert caught("soon", category) == f"{category.__name__}: soon"


def test_numerical_warnings_are_left_to_the_verdicts() -> None:
    with warned.listening() as heard:
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=1)
    assert heard == []


@pytest.mark.parametrize(
    ("heard", "settled"),
    [
        ([], []),
        (["b", "a", "b"], ["a", "b"]),
        (["gone in 1.7"], ["gone in 1.7"]),
        (["size (3,) of 1.5", "size (3, 1) of 2"], ["size (#) of #"]),
        (["Size([2, 3]) of -1e-07", "Size([]) of 1"], ["Size([2, 3]) of -1e-07", "Size([]) of 1"]),
        (["float32 is slow", "float64 is slow"], ["float32 is slow", "float64 is slow"]),
        (["size (#)", "size (3, 1)"], ["size (#)"]),
    ],
)
def test_warnings_that_differ_in_numbers_alone_are_one(heard: list[str], settled: list[str]) -> None:
    assert warned.settle(heard) == settled


def test_a_warning_is_told_once_and_changes_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    def quiet(input: Any, target: Any, reduction: str) -> Any:
        return reference.l1_loss(input.astype(np.float64), target, reduction=reduction).astype(input.dtype)

    def loud(input: Any, target: Any, reduction: str) -> Any:
        warnings.warn(f"shape {input.shape} is old", FutureWarning, stacklevel=1)
        return quiet(input, target, reduction)

    found = []
    for function in (quiet, loud):
        declared = Implementation("l1_loss", "toy.l1", function, ("mean",), no_gradient={"*": "a toy"})
        module: Any = SimpleNamespace(IMPLEMENTATIONS=[declared], ENGINE=engines.load("numpy"))
        judge = Judge(module, 0, {})
        verdicts = [judge(check).verdict for check in checks("toy", module, Selection(dtypes=("float64",)))]
        found.append((verdicts, judge.news(), judge.news()))
    (calm, nothing, _), (verdicts, news, none_left) = found
    assert verdicts == calm
    assert "match" in verdicts
    assert nothing == none_left == {}
    assert list(news) == ["l1_loss/toy.l1"]
    texts = news["l1_loss/toy.l1"]
    assert len(texts) == len(set(texts)) > 1
    assert warned.settle(texts) == ["FutureWarning: shape (#) is old"]
    assert capsys.readouterr().err == ""


# --- The record, the report, merging


@functools.cache
def record_of_sklearn() -> Run:
    if adapters.BACKENDS["sklearn"].missing():
        pytest.skip("scikit-learn is not installed")
    return run(["sklearn"], Selection(losses=("log_loss", "l1_loss"), dtypes=("float64",)))


def test_a_run_records_them(tmp_path: Path) -> None:
    read = load(save(record_of_sklearn(), tmp_path / "parity.json"))
    assert "sklearn.metrics.mean_pinball_loss" in read.census["sklearn"]["namespaces"]["sklearn.metrics"]
    assert read.census["sklearn"]["excluded"]["sklearn.metrics.zero_one_loss"]
    described = read.implementations["log_loss/sklearn.metrics.log_loss"]
    assert described["signature"][0]["name"] == "y_true"
    assert any("do not sum to one" in warning for warning in described["warnings"])
    assert read.implementations["l1_loss/sklearn.metrics.mean_absolute_error"]["warnings"] == []


def test_pytest_records_the_same(tmp_path: Path) -> None:
    """Also where pytest-xdist is there to decide the checks in other processes."""
    expected = record_of_sklearn()
    options = ["-n", "2"] if importlib.util.find_spec("xdist") else []
    asked = ["--backend", "sklearn", "--dtype", "float64", "--loss", "log_loss", "--loss", "l1_loss"]
    command = ["-q", "-p", "no:cacheprovider", "--pyargs", "lossparity.conformance", *asked, *options]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command, "--output", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    read = load(tmp_path / "parity.json")
    assert read.census == expected.census
    for key, each in read.implementations.items():
        assert each["warnings"] == expected.implementations[key]["warnings"]
        assert each["signature"] == expected.implementations[key]["signature"]


def a_run(warned_of: list[str], text: str = "reduction") -> Run:
    entry = {
        "backend": "torch",
        "loss": "l1_loss",
        "signature": [
            {"name": "input", "kind": "positional or keyword", "default": None},
            {"name": text, "kind": "keyword-only", "default": "'mean'"},
        ],
        "warnings": warned_of,
    }
    seen = {
        "namespaces": {"torch.nn": ["torch.nn.L1Loss", "torch.nn.NewLoss", "torch.nn.OldLoss", f"torch.nn.{text}"]},
        "uncovered": ["torch.nn.NewLoss"],
        "excluded": {"torch.nn.OldLoss": f"a former {text}"},
    }
    return Run({"backends": {}}, 0, [], [], implementations={"l1_loss/torch.nn.L1Loss": entry}, census={"torch": seen})


def test_merging_hears_all_warnings_and_keeps_the_census() -> None:
    merged = merge([a_run(["W: size (3,)", "W: b"]), a_run([]), a_run(["W: size (#)", "W: a"])])
    assert merged.implementations["l1_loss/torch.nn.L1Loss"]["warnings"] == ["W: a", "W: b", "W: size (#)"]
    assert merged.census == a_run([]).census


def test_the_report_shows_them() -> None:
    page = html.render(a_run(["FutureWarning: soon"])).replace("<wbr>", "")
    assert "L1Loss(input, *, reduction=&#39;mean&#39;)" in page
    assert "<dt>FutureWarning: soon</dt>" in page
    assert 'class="name">NewLoss</span>' in page
    assert 'class="name">OldLoss</span>: <span class="dim">a former reduction</span>' in page


def test_the_report_of_a_record_without_them_has_no_place_for_them() -> None:
    page = html.render(Run({"backends": {}}, 0, [], []))
    assert 'id="frameworks"' not in page


def test_hostile_names_stay_text() -> None:
    bad = "<script>alert(1)</script>"
    page = html.render(a_run([bad], bad)).replace("<wbr>", "")
    assert bad not in page
    assert page.count("&lt;script&gt;alert(1)") >= 4
