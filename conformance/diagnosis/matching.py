"""Which of the target's parameters is which argument of the definition: by name, by synonym, then by position.

What no name decides is tried: a `Matching` is one way to call the target, and there may be several.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lossparity.conformance.diagnosis.calling import theirs
from lossparity.conformance.diagnosis.target import Target, TargetError, a
from lossparity.reference.core import Loss

# What people call an argument. A row's first words are the names that the reference itself uses.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    (
        *("input", "inputs", "y_pred", "boxes1", "pred_dist", "x", "logit", "logits", "pred", "preds", "prediction"),
        *("predictions", "output", "outputs", "out", "p", "prob", "probs", "probability", "probabilities", "pred_prob"),
        *("y_hat", "yhat", "score", "scores", "pred_logits", "log_probs", "logp", "log_prob", "log_input", "estimate"),
        *(
            "pred_boxes",
            "pred_box",
            "box1",
            "bboxes1",
            "bbox1",
            "boxes_pred",
            "b1",
            "student",
            "predicted",
            "cls_score",
        ),
    ),
    (
        *("target", "targets", "y_true", "boxes2", "y", "label", "labels", "t", "truth", "ground_truth", "gt", "true"),
        *("gt_boxes", "gt_box", "target_boxes", "target_box", "box2", "bboxes2", "bbox2", "boxes_gt", "boxes_true"),
        *("b2", "teacher", "class_labels", "gold", "gt_labels", "ref", "actual", "onehot", "one_hot", "q"),
    ),
    ("input1", "x1", "a", "first", "score1"),
    ("input2", "x2", "b", "second", "score2"),
    ("weight", "weights", "class_weight", "class_weights", "weight_mask", "w", "cls_weight", "elementwise_weight"),
    ("sample_weight", "sample_weights", "mask"),
    ("pos_weight", "positive_weight", "pos_weights", "pw"),
    ("ignore_index", "ignore_label", "ignore_class", "ignore", "ignored_index", "padding_idx", "pad_idx", "ignore_id"),
    ("label_smoothing", "smoothing", "label_smooth", "smooth_factor", "ls", "label_smoothing_factor", "smooth_eps"),
    ("reduction", "reduce_mode", "red", "reduce"),
    ("log_target", "target_is_log", "is_log_target"),
    ("gamma", "focusing", "focus", "focusing_parameter", "g"),
    ("alpha", "balance", "balancing", "alpha_factor"),
    ("beta", "threshold", "sigma", "b"),
    ("delta", "d", "huber_delta", "threshold"),
    ("smooth", "smoothing", "eps", "epsilon", "smooth_nr"),
    ("eps", "epsilon"),
    ("margin", "m"),
    ("dim", "axis", "class_axis", "channel_axis"),
    ("avg_factor", "normalizer", "num_boxes", "num_pos"),
)
_REDUCTIONS = {"none": ("none", None), "mean": ("mean", "sum_over_batch_size", "elementwise_mean"), "sum": ("sum",)}


@dataclass(frozen=True)
class Matching:
    """One way to call the target.

    call, options: the target's parameters, of the call and of its constructor, each with the argument that it gets.
    last: it is given the classes on the last axis, (N, ..., C); the definition has them second, (N, C, ...).
    """

    call: Mapping[str, str]
    options: Mapping[str, str]
    last: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the definition that the target takes."""
        return (*self.call.values(), *self.options.values())

    def says(self) -> str:
        """The match in words, "logits is input, y is target"."""
        pairs = [*self.call.items(), *self.options.items()]
        return ", ".join(f"{theirs} is {ours}" if theirs != ours else ours for theirs, ours in pairs)


def parse(words: Sequence[str]) -> dict[str, str]:
    """{theirs: ours} of `--arg OURS=THEIRS`."""
    found = {}
    for word in words:
        ours, sign, theirs = word.partition("=")
        if not (ours and sign and theirs):
            raise TargetError(f"--arg {word!r} does not read: it is OURS=THEIRS, as in --arg target=labels")
        found[theirs] = ours
    return found


