"""What a branch bumps: real kinds of requirements and lock files, in a real repository of git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lossparity import cli
from lossparity.cli.bumped import Bump, _poetry, bumped
from lossparity.cli.exits import UsageError
from lossparity.conformance.execution import upgrade

REQUIREMENTS = """\
# pip-compile --generate-hashes
--extra-index-url https://example.invalid/simple
-r more.txt
numpy==1.26.4 \\
    --hash=sha256:00 \\
    --hash=sha256:11
    # via scikit-learn
scikit-learn=={0} ; python_version >= "3.8" \\
    --hash=sha256:22
scikit_learn==0.1 ; python_version < "3"
torch @ file:///wheels/torch.whl
tensorflow[and-cuda]==2.17.1  # the GPU's
requests==2.32.0
./local
"""
UV = """\
version = 1
requires-python = ">=3.10"
resolution-markers = ["python_full_version >= '3'", "python_full_version < '3'"]

[[package]]
name = "numpy"
version = "1.26.4"
source = {{ registry = "https://example.invalid/simple" }}

[[package]]
name = "app"
source = {{ editable = "." }}
dependencies = [{{ name = "torch" }}]

[[package]]
name = "torch"
version = "1.0.0"
resolution-markers = ["python_full_version < '3'"]

[[package]]
name = "torch"
version = "{0}"
resolution-markers = ["python_full_version >= '3'"]
sdist = {{ url = "https://example.invalid/torch.tar.gz", hash = "sha256:00" }}

[[package]]
name = "torchvision"
version = "{1}"
"""
POETRY = """\
[[package]]
name = "keras"
version = "{0}"
description = "Multi-backend Keras"
optional = false
python-versions = ">=3.9"
groups = ["main"]
markers = {{ main = "python_version >= \\"3\\"", dev = "python_version < \\"3\\"" }}
files = [{{ file = "keras.whl", hash = "sha256:00" }}]

[package.dependencies]
numpy = "*"

[[package]]
name = "tensorflow"
version = "2.17.1"

[metadata]
lock-version = "2.1"
content-hash = "00"
"""
PIPFILE = """\
{{
  "_meta": {{"hash": {{"sha256": "00"}}, "pipfile-spec": 6}},
  "default": {{
    "scikit-learn": {{"hashes": ["sha256:00"], "index": "pypi", "version": "=={0}"}},
    "scipy": {{"markers": "python_version >= '3.10'", "version": "==1.14.1"}},
    "torch": {{"git": "https://example.invalid/torch.git", "ref": "00"}}
  }},
  "develop": {{}}
}}
"""
PYLOCK = """\
lock-version = "1.0"
created-by = "pip"

[[packages]]
name = "scikit-learn"
version = "{0}"
wheels = [{{ name = "scikit_learn.whl", hashes = {{ sha256 = "00" }} }}]
"""
PROJECT = """\
[project]
name = "app"
dependencies = ["scikit-learn{0}", "requests"]

[project.optional-dependencies]
gpu = ["torch==2.9.1"]

[dependency-groups]
dev = ["keras>=3", {{ include-group = "docs" }}]
docs = ["sphinx"]
"""
POETRY_PROJECT = """\
[tool.poetry.dependencies]
python = "^3.10"
keras = "{0}"
tensorflow = {{ version = "~2.17.1", extras = ["and-cuda"] }}
torch = {{ git = "https://example.invalid/torch.git" }}

[tool.poetry.group.dev.dependencies]
scikit-learn = "*"
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if subprocess.run(["git", "--version"], capture_output=True, check=False).returncode:  # noqa: S607
        pytest.skip("git is not installed")
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    git("init", "-q", "-b", "main")
    return tmp_path


def git(*words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], check=True, capture_output=True)  # noqa: S607


def commit(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "x")


@pytest.mark.parametrize(
    ("name", "text", "old", "new", "before", "after"),
    [
        ("requirements.txt", REQUIREMENTS, ["1.4.2"], ["1.5.2"], "scikit-learn==1.4.2 numpy==1.26.4",
         "scikit-learn==1.5.2 numpy==1.26.4"),
        ("deploy/requirements/base.txt", REQUIREMENTS, ["1.4.2"], ["1.5.2"], "scikit-learn==1.4.2 numpy==1.26.4",
         "scikit-learn==1.5.2 numpy==1.26.4"),
        ("uv.lock", UV, ["2.8.0", "0.23.0"], ["2.9.1", "0.24.1"], "torch==2.8.0 numpy==1.26.4 torchvision==0.23.0",
         "torch==2.9.1 numpy==1.26.4 torchvision==0.24.1"),
        ("poetry.lock", POETRY, ["3.0.4"], ["3.0.5"], "keras==3.0.4 tensorflow==2.17.1",
         "keras==3.0.5 tensorflow==2.17.1"),
        ("Pipfile.lock", PIPFILE, ["1.4.2"], ["1.5.2"], "scikit-learn==1.4.2 scipy==1.14.1",
         "scikit-learn==1.5.2 scipy==1.14.1"),
        ("pylock.toml", PYLOCK, ["1.4.2"], ["1.5.2"], "scikit-learn==1.4.2", "scikit-learn==1.5.2"),
        ("pyproject.toml", PROJECT, [">=1.4,<1.5"], [">=1.5,<1.6"], "scikit-learn<1.5,>=1.4", "scikit-learn<1.6,>=1.5"),
        ("pyproject.toml", POETRY_PROJECT, ["^2.15"], ["^3.0.5"], "keras>=2.15,<3 tensorflow>=2.17.1,<2.18",
         "keras>=3.0.5,<4 tensorflow>=2.17.1,<2.18"),
    ],
)  # fmt: skip
def test_both_sides_are_found_in_what_the_branch_changes(
    name: str, text: str, old: list[str], new: list[str], before: str, after: str, repository: Path
) -> None:
    commit({name: text.format(*old), "README": "x"})
    git("checkout", "-q", "-b", "renovate/x")
    commit({name: text.format(*new)})
    git("checkout", "-q", "main")
    commit({"README": "main went on"})
    git("checkout", "-q", "renovate/x")
    found = bumped("main")
    assert sorted(found.before.split()) == sorted(before.split())
    assert sorted(found.after.split()) == sorted(after.split())
    assert [each.split("=")[0].split("<")[0].split(">")[0] for each in found.before.split()] == [
        each.split("=")[0].split("<")[0].split(">")[0] for each in found.after.split()
    ]
    upgrade.read(found.before)  # --from takes it
    subfolder = repository / "sub"
    subfolder.mkdir()
    assert bumped("main", str(subfolder)) == found


