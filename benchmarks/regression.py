"""Tell whether the bundled model has become slower, against PyTorch on the same machine.

Compares ratios, which differ less from machine to machine than times do, with those in
`ratios.json`, and warns of each that fell below `TOLERATED` of it. CPU time is compared, on one
thread, and of each the least of some rounds, so that other work on the machine hardly counts.

    python benchmarks/regression.py
    python benchmarks/regression.py --write     # keep the ratios found as those to hold
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import torch

from benchmarks.common.hubert_base import write_hubert_base, write_random
from emo_listen import EmotionModel
from export.checkpoint import PyTorchModel
from train.corpus.recordings import bundled_speech

RATIOS = Path(__file__).parent / "ratios.json"

SECONDS = 3.0
"""Length of the window that is timed, in seconds."""

ROUNDS = 4
"""Calls of each, of which the fastest counts."""

TOLERATED = 0.8
"""Share of a committed ratio below which a ratio is told as a regression."""


def measure() -> dict[str, float]:
    """How many times less CPU time the bundled model takes than PyTorch, on one thread.

    Returns:
        `pytorch` (a model of its own shape) and `hubert_base` (one of HuBERT-base's shape), both
        with random weights in fp32.
    """
    model = EmotionModel.load(threads=1)
    rate = model.sampling_rate
    samples = bundled_speech(rate)[: round(SECONDS * rate)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as folder:
            own = PyTorchModel.load(
                write_random(Path(folder) / "own", model.file.parents[1] / "config.json")
            )
            large = PyTorchModel.load(write_hubert_base(Path(folder) / "large", model.labels))
        networks = {"pytorch": own, "hubert_base": large}
        calls: dict[str, Callable[[], object]] = {
            "emo-listen": lambda: model.predict(samples, rate),
            **{name: _call(network, samples) for name, network in networks.items()},
        }
        for call in calls.values():
            call()
        least = {name: min(_cpu_time(call) for _ in range(ROUNDS)) for name, call in calls.items()}
    finally:
        torch.set_num_threads(threads)
    return {name: round(least[name] / least["emo-listen"], 2) for name in networks}


def fallen(measured: dict[str, float], held: dict[str, float]) -> list[str]:
    """Tell each ratio of `measured` that fell too far below that of `held`."""
    return [
        f"the bundled model is {measured[name]:g} times faster than {name}, and was {ratio:g}"
        for name, ratio in held.items()
        if measured[name] < TOLERATED * ratio
    ]


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"write {RATIOS.name}")
    args = parser.parse_args(argv)
    measured = measure()
    if args.write:
        RATIOS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    for message in fallen(measured, json.loads(RATIOS.read_text(encoding="utf-8"))):
        print(f"WARNING: {message}")
    print(json.dumps(measured))
    return 0


def _call(network: PyTorchModel, samples: object) -> Callable[[], object]:
    return lambda: network.logits(network.input_values(samples))  # type: ignore[arg-type]


def _cpu_time(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
