"""What the subject computes against the definition, and against every hypothesis about it, singly and in pairs."""

from __future__ import annotations

import fnmatch
import itertools
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lossparity.conformance import tolerance
from lossparity.conformance.cases import Case
from lossparity.conformance.compare import Outcome, Ruling, compare_numbers
from lossparity.conformance.describe import DEFINITIONS
from lossparity.conformance.diagnosis.hypotheses import Hypothesis, hypotheses, reading
from lossparity.conformance.diagnosis.subject import Subject
from lossparity.reference.precision import FORMATS, Native

_PROBED = 8  # failing rows on which a hypothesis is tried before it is tried on all
_EDGES = {"undefined": "where the result is undefined", "ignored": "for ignored labels, which it has no option for"}
_TIMED = 16  # rows after which it is seen how slow the target is
_BUDGET = 60.0  # seconds that its rows may take; a slower target is called with every second row, or third, ...
_TOGETHER = 6  # hypotheses and pairs that are tried on all rows, or paired with every other
_EXPLAINS = 0.8  # the share of failing rows that a hypothesis must explain to be named, where none explains all


@dataclass(frozen=True)
class Row:
    """One call of the subject and what came of it.

    edge: what is special about its inputs ("" for ordinary ones): NaN, infinite or empty. Conventions differ there.
    excused: the aspects in which it is expected to differ.
    """

    case: Case
    dtype: str
    arguments: Mapping[str, Any]
    outcome: Outcome
    cotangent: Any
    edge: str
    excused: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """CASE/DTYPE."""
        return f"{self.case.name}/{self.dtype}"

    @property
    def finite(self) -> bool:
        """Whether the inputs are ordinary ones."""
        return not self.edge


@dataclass(frozen=True)
class Explanation:
    """Hypotheses that together explain what the subject computes.

    explained, left: rows that differ from the definition and agree so; rows that differ all the same.
    """

    hypotheses: tuple[Hypothesis, ...]
    explained: int
    left: int

    @property
    def documented(self) -> bool:
        """Whether each of them is a documented dialect."""
        return all(each.source for each in self.hypotheses)


