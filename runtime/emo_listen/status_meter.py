"""Status events: level, speech, load and latency of a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from emo_listen.engine import Engine
from emo_listen.events import Event, StatusEvent
from emo_listen.sound.levels import level_dbfs

STATUS_INTERVAL = 0.1
"""Stream time between status events, in seconds."""

LOAD_INTERVALS = 20
"""Number of status events over which the load is averaged: two seconds."""


class StatusMeter:
    """Passes samples to the engine, and adds a status event every `STATUS_INTERVAL`."""

    def __init__(self, engine: Engine, sampling_rate: int) -> None:
        """Measure `engine`, whose sampling rate is in Hz."""
        self._engine = engine
        self._rate = sampling_rate
        self._length = round(STATUS_INTERVAL * sampling_rate)
        self._blocks: list[np.ndarray] = []
        self._count = 0
        self._busy = 0.0
        self._load = 0.0

    def push(self, samples: np.ndarray) -> Iterator[Event]:
        """Process samples, float32 (n,); yield the engine's events and the status."""
        started = time.perf_counter()
        events = list(self._engine.push(samples))
        self._busy += time.perf_counter() - started
        yield from events
        self._blocks.append(samples)
        self._count += len(samples)
        if self._count < self._length:
            return
        load = self._busy / (self._count / self._rate)
        self._load += (load - self._load) / LOAD_INTERVALS
        yield StatusEvent(
            time=self._engine.received / self._rate,
            level=round(level_dbfs(np.concatenate(self._blocks)), 1),
            speech=self._engine.speaking,
            load=round(self._load, 4),
            latency=round(self._engine.latency, 4),
        )
        self._blocks, self._count, self._busy = [], 0, 0.0
