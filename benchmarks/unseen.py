"""Score a model on a corpus it was not trained on, with every kind of baseline.

Whole clips are scored: without a baseline; with a baseline of 1 to 10 neutral
clips of the same speaker, which are not scored; with a running baseline
(`--baseline auto`) in a stream in which two of three turns are neutral; and
with wrong baselines: 5 neutral clips of another speaker, or 5 angry clips of
the same. Both errors on neutral speech are given: neutral speech labelled
emotional, and the reverse. Random choices are repeated and averaged.

    pip install -e ".[train,export]"
    python benchmarks/unseen.py --model models/of-crema-d --data data/emo-db
    python benchmarks/unseen.py --model models/of-emo-db --data data/crema-d

The last line is one JSON document. The bundled model was trained on EMO-DB, so
for it the default corpus is not unseen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import EMO_DB, add_folders, add_limit, add_model, add_split
from benchmarks.common.timing import machine, print_machine
from benchmarks.plots.unseen import plot_unseen
from benchmarks.scoring.accuracy_tables import cell
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.enrolment import (
    answers_of,
    answers_with_baselines,
    clips_of_speakers,
    enrol,
    outputs_of,
)
from benchmarks.scoring.figures import INTERVAL, NEUTRAL, figures, neutral_errors
from emo_listen import EmotionModel
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.prediction import Output
from export.tables import markdown_table, print_table
from train.common.command import command_parser
from train.corpus.recordings import Clip, check_labels, load_clips
from train.evaluation.calibration import Answers

COUNTS = (1, 2, 3, 5, 10)
"""Numbers of neutral clips of a baseline."""

WRONG = 5
"""Number of clips of a wrong baseline."""

ANGER = "anger"

DRAWS = 5
"""Repetitions of all random choices."""

SHOWN = ("accuracy", INTERVAL, "uar", "neutral_called_emotional", "emotional_called_neutral")
"""Figures of the table, besides the calibration error."""

HEADING = "## Unseen corpus"
"""Heading of the section in the model card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_folders(parser)
    parser.add_argument(
        "--data", default=EMO_DB, help=f"corpus, as for train/finetune.py (default: {EMO_DB})"
    )
    add_split(parser)
    add_limit(parser)
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, print the table, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus or split, or classes that the model does not know.
        ModelError: the model cannot be loaded, or has no card to write to.
    """
    check_card(args)
    info = machine()
    model = EmotionModel.load(args.model)
    clips = load_clips(args.data, args.split, model.sampling_rate, args.limit, args.cache_dir)
    known = [clip for clip in clips if clip.label in model.labels]
    if not known:
        check_labels(clips, model.labels)
    left_out, clips = len(clips) - len(known), known
    outputs = outputs_of(model, clips, "clips")
    rows = [row_of("no baseline", [answers_of(model, clips, outputs)], model)]
    if model.head is not None:
        rows += rows_with_baselines(model, clips, outputs)
    plot = args.output / "unseen.png"
    plot_unseen(rows, plot)
    print_machine(info)
    data = Path(args.data).name
    print_table(f"{model.name} on {data}, {len(clips)} whole clips", table(rows))
    if left_out:
        print(f"Skipped {left_out} clips of classes that the model does not know.")
    if args.write_card:
        write_card(
            args.model,
            HEADING,
            f"{len(clips)} whole clips of {data}. Clips of a baseline are not scored.",
            markdown_table(table(rows)),
            [plot],
            first=True,
        )
    if model.head is None:
        print(f"No rows with a baseline: {model.name} does not support baselines.")
    return {
        "benchmark": "unseen",
        "model": model.name,
        "data": data,
        "split": args.split,
        "clips": len(clips),
        "left_out": left_out,
        "draws": DRAWS,
        "machine": info,
        "results": rows,
    }


def rows_with_baselines(
    model: EmotionModel, clips: Sequence[Clip], outputs: Sequence[Output]
) -> list[dict[str, Any]]:
    """Score each kind of baseline; skip those for which no speaker has enough clips."""
    answers: dict[str, list[Answers]] = {}
    for draw in range(DRAWS):
        for count in COUNTS:
            chosen = enrol(clips, count, np.random.default_rng([draw, count]))
            name = f"{count} neutral clip{'s' if count > 1 else ''}"
            answers.setdefault(name, []).append(
                answers_with_baselines(model, clips, outputs, chosen)
            )
        random = np.random.default_rng([draw, 0])
        answers.setdefault("running", []).append(running(model, clips, outputs, random))
        chosen = enrol(clips, WRONG, random)
        speakers = random.permutation(sorted(chosen))
        others = dict(zip(speakers, np.roll(speakers, 1), strict=True))
        if len(chosen) > 1:
            answers.setdefault("another speaker's", []).append(
                answers_with_baselines(model, clips, outputs, chosen, others)
            )
        angry = enrol(clips, WRONG, random, ANGER)
        if angry:
            answers.setdefault("of angry clips", []).append(
                answers_with_baselines(model, clips, outputs, angry)
            )
    return [row_of(name, repetitions, model) for name, repetitions in answers.items()]


def running(
    model: EmotionModel,
    clips: Sequence[Clip],
    outputs: Sequence[Output],
    random: np.random.Generator,
) -> Answers:
    """Score each speaker's clips in the order of `stream_of`, relative to a running baseline."""
    head = model.require_head()
    rows: list[int] = []
    shifts: list[NDArray[np.float64]] = []
    neutral = clips_of_speakers(clips, NEUTRAL)
    for speaker in sorted(neutral):
        emotional = [
            index
            for index, clip in enumerate(clips)
            if clip.speaker == speaker and clip.label != NEUTRAL
        ]
        reference = RunningBaseline(head)
        for index in stream_of(neutral[speaker], emotional, random):
            seconds = len(clips[index].samples) / model.sampling_rate
            reference.update(outputs[index].logits, seconds)
            rows.append(index)
            shifts.append(reference.shift)
    return answers_of(model, clips, outputs, rows, shifts)


def stream_of(
    neutral: Sequence[int], emotional: Sequence[int], random: np.random.Generator
) -> list[int]:
    """Order a speaker's clips so that two of three turns are neutral.

    Every emotional clip is used once; neutral ones are repeated equally often.
    """
    rounds = -(-2 * len(emotional) // len(neutral))
    ordinary = np.concatenate([random.permutation(neutral) for _ in range(max(rounds, 1))])
    turns = np.concatenate([ordinary[: max(2 * len(emotional), len(neutral))], emotional])
    return [int(index) for index in random.permutation(turns)]


def row_of(name: str, repetitions: Sequence[Answers], model: EmotionModel) -> dict[str, Any]:
    """Average the figures of several repetitions."""
    threshold = model.settings.uncertain_below
    found = [
        {**figures(answers, model.labels, threshold), **neutral_errors(answers, model.labels)}
        for answers in repetitions
    ]
    means: dict[str, Any] = {
        "baseline": name,
        "clips": round(np.mean([len(answers.classes) for answers in repetitions])),
    }
    for key in found[0]:
        values = [row[key] for row in found if row.get(key) is not None]
        means[key] = np.mean(values, axis=0).tolist() if values else None
    return means


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each kind of baseline."""
    heading = [
        "baseline",
        "accuracy",
        "95 % interval",
        "UAR",
        "neutral called emotional",
        "emotional called neutral",
        "ECE",
    ]
    keys = (*SHOWN, "expected_calibration_error")
    return [heading, *([row["baseline"], *(cell(k, row.get(k)) for k in keys)] for row in rows)]


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
