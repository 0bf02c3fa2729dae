"""Tests that need a process to themselves: torch and TensorFlow in one was seen to end in a segmentation fault."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

_ENV = "LOSSPARITY_OWN_PROCESS"


def is_own(module: str) -> bool:
    """Whether this process was started by `passes` to run the tests of the framework `module`."""
    return os.environ.get(_ENV) == module


def passes(module: str, file: str) -> None:
    """Run the tests in `file` in a new process, where `is_own(module)`; skip where the framework is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, env={**os.environ, _ENV: module}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr[-2000:]}"
