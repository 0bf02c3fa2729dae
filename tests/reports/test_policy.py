"""Every line of a policy, both ways: the gate with it, and without it or with its opposite."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from records import NAME, check, run

from lossparity import cli
from lossparity.conformance import record
from lossparity.conformance.record import Run
from lossparity.reports.changes import KINDS
from lossparity.reports.diff import compare
from lossparity.reports.gate import FAILED, INCOMPLETE, PASSED, Decision, decide
from lossparity.reports.policy import ACTIONS, DEFAULTS, Policy, PolicyError, load, parse
from lossparity.reports.scope import Names

TODAY = datetime.date(2030, 6, 1)
TOMORROW = datetime.date(2030, 6, 2)
OTHER = check("other/float64/value", name="toy.losses.other")


def signed(*names: str) -> dict[str, Any]:
    rows = [{"name": name, "kind": "positional or keyword", "default": "1"} for name in names]
    return {f"mse_loss/{NAME}": {"backend": "toy", "signature": rows}}


def pair(*checks: Any, **rest: Any) -> Run:
    return run(OTHER, *checks, **rest)


# One upgrade of each kind: what it is before, and after.
UPGRADES: dict[str, tuple[Run, Run]] = {
    "regressed": (pair(check()), pair(check(verdict="mismatch", result=[2.0]))),
    "stopped": (pair(check()), pair(check(verdict="unsupported", reason="this version has no square"))),
    "removed": (pair(check()), pair()),
    "changed": (pair(check()), pair(check(verdict="dialect", result=[2.0], declared=["d"]))),
    "signature": (pair(implementations=signed("a", "b")), pair(implementations=signed("a"))),
    "drifted": (pair(check(margin=0.1)), pair(check(margin=0.9))),
    "fixed": (pair(check(verdict="mismatch", result=[2.0])), pair(check())),
    "added": (pair(), pair(check())),
    "extended": (pair(implementations=signed("a")), pair(implementations=signed("a", "b"))),
    "warning": (
        pair(implementations={f"mse_loss/{NAME}": {"backend": "toy"}}),
        pair(implementations={f"mse_loss/{NAME}": {"backend": "toy", "warnings": ["FutureWarning: soon"]}}),
    ),
    "census": (
        pair(census={"toy": {"namespaces": {"toy.losses": []}}}),
        pair(census={"toy": {"namespaces": {"toy.losses": ["toy.losses.new"]}}}),
    ),
}


NAMES = Names(
    losses=("mse_loss", "l1_loss"),
    backends={"torch": ("torch.",), "keras": ("keras.",)},
    cases=("plain", "rank4"),
    aspects=("value", "gradient:input", "gradient:target"),
)


def gate(before: Run, after: Run, policy: Policy, today: datetime.date = TODAY) -> Decision:
    return decide(compare(before, after, drift_factor=policy.drift_factor), after, policy, today=today)


def policy(**table: Any) -> Policy:
    return parse(table, "pyproject.toml")


def exception(**rest: Any) -> dict[str, Any]:
    return {"reason": "agreed", "expires": TOMORROW, **rest}


# --- Kinds


def test_there_is_an_upgrade_of_every_kind_that_a_policy_names() -> None:
    assert list(UPGRADES) == list(DEFAULTS)
    assert set(DEFAULTS) == set(KINDS) - {"missing", "rounding", "unchanged"}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_default_of_each_kind(kind: str) -> None:
    decision = gate(*UPGRADES[kind], Policy())
    assert [each.finding.kind for each in decision.judged] == [kind]
    assert decision.judged[0].action == DEFAULTS[kind]
    assert decision.code == (FAILED if DEFAULTS[kind] == "fail" else PASSED)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", DEFAULTS)
def test_each_kind_can_fail_warn_or_be_ignored(kind: str, action: str) -> None:
    decision = gate(*UPGRADES[kind], policy(**{kind: action}))
    assert decision.code == (FAILED if action == "fail" else PASSED)
    assert len(decision.judged) == (action != "ignore")
    assert len(decision.ignored) == (action == "ignore")


def test_red_and_warned_are_as_they_were_agreed() -> None:
    red = {kind for kind, action in DEFAULTS.items() if action == "fail"}
    assert red == {"regressed", "stopped", "removed", "changed", "drifted", "signature"}
    assert set(DEFAULTS.values()) == {"fail", "warn"}


def test_the_drift_factor() -> None:
    assert gate(*UPGRADES["drifted"], policy(**{"drift-factor": 8})).code == FAILED
    assert gate(*UPGRADES["drifted"], policy(**{"drift-factor": 10})).code == PASSED


def test_rounding_is_never_red() -> None:
    decision = gate(pair(check()), pair(check(result=[1.009])), policy(**dict.fromkeys(DEFAULTS, "fail")))
    assert decision.code == PASSED
    assert decision.diff.counts["rounding"] == 1
    assert not decision.judged


# --- Exceptions


SELECTORS = {"kind": "changed", "backend": "toy", "loss": "mse_loss", "aspect": "value", "implementation": NAME,
             "case": "plain"}  # fmt: skip


@pytest.mark.parametrize("name", SELECTORS)
def test_each_selector_of_an_exception(name: str) -> None:
    for pattern in (SELECTORS[name], SELECTORS[name][:2] + "*", "*"):
        decision = gate(*UPGRADES["changed"], policy(exceptions=[exception(**{name: pattern})]))
        assert (decision.code, decision.judged[0].action, decision.complaints) == (PASSED, "warn", [])
    other = "fixed" if name == "kind" else "another"
    decision = gate(*UPGRADES["changed"], policy(exceptions=[exception(**{name: other})]))
    assert (decision.code, decision.judged[0].action) == (FAILED, "fail")


def test_all_selectors_of_an_exception_must_match() -> None:
    assert gate(*UPGRADES["changed"], policy(exceptions=[exception(**SELECTORS)])).code == PASSED
    decision = gate(*UPGRADES["changed"], policy(exceptions=[exception(**{**SELECTORS, "aspect": "gradient:*"})]))
    assert decision.code == FAILED


def test_an_exception_knows_every_loss_of_a_finding() -> None:
    both = [run(check(), implementations={f"{loss}/{NAME}": {"backend": "toy", **about} for loss in ("a", "b")})
            for about in (signed("x", "y")[f"mse_loss/{NAME}"], signed("x")[f"mse_loss/{NAME}"])]  # fmt: skip
    assert gate(*both, policy(exceptions=[exception(loss="b")])).code == PASSED
    assert gate(*both, policy(exceptions=[exception(loss="c")])).code == FAILED


def test_an_exception_excuses_its_checks_alone() -> None:
    """One that was written for a case, or an implementation, or one loss of a finding, leaves the others red."""
    cases = [("smooth", "toy.losses.A"), ("smooth", "toy.losses.B"), ("ignored", "toy.losses.A")]
    before = pair(*(check(f"{case}/float64/value", name=name) for case, name in cases), check(loss="l1_loss"))
    after = pair(
        *(check(f"{case}/float64/value", "dialect", name=name, result=[2.0], declared=["d"]) for case, name in cases),
        check(loss="l1_loss", verdict="dialect", result=[2.0], declared=["d"]),
    )
    for rule, excused in (
        ({"case": "smooth"}, 2),
        ({"implementation": "*.A"}, 2),
        ({"case": "smooth", "implementation": "*.A"}, 1),
        ({"loss": "l1_loss"}, 1),
        ({"kind": "changed"}, 4),
    ):
        decision = gate(before, after, policy(exceptions=[exception(**rule)]))
        counts = {action: sum(len(each.finding.changes) for each in decision.judged if each.action == action)
                  for action in ("fail", "warn")}  # fmt: skip
        assert (counts, decision.code) == ({"fail": 4 - excused, "warn": excused}, FAILED if excused < 4 else PASSED)


def test_an_exception_for_a_part_of_what_did_not_run_leaves_the_rest_a_gap() -> None:
    before, after = pair(check("a/float64/value"), check("b/float64/value")), pair()
    after.implementations = before.implementations
    assert gate(before, after, policy(exceptions=[exception(kind="missing", case="a")])).code == INCOMPLETE
    assert gate(before, after, policy(exceptions=[exception(kind="missing", case="[ab]")])).code == PASSED


# --- Exceptions that cannot be judged, and those that name what there is not


@pytest.mark.parametrize(
    "rule",
    [
        {"backend": "torch"},
        {"backend": "torch", "implementation": "torch.nn.functional.mse_loss"},
        {"implementation": "torch.nn.functional.*"},
        {"loss": "l1_loss"},
        {"case": "rank4"},
        {"backend": "torch", "aspect": "dialect:clip"},
        {"aspect": "gradient:target"},
    ],
)
def test_an_exception_of_which_nothing_was_compared_is_not_judged(rule: dict[str, str]) -> None:
    same = UPGRADES["changed"][0]
    for today in (TODAY, TOMORROW):  # nor when it has expired
        decision = decide(compare(same, same), same, policy(exceptions=[exception(**rule)]), today=today, names=NAMES)
        assert (decision.code, decision.complaints, len(decision.unjudged)) == (PASSED, [], 1)
        assert "nothing that it is for was compared" in decision.unjudged[0]


def test_an_exception_for_a_backend_that_one_record_lacks_is_not_judged() -> None:
    both, one = pair(check(), check(backend="torch", name="torch.x")), pair(check())
    decision = gate(one, both, policy(exceptions=[exception(backend="torch", kind="changed")]))
    assert (decision.code, len(decision.unjudged)) == (PASSED, 1)
    decision = gate(both, both, policy(exceptions=[exception(backend="torch", kind="changed")]))
    assert (decision.code, decision.unjudged) == (FAILED, [])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"loss": "mse_los"}, "there is no loss 'mse_los'; did you mean mse_loss"),
        ({"loss": "nothing"}, "there is no loss 'nothing'; there are mse_loss, l1_loss"),
        ({"backend": "pytorch"}, "there is no backend 'pytorch'; did you mean torch"),
        ({"implementation": "toy.losses.squared"}, f"there is no implementation 'toy.losses.squared'; .* {NAME}"),
        ({"implementation": "squ*"}, "there is no implementation 'squ\\*'; there are"),
        ({"case": "plane"}, "there is no case 'plane'; did you mean plain"),
        ({"aspect": "gradient:inputs"}, "there is no aspect 'gradient:inputs'; did you mean gradient:input"),
        ({"aspect": "grad"}, "there is no aspect 'grad'; there are raises, signature, warning, census, value"),
        ({"backend": "toy", "aspect": "dialect:clop"}, "there is no aspect 'dialect:clop'"),
        ({"backend": "torch", "loss": "nothing"}, "there is no loss 'nothing'"),
    ],
)
def test_an_exception_that_names_what_there_is_not_is_refused(rule: dict[str, str], words: str) -> None:
    before, after = UPGRADES["changed"]
    rules = policy(exceptions=[exception(**rule)])
    with pytest.raises(PolicyError, match=words):
        decide(compare(before, after), after, rules, today=TODAY, names=NAMES)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ('backend = "torch"', 0),
        ('implementation = "keras.losses.Huber"', 0),
        ('loss = "sparse_loss"', 2),
        ('backend = "sklern"', 2),
        ('implementation = "toy.losses.Square"', 2),
        ('aspect = "gradients"', 2),
        ('kind = "change"', 2),
    ],
)
def test_the_command_knows_what_there_is(rule: str, code: int, tmp_path: Path, capsys: Any) -> None:
    """Today's case: an exception for torch beside a gate of another backend."""
    text = f"[[tool.lossparity.gate.exceptions]]\n{rule}\nreason = 'agreed'\nexpires = 2931-03-01\n"
    (tmp_path / "policy.toml").write_text(text)
    path = str(record.save(pair(check()), tmp_path / "a.json"))
    assert cli.main(["gate", path, path, "--policy", str(tmp_path / "policy.toml")]) == code
    said = capsys.readouterr()
    if code == 0:
        assert "is not judged: nothing that it is for was compared" in said.out
    else:
        assert re.search("there are|did you mean", said.err)


