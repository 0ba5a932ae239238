r"""Score PyTorch, ONNX fp32 and ONNX int8 on the same recordings.

Shows whether int8 is as accurate as the checkpoint, how reliable its
confidence is, how much audio it needs, and how accuracy differs between groups
of speakers. Prints tables and writes plots; the last line is one JSON
document.

    pip install -e ".[train,export]"
    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --data data/crema-d --split validation
    python benchmarks/accuracy.py --data data/crema-d --split test \
        --checkpoint runs/crema-d --model models/crema-d --write_card

- Whole clips, each alone and without padding, with each backend: accuracy,
  unweighted average recall (UAR), macro F1, recall of each class, expected
  calibration error (ECE, 10 bins) of the calibrated probabilities, the share
  of labels that are not `uncertain` and their accuracy, and the time per clip.
- Windows and segments of streams, with the backend of a device and windows of
  at most 1, 2 and 3 s (--windows): each speaker's clips form one stream with
  pauses, which passes through speech detection, windows and smoothing. Each
  window and each segment counts once, with the label of its clip.
- Groups of speakers (--groups; by default CREMA-D's own table): figures of
  whole clips by sex, age and so on.

Intervals are 95 % bootstrap intervals over speakers, if there are at least
three.

Use the test split only once, for the final figures of a finished model.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from benchmarks.common.backends import PYTORCH, load_backends
from benchmarks.common.command import run_benchmark
from benchmarks.common.options import (
    add_checkpoint_and_model,
    add_data,
    add_folders,
    add_limit,
    add_split,
)
from benchmarks.common.timing import interleave, machine, print_machine, summarise
from benchmarks.plots.accuracy import plot_groups, plot_windows
from benchmarks.scoring.accuracy_tables import (
    HEADING,
    by_backend,
    by_group_briefly,
    by_input,
    card_results,
    card_summary,
)
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.figures import figures
from benchmarks.scoring.groups import CREMA_D_TABLE, find_table, read_table, score_groups
from emo_listen import EmotionModel
from export.tables import print_table
from train.common.command import command_parser
from train.corpus.clip_table import add_columns, columns_of
from train.corpus.places import need_corpus
from train.corpus.recordings import Clip, check_labels, load_clips
from train.evaluation.calibration import Answers, reliability
from train.evaluation.listening import predict_streams
from train.report.plots import plot_confusion, plot_reliability


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_checkpoint_and_model(parser)
    add_folders(parser)
    add_data(parser)
    add_columns(parser)
    add_split(parser)
    add_limit(parser)
    parser.add_argument(
        "--windows",
        type=float,
        nargs="*",
        default=[1.0, 2.0, 3.0],
        metavar="SECONDS",
        help="window lengths of the streams (default: 1 2 3)",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="table of speakers: the first column is the name, the others are attributes "
        f"(default: {CREMA_D_TABLE} in the corpus's folder, if it exists)",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Score, print the tables, draw the plots, and return the JSON document.

    Raises:
        CorpusError: no such corpus, split or table, or classes that the model does not know.
        ModelError: a model cannot be loaded, or has no card to write to.
    """
    check_card(args)
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
    info = machine()
    labels, threshold = backends.labels, backends.settings.uncertain_below
    probabilities, seconds = interleave(
        backends.predictors,
        tqdm([clip.samples for clip in clips], desc="score", unit="clip"),
        threads=args.threads,
    )
    answers = {
        name: answers_of(of_backend, clips, labels) for name, of_backend in probabilities.items()
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
        row for window in args.windows for row in score_stream(backends.device, clips, window)
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
        "machine": info,
        "backends": results,
        "windows": windows,
        "groups": groups if any(groups.values()) else {},
    }
    print_document(document)
    plots = draw(document, answers, args.output)
    if args.write_card:
        write_card(args.model, HEADING, card_summary(document), card_results(document), plots)
    return document


def answers_of(
    probabilities: list[NDArray[np.float64]], clips: list[Clip], labels: list[str]
) -> Answers:
    """Combine probabilities `(n_labels,)` of each clip with the clips' classes and speakers."""
    return Answers(
        logits=np.log(np.maximum(np.array(probabilities), 1e-12)),
        classes=np.array([labels.index(clip.label) for clip in clips]),
        speakers=[clip.speaker for clip in clips],
    )


def score_stream(model: EmotionModel, clips: list[Clip], window: float) -> list[dict[str, Any]]:
    """Score the windows, of at most `window` seconds, and the segments of streams of `clips`.

    Returns:
        A row for each: `heard` (`windows` or `segments`), `window_s` (seconds), `count`, and the
        result of `figures.figures`.
    """
    settings = model.settings
    predictions = predict_streams(model, clips, window)
    rows = []
    for kind, answers in (("windows", predictions.windows), ("segments", predictions.segments)):
        calibrated = replace(answers, logits=answers.logits / settings.temperature)
        found = figures(calibrated, model.labels, settings.uncertain_below)
        rows.append({"heard": kind, "window_s": window, "count": len(answers.classes), **found})
    return rows


def draw(document: dict[str, Any], answers: dict[str, Answers], output: Path) -> list[Path]:
    """Draw all plots to the folder `output`; return those of the backend of a device."""
    output.mkdir(parents=True, exist_ok=True)
    device, labels = document["device_backend"], document["labels"]
    title = f"{document['split']} split ({document['clips']} clips)"
    confusions = []
    for name, result in document["backends"].items():
        plot = output / f"confusion_{name.lower().replace(' ', '_')}.png"
        plot_confusion(np.array(result["confusion"]), labels, f"{name}, {title}", plot)
        confusions.append(plot)
    diagrams = {
        name: reliability(of_backend.confidences(1.0), of_backend.right)
        for name, of_backend in answers.items()
    }
    plots = [confusions[-1], output / "benchmark_reliability.png"]
    plot_reliability(diagrams, title, plots[-1])
    for plot in (*confusions, plots[-1]):
        print(f"Wrote {plot}")
    if document["windows"]:
        plots.append(output / "benchmark_windows.png")
        plot_windows(document["windows"], f"{device}, {document['split']} split", plots[-1])
    if rows := document["groups"].get(device):
        plots.append(output / "benchmark_groups.png")
        plot_groups(rows, document["backends"][device], labels, f"{device}, {title}", plots[-1])
    return plots


def print_document(document: dict[str, Any]) -> None:
    """Print all tables."""
    print_machine(document["machine"])
    split, device = document["split"], document["device_backend"]
    threads = document["threads"]
    print_table(
        f"Scores on the {split} split, {threads} CPU thread(s)",
        by_backend(document["backends"]),
    )
    if document["windows"]:
        print_table(f"{device}, windows and segments of streams", by_input(document["windows"]))
    if rows := document["groups"].get(device):
        print_table(f"{device}, by group of speakers", by_group_briefly(rows))


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
