"""Which declarations hold for which releases, told without those releases.

What was released when is history, and stands here once more, by hand: from the changelogs, and from runs of the
releases themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from lossparity import adapters
from lossparity.adapters.base import Dialect, Implementation, KnownIssue, Unsupported, covers, named

# backend, installed versions -> what holds for those of them alone: loss, name of the declaration or what is lacking.
HISTORY: tuple[tuple[str, Mapping[str, str], str], ...] = (
    (
        "torch",
        {"torch": "2.0.1"},
        """
        smooth_l1_loss kink-at-beta-0 | smooth_l1_loss kink-at-beta-0-target | binary_cross_entropy any-target
        hinge_embedding_loss subgradient-1 | margin_ranking_loss subgradient-1
        l1_loss no-weight | mse_loss no-weight | huber_loss no-weight
        """,
    ),
    (
        "torch",
        {"torch": "2.5.1+cu121"},
        """
        hinge_embedding_loss subgradient-1 | margin_ranking_loss subgradient-1
        l1_loss no-weight | mse_loss no-weight | huber_loss no-weight
        """,
    ),
    (
        "torch",
        {"torch": "2.13.0"},
        "hinge_embedding_loss subgradient-1 | margin_ranking_loss subgradient-1 | huber_loss mean-over-n",
    ),
    ("torch", {"torch": "2.14.0.dev20260801"}, "huber_loss mean-over-n"),
    ("torchvision", {"torchvision": "0.15.2", "torch": "2.0.1"}, "sigmoid_focal_loss any-alpha"),
    ("torchvision", {"torchvision": "0.22.0", "torch": "2.7.0"}, ""),
    (
        "sklearn",
        {"scikit-learn": "1.1.3"},
        """
        l1_loss mean-of-outputs | mse_loss mean-of-outputs | l1_loss all-weights-0 ZeroDivisionError
        mse_loss all-weights-0 ZeroDivisionError | binary_cross_entropy clip 1e-15 | log_loss clip 1e-15
        binary_cross_entropy any-probability | log_loss any-probability | log_loss renormalize
        """,
    ),
    (
        "sklearn",
        {"scikit-learn": "1.2.2"},
        """
        l1_loss mean-of-outputs | mse_loss mean-of-outputs | l1_loss all-weights-0 ZeroDivisionError
        mse_loss all-weights-0 ZeroDivisionError | binary_cross_entropy clip eps | log_loss clip eps
        binary_cross_entropy any-probability | log_loss any-probability | log_loss renormalize
        """,
    ),
    (
        "sklearn",
        {"scikit-learn": "1.7.0"},
        """
        l1_loss python-float | mse_loss python-float | categorical_hinge_loss python-float
        l1_loss sample-weight-1d | mse_loss sample-weight-1d | l1_loss all-weights-0 ZeroDivisionError
        mse_loss all-weights-0 ZeroDivisionError | binary_cross_entropy clip eps | log_loss clip eps
        """,
    ),
    (
        "sklearn",
        {"scikit-learn": "1.9.1"},
        """
        l1_loss python-float | mse_loss python-float | categorical_hinge_loss python-float
        l1_loss sample-weight-1d | mse_loss sample-weight-1d | l1_loss all-weights-0 ValueError
        mse_loss all-weights-0 ValueError | binary_cross_entropy clip eps | log_loss clip eps
        """,
    ),
)


def history(backend: str, installed: Mapping[str, str]) -> set[str]:
    """What holds for these versions and not for all, in the words of the table above."""
    found = set()
    for each in adapters.load(backend).DECLARED:
        here = each.at(installed)
        if each.versions:
            found.add(f"{each.loss} {'is there' if here.exists else 'is not there'}")
        for dialect in here.dialects:
            if dialect.versions:
                found.add(f"{each.loss} {_words(dialect)}")
        found |= {f"{each.loss} no-weight" for lacking in here.unsupported if lacking.versions}
        bounded = (issue for issue in each.known_issues if "<" in issue.versions)
        found |= {f"{each.loss} {issue.name}" for issue in bounded if covers(issue.versions, installed)}
    return found


def _words(dialect: Dialect) -> str:
    if dialect.name == "clip":
        return "clip 1e-15" if "1e-15, 1" in dialect.reason else "clip eps"
    return f"{dialect.name} {dialect.raises}" if dialect.name == "all-weights-0" else dialect.name


@pytest.mark.parametrize(("backend", "installed", "wanted"), HISTORY)
def test_what_an_old_release_did_is_told_without_it(backend: str, installed: Mapping[str, str], wanted: str) -> None:
    if adapters.BACKENDS[backend].missing():
        pytest.skip(f"{backend} is not installed")
    lines = (line.split("|") for line in wanted.splitlines())
    assert history(backend, installed) == {entry.strip() for line in lines for entry in line} - {""}


KERAS = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from lossparity import adapters
answers = []
for version in sys.argv[1:]:
    names = []
    for each in adapters.load("keras").DECLARED:
        here = each.at({"keras": version, "tensorflow": "2.15.1"})
        if each.loss in ("huber_loss", "cross_entropy", "dice_loss", "log_softmax"):
            names += [[each.name, here.exists, *(d.name for d in here.dialects if d.versions),
                       *(u.reason for u in here.unsupported if u.versions)]]
    answers.append(names)
print(json.dumps(answers))
"""
FLOATX = "it computes in floatx alone; its classes take a dtype since Keras 3.4"
MEAN = "no mean divides by the weights before Keras 3.7"
KERAS_HISTORY = {
    "2.15.0": {
        "keras.activations.log_softmax": [False],
        "keras.losses.Huber": [True, "aligned-ranks", "no-samples", "floatx", MEAN],
        "keras.losses.huber": [True, "floatx"],
        "keras.losses.SparseCategoricalCrossentropy": [True, "no-scalar-mask", MEAN],
        "keras.losses.Dice": [False, MEAN],
    },
    "3.0.4": {
        "keras.activations.log_softmax": [True],
        "keras.losses.Huber": [True, "aligned-ranks", FLOATX, MEAN],
        "keras.losses.huber": [True, "aligned-ranks"],
        "keras.losses.SparseCategoricalCrossentropy": [True, FLOATX, MEAN],
        "keras.losses.Dice": [False, FLOATX, MEAN],
    },
    "3.4.1": {
        "keras.losses.Huber": [True, "aligned-ranks", MEAN],
        "keras.losses.SparseCategoricalCrossentropy": [True, "count-plus-epsilon", MEAN],
        "keras.losses.Dice": [True, MEAN],
    },
    "3.13.0": {
        "keras.losses.Huber": [True, "aligned-ranks", "no-weight"],
        "keras.losses.SparseCategoricalCrossentropy": [True],
        "keras.losses.Dice": [True],
    },
}


