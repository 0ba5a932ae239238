"""Background noise of one stream: the levels of its frequency bands while nobody speaks.

The speech detection network need not run on chunks that are no louder than the background. Two
rules keep this from hiding a voice: only chunks without speech are learned, and each band has its
own level, since a hum, a fan or wind fills some bands while a voice raises others. The background
follows falling levels at once and rising ones slowly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VAD_RATE = 16000
"""Sampling rate of Silero's network, in Hz."""

CHUNK = 512
"""Samples for which the network returns one probability: 32 ms."""

BANDS = 15
"""Number of bands, each 250 Hz wide, from 250 to 4000 Hz: above mains hum, which a window of 32 ms
cannot separate from the bands below."""

FLOOR_DBFS = -90.0
"""Lowest level of a band, in dBFS: that of all bands of white noise at -75 dBFS, which is less than
any microphone's own noise. Digital silence and the last bit of 16-bit audio are below it."""

MARGIN = 2.4
"""Mean excess of the bands over the background, in dB, from which the network runs on a chunk. With
levels averaged over `vad.LEVEL_CHUNKS`, steady noise exceeds it so rarely that the network runs on
less than 0.15 of all chunks, preceding ones included: 0.5 % of a core."""

HEADROOM = 6.0
"""Most that the background of a band exceeds the current level, in dB. In steady noise, under 1 %
of chunks are so far below the mean."""

RISE = CHUNK / VAD_RATE / 2.0
"""Share of the difference by which the background rises per chunk: a time constant of 2 s."""

FALL = CHUNK / VAD_RATE / 0.5
"""Share of the difference by which it falls per chunk, within `HEADROOM`: 0.5 s."""

INITIAL_WEIGHT = 4
"""Number of chunks that the initial silence counts for in the average of the first chunks: the
network's first answers may be wrong, and the stream may start with a word."""

_WINDOW = np.hanning(CHUNK)
_BIN = CHUNK // 64
"""FFT bins per band, and below the first band; a bin is 31.25 Hz."""


def band_levels(chunk: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the levels (BANDS,) of a chunk (CHUNK,) in dBFS, at least FLOOR_DBFS."""
    spectrum = np.fft.rfft(chunk * _WINDOW)[_BIN : _BIN * (BANDS + 1)]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    power = power.reshape(BANDS, _BIN).sum(axis=1) * (2 / (CHUNK * np.square(_WINDOW).sum()))
    levels: NDArray[np.float64] = 10 * np.log10(power + 10 ** (FLOOR_DBFS / 10))
    return levels


class Background:
    """Levels of the bands while nobody speaks."""

    def __init__(self) -> None:
        """Start with silence, so that any sound exceeds the background."""
        self._levels = np.full(BANDS, FLOOR_DBFS)
        self._learned = 0

    def fall_to(self, levels: NDArray[np.float64]) -> None:
        """Lower each band to at most `HEADROOM` above the levels (BANDS,) of the current chunk."""
        self._levels = np.minimum(self._levels, levels + HEADROOM)

    def covers(self, levels: NDArray[np.float64]) -> bool:
        """Return whether a chunk with these levels (BANDS,) is no louder than the background."""
        return float(np.maximum(levels - self._levels, 0).mean()) < MARGIN

    def learn(self, levels: NDArray[np.float64]) -> None:
        """Learn the levels (BANDS,) of a chunk without speech."""
        change = levels - self._levels
        rate = np.where(change > 0, RISE, FALL)
        rate = np.maximum(rate, 1 / (self._learned + INITIAL_WEIGHT))
        self._levels = self._levels + change * rate
        self._learned += 1
