"""One finding is one cause: what belongs together, what does not, and in which order it is shown."""

from __future__ import annotations

import math
from typing import Any

import pytest
from records import check, run

from lossparity.conformance.record import Check, Run
from lossparity.reports.changes import Finding, in_turn, without_numbers
from lossparity.reports.diff import Diff, compare

NAN = math.nan
OTHER = check("other/float64/value", name="toy.losses.other")
RAISED = {"result": "ValueError", "limits": None, "error_ulp": None, "margin": None}


def declared(*checks: Check, **about: str) -> Run:
    """A record of these checks, whose implementations declare these dialects; issues where the name begins with k_."""
    each = {
        "backend": "toy",
        "dialects": [{"name": name, "reason": why} for name, why in about.items() if name[:2] != "k_"],
        "known_issues": [{"name": name, "reason": why} for name, why in about.items() if name[:2] == "k_"],
    }
    described = {f"{check.loss}/{check.implementation}": each for check in checks}
    return run(*checks, OTHER, implementations=described)


def of(loss: str, where: str = "plain/float64/value", verdict: str = "match", **rest: Any) -> Check:
    return check(where, verdict, loss=loss, name=f"toy.losses.{loss.title()}", **rest)


def causes(diff: Diff) -> list[tuple[str, tuple[str, ...], int]]:
    return [(each.kind, each.losses, len(each.changes)) for each in diff.findings]


# --- One finding is one cause


def test_each_declaration_that_begins_is_a_finding_of_its_own() -> None:
    """Keras 2.15 to 3.0: the smoothing's axis, all labels ignored, and no samples were one finding that told one."""
    about = {"k_smoothing": "Divided by the wrong axis.", "all_ignored": "Is 0.", "k_empty": "Is not reduced."}
    before = declared(
        of("cross_entropy", "smooth/float64/value"),
        of("cross_entropy", "smooth/float64/gradient:input"),
        of("cross_entropy", "ignored/float64/value", result=[NAN]),
        of("cross_entropy", "empty/float64/value", result=[NAN]),
        of("cross_entropy", "empty/float64/shape", result={"value": []}),
    )
    after = declared(
        of("cross_entropy", "smooth/float64/value", "known", result=[2.0], declared=["k_smoothing"]),
        of("cross_entropy", "smooth/float64/gradient:input", "known", result=[2.0], declared=["k_smoothing"]),
        of("cross_entropy", "ignored/float64/value", "dialect", result=[0.0], declared=["all_ignored"]),
        of("cross_entropy", "empty/float64/value", "known", result=[], limits=[], declared=["k_empty"]),
        of("cross_entropy", "empty/float64/shape", "known", result={"value": [0]}, declared=["k_empty"]),
        **about,
    )
    says = [each.says for each in compare(before, after).findings]
    assert len(says) == 3
    for words, name in (("value and gradient of input: 1 became 2", "k_smoothing"), ("nan became 0", "all_ignored"),
                        ("value and shape: gives [], gave nan", "k_empty")):  # fmt: skip
        (one,) = [each for each in says if f"Now {name}: {about[name]}" in each]
        assert words in one


def test_a_dialect_that_says_another_thing_now_is_one_cause_whichever_checks_have_it() -> None:
    clip = {"old": {"clip": "At 1e-15."}, "new": {"clip": "At eps."}}
    before = declared(
        of("log_loss", "a/float64/value", "dialect", result=[1.0], declared=["clip"]),
        of("log_loss", "b/float64/value", "dialect", result=[1.0], declared=["clip"]),
        of("log_loss", "c/float64/value", result=[1.0]),
        **clip["old"],
    )
    after = declared(
        of("log_loss", "a/float64/value", "dialect", result=[2.0], declared=["clip"]),
        of("log_loss", "b/float64/value", result=[2.0]),
        of("log_loss", "c/float64/value", "dialect", result=[2.0], declared=["clip"]),
        **clip["new"],
    )
    assert causes(compare(before, after)) == [("changed", ("log_loss",), 3)]


