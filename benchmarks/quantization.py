r"""Compare all quantizations of one checkpoint: size, latency, accuracy, change.

All are created from the checkpoint, timed in turn on the same windows, and
scored on the same whole clips of the validation split. They are calibrated on
windows of the same speech, without labels. Prints tables and plots accuracy
against latency; the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/quantization.py --checkpoint runs/crema-d \
        --data data/crema-d
    python benchmarks/quantization.py ... --limit 60 --only fp32 int8
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import (
    add_data,
    add_folders,
    add_limit,
    add_threads,
    add_timed_windows,
)
from benchmarks.common.quantizations import QUANTIZATIONS
from benchmarks.common.timing import Samples, interleave, machine, print_machine, summarise
from benchmarks.plots.latency import plot_accuracy_against_latency
from emo_listen.model_folder.network import FP32
from export.checkpoint import PyTorchModel
from export.graph import export_fp32, open_graph
from export.precision_scores import Predictor
from export.speech import speech_windows
from export.tables import print_table
from train.common.command import command_parser
from train.corpus.long_recordings import over_windows
from train.corpus.places import BUNDLED_CHECKPOINT, need_corpus
from train.corpus.recordings import Clip, check_labels, join, load_clips
from train.evaluation.metrics import ClassifierMetrics

CALIBRATION_WINDOWS = 16
"""Windows of 3 s for calibration."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=BUNDLED_CHECKPOINT,
        help="PyTorch checkpoint (default: the bundled model's)",
    )
    add_data(parser)
    add_limit(parser)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(QUANTIZATIONS),
        metavar="NAME",
        help="quantizations to measure besides fp32 (default: all): "
        + ", ".join(map(repr, QUANTIZATIONS)),
    )
    add_timed_windows(parser, rounds=10)
    add_threads(parser)
    add_folders(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Quantize, score, time, print the tables, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus or split, or classes that the model does not know.
        ModelError: not a checkpoint of an audio classifier.
    """
    data = need_corpus(args.data)
    model = PyTorchModel.load(args.checkpoint)
    rate = model.sampling_rate
    clips = load_clips(data, "validation", rate, args.limit, args.cache_dir)
    check_labels(clips, model.labels)
    speech = speech_windows(join(clips), 3 * rate, CALIBRATION_WINDOWS)
    names = list(dict.fromkeys(["fp32", *(args.only or QUANTIZATIONS)]))
    info = machine()
    with tempfile.TemporaryDirectory() as folder:
        export_fp32(args.checkpoint, Path(folder))
        inputs = [model.input_values(window) for window in speech]
        graphs = {}
        for index, name in enumerate(tqdm(names, desc="quantize", unit="graph")):
            graphs[name] = Path(folder) / "onnx" / f"{index}.onnx"
            QUANTIZATIONS[name](Path(folder) / FP32, inputs, graphs[name])
        rows = [
            {"quantization": name, "mb": round(graph.stat().st_size / 1e6, 1)}
            for name, graph in graphs.items()
        ]
        predictors = {name: _predictor(graph, model, 1) for name, graph in graphs.items()}
        add_scores(rows, predictors, clips, model.labels)
        timed = speech_windows(join(clips), round(max(args.windows) * rate), args.rounds)
        for threads in args.threads:
            if threads > 1:
                predictors = {
                    name: _predictor(graph, model, threads) for name, graph in graphs.items()
                }
            for seconds in args.windows:
                windows = [window[: round(seconds * rate)] for window in timed]
                add_times(rows, predictors, windows, time_key(seconds, threads), threads)
    plot_accuracy_against_latency(
        rows,
        time_key(args.windows[-1], args.threads[0]),
        args.output / "accuracy_latency.png",
    )
    print_machine(info)
    print_table(f"Quantizations, {len(clips)} validation clips", score_table(rows))
    print_table("Median times (ms), by window length and threads", time_table(rows))
    return {
        "benchmark": "quantization",
        "data": Path(data).name,
        "clips": len(clips),
        "machine": info,
        "results": rows,
    }


def add_scores(
    rows: list[dict[str, Any]],
    predictors: dict[str, Predictor],
    clips: list[Clip],
    labels: list[str],
) -> None:
    """Add accuracy, UAR, agreement with fp32 and largest change of a probability to each row."""
    classes = [labels.index(clip.label) for clip in clips]
    expected: NDArray[np.float64] | None = None
    for row in tqdm(rows, desc="score", unit="graph"):
        predict = predictors[row["quantization"]]
        probabilities = np.array([predict(clip.samples) for clip in clips])
        expected = probabilities if expected is None else expected
        score = ClassifierMetrics(labels).score(probabilities.argmax(axis=1), classes)
        row["accuracy"], row["uar"] = score["accuracy"], score["uar"]
        row["same_label"] = float((probabilities.argmax(axis=1) == expected.argmax(axis=1)).mean())
        row["largest_change"] = float(np.abs(probabilities - expected).max())


def add_times(
    rows: list[dict[str, Any]],
    predictors: dict[str, Predictor],
    windows: list[Samples],
    key: str,
    threads: int,
) -> None:
    """Add the median time of `windows` on `threads` threads to each row, in ms, as `key`."""
    _, seconds = interleave(predictors, tqdm(windows, desc=key, unit="window"), threads)
    for row in rows:
        row[key] = summarise(seconds[row["quantization"]])["median_ms"]


def time_key(seconds: float, threads: int) -> str:
    """Key of the median time of a window of `seconds` on `threads` threads."""
    return f"{seconds:g}_s_{threads}_threads_ms"


def score_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: sizes and scores."""
    return [
        ["quantization", "MB", "accuracy", "UAR", "agreement", "largest change"],
        *(
            [
                row["quantization"],
                f"{row['mb']:.1f}",
                *(f"{row[key]:.3f}" for key in ("accuracy", "uar", "same_label")),
                f"{row['largest_change']:.3f}",
            ]
            for row in rows
        ),
    ]


def time_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: medians in ms; `1 s x 2` is a window of 1 s on 2 threads."""
    times = [key for key in rows[0] if key.endswith("_ms")]
    heading = [f"{key.split('_')[0]} s x {key.split('_')[2]}" for key in times]
    return [
        ["quantization", *heading],
        *([row["quantization"], *(f"{row[key]:.1f}" for key in times)] for row in rows),
    ]


def _predictor(graph: Path, model: PyTorchModel, threads: int) -> Predictor:
    session = open_graph(graph, threads)

    def probabilities(samples: Samples) -> NDArray[np.float64]:
        logits = session.run(["logits"], {"input_values": model.input_values(samples)})[0][0]
        return np.asarray(softmax(logits.astype(np.float64)))

    return over_windows(probabilities, model.sampling_rate)


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
