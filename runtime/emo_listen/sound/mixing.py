"""Mixes channels down to one, without losing a voice that their mean would lose.

The mean is right if the channels are alike. It halves a voice that is in only one of two channels,
and cancels one that they have in opposite phase (a wrongly wired cable, a "stereo widening"
driver). So the power of the mean is compared with that of the loudest channel, frame by frame: a
mean that is too weak is amplified, and if the channels cancel, the loudest one replaces it. Weights
change gradually over a frame, to avoid clicks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 50
"""Number of frames per second; each has its own weights."""

MEMORY = 0.2
"""Time constant over which powers are averaged, in seconds: some syllables."""

LAG = 1 / 4000
"""Delay in seconds. Powers are those of the difference between the audio and itself, delayed, which
passes 0.3 to 3.7 kHz and attenuates hum at 50 Hz by 28 dB: hum common to all channels must not hide
that the voice cancels."""

CANCELLED = 0.5
"""Power of the mean, relative to its power if only the loudest channel had audio, below which the
channels cancel each other. They are considered to cancel until it reaches 1."""

LOUDER = 2.0
"""Ratio by which another channel's power must exceed the chosen one's to replace it: two channels
in opposite phase are about equally loud, and a change between them passes through silence."""


class MixDown:
    """Mixes one stream down; the result does not depend on the size of blocks."""

    def __init__(self, n_channels: int, sampling_rate: int) -> None:
        """Prepare for `n_channels` channels with a sampling rate in Hz."""
        self._n_channels = n_channels
        self._length = max(1, sampling_rate // FRAMES_PER_SECOND)
        self._memory = min(1.0, 1 / (FRAMES_PER_SECOND * MEMORY))
        self._pending = np.zeros((0, n_channels), np.float32)
        self._before = np.zeros((max(1, round(sampling_rate * LAG)), n_channels), np.float32)
        self._powers: NDArray[np.float64] | None = None
        self._weights = np.full(n_channels, 1 / n_channels, np.float32)
        self._chosen: int | None = None

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add `block`, float32 (n_samples, n_channels); return the mix so far, float32 (n,).

        With several channels, up to 20 ms wait for the next block.
        """
        if self._n_channels == 1:
            return block[:, 0]
        samples = np.concatenate([self._pending, block])
        whole = len(samples) - len(samples) % self._length
        self._pending = samples[whole:]
        mixed = np.empty(whole, np.float32)
        for start in range(0, whole, self._length):
            mixed[start : start + self._length] = self._mix(samples[start : start + self._length])
        return mixed

    def finish(self) -> NDArray[np.float32]:
        """Return the rest of the stream, or of the part before a gap, float32 (n,)."""
        rest, self._pending = self._pending, self._pending[:0]
        return self._mix(rest) if len(rest) else np.zeros(0, np.float32)

    def _mix(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        weights, self._weights = self._weights, self._choose(frame)
        ramp = np.linspace(0, 1, len(frame), dtype=np.float32)[:, None]
        ramped = weights + (self._weights - weights) * ramp
        mixed: NDArray[np.float32] = (frame * ramped).sum(axis=1, dtype=np.float32)
        return mixed

    def _choose(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the channels' weights at the end of `frame`, float32 (n_channels,)."""
        sound = np.concatenate([self._before, frame])
        lag = len(self._before)
        self._before = sound[len(sound) - lag :]
        band = (sound[lag:] - sound[:-lag]).astype(np.float64)
        band = np.column_stack([band, band.mean(axis=1)])
        powers = np.square(band).mean(axis=0)
        if not np.isfinite(powers).all():
            return self._weights
        first = self._powers is None
        if first:
            self._powers = powers
        self._powers = self._powers + (powers - self._powers) * self._memory
        weights = self._weights_for(self._powers[:-1], float(self._powers[-1]))
        if first:
            self._weights = weights
        return weights

    def _weights_for(self, channels: NDArray[np.float64], mean: float) -> NDArray[np.float32]:
        """Return weights for channels with these powers, whose mean has the power `mean`."""
        n = self._n_channels
        loudest = int(channels.argmax())
        power = float(channels[loudest])
        if power == 0:
            return self._weights
        share = mean * n**2 / power
        if share >= 1:
            self._chosen = None
        elif self._chosen is None:
            self._chosen = loudest if share < CANCELLED else None
        elif power > LOUDER * channels[self._chosen]:
            self._chosen = loudest
        if self._chosen is not None:
            weights = np.zeros(n, np.float32)
            weights[self._chosen] = 1
            return weights
        # `share` is n^2 for equal channels, n for unrelated ones, 1 if one has all the audio.
        return np.full(n, min(1.0, max(1 / n, 1 / share)), np.float32)


def mix_down(samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
    """Mix down a recording, float32 (n, n_channels) -> (n,), with a sampling rate in Hz."""
    mixing = MixDown(samples.shape[1], sampling_rate)
    return np.concatenate([mixing.push(samples), mixing.finish()])
