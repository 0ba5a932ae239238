"""Measure the CPU cost of listening, and how many streams run in real time.

The engine of `emo-listen` (`emo_listen.listen` on a `PcmStream`) processes a
minute of speech and a minute of silence, at several hops. CPU time is given as
a share of one core, and excludes other processes. Then many streams share one
model: every stream delivers a window at the same time, and as many workers as
cores process them, one window at a time or in batches of equal length. Last,
many clips are predicted one after another, by `EmotionModel.predict_batch`, and
in one call of the network. Prints tables and writes a plot; the last line is
one JSON document.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --data data/crema-d --model models/crema-d
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import add_folders, add_model, add_timed_speech
from benchmarks.common.timing import Samples, interleave, machine, print_machine
from benchmarks.plots.latency import plot_stream_cost
from emo_listen import EmotionModel, Prediction, listen
from emo_listen.model import normalize
from emo_listen.prediction import Output
from emo_listen.sources.pcm_stream import PcmStream
from export.graph import open_graph
from export.speech import speech_windows
from export.tables import print_table
from train.common.command import command_parser
from train.corpus.recordings import speech_of

BLOCK = 0.1
"""Length of a stream's blocks in seconds."""

WINDOWS_PER_LOAD = 64
"""Fewest windows to time for each number of streams."""

CLIPS = 16
"""Clips to predict at once."""

ONE_BY_ONE, PREDICT_BATCH, ONE_CALL = "predict, one by one", "predict_batch", "one call"
"""Ways to predict many clips."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_folders(parser)
    add_timed_speech(parser)
    parser.add_argument(
        "--hops",
        type=float,
        nargs="+",
        default=[0.25, 0.5, 1.0],
        metavar="SECONDS",
        help="time between two windows (default: 0.25 0.5 1)",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="length of each stream in seconds (default: 60)"
    )
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=[1, 2, 4, 8, 16, 32, 64],
        help="numbers of simultaneous streams (default: 1 2 4 8 16 32 64)",
    )
    parser.add_argument(
        "--rounds", type=int, default=12, help=f"times {CLIPS} clips are predicted (default: 12)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: the model cannot be loaded.
    """
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    speech = speech_of(args.data, rate, args.cache_dir)
    info = machine()
    length = round(args.seconds * rate)
    sounds = {"speech": np.resize(speech, length), "silence": np.zeros(length, np.float32)}
    cost = [
        {"sound": name, "hop_s": hop, **stream_cost(model, samples, hop)}
        for name, samples in sounds.items()
        for hop in tqdm(args.hops, desc=name, unit="hop")
    ]
    hop = model.settings.hop
    many = [
        {"streams": streams, "batch": batch, **many_streams(model, speech, streams, hop, batch)}
        for streams in tqdm(args.streams, desc="many streams", unit="load")
        for batch in dict.fromkeys([1, min(streams, 8)])
    ]
    clips = many_clips(model, speech, args.rounds)
    plot_stream_cost(cost, args.output / "stream_cost.png")
    print_machine(info)
    print_table("CPU cost of one stream", cost_table(cost))
    print_table(f"Simultaneous streams, a window every {hop:g} s", many_table(many))
    print(real_time_line(many))
    print_table(clips_heading(clips), clips_table(clips))
    return {
        "benchmark": "streaming",
        "speech": Path(args.data).name if args.data else "bundled sample",
        "machine": info,
        "window_s": model.settings.window,
        "cost": cost,
        "many": many,
        "clips": clips,
    }


def stream_cost(model: EmotionModel, samples: Samples, hop: float) -> dict[str, Any]:
    """Measure the CPU time of listening to `samples` `(n_samples,)`.

    Returns:
        `percent_of_core`: CPU time over the stream's length, in percent; and the number of
        `events`.
    """
    pcm = io.BytesIO((samples * 32767).astype("<i2").tobytes())
    source = _InBlocks(pcm, model.sampling_rate)
    start = time.process_time()
    events = sum(1 for _ in listen(source, model=model, hop=hop))
    spent = time.process_time() - start
    return {
        "percent_of_core": round(100 * spent * model.sampling_rate / len(samples), 2),
        "events": events,
    }


