"""What every decoder of sound files has in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""Sound of one or more channels, float32 (n_samples, n_channels)."""

MAX_CHANNELS = 64
"""Channels that are read at most: those of seventh-order Ambisonics."""

BLOCK_BYTES = 1 << 22
"""Largest block, in bytes of float32, whatever rate and channels a header claims: a second of 20
channels at 48 kHz."""


class DamageError(Exception):
    """What was decoded so far is good, but the rest cannot be decoded; the text says why."""


class Decoder(Protocol):
    """An open sound file, which is read once, from its beginning to its end."""

    name: str
    """What messages call the file."""

    sampling_rate: int
    """In Hz."""

    channels: int
    """Their number."""

    duration: float | None
    """Length that the header claims, in seconds; None where it claims none."""

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, float32 (n_samples, n_channels), at most a second and `BLOCK_BYTES` long.

        Raises:
            DamageError: the rest cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def block_length(sampling_rate: int, channels: int) -> int:
    """Return the samples per channel of a block, at least 1."""
    return max(1, min(sampling_rate, BLOCK_BYTES // (4 * channels)))


def reason(error: BaseException) -> str:
    """Return what a library says is wrong, without the path, which our own messages name."""
    text = str(getattr(error, "strerror", None) or error).strip().rstrip(".")
    text = text.rsplit(": ", 1)[-1] if ": " in text else text
    return text or type(error).__name__
