"""Measure a model on a corpus that it never heard, with every kind of baseline.

Judged are whole clips: without a baseline; relative to one of 1 to 10 neutral clips of the same
speaker, which are not scored; to a running baseline (as `--baseline auto` keeps it) in a stream of
which two of three turns are neutral; and to wrong baselines: 5 neutral clips of another speaker, 5
angry ones of the same. Both mistakes are told: neutral speech called emotional, and emotional
speech called neutral. Draws of clips are repeated, and their means told.

    pip install -e ".[train,export]"
    python benchmarks/unseen.py --model models/of-crema-d --data ../shared/emo-db
    python benchmarks/unseen.py --model models/of-emo-db --data ../shared/crema-d

The last line is one JSON document. Is the model one that was trained on the corpus, the figures are
of nothing unseen.
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

from benchmarks.common.command import add_model, run_benchmark
from benchmarks.common.material import EMO_DB, add_split
from benchmarks.common.timing import machine, print_machine
from benchmarks.plots.unseen import plot_unseen
from benchmarks.scoring.accuracy_tables import cell, print_table
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
from emo_listen.model import Output
from train.corpus.recordings import Clip, check_labels, load_clips
from train.evaluation.calibration import Answers

COUNTS = (1, 2, 3, 5, 10)
"""Neutral clips of which a baseline is made."""

WRONG = 5
"""Clips of which a wrong baseline is made."""

ANGER = "anger"

DRAWS = 5
"""Times that clips are drawn for a baseline, and turns for a stream."""

SHOWN = ("accuracy", INTERVAL, "uar", "neutral_called_emotional", "emotional_called_neutral")
"""Figures of the table, beside the calibration error."""


HEADING = "## A corpus never heard"
"""Of its section of the card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    parser.add_argument(
        "--data", default=EMO_DB, help=f"corpus, as train/finetune.py takes it (default: {EMO_DB})"
    )
    add_split(parser)
    parser.add_argument(
        "--limit", type=int, help="take about this many clips, equally many of each class"
    )
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, print the table, draw the picture, return the JSON document.

    Raises:
        CorpusError: no such corpus or split, or classes that the model does not know.
        ModelError: the model cannot be loaded, or has no card to write into.
    """
    check_card(args)
    told = machine()
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
    args.output.mkdir(parents=True, exist_ok=True)
    picture = args.output / "unseen.png"
    plot_unseen(rows, picture)
    print(f"Wrote {picture}")
    print_machine(told)
    data = Path(args.data).name
    print_table(f"{model.name} on {data}, {len(clips)} whole clips", table(rows))
    if left_out:
        print(f"Left out: {left_out} clips of classes that the model does not know.")
    if args.write_card:
        write_card(
            args.model,
            HEADING,
            f"{len(clips)} whole clips of {data}. Baselines are of clips of the same speaker that "
            "are not scored, and of wrong ones.",
            [table(rows)],
            [picture],
            first=True,
        )
    if model.head is None:
        print(f"No rows with a baseline: {model.name} takes none.")
    return {
        "benchmark": "unseen",
        "model": model.name,
        "data": data,
        "split": args.split,
        "clips": len(clips),
        "left_out": left_out,
        "draws": DRAWS,
        "machine": told,
        "results": rows,
    }


def rows_with_baselines(
    model: EmotionModel, clips: Sequence[Clip], outputs: Sequence[Output]
) -> list[dict[str, Any]]:
    """Score each kind of baseline; one for which no speaker has enough clips is left out."""
    drawn: dict[str, list[Answers]] = {}
    for draw in range(DRAWS):
        for count in COUNTS:
            chosen = enrol(clips, count, np.random.default_rng([draw, count]))
            name = f"{count} neutral clip{'s' if count > 1 else ''}"
            drawn.setdefault(name, []).append(answers_with_baselines(model, clips, outputs, chosen))
        random = np.random.default_rng([draw, 0])
        drawn.setdefault("running", []).append(running(model, clips, outputs, random))
        chosen = enrol(clips, WRONG, random)
        speakers = random.permutation(sorted(chosen))
        others = dict(zip(speakers, np.roll(speakers, 1), strict=True))
        if len(chosen) > 1:
            drawn.setdefault("another speaker's", []).append(
                answers_with_baselines(model, clips, outputs, chosen, others)
            )
        angry = enrol(clips, WRONG, random, ANGER)
        if angry:
            drawn.setdefault("of angry clips", []).append(
                answers_with_baselines(model, clips, outputs, angry)
            )
    return [row_of(name, answers, model) for name, answers in drawn.items()]


def running(
    model: EmotionModel,
    clips: Sequence[Clip],
    outputs: Sequence[Output],
    random: np.random.Generator,
) -> Answers:
    """Judge each speaker's clips in the order of `stream_of`, relative to a running baseline."""
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
    """Mix a speaker's clips so that two of three turns are neutral.

    Every emotional clip comes once; neutral ones are repeated, each as often as the others.
    """
    rounds = -(-2 * len(emotional) // len(neutral))
    ordinary = np.concatenate([random.permutation(neutral) for _ in range(max(rounds, 1))])
    turns = np.concatenate([ordinary[: max(2 * len(emotional), len(neutral))], emotional])
    return [int(index) for index in random.permutation(turns)]


def row_of(name: str, drawn: Sequence[Answers], model: EmotionModel) -> dict[str, Any]:
    """Mean figures of several draws."""
    threshold = model.settings.uncertain_below
    found = [
        {**figures(a, model.labels, threshold), **neutral_errors(a, model.labels)} for a in drawn
    ]
    means: dict[str, Any] = {
        "baseline": name,
        "clips": round(np.mean([len(a.classes) for a in drawn])),
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