class Comparison:
    """The subject's rows and the rulings on them."""

    def __init__(
        self,
        subject: Subject,
        seed: int,
        rows: Sequence[tuple[Case, str]] | None = None,
        expected_failures: Collection[str] = (),
    ) -> None:
        self.subject, self.seed = subject, seed
        self.loss = DEFINITIONS[subject.loss]
        self.judge = judge = subject.judge(seed)
        self.rows: list[Row] = []
        taken = list(subject.rows() if rows is None else rows)
        started, step = time.monotonic(), 1
        for i, (case, dtype) in enumerate(taken):
            if i == _TIMED:
                step = max(1, math.ceil((time.monotonic() - started) / _TIMED * len(taken) / _BUDGET))
            if i % step:
                continue
            arguments = judge.call(case, dtype).arguments
            outcome = judge.outcome(subject.implementation, case, dtype, "cpu", next(iter(subject.engine.MODES)))
            shape = np.shape(self.loss(**arguments))
            row = Row(case, dtype, arguments, outcome, case.cotangent(seed, dtype, shape), self._edge(arguments))
            self.rows.append(row)
        self.skipped = len(taken) - len(self.rows)
        self.refused = [row for row in self.rows if row.outcome.error is not None]
        self.rows = [row for row in self.rows if row.outcome.error is None]
        self.canonical = [self.rulings(row, ()) for row in self.rows]
        self.stale = [pattern for pattern in expected_failures if not self._excuse(pattern)]

    def _excuse(self, pattern: str) -> bool:
        """Excuse the checks that differ and whose CASE/DTYPE/ASPECT the pattern matches; whether there are any."""
        before = [len(row.excused) for row in self.rows]
        for i, (row, rulings) in enumerate(zip(self.rows, self.canonical, strict=True)):
            bad = {
                aspect
                for aspect, ruling in rulings.items()
                if ruling.verdict != "match" and fnmatch.fnmatch(f"{row.id}/{aspect}", pattern)
            }
            self.rows[i] = replace(row, excused=row.excused | bad)
        return before != [len(row.excused) for row in self.rows]

    def rulings(self, row: Row, together: tuple[Hypothesis, ...]) -> dict[str, Ruling]:
        """The ruling on each aspect of a row, in the reading that hypotheses make of the definition.

        A mismatch whose symptom is "digits" is close where it counts: see `_digits_only`.
        """
        try:
            returned = row.outcome.dtypes.get("value", str(np.asarray(row.outcome.value).dtype))
            narrowed = returned in FORMATS and FORMATS[returned].digits < FORMATS[row.dtype].digits
            dtype = returned if narrowed else row.dtype  # how far off it may be, once it has given its digits away
            expected = self.expected(row, together, dtype)
        except (ValueError, TypeError, IndexError) as error:  # the reading does not fit this call
            return {"value": Ruling("mismatch", f"the reading does not fit: {error}")}
        found: dict[str, Ruling] = {}
        value = np.asarray(row.outcome.value)
        if value.shape == (1,) and expected.value.shape == ():
            value = value.reshape(())
        if returned != row.dtype:
            found["dtype"] = Ruling("mismatch", f"the value is {returned} for inputs of {row.dtype}", result=returned)
        pairs = [("value", value, expected.value, expected.value_tolerance)]
        for name, gradient in row.outcome.gradients.items():
            if gradient is None or name not in expected.gradients:
                continue
            want, limit = expected.gradients[name], expected.gradient_tolerances[name]
            if np.shape(gradient) != want.shape and np.size(gradient) == want.size:  # a dialect reshaped its argument
                want, limit = (each.reshape(np.shape(gradient)) for each in (want, limit))
            pairs.append((f"gradient:{name}", np.asarray(gradient), want, limit))
        symptoms = {each.symptom for each in together}
        size = _largest(row.arguments)
        lost = together and not np.isfinite(expected.value).all() and not np.isfinite(value).all()
        for aspect, got, want, limit in pairs:
            if lost and aspect != "value":  # the gradient of a value that overflowed is no number to compare
                continue
            if together and got.shape == want.shape:  # which of NaN and infinity an overflow becomes is no matter
                got = np.where(np.isfinite(got) | np.isfinite(want), got, want)
                if "nan" in symptoms and aspect != "value":
                    got = np.where(np.isnan(got), want, got)
            ruling = compare_numbers(aspect, got, want, limit, dtype, row.arguments)
            if ruling.verdict != "match" and _digits_only(got, want, dtype, max(size, 1.0) if together else size):
                ruling = replace(ruling, symptom="digits")
            found[aspect] = ruling
        return found

    def expected(self, row: Row, together: tuple[Hypothesis, ...], dtype: str) -> tolerance.Expected:
        """What the reading says of a row; of a hypothesis without tolerances: it is about the formula, not rounding."""
        arguments, form = reading(self.loss, together, row.arguments)
        shape = np.asarray(row.outcome.value).shape
        cotangent = row.cotangent
        if shape not in ((1,), np.shape(cotangent)):
            cotangent = row.case.cotangent(self.seed, row.dtype, shape)
        if not together:
            return tolerance.expect(self.loss, arguments, dtype, cotangent)
        with np.errstate(all="ignore"):
            if form is None:
                value, pullback = self.loss.vjp(**arguments)
                gradients = pullback(cotangent)
            else:
                value, gradients = self.loss.evaluate(Native(dtype), arguments, cotangent, form)
        found = {name: np.asarray(each, dtype=np.float64) for name, each in gradients.items()}
        nothing = {name: np.zeros(each.shape) for name, each in found.items()}
        value = np.asarray(value, dtype=np.float64)
        return tolerance.Expected(value, found, np.zeros(value.shape), nothing)

    def _edge(self, arguments: Mapping[str, Any]) -> str:
        """What is special about a call's inputs, in a word; "" for ordinary ones."""
        arrays = [each for each in arguments.values() if isinstance(each, np.ndarray)]
        if any(not each.size for each in arrays):
            return "empty"
        floats = [each for each in arrays if each.dtype.kind == "f"]
        if any(np.isnan(each).any() for each in floats):
            return "NaN"
        if any(np.isinf(each).any() for each in floats):
            return "infinite"
        labels = arguments.get("target")
        cannot = "ignore_index" in self.loss.arguments and "ignore_index" not in self.subject.implementation.parameters
        if cannot and isinstance(labels, np.ndarray) and labels.dtype.kind in "iu" and (labels < 0).any():
            return "ignored"  # which it has no option for
        if np.isnan(self.loss(**arguments)).any():
            return "undefined"
        alpha = arguments.get("alpha")
        return "alpha < 0" if isinstance(alpha, (int, float)) and alpha < 0.0 else ""

    def differing(self) -> list[int]:
        """The rows that differ from the definition, ordinary inputs only, and not for their dtype."""
        return [
            i
            for i, (row, rulings) in enumerate(zip(self.rows, self.canonical, strict=True))
            if row.finite and not agrees(row, rulings)
        ]

    def explain(self, pairs: bool = True) -> Explanation | None:
        """The smallest set of hypotheses that explains the rows that differ; None if nothing explains most of them.

        Every hypothesis is tried on a few rows, then the best of them on all; then pairs, those first of which one
        explains something by itself.
        """
        differing = self.differing()
        if not differing:
            return None
        probed = _spread(differing, self.rows)
        table = list(hypotheses(self.subject.loss, self.subject.target.engine))
        alone = sorted(((self._score((each,), probed), each) for each in table), key=lambda each: -each[0])
        whole = [(each,) for score, each in alone if score == len(probed)]
        best = self._best(whole, differing)
        if best is not None and not best.left:
            return best
        some = [each for score, each in alone if score]
        first = ((one, other) for one in some[:_TOGETHER] for other in table if one is not other)
        every = itertools.combinations([each for _, each in alone], 2)
        for each in (first, every) if pairs else ():
            fit = (pair for pair in each if self._compatible(pair) and self._score(pair, probed) == len(probed))
            together = self._best(list(itertools.islice(fit, _TOGETHER)), differing)
            if together is not None and not together.left:
                return together
            if some:  # something is explained by one alone: what is left is no second formula over all rows
                break
        partly = self._best([(each,) for each in some[:_TOGETHER]], differing)
        found = [each for each in (best, partly) if each is not None and each.explained >= _EXPLAINS * len(differing)]
        return min(found, key=lambda each: (each.left, len(each.hypotheses)), default=None)

    def _score(self, together: tuple[Hypothesis, ...], rows: Sequence[int]) -> int:
        """On how many of some rows the reading agrees; it stops at the second that does not."""
        agreed = missed = 0
        for i in rows:
            if self._holds(together, i):
                agreed += 1
            elif (missed := missed + 1) > len(rows) // 2:
                break
        return agreed

    def _holds(self, together: tuple[Hypothesis, ...], i: int) -> bool:
        """Whether a row agrees in a reading; one that none of the hypotheses has to do with is as the definition is."""
        row = self.rows[i]
        return agrees(row, self.read(row, together, self.canonical[i]))

    def read(
        self, row: Row, together: tuple[Hypothesis, ...], canonical: dict[str, Ruling] | None = None
    ) -> dict[str, Ruling]:
        """The rulings in the reading of those hypotheses that have to do with the row."""
        spoken = tuple(each for each in together if each.when(row.arguments))
        return self.rulings(row, spoken) if spoken or canonical is None else canonical

    def _compatible(self, pair: tuple[Hypothesis, ...]) -> bool:
        """Whether two hypotheses can be one reading: there is one formula only."""
        return pair[0].form is None or pair[1].form is None

    def _best(self, candidates: Sequence[tuple[Hypothesis, ...]], differing: Sequence[int]) -> Explanation | None:
        """The candidate after which the fewest rows differ; documented ones and early ones first."""
        best: Explanation | None = None
        for together in candidates:
            most = best.left if best is not None else len(self.rows)
            after: list[int] = []
            for i, row in enumerate(self.rows):
                if row.finite and not self._holds(together, i):
                    after.append(i)
                    if len(after) > most:
                        break
            found = Explanation(together, len(set(differing) - set(after)), len(after))
            if best is None or (found.left, not found.documented) < (best.left, not best.documented):
                best = found
            if not found.left:
                break
        return best


