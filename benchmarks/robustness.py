"""Measure how well a model tells emotions through lines, in rooms, in noise and among voices.

Every clip is degraded in each way of `degradations.py`, the same for every model, and told whole.
Where the model takes a baseline, it is also judged relative to one of 5 neutral clips of the same
speaker, degraded alike and not scored. Intervals hold 95 % of the figures when whole speakers are
drawn again.

    pip install -e ".[train,export]"
    python benchmarks/robustness.py --data ../shared/crema-d --split validation
    python benchmarks/robustness.py --limit 120 --no-curves

Curves tell the accuracy against the level of babble and noise, and against the cut-off of high-pass
and low-pass filters. The last line is one JSON document. The test split is for the final figures:
choose on validation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np

from benchmarks.common.command import add_model, run_benchmark
from benchmarks.common.degradations import (
    BY_SPEAKER,
    Degrade,
    babble,
    high_pass,
    low_pass,
    noises,
    standard,
)
from benchmarks.common.material import (
    add_data,
    add_librispeech,
    add_noise,
    add_split,
    noise_recordings,
    plain_recordings,
)
from benchmarks.common.timing import machine, print_machine
from benchmarks.plots.robustness import plot_curves, plot_robustness
from benchmarks.scoring.accuracy_tables import cell, print_table
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.enrolment import answers_of, answers_with_baselines, enrol, outputs_of
from benchmarks.scoring.figures import INTERVAL, figures, neutral_errors, speaker_interval
from emo_listen import EmotionModel
from train.corpus.places import need_corpus
from train.corpus.recordings import Clip, check_labels, load_clips

ENROLLED = 5
"""Neutral clips of which a baseline is made, about 12 s."""

CLEAN = "clean"

SNRS = (20, 15, 10, 5, 0, -5)
"""dB of speech over babble or noise, of the curves."""

HIGH_PASS = (50, 100, 200, 300, 400, 600, 800)
"""Hz, of the curve."""

LOW_PASS = (1000, 1500, 2000, 3400, 5000, 7000)
"""Hz, of the curve."""


HEADING = "## Lines, rooms, noise"
"""Of its section of the card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_data(parser)
    add_librispeech(parser)
    add_noise(parser)
    add_split(parser)
    parser.add_argument(
        "--limit", type=int, help="take about this many clips, equally many of each class"
    )
    parser.add_argument(
        "--curves",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the curves, too (default: yes)",
    )
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Degrade, score, print the table, draw the pictures, return the JSON document.

    Raises:
        CorpusError: no such corpus, split or noise, or classes that the model does not know.
        ModelError: the model cannot be loaded, or has no card to write into.
    """
    check_card(args)
    args.data = need_corpus(args.data)
    told = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    clips = load_clips(args.data, args.split, rate, args.limit, args.cache_dir)
    check_labels(clips, model.labels)
    noise = noise_recordings(args.noise, rate)
    speech = plain_recordings(args.librispeech, args.split, rate, args.cache_dir)
    rows = [
        {"degradation": name, **score(model, clips, name, degrade)}
        for name, degrade in standard(rate, noise, speech).items()
    ]
    curves: dict[str, list[dict[str, Any]]] = {}
    if args.curves:
        curves = {
            "babble": [
                {"x": snr, **score(model, clips, "babble", babble(speech, snr))} for snr in SNRS
            ],
            "noise": [
                {"x": snr, **score(model, clips, "noise", noises(noise, snr))} for snr in SNRS
            ],
            "high-pass": [
                {"x": cutoff, **score(model, clips, "high-pass", high_pass(rate, cutoff))}
                for cutoff in HIGH_PASS
            ],
            "low-pass": [
                {"x": cutoff, **score(model, clips, "low-pass", low_pass(rate, cutoff))}
                for cutoff in LOW_PASS
            ],
        }
    document = {
        "benchmark": "robustness",
        "model": model.name,
        "data": Path(args.data).name,
        "split": args.split,
        "clips": len(clips),
        "enrolled": ENROLLED,
        "machine": told,
        "results": rows,
        "curves": curves,
    }
    args.output.mkdir(parents=True, exist_ok=True)
    pictures = [args.output / "robustness.png"]
    plot_robustness(rows, pictures[0])
    if curves:
        pictures.append(args.output / "robustness_curves.png")
        plot_curves(curves, rows[0], pictures[1])
    for picture in pictures:
        print(f"Wrote {picture}")
    print_machine(told)
    print_table(f"Whole clips of the {args.split} split", table(rows))
    if args.write_card:
        told_data = f"{len(clips)} whole clips of the {args.split} split of {document['data']}"
        write_card(args.model, HEADING, f"{told_data}, degraded.", [table(rows)], pictures)
    if model.head is None:
        print(f"No figures with a baseline: {model.name} takes none.")
    return document


def score(
    model: EmotionModel, clips: Sequence[Clip], name: str, degrade: Degrade
) -> dict[str, Any]:
    """Score degraded clips, and where the model takes a baseline those that are judged with one.

    Returns:
        `no_baseline`, and `baseline` where the model takes one and speakers have neutral clips:
        what `figures.figures` and `figures.neutral_errors` give, and `uar_95`.
    """
    degraded = degrade_all(clips, name, degrade)
    outputs = outputs_of(model, degraded, name)
    answers = {"no_baseline": answers_of(model, degraded, outputs)}
    if model.head is not None:
        chosen = enrol(clips, ENROLLED, np.random.default_rng(0))
        if chosen:
            answers["baseline"] = answers_with_baselines(model, degraded, outputs, chosen)
    return {
        way: {
            **figures(found, model.labels, model.settings.uncertain_below),
            "uar_95": speaker_interval(found, uar=True),
            **neutral_errors(found, model.labels),
        }
        for way, found in answers.items()
    }


def degrade_all(clips: Sequence[Clip], name: str, degrade: Degrade) -> list[Clip]:
    """Degrade each clip; a room is the same for all clips of a speaker."""
    speakers = sorted({str(clip.speaker) for clip in clips})
    numbers = {speaker: number for number, speaker in enumerate(speakers)}
    return [
        replace(
            clip,
            samples=degrade(
                clip.samples,
                np.random.default_rng(
                    [numbers[str(clip.speaker)]] if name in BY_SPEAKER else [1, index]
                ),
            ),
        )
        for index, clip in enumerate(clips)
    ]


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each degradation."""
    ways = [way for way in ("no_baseline", "baseline") if way in rows[0]]
    names = {"no_baseline": "", "baseline": f", {ENROLLED} clips as baseline"}
    heading = ["degradation"]
    for way in ways:
        heading += [f"{figure}{names[way]}" for figure in ("accuracy", "95 % interval", "UAR")]
    lines = [heading]
    for row in rows:
        line = [row["degradation"]]
        for way in ways:
            line += [cell(key, row[way].get(key)) for key in ("accuracy", INTERVAL, "uar")]
        lines.append(line)
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
