"""Tests that need a process to themselves: torch and TensorFlow in one was seen to end in a segmentation fault."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from lossparity import adapters

# The suite's own backends that can share a process with these tests, and for each other home those that share one.
# TensorFlow's cannot, nor can what environment variables choose.
_APART = {each.home for each in adapters.OURS if each.engine == "tensorflow" or each.variables}
HERE = tuple(each.name for each in adapters.OURS if each.home not in _APART)
ELSEWHERE = {
    home: tuple(each.name for each in adapters.OURS if each.home == home)
    for home in dict.fromkeys(each.home for each in adapters.OURS if each.home in _APART)
}

_ENV = "LOSSPARITY_OWN_PROCESS"


def is_own(module: str) -> bool:
    """Whether this process was started by `passes` to run the tests of the framework `module`."""
    return os.environ.get(_ENV) == module


def passes(module: str, file: str) -> None:
    """Run the tests in `file` in a new process, where `is_own(module)`; skip where the framework is not installed.

    module: a framework, or a home in ELSEWHERE.
    """
    if module in ELSEWHERE:
        missing = adapters.BACKENDS[ELSEWHERE[module][0]].missing()
        if missing:
            pytest.skip(missing)
    elif importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, env={**os.environ, _ENV: module}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr[-2000:]}"


def environment() -> dict[str, str]:
    """What such a process runs with: one thread, no chatter, and the helpers of these tests."""
    folders = [os.path.dirname(__file__), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    words = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1", "PYTHONPATH": os.pathsep.join(folders)}
    return {**os.environ, **words}
