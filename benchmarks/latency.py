r"""Time PyTorch, ONNX fp32 and ONNX int8 on the same windows of speech.

Each backend is timed from samples to probabilities, as a user runs it, on
windows without padding. Backends take turns, after a warm-up. Prints medians
and 95th percentiles and writes a plot; the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/latency.py
    python benchmarks/latency.py --checkpoint runs/crema-d \
        --model models/crema-d --data data/crema-d
    python benchmarks/latency.py --all

`--all` adds PyTorch in bf16, transformers' pipeline, and with `--compile`
`torch.compile`; also PyTorch, ONNX fp32 and ONNX int8 of a model of
HuBERT-base's shape with random weights, for the speed-up over HuBERT-base in
PyTorch.

The speech is from the corpus's validation split, or the bundled sample if
there is no corpus.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from tqdm import tqdm

from benchmarks.common.backends import PYTORCH, load_backends
from benchmarks.common.command import run_benchmark
from benchmarks.common.hubert_base import HUBERT_BASE, write_hubert_base
from benchmarks.common.options import (
    add_checkpoint_and_model,
    add_folders,
    add_threads,
    add_timed_speech,
    add_timed_windows,
)
from benchmarks.common.pytorch_backends import pytorch_backends
from benchmarks.common.timing import interleave, machine, print_machine, summarise
from benchmarks.plots.latency import plot_latency
from export.checkpoint import PyTorchModel
from export.precision_scores import Predictor
from export.speech import sample_inputs, speech_windows
from export.tables import print_table
from export.to_onnx import export
from train.common.command import command_parser
from train.corpus.places import HOW_TO_GET
from train.corpus.recordings import speech_of


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_checkpoint_and_model(parser)
    add_folders(parser)
    add_timed_speech(parser)
    add_timed_windows(parser, rounds=30)
    add_threads(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="add other PyTorch backends, and a model of HuBERT-base's shape with random weights",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="with --all: add torch.compile, which takes a minute or more per window length",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time, print the table, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: a model cannot be loaded.
    """
    if args.data is None:
        print(f"No corpus: using the bundled sample. To get one: {HOW_TO_GET}")
    rows: list[dict[str, Any]] = []
    speech = None
    info = machine()
    large = TemporaryDirectory() if args.all else None
    for threads in args.threads:
        backends = load_backends(args.checkpoint, args.model, threads)
        predictors = dict(backends.predictors)
        if large:
            predictors |= more_predictors(
                args.checkpoint, Path(large.name), backends.labels, threads, args.compile
            )
        rate = backends.sampling_rate
        if speech is None:
            speech = speech_of(args.data, rate, args.cache_dir)
        for window in args.windows:
            windows = speech_windows(speech, round(window * rate), args.rounds)
            label = f"{window:g} s, {threads} thread(s)"
            _, seconds = interleave(
                predictors,
                tqdm(windows, desc=label, unit="window"),
                threads=threads,
            )
            for name in predictors:
                rows.append(
                    {
                        "backend": name,
                        "threads": threads,
                        "window_s": window,
                        **summarise(seconds[name]),
                    }
                )
    add_speed_ups(rows)
    plot_latency(rows, args.output / "latency.png")
    print_machine(info)
    print_table("Latency from samples to probabilities, and speed-up", table(rows))
    return {
        "benchmark": "latency",
        "speech": Path(args.data).name if args.data else "bundled sample",
        "rounds": args.rounds,
        "machine": info,
        "results": rows,
    }


def more_predictors(
    checkpoint: Path | None, folder: Path, labels: list[str], threads: int, compiled: bool
) -> dict[str, Predictor]:
    """Load other PyTorch backends, and a model of HuBERT-base's shape, exported to `folder`."""
    predictors: dict[str, Predictor] = {}
    if checkpoint is not None:
        predictors |= pytorch_backends(checkpoint, compiled)
    model = folder / "onnx"
    if not model.is_dir():
        write_hubert_base(folder / "checkpoint", labels)
        reference = PyTorchModel.load(folder / "checkpoint")
        export(folder / "checkpoint", model, sample_inputs(reference, 2))
    backends = load_backends(folder / "checkpoint", model, threads)
    return predictors | {
        f"{HUBERT_BASE}: {name}": predict for name, predict in backends.predictors.items()
    }


def add_speed_ups(rows: list[dict[str, Any]]) -> None:
    """Add each median's speed-up over the same model, and HuBERT-base, in PyTorch, if timed."""
    medians = {(row["backend"], row["threads"], row["window_s"]): row["median_ms"] for row in rows}
    for row in rows:
        setting = row["threads"], row["window_s"]
        large = f"{HUBERT_BASE}: {PYTORCH}"
        own = large if row["backend"].startswith(HUBERT_BASE) else PYTORCH
        for key, name in (("speed_up", own), ("speed_up_hubert_base", large)):
            if (name, *setting) in medians:
                row[key] = round(medians[name, *setting] / row["median_ms"], 2)


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: medians, 95th percentiles, and the speed-ups that were measured."""
    names = {"speed_up": f"vs {PYTORCH}", "speed_up_hubert_base": f"vs {HUBERT_BASE}"}
    keys = [key for key in names if any(key in row for row in rows)]
    heading = ["threads", "window (s)", "backend", "median (ms)", "p95 (ms)"]
    return [
        [*heading, *(names[key] for key in keys)],
        *(
            [
                str(row["threads"]),
                f"{row['window_s']:g}",
                row["backend"],
                f"{row['median_ms']:.1f}",
                f"{row['p95_ms']:.1f}",
                *(f"{row[key]:.2f}" if key in row else "" for key in keys),
            ]
            for row in rows
        ),
    ]


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
