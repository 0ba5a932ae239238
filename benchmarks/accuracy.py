"""Score PyTorch, ONNX fp32 and ONNX int8 side by side on the same recordings.

Does a device hear what the checkpoint heard? Each recording is run at its true length, alone
and never padded, by each backend in turn. Prints accuracy, unweighted average recall (UAR),
macro F1, the recall of each class and the time for a recording; draws the confusion matrices;
the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/accuracy.py --data ../shared/crema-d --split validation
    python benchmarks/accuracy.py --data ../shared/crema-d --split test \
        --checkpoint runs/crema-d --model models/crema-d

The test split is for the one final figure of a finished model: choose on validation.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

sys.path += [str(Path(__file__).resolve().parents[1] / folder) for folder in ("export", "train")]

from backends import PYTORCH, load_backends
from command import add_arguments, run_benchmark
from plots import plot_confusion
from precision_scores import check_labels, score_labels
from recordings import load_clips
from splits import SPLITS
from timing import interleave, machine, print_machine, summarise


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--data", required=True, help="corpus, as train/finetune.py takes it")
    parser.add_argument(
        "--split", choices=SPLITS, default="validation", help="its split (default: validation)"
    )
    parser.add_argument(
        "--limit", type=int, help="take about this many clips, equally many of each class"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, print the tables, draw the pictures, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus or split, or classes that the model does not know.
        ModelError: a model cannot be loaded.
    """
    backends = load_backends(args.checkpoint, args.model, args.threads)
    clips = load_clips(args.data, args.split, backends.sampling_rate, args.limit)
    check_labels(clips, backends.labels)
    told = machine()
    answers, seconds = interleave(
        backends.predictors,
        tqdm([clip.samples for clip in clips], desc="score", unit="clip"),
        threads=args.threads,
    )

    expected = [clip.label for clip in clips]
    results: dict[str, dict[str, Any]] = {}
    args.output.mkdir(parents=True, exist_ok=True)
    for name, given in answers.items():
        confusion = confusion_matrix(expected, given, labels=backends.labels)
        results[name] = {
            **score_labels(given, clips, backends.labels),
            **summarise(seconds[name]),
            "confusion": confusion.tolist(),
        }
        if PYTORCH in answers:
            same = sum(a == b for a, b in zip(given, answers[PYTORCH], strict=True))
            results[name]["agreement_with_pytorch"] = same / len(clips)
        picture = args.output / f"confusion_{name.lower().replace(' ', '_')}.png"
        title = f"{name}, {args.split} split ({len(clips)} clips)"
        plot_confusion(confusion, backends.labels, title, picture)
        print(f"Wrote {picture}")

    print_machine(told)
    print_results(results, args.split, args.threads)
    return {
        "benchmark": "accuracy",
        "data": Path(args.data).name,
        "split": args.split,
        "clips": len(clips),
        "threads": args.threads,
        "labels": backends.labels,
        "machine": told,
        "backends": results,
    }


def print_results(results: dict[str, dict[str, Any]], split: str, threads: int) -> None:
    """Print a table with a row for each figure and a column for each backend."""
    table = Table(title=f"Scores on the {split} split, times for a clip on {threads} thread(s)")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    first = next(iter(results.values()))
    for key in (key for key in first if key != "confusion"):
        cells = [result[key] for result in results.values()]
        decimals = 1 if key.endswith("_ms") else 4
        table.add_row(
            key,
            *(f"{cell:.{decimals}f}" if isinstance(cell, float) else str(cell) for cell in cells),
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
