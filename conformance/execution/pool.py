"""Several processes at a time, of one backend or of many, and what to do when one of them dies or hangs.

A process gets a stretch of its backend's plan at a time, long ones first, so that all end together. When it dies, the
check that it was at has that for a verdict, and another process goes on behind it: three times, then the backend is
given up. What may leave a process unable to decide anything else comes last, each unit in a process of its own.
"""

from __future__ import annotations

import os
import queue
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from typing import Any, TypeAlias

from lossparity import adapters
from lossparity.conformance.execution.plan import PLANNED, Range, dangerous, size, take, units
from lossparity.conformance.execution.processes import Messages, Process, message
from lossparity.conformance.execution.recording import Part
from lossparity.conformance.matrix import Selection
from lossparity.conformance.record import Check

# A process that says nothing for so long (in its import, or at one check) is taken to hang.
DEFAULT_TIMEOUT = 120.0
# What this process may use, up to a number at which the frameworks' memory (0.5 GB each) is what runs out.
DEFAULT_JOBS = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)

RESTARTS = 3
# A further process of a backend costs one more import, which takes as long as about so many checks.
_WORTH_A_PROCESS = 1500
_SHORTEST_STRETCH = 100  # checks: a few hundredths of a second, beside which the asking for more is nothing

Progress: TypeAlias = Callable[[str, int, int, str], None]

_planned = attrgetter(*PLANNED)


