"""Run a day of stream time: memory must not grow, times must stay exact.

A stream of silence with an utterance every two minutes is processed as fast as
possible. Memory is the process's resident set. Consecutive segments of the
same utterance must be exactly as far apart as the utterances, after the first
few: the speech detector's network has a state and may find those one chunk
off.

    pip install -e ".[train,export]"
    python benchmarks/soak.py --hours 24

The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import add_model
from benchmarks.common.timing import Samples, machine, print_machine
from emo_listen import EmotionModel, SegmentEvent, listen
from train.common.command import command_parser
from train.corpus.recordings import bundled_speech

PERIOD = 120
"""Seconds from one utterance to the next."""

UTTERANCE = (5.5, 8.5)
"""Start and end of an utterance in the bundled sample, in seconds."""

SETTLED = 5
"""Utterances after which the detector's state has settled."""

WARM_UP = 0.02
"""Fraction of the stream after which memory is first measured."""


class Stream:
    """Hours of silence with the same utterance every `PERIOD`, in blocks of a second."""

    live = False

    def __init__(self, utterance: Samples, sampling_rate: int, hours: float) -> None:
        """Prepare a stream of `hours` with `utterance` (n_samples,) at a rate in Hz."""
        self.sampling_rate = sampling_rate
        self.seconds = round(hours * 3600)
        self.resident: list[int] = []
        self._period = np.zeros(PERIOD * sampling_rate, np.float32)
        self._period[sampling_rate : sampling_rate + len(utterance)] = utterance

    def __iter__(self) -> Iterator[Samples]:
        """Yield blocks (n_samples,), and record the resident memory each minute."""
        process = psutil.Process()
        for second in tqdm(range(self.seconds), unit="s", unit_scale=True, desc="stream"):
            if second % 60 == 0:
                self.resident.append(process.memory_info().rss)
            start = second % PERIOD * self.sampling_rate
            yield self._period[start : start + self.sampling_rate]

    def stop(self) -> None:
        """Do nothing: the stream ends by itself."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    parser.add_argument(
        "--hours", type=float, default=24.0, help="hours of stream time (default: 24)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the stream, and return the JSON document.

    Raises:
        ModelError: the model cannot be loaded.
    """
    info = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    first, last = (round(at * rate) for at in UTTERANCE)
    stream = Stream(bundled_speech(rate)[first:last], rate, args.hours)
    begin = time.perf_counter()
    segments = [event for event in listen(stream, model=model) if isinstance(event, SegmentEvent)]
    seconds = time.perf_counter() - begin
    resident = np.array(stream.resident) / 2**20
    settled = resident[int(len(resident) * WARM_UP) :]
    ends = np.array([round(event.end * rate) for event in segments])
    each = len(ends) // (stream.seconds // PERIOD)
    drift = np.abs(np.diff(ends[each * SETTLED :: each]) - PERIOD * rate).max()
    print_machine(info)
    print(
        f"{args.hours:g} h of stream in {seconds:.0f} s ({stream.seconds / seconds:.0f} times real "
        f"time), {len(segments)} segments, largest drift {drift} samples\n"
        f"Resident memory: {settled[0]:.1f} MiB after warm-up, {settled[-1]:.1f} MiB at the end, "
        f"at most {settled.max():.1f} MiB (growth: {settled.max() - settled[0]:.1f} MiB)"
    )
    return {
        "benchmark": "soak",
        "model": model.name,
        "hours": args.hours,
        "seconds": round(seconds, 1),
        "segments": len(segments),
        "largest_drift_samples": int(drift),
        "resident_mib": {
            "settled": round(float(settled[0]), 2),
            "end": round(float(settled[-1]), 2),
            "largest": round(float(settled.max()), 2),
        },
        "machine": info,
    }


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
