"""A worker with a fault: what its interpreter runs in its place."""

from __future__ import annotations

WORKER = "import runpy; runpy.run_module('lossparity.conformance.execution.worker', run_name='__main__')"
# Runs the real worker, and before the checks of which {when} holds what follows.
FAULTY = """
import os, signal, sys, time
from lossparity.conformance import judge
decide, count = judge.Judge.__call__, []
def faulty(self, check):
    count.append(check)
    if {when}:
        {what}
    return decide(self, check)
judge.Judge.__call__ = faulty
"""