def test_a_dialect_that_explains_both_results_became_another_one() -> None:
    """Keras 3.0.4 to 3.0.5: how a vector meets a column, in three losses, with values and gradients."""

    def made(result: float, where: str) -> Run:
        return declared(*(of(loss, where.format(aspect), "dialect", result=[result], declared=["rank"])
                          for loss in LOSSES for aspect in ("value", "gradient:input")), rank="One rank.")  # fmt: skip

    (finding,) = compare(made(2.0, "a/float64/{}"), made(3.0, "a/float64/{}")).findings
    assert (finding.losses, len(finding.changes)) == (LOSSES, 8)
    assert "Another rank: One rank." in finding.says


@pytest.mark.parametrize("losses", [("mse_loss", "l1_loss")])
def test_a_bug_that_shows_in_another_way_is_still_that_bug(losses: tuple[str, ...]) -> None:
    bug = {"verdict": "known", "declared": ["k_mean"]}
    before = declared(*(of(loss, **bug, **RAISED) for loss in losses), k_mean="Weighs the mean.")
    after = declared(*(of(loss, **bug) for loss in losses), k_mean="Weighs the mean.")
    (finding,) = compare(before, after).findings
    assert (finding.kind, finding.losses) == ("changed", losses)
    assert finding.says.endswith("gives 1, raised ValueError before (2 checks). Still k_mean: Weighs the mean.")


def test_what_a_bug_had_hidden_is_not_the_cause_of_its_end() -> None:
    about = {"k_raises": "It raises.", "last_axis": "The last axis first.", "rank": "One rank."}
    bug = {"verdict": "known", "declared": ["k_raises"], **RAISED}
    before = declared(*(of("huber_loss", f"{case}/float64/value", **bug) for case in "ab"), **about)
    after = declared(
        of("huber_loss", "a/float64/value", "dialect", declared=["last_axis"]),
        of("huber_loss", "b/float64/value", "dialect", declared=["last_axis", "rank"]),
        **about,
    )
    assert causes(compare(before, after)) == [("changed", ("huber_loss",), 2)]


@pytest.mark.parametrize(
    ("results", "together"),
    [
        (([2.0], [3.0]), True),
        (([2.0], [NAN]), False),
        (([2.0], [math.inf]), False),
        (([2.0], []), False),
        (([2.0], [1.0005]), False),  # the last digits, and another result
        (([NAN], [NAN]), True),
        (([2.0], "ValueError"), False),
        (("TypeError", "ValueError"), False),
    ],
)
def test_what_nothing_explains_is_told_apart_by_its_look(results: tuple[Any, Any], together: bool) -> None:
    before = run(*(of("mse_loss", f"{case}/float32/value", limits=[1e-6]) for case in "ab"))
    after = run(*(of("mse_loss", f"{case}/float32/value", result=result, limits=[1e-6])
                  for case, result in zip("ab", results, strict=True)))  # fmt: skip
    assert len(compare(before, after).findings) == (1 if together else 2)


def test_implementations_that_declare_other_things_are_apart() -> None:
    before = run(*(check(name=f"toy.{name}") for name in ("one", "two", "three")))
    about = {
        f"mse_loss/toy.{name}": {"backend": "toy", "dialects": [{"name": "d", "reason": why}]}
        for name, why in (("one", "Rounds up."), ("two", "Rounds down."), ("three", "Rounds up."))
    }
    after = run(*(check(verdict="dialect", name=f"toy.{name}", result=[2.0], declared=["d"])
                  for name in ("one", "two", "three")), implementations=about)  # fmt: skip
    found = compare(before, after).findings
    assert {each.implementations for each in found} == {("toy.one", "toy.three"), ("toy.two",)}


# --- The same cause over many losses is one finding


LOSSES = ("mse_loss", "l1_loss", "huber_loss", "hinge_loss")


def test_calls_that_are_refused_for_one_reason_are_one_finding() -> None:
    """Keras 2.15 to 3.0: 15 findings of "does not take float64"; classes are named in the reason of their functions."""
    before = run(*(of(loss) for loss in LOSSES), *(of(loss, "plain/float32/value") for loss in LOSSES))
    after = run(
        *(of(loss, verdict="unsupported", reason=f"toy.losses.{loss.upper()} does not take float64")
          for loss in LOSSES),
        *(of(loss, "plain/float32/value", "unsupported", reason="toy.losses.X does not take float32")
          for loss in LOSSES[:2]),
        *(of(loss, "plain/float32/value") for loss in LOSSES[2:]),
    )  # fmt: skip
    diff = compare(before, after)
    assert causes(diff) == [("stopped", LOSSES, 4), ("stopped", LOSSES[:2], 2)]
    assert diff.findings[0].says == (
        "mse_loss, l1_loss, huber_loss and 1 more: 4 checks no longer run; were match, now unsupported: "
        "toy.losses.MSE_LOSS does not take float64 (one of 4 implementations)"
    )


