"""The pytest plugin: the options of the conformance matrix, and its record.

It is loaded in every pytest run of the environment it is installed in. So it imports nothing of the suite until the
matrix is collected, and adds its options only where the command line names the suite: plain words such as --device
belong to whoever else's tests are being run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lossparity.conformance.matrix import Selection
    from lossparity.conformance.record import Check

_OPTIONS: tuple[tuple[str, str], ...] = (
    ("backend", "only this backend (repeatable); without it, every one that is installed"),
    ("loss", "only this loss (repeatable)"),
    ("dtype", "only this dtype (repeatable)"),
    ("device", "cpu (default), cuda:0, ... (repeatable)"),
    ("mode", "eager (default) (repeatable)"),
)


_ASKED_FOR = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: Sequence[str]) -> None:
    """Add the options where a word of the command line names the suite."""
    if not any(map(_names_the_suite, args)):
        return
    early_config.stash[_ASKED_FOR] = True
    group = parser.getgroup("lossparity", "lossparity: the conformance matrix")
    for name, text in _OPTIONS:
        group.addoption(f"--{name}", action="append", default=[], metavar=name[0].upper(), help=text)
    group.addoption("--seed", type=int, default=None, help="of the cases' data and the cotangents (default: 0)")
    group.addoption("--output", default=None, metavar="DIR", help="write parity.json and parity.html there")


def _names_the_suite(word: str) -> bool:
    """Whether a word is this package, or a path in it. A folder that happens to have its name is not."""
    place = word.partition("::")[0]
    if place in ("lossparity", "lossparity.conformance", "lossparity.conformance.test_matrix"):
        return not Path(place).exists()
    here, there = (Path(__file__).parent / "conformance").resolve(), Path(place).resolve()
    return here == there or here in there.parents


def pytest_configure(config: pytest.Config) -> None:
    """Keep a matrix for this session where the suite was asked for."""
    if config.stash.get(_ASKED_FOR, False):
        config.pluginmanager.register(Matrix(config), "lossparity-matrix")


class Matrix:
    """The matrix of one pytest session: its checks, their judges and their results."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.results: list[Check] = []
        self.warnings: dict[str, list[str]] = {}
        self._modules: dict[str, Any] = {}
        self._judges: dict[str, Any] = {}

    def checks(self) -> list[Check]:
        """Every check that the options ask for; one `not-run` check for each backend that is missing."""
        from lossparity import adapters
        from lossparity.conformance.matrix import checks, not_installed

        asked = self.config.getoption("backend")
        for name in asked:
            if name not in adapters.BACKENDS:
                raise pytest.UsageError(f"unknown backend {name!r}; there are {', '.join(adapters.BACKENDS)}")
        selection = self.selection()
        try:
            selection.validate()
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
        found: list[Check] = []
        for name, backend in adapters.BACKENDS.items():  # in their order: some must be imported before others
            if asked and name not in asked:
                continue
            missing = backend.missing()
            if missing:
                found.append(not_installed(name, missing))
                continue
            self._modules[name] = adapters.load(name)
            found.extend(checks(name, self._modules[name], selection))
        return found

    def selection(self) -> Selection:
        """The checks that our own options ask for."""
        from lossparity.conformance.matrix import Selection

        words = {name: self.config.getoption(name) for name, _ in _OPTIONS if name != "backend"}
        return Selection.of({"losses" if name == "loss" else f"{name}s": each for name, each in words.items()})

    def narrowed(self) -> bool:
        """Whether options of pytest leave out checks, so that ours do not tell which ones ran."""
        option = self.config.option
        return bool(option.keyword or option.markexpr or option.deselect or any("::" in a for a in self.config.args))

    def decide(self, check: Check) -> Check:
        """The check with its verdict."""
        if check.verdict:
            return check
        if check.backend not in self._judges:
            from lossparity import adapters
            from lossparity.conformance.judge import Judge
            from lossparity.conformance.matrix import DEFAULT_SEED

            seed = self.config.getoption("seed")
            self._judges[check.backend] = Judge(
                self._modules[check.backend],
                DEFAULT_SEED if seed is None else seed,
                adapters.BACKENDS[check.backend].versions(),
            )
        decided: Check = self._judges[check.backend](check)
        return decided

    def news(self, check: Check) -> dict[str, list[str]]:
        """The warnings of the check's backend that were not heard before, by implementation ("loss/name")."""
        judge = self._judges.get(check.backend)
        return judge.news() if judge else {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per check, named by its ID."""
        if "check" in metafunc.fixturenames and metafunc.module.__name__.endswith("conformance.test_matrix"):
            found = self.checks()
            metafunc.parametrize("check", found, ids=[check.id for check in found])

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the results; under xdist they arrive from the workers as properties of the report."""
        from lossparity.conformance.record import Check

        if report.when == "call":
            properties: list[tuple[str, Any]] = report.user_properties
            self.results.extend(Check(*row) for name, row in properties if name == "lossparity")
            for heard in (value for name, value in properties if name == "lossparity-warnings"):
                for key, texts in heard.items():
                    self.warnings.setdefault(key, []).extend(texts)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record, and say by the exit code that something that was asked for did not run."""
        if hasattr(self.config, "workerinput") or self.config.option.collectonly or not self.results:
            return
        from lossparity.conformance.execution.recording import run_of
        from lossparity.conformance.execution.run import exit_code

        run = run_of(
            self.results,
            asked=self.config.getoption("backend"),
            seed=self.config.getoption("seed"),
            command=["pytest", *(str(word) for word in self.config.invocation_params.args)],
            warnings=self.warnings,
            selection=None if self.narrowed() else self.selection(),
        )
        output = self.config.getoption("output")
        if output:
            from lossparity.conformance import record
            from lossparity.reports import html

            record.save(run, Path(output) / "parity.json")
            html.write(run, Path(output) / "parity.html")
        if exit_code(run) == 3:
            session.exitstatus = 3
