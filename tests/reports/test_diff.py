"""What became of a check: every kind of change, provoked by two records of a few lines, and what is said of it."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import NAME, check, run

import lossparity
from lossparity.conformance import record
from lossparity.conformance.record import Check, Checks, Run
from lossparity.reports import diff as comparing
from lossparity.reports import formats
from lossparity.reports.alike import Alike, alike
from lossparity.reports.changes import KINDS, RAN, Finding
from lossparity.reports.comparability import IncomparableError
from lossparity.reports.diff import Diff, compare, narrow, packages_changed
from lossparity.reports.movement import DRIFT_MARGIN, DRIFT_ULP, movement
from lossparity.reports.signatures import signature_changes
from lossparity.reports.words import told_apart

NAN, INF = math.nan, math.inf


def kind_of(before: Check | None, after: Check | None) -> str:
    """What becomes of one check in a record that has another one besides, which is unchanged."""
    other = check("other/float64/value", name="toy.losses.other")
    both = {f"mse_loss/{NAME}": {"backend": "toy"}}
    diff = compare(
        run(*filter(None, [before, other]), implementations=both),
        run(*filter(None, [after, other]), implementations=both),
    )
    counts = dict(diff.counts)
    counts["unchanged"] -= 1
    left = [kind for kind, n in counts.items() if n]
    assert len(left) <= 1
    return left[0] if left else "ignored"


def only(diff: Diff) -> Finding:
    assert len(diff.findings) == 1, [finding.says for finding in diff.findings]
    return diff.findings[0]


# --- Kinds: (before, after, what becomes of it)

VALUE = "plain/float64/value"
RAISED = {"result": "ValueError", "limits": None, "error_ulp": None, "margin": None}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (check(), check(), "unchanged"),
        # Verdicts.
        (check(), check(verdict="mismatch", result=[2.0]), "regressed"),
        (check(), check(verdict="error", **RAISED), "regressed"),
        (check(), check(verdict="crashed"), "regressed"),
        (check(verdict="dialect", declared=["d"]), check(verdict="mismatch", result=[2.0]), "regressed"),
        (check(verdict="known", declared=["k"]), check(verdict="mismatch", result=[2.0]), "regressed"),
        (check(verdict="mismatch", result=[2.0]), check(), "fixed"),
        (check(verdict="error", **RAISED), check(), "fixed"),
        (check(verdict="known", declared=["k"], result=[NAN]), check(), "fixed"),
        (check(), check(verdict="known", declared=["k"], result=[NAN]), "changed"),
        (check(), check(verdict="dialect", declared=["d"], result=[2.0]), "changed"),
        (check(), check(verdict="lossy", declared=["d"], result=[1.2], limits=[9.0]), "regressed"),
        (check(verdict="dialect", declared=["e"]), check(verdict="lossy", declared=["d"], result=[1.2]), "regressed"),
        (check(), check(verdict="lossy", declared=["d"], result=[1.001], limits=[9.0]), "regressed"),
        (check(verdict="lossy", declared=["d"], result=[1.2], limits=[9.0]), check(), "fixed"),
        (check(verdict="lossy", declared=["d"], result=[1.2], limits=[9.0]),
         check(verdict="dialect", declared=["e"]), "fixed"),
        (check(verdict="known", declared=["k"], result=[NAN]), check(verdict="lossy", declared=["d"]), "changed"),
        (check(verdict="lossy", declared=["d"]), check(verdict="lossy", declared=["d"], result=[1.001]), "rounding"),
        (check(verdict="lossy", declared=["d"]), check(verdict="mismatch", result=[2.0]), "regressed"),
        # Another word for the same numbers: what is declared changed, not the framework.
        (check(verdict="mismatch"), check(verdict="known", declared=["k"]), "unchanged"),
        (check(verdict="mismatch"), check(verdict="match", result=[1.001]), "rounding"),
        (check(verdict="known", declared=["k"]), check(), "unchanged"),
        (check(verdict="error", **RAISED), check(verdict="dialect", declared=["d"], **RAISED), "unchanged"),
        (check("plain/float64/shape", "mismatch", result={"value": [3]}),
         check("plain/float64/shape", "known", declared=["k"], result={"value": [3]}), "unchanged"),
        (check(verdict="mismatch", result=[1.0] * 16, limits=[0.01] * 16),
         check(verdict="known", result=[1.0] * 16, limits=[0.01] * 16, declared=["k"]), "fixed"),  # some are not kept
        (check(verdict="known", declared=["k"], result=None), check(result=None), "fixed"),
        (check(verdict="dialect", declared=["d"], result=[2.0]), check(), "changed"),
        (check(verdict="mismatch", result=[2.0]), check(verdict="mismatch", result=[2.0]), "unchanged"),
        (check(verdict="mismatch", result=[2.0]), check(verdict="mismatch", result=[3.0]), "changed"),
        (check(verdict="mismatch", result=[2.0]), check(verdict="error", **RAISED), "changed"),
        (check(verdict="known", result=[2.0]), check(verdict="known", result=[3.0]), "changed"),
        # Whether it ran.
        (check(), check(verdict="unsupported"), "stopped"),
        (check(), check(verdict="not-run"), "stopped"),
        (check(), check(verdict="timeout"), "stopped"),
        (check(verdict="mismatch"), check(verdict="crashed"), "stopped"),
        (check(), None, "missing"),
        (None, check(), "added"),
        (check(verdict="unsupported"), check(), "added"),
        (check(verdict="not-run"), check(), "added"),
        (check(verdict="unsupported"), check(verdict="unsupported"), "unchanged"),
        (check(verdict="unsupported"), None, "ignored"),
        (None, check(verdict="unsupported"), "ignored"),
        # Numbers, in tolerances.
        (check(), check(result=[1.009]), "rounding"),
        (check(), check(result=[1.011]), "changed"),
        (check(), check(result=[1.011], limits=[0.02]), "rounding"),
        (check(limits=[0.02]), check(result=[1.011]), "rounding"),
        (check(result=[1.0, 5.0], limits=[9.0, 0.1]), check(result=[1.0, 5.2], limits=[9.0, 0.1]), "changed"),
        (check(result=[1.0, 5.0], limits=[9.0, 0.1]), check(result=[2.0, 5.0], limits=[9.0, 0.1]), "rounding"),
        (check(), check(result=[1.0, 1.0], limits=[1.0, 1.0]), "changed"),
        (check(), check(result=[NAN]), "changed"),
        (check(result=["nan"]), check(result=[NAN]), "unchanged"),
        (check(result=["inf"]), check(result=[INF]), "unchanged"),
        (check(result=[INF]), check(result=[-INF]), "changed"),
        (check(result=[INF], limits=[INF]), check(result=[1e300], limits=[INF]), "changed"),
        (check(result=[1.0], limits=["nan"]), check(result=[1.0 + 2**-52], limits=["nan"]), "rounding"),
        (check(result=[1.0], limits=["nan"]), check(result=[1.0 + 2**-40], limits=["nan"]), "changed"),
        (check("plain/float32/value", limits=None), check("plain/float32/value", limits=None, result=[1.000001]),
         "rounding"),
        # What is no number.
        (check("plain/float64/dtype", result={"value": "float64"}),
         check("plain/float64/dtype", result={"value": "float32"}), "changed"),
        (check("plain/float64/shape", result={"value": []}), check("plain/float64/shape", result={"value": [1]}),
         "changed"),
        (check("bad/float64/error", result="ValueError"), check("bad/float64/error", result="TypeError"), "changed"),
        (check("bad/float64/error", result="ValueError", reason="raised ValueError: n = 1"),
         check("bad/float64/error", result="ValueError", reason="raised ValueError: n = 2"), "unchanged"),
        (check(verdict="dialect", declared=["d"], **RAISED), check(verdict="dialect", declared=["d"]), "changed"),
        # The border of a tolerance: numbers that are all there tell; of a long result some are missing.
        (check(), check(verdict="dialect", declared=["d"], result=[1.009]), "rounding"),
        (check(verdict="dialect", declared=["d"]), check(verdict="dialect", declared=["e"]), "unchanged"),
        (check(result=[1.0] * 16, limits=[0.01] * 16),
         check(verdict="dialect", declared=["d"], result=[1.0] * 16, limits=[0.01] * 16), "changed"),
        (check("plain/float64/twin"), check("plain/float64/twin", "dialect", declared=["d"]), "changed"),
        # Drift: four times the error, beyond what honest kernels show.
        (check(margin=0.1), check(margin=0.39), "unchanged"),
        (check(margin=0.1), check(margin=0.41), "drifted"),
        (check(margin=0.01), check(margin=DRIFT_MARGIN - 0.01), "unchanged"),
        (check(margin=0.0), check(margin=DRIFT_MARGIN), "drifted"),
        (check(margin=0.3), check(margin=0.3, error_ulp=5.0), "drifted"),
        (check(error_ulp=1.0), check(error_ulp=DRIFT_ULP), "unchanged"),
        (check(error_ulp=1.0), check(error_ulp=DRIFT_ULP + 1), "drifted"),
        (check(error_ulp=10.0), check(error_ulp=39.0), "unchanged"),
        (check(error_ulp=1.0, margin=0.5), check(error_ulp=0.5, margin=0.1), "unchanged"),
        (check(verdict="mismatch", margin=2.0), check(verdict="mismatch", margin=20.0), "unchanged"),
        # Whether a declaration is needed is the suite's affair; what the framework does the other checks say.
        (check("any/any/dialect:d", "dialect"), check("any/any/dialect:d", "stale"), "fixed"),
        (check("any/any/dialect:d", "known"), check("any/any/dialect:d", "unsupported"), "unchanged"),
        (check("any/any/dialect:d", "known"), None, "ignored"),
        (None, check("any/any/dialect:d", "known"), "ignored"),
    ],
)  # fmt: skip
def test_kinds(before: Check | None, after: Check | None, kind: str) -> None:
    assert kind_of(before, after) == kind


def test_drift_is_measured_against_the_implementations_own_errors() -> None:
    noisy = check("noisy/float64/value", error_ulp=1e6)
    before, after = run(noisy, check(error_ulp=1.0)), run(noisy, check(error_ulp=1e5))
    assert compare(before, after).counts == {"unchanged": 2}
    assert compare(run(check(error_ulp=1.0)), run(check(error_ulp=1e5))).counts == {"drifted": 1}


def test_the_factor_of_a_drift_can_be_set() -> None:
    before, after = run(check(margin=0.1)), run(check(margin=0.7))
    assert compare(before, after).counts == {"drifted": 1}
    assert compare(before, after, drift_factor=8.0).counts == {"unchanged": 1}


def test_a_call_that_is_no_longer_offered_stopped_with_all_its_aspects() -> None:
    aspects = ("shape", "dtype", "value", "gradient:input")
    before = run(*(check(f"plain/float64/{aspect}") for aspect in aspects))
    after = run(check(verdict="unsupported", reason="this version has no square"), check("other/float64/value"))
    finding = next(each for each in compare(before, after).findings if each.kind == "stopped")
    assert len(finding.changes) == len(aspects)
    assert not finding.incomplete
    assert "this version has no square" in finding.says


def test_an_implementation_that_is_gone_is_removed_and_one_left_out_is_missing() -> None:
    other = check(name="toy.losses.other")
    before, after = run(check(), other), run(other)
    removed = only(compare(before, after))
    assert (removed.kind, removed.incomplete) == ("removed", False)
    assert NAME in removed.says
    after.implementations = before.implementations
    missing = only(compare(before, after))
    assert (missing.kind, missing.incomplete) == ("missing", True)


def test_a_backend_that_did_not_run_is_one_finding() -> None:
    losses = [check(loss=f"loss{i}", backend="gone") for i in range(5)]
    missing = only(compare(run(check(), *losses), run(check())))
    assert (missing.kind, missing.backend, missing.loss, len(missing.changes)) == ("missing", "gone", "*", 5)


def test_a_crash_is_a_regression_and_what_it_left_undone_stopped() -> None:
    after = run(check(verdict="crashed"), check("b/float64/value", "not-run", reason="toy crashed before this check"),
                check("c/float64/value"))  # fmt: skip
    diff = compare(run(check(), check("b/float64/value"), check("c/float64/value")), after)
    assert [(each.kind, each.incomplete) for each in diff.findings] == [("regressed", True), ("stopped", True)]


# --- The same is the same


def hostile_result(rng: random.Random) -> Any:
    numbers = [rng.uniform(-1e3, 1e3), 0.0, -0.0, NAN, INF, -INF, 5e-324, 1e308]
    return rng.choice([None, "ValueError", {"value": [1, 2]}, [rng.choice(numbers) for _ in range(rng.randint(0, 16))]])


@pytest.mark.parametrize("seed", range(20))
def test_a_record_compared_with_itself_is_unchanged(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)  # noqa: S311  no secret
    verdicts = list(record.VERDICTS)
    checks = []
    for i in range(200):
        result = hostile_result(rng)
        limits = [rng.choice([1e-12, 0.0, NAN, INF]) for _ in result] if isinstance(result, list) else None
        checks.append(check(f"c{i}/float32/value", rng.choice(verdicts), result=result, limits=limits,
                            margin=rng.choice([None, 0.5, INF]), error_ulp=rng.choice([None, 3.0, INF])))  # fmt: skip
    fresh = run(*checks)
    for before, after in ((fresh, fresh), (fresh, lossparity.load(record.save(fresh, tmp_path / "r.json.gz")))):
        diff = compare(before, after)
        assert diff.counts == {"unchanged": 200}
        assert not diff.findings


def test_movement_counts_in_tolerances() -> None:
    assert movement(check(), check(result=[1.005])) == pytest.approx(0.5)
    assert movement(check(), check(result=[1.04], limits=[0.02])) == pytest.approx(2.0)
    assert movement(check(limits=[0.0], result=[0.0]), check(limits=[0.0], result=[1e-300])) > 1
    assert movement(check(result=["what", "is", "this"]), check()) == INF


# --- What compares


def test_records_of_another_seed_are_refused() -> None:
    with pytest.raises(IncomparableError, match=r"old ran with seed 0 and new with seed 1.*--seed 0"):
        compare(run(check()), dataclasses.replace(run(check()), seed=1), names=("old", "new"))


def test_records_of_other_data_are_refused() -> None:
    with pytest.raises(IncomparableError, match="other cases"):
        compare(run(check()), dataclasses.replace(run(check()), data="other"))


@pytest.mark.parametrize("there", [{"machine": "arm64"}, {"platform": "macOS-14.5-arm64"}])
def test_another_kind_of_machine_is_refused_unless_asked_for(there: dict[str, str]) -> None:
    before, after = run(check()), run(check(), environment=there)
    with pytest.raises(IncomparableError, match="--other-machine"):
        compare(before, after)
    assert "not every change is the upgrade's" in compare(before, after, other_machine=True).notes[0]


def test_another_release_of_the_same_system_compares() -> None:
    assert compare(run(check()), run(check(), environment={"platform": "Linux-5.4"})).notes == []


def test_another_python_is_noted() -> None:
    (note,) = compare(run(check()), run(check(), environment={"python": "3.13"}), names=("a", "b")).notes
    assert note == "Python 3.12 in a, 3.13 in b"


def test_a_part_of_a_record() -> None:
    whole = run(check(), check(backend="other", name="other.x"))
    whole.census = {"toy": {}, "other": {}}
    part = narrow(whole, ["other"])
    assert {each.backend for each in part.checks} == {"other"}
    assert list(part.backends) == list(part.census) == list(part.environment["backends"]) == ["other"]
    assert list(part.implementations) == ["mse_loss/other.x"]
    assert len(whole.checks) == len(narrow(whole, []).checks) == 2


# --- Causes, in words


def test_changes_of_one_cause_are_one_finding_the_worst_first() -> None:
    def checks(value: float, gradient: float, other: float) -> list[Check]:
        return [
            *(check(f"c{i}/{dtype}/value", result=[value + i]) for i in range(6) for dtype in ("float32", "float64")),
            check("c/float64/gradient:input", result=[gradient]),
            check(loss="l1_loss", result=[other]),
            check(name="toy.losses.Square", result=[value]),
        ]

    diff = compare(run(*checks(1, 1, 1)), run(*checks(1.5, 9, 1.2)))
    found = [(each.loss, each.aspect, len(each.changes)) for each in diff.findings]
    assert found == [("mse_loss", "gradient:input", 1), ("mse_loss", "value", 13), ("l1_loss", "value", 1)]
    assert diff.findings[1].implementations == (NAME, "toy.losses.Square")


def test_the_sentence_has_the_numbers_the_input_and_the_reason() -> None:
    def made(dialect: str, got: float, about: str, many: int) -> Run:
        worst = {"index": [0], "got": got, "want": 9.0, "tolerance": 1e-9, "at": {"y_pred": 0.0, "y_true": 1.0}}
        checks = [
            check(f"c{i}/float64/value", "dialect", loss="log_loss", name="sklearn.metrics.log_loss", backend="sklearn",
                  declared=[dialect], result=[got], worst=worst) for i in range(many)
        ]  # fmt: skip
        described = {"backend": "sklearn", "dialects": [{"name": dialect, "reason": about}]}
        return run(*checks, implementations={"log_loss/sklearn.metrics.log_loss": described})

    before = made("clip-1e-15", 34.538776394910684, "Probabilities are clipped at 1e-15.", 12)
    after = made("clip-eps", 36.04365338911715, "Probabilities are clipped at the dtype's eps.", 12)
    finding = only(compare(before, after))
    assert finding.says == (
        "log_loss, value: 34.539 became 36.044 at y_pred = 0, y_true = 1 (12 checks). "
        "Now clip-eps: Probabilities are clipped at the dtype's eps. "
        "No longer clip-1e-15: Probabilities are clipped at 1e-15."
    )


def test_a_dialect_of_one_name_with_another_reason_is_told() -> None:
    def made(result: float, reason: str) -> Run:
        about = {"backend": "toy", "dialects": [{"name": "clip", "reason": reason}]}
        one = check(verdict="dialect", declared=["clip"], result=[result])
        return run(one, implementations={f"mse_loss/{NAME}": about})

    assert "Now clip: at eps." in only(compare(made(1.0, "at 1e-15."), made(2.0, "at eps."))).says


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (check(), check(verdict="error", reason="raised TypeError: no x", **{**RAISED, "result": "TypeError"}),
         "mse_loss: now raises TypeError: no x, gave 1 before (1 check); was match, now error"),
        (check(verdict="dialect", **RAISED), check(verdict="dialect"), "mse_loss: gives 1, raised ValueError before"),
        (check("bad/float64/error", result="ValueError"), check("bad/float64/error", result="TypeError"),
         "mse_loss, error: raises TypeError, raised ValueError before (1 check)"),
        (check("bad/float64/error", "dialect", result=[0.5]),
         check("bad/float64/error", result="ValueError", reason="raised ValueError: bad"),
         "mse_loss, error: now raises ValueError: bad, gave 0.5 before"),
        (check(), check(verdict="known", result=[NAN]), "1 became nan (1 check); was match, now known"),
        (check("p/float64/dtype", result={"value": "float64", "gradient:input": "float64"}),
         check("p/float64/dtype", result={"value": "float32", "gradient:input": "float64"}),
         "mse_loss, dtype: value is float32, was float64"),
        (check("p/float64/shape", result={"value": [3]}), check("p/float64/shape", result={"value": [3, 3]}),
         "mse_loss, shape: value is (3, 3), was (3,)"),
        (check("p/float64/shape", result={"value": [3]}), check("p/float64/shape", result={"value": []}),
         "value is (), was (3,)"),
        (check("p/float64/gradient:input", result=[-1.0]), check("p/float64/gradient:input", result=[0.0]),
         "mse_loss, gradient of input: -1 became 0 (1 check)"),
        (check(margin=0.1, error_ulp=1.0), check(margin=0.7, error_ulp=7.0),
         "mse_loss, value: error 1 ULP became 7 ULP, 0.1 of the tolerance became 0.7 (1 check)"),
        # In ULP it says nothing where the true result is 0, or where no digit is left.
        (check("p/float32/value", result=[0.0], margin=0.0, error_ulp=0.0),
         check("p/float32/value", result=[1e-7], limits=[1e-6], margin=0.125, error_ulp=8.5e37,
               worst={"index": [], "got": 1e-7, "want": 0.0, "at": {"y": 1.0}}),
         "mse_loss, value: 1e-07 where 0 is right, was 0; 0 of the tolerance became 0.125 at y = 1 (1 check)"),
        (check("p/float32/value", result=[7e-21], limits=[1e-19], margin=0.0, error_ulp=0.0),
         check("p/float32/value", result=[0.0], limits=[1e-19], margin=0.3, error_ulp=2.0**24,
               worst={"index": [3], "got": 0.0, "want": 7e-21, "at": {}}),
         "0 where 7e-21 is right, was 7e-21: no digit is left; 0 of the tolerance became 0.3 (1 check)"),
        (check("p/float32/value", margin=0.0, error_ulp=1.0),
         check("p/float32/value", margin=0.3, error_ulp=2.0**22, worst={"got": 1.0, "want": 1.5}),
         "error 1 ULP became 4.1943e+06 ULP, 0 of the tolerance became 0.3"),
        (check(), check(verdict="unsupported", reason="it is gone"),
         "mse_loss: 1 check no longer runs; was match, now unsupported: it is gone"),
        (check("any/any/dialect:d", "known"), check("any/any/dialect:d", "stale", reason="no case shows it"),
         "mse_loss: d no longer shows: no case shows it"),
        (check(verdict="unsupported"), check(verdict="mismatch"),
         "mse_loss: 1 check did not run before, 1 of which breaks parity"),
    ],
)  # fmt: skip
def test_words(before: Check, after: Check, words: str) -> None:
    other = check("other/float64/value", name="toy.losses.other")
    assert words in only(compare(run(before, other), run(after, other))).says


def test_missing_checks_say_how_the_candidate_was_run() -> None:
    before, after = run(check(), check("b/float64/value")), run(check())
    before.selection, after.selection = {"losses": []}, {"losses": ["mse_loss"]}
    after.command = ["lossparity", "run", "--loss", "mse_loss"]
    says = only(compare(before, after, names=("old.json", "new.json"))).says
    assert says == "mse_loss: 1 check of old.json is not in new.json; it was run with `lossparity run --loss mse_loss`"


def test_missing_checks_say_why_their_backend_did_not_run() -> None:
    reason = "torch is not installed: python -m pip install torch"
    absent = {"torch": {"status": "not-run", "asked": True, "reason": reason}}
    says = only(compare(run(check(), check(backend="torch", name="torch.x")), run(check(), backends=absent))).says
    assert says == f"torch: 1 check of before is not in after: {reason}"


def test_numbers_are_told_apart() -> None:
    assert told_apart(34.538776, 36.043653) == ("34.539", "36.044")
    assert told_apart(1.0, 1.0 + 2**-52) == ("1", "1.0000000000000002")
    assert told_apart(0.0, NAN) == ("0", "nan")


def test_the_example_is_one_whose_input_is_a_number() -> None:
    def made(small: float, large: float) -> Run:
        worst = {"index": [0], "got": small, "at": {"input": 0.5}}
        return run(check("a/float64/value", result=[small], worst=worst), check("b/float64/value", result=[large]))

    assert "1 became 2 at input = 0.5 (2 checks)" in only(compare(made(1.0, 1.0), made(2.0, 99.0))).says


# --- Upgrades


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"torch": "2.9", "numpy": "1"}, {"torch": "2.12", "numpy": "2"}, "torch 2.9 to 2.12"),
        ({"torch": "2.9", "numpy": "1"}, {"torch": "2.9", "numpy": "2"}, "numpy 1 to 2"),
        ({"torch": "2.9", "numpy": "1"}, {"torch": "2.9", "numpy": "1"}, "torch 2.9 again"),
    ],
)
def test_the_upgrade_in_words(before: dict[str, str], after: dict[str, str], words: str) -> None:
    runs = [run(check(), environment={"backends": {"toy": {"packages": each}}}) for each in (before, after)]
    assert compare(*runs).upgrade == words


def on(backend: str, engine: str) -> Run:
    one = {"packages": {"keras": "3.15"}, "engine": {"name": engine, "version": "1"}}
    return run(dataclasses.replace(check(), backend=backend), environment={"backends": {backend: one}})


def test_another_engine_is_no_same_version() -> None:
    """Of one backend that came to run on another, and of one library's backends on two."""
    moved = compare(on("keras", "torch"), on("keras", "jax"))
    assert moved.upgrade == "keras on torch to keras on jax"
    assert packages_changed(moved.before, moved.after) == ["keras on torch to keras on jax"]
    two = compare(on("keras-torch", "torch"), on("keras-jax", "jax"), names=("old", "new"))
    assert packages_changed(two.before, two.after) == ["keras-torch in old alone", "keras-jax in new alone"]
    page = formats.html(formats.Comparison(two))
    for words in ("keras-torch", "keras-jax", "<td>torch</td>", "<td><b>jax</b></td>"):
        assert words in page
    same = compare(on("keras", "jax"), on("keras", "jax"))
    assert packages_changed(same.before, same.after) == []


