"""The protocol of all decoders, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""Audio of one or more channels, float32 (n_samples, n_channels)."""

MAX_CHANNELS = 64
"""Most channels that are decoded: those of seventh-order Ambisonics."""

BLOCK_BYTES = 1 << 22
"""Largest block, in bytes of float32, for any rate and number of channels: a second of 20 channels
at 48 kHz."""


class DamageError(Exception):
    """The rest of the file cannot be decoded; the audio decoded before is valid."""


class Decoder(Protocol):
    """An open audio file, decoded once from start to end."""

    name: str
    """Name of the file in messages."""

    sampling_rate: int
    """Sampling rate, in Hz."""

    channels: int
    """Number of channels."""

    duration: float | None
    """Duration by the header, in seconds; None if it has none."""

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, float32 (n_samples, n_channels), at most a second and `BLOCK_BYTES` long.

        Raises:
            DamageError: The rest cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def block_length(sampling_rate: int, channels: int) -> int:
    """Return the number of samples per channel of a block, at least 1."""
    return max(1, min(sampling_rate, BLOCK_BYTES // (4 * channels)))


def reason(error: BaseException) -> str:
    """Return the text of a library's error without the path, which our messages name."""
    text = str(getattr(error, "strerror", None) or error).strip().rstrip(".")
    text = text.rsplit(": ", 1)[-1] if ": " in text else text
    return text or type(error).__name__
