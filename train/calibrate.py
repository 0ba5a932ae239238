"""Measure voices, and fit a model's temperature and the confidence below which it is `uncertain`.

What a listener needs to know of voices, to judge each relative to its own ordinary speech, is
measured first (`voice_statistics.py`), where the model's graph has an embedding.

Why: a fine-tuned network is surer than it should be. Dividing its logits by one number, the
temperature, mends that and changes no label (Guo et al. 2017, "On calibration of modern neural
networks"). Then what it says with a confidence of 0.7 is right in 0.7, and a confidence can be
chosen above which it is right as often as is asked for.

Both are fitted on speakers whom training never heard, on the exported network that a device runs,
and on what `emo_listen.listen` tells of their clips: the temperature on its windows, the threshold
on its segments. They are stored in the folder's `emo_listen.json`:

    python train/calibrate.py models/my-voices --data recordings/
    python train/calibrate.py models/my-voices --data recordings/ --right 0.9
    python train/calibrate.py models/my-voices --data recordings/ ../shared/librispeech

`calibration.png` shows how often the model is right at each confidence, before and after;
`uncertain.png`, how much remains above each confidence and how often that is right. The test
split is not touched. `train/studies/compare_calibration.py` compares other ways to calibrate.
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
from emo_listen.errors import EmoListenError
from emo_listen.model_settings import ModelSettings
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
from train.evaluation.hearing import Heard, hear
from train.evaluation.voice_statistics import measure
from train.report.model_card import with_last_section
from train.report.plots import plot_certainty, plot_reliability

SPLIT = "validation"
HEADING = "## Calibration"
PICTURE = "calibration.png"
CERTAINTY_PICTURE = "uncertain.png"


@dataclass
class Calibration:
    """What was fitted, and on what."""

    temperature: float
    """Divisor of the logits (no unit)."""

    before: float
    """Expected calibration error of windows at temperature 1, 0 to 1."""

    after: float
    """Expected calibration error of windows at `temperature`, 0 to 1."""

    of_segments: float
    """Expected calibration error of segments at `temperature`, 0 to 1."""

    rate: float
    """Accuracy that was asked of what is certain, 0 to 1."""

    threshold: float | None
    """Confidence below which a label is `uncertain`, 0 to 1; None where none is enough."""

    coverage: float
    """Fraction of the segments that remain above it, or all, 0 to 1."""

    accuracy: float
    """Accuracy in those, 0 to 1."""

    held_out: HeldOut | None
    """The same on each speaker, fitted on the others; None where speakers are not known."""


def fit(model: EmotionModel, clips: list[Clip], rate: float) -> tuple[Calibration, Heard]:
    """Fit the temperature, and choose the threshold above which `rate` of the segments is right.

    Segments depend on the temperature a little, as a label changes where another one leads by a
    margin: the clips are heard once to fit it, and once with it.

    Args:
        model: gets the temperature.
        clips: to hear, at the model's rate.
        rate: how often a label that is not `uncertain` shall be right, 0 to 1.

    Returns:
        What was fitted, and what is heard with it.

    Raises:
        CorpusError: a class that the model does not know, or no speech in any clip.
    """
    windows = hear(model, clips).windows
    temperature = round(fit_temperature(windows.logits, windows.classes), 4)
    model.settings.temperature = temperature
    heard = hear(model, clips)
    windows, segments = heard.windows, heard.segments
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
    return found, heard


def draw(heard: Heard, found: Calibration, title: str, folder: Path) -> None:
    """Draw the reliability diagram, and what remains above each confidence, into `folder`."""
    windows, segments = heard.windows, heard.segments
    at_one = windows.confidences(1.0)
    confidences = segments.confidences(found.temperature)
    fitted = f"temperature {found.temperature:.2f}"
    diagrams = {
        "windows, temperature 1": reliability(at_one, windows.right),
        f"windows, {fitted}": reliability(windows.confidences(found.temperature), windows.right),
        f"segments, {fitted}": reliability(confidences, segments.right),
    }
    plot_reliability(diagrams, title, folder / PICTURE, counted="windows or segments")
    remaining = [above(confidences, segments.right, threshold) for threshold in THRESHOLDS]
    coverage, accuracy = np.array(remaining).T
    told = coverage * len(confidences) >= FEWEST
    plot_certainty(
        THRESHOLDS[told],
        coverage[told],
        accuracy[told],
        rate=found.rate,
        chosen=found.threshold,
        title=title,
        path=folder / CERTAINTY_PICTURE,
    )


def describe(found: Calibration, heard: str) -> list[str]:
    """Tell in Markdown paragraphs what was found in the windows and segments that `heard` names."""
    told = (
        f"Fitted on {heard}. Temperature {found.temperature:.2f}: expected calibration error of "
        f"windows {found.before:.3f} before, {found.after:.3f} after ({BINS} bins)"
    )
    expected = found.held_out
    if expected is not None:
        told += (
            f", {expected.expected_calibration_error:.3f} on each speaker at the temperature of "
            "the others"
        )
    lines = [f"{told}; of segments {found.of_segments:.3f}.", ""]
    if found.threshold is None:
        return [
            *lines,
            f"No label is called `uncertain`: above no confidence is the model right in "
            f"{found.rate:g} of at least {FEWEST} segments.",
        ]
    if not found.threshold:
        return [
            *lines,
            f"No label need be called `uncertain`: {found.accuracy:.3f} of all segments are "
            f"right, at least {found.rate:g} at every confidence.",
        ]
    told = (
        f"Below a confidence of {found.threshold:g} the label is `uncertain`. What remains, "
        f"{found.coverage:.3f} of the segments, is right in {found.accuracy:.3f} "
        f"(asked for: {found.rate:g})"
    )
    if expected is not None:
        told += (
            f"; with the confidence chosen on the other speakers, {expected.coverage:.3f} remain "
            f"and {expected.accuracy:.3f} of those are right"
        )
    return [*lines, f"{told}."]


def calibrate(
    folder: Path,
    data: list[str],
    rate: float,
    cache_dir: Path,
    command: str,
    columns: Columns = USUAL_COLUMNS,
) -> Calibration:
    """Fit, store and show the calibration of the model in `folder`; return it.

    Raises:
        CorpusError: no validation clips, no speech in them, or a class that the model does not
            know.
        ModelError: the model cannot be loaded.
    """
    model = EmotionModel.load(folder)
    clips = load_clips_of_all(data, SPLIT, model.sampling_rate, cache_dir, columns)
    if measure(folder, model, clips):
        model = EmotionModel.load(folder)
    found, heard = fit(model, clips, rate)
    speakers = {clip.speaker for clip in clips}
    windows, segments = len(heard.windows.classes), len(heard.segments.classes)
    counts = f"{windows} windows, {segments} segments"
    draw(heard, found, f"{SPLIT} split ({counts})", folder)

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
    told = describe(
        found,
        f"what a listener tells of the {SPLIT} split ({counts}, from {len(clips)} clips, "
        f"speakers: {known})",
    )
    card = folder / "README.md"
    if card.is_file():
        pictures = [f"![Reliability]({PICTURE})", f"![Certainty]({CERTAINTY_PICTURE})"]
        section = [*told, "", "```", command, "```", "", *pictures]
        text = with_last_section(card.read_text(encoding="utf-8"), HEADING, section)
        card.write_text(text, encoding="utf-8")
    print("\n".join(told))
    return found


def _origin(found: Calibration) -> dict[str, Any]:
    """Tell the figures of a calibration as `emo_listen.json` keeps them."""
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
    told: dict[str, Any] = {"expected_calibration_error": error, "uncertain": certain}
    if found.held_out is not None:
        told["held_out_speakers"] = {
            name: None if np.isnan(value) else round(value, 4)
            for name, value in asdict(found.held_out).items()
        }
    return told


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder that export/to_onnx.py wrote")
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        help="corpora, as train/finetune.py takes them; speakers of ordinary speech alone tell how "
        "far voices lie apart",
    )
    add_columns(parser)
    parser.add_argument(
        "--right",
        type=_fraction,
        default=0.8,
        metavar="FRACTION",
        help="how often a label that is not `uncertain` shall be right (default: 0.8)",
    )
    add_cache_dir(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv)
    try:
        command = shlex.join(["python", "train/calibrate.py", *argv])
        columns = columns_of(args)
        calibrate(args.model, args.data, args.right, args.cache_dir, command, columns)
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must be above 0 and below 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
