r"""Compare models of different shapes: accuracy, size, latency.

Each model's device network (int8 if there is one) is scored on the validation
clips and timed on windows of the same speech, in turn.

    pip install -e ".[train,export]"
    python benchmarks/shapes.py --data data/crema-d \
        runs/hubert-tiny-crema-d runs/hubert-compact runs/hubert-large-crema-d

Prints a table and plots accuracy against latency; the last line is one JSON
document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import add_folders
from benchmarks.common.timing import Samples, interleave, machine, print_machine, summarise
from benchmarks.plots.shapes import plot_shapes
from benchmarks.scoring.accuracy_tables import cell
from emo_listen import EmotionModel, Prediction
from emo_listen.errors import ModelError
from export.precision_scores import labeller_of, score_labels
from export.speech import speech_windows
from export.tables import print_table
from train.common.command import command_parser
from train.corpus.recordings import TIMED_CLIPS, join, load_clips


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "models", type=Path, nargs="+", help="model folders written by export/to_onnx.py"
    )
    parser.add_argument("--data", required=True, help="corpus, as for train/finetune.py")
    parser.add_argument(
        "--window", type=float, default=3.0, help="window length in seconds (default: 3)"
    )
    parser.add_argument("--rounds", type=int, default=30, help="windows to time (default: 30)")
    add_folders(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, time, print the table, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus, or classes that a model does not know.
        ModelError: a model cannot be loaded, or their sampling rates differ.
    """
    info = machine()
    models: dict[str, EmotionModel] = {
        folder.name: EmotionModel.load(folder) for folder in args.models
    }
    rates = {model.sampling_rate for model in models.values()}
    if len(rates) > 1:
        raise ModelError(
            f"the models have different sampling rates ({sorted(rates)} Hz): compare them "
            "separately"
        )
    rate = rates.pop()
    clips = load_clips(args.data, "validation", rate, cache_dir=args.cache_dir)
    rows: list[dict[str, Any]] = []
    for name, model in models.items():
        scores = score_labels(labeller_of(model), clips, model.labels, name)
        rows.append(
            {
                "model": name,
                "file_mb": round(model.file.stat().st_size / 1e6, 1),
                "accuracy": round(scores["accuracy"], 4),
                "uar": round(scores["uar"], 4),
            }
        )
    speech = join([clip for clip in clips if len(clip.samples) > rate][:TIMED_CLIPS])
    windows = speech_windows(speech, round(args.window * rate), args.rounds)
    predictors: dict[str, Callable[[Samples], Prediction]] = {
        name: partial(model.predict, sampling_rate=rate) for name, model in models.items()
    }
    _, seconds = interleave(predictors, tqdm(windows, desc="latency", unit="window"))
    for row in rows:
        row |= summarise(seconds[row["model"]])
    plot_shapes(rows, args.output / "shapes.png")
    print_machine(info)
    print_table(f"Validation clips; latency of {args.window:g} s on one thread", table(rows))
    return {"benchmark": "shapes", "window_s": args.window, "machine": info, "results": rows}


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each model."""
    heading = ["model", "MB", "accuracy", "UAR", "median (ms)", "p95 (ms)"]
    keys = ("accuracy", "uar", "median_ms", "p95_ms")
    return [
        heading,
        *(
            [row["model"], f"{row['file_mb']:.1f}", *(cell(key, row[key]) for key in keys)]
            for row in rows
        ),
    ]


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