@pytest.mark.parametrize(("action", "code"), [("warn", PASSED), ("ignore", PASSED), ("fail", FAILED)])
def test_the_action_of_an_exception(action: str, code: int) -> None:
    for kind in ("changed", "fixed"):  # it can forgive, and be stricter
        decision = gate(*UPGRADES[kind], policy(exceptions=[exception(loss="mse_loss", action=action)]))
        assert decision.code == code
        assert [each.action for each in (*decision.judged, *decision.ignored)] == [action]


def test_the_first_exception_that_matches_counts() -> None:
    rules = [exception(loss="mse_loss", action="warn"), exception(backend="toy", action="fail")]
    assert gate(*UPGRADES["changed"], policy(exceptions=rules)).code == PASSED
    assert gate(*UPGRADES["changed"], policy(exceptions=rules[::-1])).code == FAILED


def test_an_exception_ends_on_its_day() -> None:
    rules = policy(exceptions=[exception(loss="mse_loss")])
    assert gate(*UPGRADES["changed"], rules, TODAY).code == PASSED
    decision = gate(*UPGRADES["changed"], rules, TOMORROW)
    assert (decision.code, decision.judged[0].action) == (FAILED, "fail")
    assert "expired on 2030-06-02" in decision.complaints[0]
    assert "agreed" in decision.complaints[0]