def agrees(row: Row, rulings: Mapping[str, Ruling]) -> bool:
    """Whether the numbers agree. At a kink the gradient is a convention, and the dtype is told apart."""
    return all(
        ruling.verdict == "match" or ruling.symptom == "digits"
        for aspect, ruling in rulings.items()
        if aspect != "dtype" and counts(row, aspect)
    )


def _largest(arguments: Mapping[str, Any]) -> float:
    """The size of the largest finite number among a call's float arrays."""
    floats = [each for each in arguments.values() if isinstance(each, np.ndarray) and each.dtype.kind == "f"]
    return max((float(np.abs(each[np.isfinite(each)]).max(initial=0.0)) for each in floats), default=0.0)


def _digits_only(got: Any, want: Any, dtype: str, size: float) -> bool:
    """Whether an array is right to half of the dtype's digits, measured by its largest element.

    Then its small elements may have no digit left: that is how accurate the target is, not what it computes. `size`
    is of the inputs; roundoffs of it are none of a formula's business either.
    """
    if got.shape != want.shape:
        return False
    with np.errstate(all="ignore"):
        finite = np.isfinite(want) & np.isfinite(got)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        largest = np.abs(want[np.isfinite(want)]).max(initial=0.0)
        limit = 2.0 ** -(FORMATS[dtype].digits / 2) * largest + 64.0 * FORMATS[dtype].unit * size
        return bool((same | (finite & (np.abs(got - want) <= limit))).all())


