"""Channels into one, without losing a voice that the mean of the channels would lose.

The mean is right for channels that carry the same sound. It halves a voice that only one of two
channels carries, and cancels one that they carry in opposite phase (a cable wired wrongly, a
"stereo widening" driver). So the mean's power is compared with that of the loudest channel, frame
by frame: a mean that is too weak is amplified, one in which the sound cancels makes way for the
loudest channel. Weights glide over a frame, so that nothing clicks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 50
"""Frames a second for which weights are chosen."""

MEMORY = 0.2
"""Time constant in seconds over which powers are averaged: some syllables."""

LAG = 1 / 4000
"""Powers are of the difference between the sound and itself this many seconds earlier, which
passes 0.3 to 3.7 kHz and damps hum at 50 Hz by 28 dB: channels that share a hum must not hide that
the voice cancels."""

CANCELLED = 0.5
"""Share of the mean's power, were one channel alone to carry the sound, below which the channels
cancel each other. They are held to cancel until it has risen to 1."""

LOUDER = 2.0
"""Power by which another channel must exceed the chosen one to replace it, as a ratio: two channels
in opposite phase are about equally loud, and a change between them passes through silence."""


class MixDown:
    """Mixes one stream of blocks down; the result does not depend on how it is cut into blocks."""

    def __init__(self, n_channels: int, sampling_rate: int) -> None:
        """Mix `n_channels` channels at `sampling_rate` in Hz."""
        self._n_channels = n_channels
        self._length = max(1, sampling_rate // FRAMES_PER_SECOND)
        self._memory = min(1.0, 1 / (FRAMES_PER_SECOND * MEMORY))
        self._pending = np.zeros((0, n_channels), np.float32)
        self._before = np.zeros((max(1, round(sampling_rate * LAG)), n_channels), np.float32)
        self._powers: NDArray[np.float64] | None = None
        self._weights = np.full(n_channels, 1 / n_channels, np.float32)
        self._chosen: int | None = None

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take `block`, float32 (n_samples, n_channels); return what is ready, float32 (n,).

        Of several channels, up to 20 ms wait for the next block; one channel passes at once.
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
        """Return the rest of the stream, or of a part of it, float32 (n,)."""
        rest, self._pending = self._pending, self._pending[:0]
        return self._mix(rest) if len(rest) else np.zeros(0, np.float32)

    def _mix(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        weights, self._weights = self._weights, self._choose(frame)
        ramp = np.linspace(0, 1, len(frame), dtype=np.float32)[:, None]
        gliding = weights + (self._weights - weights) * ramp
        mixed: NDArray[np.float32] = (frame * gliding).sum(axis=1, dtype=np.float32)
        return mixed

    def _choose(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """Choose each channel's weight at the end of `frame`, float32 (n_channels,)."""
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
        """Weights for channels of these powers, whose mean has the power `mean`."""
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
        # `share` is n^2 for equal channels, n for unrelated ones and 1 where one has all the sound.
        return np.full(n, min(1.0, max(1 / n, 1 / share)), np.float32)


def mix_down(samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
    """Mix a whole recording at a rate in Hz down: float32 (n, n_channels) -> (n,)."""
    mixing = MixDown(samples.shape[1], sampling_rate)
    return np.concatenate([mixing.push(samples), mixing.finish()])
