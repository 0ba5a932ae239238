"""Compare every quantization of one checkpoint: size, latency, accuracy, change in probability.

All are made anew from the checkpoint, timed in turn on the same windows, and scored on the same
clips of validation speakers, each whole and alone. Ranges and outlier channels are measured on
windows of that speech too, as `export/to_onnx.py` does, without its labels.
Prints a table, draws accuracy against latency, and the last line is one JSON document.

    pip install -e ".[train,export]"
    python benchmarks/quantization.py --checkpoint runs/crema-d --data ../shared/crema-d
    python benchmarks/quantization.py ... --limit 60 --only fp32 int8
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import onnxruntime
from scipy.special import softmax
from tqdm import tqdm

from benchmarks.common.backends import Predictor, Probabilities
from benchmarks.common.command import add_folders, run_benchmark
from benchmarks.common.quantizations import QUANTIZATIONS
from benchmarks.common.timing import Samples, interleave, machine, print_machine, summarise
from benchmarks.plots.latency import plot_accuracy_against_latency
from benchmarks.scoring.accuracy_tables import print_table
from emo_listen.model_folder.network import FP32
from export.checkpoint import PyTorchModel
from export.graph import export_fp32
from export.speech import speech_windows
from train.corpus.long_recordings import over_windows
from train.corpus.places import BUNDLED_CHECKPOINT, DATA_HELP, need_corpus
from train.corpus.recordings import Clip, check_labels, join, load_clips
from train.evaluation.metrics import ClassifierMetrics

CALIBRATION_WINDOWS = 16
"""Windows of 3 s that ranges and outlier channels are measured on."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=BUNDLED_CHECKPOINT,
        help="PyTorch checkpoint (default: the bundled model's own)",
    )
    parser.add_argument("--data", help=f"corpus, as train/finetune.py takes it ({DATA_HELP})")
    parser.add_argument("--limit", type=int, help="score about this many clips of its validation")
    parser.add_argument(
        "--only", nargs="+", choices=list(QUANTIZATIONS), help="these, and fp32 to compare with"
    )
    parser.add_argument(
        "--windows", type=float, nargs="+", default=[1.0, 3.0, 5.0], help="lengths to time, in s"
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="CPU threads (default: 1 2)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, help="windows timed at each length (default: 10)"
    )
    add_folders(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Quantize, time, score, print, draw, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus or split, or classes that the model does not know.
        ModelError: not a checkpoint of an audio classifier.
    """
    args.data = need_corpus(args.data)
    model = PyTorchModel.load(args.checkpoint)
    rate = model.sampling_rate
    clips = load_clips(args.data, "validation", rate, args.limit, args.cache_dir)
    check_labels(clips, model.labels)
    speech = speech_windows(join(clips), 3 * rate, CALIBRATION_WINDOWS)
    names = list(dict.fromkeys(["fp32", *(args.only or QUANTIZATIONS)]))
    told = machine()
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
        predictors = {name: _of_graph(graph, model, 1) for name, graph in graphs.items()}
        add_scores(rows, predictors, clips, model.labels)
        timed = speech_windows(join(clips), round(max(args.windows) * rate), args.rounds)
        for threads in args.threads:
            if threads > 1:
                predictors = {
                    name: _of_graph(graph, model, threads) for name, graph in graphs.items()
                }
            for seconds in args.windows:
                windows = [window[: round(seconds * rate)] for window in timed]
                add_times(rows, predictors, windows, time_key(seconds, threads), threads)
    args.output.mkdir(parents=True, exist_ok=True)
    picture = args.output / "accuracy_latency.png"
    plot_accuracy_against_latency(rows, time_key(args.windows[-1], args.threads[0]), picture)
    print(f"Wrote {picture}")
    print_machine(told)
    print_table(f"Quantizations, {len(clips)} validation clips", score_table(rows))
    print_table("Their median times (ms), by sound and threads", time_table(rows))
    return {
        "benchmark": "quantization",
        "data": Path(args.data).name,
        "clips": len(clips),
        "machine": told,
        "results": rows,
    }


def add_scores(
    rows: list[dict[str, Any]],
    predictors: dict[str, Predictor],
    clips: list[Clip],
    labels: list[str],
) -> None:
    """Add accuracy, UAR, agreement and largest change in probability against fp32 to each row."""
    classes = [labels.index(clip.label) for clip in clips]
    expected: np.ndarray | None = None
    for row in tqdm(rows, desc="score", unit="graph"):
        predict = predictors[row["quantization"]]
        given = np.array([predict(clip.samples) for clip in clips])
        expected = given if expected is None else expected
        score = ClassifierMetrics(labels).score(given.argmax(axis=1), classes)
        row["accuracy"], row["uar"] = score["accuracy"], score["uar"]
        row["same_label"] = float((given.argmax(axis=1) == expected.argmax(axis=1)).mean())
        row["largest_change"] = float(np.abs(given - expected).max())


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
    """Name of the figure: median time of a window of `seconds` on `threads` threads."""
    return f"{seconds:g}_s_{threads}_threads_ms"


def score_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows for people: sizes and scores."""
    return [
        ["quantization", "MB", "accuracy", "UAR", "same label", "change"],
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
    """Heading and rows for people: medians in ms, `1 s x 2` being 1 s of sound on 2 threads."""
    times = [key for key in rows[0] if key.endswith("_ms")]
    heading = [f"{key.split('_')[0]} s x {key.split('_')[2]}" for key in times]
    return [
        ["quantization", *heading],
        *([row["quantization"], *(f"{row[key]:.1f}" for key in times)] for row in rows),
    ]


def _of_graph(graph: Path, model: PyTorchModel, threads: int) -> Predictor:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return over_windows(partial(_probabilities, session, model), model.sampling_rate)


def _probabilities(
    session: onnxruntime.InferenceSession, model: PyTorchModel, samples: Samples
) -> Probabilities:
    logits = session.run(["logits"], {"input_values": model.input_values(samples)})[0][0]
    return softmax(logits.astype(np.float64))


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
