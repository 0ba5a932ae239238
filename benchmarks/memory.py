"""From the start of a process to the first label of a file, and the memory that it takes.

Each is a process of its own, started several times: `emo-listen` on a sound file, and, where there
is a checkpoint, transformers' pipeline on the same file. Prints a table, and the last line is one
JSON document.

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

from benchmarks.common.command import add_arguments, run_benchmark
from benchmarks.common.timing import machine, print_machine
from benchmarks.scoring.accuracy_tables import print_table
from emo_listen.errors import ModelError
from emo_listen.samples import SAMPLE

PEAK = (
    "; import pathlib, resource, sys; status = pathlib.Path('/proc/self/status'); "
    "peak = int(status.read_text().split('VmHWM:')[1].split()[0]) * 1024 if status.exists() "
    "else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
    "print(peak, file=sys.stderr)"
)
"""Prints the most memory, in bytes, that this program had resident.

On Linux `ru_maxrss` also counts what the parent had when it started the process.
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
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each (default: 5)")
    parser.add_argument(
        "--file", type=Path, default=SAMPLE, help="sound file (default: the bundled sample)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Start the processes in turn, print the table, and return what the JSON document says.

    Raises:
        ModelError: a process gave no label.
    """
    told = machine()
    commands: dict[str, tuple[str, ...]] = {"emo-listen": RUNTIME}
    if args.checkpoint is not None:
        commands["transformers.pipeline"] = PIPELINE
    given = {
        "model": str(args.model),
        "checkpoint": str(args.checkpoint),
        "file": str(args.file),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            found[name].append(start(name, [part.format(**given) for part in command]))
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
    print_machine(told)
    print_table("From the start of a process", table(rows))
    return {"benchmark": "memory", "rounds": args.rounds, "machine": told, "results": rows}


def start(name: str, command: list[str]) -> tuple[float, float]:
    """Run Python's `-c` with `command`.

    Returns:
        Seconds to its first line, and the most memory that it had resident, in megabytes.

    Raises:
        ModelError: it printed nothing.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.perf_counter() - begin
    told = process.communicate()[1].decode(errors="replace").strip()
    if not line or process.returncode:
        raise ModelError(f"{name} gave no label: {told[-300:]}")
    return seconds, int(told.splitlines()[-1]) / 1e6


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows for people."""
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
