"""Time PyTorch, ONNX fp32 and ONNX int8 side by side on the same windows of speech.

How long does a device think about one window? Each backend is timed from sound to
probabilities, as a user runs it, on windows at their true length, in turn and after a warm-up.
Prints medians and 95th percentiles, draws them, and the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/latency.py
    python benchmarks/latency.py --checkpoint runs/crema-d --model models/crema-d \
        --data ../shared/crema-d
    python benchmarks/latency.py --all

`--all` adds PyTorch in bf16, transformers' pipeline, with `--compile` also `torch.compile`, and
PyTorch, ONNX fp32 and ONNX int8 of a model of HuBERT-base's shape. Its weights are random: those
rows are of latency alone, and tell how many times faster than HuBERT-base in PyTorch each is.

The speech is the corpus's validation split, or the package's sample where there is no corpus.
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

from benchmarks.common.backends import PYTORCH, Predictor, load_backends
from benchmarks.common.command import add_arguments, run_benchmark
from benchmarks.common.hubert_base import HUBERT_BASE, write_hubert_base
from benchmarks.common.pytorch_backends import pytorch_backends
from benchmarks.common.timing import interleave, machine, print_machine, summarise
from benchmarks.plots.latency import plot_latency
from benchmarks.scoring.accuracy_tables import print_table
from export.checkpoint import PyTorchModel
from export.speech import speech_windows
from export.to_onnx import export
from train.corpus.places import DATA_HELP, HOW_TO_GET
from train.corpus.recordings import bundled_speech, speech_of


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--data", help=f"corpus to take speech from ({DATA_HELP}, else the sample)")
    parser.add_argument(
        "--windows",
        type=float,
        nargs="+",
        default=[1.0, 3.0, 5.0],
        help="window lengths in seconds (default: 1 3 5)",
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="CPU threads (default: 1 2)"
    )
    parser.add_argument(
        "--rounds", type=int, default=30, help="windows timed at each length (default: 30)"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="more ways to run PyTorch, and a model of HuBERT-base's shape with random weights",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="with --all, torch.compile too: a minute or more for each length of window",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time, print the table, draw the picture, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: a model cannot be loaded.
    """
    if args.data is None:
        print(f"No corpus: the speech is the package's sample. To get one: {HOW_TO_GET}")
    rows: list[dict[str, Any]] = []
    speech = None
    told = machine()
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
    args.output.mkdir(parents=True, exist_ok=True)
    plot_latency(rows, args.output / "latency.png")
    print(f"Wrote {args.output / 'latency.png'}")
    print_machine(told)
    print_table("Time from sound to label, and how many times faster than PyTorch", table(rows))
    return {
        "benchmark": "latency",
        "speech": Path(args.data).name if args.data else "bundled sample",
        "rounds": args.rounds,
        "machine": told,
        "results": rows,
    }


def more_predictors(
    checkpoint: Path | None, folder: Path, labels: list[str], threads: int, compiled: bool
) -> dict[str, Predictor]:
    """Load more ways to run PyTorch, and a model of HuBERT-base's shape, exported into `folder`."""
    predictors: dict[str, Predictor] = {}
    if checkpoint is not None:
        predictors |= pytorch_backends(checkpoint, compiled)
    model = folder / "onnx"
    if not model.is_dir():
        write_hubert_base(folder / "checkpoint", labels)
        reference = PyTorchModel.load(folder / "checkpoint")
        speech = bundled_speech(reference.sampling_rate)
        windows = speech_windows(speech, 3 * reference.sampling_rate, 2)
        export(folder / "checkpoint", model, [reference.input_values(w) for w in windows])
    backends = load_backends(folder / "checkpoint", model, threads)
    return predictors | {
        f"{HUBERT_BASE}: {name}": predict for name, predict in backends.predictors.items()
    }


def add_speed_ups(rows: list[dict[str, Any]]) -> None:
    """Add how many times faster each median is than the same model's in PyTorch, where timed.

    And than HuBERT-base's in PyTorch, where that was timed.
    """
    medians = {(row["backend"], row["threads"], row["window_s"]): row["median_ms"] for row in rows}
    for row in rows:
        where = row["threads"], row["window_s"]
        large = f"{HUBERT_BASE}: {PYTORCH}"
        own = large if row["backend"].startswith(HUBERT_BASE) else PYTORCH
        for key, name in (("speed_up", own), ("speed_up_hubert_base", large)):
            if (name, *where) in medians:
                row[key] = round(medians[name, *where] / row["median_ms"], 2)


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows for people: medians, 95th percentiles and speed-ups."""
    heading = ["threads", "window (s)", "run by", "median (ms)", "p95 (ms)"]
    heading += ["times PyTorch", f"times {HUBERT_BASE}"]
    return [
        heading,
        *(
            [
                str(row["threads"]),
                f"{row['window_s']:g}",
                row["backend"],
                f"{row['median_ms']:.1f}",
                f"{row['p95_ms']:.1f}",
                *(
                    f"{row[key]:.2f}" if key in row else ""
                    for key in ("speed_up", "speed_up_hubert_base")
                ),
            ]
            for row in rows
        ),
    ]


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
