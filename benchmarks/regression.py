"""Warn if the bundled model has become slower relative to PyTorch.

Speed-ups vary less between machines than times do. They are compared with
those in `ratios.json`, with a warning for each that is below 80 % of the
committed one. Measured is CPU time on one thread, the minimum of several
rounds, which is little affected by other work on the machine.

    python benchmarks/regression.py
    python benchmarks/regression.py --write     # update ratios.json
"""

from __future__ import annotations

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
from benchmarks.common.timing import Samples
from emo_listen import EmotionModel
from export.checkpoint import PyTorchModel
from train.common.command import command_parser
from train.corpus.recordings import bundled_speech

RATIOS = Path(__file__).parent / "ratios.json"

SECONDS = 3.0
"""Length of the timed window in seconds."""

ROUNDS = 4
"""Calls of each model; the fastest counts."""

TOLERATED = 0.8
"""Share of a committed ratio below which a ratio is a regression."""


def measure() -> dict[str, float]:
    """Measure the speed-up of the bundled model over PyTorch in CPU time, on one thread.

    Returns:
        Speed-ups over `pytorch` (a model of the same shape) and `hubert_base` (one of HuBERT-base's
        shape), both with random weights in fp32.
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
        fastest = {
            name: min(_cpu_time(call) for _ in range(ROUNDS)) for name, call in calls.items()
        }
    finally:
        torch.set_num_threads(threads)
    return {name: round(fastest[name] / fastest["emo-listen"], 2) for name in networks}


def regressions(measured: dict[str, float], committed: dict[str, float]) -> list[str]:
    """Describe each ratio of `measured` that is too far below that of `committed`."""
    return [
        f"the bundled model is {measured[name]:g} times as fast as {name}, down from {ratio:g}"
        for name, ratio in committed.items()
        if measured[name] < TOLERATED * ratio
    ]


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--write", action="store_true", help=f"update {RATIOS.name} with the measured ratios"
    )
    args = parser.parse_args(argv)
    measured = measure()
    if args.write:
        RATIOS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    for message in regressions(measured, json.loads(RATIOS.read_text(encoding="utf-8"))):
        print(f"WARNING: {message}")
    print(json.dumps(measured))
    return 0


def _call(network: PyTorchModel, samples: Samples) -> Callable[[], object]:
    return lambda: network.logits(network.input_values(samples))


def _cpu_time(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
