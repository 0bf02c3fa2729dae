"""The process in which somebody's loss is imported and called: it may hang, exit or crash, and take only itself along.

    python -m lossparity.conformance.diagnosis.worker FOLDER

FOLDER holds request.json, the keyword arguments of `diagnose`.
What comes of it is answer.json: {"diagnosis": ...}, or {"refused": sentence} where the target cannot be called. The
process is started in an empty folder, so that what a loss writes is seen and hurts nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lossparity.conformance.diagnosis import calling
from lossparity.conformance.diagnosis.pulse import Pulse


def main(folder: Path) -> None:
    """Answer the request in `folder`."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    calling.PULSE = Pulse(folder / "pulse")
    from lossparity.conformance.diagnosis.diagnose import diagnose
    from lossparity.conformance.diagnosis.target import TargetError
    from lossparity.conformance.record import write_whole

    answer: dict[str, Any]
    try:
        answer = {"diagnosis": diagnose(**request).data()}
    except TargetError as error:
        answer = {"refused": str(error)}
    write_whole(folder / "answer.json", json.dumps(answer).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
