"""What `check` says of naive losses, as write-ups teach them: which it is, in words. Each engine in its own process."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAIVE = Path(__file__).parent / "naive"
_PROGRAM = """
import json, sys
from lossparity.conformance.diagnosis.diagnose import diagnose
from lossparity.conformance.diagnosis.target import TargetError
found = {}
for word, loss in json.load(sys.stdin):
    try:
        found[word + "=" + (loss or "")] = diagnose(word, loss).data()
    except TargetError as error:
        found[word + "=" + (loss or "")] = {"verdict": "unsupported", "says": str(error), "explanations": []}
print("\\n" + json.dumps(found))
"""
_BCE, _LOGITS, _CE = "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy"
_FOCAL, _CIOU = "sigmoid_focal_loss", "complete_box_iou_loss"

# function, loss, verdict, names of the explanations, words of the sentence
TORCH = [
    ("focal", _FOCAL, "dialect", ["gamma-below-1"], "NaN"),
    ("Huber", "huber_loss", "conforms", [], "conforms to huber_loss"),
    ("mse", "mse_loss", "conforms", [], "conforms to mse_loss"),
    ("softmax_without_shift", _CE, "differs", ["no-max-shift"], "overflows above a logit of 88 in float32"),
    ("log_of_softmax", _CE, "differs", ["log-of-a-softmax"], "log of a softmax"),
    ("log_of_sigmoid", _LOGITS, "differs", ["log-of-a-sigmoid"], "log of a sigmoid"),
    ("bce_clipped", _BCE, "dialect", ["clip-1e-15"], "clipped at 1e-15"),
    ("bce_keras", _BCE, "dialect", ["clip-1e-07"], "clipped at 1e-07"),
    ("epsilon_in_the_log", _BCE, "differs", ["epsilon-1e-08"], "1e-08 is added inside both logarithms"),
    ("bce_of_logits", _BCE, "differs", ["logits"], "logits, not probabilities"),
    ("focal_alpha_on_negatives", _FOCAL, "differs", ["alpha-on-negatives", "gamma-below-1"], "weighs the negatives"),
    ("focal_of_the_mean", _FOCAL, "differs", ["averaged-first"], "already averaged cross entropy"),
    ("focal_detached", _FOCAL, "differs", ["factor-detached"], "no gradient flows through"),
    ("probabilities", _FOCAL, "differs", ["probabilities"], "probabilities, not logits"),
    ("no_alpha", _FOCAL, "differs", ["no-alpha", "gamma-below-1"], "alpha is left out"),
    ("smoothing_over_others", _CE, "differs", ["smoothing-over-others"], "label smoothing over K - 1 classes"),
    ("ignored_in_the_mean", _CE, "differs", ["ignored-in-the-mean"], "ignored ones too"),
    ("weighted_mean_over_n", _CE, "differs", ["weighted-mean-over-n"], "divides by their number"),
    ("softmax_twice", _CE, "differs", ["softmax-twice"], "applied twice"),
    ("channels_last", _CE, "dialect", ["channels-last"], "classes are on the last axis"),
    ("smooth_l1_without_beta", "smooth_l1_loss", "differs", ["not-divided-by-beta"], "smooth L1 without beta"),
    ("huber_for_smooth_l1", "smooth_l1_loss", "differs", ["huber"], "beta times smooth L1"),
    ("huber_without_half", "huber_loss", "differs", ["no-half"], "twice Huber"),
    ("iou_of_pixels", "iou_loss", "differs", ["pixel-widths"], "+1 pixel"),
    ("minus_log_iou", "iou_loss", "differs", ["minus-log"], "-log of the overlap"),
    ("ciou_through_alpha", _CIOU, "differs", ["alpha-carries-gradient"], "alpha carries a gradient"),
    ("dice_over_the_batch", "dice_loss", "dialect", ["over-the-batch"], "over the batch, not per sample"),
    ("dice_per_sample", "dice_loss", "dialect", ["per-sample"], "each sample"),
    ("jaccard", "dice_loss", "differs", ["jaccard"], "Jaccard"),
    ("kl_exchanged", "kl_div", "differs", ["arguments-exchanged"], "arguments exchanged"),
    ("kl_per_row", "kl_div", "differs", ["batchmean"], "divides by the batch, not by all elements"),
    ("weight_after_the_mean", _LOGITS, "differs", ["weight-after-the-mean"], "after the mean"),
    ("hinge_of_bits", "hinge_loss", "dialect", ["labels-0-1"], "2 y - 1"),
    ("detached", "mse_loss", "differs", ["detached"], "detaches its input"),
    ("float32_always", "mse_loss", "differs", ["returns-float32"], "returns float32 for float64"),
    ("mutates_its_target", _LOGITS, "differs", ["label-smoothing-0.1", "inputs-kept"], "target is changed"),
    ("half_mse", "mse_loss", "differs", ["times-0.5"], "half of it"),
    ("half_mse", None, "differs", ["times-0.5"], "most likely mse_loss"),
    ("focal_of_the_mean", None, "differs", ["averaged-first"], "most likely sigmoid_focal_loss"),
    ("rmse", "mse_loss", "differs", ["root"], "RMSE"),
    ("summed_over_classes", _LOGITS, "differs", ["sum-over-the-last-axis"], "summed over the last axis"),
    ("returns_a_tuple", "mse_loss", "unsupported", [], "a tuple of 2"),
    ("returns_none", "mse_loss", "unsupported", [], "returns None"),
    ("returns_a_constant", "mse_loss", "unsupported", [], "0.0, a float, not a tensor"),
    ("returns_rows_of_two", "mse_loss", "unsupported", [], "the shape (2,)"),
    ("wants_more", "mse_loss", "unsupported", [], "must be given temperature"),
    ("exits", "mse_loss", "unsupported", [], "sys.exit(3)"),
    ("raises", "mse_loss", "unsupported", [], "ValueError: temperature is not set"),
    ("not_a_function", "mse_loss", "unsupported", [], "a float, not a function or a class"),
    ("focl", "mse_loss", "unsupported", [], "did you mean focal?"),
    ("mse", "mse_los", "unsupported", [], "did you mean mse_loss?"),
]
TENSORFLOW = [
    ("half_mse", "mse_loss", "differs", ["times-0.5"], "half of it"),
    ("softmax_without_shift", _CE, "differs", ["no-max-shift"], "no max shift"),
    ("log_of_sigmoid", _LOGITS, "differs", ["log-of-a-sigmoid"], "log of a sigmoid"),
    ("bce_clipped", _BCE, "dialect", ["clip-1e-07"], "clipped at 1e-07"),
    ("focal_alpha_on_negatives", _FOCAL, "differs", ["alpha-on-negatives"], "weighs the negatives"),
    ("smoothing_over_others", _CE, "differs", ["smoothing-over-others"], "K - 1 classes"),
    ("kl_exchanged", "kl_div", "differs", ["arguments-exchanged"], "arguments exchanged"),
]
NUMPY = [
    ("mse", "mse_loss", "conforms", [], "conforms"),
    ("half_mse", "mse_loss", "differs", ["times-0.5"], "half of it"),
    ("softmax_without_shift", _CE, "differs", ["no-max-shift"], "no max shift"),
    ("bce_clipped", _BCE, "dialect", ["clip-1e-15"], "clipped at 1e-15"),
    ("dice_per_sample", "dice_loss", "differs", ["per-sample"], "each sample"),  # of one axis, NumPy sums nothing
    ("hinge_of_bits", "hinge_loss", "dialect", ["labels-0-1"], "2 y - 1"),
]
JAX = [
    ("half_mse", "mse_loss", "differs", ["times-0.5"], "half of it"),
    ("bce_clipped", _BCE, "dialect", ["clip-1e-07"], "clipped at 1e-07"),
    ("detached", "mse_loss", "differs", ["detached"], "detaches its input"),
]
TABLES = {"torch": TORCH, "tensorflow": TENSORFLOW, "numpy": NUMPY, "jax": JAX}


@functools.cache
def found(engine):
    """Every diagnosis of one engine's table, made in one process."""
    asked = [(str(NAIVE / f"{engine}_losses.py:{row[0]}"), row[1]) for row in TABLES[engine]]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("engine", "row"),
    [pytest.param(engine, row, id=f"{engine}-{row[0]}-{row[1]}") for engine, rows in TABLES.items() for row in rows],
)
def test_naive(engine, row):
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    function, loss, verdict, names, words = row
    diagnosis = found(engine)[f"{NAIVE / f'{engine}_losses.py'}:{function}={loss or ''}"]
    assert words in diagnosis["says"]
    assert diagnosis["verdict"] == verdict
    assert [each["name"] for each in diagnosis["explanations"]] == names


def test_a_difference_is_shown_at_a_small_input_with_a_reproducer_that_runs():
    diagnosis = found("torch")[f"{NAIVE / 'torch_losses.py'}:half_mse=mse_loss"]
    assert all(len(each["inputs"]["input"]) == 1 for each in diagnosis["differences"])
    program = diagnosis["reproducer"]
    assert len(program.splitlines()) <= 15
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=NAIVE)
    assert done.returncode == 0, done.stderr
    got, want = (float(line.split()[-1]) for line in done.stdout.splitlines())
    assert got == 0.5 * want
