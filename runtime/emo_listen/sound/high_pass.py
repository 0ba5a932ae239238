"""A high-pass filter for a stream, against DC offset and mains hum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CUT_OFF = 100.0
"""Cut-off frequency (-3 dB), in Hz. 50 Hz is attenuated by 12 dB, a DC offset is removed."""


class HighPass:
    """A second-order Butterworth filter, for chunks of constant length.

    Its impulse response is truncated after one chunk, where it has fallen by more than 110 dB, and
    applied by FFT: a filtered chunk depends only on itself and the chunk before.
    """

    def __init__(self, sampling_rate: int, chunk: int) -> None:
        """Prepare for a sampling rate in Hz and chunks of `chunk` samples."""
        self._chunk = chunk
        response = impulse_response(CUT_OFF / sampling_rate, chunk)
        response[-1] -= response.sum()
        self._response = np.fft.rfft(response, 2 * chunk)
        self._before: NDArray[np.float32] | None = None

    def filter(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter the next chunk, float32 (chunk,), without delay.

        The audio before the first chunk is assumed constant, at the value of its first sample.
        """
        before = np.full_like(chunk, chunk[0]) if self._before is None else self._before
        self._before = chunk
        spectrum = np.fft.rfft(np.concatenate([before, chunk]).astype(np.float64))
        return np.fft.irfft(spectrum * self._response)[self._chunk :].astype(np.float32)

    def reset(self) -> None:
        """Forget the previous chunk."""
        self._before = None


def impulse_response(cut_off: float, length: int) -> NDArray[np.float64]:
    """Return the impulse response (length,) of a second-order Butterworth high-pass.

    `cut_off` is the cut-off frequency as a fraction of the sampling rate.
    """
    k = math.tan(math.pi * cut_off)
    scale = 1 / (1 + math.sqrt(2) * k + k * k)
    feedback = 2 * (k * k - 1) * scale, (1 - math.sqrt(2) * k + k * k) * scale
    response = np.zeros(length + 2)
    for n, drive in enumerate([1.0, -2.0, 1.0, *[0.0] * (length - 3)]):
        response[n + 2] = scale * drive - feedback[0] * response[n + 1] - feedback[1] * response[n]
    return response[2:]
