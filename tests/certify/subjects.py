"""Every loss that is certified."""

from __future__ import annotations

from certify import classification
from certify.search import Subject

SUBJECTS: list[Subject] = [*classification.SUBJECTS]
