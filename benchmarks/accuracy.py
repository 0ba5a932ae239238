"""Score PyTorch, ONNX fp32 and ONNX int8 side by side on the same recordings.

Does a device hear what the checkpoint heard, how far can its confidence be trusted, how much
sound does it need, and does it serve all speakers alike? Prints, draws, and writes into the model
card where that is asked for; the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --data ../shared/crema-d --split validation
    python benchmarks/accuracy.py --data ../shared/crema-d --split test \
        --checkpoint runs/crema-d --model models/crema-d --write_card

- Whole clips, each alone and never padded, by each backend in turn: accuracy, unweighted average
  recall (UAR), macro F1, the recall of each class, the expected calibration error (ECE, 10 bins)
  of probabilities with the model folder's calibration, how many labels are not `uncertain` and
  how many of those are right, and the time for a clip.
- What a listener hears, by the backend that a device runs, with windows of at most 1, 2 and 3 s
  (--windows): the clips of each speaker go through speech detection, windows and smoothing as one
  stream with pauses. Each window and each segment counts once, with the label of its clip.
- Groups of speakers (--groups; CREMA-D's own table is found): the figures of whole clips by sex,
  age and so on.

Intervals hold 95 % of the accuracies when whole speakers are drawn again, for three or more.

The test split is for the one final figure of a finished model: choose on validation.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from benchmarks.common.backends import PYTORCH, Probabilities, load_backends
from benchmarks.common.command import add_arguments, run_benchmark, told_command
from benchmarks.common.timing import interleave, machine, print_machine, summarise
from benchmarks.plots.accuracy import plot_groups, plot_windows
from benchmarks.scoring.accuracy_tables import (
    by_backend,
    by_group_briefly,
    by_window,
    card_section,
    print_table,
    write_card,
)
from benchmarks.scoring.figures import figures
from benchmarks.scoring.groups import CREMA_D_TABLE, find_table, read_table, score_groups
from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from train.corpus.clip_table import add_columns, columns_of
from train.corpus.places import DATA_HELP, need_corpus
from train.corpus.recordings import Clip, check_labels, load_clips
from train.corpus.splits import SPLITS
from train.evaluation.calibration import Answers, reliability
from train.evaluation.listening import predict_streams
from train.report.plots import plot_confusion, plot_reliability


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--data", help=f"corpus, as train/finetune.py takes it ({DATA_HELP})")
    add_columns(parser)
    parser.add_argument(
        "--split", choices=SPLITS, default="validation", help="its split (default: validation)"
    )
    parser.add_argument(
        "--limit", type=int, help="take about this many clips, equally many of each class"
    )
    parser.add_argument(
        "--windows",
        type=float,
        nargs="*",
        default=[1.0, 2.0, 3.0],
        metavar="SECONDS",
        help="longest windows of the listener that is scored beside whole clips (default: 1 2 3)",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="table of speakers: their name in the first column, an attribute in each other "
        f"(default: {CREMA_D_TABLE} in the corpus's folder, where it lies there)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--write_card",
        action="store_true",
        help="write tables and pictures into the model folder's README.md",
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, print the tables, draw the pictures, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus, split or table, or classes that the model does not know.
        ModelError: a model cannot be loaded, or has no card to write into.
    """
    if args.write_card and not (args.model / "README.md").is_file():
        raise ModelError(f"{args.model} has no README.md to write into: leave out --write_card")
    args.data = need_corpus(args.data)
    table_file = args.groups or find_table(args.data)
    table = read_table(table_file) if table_file else {}
    backends = load_backends(args.checkpoint, args.model, args.threads)
    clips = load_clips(
        args.data,
        args.split,
        backends.sampling_rate,
        args.limit,
        args.cache_dir,
        columns_of(args),
    )
    check_labels(clips, backends.labels)
    told = machine()
    labels, threshold = backends.labels, backends.settings.uncertain_below
    given, seconds = interleave(
        backends.predictors,
        tqdm([clip.samples for clip in clips], desc="score", unit="clip"),
        threads=args.threads,
    )
    answers = {
        name: answers_of(probabilities, clips, labels) for name, probabilities in given.items()
    }
    device = list(answers)[-1]

    results: dict[str, dict[str, Any]] = {}
    for name, of_backend in answers.items():
        top = of_backend.logits.argmax(axis=1)
        results[name] = {**figures(of_backend, labels, threshold), "clips": len(clips)}
        if PYTORCH in answers:
            same = top == answers[PYTORCH].logits.argmax(axis=1)
            results[name]["agreement_with_pytorch"] = float(same.mean())
        results[name] |= summarise(seconds[name])
        confusion = confusion_matrix(of_backend.classes, top, labels=range(len(labels)))
        results[name]["confusion"] = confusion.tolist()
    windows = [
        row for seconds in args.windows for row in score_heard(backends.device, clips, seconds)
    ]
    if windows:
        whole = figures(answers[device], labels, threshold)
        windows.append({"heard": "whole clips", "window_s": None, "count": len(clips), **whole})
    groups = {
        name: score_groups(of_backend, table, labels, threshold)
        for name, of_backend in answers.items()
        if table
    }
    document = {
        "benchmark": "accuracy",
        "data": Path(args.data).name,
        "split": args.split,
        "clips": len(clips),
        "threads": args.threads,
        "labels": labels,
        "temperature": backends.settings.temperature,
        "uncertain_below": threshold,
        "hop_s": backends.settings.hop,
        "device_backend": device,
        "machine": told,
        "backends": results,
        "windows": windows,
        "groups": groups if any(groups.values()) else {},
    }
    print_document(document)
    pictures = draw(document, answers, args.output)
    if args.write_card:
        for picture in pictures:
            shutil.copyfile(picture, args.model / picture.name)
        names = [picture.name for picture in pictures]
        write_card(args.model / "README.md", card_section(document, told_command(), names))
        print(f"Wrote {args.model / 'README.md'}")
    return document