# --- Signatures: (before, after, kinds and words)


def parameters(text: str) -> dict[str, Any]:
    """x, y=1, *, z=2 as a recorded signature."""
    found, kind = [], "positional or keyword"
    for word in filter(None, text.split(", ")):
        name, _, default = word.partition("=")
        if word == "*":
            kind = "keyword-only"
        elif word.startswith("**"):
            found.append({"name": name[2:], "kind": "variadic keyword", "default": None})
        else:
            found.append({"name": name, "kind": kind, "default": default or None})
    return {"signature": found}


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("x, y=1", "x, y=1", []),
        ("x, y=1", "x", [("signature", "argument y is gone")]),
        ("x, eps=1", "x, epsilon=1", [("signature", "argument eps is now called epsilon")]),
        ("x, y", "y, x", [("signature", "its arguments have another order: y, x; was x, y")]),
        ("x, y=1", "x, y=2", [("signature", "the default of y is 2, was 1")]),
        ("x, y=1", "x, y", [("signature", "argument y must be given; its default was 1")]),
        ("x, y", "x, y=1", [("extended", "argument y has a default: 1")]),
        ("x", "x, y=1", [("extended", "new argument y=1")]),
        ("x", "x, *, y=1", [("extended", "new argument y=1")]),
        ("x", "x, y", [("signature", "new argument y must be given")]),
        ("x, z=1", "x, y=1, z=1", [("signature", "new argument y=1 stands before z")]),
        ("x, y=1", "x, *, y=1", [("signature", "argument y is keyword-only, was positional or keyword")]),
        ("x, *, y=1", "x, y=1", []),
        ("x", "x, **rest", [("extended", "it takes rest of any number")]),
        ("x, **rest", "x", [("signature", "argument rest is gone")]),
    ],
)
def test_signatures(before: str, after: str, changes: list[tuple[str, str]]) -> None:
    assert list(signature_changes(parameters(before), parameters(after))) == changes


