"""Set models of different shapes side by side: accuracy, size, latency.

Which model is worth its time? Each folder's network that a device runs (int8 where there is one)
scores the validation clips and is timed on windows of the same speech, all in turn.

    pip install -e ".[train,export]"
    python benchmarks/shapes.py --data ../shared/crema-d runs/hubert-tiny-crema-d \
        runs/hubert-compact runs/hubert-large-crema-d

Prints a table, draws accuracy against latency, and the last line is one JSON document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from benchmarks.common.command import add_folders, run_benchmark
from benchmarks.common.timing import Samples, interleave, machine, print_machine, summarise
from benchmarks.plots.shapes import plot_shapes
from emo_listen import EmotionModel, Prediction
from emo_listen.errors import ModelError
from export.precision_scores import labeller_of, score_labels
from export.speech import speech_windows
from train.corpus.recordings import TIMED_CLIPS, join, load_clips


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+", help="folders that to_onnx.py wrote")
    parser.add_argument("--data", required=True, help="corpus, as train/finetune.py takes it")
    parser.add_argument("--window", type=float, default=3.0, help="timed, in seconds (default: 3)")
    parser.add_argument("--rounds", type=int, default=30, help="windows timed (default: 30)")
    add_folders(parser)
    parser.set_defaults(checkpoint=None, model=None)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, time, print, draw, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus, or classes that a model does not know.
        ModelError: a model cannot be loaded, or they take sound at different rates.
    """
    told = machine()
    models: dict[str, EmotionModel] = {
        folder.name: EmotionModel.load(folder) for folder in args.models
    }
    rates = {model.sampling_rate for model in models.values()}
    if len(rates) > 1:
        raise ModelError(f"the models take sound at different rates: {sorted(rates)} Hz")
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
    args.output.mkdir(parents=True, exist_ok=True)
    plot_shapes(rows, args.output / "shapes.png")
    print(f"Wrote {args.output / 'shapes.png'}")
    print_machine(told)
    table = Table(title=f"Validation clips; {args.window:g} s of sound on one thread")
    for heading in ("", "MB", "accuracy", "UAR", "median (ms)", "p95 (ms)"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        table.add_row(
            row["model"],
            f"{row['file_mb']:.1f}",
            f"{row['accuracy']:.3f}",
            f"{row['uar']:.3f}",
            f"{row['median_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
        )
    Console().print(table)
    return {"benchmark": "shapes", "window_s": args.window, "machine": told, "results": rows}


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
