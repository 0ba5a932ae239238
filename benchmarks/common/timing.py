"""Times several backends: interleaved, after a warm-up, summarised by medians.

Interleaving makes changes in the machine's speed affect all backends equally. Multi-threaded calls
are separated by a pause, because thread pools spin for tens of milliseconds after a call and would
slow down the next backend.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono samples `(n_samples,)`."""

Output = TypeVar("Output")
"""What a backend returns for a recording."""

PAUSE = 0.1
"""Seconds between two multi-threaded calls.

Measured on two cores with 2 threads: onnxruntime's int8 takes 50 ms when called 10 ms after another
session, and 18 ms after 60 ms or alone.
"""

BUSY = 0.5
"""System load above which other work affects the times."""

PACKAGES = ("numpy", "onnxruntime", "torch", "transformers")


def interleave(
    predictors: dict[str, Callable[[Samples], Output]],
    clips: Iterable[Samples],
    threads: int = 1,
    warm_up: int = 2,
) -> tuple[dict[str, list[Output]], dict[str, list[float]]]:
    """Run each predictor on each clip in turn, and time each call.

    Args:
        predictors: by name.
        clips: recordings `(n_samples,)` of any length.
        threads: number of threads of each predictor; if several, each call follows a pause.
        warm_up: untimed calls of each predictor before, on the first clip.

    Returns:
        Outputs and times in seconds by name, one for each clip.
    """
    outputs: dict[str, list[Output]] = {name: [] for name in predictors}
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    pause = PAUSE if threads > 1 else 0.0
    for index, clip in enumerate(clips):
        for _ in range(warm_up if index == 0 else 0):
            for predict in predictors.values():
                predict(clip)
        for name, predict in predictors.items():
            time.sleep(pause)
            start = time.perf_counter()
            output = predict(clip)
            seconds[name].append(time.perf_counter() - start)
            outputs[name].append(output)
    return outputs, seconds


def summarise(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile of `seconds`, in milliseconds."""
    median, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return {"median_ms": round(float(median), 3), "p95_ms": round(float(p95), 3)}


def machine() -> dict[str, Any]:
    """Describe the processor, its cores and load, the system, and the installed versions.

    Call it before timing: the load (average over the last minute) is then that of other work.
    """
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def machine_line(info: dict[str, Any]) -> str:
    """Format the result of `machine` as one line."""
    return ", ".join(f"{name} {value}" for name, value in info.items())


def machine_warning(info: dict[str, Any]) -> str | None:
    """Return a warning if other work was running, else None."""
    if (info["load"] or 0) <= BUSY:
        return None
    return (
        f"WARNING: other work was running (load {info['load']} on {info['cores']} cores): the "
        "times are too long and less certain."
    )


def print_machine(info: dict[str, Any]) -> None:
    """Print the result of `machine`, with a warning if other work was running."""
    print(machine_line(info))
    if warning := machine_warning(info):
        print(warning)


def _processor_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
