"""How many streams of continuous speech this machine keeps up with."""

from __future__ import annotations

import threading
import time

import numpy as np

from emo_listen.engine import ListenOptions
from emo_listen.model import EmotionModel

MEASURING_SECONDS = 1.0
"""How long capacity is measured when the server starts, in seconds."""

MODEL_SHARE = 0.75
"""Share of the measured windows that streams may use. The rest is for speech detection, resampling,
JSON and the network."""


def measure_streams(model: EmotionModel, options: ListenOptions, workers: int) -> int:
    """Run the model in `workers` threads for a second, and return the streams it suffices for."""
    window, hop = options.window_and_hop(model.settings)
    length = round(window * model.sampling_rate)
    samples = np.random.default_rng(0).normal(scale=0.05, size=length).astype(np.float32)
    model.run(samples, model.sampling_rate)
    counts = [0] * workers
    started = time.perf_counter()

    def run(worker: int) -> None:
        while counts[worker] == 0 or time.perf_counter() < started + MEASURING_SECONDS:
            model.run(samples, model.sampling_rate)
            counts[worker] += 1

    threads = [threading.Thread(target=run, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    windows_per_second = sum(counts) / (time.perf_counter() - started)
    return max(1, int(MODEL_SHARE * windows_per_second * hop))
