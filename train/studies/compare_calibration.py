"""Compare ways to calibrate an exported model, on speakers that each was not fitted on.

Which correction earns its place? Each is fitted on all validation speakers but one and applied to
that one, in turn, in the windows that a listener hears. Prints, for all windows together, the
negative log-likelihood, the expected calibration error (ECE) and the unweighted average recall
(UAR), each with its difference to temperature scaling and the 95 % interval of that difference
when speakers are drawn again. Nothing is stored: `train/calibrate.py` stores a temperature.

    python train/studies/compare_calibration.py models/my-voices --data recordings/

An interval that holds 0 is no reason to leave the temperature for something larger.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from emo_listen import EmotionModel
from emo_listen.errors import CorpusError, EmoListenError
from train.calibrate import SPLIT
from train.corpus.audio_cache import add_cache_dir
from train.corpus.recordings import load_clips
from train.evaluation.calibration import Answers, Floats, Integers, calibration_error, reliability
from train.evaluation.hearing import hear

RESAMPLES = 1000
"""Times that speakers are drawn again for an interval."""

SEED = 0
"""Of those draws."""


@dataclass
class Method:
    """A way to turn logits into probabilities."""

    apply: Callable[[Floats, Floats], Floats]
    """Turns parameters and logits `(n, n_classes)` into probabilities `(n, n_classes)`."""

    start: Callable[[int], list[float]]
    """Parameters that change nothing, for a number of classes."""


def scale_confidence(parameters: Floats, logits: Floats) -> Floats:
    """Platt's: the log-odds of the most probable class times a, plus b; the rest in proportion."""
    probabilities = softmax(logits, axis=1)
    rows, top = np.arange(len(logits)), logits.argmax(axis=1)
    confidence = np.clip(probabilities[rows, top], 1e-6, 1 - 1e-6)
    changed = expit(np.exp(parameters[0]) * logit(confidence) + parameters[1])
    probabilities *= ((1 - changed) / (1 - confidence))[:, None]
    probabilities[rows, top] = changed
    return probabilities


TEMPERATURE = "temperature"
METHODS = {
    "nothing": Method(lambda p, z: softmax(z, axis=1), lambda n: []),
    TEMPERATURE: Method(lambda p, z: softmax(z * np.exp(p[0]), axis=1), lambda n: [0.0]),
    "temperature, uniform mass": Method(
        lambda p, z: expit(p[1]) * softmax(z * np.exp(p[0]), axis=1) + expit(-p[1]) / z.shape[1],
        lambda n: [0.0, 4.0],
    ),
    "confidence (Platt)": Method(scale_confidence, lambda n: [0.0, 0.0]),
    "temperature, class biases": Method(
        lambda p, z: softmax(z * np.exp(p[0]) + np.append(0.0, p[1:]), axis=1),
        lambda n: [0.0] * n,
    ),
    "class scales, class biases": Method(
        lambda p, z: softmax(z * np.exp(p[: z.shape[1]]) + np.append(0.0, p[z.shape[1] :]), axis=1),
        lambda n: [0.0] * (2 * n - 1),
    ),
}
"""By name. The first class's bias is 0: the softmax knows differences only."""


def negative_log_likelihood(probabilities: Floats, classes: Integers) -> float:
    """Mean over the windows, in nats."""
    given = probabilities[np.arange(len(classes)), classes]
    return -float(np.log(np.maximum(given, 1e-12)).mean())


def on_held_out_speakers(method: Method, answers: Answers) -> Floats:
    """Probabilities `(n, n_classes)` of each speaker by what was fitted on the others.

    Raises:
        CorpusError: speakers are not known, or there is only one.
    """
    logits = answers.logits
    probabilities = np.zeros_like(logits)
    folds = 0
    for of_speaker, others in answers.without_each_speaker():
        start = method.start(logits.shape[1])
        parameters = np.array(start)
        if start:
            parameters = minimize(
                lambda p, known: negative_log_likelihood(
                    method.apply(p, known.logits), known.classes
                ),
                start,
                args=(others,),
            ).x
        probabilities[of_speaker] = method.apply(parameters, logits[of_speaker])
        folds += 1
    if not folds:
        raise CorpusError(
            "the corpus does not tell two or more speakers: there is none to hold out"
        )
    return probabilities


def figures(probabilities: Floats, classes: Integers) -> Floats:
    """Negative log-likelihood (nats), ECE and UAR (0 to 1)."""
    right = probabilities.argmax(axis=1) == classes
    recalls = [right[classes == c].mean() for c in np.unique(classes)]
    return np.array(
        [
            negative_log_likelihood(probabilities, classes),
            calibration_error(reliability(probabilities.max(axis=1), right)),
            np.mean(recalls),
        ]
    )


def compare(answers: Answers) -> dict[str, tuple[Floats, Floats]]:
    """Tell each method's `figures`, and the interval `(2, 3)` of their difference to temperature.

    Raises:
        CorpusError: speakers are not known, or there is only one.
    """
    of_method = {name: on_held_out_speakers(method, answers) for name, method in METHODS.items()}
    rows = [np.flatnonzero(of_speaker) for of_speaker, _ in answers.without_each_speaker()]
    random = np.random.default_rng(SEED)
    draws = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[i] for i in random.integers(len(rows), size=len(rows))])
        draws.append(
            {name: figures(p[drawn], answers.classes[drawn]) for name, p in of_method.items()}
        )
    told = {}
    for name, probabilities in of_method.items():
        differences = [draw[name] - draw[TEMPERATURE] for draw in draws]
        interval = np.percentile(differences, [2.5, 97.5], axis=0)
        told[name] = (figures(probabilities, answers.classes), interval)
    return told


def print_comparison(told: dict[str, tuple[Floats, Floats]]) -> None:
    """Print a row for each method, a column for each figure."""
    table = Table(title="On held-out speakers; in brackets, difference to temperature")
    table.add_column("")
    for heading in ("log-likelihood, negative", "ECE", "UAR"):
        table.add_column(heading, justify="right")
    for name, (values, (low, high)) in told.items():
        cells = [
            f"{value:.3f}" + (f" ({a:+.3f} to {b:+.3f})" if name != TEMPERATURE else "")
            for value, a, b in zip(values, low, high, strict=True)
        ]
        table.add_row(name, *cells)
    Console().print(table)


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder that export/to_onnx.py wrote")
    parser.add_argument("--data", required=True, help="corpus, as train/finetune.py takes it")
    add_cache_dir(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    try:
        model = EmotionModel.load(args.model)
        clips = load_clips(args.data, SPLIT, model.sampling_rate, cache_dir=args.cache_dir)
        print_comparison(compare(hear(model, clips).windows))
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
