"""The exit codes, and the two ways in which a command ends without a result."""

from __future__ import annotations

HOLDS, BROKEN, USAGE, INCOMPLETE = 0, 1, 2, 3


class UsageError(Exception):
    """The command asks for what there is not; the message says what there is."""


class IncompleteError(Exception):
    """Something that was asked for could not run; the message says why and what to do."""
