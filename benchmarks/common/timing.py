"""Time several backends side by side: interleaved, warmed up, summarised by medians.

Interleaving lets a change in the machine's speed hit every backend alike. Between two
calls of several threads the clock rests, because thread pools spin for tens of milliseconds
after each call and would slow whichever backend comes next.
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
Answer = TypeVar("Answer")
"""What a backend gives for a recording."""

REST = 0.1
"""Time between two calls of backends with thread pools, in seconds.

Measured: on two cores, with 2 threads, onnxruntime's int8 takes 50 ms when it is called 10 ms
after another session, 18 ms after 60 ms or alone.
"""

BUSY = 0.5
"""Load above which other work disturbs the times."""

PACKAGES = ("numpy", "onnxruntime", "torch", "transformers")


def interleave(
    predictors: dict[str, Callable[[Samples], Answer]],
    clips: Iterable[Samples],
    threads: int = 1,
    warm_up: int = 2,
) -> tuple[dict[str, list[Answer]], dict[str, list[float]]]:
    """Give each clip to each predictor in turn, and time each call.

    Args:
        predictors: by name.
        clips: recordings `(n_samples,)`, of any lengths.
        threads: on which each predictor runs; on several, the clock rests before each call.
        warm_up: untimed calls of each predictor beforehand, on the first clip.

    Returns:
        Answers and times in seconds, by name, one for each clip.
    """
    answers: dict[str, list[Answer]] = {name: [] for name in predictors}
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    rest = REST if threads > 1 else 0.0
    for index, clip in enumerate(clips):
        for _ in range(warm_up if index == 0 else 0):
            for predict in predictors.values():
                predict(clip)
        for name, predict in predictors.items():
            time.sleep(rest)
            start = time.perf_counter()
            answer = predict(clip)
            seconds[name].append(time.perf_counter() - start)
            answers[name].append(answer)
    return answers, seconds


def summarise(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile of `seconds`, in milliseconds."""
    median, p95 = np.percentile(seconds, [50, 95]) * 1e3
    return {"median_ms": round(float(median), 3), "p95_ms": round(float(p95), 3)}


def machine() -> dict[str, Any]:
    """Tell the processor, its cores and load, the system, and the versions that are measured.

    Call it before timing: the load (processes that ran over the last minute) is then that of
    other work, which makes times longer than they are.
    """
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def machine_line(told: dict[str, Any]) -> str:
    """Tell what `machine` told on one line."""
    return ", ".join(f"{name} {value}" for name, value in told.items())


def machine_warning(told: dict[str, Any]) -> str | None:
    """Warn where other work was running, else None."""
    if (told["load"] or 0) <= BUSY:
        return None
    return (
        f"WARNING: other work was running (load {told['load']} on {told['cores']} cores), "
        "so the times are longer and less certain than they should be."
    )


def print_machine(told: dict[str, Any]) -> None:
    """Print what `machine` told, and warn where other work was running."""
    print(machine_line(told))
    if warning := machine_warning(told):
        print(warning)


def _processor_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