def test_an_expired_exception_fails_where_nothing_changed() -> None:
    same = UPGRADES["changed"][0]
    assert gate(same, same, policy(), TOMORROW).code == PASSED
    assert gate(same, same, policy(exceptions=[exception(loss="mse_loss")]), TOMORROW).code == FAILED


def test_an_exception_that_matches_nothing_fails() -> None:
    same = UPGRADES["changed"][0]
    decision = gate(same, same, policy(exceptions=[exception(loss="mse_loss")]))
    assert decision.code == FAILED
    assert "loss = 'mse_loss'" in decision.complaints[0]
    assert "matches nothing" in decision.complaints[0]
    assert "1 exception of the policy no longer holds" in decision.sentence


def test_a_gap_is_excused_by_an_exception_alone() -> None:
    before, after = pair(check("a/float64/value")), pair()
    after.implementations = before.implementations
    assert gate(before, after, Policy()).code == INCOMPLETE
    assert gate(before, after, policy(stopped="ignore", removed="ignore")).code == INCOMPLETE
    assert gate(before, after, policy(exceptions=[exception(kind="missing")])).code == PASSED


def test_a_kind_cannot_excuse_what_did_not_run() -> None:
    before, after = pair(check()), pair(check(verdict="not-run", reason="no device cuda:0 here"))
    for action in ACTIONS:
        assert gate(before, after, policy(stopped=action)).code == INCOMPLETE
    assert gate(before, after, policy(exceptions=[exception(kind="stopped")])).code == PASSED


