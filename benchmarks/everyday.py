"""Measure what a listener tells of ordinary speech, in which no emotion is acted.

Plain speech goes through the listener, a stream for each speaker. Told is the share of the
segments' time by label: `neutral` is right, `uncertain` no harm, everything else a **false
emotion**. The same through a telephone, in a far field, in noise, and softer. Intervals hold 95 %
of the shares when whole speakers are drawn again.

    pip install -e ".[train,export]"
    python benchmarks/everyday.py --librispeech ../shared/librispeech --split validation
    python benchmarks/everyday.py --folder recordings/ --baseline off

A folder may hold any sound of ordinary speech: each file is a stream. The last line is one JSON
document. The test split is for the final figures: choose on validation.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from tqdm import tqdm

from benchmarks.common.command import add_model, run_benchmark
from benchmarks.common.degradations import (
    FAR_FIELD,
    Degrade,
    Samples,
    in_room,
    noises,
    softer,
    telephone,
)
from benchmarks.common.material import (
    add_baseline,
    add_librispeech,
    add_noise,
    add_split,
    noise_recordings,
)
from benchmarks.common.timing import machine, print_machine
from benchmarks.plots.everyday import plot_everyday
from benchmarks.scoring.accuracy_tables import cell, print_table
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.figures import FEWEST_SPEAKERS, NEUTRAL, RESAMPLES, SEED
from emo_listen import EmotionModel, SegmentEvent
from emo_listen.audio import load_audio
from emo_listen.errors import CorpusError
from emo_listen.model_settings import UNCERTAIN
from train.corpus.recordings import load_clips
from train.corpus.sound_files import audio_files
from train.evaluation.listening import events_of
from train.evaluation.streams import streams_of_speakers

FALSE = "false_emotion"
"""Key of the share of time with another label than `neutral` and `uncertain`."""


HEADING = "## Ordinary speech"
"""Of its section of the card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_librispeech(parser)
    parser.add_argument(
        "--folder", type=Path, help="folder of sound files to measure instead, each a stream"
    )
    add_noise(parser)
    add_split(parser)
    add_baseline(parser)
    parser.add_argument("--limit", type=int, help="take the first so many streams")
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Listen in each condition, print the table, draw the picture, return the JSON document.

    Raises:
        CorpusError: no such corpus, folder or noise, or nothing in it is speech.
        ModelError: the model cannot be loaded, or has no card to write into.
    """
    check_card(args)
    told = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    if args.folder is None:
        data, split = Path(args.librispeech).name, args.split
        clips = load_clips(args.librispeech, split, rate, cache_dir=args.cache_dir)
        streams = [stream.samples for stream in streams_of_speakers(clips, rate)]
    else:
        if not args.folder.is_dir():
            raise CorpusError(f"There is no folder {args.folder}: give the recordings' place.")
        data, split = args.folder.name, None
        streams = [load_audio(file, rate) for file in audio_files(args.folder)]
    if not streams:
        raise CorpusError(f"{args.folder} holds no sound files")
    streams = streams[: args.limit]
    rows = [
        {"condition": name, **score(model, streams, name, degrade, args.baseline)}
        for name, degrade in conditions(rate, noise_recordings(args.noise, rate)).items()
    ]
    args.output.mkdir(parents=True, exist_ok=True)
    picture = args.output / "everyday.png"
    plot_everyday(rows, picture)
    print(f"Wrote {picture}")
    print_machine(told)
    which = "" if split is None else f", {split} split"
    print_table(
        f"{data}{which}: share of segment time by label, baseline {args.baseline}", table(rows)
    )
    if args.write_card:
        of_what = f"{len(streams)} streams of ordinary speech ({data}{which})"
        write_card(
            args.model,
            HEADING,
            f"Share of the segments' time by label in {of_what}, baseline {args.baseline}. No "
            "emotion is acted: every label but `neutral` and `uncertain` is false.",
            [table(rows)],
            [picture],
            first=True,
        )
    if model.head is None and args.baseline == "auto":
        print(f"{model.name} takes no baseline: auto is off.")
    return {
        "benchmark": "everyday",
        "model": model.name,
        "data": data,
        "split": split,
        "baseline": "off" if model.head is None else args.baseline,
        "streams": len(streams),
        "machine": told,
        "results": rows,
    }


def conditions(rate: int, noise: Sequence[Samples]) -> dict[str, Degrade]:
    """Every condition by its name."""
    return {
        "clean": lambda samples, _: samples,
        "20 dB softer": lambda samples, _: softer(samples, 20),
        "telephone": lambda samples, _: telephone(samples, rate),
        "far field": in_room(FAR_FIELD, rate),
        "noise 10 dB": noises(noise, 10),
    }


def score(
    model: EmotionModel, streams: Sequence[Samples], name: str, degrade: Degrade, baseline: str
) -> dict[str, Any]:
    """Listen to all streams in one condition.

    Returns:
        `segment_s` (seconds), the shares `neutral`, `uncertain` and `false_emotion` of it and the
        interval `false_emotion_95` (None for fewer than `FEWEST_SPEAKERS` streams), `by_label` with
        every label's share, and `emotional_segments_per_hour` of stream time.

    Raises:
        CorpusError: no segment was told.
    """

    def listen(job: tuple[int, Samples]) -> tuple[Counter[str], int]:
        number, samples = job
        changed = degrade(samples, np.random.default_rng(number))
        events = events_of(model, changed, baseline=baseline)
        segments = [event for event in events if isinstance(event, SegmentEvent)]
        seconds: Counter[str] = Counter()
        for event in segments:
            seconds[event.label] += event.end - event.start  # type: ignore[assignment]
        return seconds, sum(event.label not in (NEUTRAL, UNCERTAIN) for event in segments)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(listen, enumerate(streams))
        heard = list(tqdm(jobs, name, len(streams), unit="stream"))
    labels = [*model.labels, UNCERTAIN]
    seconds = np.array([[found[label] for label in labels] for found, _ in heard])
    if not seconds.sum():
        raise CorpusError(f"no speech was found in any of the {len(streams)} streams")
    false = np.array([label not in (NEUTRAL, UNCERTAIN) for label in labels])
    shares = dict(zip(labels, (seconds.sum(axis=0) / seconds.sum()).tolist(), strict=True))
    hours = sum(len(samples) for samples in streams) / model.sampling_rate / 3600
    return {
        "segment_s": round(float(seconds.sum()), 1),
        NEUTRAL: shares.get(NEUTRAL, 0.0),
        UNCERTAIN: shares[UNCERTAIN],
        FALSE: float(seconds[:, false].sum() / seconds.sum()),
        f"{FALSE}_95": interval(seconds[:, false].sum(axis=1), seconds.sum(axis=1)),
        "by_label": shares,
        "emotional_segments_per_hour": sum(count for _, count in heard) / hours,
    }


def interval(part: np.ndarray, whole: np.ndarray) -> list[float] | None:
    """Interval of 95 % of a share when streams, of `part` and `whole` `(n,)` s, are drawn again."""
    if len(whole) < FEWEST_SPEAKERS:
        return None
    drawn = np.random.default_rng(SEED).integers(len(whole), size=(RESAMPLES, len(whole)))
    shares = part[drawn].sum(axis=1) / np.maximum(whole[drawn].sum(axis=1), 1e-9)
    return [float(end) for end in np.percentile(shares, [2.5, 97.5])]


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each condition."""
    keys = (NEUTRAL, UNCERTAIN, FALSE, f"{FALSE}_95")
    heading = ["condition", "neutral", "uncertain", "false emotion", "95 % interval"]
    lines = [[*heading, "emotional segments an hour"]]
    for row in rows:
        count = f"{row['emotional_segments_per_hour']:.0f}"
        lines.append([row["condition"], *(cell(key, row[key]) for key in keys), count])
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
