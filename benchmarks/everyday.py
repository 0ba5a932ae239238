"""Measure false emotions in ordinary speech, in which no emotion is acted.

Ordinary speech passes through the listener, one stream per speaker. The
figures are the shares of segment time by label: `neutral` is correct,
`uncertain` does no harm, anything else is a false emotion. The same is
measured over a telephone, in the far field, in noise, and at a lower level.
Intervals are 95 % bootstrap intervals over speakers.

    pip install -e ".[train,export]"
    python benchmarks/everyday.py --librispeech data/librispeech
    python benchmarks/everyday.py --folder recordings/ --baseline off

A folder may contain any recordings of ordinary speech; each file is a stream.
The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.degradations import (
    FAR_FIELD,
    Degrade,
    in_room,
    noises,
    softer,
    telephone,
)
from benchmarks.common.material import noise_recordings
from benchmarks.common.options import (
    add_baseline,
    add_folders,
    add_librispeech,
    add_model,
    add_noise,
    add_split,
)
from benchmarks.common.timing import Samples, machine, print_machine
from benchmarks.plots.everyday import plot_everyday
from benchmarks.scoring.accuracy_tables import cell
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.figures import NEUTRAL, bootstrap_interval
from emo_listen import EmotionModel, SegmentEvent
from emo_listen.audio import load_audio
from emo_listen.baselines.references import BaselineChoice
from emo_listen.errors import CorpusError
from emo_listen.model_settings import UNCERTAIN
from export.tables import markdown_table, print_table
from train.common.command import command_parser
from train.corpus.recordings import load_clips
from train.corpus.sound_files import audio_files
from train.evaluation.listening import events_of
from train.evaluation.streams import streams_of_speakers

FALSE = "false_emotion"
"""Key of the share of time with a label other than `neutral` and `uncertain`."""

HEADING = "## Ordinary speech"
"""Heading of the section in the model card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_folders(parser)
    add_librispeech(parser)
    parser.add_argument(
        "--folder", type=Path, help="folder of recordings to use instead, each a stream"
    )
    add_noise(parser)
    add_split(parser)
    add_baseline(parser)
    parser.add_argument("--limit", type=int, help="use only the first so many streams")
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Listen in each condition, print the table, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus, folder or noise, or no speech in it.
        ModelError: the model cannot be loaded, or has no card to write to.
    """
    check_card(args)
    info = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    if args.folder is None:
        data, split = Path(args.librispeech).name, args.split
        clips = load_clips(args.librispeech, split, rate, cache_dir=args.cache_dir)
        streams = [stream.samples for stream in streams_of_speakers(clips, rate)]
    else:
        if not args.folder.is_dir():
            raise CorpusError(f"--folder {args.folder} does not exist: give a folder of recordings")
        data, split = args.folder.name, None
        streams = [load_audio(file, rate) for file in audio_files(args.folder)]
    if not streams:
        raise CorpusError(f"--folder {args.folder} has no audio files: give a folder of recordings")
    streams = streams[: args.limit]
    rows = [
        {"condition": name, **score(model, streams, name, degrade, args.baseline)}
        for name, degrade in conditions(rate, noise_recordings(args.noise, rate)).items()
    ]
    plot = args.output / "everyday.png"
    plot_everyday(rows, plot)
    print_machine(info)
    source = data if split is None else f"{data}, {split} split"
    print_table(f"{source}: share of segment time by label, baseline {args.baseline}", table(rows))
    if args.write_card:
        write_card(
            args.model,
            HEADING,
            f"Share of segment time by label in {len(streams)} streams of ordinary speech "
            f"({source}), baseline {args.baseline}. No emotion is acted, so every label except "
            "`neutral` and `uncertain` is false.",
            markdown_table(table(rows)),
            [plot],
            first=True,
        )
    if model.head is None and args.baseline == "auto":
        print(f"{model.name} does not support baselines: --baseline auto has no effect.")
    return {
        "benchmark": "everyday",
        "model": model.name,
        "data": data,
        "split": split,
        "baseline": "off" if model.head is None else args.baseline,
        "streams": len(streams),
        "machine": info,
        "results": rows,
    }


def conditions(rate: int, noise: Sequence[Samples]) -> dict[str, Degrade]:
    """Return all conditions by name."""
    return {
        "clean": lambda samples, _: samples,
        "20 dB softer": lambda samples, _: softer(samples, 20),
        "telephone": lambda samples, _: telephone(samples, rate),
        "far field": in_room(FAR_FIELD, rate),
        "noise 10 dB": noises(noise, 10),
    }


def score(
    model: EmotionModel,
    streams: Sequence[Samples],
    name: str,
    degrade: Degrade,
    baseline: BaselineChoice,
) -> dict[str, Any]:
    """Listen to all streams in one condition.

    Returns:
        `segment_s` (seconds), its shares `neutral`, `uncertain` and `false_emotion`, the interval
        `false_emotion_95` (None for few streams), `by_label` with the share of every label, and
        `emotional_segments_per_hour` of stream time.

    Raises:
        CorpusError: there is no segment.
    """

    def listen(job: tuple[int, Samples]) -> tuple[dict[str, float], int]:
        number, samples = job
        degraded = degrade(samples, np.random.default_rng(number))
        events = events_of(model, degraded, baseline=baseline)
        segments = [event for event in events if isinstance(event, SegmentEvent)]
        seconds: dict[str, float] = defaultdict(float)
        for event in segments:
            seconds[event.label] += event.end - event.start
        return seconds, sum(event.label not in (NEUTRAL, UNCERTAIN) for event in segments)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(listen, enumerate(streams))
        results = list(tqdm(jobs, name, len(streams), unit="stream"))
    labels = [*model.labels, UNCERTAIN]
    seconds = np.array([[found[label] for label in labels] for found, _ in results])
    if not seconds.sum():
        raise CorpusError(
            f"no speech was found in any of the {len(streams)} streams: give recordings of speech"
        )
    false = np.array([label not in (NEUTRAL, UNCERTAIN) for label in labels])
    shares = dict(zip(labels, (seconds.sum(axis=0) / seconds.sum()).tolist(), strict=True))
    hours = sum(len(samples) for samples in streams) / model.sampling_rate / 3600
    return {
        "segment_s": round(float(seconds.sum()), 1),
        NEUTRAL: shares.get(NEUTRAL, 0.0),
        UNCERTAIN: shares[UNCERTAIN],
        FALSE: float(seconds[:, false].sum() / seconds.sum()),
        f"{FALSE}_95": bootstrap_interval(
            seconds[:, false].sum(axis=1, keepdims=True), seconds.sum(axis=1, keepdims=True)
        ),
        "by_label": shares,
        "emotional_segments_per_hour": sum(count for _, count in results) / hours,
    }


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each condition."""
    keys = (NEUTRAL, UNCERTAIN, FALSE, f"{FALSE}_95")
    heading = ["condition", "neutral", "uncertain", "false emotion", "95 % interval"]
    lines = [[*heading, "emotional segments per hour"]]
    for row in rows:
        count = f"{row['emotional_segments_per_hour']:.0f}"
        lines.append([row["condition"], *(cell(key, row[key]) for key in keys), count])
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
