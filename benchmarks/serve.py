r"""Measure how many streams `emo-listen serve` keeps in real time, and how fast labels come.

A real server and a client run in processes of their own, on the loopback
interface. Each stream sends 16-bit audio in real time, in blocks of 0.1 s. Two
sounds are sent: continuous speech (validation clips, without the silence around
their speech), and mostly silent streams, of which each has 3 s of speech every
30 s. For each number of streams a new server is started.

Latency is from when the last sample of a label's window is due to be sent until
its event comes. A load is kept in real time if 95 % of labels come within 1 s
and nothing is lost. In the end 20 streams of continuous speech run for minutes,
whose memory must not grow. Every event is compared with those of
`emo_listen.listen` for the same audio.

    pip install -e ".[train,export,serve]"
    python benchmarks/serve.py
    python benchmarks/serve.py --soak-minutes 60

The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from tqdm import tqdm

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import add_folders, add_model, add_timed_speech
from benchmarks.common.timing import machine, print_machine
from benchmarks.plots.serve import PERCENTILES, plot_serve
from benchmarks.serving.client import STAGGER, run_load
from benchmarks.serving.figures import (
    REAL_TIME_MS,
    Expected,
    kept_in_real_time,
    listened,
    load_row,
    memory_a_stream,
    memory_row,
)
from benchmarks.serving.server import default_streams, running_server
from benchmarks.serving.sounds import Sound, continuous, mostly_silent, speech_without_pauses
from emo_listen import EmotionModel
from export.tables import print_table
from train.common.command import command_parser

SPEECH, SILENCE = "speech", "mostly silent"
"""What streams send."""

SOAK_STREAMS = 20
"""Streams of the soak."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_model(parser)
    add_folders(parser)
    add_timed_speech(parser)
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=[8, 16, 24, 28, 32],
        help="numbers of streams of continuous speech (default: 8 16 24 28 32)",
    )
    parser.add_argument(
        "--silent",
        type=int,
        nargs="*",
        default=[50, 100],
        help="numbers of mostly silent streams (default: 50 100)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=15.0,
        help=f"length of the streams, more than {STAGGER:g} (default: 15)",
    )
    parser.add_argument(
        "--soak-minutes",
        type=float,
        default=2.0,
        help=f"length of the soak of {SOAK_STREAMS} streams; 0 for none (default: 2)",
    )
    args = parser.parse_args(argv)
    if args.seconds <= STAGGER or 0 < args.soak_minutes * 60 <= STAGGER:
        parser.error(f"--seconds and --soak-minutes must be more than {STAGGER:g} s")
    if min([*args.streams, *args.silent]) < 1:
        parser.error("--streams and --silent must be 1 or more")
    return args


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run all loads, print the tables, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
        ModelError: the model cannot be loaded.
        ServerError: the server does not start.
    """
    info = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    speech = speech_without_pauses(args.data, rate, args.cache_dir)
    admitted = default_streams(args.model)
    kinds = {SPEECH: (continuous, args.streams), SILENCE: (mostly_silent, args.silent)}
    rows = [
        {"sound": name, **row}
        for name, (make, streams) in kinds.items()
        for row in loads(args.model, model, name, make(speech, rate, args.seconds), streams)
    ]
    soaked = None
    if args.soak_minutes:
        soaked = soak(args.model, model, continuous(speech, rate, args.soak_minutes * 60)[0])
    plot_serve(rows, soaked, REAL_TIME_MS, args.output / "serve.png")
    document = {
        "benchmark": "serve",
        "speech": Path(args.data).name if args.data else "bundled sample",
        "machine": info,
        "seconds": args.seconds,
        "admitted_by_default": admitted,
        "loads": rows,
        "soak": soaked,
    }
    print_machine(info)
    print_table(f"Streams in real time, {args.seconds:g} s; latency in ms", load_table(rows))
    for line in summary(document):
        print(line)
    return document


def loads(
    folder: Path, model: EmotionModel, name: str, sounds: Sequence[Sound], streams: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Run loads of a kind `name`, each on a new server of the model in `folder`; yield their rows.

    Raises:
        ServerError: a server does not start.
    """
    expected = expected_events(model, sounds[: max(streams, default=0)])
    for count in streams:
        with running_server(folder, "--max-streams", str(count)) as server:
            load = run_load(server, sounds, count, f"{count} streams, {name}")
        yield load_row(load, expected)


def soak(folder: Path, model: EmotionModel, sound: Sound) -> dict[str, Any]:
    """Run `SOAK_STREAMS` streams of one sound; return their row, and the server's memory.

    Raises:
        ServerError: the server does not start.
    """
    with running_server(folder, "--max-streams", str(SOAK_STREAMS)) as server:
        load = run_load(server, [sound], SOAK_STREAMS, f"soak of {SOAK_STREAMS} streams")
    row = load_row(load, expected_events(model, [sound]))
    minutes = sound.length / sound.sampling_rate / 60
    return {"minutes": minutes, **row, **memory_row(load.usage)}


def expected_events(model: EmotionModel, sounds: Sequence[Sound]) -> Expected:
    """Return the events of `listen` for each of the sounds."""
    return {
        sound: listened(model, sound)
        for sound in tqdm(sounds, desc="events of listen", unit="sound")
    }


def load_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each load; latency in ms, cores and MiB of the server."""
    heading = ["sound", "streams", "p50", "p95", "p99", "windows/s"]
    heading += ["cores", "MiB", "lost", "equal", "in time"]
    return [
        heading,
        *(
            [
                row["sound"],
                str(row["streams"]),
                *("" if row[key] is None else f"{row[key]:.0f}" for key in PERCENTILES),
                f"{row['windows_per_s']:.1f}",
                f"{row['server_cores']:.2f}",
                f"{row['resident_mib']:.0f}",
                str(row["lost"]),
                str(row["equal_streams"]),
                "yes" if row["real_time"] else "no",
            ]
            for row in rows
        ),
    ]


def summary(document: dict[str, Any]) -> list[str]:
    """Return what the loads show, in sentences."""
    lines = []
    for sound in dict.fromkeys(row["sound"] for row in document["loads"]):
        rows = [row for row in document["loads"] if row["sound"] == sound]
        most = max(row["streams"] for row in rows)
        line = (
            f"{sound.capitalize()}: {kept_in_real_time(rows)} streams in real time ({most} tried)"
        )
        if (memory := memory_a_stream(rows)) is not None:
            line += f", {memory:.1f} MiB each"
        lines.append(f"{line}.")
    lines.append(f"The server admits {document['admitted_by_default']} streams by default.")
    if (soak := document["soak"]) is not None:
        lines.append(
            f"Soak of {soak['streams']} streams, {soak['minutes']:g} minutes: "
            f"{soak['growth_mib']:.1f} MiB of growth ({soak['settled_mib']:.0f} to "
            f"{soak['largest_mib']:.0f}), {soak['lost']} events lost, {soak['equal_streams']} "
            f"streams equal to listen, p95 {soak['p95_ms'] or 0:.0f} ms."
        )
    problems = {
        name for row in [*document["loads"], soak or {}] for name in row.get("problems", {})
    }
    if problems:
        lines.append(f"Streams that ended early: {', '.join(sorted(problems))}.")
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
