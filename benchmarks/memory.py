"""Measure the time from process start to the first label, and peak memory.

Several new processes each: `emo-listen` on an audio file, and, if there is a
checkpoint, transformers' pipeline on the same file. Prints a table; the last
line is one JSON document.

    python benchmarks/memory.py
    python benchmarks/memory.py --checkpoint runs/crema-d --model models/crema-d
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np

from benchmarks.common.command import run_benchmark
from benchmarks.common.options import add_checkpoint_and_model
from benchmarks.common.timing import machine, print_machine
from emo_listen.errors import ModelError
from emo_listen.samples import SAMPLE
from export.tables import print_table
from train.common.command import command_parser

PEAK = (
    "; import pathlib, resource, sys; status = pathlib.Path('/proc/self/status'); "
    "peak = int(status.read_text().split('VmHWM:')[1].split()[0]) * 1024 if status.exists() "
    "else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
    "print(peak, file=sys.stderr)"
)
"""Prints the process's peak resident memory in bytes.

On Linux `ru_maxrss` would include the parent's memory at the time of the fork.
"""

RUNTIME = (
    f"import sys; from emo_listen.cli import main; main(sys.argv[1:]){PEAK}",
    "--model",
    "{model}",
    "--device",
    "{file}",
)
PIPELINE = (
    "import sys, soundfile, torch; from transformers import pipeline; torch.set_num_threads(1); "
    "classify = pipeline('audio-classification', sys.argv[1], device='cpu'); "
    "samples, rate = soundfile.read(sys.argv[2], dtype='float32'); "
    f"print(classify(dict(raw=samples[: 3 * rate], sampling_rate=rate)), flush=True){PEAK}",
    "{checkpoint}",
    "{file}",
)


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_checkpoint_and_model(parser)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind (default: 5)")
    parser.add_argument(
        "--file", type=Path, default=SAMPLE, help="audio file (default: the bundled sample)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Start the processes in turn, print the table, and return the JSON document.

    Raises:
        ModelError: a process failed.
    """
    info = machine()
    commands: dict[str, tuple[str, ...]] = {"emo-listen": RUNTIME}
    if args.checkpoint is not None:
        commands["transformers.pipeline"] = PIPELINE
    values = {
        "model": str(args.model),
        "checkpoint": str(args.checkpoint),
        "file": str(args.file),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            found[name].append(start(name, [part.format(**values) for part in command]))
    rows = []
    for name, pairs in found.items():
        seconds, megabytes = zip(*pairs, strict=True)
        rows.append(
            {
                "process": name,
                "first_label_s": round(float(np.median(seconds)), 3),
                "slowest_s": round(max(seconds), 3),
                "peak_mb": round(max(megabytes), 1),
            }
        )
    print_machine(info)
    print_table("Process start to first label", table(rows))
    return {"benchmark": "memory", "rounds": args.rounds, "machine": info, "results": rows}


def start(name: str, command: list[str]) -> tuple[float, float]:
    """Run `python -c` with the arguments `command`.

    Returns:
        Seconds to its first line of output, and its peak resident memory in megabytes.

    Raises:
        ModelError: it failed or printed nothing.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.perf_counter() - begin
    messages = process.communicate()[1].decode(errors="replace").strip()
    if not line or process.returncode:
        raise ModelError(f"{name} failed: {messages[-300:]}")
    return seconds, int(messages.splitlines()[-1]) / 1e6


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each kind of process."""
    return [
        ["process", "first label (s)", "slowest (s)", "peak memory (MB)"],
        *(
            [
                row["process"],
                f"{row['first_label_s']:.2f}",
                f"{row['slowest_s']:.2f}",
                f"{row['peak_mb']:.0f}",
            ]
            for row in rows
        ),
    ]


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
