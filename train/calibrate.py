"""Calibrate an exported model: voice statistics, temperature, and the threshold of `uncertain`.

If the model's graph has an embedding, the statistics of voices are measured first, with which a
listener classifies each voice relative to its own ordinary speech
(`evaluation/voice_statistics.py`).

A fine-tuned network is overconfident. Dividing its logits by a number, the temperature, corrects
that without changing any label (Guo et al. 2017, "On calibration of modern neural networks"). A
confidence of 0.7 then means an accuracy of 0.7, and a confidence can be chosen above which labels
have a required accuracy.

Both are fitted on speakers that the model was not trained on, with the exported network and the
results of `emo_listen.listen`: the temperature on windows, the threshold on segments. They are
stored in the folder's `emo_listen.json`:

    python train/calibrate.py models/my-voices --data recordings/
    python train/calibrate.py models/my-voices --data recordings/ --right 0.9
    python train/calibrate.py models/my-voices --data recordings/ data/librispeech

`calibration.png` shows the accuracy at each confidence, before and after; `uncertain.png` the
coverage and accuracy above each confidence. The test split is not used.
`train/studies/compare_calibration.py` compares other ways to calibrate.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np

from emo_listen import EmotionModel
from emo_listen.model_settings import ModelSettings
from train.common.command import command_parser, exits_with_code
from train.corpus.audio_cache import add_cache_dir
from train.corpus.clip_table import USUAL_COLUMNS, Columns, add_columns, columns_of
from train.corpus.recordings import Clip, load_clips_of_all
from train.evaluation.calibration import (
    BINS,
    FEWEST,
    THRESHOLDS,
    HeldOut,
    above,
    calibration_error,
    choose_threshold,
    fit_temperature,
    held_out,
    reliability,
)
from train.evaluation.listening import StreamPredictions, predict_streams
from train.evaluation.voice_statistics import measure
from train.report.model_card import with_last_section
from train.report.plots import plot_certainty, plot_reliability

SPLIT = "validation"
HEADING = "## Calibration"
PICTURE = "calibration.png"
CERTAINTY_PICTURE = "uncertain.png"


@dataclass
class Calibration:
    """The fitted values and their figures."""

    temperature: float
    """Divisor of the logits (no unit)."""

    before: float
    """Expected calibration error of windows at temperature 1, 0 to 1."""

    after: float
    """Expected calibration error of windows at `temperature`, 0 to 1."""

    of_segments: float
    """Expected calibration error of segments at `temperature`, 0 to 1."""

    rate: float
    """Required accuracy of certain segments, 0 to 1."""

    threshold: float | None
    """Confidence below which a label is `uncertain`, 0 to 1; None if none reaches `rate`."""

    coverage: float
    """Fraction of segments above the threshold, 0 to 1; of all if there is none."""

    accuracy: float
    """Accuracy of those, 0 to 1."""

    held_out: HeldOut | None
    """Figures of each speaker, fitted on the others; None if speakers are unknown."""


def fit(
    model: EmotionModel, clips: list[Clip], rate: float
) -> tuple[Calibration, StreamPredictions]:
    """Fit the temperature, and choose the threshold above which segments have the accuracy `rate`.

    Segments depend slightly on the temperature, since the label changes when another one leads by a
    margin. The clips are therefore run once to fit it, and once with it.

    Args:
        model: gets the temperature.
        clips: at the model's rate.
        rate: required accuracy of labels that are not `uncertain`, 0 to 1.

    Returns:
        The fitted values, and the predictions with them.

    Raises:
        CorpusError: the model does not know a class, or there is no speech in any clip.
    """
    windows = predict_streams(model, clips).windows
    temperature = round(fit_temperature(windows.logits, windows.classes), 4)
    model.settings.temperature = temperature
    predictions = predict_streams(model, clips)
    windows, segments = predictions.windows, predictions.segments
    confidences = segments.confidences(temperature)
    threshold = choose_threshold(confidences, segments.right, rate)
    coverage, accuracy = above(confidences, segments.right, threshold or 0.0)
    found = Calibration(
        temperature=temperature,
        before=calibration_error(reliability(windows.confidences(1.0), windows.right)),
        after=calibration_error(reliability(windows.confidences(temperature), windows.right)),
        of_segments=calibration_error(reliability(confidences, segments.right)),
        rate=rate,
        threshold=threshold,
        coverage=coverage,
        accuracy=accuracy,
        held_out=held_out(windows, segments, rate),
    )
    return found, predictions


def draw(predictions: StreamPredictions, found: Calibration, title: str, folder: Path) -> None:
    """Plot the reliability diagram, and coverage and accuracy by confidence, into `folder`."""
    windows, segments = predictions.windows, predictions.segments
    at_one = windows.confidences(1.0)
    confidences = segments.confidences(found.temperature)
    fitted = f"temperature {found.temperature:.2f}"
    diagrams = {
        "windows, temperature 1": reliability(at_one, windows.right),
        f"windows, {fitted}": reliability(windows.confidences(found.temperature), windows.right),
        f"segments, {fitted}": reliability(confidences, segments.right),
    }
    plot_reliability(diagrams, title, folder / PICTURE, counted="windows or segments")
    by_threshold = [above(confidences, segments.right, threshold) for threshold in THRESHOLDS]
    coverage, accuracy = np.array(by_threshold).T
    enough = coverage * len(confidences) >= FEWEST
    plot_certainty(
        THRESHOLDS[enough],
        coverage[enough],
        accuracy[enough],
        rate=found.rate,
        chosen=found.threshold,
        title=title,
        path=folder / CERTAINTY_PICTURE,
    )


def describe(found: Calibration, fitted_on: str) -> list[str]:
    """Describe a calibration in Markdown paragraphs; `fitted_on` names the data."""
    error = (
        f"Fitted on {fitted_on}. The expected calibration error ({BINS} bins) of windows is "
        f"{found.before:.3f} without and {found.after:.3f} with the temperature "
        f"{found.temperature:.2f}, that of segments {found.of_segments:.3f}"
    )
    others = found.held_out
    if others is not None:
        error += (
            f"; that of windows with the temperature of the other speakers is "
            f"{others.expected_calibration_error:.3f}"
        )
    lines = [f"{error}.", ""]
    if found.threshold is None:
        return [
            *lines,
            f"No label is `uncertain`: above no confidence do at least {FEWEST} segments have an "
            f"accuracy of {found.rate:g}.",
        ]
    if not found.threshold:
        return [
            *lines,
            f"No label needs to be `uncertain`: the accuracy of all segments is "
            f"{found.accuracy:.3f}, and at least {found.rate:g} above every confidence.",
        ]
    certain = (
        f"Below a confidence of {found.threshold:g} the label is `uncertain`. The other segments, "
        f"{found.coverage:.3f} of all, have an accuracy of {found.accuracy:.3f} "
        f"(required: {found.rate:g})"
    )
    if others is not None:
        certain += (
            f"; with the threshold of the other speakers, it is {others.accuracy:.3f} for "
            f"{others.coverage:.3f} of all"
        )
    return [*lines, f"{certain}."]


def calibrate(
    folder: Path,
    data: list[str],
    rate: float,
    cache_dir: Path,
    command: str,
    columns: Columns = USUAL_COLUMNS,
) -> Calibration:
    """Fit the calibration of the model in `folder`, store it, print it, and return it.

    Raises:
        CorpusError: there are no validation clips or no speech in them, or the model does not know
            a class.
        ModelError: the model cannot be loaded.
    """
    model = EmotionModel.load(folder)
    clips = load_clips_of_all(data, SPLIT, model.sampling_rate, cache_dir, columns)
    if measure(folder, model, clips):
        model = EmotionModel.load(folder)
    found, predictions = fit(model, clips, rate)
    speakers = {clip.speaker for clip in clips}
    windows, segments = len(predictions.windows.classes), len(predictions.segments.classes)
    counts = f"{windows} windows, {segments} segments"
    draw(predictions, found, f"{SPLIT} split ({counts})", folder)

    stored = ModelSettings.read(folder)
    stored.temperature = found.temperature
    stored.uncertain_below = found.threshold or 0.0
    stored.origin["calibration"] = {
        "command": command,
        "split": SPLIT,
        "clips": len(clips),
        "windows": windows,
        "segments": segments,
        "speakers": None if None in speakers else len(speakers),
        "network": model.file.relative_to(folder).as_posix(),
        **_origin(found),
    }
    stored.write(folder)
    known = "unknown" if None in speakers else len(speakers)
    paragraphs = describe(
        found,
        f"the listener's results on the {SPLIT} split ({counts}, from {len(clips)} clips, "
        f"speakers: {known})",
    )
    card = folder / "README.md"
    if card.is_file():
        pictures = [f"![Reliability]({PICTURE})", f"![Certainty]({CERTAINTY_PICTURE})"]
        section = [*paragraphs, "", "```", command, "```", "", *pictures]
        text = with_last_section(card.read_text(encoding="utf-8"), HEADING, section)
        card.write_text(text, encoding="utf-8")
    print("\n".join(paragraphs))
    return found


def _origin(found: Calibration) -> dict[str, Any]:
    """Figures of a calibration as stored in `emo_listen.json`."""
    error = {
        "before": round(found.before, 4),
        "after": round(found.after, 4),
        "segments": round(found.of_segments, 4),
    }
    certain: dict[str, Any] = {"asked_accuracy": found.rate}
    if found.threshold is None:
        certain["below"] = None
    else:
        certain |= {
            "below": found.threshold,
            "coverage": round(found.coverage, 4),
            "accuracy": round(found.accuracy, 4),
        }
    figures: dict[str, Any] = {"expected_calibration_error": error, "uncertain": certain}
    if found.held_out is not None:
        figures["held_out_speakers"] = {
            name: None if np.isnan(value) else round(value, 4)
            for name, value in asdict(found.held_out).items()
        }
    return figures


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("model", type=Path, help="model folder that export/to_onnx.py wrote")
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        help="corpora, as train/finetune.py takes them; speakers with only neutral clips are used "
        "for the spread between voices",
    )
    add_columns(parser)
    parser.add_argument(
        "--right",
        type=_fraction,
        default=0.8,
        metavar="FRACTION",
        help="required accuracy of labels that are not `uncertain` (default: 0.8)",
    )
    add_cache_dir(parser)
    return parser.parse_args(argv)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv)
    command = shlex.join(["python", "train/calibrate.py", *argv])
    calibrate(args.model, args.data, args.right, args.cache_dir, command, columns_of(args))


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must be above 0 and below 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
