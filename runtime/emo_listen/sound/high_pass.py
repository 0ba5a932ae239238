"""A high-pass filter for a stream: takes off a converter's offset and the hum of the mains."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CUT_OFF = 100.0
"""Frequency in Hz at which 3 dB are lost; 50 Hz loses 12 dB, an offset all."""


class HighPass:
    """A Butterworth filter of second order, for chunks of one length.

    Its response is cut off after one chunk, where it has fallen by more than 110 dB, and applied
    through the Fourier transform: a chunk's result depends on it and the chunk before it alone.
    """

    def __init__(self, sampling_rate: int, chunk: int) -> None:
        """Filter sound at `sampling_rate` in Hz, in chunks of `chunk` samples."""
        self._chunk = chunk
        response = impulse_response(CUT_OFF / sampling_rate, chunk)
        response[-1] -= response.sum()
        self._response = np.fft.rfft(response, 2 * chunk)
        self._before: NDArray[np.float32] | None = None

    def filter(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter the next chunk, float32 (chunk,), without delay.

        Before the first one, its first sample is held to have lasted for ever.
        """
        before = np.full_like(chunk, chunk[0]) if self._before is None else self._before
        self._before = chunk
        spectrum = np.fft.rfft(np.concatenate([before, chunk]).astype(np.float64))
        return np.fft.irfft(spectrum * self._response)[self._chunk :].astype(np.float32)

    def reset(self) -> None:
        """Forget the sound so far."""
        self._before = None


def impulse_response(cut_off: float, length: int) -> NDArray[np.float64]:
    """Response (length,) of a Butterworth high-pass of second order.

    `cut_off` is its frequency as a fraction of the sampling rate.
    """
    k = math.tan(math.pi * cut_off)
    scale = 1 / (1 + math.sqrt(2) * k + k * k)
    feedback = 2 * (k * k - 1) * scale, (1 - math.sqrt(2) * k + k * k) * scale
    response = np.zeros(length + 2)
    for n, entered in enumerate([1.0, -2.0, 1.0, *[0.0] * (length - 3)]):
        response[n + 2] = (
            scale * entered - feedback[0] * response[n + 1] - feedback[1] * response[n]
        )
    return response[2:]
