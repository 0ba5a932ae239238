"""The protocol of all sources, and gaps for lost audio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

GapReason = Literal["overflow", "device", "invalid"]
"""Why audio was lost."""


@dataclass(frozen=True)
class Gap:
    """Marks lost audio between the blocks of a source."""

    seconds: float
    """Estimated duration of the lost audio, in seconds."""

    reason: GapReason
    """`overflow`: the device or this process was too slow; `device`: the device was gone, paused or
    moved; `invalid`: samples were NaN or infinite."""


class Source(Protocol):
    """A source of audio. Programs may implement their own."""

    live: bool
    """Whether the stream goes on until `stop` is called. Audio that a live source received before
    `stop` is still processed; the rest of a recording is not."""

    sampling_rate: int
    """Sampling rate of the blocks, in Hz, 1,000 to 1,000,000."""

    def __iter__(self) -> Iterator[NDArray[Any] | Gap]:
        """Yield blocks, and a gap wherever audio was lost.

        A block is float32 (n_samples,) or (n_samples, n_channels), nominally within -1 to 1. int16
        and int32 are scaled to that range.
        """
        ...

    def stop(self) -> None:
        """End the stream soon, even while it waits for audio; called from any thread or signal."""
        ...
