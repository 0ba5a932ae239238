"""Removes crosstalk: a faint copy in one channel of the voice in another.

In each frame of 20 ms, only the channel with the most power can be a source. For each other
channel, a short filter is learned that predicts its audio from the source's (least squares over
recent frames in which the source clearly dominates), and the prediction is subtracted. Where it
explains most of a channel's power, what is left is attenuated too, so that speech detection does
not find the remainder. A voice of the channel's own is not predictable from another channel, so it
stays, even while both speak.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 50
"""Number of frames per second, into which the audio must be cut."""

LONGEST_DELAY = 0.008
"""Longest delay of a copy, in seconds: sound travels 2.7 m in it."""

LOOKAHEAD = 0.001
"""How much earlier than its source a copy may be, in seconds."""

DOMINANT = 4.0
"""Ratio of powers from which a channel is considered a source: 6 dB, so a copy is fainter."""

MEMORY = 1.5
"""Time constant of the least squares, in seconds of a dominant source."""

LEARN_EVERY = 5
"""Number of frames of a dominant source after which the filters are computed again."""

SHARE_MEMORY = 0.1
"""Time constant over which powers before and after the subtraction are averaged, in seconds."""

COPY_SHARE = 0.5
"""Share of a channel's power that a prediction must explain for the channel to be a copy."""

LEAST_SHARE = 0.1
"""Share that a prediction must explain to be subtracted. Predictions are made before their frame is
learned from, so chance explains none of it, and channels without crosstalk stay as they are."""

ATTENUATION = 0.03
"""Factor for what the subtraction leaves of a copy: -30 dB."""

REGULAR = 0.01
"""Added to the diagonal of the least squares, as a share of the source's power."""

BAND_LAG = 1 / 4000
"""Delay in seconds. Powers and filters are those of the difference between the audio and itself,
delayed, which passes 0.3 to 3.7 kHz and attenuates hum."""


class CrosstalkFilter:
    """Removes crosstalk from one stream, frame by frame, one frame behind."""

    def __init__(self, n_channels: int, sampling_rate: int) -> None:
        """Prepare for `n_channels` channels with a sampling rate in Hz."""
        self._n_channels = n_channels
        self._ahead = round(LOOKAHEAD * sampling_rate)
        self._taps = self._ahead + round(LONGEST_DELAY * sampling_rate) + 1
        self._lag = max(1, round(BAND_LAG * sampling_rate))
        self._context = self._taps + self._lag
        self._past = np.zeros((self._context, n_channels))
        self._frame: NDArray[np.float64] | None = None
        self._toeplitz = np.abs(np.subtract.outer(np.arange(self._taps), np.arange(self._taps)))
        # By source, by channel; the taps are lags from `-_ahead` on.
        self._auto = np.zeros((n_channels, n_channels, self._taps))
        self._cross = np.zeros_like(self._auto)
        self._filters = np.zeros_like(self._auto)
        self._frames = np.zeros(n_channels, int)
        self._power = np.zeros(n_channels)
        self._left = np.zeros(n_channels)
        self._gain = np.ones(n_channels)

    def push(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add a frame, float32 (n_samples, n_channels); return the frame before, filtered."""
        frame64 = frame.astype(np.float64)
        ready = self._filtered(frame64)
        self._frame = frame64
        return ready

    def finish(self) -> NDArray[np.float32]:
        """Return the last frame, at the end of the stream or before a gap."""
        ready = self._filtered(np.zeros((0, self._n_channels)))
        self._frame = None
        self._past[:] = 0
        return ready

    def _filtered(self, following: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the current frame, filtered, given the frame after it."""
        frame = self._frame
        if frame is None or not len(frame):
            return np.zeros((0, self._n_channels), np.float32)
        ahead = np.zeros((self._ahead, self._n_channels))
        ahead[: len(following)] = following[: self._ahead]
        sound = np.concatenate([self._past, frame, ahead])
        self._past = sound[len(frame) : len(frame) + self._context]
        band = sound[self._lag :] - sound[: -self._lag]
        end = self._taps + len(frame)
        powers = np.square(band[self._taps : end]).mean(axis=0)
        source = int(powers.argmax())
        predicted = np.zeros_like(frame)
        band_left = band[self._taps : end].copy()
        first = self._ahead + 1
        for channel in range(self._n_channels):
            if channel != source and self._filters[source, channel].any():
                taps = self._filters[source, channel]
                near = sound[self._lag + first : self._lag + end + self._ahead, source]
                predicted[:, channel] = np.convolve(near, taps, "valid")
                near = band[first : end + self._ahead, source]
                band_left[:, channel] -= np.convolve(near, taps, "valid")
        gains = self._gains(powers, np.square(band_left).mean(axis=0), source)
        explained = self._left < (1 - LEAST_SHARE) * self._power
        left = np.where(explained, frame - predicted, frame)
        ramp = np.linspace(0, 1, len(frame))[:, np.newaxis]
        left *= self._gain + (gains - self._gain) * ramp
        self._gain = gains
        self._learn(band, powers, source, len(frame))
        return left.astype(np.float32)

    def _gains(
        self, powers: NDArray[np.float64], left: NDArray[np.float64], source: int
    ) -> NDArray[np.float64]:
        """Return each channel's factor at the end of the frame."""
        share = 1 / (FRAMES_PER_SECOND * SHARE_MEMORY)
        self._power += (powers - self._power) * share
        self._left += (left - self._left) * share
        copies = (self._left < (1 - COPY_SHARE) * self._power) & (
            DOMINANT * self._power < self._power[source]
        )
        return np.where(copies, ATTENUATION, 1.0)

    def _learn(
        self, band: NDArray[np.float64], powers: NDArray[np.float64], source: int, length: int
    ) -> None:
        """Update the filters from `source` to the channels that it dominates."""
        copies = np.flatnonzero(powers * DOMINANT <= powers[source])
        if powers[source] == 0 or not len(copies):
            return
        end = self._taps + length
        keep = 1 - 1 / (FRAMES_PER_SECOND * MEMORY)
        near = np.lib.stride_tricks.sliding_window_view(
            band[self._ahead + 1 : end + self._ahead, source], self._taps
        )[:, ::-1]
        here = band[self._taps : end, copies]
        self._auto[source, copies] = keep * self._auto[source, copies] + near[:, 0] @ near
        self._cross[source, copies] = keep * self._cross[source, copies] + here.T @ near
        self._frames[source] += 1
        if self._frames[source] % LEARN_EVERY:
            return
        for channel in copies:
            auto = self._auto[source, channel]
            matrix = auto[self._toeplitz] + np.diag(np.full(self._taps, REGULAR * auto[0] + 1e-12))
            self._filters[source, channel] = np.linalg.solve(matrix, self._cross[source, channel])
