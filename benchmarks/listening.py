r"""Measure emotion recognition in conversations, in quiet and in noise.

Conversations are composed from a corpus's clips, with pauses and with everyday
noise from recordings that training does not use. Two outputs are compared:

- windows: one label per hop for the whole stream, held until the next one
  (`--no-vad --emit windows`), and
- segments: the listener's default.

Figures are the share of the speech time with the correct emotion, the emotion
diarization error rate, label changes per true change, and delays: from the end
of speech to the final label, and from its start to the first label. Noise
alone must not get a label.

In these conversations five of six turns are emotional. Mostly neutral
conversations follow: an actor who is usually neutral, and readers of
LibriSpeech. Figures are false alarms per hour (segments with an emotion where
there is none) and the detection rate (emotional turns with the correct emotion
for at least half of their time). The last table counts the turns detected
under offset, hum, wind and so on.

    pip install -e ".[train,export]"
    python benchmarks/listening.py --data data/crema-d \
        --noise data/esc-10 --librispeech data/librispeech

The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np

from benchmarks.common.command import run_benchmark
from benchmarks.common.noises import load_noises
from benchmarks.common.options import (
    add_baseline,
    add_data,
    add_folders,
    add_librispeech,
    add_model,
    add_noise,
    add_split,
)
from benchmarks.common.timing import machine, print_machine
from benchmarks.conversations.compose import compose
from benchmarks.conversations.ordinary import compose_ordinary
from benchmarks.conversations.stream_scores import (
    score_conversations,
    score_noise,
    score_ordinary,
)
from benchmarks.conversations.turn_detection import print_situations, score_situations
from benchmarks.plots.listening import plot_listening, plot_ordinary
from benchmarks.scoring.accuracy_tables import cell
from benchmarks.scoring.card import add_write_card, check_card, write_card
from emo_listen import EmotionModel
from export.tables import markdown_table, print_table
from train.common.command import command_parser
from train.corpus.esc_10 import TEST_FOLDS
from train.corpus.places import need_corpus
from train.corpus.recordings import load_clips

CONDITIONS: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0)
"""Signal-to-noise ratios in dB; None is quiet."""

ORDINARY_CONDITIONS: tuple[float | None, ...] = (None, 10.0)
"""The same for mostly neutral conversations."""

HEADING = "## Conversations"
"""Heading of the section in the model card."""

TABLES_NOTE = (
    "In the first table five of six turns are emotional; the second is of mostly neutral "
    "conversations. Delays are the 95th percentile."
)
"""Explains the tables, in the card and on the page of results."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_folders(parser)
    add_data(parser)
    add_librispeech(parser)
    add_noise(parser)
    add_split(parser)
    add_baseline(parser)
    parser.add_argument(
        "--conversations", type=int, default=10, help="conversations per condition (default: 10)"
    )
    parser.add_argument(
        "--turns", type=int, default=20, help="turns per conversation (default: 20)"
    )
    parser.add_argument(
        "--situations",
        type=int,
        default=2,
        help="conversations for each kind of disturbance (default: 2)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compose, listen, print the tables, draw the plots, and return the JSON document.

    Raises:
        CorpusError: no such corpus, split or noise.
        ModelError: the model cannot be loaded, or has no card to write to.
    """
    check_card(args)
    data = need_corpus(args.data)
    info = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    clips = load_clips(data, args.split, rate, cache_dir=args.cache_dir)
    noises = load_noises(args.noise, rate)
    background = [noise.samples for noise in noises if noise.fold in TEST_FOLDS]
    numbers = range(args.conversations)
    rows = []
    for snr in CONDITIONS:
        streams = [
            compose(clips, rate, args.turns, np.random.default_rng([args.seed, n]), background, snr)
            for n in numbers
        ]
        rows.append(score_conversations(model, streams, condition_name(snr), args.baseline))
    plain = load_clips(args.librispeech, args.split, rate, cache_dir=args.cache_dir)
    ordinary = []
    for snr in ORDINARY_CONDITIONS:
        streams = [
            compose_ordinary(
                clips, plain, rate, np.random.default_rng([args.seed, n]), background, snr
            )
            for n in numbers
        ]
        ordinary.append(score_ordinary(model, streams, condition_name(snr), args.baseline))
    noise_alone = score_noise(model, noises)
    situations = score_situations(clips, args.situations, args.seed) if args.situations else []
    plots = [args.output / name for name in ("listening.png", "ordinary.png")]
    plot_listening(rows, plots[0])
    plot_ordinary(ordinary, plots[1])
    print_machine(info)
    tables = [conversation_table(rows), ordinary_table(ordinary)]
    print_table("Conversations (delays: 95th percentile)", tables[0])
    print_table("Mostly neutral conversations", tables[1])
    print(
        f"Noise alone: {noise_alone['labelled']} of {noise_alone['clips']} recordings get a label "
        f"({', '.join(noise_alone['names']) or 'none'}); {noise_alone['shortened']} recordings are "
        "damaged and used up to the damage."
    )
    if args.write_card:
        write_card(
            args.model,
            HEADING,
            f"Composed from clips of the {args.split} split, baseline {args.baseline}. "
            f"{TABLES_NOTE}",
            [line for table in tables for line in (*markdown_table(table), "")],
            plots,
        )
    print_situations(situations)
    return {
        "benchmark": "listening",
        "model": model.name,
        "split": args.split,
        "conversations": args.conversations,
        "turns": args.turns,
        "machine": info,
        "baseline": "off" if model.head is None else args.baseline,
        "results": rows,
        "ordinary": ordinary,
        "noise_alone": noise_alone,
        "situations": situations,
    }


def condition_name(snr: float | None) -> str:
    """Name a signal-to-noise ratio."""
    return "quiet" if snr is None else f"{snr:g} dB"


def ordinary_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each condition."""
    keys = ("detection_rate", "any_emotion_rate", "right_alarms", "accuracy", "error_rate")
    heading = ["SNR", "false alarms per hour", "detection rate", "any-emotion rate"]
    lines = [[*heading, "alarm precision", "accuracy", "error rate"]]
    for row in rows:
        count = f"{row['false_alarms_per_hour']:.0f}"
        lines.append([row["condition"], count, *(cell(key, row[key]) for key in keys)])
    return lines


def conversation_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: windows and segments for each condition."""
    heading = ["SNR", "output", "accuracy", "error rate", "changes per true change"]
    lines = [[*heading, "end to label", "start to label"]]
    for row in rows:
        for output in ("windows", "segments"):
            found = row[output]
            delays = ["", ""]
            if output == "segments":
                delays = [
                    f"{row[key]['p95']:.2f} s" if row[key]["p95"] is not None else ""
                    for key in ("final_label_s", "first_label_s")
                ]
            lines.append(
                [
                    row["condition"] if output == "windows" else "",
                    output,
                    f"{found['accuracy']:.3f}",
                    f"{found['error_rate']:.3f}",
                    f"{found['changes_per_true_change']:.2f}",
                    *delays,
                ]
            )
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