@pytest.mark.usefixtures("repository")
def test_a_lock_says_more_than_the_projects_ranges() -> None:
    commit(
        {"pyproject.toml": PROJECT.format(">=1.4"), "uv.lock": PYLOCK.replace("packages", "package").format("1.4.2")}
    )
    commit(
        {"pyproject.toml": PROJECT.format(">=1.5"), "uv.lock": PYLOCK.replace("packages", "package").format("1.5.2")}
    )
    assert bumped("HEAD^1") == Bump("scikit-learn==1.4.2", "scikit-learn==1.5.2")


def test_what_is_not_committed_counts_and_what_is_new_has_no_other_side(repository: Path) -> None:
    commit({"requirements.txt": "scikit-learn==1.4.2\n"})
    (repository / "requirements.txt").write_text("scikit-learn==1.5.2\nkeras==3.0.5\n")
    assert bumped("HEAD") == Bump(
        "scikit-learn==1.4.2", "scikit-learn==1.5.2", ("keras is in requirements.txt on one side only",)
    )


@pytest.mark.usefixtures("repository")
def test_numpy_concerns_whoever_stands_on_it() -> None:
    commit({"requirements.txt": "scikit-learn==1.4.2\nnumpy==1.26.4\n"})
    commit({"requirements.txt": "scikit-learn==1.4.2\nnumpy==2.0.0\n"})
    assert bumped("HEAD^1").after == "scikit-learn==1.4.2 numpy==2.0.0"


@pytest.mark.usefixtures("repository")
def test_files_that_differ_and_files_that_do_not_read_are_told() -> None:
    commit({"a/requirements.txt": "scikit-learn==1.4.2", "b/requirements.txt": "scikit-learn==1.3.2"})
    commit({"a/requirements.txt": "scikit-learn==1.5.2", "b/requirements.txt": "scikit-learn==1.5.2"})
    with pytest.raises(UsageError, match=r"a/requirements.txt and b/requirements.txt say two things of scikit-learn"):
        bumped("HEAD^1")
    commit({"uv.lock": "[[package]"})
    with pytest.raises(UsageError, match=r"uv.lock does not read: "):
        bumped("HEAD^1")
    with pytest.raises(UsageError, match=r"git rev-parse --verify nowhere\^\{commit\}: "):
        bumped("nowhere")


@pytest.mark.usefixtures("repository")
def test_the_gate_takes_both_sides_from_git(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def both(before: object, after: object, _: object) -> None:
        asked.extend([before, after])
        raise KeyboardInterrupt

    monkeypatch.setattr(upgrade, "both", both)
    commit({"requirements.txt": "scikit-learn==1.4.2"})
    assert cli.main(["gate", "--since", "HEAD"]) == 0
    assert capsys.readouterr().out == "no framework's version changed since HEAD: there is nothing to judge\n"
    commit({"requirements.txt": "scikit-learn==1.5.2"})
    assert cli.main(["gate", "--since", "HEAD^1"]) == 3
    assert asked == [{"scikit-learn": "1.4.2"}, {"scikit-learn": "1.5.2"}]
    said = capsys.readouterr().err
    assert 'lossparity: gate --from "scikit-learn==1.4.2" --to "scikit-learn==1.5.2"' in said
    for words in (["--from", "keras==3.0"], ["a.json", "b.json"]):
        assert cli.main(["gate", "--since", "HEAD^1", *words]) == 2
    assert cli.main(["gate", "--since", "nowhere"]) == 2
    assert "lossparity: git rev-parse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("^1.2.3", ">=1.2.3,<2"), ("^0.2.3", ">=0.2.3,<0.3"), ("^0.0.3", ">=0.0.3,<0.0.4"), ("^0.0", ">=0.0,<0.1"),
        ("^1", ">=1,<2"), ("~1.2.3", ">=1.2.3,<1.3"), ("~1", ">=1,<2"), ("1.2.3", "==1.2.3"), ("*", ""),
        (">=1.2, <2", ">=1.2,<2"),
    ],
)  # fmt: skip
def test_poetrys_own_ranges(written: str, means: str) -> None:
    """The examples of Poetry's documentation, dependency specification."""
    assert _poetry(written) == means