def counts(row: Row, aspect: str) -> bool:
    """Whether an aspect of a row decides anything: the slope at a kink is a convention, and some are expected."""
    return aspect not in row.excused and not ("kink" in row.case.tags and aspect.startswith("gradient:"))


def _spread(differing: Sequence[int], rows: Sequence[Row]) -> list[int]:
    """A few rows that differ, small and unlike each other: of different cases and reductions."""
    seen: dict[Any, int] = {}
    for i in sorted(differing, key=lambda i: size_of(rows[i])):
        row = rows[i]
        seen.setdefault((row.case.name.partition("-")[0], row.arguments.get("reduction")), i)
    picked = list(seen.values())
    return picked[:: max(1, len(picked) // _PROBED)][:_PROBED]


def size_of(row: Row) -> int:
    """How many numbers its arrays hold."""
    return int(sum(np.size(each) for each in row.arguments.values() if isinstance(each, np.ndarray)))


def edges(comparison: Comparison) -> Iterator[str]:
    """In words, where only a convention differs: at kinks, for NaN, infinite or empty input, undefined results."""
    counts: dict[str, int] = {}
    for row, rulings in zip(comparison.rows, comparison.canonical, strict=True):
        bad = [aspect for aspect, ruling in rulings.items() if ruling.verdict != "match" and aspect != "dtype"]
        if row.edge and bad:
            where = _EDGES.get(row.edge, f"for {row.edge} input")
            counts[where] = counts.get(where, 0) + len(bad)
        elif "kink" in row.case.tags and bad and all(each.startswith("gradient:") for each in bad):
            counts["in the slope at a kink"] = counts.get("in the slope at a kink", 0) + len(bad)
    for where, count in counts.items():
        yield f"differs {where} ({count} check{'s' if count > 1 else ''}), where it is a convention"
