"""Invalid samples: NaN and infinity become gaps, float samples in the range of int16 are rescaled.

Both are decided for frames of 20 ms, so that the result does not depend on the size of blocks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import frame_length
from emo_listen.sources.base import Gap

LARGEST = 1e6
"""Largest magnitude of a valid sample: 30 times the range of int16."""

SCALED_RMS = 32.0
"""RMS of a frame from which its samples are in the range of int16. It is +30 dBFS for a full scale
of 1, but -60 dBFS for int16, and speech is louder."""

INTEGER_SCALE = np.float32(32768)
"""Divisor of such samples."""

_log = logging.getLogger(__name__)


class ValidSound:
    """Replaces invalid frames of one stream by gaps.

    A frame with an invalid sample is dropped; successive ones make one gap.
    From the first frame in the range of int16 on, all frames are rescaled, which is logged.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Prepare for a sampling rate in Hz."""
        self._sampling_rate = sampling_rate
        self._length = frame_length(sampling_rate)
        self._pending: NDArray[np.float32] | None = None
        self._lost = 0
        self._rescaling = False

    def push(self, block: NDArray[np.float32]) -> Iterator[NDArray[np.float32] | Gap]:
        """Add a block, float32 (n_samples, n_channels); yield its whole frames and gaps."""
        samples = block if self._pending is None else np.concatenate([self._pending, block])
        whole = len(samples) - len(samples) % self._length
        self._pending = samples[whole:]
        if whole:
            yield from self._validate(samples[:whole].reshape(-1, self._length, samples.shape[1]))

    def finish(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield the incomplete last frame and the open gap."""
        rest, self._pending = self._pending, None
        if rest is not None and len(rest):
            yield from self._validate(rest[np.newaxis])
        yield from self._gap()

    def _validate(self, frames: NDArray[np.float32]) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield the valid ones of `frames`, float32 (n_frames, n_samples, n_channels), and gaps."""
        with np.errstate(invalid="ignore"):
            valid: NDArray[np.bool_] = np.abs(frames).max(axis=(1, 2)) <= LARGEST
        edges = np.flatnonzero(np.diff(valid)) + 1
        for run, is_valid in zip(np.split(frames, edges), valid[[0, *edges]], strict=True):
            if is_valid:
                yield from self._gap()
                yield self._rescaled(run).reshape(-1, run.shape[2])
            else:
                self._lost += run.shape[0] * run.shape[1]

    def _gap(self) -> Iterator[Gap]:
        if self._lost:
            yield Gap(self._lost / self._sampling_rate, "invalid")
            self._lost = 0

    def _rescaled(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._rescaling:
            return frames / INTEGER_SCALE
        loud = np.flatnonzero(np.square(frames, dtype=np.float64).mean(axis=(1, 2)) > SCALED_RMS**2)
        if not len(loud):
            return frames
        _log.warning("the samples are in the range of 16-bit integers: they are divided by 32,768")
        self._rescaling = True
        return np.concatenate([frames[: loud[0]], frames[loud[0] :] / INTEGER_SCALE])
