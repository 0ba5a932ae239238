"""Time PyTorch, ONNX fp32 and ONNX int8 side by side on the same windows of speech.

How long does a device think about one window? Each backend is timed from sound to
probabilities, as a user runs it, on windows at their true length, in turn and after a warm-up.
Prints medians and 95th percentiles, draws them, and the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/latency.py
    python benchmarks/latency.py --checkpoint runs/crema-d --model models/crema-d \
        --data ../shared/crema-d

The speech is the corpus's validation split where --data is given, else the package's sample.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

sys.path += [str(Path(__file__).resolve().parents[1] / folder) for folder in ("export", "train")]

from backends import PYTORCH, load_backends
from command import add_arguments, run_benchmark
from latency_plot import plot_latency
from parity import speech_windows
from recordings import bundled_speech, join, load_clips
from timing import interleave, machine, print_machine, summarise

CLIPS = 24
"""Recordings of a corpus that are joined to cut windows from."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--data", help="corpus to take speech from (default: the bundled sample)")
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
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time, print the table, draw the picture, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: a model cannot be loaded.
    """
    rows = []
    speech = None
    told = machine()
    for threads in args.threads:
        backends = load_backends(args.checkpoint, args.model, threads)
        rate = backends.sampling_rate
        if speech is None:
            speech = (
                join(load_clips(args.data, "validation", rate, CLIPS, args.cache_dir))
                if args.data
                else bundled_speech(rate)
            )
        for window in args.windows:
            windows = speech_windows(speech, round(window * rate), args.rounds)
            label = f"{window:g} s, {threads} thread(s)"
            _, seconds = interleave(
                backends.predictors,
                tqdm(windows, desc=label, unit="window"),
                threads=threads,
            )
            for name in backends.predictors:
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
    print_rows(rows)
    return {
        "benchmark": "latency",
        "speech": Path(args.data).name if args.data else "bundled sample",
        "rounds": args.rounds,
        "machine": told,
        "results": rows,
    }


def add_speed_ups(rows: list[dict[str, Any]]) -> None:
    """Add to each row how many times faster than PyTorch its median is, where that was timed."""
    of_pytorch = {
        (row["threads"], row["window_s"]): row["median_ms"]
        for row in rows
        if row["backend"] == PYTORCH
    }
    for row in rows:
        if of_pytorch:
            base = of_pytorch[row["threads"], row["window_s"]]
            row["speed_up"] = round(base / row["median_ms"], 2)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the medians, 95th percentiles and speed-ups as a table."""
    table = Table(title="Time from sound to label")
    for heading in (
        "threads",
        "window (s)",
        "",
        "median (ms)",
        "p95 (ms)",
        "times PyTorch's speed",
    ):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in rows:
        table.add_row(
            str(row["threads"]),
            f"{row['window_s']:g}",
            row["backend"],
            f"{row['median_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
            f"{row['speed_up']:.2f}" if "speed_up" in row else "",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
