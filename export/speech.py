"""Windows of speech to compare, calibrate and time graphs on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.checkpoint import PyTorchModel
from train.corpus.recordings import bundled_speech

SECONDS = 3.0
"""Length of the windows of `sample_inputs`, in seconds."""


def speech_windows(
    speech: NDArray[np.float32], length: int, count: int
) -> list[NDArray[np.float32]]:
    """Cut `count` windows of `length` samples, evenly spread over `speech` `(n_samples,)`.

    Speech shorter than a window is repeated.
    """
    repeats = -(-length // len(speech))
    speech = np.tile(speech, repeats)
    starts = np.linspace(0, len(speech) - length, count).astype(int)
    return [speech[start : start + length] for start in starts]


def sample_inputs(model: PyTorchModel, count: int) -> list[NDArray[np.float32]]:
    """Prepare `count` windows of the bundled sample as `input_values` `(1, n_samples)`."""
    rate = model.sampling_rate
    windows = speech_windows(bundled_speech(rate), round(SECONDS * rate), count)
    return [model.input_values(window) for window in windows]
