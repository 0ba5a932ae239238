"""What a source yields, made float32 of two dimensions; what is not sound is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.errors import AudioInputError
from emo_listen.sound.rates import check_rate

MAX_BLOCK_CHANNELS = 64
"""Channels of a block beyond which it is taken for a transposed one."""

_FULL_SCALE = {np.dtype(np.int16): 1 << 15, np.dtype(np.int32): 1 << 31}
"""Integers that stand for -1 to 1, as sound libraries write them."""

_WANTED = "give float32 between -1 and 1, of shape (n_samples,) or (n_samples, n_channels)"


def float_samples(samples: Any) -> NDArray[np.float32]:
    """Return sound as float32 of the same shape; int16 and int32 are scaled to -1 to 1.

    Raises:
        AudioInputError: it is not an array of float, int16 or int32.
    """
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError) as error:
        raise AudioInputError(
            f"{type(samples).__name__} is not sound ({error}): {_WANTED}"
        ) from error
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)
    full_scale = _FULL_SCALE.get(array.dtype.newbyteorder("="))
    if full_scale is None:
        raise AudioInputError(f"samples of type {array.dtype} cannot be used: {_WANTED}")
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
            AudioInputError: it is not sound, or has another number of channels than the first.
        """
        block = float_samples(samples)
        if block.ndim == 1:
            block = block[:, np.newaxis]
        if block.ndim != 2 or not 1 <= block.shape[1] <= MAX_BLOCK_CHANNELS:
            raise AudioInputError(f"a block has the shape {np.shape(samples)}: {_WANTED}")
        if self._n_channels is None:
            self._n_channels = block.shape[1]
        if block.shape[1] != self._n_channels:
            raise AudioInputError(
                f"a block of {block.shape[1]} channels follows one of {self._n_channels}"
            )
        return block
