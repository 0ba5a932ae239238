"""Compare ways to calibrate an exported model, on speakers that they were not fitted on.

Each method is fitted on all validation speakers but one and applied to that one, in turn, on the
listener's windows. Prints, for all windows together, the negative log-likelihood, the expected
calibration error (ECE) and the unweighted average recall (UAR), each with its difference to
temperature scaling and that difference's 95 % interval from resampled speakers. Nothing is stored:
`train/calibrate.py` stores a temperature.

    python train/studies/compare_calibration.py models/my-voices --data recordings/

If the interval contains 0, there is no reason to prefer a method to the simpler temperature.
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
from emo_listen.errors import CorpusError
from train.calibrate import SPLIT
from train.common.command import command_parser, exits_with_code
from train.corpus.audio_cache import add_cache_dir
from train.corpus.recordings import load_clips
from train.evaluation.calibration import Answers, Floats, Integers, calibration_error, reliability
from train.evaluation.listening import predict_streams

RESAMPLES = 1000
"""Times that speakers are resampled for an interval."""

SEED = 0
"""Of the resampling."""


@dataclass
class Method:
    """A way to convert logits to probabilities."""

    apply: Callable[[Floats, Floats], Floats]
    """Converts parameters and logits `(n, n_classes)` to probabilities `(n, n_classes)`."""

    start: Callable[[int], list[float]]
    """Neutral parameters for a number of classes."""


def scale_confidence(parameters: Floats, logits: Floats) -> Floats:
    """Platt scaling of the most probable class's log-odds; the other classes in proportion."""
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
"""By name. The first class's bias is 0, since only differences matter to the softmax."""


def negative_log_likelihood(probabilities: Floats, classes: Integers) -> float:
    """Mean over the windows, in nats."""
    given = probabilities[np.arange(len(classes)), classes]
    return -float(np.log(np.maximum(given, 1e-12)).mean())


def on_held_out_speakers(method: Method, answers: Answers) -> Floats:
    """Probabilities `(n, n_classes)` of each speaker with parameters fitted on the others.

    Raises:
        CorpusError: speakers are unknown, or there is only one.
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
            "The corpus needs two or more known speakers: add a `speaker` column, or use "
            "class/speaker/clip folders."
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
    """Each method's `figures`, and the interval `(2, 3)` of their difference to temperature.

    Raises:
        CorpusError: speakers are unknown, or there is only one.
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
    results = {}
    for name, probabilities in of_method.items():
        differences = [draw[name] - draw[TEMPERATURE] for draw in draws]
        interval = np.percentile(differences, [2.5, 97.5], axis=0)
        results[name] = (figures(probabilities, answers.classes), interval)
    return results


def print_comparison(results: dict[str, tuple[Floats, Floats]]) -> None:
    """Print a row for each method and a column for each figure."""
    table = Table(title="On held-out speakers; in parentheses, difference to temperature")
    table.add_column("")
    for heading in ("negative log-likelihood", "ECE", "UAR"):
        table.add_column(heading, justify="right")
    for name, (values, (low, high)) in results.items():
        cells = [
            f"{value:.3f}" + (f" ({a:+.3f} to {b:+.3f})" if name != TEMPERATURE else "")
            for value, a, b in zip(values, low, high, strict=True)
        ]
        table.add_row(name, *cells)
    Console().print(table)


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("model", type=Path, help="model folder that export/to_onnx.py wrote")
    parser.add_argument("--data", required=True, help="corpus, as train/finetune.py takes it")
    add_cache_dir(parser)
    return parser.parse_args(argv)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    model = EmotionModel.load(args.model)
    clips = load_clips(args.data, SPLIT, model.sampling_rate, cache_dir=args.cache_dir)
    print_comparison(compare(predict_streams(model, clips).windows))


if __name__ == "__main__":
    sys.exit(main())
