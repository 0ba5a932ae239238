"""What does listening cost? CPU time for a second of sound, and how many streams keep up.

The engine that `emo-listen` runs (`emo_listen.listen` on a `PcmStream`) hears a minute of speech
and a minute of silence, at several hops. CPU time is told as a share of a core and does not count
what other processes do. Then many streams share one model: every stream brings a window at the same
instant, and as many workers as there are cores hear them, one window at a time or in batches of
equal length. Prints tables, draws the cost, and the last line is one JSON document.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --data ../shared/crema-d --model models/crema-d
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from tqdm import tqdm

from benchmarks.common.command import add_arguments, run_benchmark
from benchmarks.common.timing import Samples, machine, print_machine
from benchmarks.plots.latency import plot_stream_cost
from benchmarks.scoring.accuracy_tables import print_table
from emo_listen import EmotionModel, listen
from emo_listen.model import normalize
from emo_listen.sources.pcm_stream import PcmStream
from export.graph import open_graph
from export.speech import speech_windows
from train.corpus.places import DATA_HELP
from train.corpus.recordings import speech_of

BLOCK = 0.1
"""Length of the blocks that a stream comes in, in seconds."""

WINDOWS_PER_LOAD = 64
"""Fewest windows that are timed for each number of streams."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--data", help=f"corpus to take speech from ({DATA_HELP}, else the sample)")
    parser.add_argument(
        "--hops", type=float, nargs="+", default=[0.25, 0.5, 1.0], help="in seconds"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="length of each stream (default: 60)"
    )
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="at once"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure, print the tables, draw the picture, and return what the JSON document says.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: the model cannot be loaded.
    """
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    speech = speech_of(args.data, rate, args.cache_dir)
    told = machine()
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
    args.output.mkdir(parents=True, exist_ok=True)
    plot_stream_cost(cost, args.output / "stream_cost.png")
    print(f"Wrote {args.output / 'stream_cost.png'}")
    print_machine(told)
    print_table("A second of sound", cost_table(cost))
    print_table(f"Many streams, a window each {hop:g} s of each", many_table(many))
    print(keep_up_line(many))
    return {
        "benchmark": "streaming",
        "speech": Path(args.data).name if args.data else "bundled sample",
        "machine": told,
        "window_s": model.settings.window,
        "cost": cost,
        "many": many,
    }


def stream_cost(model: EmotionModel, samples: Samples, hop: float) -> dict[str, Any]:
    """CPU time that listening to `samples` `(n_samples,)` takes, as a share of their length.

    Returns:
        `percent_of_core`, and how many `events` came of it.
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
    """Time windows that `streams` streams bring at the same instant, until all are heard.

    Args:
        model: that all share.
        speech: to cut windows from, `(n_samples,)`.
        streams: how many.
        hop: time between two windows of a stream, in seconds.
        batch: windows in one call of the network; 1 is what the package does.

    Returns:
        Median and largest `*_ms` from that instant to a label, `windows_per_s`, `real_time` (how
        many times faster than the sound comes; above 1 it keeps up), and `largest_change` of a
        logit by batching, since the scales of int8 are then a batch's.
    """
    length = round(model.settings.window * model.sampling_rate)
    windows = [normalize(w) for w in speech_windows(speech, length, streams)]
    batches = [np.stack(windows[i : i + batch]) for i in range(0, streams, batch)]
    session = open_graph(model.file)

    def hear(values: Samples) -> tuple[float, np.ndarray]:
        logits = session.run(["logits"], {"input_values": values})[0]
        return time.perf_counter(), logits

    alone = np.concatenate([hear(window[None])[1] for window in windows])
    waits: list[float] = []
    heard = alone
    begin = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(-(-WINDOWS_PER_LOAD // streams)):
            start = time.perf_counter()
            answers = list(pool.map(hear, batches))
            waits += [end - start for end, logits in answers for _ in logits]
            heard = np.concatenate([logits for _, logits in answers])
    per_second = len(waits) / (time.perf_counter() - begin)
    return {
        "median_ms": round(float(np.median(waits)) * 1e3, 1),
        "largest_ms": round(max(waits) * 1e3, 1),
        "windows_per_s": round(per_second, 1),
        "real_time": round(per_second * hop / streams, 2),
        "largest_change": round(float(np.abs(heard - alone).max()), 4),
    }


def cost_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows on the cost of a stream."""
    return [
        ["sound", "hop (s)", "% of a core", "events"],
        *(
            [row["sound"], f"{row['hop_s']:g}", f"{row['percent_of_core']:.1f}", str(row["events"])]
            for row in rows
        ),
    ]


def many_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows on many streams."""
    keys = ("median_ms", "largest_ms", "windows_per_s", "real_time", "largest_change")
    heading = ["streams", "batch", "median (ms)", "largest (ms)", "windows/s"]
    heading += ["times real time", "largest change of a logit"]
    return [
        heading,
        *([str(row["streams"]), str(row["batch"]), *(str(row[k]) for k in keys)] for row in rows),
    ]


def keep_up_line(rows: list[dict[str, Any]]) -> str:
    """Tell how many streams keep up with real time, of the numbers that were measured."""
    streams = [row["streams"] for row in rows if row["real_time"] >= 1]
    return f"{max(streams, default=0)} streams at once keep up with real time."


class _InBlocks(PcmStream):
    """PCM that comes in short blocks, as from a device."""

    def __init__(self, pcm: io.BytesIO, sampling_rate: int) -> None:
        block = 2 * round(BLOCK * sampling_rate)

        class Short(io.BytesIO):
            def read1(self, size: int | None = -1, /) -> bytes:
                return super().read1(block)

        super().__init__(Short(pcm.getvalue()), sampling_rate)


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