def test_a_signature_that_cannot_be_seen_is_not_compared() -> None:
    assert not list(signature_changes({"signature": None}, parameters("x")))
    assert not list(signature_changes(parameters("x"), {}))


def test_one_entry_point_of_several_losses_is_one_finding() -> None:
    def made(text: str) -> Run:
        about = {"backend": "toy", **parameters(text)}
        return run(check(), implementations={f"{loss}/{NAME}": about for loss in ("mse_loss", "l1_loss")})

    finding = only(compare(made("x, eps=1"), made("x")))
    assert (finding.kind, finding.losses) == ("signature", ("mse_loss", "l1_loss"))
    assert finding.says == f"{NAME}: argument eps is gone"


# --- Warnings and the census


def test_only_new_warnings_are_told_and_numbers_in_them_do_not_count() -> None:
    def made(*texts: str) -> Run:
        return run(check(), implementations={f"mse_loss/{NAME}": {"backend": "toy", "warnings": texts}})

    before = made("UserWarning: size 3 differs")
    assert not compare(before, made("UserWarning: size 12 differs")).findings
    assert not compare(before, made()).findings
    finding = only(compare(before, made("UserWarning: size 3 differs", "FutureWarning: square goes away")))
    assert (finding.kind, finding.says) == ("warning", f"{NAME}: FutureWarning: square goes away")


