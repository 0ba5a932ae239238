"""Levels, and warnings about input that is silent or clipped for long."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from emo_listen.events import WarningEvent

MIN_DBFS = -120.0
"""Level of digital silence, in dBFS: below the noise of any converter."""

FRAME_SECONDS = 0.1
"""Length of a frame, in seconds."""

SILENT_DBFS = -85.0
"""Level below a microphone's own noise, in dBFS. That noise is between -70 and -40 dBFS (-53 in the
quietest pauses of CREMA-D); a muted or unplugged input gives zeros, or -98 dBFS, the last of 16
bits."""

SILENT_SECONDS = 10.0
"""Duration of silence after which the input is considered muted, in seconds. Recordings that were
cut and padded with zeros, as in ESC-10, have up to 4.4 s of it."""

FULL_SCALE = 0.999
"""Magnitude from which a sample is at full scale: converters stop slightly below 1."""

CLIPPED_SECONDS = 10.0
"""Time over which clipped samples are counted, in seconds: a shout or a slammed door is fine."""

CLIPPED_SHARE = 0.01
"""Share of samples at full scale from which the input is considered overdriven. CREMA-D reaches
0.0012 in any 10 s, ESC-10 0.0094; speech of CREMA-D clipped by 18 dB has 0.035."""

FIRST_PAUSE = 60.0
"""Shortest time between two warnings of one kind, in seconds; it doubles with each one."""

MAX_PAUSE = 3600.0
"""Longest such time, in seconds."""


def level_dbfs(block: NDArray[np.float32]) -> float:
    """Return the RMS level of `block`, float32 (n_samples,), without DC offset, in dBFS.

    Returns:
        At least -120 (for an empty or constant block); 0 for a square wave of amplitude 1, -3.01
        for a sine.
    """
    if len(block) == 0:
        return MIN_DBFS
    return max(MIN_DBFS, float(20 * np.log10(max(block.std(dtype=np.float64), 1e-12))))


class LevelWatch:
    """Warns if the input is silent or clipped for long: once per episode, and increasingly rarely.

    It needs the device's own samples: resampling and mixing down move clipped samples away from
    full scale.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Prepare for a sampling rate in Hz."""
        self._sampling_rate = sampling_rate
        self._frame_length = max(1, round(sampling_rate * FRAME_SECONDS))
        self._pending: NDArray[np.float32] | None = None
        self._frames = 0
        self._silent_frames = 0
        self._clipped: deque[NDArray[np.float64]] = deque(
            maxlen=round(CLIPPED_SECONDS / FRAME_SECONDS)
        )
        self._silent_episodes = _Episodes()
        self._clipped_episodes = _Episodes()

    def push(self, block: NDArray[np.float32]) -> list[WarningEvent]:
        """Add `block`, float32 (n_samples, n_channels), and return the warnings that are due.

        They do not depend on the size of blocks.
        """
        samples = block if self._pending is None else np.concatenate([self._pending, block])
        whole = len(samples) - len(samples) % self._frame_length
        self._pending = samples[whole:]
        warnings = []
        for frame in samples[:whole].reshape(-1, self._frame_length, samples.shape[1]):
            warnings += self._check(frame)
        return warnings

    def _check(self, frame: NDArray[np.float32]) -> list[WarningEvent]:
        self._frames += 1
        time = self._frames * self._frame_length / self._sampling_rate
        silent = np.array([level_dbfs(channel) < SILENT_DBFS for channel in frame.T])
        self._silent_frames = self._silent_frames + 1 if silent.all() else 0
        silence = self._silent_frames * self._frame_length / self._sampling_rate
        # A channel stuck at full scale is dead, not overdriven.
        self._clipped.append(np.where(silent, 0, np.mean(np.abs(frame) >= FULL_SCALE, axis=0)))
        clipped = np.sum(self._clipped, axis=0).max() >= CLIPPED_SHARE * (self._clipped.maxlen or 1)
        warnings = []
        if self._silent_episodes.should_warn(silence >= SILENT_SECONDS, time):
            warnings.append(WarningEvent(time=time, seconds=silence, reason="silent"))
        if self._clipped_episodes.should_warn(clipped, time):
            seconds = min(time, CLIPPED_SECONDS)
            warnings.append(WarningEvent(time=time, seconds=seconds, reason="clipped"))
        return warnings


class _Episodes:
    """Decides when to warn: once per episode, and not again before a pause that doubles."""

    def __init__(self) -> None:
        self._warned = False
        self._next = 0.0
        self._pause = FIRST_PAUSE

    def should_warn(self, bad: bool, time: float) -> bool:
        """Return whether to warn at `time` in seconds, at which the input is `bad` or not."""
        if not bad:
            self._warned = False
            return False
        if self._warned or time < self._next:
            return False
        self._warned = True
        self._next = time + self._pause
        self._pause = min(2 * self._pause, MAX_PAUSE)
        return True