@dataclass(eq=False)
class Task:
    """A backend (or a shard of one) to be decided, and how far that is.

    waiting, alone: the units that no process has yet; those to be decided in processes of their own.
    """

    part: Part
    selection: Selection
    seed: int
    python: str | None = None
    library: str | None = None
    waiting: list[Range] = field(default_factory=list)
    alone: list[Range] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    began: float = 0.0
    breaks: int = 0
    describing: Process | None = None
    over: bool = False

    @property
    def name(self) -> str:
        """The backend's."""
        return self.part.backend

    def wants(self) -> float:
        """How much each process would have to do, were there one more; 0 where there is nothing for another."""
        part = self.part
        if self.over:
            return 0.0
        if not self.processes:
            return float(part.plan is None or size(self.waiting) + size(self.alone))
        if part.plan is None:  # all of it is known to be enough for two
            everything = not (self.selection.losses or self.selection.expression or self.selection.shard)
            return _WORTH_A_PROCESS if everything and len(self.processes) == 1 else 0.0
        if self.waiting:
            each = size(self.waiting) / (1 + sum(not process.ready for process in self.processes))
            return each if each >= _WORTH_A_PROCESS else 0.0
        unspent = sum(process.alone and not process.spent for process in self.processes)
        return float(len(self.alone) > unspent and all(process.alone for process in self.processes))

    def start(self, messages: Messages, nowhere: str) -> bool:
        """Start one more process; False, with the reason kept, where the backend is not installed."""
        if not self.began:
            self.began = time.monotonic()
            missing = None if self.python else adapters.BACKENDS[self.name].missing()
            if missing:
                self.part.status, self.part.reason = "not-run", missing
                self.over = True
                return False
        configuration = {"backend": self.name, "seed": self.seed, "selection": asdict(self.selection)}
        last = self.part.plan is not None and not self.waiting
        self.processes.append(Process(configuration, messages, nowhere, self.python, self.library, alone=last))
        return True

    def hear(self, process: Process, said: dict[str, Any]) -> None:
        """Take in one message."""
        part = self.part
        part.environment = said.get("environment", part.environment)
        part.implementations = said.get("implementations", part.implementations)
        part.census = said.get("census", part.census)
        for key, heard in said.get("warnings", {}).items():
            part.warnings.setdefault(key, []).extend(heard)
        for mode, count in said.get("programs", {}).items():
            part.programs[mode] = part.programs.get(mode, 0) + count
        if "plan" in said:
            self._plan(said["plan"], said["ranges"], said["of"])
        if "result" in said and part.plan is not None:
            position, *decided = said["result"]
            part.decided[position] = Check(*_planned(part.plan[position]), *decided)
            if process.waiting and process.waiting[0] == position:
                process.waiting.popleft()
        process.ready = process.ready or "ready" in said

    def _plan(self, rows: Sequence[Sequence[Any]], ranges: Sequence[Range], of: int) -> None:
        positions = [position for start, stop in ranges for position in range(start, stop)]
        checks = [Check(*row) for row in rows]
        self.part.plan, self.part.of = dict(zip(positions, checks, strict=True)), of
        for start, stop in units(checks):
            unit = positions[start], positions[stop - 1] + 1
            (self.alone if dangerous(checks[start]) else self.waiting).append(unit)

    def feed(self, jobs: int) -> None:
        """Give each process that waits for work what is next, or tell it that there is nothing."""
        for process in self.processes:
            if process.ready:
                self._feed(process, jobs)

    def _feed(self, process: Process, jobs: int) -> None:
        if self.part.plan is None:
            if self.describing is None:
                self.describing = process
                process.describe()
        elif self.over:
            process.close()
        elif process.alone:
            if not self.alone or process.spent:
                process.close()
            else:
                process.give(self.alone[:1])
                process.spent = True
                del self.alone[:1]
        elif self.waiting:
            process.give(take(self.waiting, max(_SHORTEST_STRETCH, size(self.waiting) // (2 * jobs))))
        else:
            process.close()

    def ended(self, process: Process, timeout: float, *, hung: bool) -> None:
        """A process has ended, or hangs: it said nothing for `timeout` seconds."""
        if hung:
            process.kill()
        ending, words = process.wait(timeout)
        self.processes.remove(process)
        part = self.part
        part.seconds = round(time.monotonic() - self.began, 3)
        if process.closed and not process.waiting:
            return  # all that it was given is decided: how it ends changes nothing
        if hung:
            status, reason = "timeout", f"no sign of life for {timeout:g} s"
        elif ending is None:
            status, reason = "timeout", "its answers ended, but not its process"
        else:
            status, reason = "crashed", f"its process ended {ending}"
        reason = part.broke(status, reason, words)
        if self.describing is process and part.plan is None:
            self.describing = None
        if process.waiting and part.plan is not None:
            position = process.waiting.popleft()
            part.decided[position] = replace(part.plan[position], verdict=status, reason=reason)
            self._take_back(list(process.waiting))
        self.breaks += not process.alone
        if self.breaks > RESTARTS or (part.plan is None and not self.processes):
            self.over = True

    def _take_back(self, positions: Sequence[int]) -> None:
        """What a process that died had still to do is the next to be done, from where it stopped."""
        plan = self.part.plan or {}
        for start, stop in reversed(units([plan[position] for position in positions])):
            self.waiting.insert(0, (positions[start], positions[stop - 1] + 1))


def supervise(tasks: Sequence[Task], timeout: float, jobs: int, progress: Progress) -> None:
    """Keep up to `jobs` processes going until every task is done, given up or has nothing to run on."""
    messages: Messages = queue.Queue()

    def tell(task: Task, status: str = "running") -> None:
        progress(task.name, len(task.part.decided), len(task.part.plan or ()), status)

    def end(task: Task, process: Process, hung: bool = False) -> None:
        task.ended(process, timeout, hung=hung)
        task.feed(jobs)
        if not task.processes and not task.wants():
            tell(task, task.part.status)

    with tempfile.TemporaryDirectory() as nowhere:
        try:
            while True:
                while sum(len(task.processes) for task in tasks) < jobs:
                    task = _next(tasks)
                    if task is None:
                        break
                    first = not task.began
                    if not task.start(messages, nowhere):
                        tell(task, task.part.status)
                    elif first:
                        tell(task)
                running = {process: task for task in tasks for process in task.processes}
                if not running:
                    return
                busy = [process for process in running if not process.ready]
                patience = max(0.0, min(each.heard for each in busy or running) + timeout - time.monotonic())
                try:
                    process, lines = messages.get(timeout=patience)
                except queue.Empty:
                    for process in [each for each in busy if time.monotonic() - each.heard >= timeout]:
                        end(running[process], process, hung=True)
                    continue
                if process not in running:
                    continue  # the end of the answers of one that was killed
                if lines is None:
                    end(running[process], process)
                    continue
                process.heard = time.monotonic()
                for line in lines:
                    said = message(line)
                    running[process].hear(process, said)
                    if "result" in said:
                        tell(running[process])
                    else:
                        running[process].feed(jobs)
        finally:
            for task in tasks:  # an interrupt: leave no process behind
                for process in task.processes:
                    process.kill()
                    process.wait(timeout)


def _next(tasks: Sequence[Task]) -> Task | None:
    """The task that a process is to be started for: one that has not begun, else the one with the most to do."""
    for task in tasks:
        if not task.began:
            return task
    most = max(tasks, key=Task.wants, default=None)
    return most if most is not None and most.wants() else None
