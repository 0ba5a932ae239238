"""Checks sources and their blocks, and converts blocks to float32 (n_samples, n_channels)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.errors import AudioInputError
from emo_listen.sound.rates import check_rate

MAX_BLOCK_CHANNELS = 64
"""Most channels of a block; one with more is probably transposed."""

_FULL_SCALE = {np.dtype(np.int16): 1 << 15, np.dtype(np.int32): 1 << 31}
"""Integer types and the value that stands for 1, as in audio libraries."""

_EXPECTED = "give float32 between -1 and 1, of shape (n_samples,) or (n_samples, n_channels)"


def float_samples(samples: Any) -> NDArray[np.float32]:
    """Convert samples to float32 of the same shape; int16 and int32 are scaled to -1 to 1.

    Raises:
        AudioInputError: `samples` is not an array of float, int16 or int32.
    """
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError) as error:
        raise AudioInputError(
            f"{type(samples).__name__} is not audio ({error}): {_EXPECTED}"
        ) from error
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)
    full_scale = _FULL_SCALE.get(array.dtype.newbyteorder("="))
    if full_scale is None:
        raise AudioInputError(f"samples of type {array.dtype} are not supported: {_EXPECTED}")
    return (array / full_scale).astype(np.float32)


def check_source(source: Any) -> None:
    """Check that an object has the members of `Source`, and its sampling rate.

    Raises:
        AudioInputError: A member is missing, or the rate is out of range.
    """
    members = ("live", "sampling_rate", "__iter__", "stop")
    missing = [name for name in members if not hasattr(source, name)]
    if missing:
        raise AudioInputError(
            f"{type(source).__name__} is not a source: it has no {', '.join(missing)}. Give a "
            "device, a path, or an object with the members of emo_listen.Source"
        )
    check_rate(source.sampling_rate)


class ChannelBlocks:
    """Checks the blocks of one stream, and makes them two-dimensional."""

    def __init__(self) -> None:
        self._n_channels: int | None = None

    def check(self, samples: Any) -> NDArray[np.float32]:
        """Return a block as float32 (n_samples, n_channels).

        Raises:
            AudioInputError: It is not audio, or its number of channels differs from the first.
        """
        block = float_samples(samples)
        if block.ndim == 1:
            block = block[:, np.newaxis]
        if block.ndim != 2 or not 1 <= block.shape[1] <= MAX_BLOCK_CHANNELS:
            raise AudioInputError(f"a block has the shape {np.shape(samples)}: {_EXPECTED}")
        if self._n_channels is None:
            self._n_channels = block.shape[1]
        if block.shape[1] != self._n_channels:
            raise AudioInputError(
                f"a block has {block.shape[1]} channels after blocks with {self._n_channels}: the "
                "number must not change"
            )
        return block
