"""Count turns lost and doubled by crosstalk between the channels of a conversation.

Two actors speak in turn, each in one channel; each channel also has a copy of
the other, delayed by up to 4 ms, and its own noise. Every channel is listened
to with the removal of crosstalk, as with `--channels separate`, and alone. A
turn is doubled if the other channel has segments where its own actor is
silent. Prints a table; the last line is one JSON document.

    python benchmarks/crosstalk.py
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import add_data, add_model
from benchmarks.conversations.two_channels import compose_two_channels, count_turns
from emo_listen import EmotionModel, ListenOptions, SegmentEvent, Session
from export.tables import print_table
from train.common.command import command_parser
from train.corpus.audio_cache import add_cache_dir
from train.corpus.recordings import load_clips

CROSSTALK = (None, -20.0, -12.0)
"""Levels of the copy, in dB; None for no copy."""

NOISE = (-75.0, -55.0)
"""Levels of the noise, in dBFS; speech is at about -25."""

TURNS = 10
"""Turns in a conversation."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_data(parser)
    add_cache_dir(parser)
    parser.add_argument(
        "--conversations", type=int, default=8, help="for each condition (default: 8)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Count, print the table, and return the JSON document.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: the model cannot be loaded.
    """
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    clips = load_clips(args.data, "validation", rate, cache_dir=args.cache_dir)
    results = []
    for crosstalk in CROSSTALK:
        for noise in NOISE:
            counts = {removed: {"turns": 0, "lost": 0, "doubled": 0} for removed in (False, True)}
            for number in tqdm(range(args.conversations), desc=f"{crosstalk} dB", unit="talk"):
                generator = np.random.default_rng([number, 1])
                sound, turns = compose_two_channels(clips, rate, TURNS, crosstalk, noise, generator)
                for removed, total in counts.items():
                    found = count_turns(turns, channel_segments(model, sound, removed=removed))
                    for name, count in found.items():
                        total[name] += count
            results += [
                {"crosstalk_db": crosstalk, "noise_dbfs": noise, "removed": removed, **total}
                for removed, total in counts.items()
            ]
    rows = [("crosstalk", "noise", "removal", "turns", "lost", "doubled")]
    rows += [
        (
            "none" if row["crosstalk_db"] is None else f"{row['crosstalk_db']:.0f} dB",
            f"{row['noise_dbfs']:.0f} dBFS",
            "yes" if row["removed"] else "no",
            str(row["turns"]),
            str(row["lost"]),
            str(row["doubled"]),
        )
        for row in results
    ]
    print_table("Turns of two-channel conversations", rows)
    return {"benchmark": "crosstalk", "model": model.name, "results": results}


def channel_segments(
    model: EmotionModel, sound: NDArray[np.float32], *, removed: bool
) -> list[list[tuple[float, float]]]:
    """Return start and end of the segments of each channel, in seconds.

    Args:
        model: The model.
        sound: Audio at the model's rate, float32 (n_samples, n_channels).
        removed: Whether crosstalk is removed, or each channel is listened to alone.
    """
    found: list[list[tuple[float, float]]] = [[] for _ in range(sound.shape[1])]
    streams = [sound] if removed else [sound[:, [channel]] for channel in range(sound.shape[1])]
    for first, stream in enumerate(streams):
        session = Session(model, ListenOptions(channels="separate"))
        for event in [*session.push(stream, model.sampling_rate), *session.finish()]:
            if isinstance(event, SegmentEvent) and event.channel is not None:
                found[first + event.channel - 1].append((event.start, event.end))
    return found


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
