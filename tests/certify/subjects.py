"""Every loss that is certified."""

from __future__ import annotations

from certify import boxes, classification, focal, regression
from certify.search import Subject

SUBJECTS: list[Subject] = [
    *regression.SUBJECTS,
    *classification.SUBJECTS,
    *focal.SUBJECTS,
    *boxes.SUBJECTS,
]
