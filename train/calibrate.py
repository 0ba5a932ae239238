"""Fit a model's temperature, so that what it says with a confidence of 0.7 is right in 0.7.

Why: a fine-tuned network is surer than it should be. Dividing its logits by one number, the
temperature, mends that and changes no label (Guo et al. 2017, "On calibration of modern neural
networks"). It is fitted on speakers whom training never heard, on the exported network that a
device runs, and stored in the folder's `emo_listen.json`:

    python train/calibrate.py models/my-voices --data recordings/

`calibration.png` shows how often the model is right at each confidence, before and after. The
test split is not touched.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from tqdm import tqdm

from audio_cache import decode_corpus, print_faults, to_float
from corpora import load_corpus
from emo_listen import EmotionModel
from emo_listen.errors import CorpusError, EmoListenError
from emo_listen.settings import ModelSettings
from model_card import with_last_section
from plots import plot_reliability
from splits import split_corpus

SPLIT = "validation"
HEADING = "## Calibration"
PICTURE = "calibration.png"

BINS = 10
"""Bins of equal width in which confidence and accuracy are compared."""

TEMPERATURES = (0.05, 20.0)
"""Range that is searched (no unit)."""


def fit_temperature(logits: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """Find the temperature that makes `classes` most likely.

    Args:
        logits: `(n_clips, n_classes)`, up to a constant for each clip.
        classes: true class indices `(n_clips,)`.
    """
    rows = np.arange(len(classes))

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, classes].mean())

    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds, bounds=bounds).x))


def reliability(
    confidences: NDArray[np.float64], right: NDArray[np.bool_]
) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and count in each bin of `BINS` that is not empty.

    Args:
        confidences: `(n_clips,)`, probability of the label that is given.
        right: `(n_clips,)`, whether that label is the true one.
    """
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return [
        (float(confidences[bins == b].mean()), float(right[bins == b].mean()), int(n))
        for b in range(BINS)
        if (n := (bins == b).sum())
    ]


def calibration_error(rows: list[tuple[float, float, int]]) -> float:
    """Return the expected calibration error (ECE, 0 to 1) of what `reliability` gives."""
    total = sum(count for _, _, count in rows)
    return sum(count * abs(confidence - right) for confidence, right, count in rows) / total


def log_scores(
    model: EmotionModel, data: str, cache_dir: Path
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Run the model on the validation clips: log-probabilities `(n, n_classes)`, classes `(n,)`.

    Raises:
        CorpusError: no validation clips, or a class that the model does not know.
    """
    clips, faults = decode_corpus(load_corpus(data), model.sampling_rate, cache_dir)
    print_faults(faults)
    clips = split_corpus(clips)[SPLIT]
    if unknown := sorted(set(clips["label"]) - set(model.labels)):
        raise CorpusError(f"the model does not know {', '.join(unknown)}: give its own corpus")
    rows = clips.with_format("numpy", columns=["samples"])
    scores = []
    for i in tqdm(range(len(clips)), desc=f"{SPLIT} clips", unit="clip"):
        samples = to_float(rows[i]["samples"])
        scores.append(list(model.predict(samples, model.sampling_rate).scores.values()))
    classes = np.array([model.labels.index(label) for label in clips["label"]])
    return np.log(np.maximum(np.array(scores), 1e-12)), classes


def calibrate(folder: Path, data: str, cache_dir: Path, command: str) -> float:
    """Fit, store and show the temperature of the model in `folder`; return it."""
    model = EmotionModel.load(folder)
    stored = ModelSettings.read(folder)
    scores, classes = log_scores(model, data, cache_dir)
    logits = scores * stored.temperature
    temperature = fit_temperature(logits, classes)
    right = logits.argmax(axis=1) == classes
    diagrams = {
        name: reliability(np.exp(log_softmax(logits / value, axis=1)).max(axis=1), right)
        for name, value in (("temperature 1", 1.0), (f"temperature {temperature:.2f}", temperature))
    }
    before, after = (calibration_error(rows) for rows in diagrams.values())
    plot_reliability(diagrams, f"{SPLIT} split ({len(classes)} clips)", folder / PICTURE)
    stored.temperature = round(temperature, 4)
    stored.origin["calibration"] = {
        "command": command,
        "split": SPLIT,
        "clips": len(classes),
        "network": model.file.relative_to(folder).as_posix(),
        "expected_calibration_error": {"before": round(before, 4), "after": round(after, 4)},
    }
    stored.write(folder)
    told = (
        f"Temperature {temperature:.2f}, fitted on the {SPLIT} split ({len(classes)} clips): "
        f"expected calibration error {before:.3f} before, {after:.3f} after ({BINS} bins)."
    )
    card = folder / "README.md"
    if card.is_file():
        section = [told, "", "```", command, "```", "", f"![]({PICTURE})"]
        text = with_last_section(card.read_text(encoding="utf-8"), HEADING, section)
        card.write_text(text, encoding="utf-8")
    print(told)
    return temperature


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder that export/to_onnx.py wrote")
    parser.add_argument("--data", required=True, help="corpus, as train/finetune.py takes it")
    parser.add_argument(
        "--cache_dir", type=Path, default=Path(".cache/train"), help="folder of decoded sound"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv)
    try:
        command = shlex.join(["python", "train/calibrate.py", *argv])
        calibrate(args.model, args.data, args.cache_dir, command)
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
