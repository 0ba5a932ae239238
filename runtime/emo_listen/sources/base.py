"""What every source has in common: its blocks, and gaps where sound was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

GapReason = Literal["overflow", "device", "invalid"]
"""Why sound was lost."""


@dataclass(frozen=True)
class Gap:
    """Stands among the blocks of a source where sound was lost."""

    seconds: float
    """How much, as far as the clocks tell."""

    reason: GapReason
    """`overflow`: the device or this process was too slow; `device`: the device was gone, paused or
    moved, and delivered nothing meanwhile; `invalid`: the samples were NaN or infinite."""


class Source(Protocol):
    """Where sound comes from; a program may bring its own."""

    live: bool
    """Whether the stream goes on until `stop`: the sound that has come by then is still heard,
    where the rest of a recording is not."""

    sampling_rate: int
    """Rate of the blocks in Hz, 1,000 to 1,000,000."""

    def __iter__(self) -> Iterator[NDArray[Any] | Gap]:
        """Yield blocks, and a gap wherever sound was lost.

        A block is float32 (n_samples,) or (n_samples, n_channels), nominally within -1 to 1;
        int16 and int32 are scaled to that.
        """
        ...

    def stop(self) -> None:
        """End the stream soon, also while it waits for sound; called from any thread or signal."""
        ...
