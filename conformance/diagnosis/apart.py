"""A diagnosis made in a process of its own, so that whatever the target does ends in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from lossparity.conformance.diagnosis.pulse import Pulse
from lossparity.conformance.diagnosis.target import TargetError
from lossparity.conformance.execution.installers import end_all
from lossparity.conformance.execution.scratch import scratch

_POLL = 0.05  # seconds
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}


def diagnosed(request: Mapping[str, Any], limit: float) -> dict[str, Any]:
    """What `diagnose(**request)` finds, as data. limit: the seconds that one call, or the import, may take.

    Errors: TargetError, where the target cannot be called, does not come back, or ends the process; RuntimeError where
    the suite itself fails.
    """
    with scratch(tempfile.gettempdir(), "lossparity-check-") as folder:
        (folder / "request.json").write_text(json.dumps({**request, "root": os.getcwd()}), encoding="utf-8")
        (folder / "run").mkdir()
        pulse = Pulse(folder / "pulse")
        with (folder / "printed").open("wb") as printed, (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "lossparity.conformance.diagnosis.worker", str(folder)],
                cwd=folder / "run",
                env={**os.environ, **_QUIET},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                start_new_session=True,
            )
            try:
                _wait(process, pulse, limit, str(request["word"]))
            finally:
                if process.poll() is None:
                    end_all(process)
        if not (folder / "answer.json").exists():
            raise _failed(process.returncode, pulse, (folder / "said").read_text(encoding="utf-8", errors="replace"))
        answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        if "refused" in answer:
            raise TargetError(answer["refused"])
        found: dict[str, Any] = answer["diagnosis"]
        written = sorted(str(each.relative_to(folder / "run")) for each in (folder / "run").rglob("*"))
        if written:
            found["notes"].append(f"it writes files where it is run: {', '.join(written[:5])}")
        if (folder / "printed").stat().st_size:
            found["notes"].append("it prints to standard output")
        return found


def _wait(process: subprocess.Popen[bytes], pulse: Pulse, limit: float, word: str) -> None:
    """Until the process ends. TargetError where one stay in the target's code takes longer than `limit`."""
    last, since = pulse.read(), time.monotonic()
    while True:
        try:
            process.wait(_POLL)
            return
        except subprocess.TimeoutExpired:
            now = pulse.read()
            if now != last or not now[1]:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > limit:
                what = "importing it" if now[0] <= 1 else "a call of it"
                raise TargetError(f"{word} does not come back: {what} took over {limit:g} s (--timeout)") from None


def _failed(code: int, pulse: Pulse, said: str) -> Exception:
    """Why there is no answer."""
    if pulse.read()[1]:  # it ended inside the target's code
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return TargetError(f"it ends the process that imports or calls it, with {how}")
    last = said.strip().splitlines()[-1:] or [f"exit code {code}"]
    return RuntimeError(f"the diagnosis ended without an answer: {last[0]}")
