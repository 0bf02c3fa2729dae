"""`lossparity run`: shards of each backend in processes of their own, and what comes of it in one record."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence

from lossparity import adapters
from lossparity.conformance.execution.pool import DEFAULT_JOBS, DEFAULT_TIMEOUT, Progress, Task, supervise
from lossparity.conformance.execution.recording import Part, assemble
from lossparity.conformance.matrix import DEFAULT_SEED, Selection
from lossparity.conformance.record import FAILING, INCOMPLETE, Run

__all__ = ["DEFAULT_JOBS", "DEFAULT_TIMEOUT", "Progress", "exit_code", "run"]


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
    timeout: seconds without a sign of life after which a process is taken to hang.
    jobs: processes at a time. The record does not depend on it.
    progress: called with (backend, checks done, checks planned, status).
    """
    started = datetime.datetime.now(datetime.timezone.utc)
    clock = time.perf_counter()
    tasks = [
        Task(Part(name, bool(backends)), selection, seed, (pythons or {}).get(name), library)
        for name in backends or adapters.BACKENDS
    ]
    supervise(tasks, timeout, jobs, progress)
    return assemble(
        [task.part for task in tasks],
        selection=selection,
        seed=seed,
        command=command,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - clock, 3),
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