def matchings(
    loss: Loss, target: Target, given: Mapping[str, str], takes: Collection[str] | None = None
) -> Iterator[Matching]:
    """Every way in which the target may take the loss's arguments, the likeliest first.

    given: {theirs: ours}, which the user has decided. takes: the optional arguments that it takes; None: by its names.
    Errors: TargetError, where a parameter that must be given is none of the arguments, or an argument has no place.
    """
    theirs = {**target.call, **target.options}
    for name, ours in given.items():
        if name not in theirs:
            raise TargetError(f"{target.short} has no parameter {name}; it has {', '.join(theirs) or 'none'}")
        if ours not in loss.arguments:
            raise TargetError(f"{loss.name} has no argument {ours}; it has {', '.join(loss.arguments)}")
    found = _by_name(loss, theirs, given)
    if takes is not None:
        found = {name: ours for name, ours in found.items() if ours in takes or ours in loss.required}
    named = {**found, **given}
    free = [name for name, needed in theirs.items() if needed and name not in named]
    left = [name for name in loss.required if name not in named.values()]
    if len(free) > len(left):
        raise TargetError(
            f"{target.short} must be given {' and '.join(free)}, which no argument of {loss.name} is known to be; "
            f"say which with --arg OURS=THEIRS, OURS among {', '.join(loss.arguments)}"
        )
    optional = [name for name, needed in theirs.items() if not needed and name not in named]
    if len(left) > len(free) + len(optional):
        raise TargetError(
            f"{target.short} takes {', '.join(theirs) or 'nothing'}, and {loss.name} needs {' and '.join(left)}"
        )
    orders = itertools.permutations(left, len(free)) if len(left) == len(free) else ()
    for order in orders or (tuple(left),):
        by_position = dict(zip(free, order, strict=False))
        yield _matching(target, {**named, **by_position})
    required = [name for name in loss.required if name not in given.values()]
    if len(required) == 2 and not free:  # names may mislead: the other way round, for the trial to decide
        swapped = dict(zip(required, reversed(required), strict=True))
        yield _matching(target, {name: swapped.get(ours, ours) for name, ours in named.items()})


def _matching(target: Target, all_of_them: Mapping[str, str]) -> Matching:
    return Matching(
        {name: ours for name, ours in all_of_them.items() if name in target.call},
        {name: ours for name, ours in all_of_them.items() if name in target.options and name not in target.call},
    )


def _by_name(loss: Loss, theirs: Mapping[str, bool], given: Mapping[str, str]) -> dict[str, str]:
    """The parameters whose names say which argument they are; the same name beats a synonym.

    What must be given is first sought among what the loss needs: labels may be the target, and a name of an option.
    """
    found: dict[str, str] = {}
    for needed, same in ((True, True), (True, False), (False, True), (False, False)):
        for name, must in theirs.items():
            if name in found or name in given or (needed and not must):
                continue
            free = {*(loss.required if needed else loss.arguments)} - {*found.values(), *given.values()}
            ours = next((each for each in _meant(name, same) if each in free), None)
            if ours is not None:
                found[name] = ours
    return found


def _meant(name: str, same: bool) -> Iterator[str]:
    """The arguments that a name may stand for."""
    plain = name.lower().strip("_")
    if same:
        yield plain
        return
    for row in SYNONYMS:
        if plain in row:
            yield from row


def wrapped(target: Target, matching: Matching, engine: ModuleType) -> Callable[..., Any]:
    """A function of the definition's arguments that builds and calls the target."""
    spelled = _Reduction()

    def function(**arguments: Any) -> Any:
        if "reduction" in arguments:
            arguments["reduction"] = spelled.get(arguments["reduction"])
        if matching.last:
            arguments = {
                name: engine.classes_last(each) if "float" in str(getattr(each, "dtype", "")) else each
                for name, each in arguments.items()
            }
        options = {name: arguments[ours] for name, ours in matching.options.items() if ours in arguments}
        call = {name: arguments[ours] for name, ours in matching.call.items() if ours in arguments}
        call = {name: each for name, each in call.items() if each is not None or target.call[name]}
        try:
            with theirs():
                return _tensor(target, target.build(**options)(**call))
        except SystemExit as error:
            raise TargetError(f"it calls sys.exit({error.code!r})") from None

    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(ours, inspect.Parameter.KEYWORD_ONLY) for ours in dict.fromkeys(matching.arguments)]
    )
    function.spelled = spelled  # type: ignore[attr-defined]
    return function


def _tensor(target: Target, result: Any) -> Any:
    """What a loss returns: one array or number."""
    if result is None:
        raise TargetError("it returns None: is its return forgotten?")
    if isinstance(result, (tuple, list, dict)):
        raise TargetError(f"it returns {a(type(result).__name__)} of {len(result)}, not one tensor")
    if not hasattr(result, "shape") and (target.engine != "numpy" or isinstance(result, (str, bytes))):
        raise TargetError(f"it returns {result!r}, {a(type(result).__name__)}, not a tensor")
    return result


class _Reduction(dict[str, Any]):
    """How the target spells each reduction; as the definition does, until it is found to be otherwise."""

    def __missing__(self, name: str) -> Any:
        return name


def spellings(reduction: str) -> tuple[Any, ...]:
    """What a target may want to hear for a reduction."""
    return _REDUCTIONS.get(reduction, (reduction,))