def test_what_an_old_keras_did_is_told_without_it() -> None:
    if adapters.BACKENDS["keras"].missing():
        pytest.skip("keras is not installed")
    done = subprocess.run(
        [sys.executable, "-c", KERAS, *KERAS_HISTORY], capture_output=True, text=True, check=True, timeout=300
    )
    for found, wanted in zip(json.loads(done.stdout.splitlines()[-1]), KERAS_HISTORY.values(), strict=True):
        told = {name: rest for name, *rest in found}
        assert {name: told[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("versions", "holds"),
    [
        ("", True),
        (">=2.1", True),
        (">=2.1,<2.14", False),
        ("!=2.14.*", False),
        ("==2.14.*", True),
        ("other>=1", True),
        ("other<1", False),
        (">=2.1 and other>=1", True),
        (">=2.1 and other <1", False),
        ("absent>=0", False),
        ("built>=2", True),
    ],
)
def test_a_range_is_of_the_first_package_or_of_the_one_it_names(versions: str, holds: bool) -> None:
    assert covers(versions, {"first": "2.14.1+cpu", "other": "1.0", "built-cpu": "2.0"}) is holds


@pytest.mark.parametrize("version", ["2.14.0.dev20260801+cpu", "2.14.0rc1", "2.14.0a0"])
def test_a_pre_release_counts_as_its_release(version: str) -> None:
    assert covers(">=2.14", {"torch": version})
    assert not covers("<2.14", {"torch": version})


def test_nothing_installed_is_version_0() -> None:
    assert named("", {}) == "0"
    assert covers("<1", {})


@pytest.mark.parametrize("bad", ["2.1", "=>2.1", ">=2.1 or <3", "torch 2.1"])
@pytest.mark.parametrize(
    "declare",
    [
        lambda versions: Dialect("a", "A.", "https://a", {}, versions=versions),
        lambda versions: KnownIssue("a", "A.", "https://a", versions, "nan"),
        lambda versions: Unsupported("a", lambda _: True, versions),
        lambda versions: Implementation("mse_loss", "a.b", lambda: None, (), versions=versions),
    ],
)
def test_a_range_that_does_not_read_is_refused_where_it_stands(bad: str, declare: object) -> None:
    with pytest.raises(ValueError, match="does not read: write a range"):
        declare(bad)  # type: ignore[operator]
