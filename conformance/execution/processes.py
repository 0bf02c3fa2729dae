"""A worker's process, seen from outside: started, given work, heard, ended.

worker.py says what the two say to each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from lossparity.conformance.execution.plan import Range

# The arrays are small and several processes share the machine: more threads would only wait for each other, and
# whoever takes all of a GPU's memory at once leaves none. What the user's environment sets goes before this.
MODEST = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}

_LINGERING = 5.0  # seconds that a process may take to end after its last word
_FATAL = "Fatal Python error: "  # with which faulthandler begins

Messages: TypeAlias = "queue.Queue[tuple[Process, list[bytes] | None]]"


class Process:
    """One process of a backend.

    waiting: the positions that it was given and has not decided. ready: it waits for work.
    closed: it was told that there is no more. alone: it is for one unit of work; spent: it has had it.
    heard: when it last gave a sign of life, on the monotonic clock.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any],
        messages: Messages,
        nowhere: str,
        python: str | None = None,
        library: str | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """Start it.

        nowhere: an empty folder to start in. `-m` puts the current one on the path, and that may be a framework's
            checkout, whose sources must not be taken for what is installed.
        python: the interpreter, where it is not this one's; library: the folder with lossparity for it.
        alone: it gets one unit of work and ends.
        """
        self.alone = alone
        self.waiting: deque[int] = deque()
        self.ready = self.closed = self.spent = False
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed in `wait`
        elsewhere = library if python else None
        self.process = subprocess.Popen(
            [os.path.abspath(python or sys.executable), "-m", "lossparity.conformance.execution.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=_surroundings(elsewhere),
            cwd=elsewhere or nowhere,
            start_new_session=True,  # so that it can be ended with whatever it started
        )
        self._say(configuration)
        stream: Any = self.process.stdout

        def listen() -> None:
            rest = b""
            while piece := os.read(stream.fileno(), 1 << 16):
                *lines, rest = (rest + piece).split(b"\n")
                if lines:
                    messages.put((self, lines))
            messages.put((self, None))

        threading.Thread(target=listen, daemon=True).start()
        self.started = self.heard = time.monotonic()

    def give(self, ranges: Sequence[Range]) -> None:
        """Have it decide these checks."""
        self.ready = False
        self.heard = time.monotonic()  # it was waiting for us
        self.waiting.extend(position for start, stop in ranges for position in range(start, stop))
        self._say({"run": ranges})

    def describe(self) -> None:
        """Have it say what it sees, and the plan."""
        self.ready = False
        self.heard = time.monotonic()
        self._say({"describe": True})

    def close(self) -> None:
        """Tell it that there is no more."""
        self.ready, self.closed = False, True
        self.heard = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()

    def kill(self) -> None:
        """End it with its children: an interpreter may be a script that starts the real one."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def wait(self, patience: float) -> tuple[str | None, str]:
        """How it ended, now that its answers have; and its last words. None: it did not, and was killed."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        ending: str | None
        try:
            ending = _ending(self.process.wait(min(patience, _LINGERING)))
        except subprocess.TimeoutExpired:  # it closed its answers, and hangs in taking itself down
            self.kill()
            self.process.wait()
            ending = None
        self.log.seek(0)
        words = self.log.read().strip()
        self.log.close()
        return ending, _last_words(words)

    @property
    def _input(self) -> Any:
        return self.process.stdin

    def _say(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died: the end of its answers says so
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()


def message(line: bytes) -> dict[str, Any]:
    """What a worker said in one line; nothing for what it did not say: its interpreter, or a line cut off by death."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def last_line(words: str) -> str:
    """What a process died of: faulthandler's headline, or else the last thing it said."""
    lines = words.splitlines()
    fatal = [line for line in lines if line.startswith(_FATAL)]
    return (fatal or lines)[-1][:300]


def _surroundings(library: str | None) -> dict[str, str]:
    if not library:
        path = os.pathsep.join(
            os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each
        )
        return {**MODEST, **os.environ, **({"PYTHONPATH": path} if path else {})}
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {**MODEST, **ours, "PYTHONPATH": library}


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
