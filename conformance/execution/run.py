"""`lossparity run`: each backend in its own process, two at a time, and what comes of it in one record."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lossparity
from lossparity import adapters
from lossparity.conformance.cases import digest
from lossparity.conformance.census import census
from lossparity.conformance.describe import describe_implementations, describe_losses
from lossparity.conformance.execution.worker import environment
from lossparity.conformance.matrix import DEFAULT_SEED, Selection, not_installed
from lossparity.conformance.record import FAILING, INCOMPLETE, Check, Run
from lossparity.conformance.warned import with_warnings

# A backend that says nothing for so long (its import, or one check) is taken to hang.
DEFAULT_TIMEOUT = 120.0
DEFAULT_JOBS = 2

_FATAL = "Fatal Python error: "  # with which faulthandler begins

# The arrays are small and two backends share the machine: more threads would only wait for each other. What the
# user's environment sets goes before this.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

Progress = Callable[[str, int, int, str], None]


def run(
    backends: Sequence[str],
    selection: Selection,
    *,
    seed: int = DEFAULT_SEED,
    pythons: Mapping[str, str] | None = None,
    library: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    jobs: int = DEFAULT_JOBS,
    command: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> Run:
    """Run the matrix.

    backends: those asked for; empty means every registered one, and those that are not installed are then no gap.
    pythons: the interpreter of a backend that lives in another environment, by backend's name.
    library: a folder with lossparity for those interpreters, in place of this process's PYTHONPATH, where it is not
        installed beside them.
    timeout: seconds without a sign of life after which a backend is taken to hang.
    progress: called with (backend, checks done, checks planned, status).
    """
    started = datetime.datetime.now(datetime.timezone.utc)
    clock = time.perf_counter()
    workers = [
        _Worker(name, bool(backends), selection, seed, (pythons or {}).get(name), library)
        for name in backends or adapters.BACKENDS
    ]
    with tempfile.TemporaryDirectory() as nowhere:
        _supervise(workers, timeout, jobs, progress, nowhere)
    checks = [check for worker in workers for check in worker.checks()]
    if selection.quick:  # its record is kept in repositories, and the inputs of what matches are a third of it
        checks = [dataclasses.replace(each, worst=None) if each.verdict == "match" else each for each in checks]
    return Run(
        environment={**host(), "backends": {w.backend: w.environment for w in workers if w.environment}},
        seed=seed,
        command=list(command),
        checks=checks,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
        losses=describe_losses(),
        implementations={
            key: each
            for worker in workers
            for key, each in with_warnings(worker.implementations, worker.warnings).items()
        },
        backends={worker.backend: worker.summary() for worker in workers},
        census={worker.backend: worker.census for worker in workers if worker.census},
        data=digest(seed),
        selection=dataclasses.asdict(selection),
    )


def run_of(
    checks: Sequence[Check],
    *,
    asked: Sequence[str],
    seed: int | None,
    command: Sequence[str],
    warnings: Mapping[str, Sequence[str]],
    selection: Selection | None = None,
) -> Run:
    """The record of checks that were decided in this process (the pytest matrix), or in those of pytest-xdist.

    warnings: what was heard of each implementation, by "loss/name".
    """
    backends = list(dict.fromkeys(check.backend for check in checks))
    missing = {check.backend: check.reason for check in checks if check.loss == "*"}
    modules = {name: adapters.load(name) for name in backends if name not in missing}
    return Run(
        environment={**host(), "backends": {name: environment(name) for name in modules}},
        seed=DEFAULT_SEED if seed is None else seed,
        command=list(command),
        checks=list(checks),
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=round(sum(check.seconds for check in checks), 3),
        losses=describe_losses(),
        implementations={
            key: each
            for name, module in modules.items()
            for key, each in with_warnings(describe_implementations(name, module), warnings).items()
        },
        backends={
            name: {
                "status": "not-run" if name in missing else "complete",
                "asked": name in asked,
                "reason": missing.get(name, ""),
                "last_words": "",
                "seconds": round(sum(check.seconds for check in checks if check.backend == name), 3),
            }
            for name in backends
        },
        census={name: census(module) for name, module in modules.items()},
        data=digest(DEFAULT_SEED if seed is None else seed),
        selection={} if selection is None else dataclasses.asdict(selection),
    )


def exit_code(run: Run) -> int:
    """0 parity holds; 1 parity is broken; 3 something that was asked for did not run, or nothing ran at all."""
    checks = list(run.checks)  # once: of a record that was read, each pass makes them anew
    verdicts = {check.verdict for check in checks}
    asked = {name for name, backend in run.backends.items() if backend["asked"]}
    gaps = any(
        check.verdict in ("crashed", "timeout") or (check.verdict == "not-run" and check.backend in asked)
        for check in checks
    )
    # A device or a mode is in the record because it was asked for, or is the default. That one backend does not have
    # it is no gap; that none has it is one.
    planned = {place for check in checks if check.loss != "*" for place in (check.device, check.mode)}
    reached = {place for check in checks if check.verdict not in INCOMPLETE for place in (check.device, check.mode)}
    if gaps or planned - reached or not verdicts - INCOMPLETE - {"unsupported"}:
        return 3
    return 1 if verdicts & FAILING else 0


def host() -> dict[str, Any]:
    """The machine and this process, as far as they can bear on a number."""
    processor = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = named[0].partition(":")[2].strip() if named else processor
    return {
        "lossparity": lossparity.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor,
        "cpus": os.cpu_count(),
    }


@dataclass
class _Worker:
    """A backend's process and what it has said so far."""

    backend: str
    asked: bool
    selection: Selection
    seed: int
    python: str | None
    library: str | None = None
    status: str = "complete"
    reason: str = ""
    last_words: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    implementations: dict[str, Any] = field(default_factory=dict)
    census: dict[str, Any] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    planned: list[Check] | None = None
    results: list[Check] = field(default_factory=list)
    seconds: float = 0.0
    done: bool = False
    process: subprocess.Popen[str] | None = None
    heard: float = 0.0
    started: float = 0.0

    def start(self, messages: queue.Queue[tuple[_Worker, str | None]], nowhere: str) -> bool:
        """Start the process; False, with the reason kept, where the backend is not installed.

        nowhere: an empty folder to start in. `-m` puts the current one on the path, and that may be a framework's
        checkout, whose sources must not be taken for what is installed.
        """
        missing = None if self.python else adapters.BACKENDS[self.backend].missing()
        if missing:
            self.status, self.reason = "not-run", missing
            return False
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed in finish
        self.process = subprocess.Popen(
            [os.path.abspath(self.python or sys.executable), "-m", "lossparity.conformance.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=self._surroundings(),
            cwd=self.library if self.python and self.library else nowhere,
            start_new_session=True,  # so that it can be ended with whatever it started
        )
        configuration = {"backend": self.backend, "seed": self.seed, "selection": dataclasses.asdict(self.selection)}
        process = self.process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the pipes of a process that was started with pipes are open")
        try:
            process.stdin.write(json.dumps(configuration))
            process.stdin.close()
        except BrokenPipeError:
            pass  # it died at once: the reader sees the end of its answers
        stream = process.stdout

        def listen() -> None:
            for line in stream:
                messages.put((self, line))
            messages.put((self, None))

        threading.Thread(target=listen, daemon=True).start()
        self.started = self.heard = time.monotonic()
        return True

    def _surroundings(self) -> dict[str, str]:
        if not self.library or not self.python:
            path = os.pathsep.join(
                os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each
            )
            return {**ONE_THREAD, **os.environ, **({"PYTHONPATH": path} if path else {})}
        ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        return {**ONE_THREAD, **ours, "PYTHONPATH": self.library}

    def hear(self, line: str) -> None:
        """Take in one line of the answer."""
        self.heard = time.monotonic()
        try:
            message = json.loads(line)
        except ValueError:
            return  # the last line of a process that died while writing, or printed by its interpreter
        if not isinstance(message, dict):
            return
        self.environment = message.get("environment", self.environment)
        self.implementations = message.get("implementations", self.implementations)
        self.census = message.get("census", self.census)
        for key, heard in message.get("warnings", {}).items():
            self.warnings.setdefault(key, []).extend(heard)
        if "plan" in message:
            self.planned = [Check(*row) for row in message["plan"]]
        if "result" in message:
            self.results.append(Check(*message["result"]))
        self.done = self.done or "done" in message

    def finish(self, patience: float, *, hung: bool = False) -> None:
        """The process has ended or will do so soon; or it hangs: it said nothing for `patience` seconds."""
        if self.process is None:
            return
        if hung:
            _end(self.process)
        stuck = False
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:  # it closed its answers, and hangs in taking itself down
            stuck = True
            _end(self.process)
            code = self.process.wait()
        self.seconds = round(time.monotonic() - self.started, 3)
        self.log.seek(0)
        words = self.log.read().strip()
        self.log.close()
        if hung:
            self.status, self.reason = "timeout", f"no sign of life for {patience:g} s"
        elif stuck and not self.done:
            self.status, self.reason = "timeout", f"its answers ended, but not its process in {patience:g} s"
        elif not self.done:
            self.status, self.reason = "crashed", f"its process ended {_ending(code)}"
        if not self.done:
            self.last_words = _last_words(words)

    def checks(self) -> list[Check]:
        """Every check that was planned: decided, or with the reason why not."""
        if self.status == "complete":
            return self.results
        nothing = not_installed(self.backend, self.reason)
        left = [nothing] if self.planned is None else self.planned[len(self.results) :]
        reason = self.reason if not self.last_words else f"{self.reason}; its last words: {_last_line(self.last_words)}"
        first = [dataclasses.replace(check, verdict=self.status, reason=reason) for check in left[:1]]
        rest = f"{self.backend} {'hung' if self.status == 'timeout' else 'crashed'} before this check"
        return [
            *self.results,
            *first,
            *(dataclasses.replace(each, verdict="not-run", reason=rest) for each in left[1:]),
        ]

    def summary(self) -> dict[str, Any]:
        """The backend's line in the record."""
        return {
            "status": self.status,
            "asked": self.asked,
            "reason": self.reason,
            "last_words": self.last_words,
            "seconds": self.seconds,
        }


def _supervise(workers: Sequence[_Worker], timeout: float, jobs: int, progress: Progress, nowhere: str) -> None:
    """Keep `jobs` processes going until every worker has ended."""
    messages: queue.Queue[tuple[_Worker, str | None]] = queue.Queue()
    waiting = list(workers)
    running: list[_Worker] = []

    def end(worker: _Worker, hung: bool = False) -> None:
        worker.finish(timeout, hung=hung)
        running.remove(worker)
        progress(worker.backend, len(worker.results), len(worker.planned or ()), worker.status)

    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                worker = waiting.pop(0)
                if worker.start(messages, nowhere):
                    running.append(worker)
                    progress(worker.backend, 0, 0, "running")
                else:
                    progress(worker.backend, 0, 0, worker.status)
            if not running:
                continue
            patience = max(0.0, min(worker.heard for worker in running) + timeout - time.monotonic())
            try:
                worker, line = messages.get(timeout=patience)
            except queue.Empty:
                for worker in [w for w in running if time.monotonic() - w.heard >= timeout]:
                    end(worker, hung=True)
                continue
            if worker not in running:
                continue  # the end of the answers of one that was killed
            if line is None:
                end(worker)
            else:
                worker.hear(line)
                progress(worker.backend, len(worker.results), len(worker.planned or ()), "running")
    finally:
        for worker in running:  # an interrupt: leave no process behind
            if worker.process is not None:
                _end(worker.process)
                worker.process.wait()


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process and its children: an interpreter may be a script that starts the real one."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _ending(code: int) -> str:
    if code < 0:
        names = {int(each): each.name for each in signal.Signals}
        return f"by {names.get(-code, f'signal {-code}')}"
    return f"with exit code {code}"


def _last_words(words: str) -> str:
    """The end of what a process said: from faulthandler its headline and where it was, else the last lines."""
    lines = [line for line in words.splitlines() if line.strip() and not line.startswith("Extension modules: ")]
    start = next((i for i, line in enumerate(lines) if line.startswith(_FATAL)), len(lines) - 20)
    return "\n".join(lines[max(start, 0) :][:20])[-4000:]


def _last_line(words: str) -> str:
    """What a process died of: faulthandler's headline, or else the last thing it said."""
    lines = words.splitlines()
    fatal = [line for line in lines if line.startswith(_FATAL)]
    return (fatal or lines)[-1][:300]