def test_calls_that_run_now_for_one_reason_are_one_finding() -> None:
    """Keras 3.3.3 to 3.4.1: 28 findings; of an unsupported call the record has the value alone."""
    reason = "toy.losses.{} does not take float64"
    before = run(*(of(loss, verdict="unsupported", reason=reason.format(loss.title())) for loss in LOSSES), OTHER)
    after = run(*(of(loss, f"plain/float64/{aspect}") for loss in LOSSES for aspect in ("value", "dtype")), OTHER)
    (finding,) = compare(before, after).findings
    assert (finding.kind, len(finding.changes)) == ("added", 8)
    assert "8 checks did not run before; were unsupported: toy.losses.Mse_Loss does not take float64" in finding.says


def test_a_declaration_of_several_losses_is_one_finding() -> None:
    before = declared(*(of(loss, result=[0.0]) for loss in LOSSES))
    bug = {"verdict": "known", "result": [], "limits": [], "declared": ["k_empty"]}
    after = declared(*(of(loss, **bug) for loss in LOSSES), k_empty="No samples are not reduced.")
    assert causes(compare(before, after)) == [("changed", LOSSES, 4)]
    elsewhere = declared(*(of(loss, **bug) for loss in LOSSES))  # a name alone is no reason
    assert len(compare(before, elsewhere).findings) == 4


def test_one_message_is_one_finding_and_numbers_without_one_are_not() -> None:
    before = run(*(of(loss) for loss in LOSSES))
    said = "raised TypeError: {}() got an unexpected argument"
    refused = run(*(of(loss, verdict="error", **{**RAISED, "result": "TypeError"}, reason=said.format(f"toy.{loss}"))
                    for loss in LOSSES))  # fmt: skip
    assert causes(compare(before, refused)) == [("regressed", LOSSES, 4)]
    moved = run(*(of(loss, verdict="mismatch", result=[2.0]) for loss in LOSSES))
    assert len(compare(before, moved).findings) == 4


def test_numbers_do_not_tell_reasons_apart_and_names_do() -> None:
    assert without_numbers("size 3 of 1.5e-7") == without_numbers("size 12 of 2")
    assert without_numbers("does not take float64") != without_numbers("does not take float32")


# --- One of every kind of cause before a second of any


def finding(kind: str, loss: str, cause: str = "", size: float = math.inf) -> Finding:
    return Finding(kind, "toy", (loss,), ("value",), (), "", cause=(cause,), size=size)


def test_one_of_every_kind_and_cause_comes_before_a_second_of_any() -> None:
    many = [finding("changed", f"a{i}", "clip") for i in range(5)]
    rest = [finding("changed", "z", "empty", 2.0), finding("drifted", "y"), finding("stopped", "x"),
            finding("stopped", "w")]  # fmt: skip
    found = in_turn([*many, *rest])
    assert [(each.kind, each.loss) for each in found[:5]] == [
        ("stopped", "w"), ("changed", "a0"), ("drifted", "y"), ("stopped", "x"), ("changed", "z"),
    ]  # fmt: skip
    assert [each.loss for each in found[5:]] == ["a1", "a2", "a3", "a4"]


def test_a_bug_that_began_comes_before_a_difference_and_both_before_an_exceptions_class() -> None:
    cases = {"a": ("dialect", [9.0]), "b": ("known", [2.0]), "c": ("match", "TypeError")}
    before = run(of("mse_loss", "a/float64/value"), of("mse_loss", "b/float64/value"),
                 of("mse_loss", "c/float64/value", **RAISED))  # fmt: skip
    after = declared(*(of("mse_loss", f"{case}/float64/value", verdict, result=result, declared=[verdict])
                       for case, (verdict, result) in cases.items()))  # fmt: skip
    found = [each.changes[0].check.case for each in compare(before, after).findings if each.kind == "changed"]
    assert found == ["b", "a", "c"]
