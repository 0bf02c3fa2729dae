"""The cases of one function, each checked by itself: what the tests of `lossparity.testing.conforms` are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lossparity.adapters import engines
from lossparity.conformance.cases import Case
from lossparity.conformance.diagnosis.search import Comparison, counts
from lossparity.conformance.diagnosis.subject import Subject, subjects
from lossparity.conformance.diagnosis.target import Target, told


@dataclass(frozen=True)
class Single:
    """One case of a function in one dtype."""

    subject: Subject
    case: Case
    dtype: str
    seed: int

    @property
    def id(self) -> str:
        """CASE/DTYPE."""
        return f"{self.case.name}/{self.dtype}"

    def failures(self) -> list[tuple[str, str]]:
        """(CASE/DTYPE/ASPECT, words) of each aspect that differs from the definition.

        Where its inputs leave the result to convention (NaN, infinite, empty, a kink's slope), nothing does.
        """
        comparison = Comparison(self.subject, self.seed, [(self.case, self.dtype)])
        loss = self.subject.loss
        for row in comparison.refused:
            return [(f"{self.id}/value", f"{loss}, {self.id}: it raises {told(row.outcome.error or Exception())}")]
        return [
            (f"{self.id}/{aspect}", f"{loss}, {self.id}: {ruling.reason}")
            for row, rulings in zip(comparison.rows, comparison.canonical, strict=True)
            for aspect, ruling in rulings.items()
            if row.finite and counts(row, aspect) and ruling.verdict != "match" and ruling.symptom != "digits"
        ]


def rows(
    target: Target,
    loss: str,
    takes: Collection[str] | None,
    arguments: Mapping[str, str],
    reductions: Sequence[str],
    dtypes: Sequence[str],
    seed: int,
) -> Iterator[Single]:
    """Every case of the loss that the target takes, in every dtype.

    takes: the optional arguments that it takes; None: those that its names say. arguments: {ours: theirs}.
    Errors: TargetError, where it cannot be called.
    """
    engine = engines.load(target.engine)
    given = {theirs: ours for ours, theirs in arguments.items()}
    subject = next(subjects(target, engine, loss, given, reductions, dtypes, seed, takes))
    for case, dtype in subject.rows():
        yield Single(subject, case, dtype, seed)