# --- Policies that do not read: (table, what the sentence says)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"changd": "fail"}, "unknown key 'changd'"),
        ({"missing": "ignore"}, "unknown key 'missing'"),
        ({"changed": "error"}, "changed = 'error'; it may be fail, warn, ignore"),
        ({"changed": True}, "changed = True"),
        ({"drift-factor": "4"}, "drift-factor = '4' is not a number above 1"),
        ({"drift-factor": 1}, "drift-factor = 1"),
        ({"drift-factor": float("nan")}, "drift-factor = nan"),
        ({"drift-factor": True}, "drift-factor = True"),
        ({"exceptions": {"loss": "x"}}, r"\[\[tool.lossparity.gate.exceptions\]\]"),
        ({"exceptions": [{"reason": "r", "expires": TOMORROW}]}, "exception 1 says not what it is for"),
        ({"exceptions": [exception(losses="x")]}, "unknown key 'losses'"),
        ({"exceptions": [exception(loss=3)]}, "loss = 3 is not a name"),
        ({"exceptions": [exception(loss="")]}, "loss = '' is not a name"),
        ({"exceptions": [exception(kind="regresed")]}, "no kind matches 'regresed'"),
        ({"exceptions": [exception(loss="x", action="skip")]}, "action = 'skip'"),
        ({"exceptions": [{"loss": "x", "expires": TOMORROW}]}, "needs a reason"),
        ({"exceptions": [exception(loss="x", reason="  ")]}, "needs a reason"),
        ({"exceptions": [{"loss": "x", "reason": "r"}]}, "needs the day on which it ends"),
        ({"exceptions": [exception(loss="x", expires="soon")]}, "'soon' is not a date"),
        ({"exceptions": [exception(loss="x", expires=2031)]}, "needs the day"),
        ({"exceptions": [exception(loss="x", expires=datetime.datetime(2031, 1, 1))]}, "needs the day"),
    ],
)
def test_a_bad_policy_is_refused_in_a_sentence(table: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        parse(table, "pyproject.toml")


def test_a_date_may_be_text() -> None:
    assert policy(exceptions=[exception(loss="x", expires="2031-03-01")]).rules[0].expires.year == 2031


# --- Where it is found


TOML = """
[tool.lossparity.gate]
changed = "warn"
drift-factor = 8.0

[[tool.lossparity.gate.exceptions]]
loss = "log_loss"
kind = "regressed"
reason = "agreed"
expires = 2031-03-01
"""


def test_the_nearest_pyproject_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(TOML)
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    found = load()
    assert (found.kinds["changed"], found.kinds["regressed"], found.drift_factor) == ("warn", "fail", 8.0)
    assert found.rules[0].expires == datetime.date(2031, 3, 1)
    assert found.source == str(tmp_path / "pyproject.toml")


def test_without_a_table_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(tmp_path)
    assert load() == Policy()
    with pytest.raises(PolicyError, match=r"has no \[tool.lossparity.gate\]"):
        load(tmp_path / "pyproject.toml")  # one that was asked for by name must have it


@pytest.mark.parametrize("text", ["tool = [", "[tool.lossparity]\ngate = 3\n", "\x00"])
def test_a_bad_file_is_exit_2(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy.toml").write_text(text)
    path = str(record.save(run(check()), tmp_path / "a.json"))
    for name in ("policy.toml", "absent.toml"):
        assert cli.main(["gate", path, path, "--policy", str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err
    assert cli.main(["gate", path, path]) == 0
