"""The background of one stream: what is heard while nobody speaks, as levels of bands of speech.

A chunk that is no louder than the background need not be shown to the network. So that this never
hides a voice, only sound in which the network has heard none is learned, and each band of
frequencies has a level of its own: a hum, a fan or wind fills some bands, a voice rises in others.
The background falls at once where the sound does, and rises slowly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VAD_RATE = 16000
"""Rate that Silero's network takes, in Hz."""

CHUNK = 512
"""Samples of which it gives one probability: 32 ms."""

BANDS = 15
"""Bands, each of 250 Hz, from 250 to 4000 Hz: above the hum of the mains, which a window of 32 ms
cannot keep out of the bands below."""

FLOOR_DBFS = -90.0
"""Level of a band below which it is silent, in dB of full scale: all bands of white noise at
-75 dBFS, less than any microphone's own. Digital silence and the last place of 16 bits lie below
it."""

MARGIN = 2.4
"""Mean over the bands of the dB by which they exceed the background, from which on a chunk is
shown to the network. Of levels that are averaged as `vad.SPAN` says, steady noises reach it so
seldom that, with the chunks before, the network is given less than 0.15 of all: 0.5 % of a core."""

FALL = 6.0
"""dB above the present level to which each band of the background falls at once. Steady noise
is so far below its mean in under 1 % of chunks."""

RISE = CHUNK / VAD_RATE / 2.0
"""Share of the way to a higher level that the background goes with each chunk: a time constant of
2 s."""

SINK = CHUNK / VAD_RATE / 0.5
"""The same to a lower level that is nearer than `FALL`: 0.5 s."""

FIRST = 4
"""Chunks that silence counts as in the average of the first ones: the network's first answers may
be wrong, and the stream may begin with a word."""

_WINDOW = np.hanning(CHUNK)
_BIN = CHUNK // 64
"""Bins of a band, and before the first one: 31.25 Hz each."""


def band_levels(chunk: NDArray[np.floating]) -> NDArray[np.float64]:
    """Levels (BANDS,) of a chunk (CHUNK,) in dB of full scale, at least FLOOR_DBFS."""
    spectrum = np.fft.rfft(chunk * _WINDOW)[_BIN : _BIN * (BANDS + 1)]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    power = power.reshape(BANDS, _BIN).sum(axis=1) * (2 / (CHUNK * np.square(_WINDOW).sum()))
    levels: NDArray[np.float64] = 10 * np.log10(power + 10 ** (FLOOR_DBFS / 10))
    return levels


class Background:
    """Levels of the bands while nobody speaks."""

    def __init__(self) -> None:
        """Begin with silence, so that the network is asked about all else."""
        self._levels = np.full(BANDS, FLOOR_DBFS)
        self._learned = 0

    def fall_to(self, levels: NDArray[np.float64]) -> None:
        """Fall at once to near the levels (BANDS,) of the present chunk, where they are lower."""
        self._levels = np.minimum(self._levels, levels + FALL)

    def covers(self, levels: NDArray[np.float64]) -> bool:
        """Tell whether a chunk of these levels (BANDS,) is no louder."""
        return float(np.maximum(levels - self._levels, 0).mean()) < MARGIN

    def learn(self, levels: NDArray[np.float64]) -> None:
        """Take in the levels (BANDS,) of a chunk in which nobody speaks."""
        change = levels - self._levels
        rate = np.where(change > 0, RISE, SINK)
        self._levels = self._levels + change * np.maximum(rate, 1 / (self._learned + FIRST))
        self._learned += 1