def answers_of(given: list[Probabilities], clips: list[Clip], labels: list[str]) -> Answers:
    """Put probabilities `(n_labels,)`, one of each clip, beside what is known of the clips."""
    return Answers(
        logits=np.log(np.maximum(np.array(given), 1e-12)),
        classes=np.array([labels.index(clip.label) for clip in clips]),
        speakers=[clip.speaker for clip in clips],
    )


def score_heard(model: EmotionModel, clips: list[Clip], window: float) -> list[dict[str, Any]]:
    """Score the windows and the segments of a listener whose windows last at most `window` s.

    Returns:
        For each of both: `heard` (`windows` or `segments`), `window_s` (seconds), `count`, and what
        `figures.figures` gives.
    """
    settings = model.settings
    heard = predict_streams(model, clips, window)
    rows = []
    for kind, answers in (("windows", heard.windows), ("segments", heard.segments)):
        calibrated = replace(answers, logits=answers.logits / settings.temperature)
        found = figures(calibrated, model.labels, settings.uncertain_below)
        rows.append({"heard": kind, "window_s": window, "count": len(answers.classes), **found})
    return rows


def draw(document: dict[str, Any], answers: dict[str, Answers], output: Path) -> list[Path]:
    """Draw all pictures into `output`; return those of what a device runs."""
    output.mkdir(parents=True, exist_ok=True)
    device, labels = document["device_backend"], document["labels"]
    told = f"{document['split']} split ({document['clips']} clips)"
    drawn = []
    for name, result in document["backends"].items():
        picture = output / f"confusion_{name.lower().replace(' ', '_')}.png"
        plot_confusion(np.array(result["confusion"]), labels, f"{name}, {told}", picture)
        drawn.append(picture)
    diagrams = {
        name: reliability(of_backend.confidences(1.0), of_backend.right)
        for name, of_backend in answers.items()
    }
    shown = [drawn[-1], output / "benchmark_reliability.png"]
    plot_reliability(diagrams, told, shown[-1])
    if document["windows"]:
        shown.append(output / "benchmark_windows.png")
        plot_windows(document["windows"], f"{device}, {document['split']} split", shown[-1])
    if rows := document["groups"].get(device):
        shown.append(output / "benchmark_groups.png")
        plot_groups(rows, document["backends"][device], labels, f"{device}, {told}", shown[-1])
    for picture in dict.fromkeys([*drawn, *shown]):
        print(f"Wrote {picture}")
    return shown


def print_document(document: dict[str, Any]) -> None:
    """Print all tables."""
    print_machine(document["machine"])
    split, device = document["split"], document["device_backend"]
    threads = document["threads"]
    print_table(
        f"Scores on the {split} split, times for a clip on {threads} thread(s)",
        by_backend(document["backends"]),
    )
    if document["windows"]:
        print_table(f"{device}, as a listener hears", by_window(document["windows"]))
    if rows := document["groups"].get(device):
        print_table(f"{device}, by group of speakers", by_group_briefly(rows))


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