def test_the_census_tells_what_came_and_what_went() -> None:
    def made(*losses: str) -> Run:
        return run(check(), census={"toy": {"namespaces": {"toy.losses": list(losses)}}})

    diff = compare(made("toy.losses.a", "toy.losses.b"), made("toy.losses.b", "toy.losses.c"))
    assert [each.says for each in diff.findings] == ["toy.losses offers c", "toy.losses no longer offers a"]
    assert {each.kind for each in diff.findings} == {"census"}
    assert not compare(run(check()), made("toy.losses.a")).findings  # one that was not counted before


def test_every_kind_has_its_words() -> None:
    assert all(len(row) == 4 and all(row) for row in KINDS.values())


def test_what_is_alike_is_what_a_look_at_each_check_finds_alike() -> None:
    """The columns' way to what is unchanged or rounding, against the rules check by check, on every sort of pair."""
    draw = random.Random(11)  # noqa: S311  made-up numbers
    sides: tuple[list[Check], list[Check]] = ([], [])
    for i in range(4_000):
        aspect = draw.choice(["value", "gradient:input", "shape", "dialect:d"])
        size = draw.choice([0, 1, 3, 16])
        common: list[float] = [draw.choice([0.0, -0.0, 1.0, 1e-30, math.nan, math.inf]) for _ in range(size)]
        limits = draw.choice([[0.01] * size, [0.01] * (size // 2), [math.inf] * size, None])
        verdicts = ["match"] * 6 + ["dialect", "known", "mismatch", "error", "stale", "unsupported"]
        shared = {
            "verdict": draw.choice(verdicts),
            "error_ulp": 1.0,
            "margin": 0.1,
            "declared": draw.choice([[], ["d"]]),
        }
        dtype = draw.choice(["float64", "float32"])
        for side in sides:
            shifts = [draw.choice([0.0, 0.0, 0.0, 0.005, 1e-16, 0.02 * (i % 4 == 0)]) for _ in common]
            result: Any = [x + shift for x, shift in zip(common, shifts, strict=True)]
            if aspect not in ("value", "gradient:input") or draw.random() < 0.05:
                result = draw.choice([None, {"value": [2]}, {"value": [2]}, {"value": [3]}, "ValueError"])
            own = {
                "verdict": draw.choice(verdicts), "declared": draw.choice([[], ["d"]]),
                "error_ulp": draw.choice([None, 0.0, 1.0, 5.0, 30.0, 900.0, math.nan, math.inf]),
                "margin": draw.choice([None, 0.0, 0.1, 0.2, 0.3, 0.9, math.inf]),
            }  # fmt: skip
            rest: dict[str, Any] = {name: own[name] if draw.random() < 0.1 else each for name, each in shared.items()}
            one = check(
                f"c{i}/{dtype}/{aspect}",
                loss=f"loss_{i % 3}",
                name=f"toy.{i % 5}",
                result=result,
                limits=limits,
                **rest,
            )
            if draw.random() < 0.95:
                side.append(one if draw.random() < 0.97 else dataclasses.replace(one, id=f"odd/{i}"))
    draw.shuffle(sides[1])
    before, after = run(*sides[0]), run(*sides[1])
    a, b = (Checks.of(each.checks) for each in (before, after))
    found = alike(a, b, 4.0)
    nothing = Alike(np.zeros(len(a), bool), np.zeros(len(b), bool))
    slowly = list(comparing._changes(before, after, nothing, 4.0))
    quickly = list(comparing._changes(before, after, found, 4.0))
    assert found.unchanged > 300
    assert found.rounding > 100
    counts = Counter(change.kind for change in quickly)
    counts.update({"unchanged": found.unchanged, "rounding": found.rounding})
    assert counts == Counter(change.kind for change in slowly)
    loud = {change.check.id: (change.kind, repr(change.size)) for change in quickly}
    assert loud.items() <= {change.check.id: (change.kind, repr(change.size)) for change in slowly}.items()
    ran = [c for c in slowly if c.before and c.after and {c.before.verdict, c.after.verdict} <= RAN]
    assert compare(before, after).compared == len(ran)
