"""Finds where a live source lost audio, and how much, from the arrival times of its blocks.

PortAudio's own times of a block's first sample are unreliable: on ALSA's PulseAudio device they
jump by up to half a second when nothing is lost, and no overflow is flagged when audio is lost. A
block may arrive late, but never early. So the minimum lateness of several blocks is that of the
audio itself, and it rises by exactly the duration lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_listen.sources.base import Gap

TOLERANCE = 0.2
"""Lateness up to which no loss is suspected, in seconds: devices may delay blocks. With eight busy
processes on two cores, a virtual microphone's blocks were up to 0.11 s late, and the minimum of any
five in a row up to 0.03 s."""

SETTLING = 0.5
"""Time in which delayed blocks arrive in a burst, in seconds. If lateness has not fallen for so
long, audio was lost."""

MEMORY = 10.0
"""Time over which the minimum lateness is taken, in seconds: long compared with jitter, short
compared with clock drift (a bad clock's 500 ppm make 5 ms of it)."""


@dataclass(frozen=True)
class Arrival:
    """A block as it arrived in the device's callback."""

    samples: NDArray[np.float32]
    """Samples, float32 (n_samples,) or (n_samples, n_channels)."""

    time: float
    """Arrival time, in seconds of a monotonic clock."""

    overflow: bool = False
    """Whether the device flagged that audio was lost before it."""

    dropped: int = 0
    """Number of samples before it that were dropped because the queue was full."""


@dataclass(frozen=True)
class _LateBlock:
    """A block and its lateness relative to its position in the stream."""

    arrival: Arrival
    """The block."""

    seconds: float
    """Lateness in seconds, relative to a reference that is the same for all blocks."""


class OverflowWatch:
    """Inserts a gap among the blocks of one device wherever audio was lost.

    The number of samples dropped by a full queue is known exactly. Earlier losses are measured: a
    block that is late, or flagged by the device, is held until the next blocks show whether it was
    only delayed. If not, the gap goes before the first block after the loss.

    If this process was too slow, delayed blocks arrive in a burst before the loss. Without a burst
    and without a flag, the device itself paused, as a sound server does for seconds when a stream
    is moved to another microphone.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Watch blocks with a sampling rate in Hz."""
        self._sampling_rate = sampling_rate
        self._received = 0
        self._recent: deque[tuple[float, float]] = deque()
        """Arrival time and lateness of recent blocks, in seconds."""
        self._held: list[_LateBlock] = []

    def push(self, arrival: Arrival) -> Iterator[NDArray[np.float32] | Gap]:
        """Add the next block, and yield all blocks and gaps that are decided."""
        self._received += arrival.dropped + len(arrival.samples)
        yield from self._add(
            _LateBlock(arrival, arrival.time - self._received / self._sampling_rate)
        )

    def finish(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield the blocks still held, as delayed only, unless the device flagged a loss."""
        while any(late.arrival.overflow for late in self._held):
            yield from self._settle()
        for late in self._held:
            yield from self._release(late)
        self._held = []

    def _add(self, late: _LateBlock) -> Iterator[NDArray[np.float32] | Gap]:
        self._held.append(late)
        flagged = any(held.arrival.overflow for held in self._held)
        if self._excess(late) <= TOLERANCE and not flagged:
            held_blocks, self._held = self._held, []
            for held in held_blocks:
                yield from self._release(held)
            return
        since = self._held[self._first_on_time()].arrival.time
        if late.arrival.time - since >= SETTLING:
            yield from self._settle()

    def _settle(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield the held blocks, with a gap before the first block after a loss."""
        first = self._first_on_time()
        lost = self._excess(min(self._held, key=lambda late: late.seconds))
        before, after = self._held[:first], self._held[first:]
        self._held = []
        for late in before:
            yield from self._release(late)
        flagged = any(late.arrival.overflow for late in [*before, after[0]])
        if lost > TOLERANCE or flagged:
            burst = bool(before) and before[0].seconds - after[0].seconds > TOLERANCE
            yield Gap(max(0.0, lost), "overflow" if flagged or burst else "device")
        self._recent.clear()
        yield from self._release(after[0])
        for late in after[1:]:
            yield from self._add(late)

    def _release(self, late: _LateBlock) -> Iterator[NDArray[np.float32] | Gap]:
        self._recent.append((late.arrival.time, late.seconds))
        while self._recent[0][0] < late.arrival.time - MEMORY:
            self._recent.popleft()
        if late.arrival.dropped:
            yield Gap(late.arrival.dropped / self._sampling_rate, "overflow")
        yield late.arrival.samples

    def _excess(self, late: _LateBlock) -> float:
        """Return a block's lateness above the recent minimum, in seconds."""
        if not self._recent:
            return 0.0
        return late.seconds - min(seconds for _, seconds in self._recent)

    def _first_on_time(self) -> int:
        """Return the index of the first held block with about the minimum lateness."""
        least = min(late.seconds for late in self._held)
        return next(
            index for index, late in enumerate(self._held) if late.seconds <= least + TOLERANCE / 4
        )
