"""The diagnosis of one target: what it is, where it differs, which contracts it breaks, how accurate it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lossparity.adapters import engines
from lossparity.conformance.cases import CASES
from lossparity.conformance.compare import Ruling, describe
from lossparity.conformance.contracts import CONTRACTS, Probe, judged
from lossparity.conformance.describe import DEFINITIONS, describe_losses
from lossparity.conformance.diagnosis.curve import curve
from lossparity.conformance.diagnosis.hypotheses import Hypothesis, declared
from lossparity.conformance.diagnosis.matching import parse
from lossparity.conformance.diagnosis.search import Comparison, Explanation, Row, agrees, counts, edges, size_of
from lossparity.conformance.diagnosis.shrink import Shown, shrink
from lossparity.conformance.diagnosis.subject import Subject, subjects
from lossparity.conformance.diagnosis.target import Target, TargetError, find
from lossparity.reference.precision import FORMATS

_INACCURATE = 0.25  # the share of checks that may be less accurate than the textbook form
_ROWS = 8  # rows on which a loss is guessed
_SHOWN = 3  # differences that are shown, each the worst of its kind


@dataclass(frozen=True)
class Difference:
    """One kind of difference, at the smallest input found that shows it."""

    aspect: str
    dtype: str
    checks: int
    says: str
    inputs: Mapping[str, Any]
    case: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    verdict: conforms, dialect (conforms to a documented one) or differs.
    says: it in a sentence. matched: which of the target's parameters is which argument.
    explanations: name, says and source of each. differences: one of each kind, at the smallest input found.
    contracts: those that are broken, with name, says, how; contracts_kept: the names of the others that apply.
    checks, disagreeing, less_accurate: how many there are; that differ from the definition; that do in small elements
    only, by more than the definition's textbook form would. curve: of `curve`. stale: expected failures.
    """

    verdict: str
    target: str
    loss: str
    definition: str
    says: str
    matched: str
    explanations: list[dict[str, str]]
    differences: list[dict[str, Any]]
    contracts: list[dict[str, Any]]
    contracts_kept: list[str]
    accuracy: list[str]
    notes: list[str]
    checks: int
    disagreeing: int
    less_accurate: int
    curve: dict[str, Any] | None
    stale: list[str]
    reproducer: str = ""

    def data(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return asdict(self)


def diagnose(
    word: str,
    loss: str | None = None,
    engine: str | None = None,
    given: Sequence[str] = (),
    reductions: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    seed: int = 0,
    root: str = ".",
) -> Diagnosis:
    """The diagnosis of the target that `word` names, as `loss`; None: as the loss that it most likely is.

    engine: None: what the target's file imports. given: what its parameters are, each OURS=THEIRS.
    reductions, dtypes: only these; empty: all that it takes. root: the folder from which `word` is looked for.

    Errors: TargetError, where it cannot be called, with what was tried.
    """
    return diagnosis_of(find(word, engine, root), loss, given, reductions, dtypes, seed)


def diagnosis_of(
    target: Target,
    loss: str | None,
    given: Sequence[str] = (),
    reductions: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    seed: int = 0,
    expected_failures: Collection[str] = (),
) -> Diagnosis:
    """The diagnosis of a target that is found already; all else as of `diagnose`.

    expected_failures: patterns of CASE/DTYPE/ASPECT that may differ; those that nothing matches are `stale`.
    """
    if loss is not None and loss not in CASES:
        near = difflib.get_close_matches(loss, CASES, n=1)
        there = f"did you mean {near[0]}?" if near else f"there are {', '.join(CASES)}"
        raise TargetError(f"there are no cases of a loss {loss!r}; {there}")
    loaded = engines.load(target.engine)
    if loss is None:
        comparison, explanation = _likeliest(target, loaded, parse(given), reductions, dtypes, seed)
    else:
        comparison, explanation = _as(target, loaded, loss, parse(given), reductions, dtypes, seed, expected_failures)
    return _told(comparison, explanation, guessed=loss is None)


def _as(
    target: Target,
    engine: Any,
    loss: str,
    given: Mapping[str, str],
    reductions: Any,
    dtypes: Any,
    seed: int,
    expected_failures: Collection[str] = (),
) -> tuple[Comparison, Explanation | None]:
    """The way of calling it that agrees best on the most rows, and what explains the rest."""
    found: list[tuple[int, int, Comparison, Explanation | None]] = []
    for subject in subjects(target, engine, loss, given, reductions, dtypes, seed):
        comparison = Comparison(subject, seed, expected_failures=expected_failures)
        left = len(comparison.differing())
        explanation = comparison.explain() if left else None
        lost = len(comparison.refused) + sum(
            not np.isfinite(np.asarray(row.outcome.value)).all() for row in comparison.rows
        )
        found.append((explanation.left if explanation else left, lost, comparison, explanation))
        if not left and not comparison.refused:
            break
    return min(found, key=lambda each: (each[0] + each[1], bool(each[3])))[2:]


def _likeliest(
    target: Target, engine: Any, given: Mapping[str, str], reductions: Any, dtypes: Any, seed: int
) -> tuple[Comparison, Explanation | None]:
    """Of all losses the one that the target agrees with on a few plain rows, else the one that explains it best.

    Of several that agree, the one most of whose arguments it takes: Huber with a delta is not smooth L1.
    """
    tried: list[tuple[float, int, Comparison]] = []
    refused: list[str] = []
    for loss in CASES:
        try:
            subject = next(iter(subjects(target, engine, loss, given, reductions, dtypes, seed)))
        except TargetError as error:
            refused.append(str(error).replace(loss, "the loss"))
            continue
        rows = [(c, d) for c, d in subject.rows() if not c.tags and d == subject.implementation.dtypes[0]][:_ROWS]
        comparison = Comparison(subject, seed, rows)
        if comparison.rows:
            share = len(comparison.differing()) / len(comparison.rows)
            tried.append((share, -len(subject.matching.arguments), comparison))
    tried.sort(key=lambda each: each[:2])
    if tried and tried[0][0]:
        explained = ((each, each[2].explain(pairs=False)) for each in tried)
        tried = sorted(
            ((found.left / len(each[2].rows), each[1], each[2]) for each, found in explained if found is not None),
            key=lambda each: each[:2],
        )
    if not tried:
        why = f"; most often: {max(refused, key=refused.count)}" if refused else ""
        raise TargetError(f"{target.short} is none of the {len(CASES)} losses with cases, in no known variant{why}")
    return _as(target, engine, tried[0][2].subject.loss, given, reductions, dtypes, seed)


# --- What was found, in words and data


def _told(comparison: Comparison, explanation: Explanation | None, guessed: bool) -> Diagnosis:
    subject = comparison.subject
    ruled = [
        (row, aspect, ruling)
        for row, rulings in zip(comparison.rows, comparison.canonical, strict=True)
        for aspect, ruling in rulings.items()
        if row.finite and counts(row, aspect)
    ]
    bad = [each for each in ruled if each[2].verdict != "match"]
    inaccurate = sum(ruling.symptom == "digits" for _, _, ruling in bad)
    checks = sum(len(rulings) for rulings in comparison.canonical)
    contracts = list(_contracts(comparison))
    broken = [each for each in contracts if not each.pop("kept")]
    seen = list(_of_the_outcome(comparison))
    faults = [*(each for each in seen if not each.source), *_of_use(broken)]
    if inaccurate > _INACCURATE * len(ruled) and not comparison.differing():
        faults.append(Hypothesis("fewer-digits", "it has fewer digits than the textbook formula nearly everywhere"))
    known = [*(explanation.hypotheses if explanation else ()), *([_LAST] if subject.matching.last else ())]
    known += [each for each in seen if each.source]
    if subject.loss == "dice_loss" and "axis" not in subject.matching.arguments and not known:
        known.append(_OVER_THE_BATCH)
    explained = not comparison.differing() or (explanation is not None and not explanation.left)
    if not explained or faults or not all(each.source for each in known):
        verdict = "differs"
    else:
        verdict = "dialect" if known else "conforms"
    sentence = _sentence(comparison, verdict, known, faults, explanation, checks, len(bad) - inaccurate)
    differences = list(_differences(comparison))
    return Diagnosis(
        verdict=verdict,
        target=subject.target.name,
        loss=subject.loss,
        definition=_definition(subject.loss),
        says=f"{subject.target.short} {'is most likely ' + subject.loss + '; it ' if guessed else ''}{sentence}",
        matched=subject.matching.says(),
        explanations=[{"name": each.name, "says": each.says, "source": each.source} for each in (*known, *faults)],
        differences=[asdict(each) for each, _ in differences],
        contracts=broken,
        contracts_kept=[each["name"] for each in contracts if each not in broken],
        accuracy=list(_accuracy(comparison)),
        notes=[*_notes(comparison), *edges(comparison)],
        checks=checks,
        disagreeing=len(bad) - inaccurate,
        less_accurate=inaccurate,
        curve=curve(comparison),
        stale=comparison.stale,
        reproducer=reproducer(comparison, differences[0][1]) if differences else "",
    )


_LAST = Hypothesis(
    "channels-last",
    "the classes are on the last axis, (N, ..., C); the definition has them second, (N, C, ...)",
    source="https://keras.io/api/losses/probabilistic_losses/",
)
_OVER_THE_BATCH = Hypothesis(
    "over-the-batch",
    "it is Dice over the batch, not per sample: the sums run over everything, as they do by default in Keras",
    source="https://keras.io/api/losses/regression_losses/",
)
# The contracts that no convention excuses from: who breaks one of them does not conform.
_USE = ("same-without-grad", "one-argument", "backward-twice", "linear", "inputs-kept", "deterministic")


def _of_use(broken: Sequence[Mapping[str, Any]]) -> Iterator[Hypothesis]:
    for each in broken:
        if each["name"] in _USE:
            yield Hypothesis(each["name"], f"it breaks the contract {each['name']}: {each['how']}")


def _definition(loss: str) -> str:
    """Whose definition it is, as the reference's source says: "torchvision.ops.sigmoid_focal_loss"."""
    named = re.search(r"\b(torch|torchvision|keras|sklearn|tf|ultralytics)(\.\w+)+", describe_losses()[loss]["source"])
    return named.group() if named else "the reference's"


def _sentence(
    comparison: Comparison,
    verdict: str,
    known: Sequence[Hypothesis],
    faults: Sequence[Hypothesis],
    explanation: Explanation | None,
    checks: int,
    disagreeing: int,
) -> str:
    """The first thing that is said: conforms, conforms if, or differs in."""
    loss = comparison.subject.loss
    whole = f"{loss} ({_definition(loss)})"
    because = "; ".join(each.says for each in (*known, *faults))
    if verdict == "conforms":
        return f"conforms to {whole}: {checks} checks."
    if verdict == "dialect":
        sources = ", ".join(dict.fromkeys(each.source for each in known))
        return f"conforms to {whole} if {because} (documented: {sources}): {checks} checks."
    where = f" in {disagreeing} of {checks} checks" if disagreeing else ""
    left = [] if explanation is None and not comparison.differing() else list(_left(comparison, explanation))
    if not because:
        return f"differs from {whole}{where}; no formula that is known explains it. {' '.join(left)}".rstrip()
    rest = " ".join(left) if left else "With that, all the rest agrees." if explanation else ""
    return f"differs from {whole}{where}: {because}. {rest}".rstrip()


_SYMPTOMS = {"nan": "NaN", "inf": "infinite", "zero": "0"}


def _left(comparison: Comparison, explanation: Explanation | None) -> Iterator[str]:
    """In words, the rows that differ and that nothing explains: what they have in common."""
    found: dict[tuple[str, str], list[Row]] = {}
    together = explanation.hypotheses if explanation is not None else ()
    for row in comparison.rows:
        if not row.finite:
            continue
        for aspect, ruling in comparison.read(row, together).items():
            if aspect != "dtype" and counts(row, aspect) and ruling.verdict != "match" and ruling.symptom != "digits":
                found.setdefault((aspect.replace("gradient:", "gradient of "), ruling.symptom), []).append(row)
    for (aspect, symptom), rows in list(found.items())[:_SHOWN]:
        dtypes = " and ".join(dict.fromkeys(row.dtype for row in rows))
        cases = ", ".join(dict.fromkeys(row.case.name for row in rows[:_SHOWN]))
        what = f"is {_SYMPTOMS[symptom]}" if symptom in _SYMPTOMS else "is another"
        yield f"In {len(rows)} calls in {dtypes} the {aspect} {what} (cases {cases})."


def _of_the_outcome(comparison: Comparison) -> Iterator[Hypothesis]:
    """What no formula explains: another dtype, and a gradient that does not arrive."""
    subject = comparison.subject
    first = comparison.loss.differentiable[0] if comparison.loss.differentiable else ""
    if subject.target.engine == "numpy":
        pass  # it has no gradients
    elif (first in subject.frozen and "no path" in subject.frozen[first]) or _all_zero(comparison, first):
        yield Hypothesis("detached", f"it detaches its input: no gradient reaches {first}")
    elif first in subject.frozen:
        yield Hypothesis("not-differentiable", f"it is not differentiable: {subject.frozen[first]}")
    returned = {
        (row.dtype, str(rulings["dtype"].result))
        for row, rulings in zip(comparison.rows, comparison.canonical, strict=True)
        if "dtype" in rulings
    }
    for given, got in sorted(returned):
        if got in FORMATS and FORMATS[got].digits >= FORMATS[given].digits:
            continue
        said = f"it returns {got} for {given}: digits are lost that the inputs have"
        yield Hypothesis(f"returns-{got}", said, source=_documented(subject, got))


def _all_zero(comparison: Comparison, name: str) -> bool:
    """Whether every gradient of an argument is zero: what jax gives where there is no path."""
    found = [each for row in comparison.rows if (each := row.outcome.gradients.get(name)) is not None and each.size]
    return bool(found) and not any(np.any(each) for each in found)


def _documented(subject: Subject, dtype: str) -> str:
    """Where the library that the target's class comes from documents that it computes in `dtype`; "" for nowhere."""
    for backend, implementation in declared.implementations(subject.loss, subject.target.engine):
        if subject.target.packages & {each.partition(".")[0] for each in backend.namespaces}:
            for dialect in implementation.dialects:
                if dialect.dtype == dtype:
                    return dialect.source
    return ""


def _differences(comparison: Comparison) -> Iterator[tuple[Difference, Shown]]:
    """One difference of every kind, each at the smallest input that was found to show it."""
    kinds: dict[tuple[str, str], list[tuple[Row, str, Ruling]]] = {}
    for row, rulings in zip(comparison.rows, comparison.canonical, strict=True):
        for aspect, ruling in rulings.items():
            if row.finite and counts(row, aspect) and ruling.verdict != "match" and aspect != "dtype":
                kinds.setdefault((aspect, ruling.symptom), []).append((row, aspect, ruling))
    worst_first = sorted(kinds.values(), key=lambda found: (found[0][1] != "value", -len(found)))
    for found in worst_first[:_SHOWN]:
        row, aspect, ruling = min(found, key=lambda each: size_of(each[0]))
        shown = shrink(comparison, row, aspect, ruling)
        arrays = {n: np.asarray(a).tolist() for n, a in shown.row.arguments.items() if isinstance(a, np.ndarray)}
        defaults = comparison.loss.defaults
        options = {
            name: value
            for name, value in shown.row.arguments.items()
            if name not in arrays and (name == "reduction" or value is not defaults.get(name, value))
        }
        inputs = {**arrays, **{name: _plain(value) for name, value in options.items()}}
        yield Difference(aspect, row.dtype, len(found), shown.ruling.reason, inputs, row.case.name), shown


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _contracts(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Each contract that the target has to do with: kept or broken, and how."""
    probes = list(_probes(comparison))
    for contract in CONTRACTS:
        kept, how = judged(contract, probes)
        if kept is not None:
            yield {"name": contract.name, "says": contract.says, "kept": kept, "how": how}


def _probes(comparison: Comparison) -> Iterator[Probe]:
    """A few plain calls, one of each reduction, in the first dtype."""
    subject = comparison.subject
    seen: set[Any] = set()
    for row in comparison.rows:
        integer = any(np.asarray(a).dtype.kind in "iu" and np.ndim(a) for a in row.arguments.values())
        key = (row.arguments.get("reduction"), integer)
        if row.dtype != subject.implementation.dtypes[0] or row.case.tags or key in seen or row.outcome.error:
            continue
        seen.add(key)
        request = comparison.judge.request(subject.implementation, row.case, row.dtype, "cpu")
        yield Probe(
            comparison.loss,
            subject.engine,
            subject.implementation.function,
            subject.implementation.parameters,
            request.arrays,
            request.options,
            tuple(request.differentiable),
            request.cotangent,
            row.dtype,
        )


def _accuracy(comparison: Comparison) -> Iterator[str]:
    """The worst error of value and gradients in each dtype, where it computes what the definition does."""
    for dtype in comparison.subject.implementation.dtypes:
        half = 2.0 ** (FORMATS[dtype].digits / 2)
        for aspect in dict.fromkeys(a for rulings in comparison.canonical for a in rulings if a != "dtype"):
            errors = [
                (ruling.error_ulp, row, ruling)
                for row, rulings in zip(comparison.rows, comparison.canonical, strict=True)
                if row.dtype == dtype
                and row.finite
                and agrees(row, rulings)
                and (ruling := rulings.get(aspect))
                and ruling.error_ulp is not None
            ]
            if not errors:
                continue
            worst, row, ruling = max(errors, key=lambda each: each[0])
            lost = sum(error >= half for error, _, _ in errors)
            words = f"{dtype} {aspect}: at most {worst:.3g} ULP (case {row.case.name})"
            yield words + (f"; more than half of the digits are gone in {lost} of {len(errors)} calls" if lost else "")


def _notes(comparison: Comparison) -> Iterator[str]:
    """What the user should know of how it was called."""
    subject = comparison.subject
    yield f"matched: {subject.matching.says()}"
    if subject.implementation.reductions:
        yield f"reductions: {', '.join(subject.implementation.reductions)}"
    first = next(iter(DEFINITIONS[subject.loss].differentiable), "")
    for name, reason in subject.frozen.items():
        if name != first:
            yield f"no gradient for {name}: {reason}"
    if comparison.skipped:
        yield f"it is slow: {comparison.skipped} of the cases were left out"
    raised: dict[str, list[str]] = {}
    for row in comparison.refused:
        raised.setdefault(describe(row.outcome.error), []).append(row.case.name)
    for error, cases in list(raised.items())[:_SHOWN]:
        names = ", ".join(list(dict.fromkeys(cases))[:_SHOWN])
        yield f"does not take {len(cases)} calls (cases {names}): {error}"


def reproducer(comparison: Comparison, shown: Shown) -> str:
    """A program of at most 15 lines that shows the difference with the target and its framework alone."""
    subject, row = comparison.subject, shown.row
    place, _, name = subject.target.name.rpartition(":")
    module = place.removesuffix(".py").replace("/", ".").rpartition(".")[2] if place.endswith(".py") else place
    request = comparison.judge.request(subject.implementation, row.case, row.dtype, "cpu")
    request = replace(request, arrays={n: a for n, a in row.arguments.items() if n in request.arrays})
    spelled: Any = subject.implementation.function.spelled  # type: ignore[attr-defined]

    def written(parameters: Mapping[str, str]) -> str:
        pairs = []
        for theirs, ours in parameters.items():
            if ours in request.arrays:
                pairs.append(f"{theirs}={ours}")
            elif ours in row.arguments and row.arguments[ours] is not None:
                value = row.arguments[ours]
                pairs.append(f"{theirs}={spelled.get(value, value) if ours == 'reduction' else value!r}")
        return ", ".join(pairs)

    built = f"{name}({written(subject.matching.options)})" if subject.target.constructed else name
    sketch = engines.Sketch(
        request,
        next(iter(subject.engine.MODES)),
        [f"from {module} import {name}"],
        [f"value = {built}({written(subject.matching.call)})"],
        frozenset(),
        shown.aspect,
        cotangent=row.cotangent if shown.aspect.startswith("gradient:") else None,
    )
    want = comparison.expected(row, (), row.dtype)
    wanted = want.gradients.get(shown.aspect.partition(":")[2], want.value)
    lines = [*subject.engine.reproducer(sketch), f'print("want", {engines.numbers(np.asarray(wanted))})']
    return "\n".join(lines)
