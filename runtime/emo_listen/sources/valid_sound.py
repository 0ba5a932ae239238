"""Samples that are no sound: NaN and infinity become gaps, float scaled as integers is scaled back.

Both are judged by frames of 20 ms, so that the result does not depend on the size of blocks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import FRAMES_PER_SECOND
from emo_listen.sources.base import Gap

LARGEST = 1e6
"""Magnitude above which a sample is no sound: 30 times that of 16-bit integers."""

SCALED_RMS = 32.0
"""Root mean square of a frame from which its samples are 16-bit integers in float. With a full
scale of 1 that would be +30 dBFS; as such integers it is -60 dBFS, and speech is louder."""

INTEGER_SCALE = np.float32(32768)
"""What those samples are divided by."""

_log = logging.getLogger(__name__)


class ValidSound:
    """Turns frames of one stream that contain no sound into gaps.

    A frame with a sample that is no sound is lost as a whole; such frames in a row make one gap.
    From the first frame that is scaled as integers, all are scaled back, which is logged.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Check audio at `sampling_rate` in Hz."""
        self._sampling_rate = sampling_rate
        self._length = max(1, sampling_rate // FRAMES_PER_SECOND)
        self._pending: NDArray[np.float32] | None = None
        self._lost = 0
        self._scaled = False

    def push(self, block: NDArray[np.float32]) -> Iterator[NDArray[np.float32] | Gap]:
        """Take a block, float32 (n_samples, n_channels); yield whole frames of it, and gaps."""
        samples = block if self._pending is None else np.concatenate([self._pending, block])
        whole = len(samples) - len(samples) % self._length
        self._pending = samples[whole:]
        if whole:
            yield from self._judge(samples[:whole].reshape(-1, self._length, samples.shape[1]))

    def finish(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield what has waited for the rest of a frame, and the gap that has not ended."""
        rest, self._pending = self._pending, None
        if rest is not None and len(rest):
            yield from self._judge(rest[np.newaxis])
        yield from self._gap()

    def _judge(self, frames: NDArray[np.float32]) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield what is sound in `frames`, float32 (n_frames, n_samples, n_channels)."""
        with np.errstate(invalid="ignore"):
            good: NDArray[np.bool_] = np.abs(frames).max(axis=(1, 2)) <= LARGEST
        edges = np.flatnonzero(np.diff(good)) + 1
        for run, is_sound in zip(np.split(frames, edges), good[[0, *edges]], strict=True):
            if is_sound:
                yield from self._gap()
                yield self._scaled_back(run).reshape(-1, run.shape[2])
            else:
                self._lost += run.shape[0] * run.shape[1]

    def _gap(self) -> Iterator[Gap]:
        if self._lost:
            yield Gap(self._lost / self._sampling_rate, "invalid")
            self._lost = 0

    def _scaled_back(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._scaled:
            return frames / INTEGER_SCALE
        loud = np.flatnonzero(np.square(frames, dtype=np.float64).mean(axis=(1, 2)) > SCALED_RMS**2)
        if not len(loud):
            return frames
        _log.warning("the samples are scaled by 32,768, as 16-bit integers: they are divided by it")
        self._scaled = True
        return np.concatenate([frames[: loud[0]], frames[loud[0] :] / INTEGER_SCALE])