def many_streams(
    model: EmotionModel, speech: Samples, streams: int, hop: float, batch: int
) -> dict[str, Any]:
    """Time windows that `streams` streams deliver at the same time.

    Args:
        model: shared by all streams.
        speech: `(n_samples,)`, to cut windows from.
        streams: number of streams.
        hop: time between two windows of a stream, in seconds.
        batch: windows in one call of the network; the package uses 1.

    Returns:
        Median and largest latency (`median_ms`, `largest_ms`), `windows_per_s`, `real_time` (speed
        relative to real time; 1 or more keeps up), and `largest_change` of a logit by batching, as
        int8 scales then depend on the batch.
    """
    length = round(model.settings.window * model.sampling_rate)
    windows = [normalize(w) for w in speech_windows(speech, length, streams)]
    batches = [np.stack(windows[i : i + batch]) for i in range(0, streams, batch)]
    session = open_graph(model.file)

    def predict(values: Samples) -> tuple[float, Samples]:
        logits = session.run(["logits"], {"input_values": values})[0]
        return time.perf_counter(), logits

    alone = np.concatenate([predict(window[None])[1] for window in windows])
    waits: list[float] = []
    batched = alone
    begin = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(-(-WINDOWS_PER_LOAD // streams)):
            start = time.perf_counter()
            results = list(pool.map(predict, batches))
            waits += [end - start for end, logits in results for _ in logits]
            batched = np.concatenate([logits for _, logits in results])
    per_second = len(waits) / (time.perf_counter() - begin)
    return {
        "median_ms": round(float(np.median(waits)) * 1e3, 1),
        "largest_ms": round(max(waits) * 1e3, 1),
        "windows_per_s": round(per_second, 1),
        "real_time": round(per_second * hop / streams, 2),
        "largest_change": round(float(np.abs(batched - alone).max()), 4),
    }


def many_clips(model: EmotionModel, speech: Samples, rounds: int) -> dict[str, Any]:
    """Time `CLIPS` clips of the model's window, cut from `speech` `(n_samples,)`.

    Returns:
        The number of clips (`count`) and their length (`seconds`); and for each way, by name, its
        median time (`median_ms`), the median ratio of the time of `predict` to its own in the same
        round (`speed_up`), and the `largest_change` of a probability.
    """
    length = round(model.settings.window * model.sampling_rate)
    windows = np.stack(speech_windows(speech, length, CLIPS))
    session = open_graph(model.file)

    def in_one_call(clips: Samples) -> list[Prediction]:
        logits = session.run(["logits"], {"input_values": np.stack([normalize(c) for c in clips])})
        return [model.judge(Output(row.astype(np.float64), None)) for row in logits[0]]

    ways: dict[str, Callable[[Samples], list[Prediction]]] = {
        ONE_BY_ONE: lambda clips: [model.predict(clip, model.sampling_rate) for clip in clips],
        PREDICT_BATCH: lambda clips: model.predict_batch(clips, model.sampling_rate),
        ONE_CALL: in_one_call,
    }
    found, seconds = interleave(ways, [windows] * rounds, warm_up=1)
    scores = {
        name: np.array([list(prediction.scores.values()) for prediction in rows[0]])
        for name, rows in found.items()
    }
    ways_found = {
        name: {
            "median_ms": round(float(np.median(times)) * 1e3, 1),
            "speed_up": round(float(np.median(np.divide(seconds[ONE_BY_ONE], times))), 2),
            "largest_change": round(float(np.abs(scores[name] - scores[ONE_BY_ONE]).max()), 4),
        }
        for name, times in seconds.items()
    }
    return {"count": CLIPS, "seconds": model.settings.window, "ways": ways_found}


def clips_heading(clips: dict[str, Any]) -> str:
    """Title of the table of clips."""
    return f"{clips['count']} clips of {clips['seconds']:g} s"


def clips_table(clips: dict[str, Any]) -> list[list[str]]:
    """Heading and rows: ways to predict many clips."""
    return [
        [clips_heading(clips), "median (ms)", "speed-up", "largest probability change"],
        *([name, *(str(value) for value in row.values())] for name, row in clips["ways"].items()),
    ]


def cost_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: the CPU cost of one stream."""
    return [
        ["sound", "hop (s)", "CPU (% of one core)", "events"],
        *(
            [row["sound"], f"{row['hop_s']:g}", f"{row['percent_of_core']:.1f}", str(row["events"])]
            for row in rows
        ),
    ]


def many_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: simultaneous streams."""
    keys = ("median_ms", "largest_ms", "windows_per_s", "real_time", "largest_change")
    heading = ["streams", "batch", "median (ms)", "largest (ms)", "windows/s"]
    heading += ["times real time", "largest logit change"]
    return [
        heading,
        *([str(row["streams"]), str(row["batch"]), *(str(row[k]) for k in keys)] for row in rows),
    ]


def real_time_line(rows: list[dict[str, Any]]) -> str:
    """State the largest measured number of streams that run in real time."""
    streams = [row["streams"] for row in rows if row["real_time"] >= 1]
    return f"{max(streams, default=0)} simultaneous streams run in real time."


class _InBlocks(PcmStream):
    """PCM in short blocks, as from a device."""

    def __init__(self, pcm: io.BytesIO, sampling_rate: int) -> None:
        block = 2 * round(BLOCK * sampling_rate)

        class Short(io.BytesIO):
            def read1(self, size: int | None = -1, /) -> bytes:
                return super().read1(block)

        super().__init__(Short(pcm.getvalue()), sampling_rate)


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
