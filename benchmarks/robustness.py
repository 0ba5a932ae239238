"""Score a model on speech degraded by lines, rooms, noise and other voices.

Every whole clip is degraded in each way of `degradations.py`, the same for
every model. If the model supports baselines, it is also scored relative to one
of 5 neutral clips of the same speaker, equally degraded, which are not scored.
Intervals are 95 % bootstrap intervals over speakers.

    pip install -e ".[train,export]"
    python benchmarks/robustness.py --data data/crema-d
    python benchmarks/robustness.py --limit 120 --no-curves

Curves show the accuracy against the level of babble and noise, and the cut-off
of high-pass and low-pass filters. The last line is one JSON document.
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

from benchmarks.common.command import run_benchmark
from benchmarks.common.degradations import (
    BY_SPEAKER,
    Degrade,
    babble,
    high_pass,
    low_pass,
    noises,
    standard,
)
from benchmarks.common.material import noise_recordings, ordinary_recordings
from benchmarks.common.options import (
    add_data,
    add_folders,
    add_librispeech,
    add_limit,
    add_model,
    add_noise,
    add_split,
)
from benchmarks.common.timing import machine, print_machine
from benchmarks.plots.robustness import plot_curves, plot_robustness
from benchmarks.scoring.accuracy_tables import cell
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.enrolment import answers_of, answers_with_baselines, enrol, outputs_of
from benchmarks.scoring.figures import INTERVAL, figures, neutral_errors, speaker_interval
from emo_listen import EmotionModel
from export.tables import markdown_table, print_table
from train.common.command import command_parser
from train.corpus.places import need_corpus
from train.corpus.recordings import Clip, check_labels, load_clips

ENROLLED = 5
"""Neutral clips of a baseline, about 12 s."""

CLEAN = "clean"

SNRS = (20, 15, 10, 5, 0, -5)
"""Signal-to-noise ratios of the curves, in dB."""

HIGH_PASS = (50, 100, 200, 300, 400, 600, 800)
"""Cut-off frequencies of the curve, in Hz."""

LOW_PASS = (1000, 1500, 2000, 3400, 5000, 7000)
"""Cut-off frequencies of the curve, in Hz."""

HEADING = "## Degraded speech"
"""Heading of the section in the model card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_folders(parser)
    add_data(parser)
    add_librispeech(parser)
    add_noise(parser)
    add_split(parser)
    add_limit(parser)
    parser.add_argument(
        "--curves",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure the curves (default: yes)",
    )
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Degrade, score, print the table, draw the plots, and return the JSON document.

    Raises:
        CorpusError: no such corpus, split or noise, or classes that the model does not know.
        ModelError: the model cannot be loaded, or has no card to write to.
    """
    check_card(args)
    args.data = need_corpus(args.data)
    info = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    clips = load_clips(args.data, args.split, rate, args.limit, args.cache_dir)
    check_labels(clips, model.labels)
    noise = noise_recordings(args.noise, rate)
    speech = ordinary_recordings(args.librispeech, args.split, rate, args.cache_dir)
    rows = [
        {"degradation": name, **score(model, clips, name, degrade)}
        for name, degrade in standard(rate, noise, speech).items()
    ]
    curves: dict[str, list[dict[str, Any]]] = {}
    if args.curves:
        settings: dict[str, dict[int, Degrade]] = {
            "babble": {snr: babble(speech, snr) for snr in SNRS},
            "noise": {snr: noises(noise, snr) for snr in SNRS},
            "high-pass": {cutoff: high_pass(rate, cutoff) for cutoff in HIGH_PASS},
            "low-pass": {cutoff: low_pass(rate, cutoff) for cutoff in LOW_PASS},
        }
        curves = {
            name: [{"x": x, **score(model, clips, name, degrade)} for x, degrade in curve.items()]
            for name, curve in settings.items()
        }
    document = {
        "benchmark": "robustness",
        "model": model.name,
        "data": Path(args.data).name,
        "split": args.split,
        "clips": len(clips),
        "enrolled": ENROLLED,
        "machine": info,
        "results": rows,
        "curves": curves,
    }
    plots = [args.output / "robustness.png"]
    plot_robustness(rows, plots[0])
    if curves:
        plots.append(args.output / "robustness_curves.png")
        plot_curves(curves, rows[0], plots[1])
    print_machine(info)
    print_table(f"Whole clips of the {args.split} split", table(rows))
    if args.write_card:
        write_card(
            args.model,
            HEADING,
            f"{len(clips)} whole clips of the {args.split} split of {document['data']}, degraded.",
            markdown_table(table(rows)),
            plots,
        )
    if model.head is None:
        print(f"No figures with a baseline: {model.name} does not support baselines.")
    return document


def score(
    model: EmotionModel, clips: Sequence[Clip], name: str, degrade: Degrade
) -> dict[str, Any]:
    """Score degraded clips without a baseline, and with one if the model supports it.

    Returns:
        `no_baseline`, and `baseline` if the model supports it and speakers have neutral clips: the
        results of `figures.figures` and `figures.neutral_errors`, and `uar_95`.
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
    names = {"no_baseline": "", "baseline": f" (baseline of {ENROLLED} clips)"}
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
