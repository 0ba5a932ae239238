"""Where a live source lost sound, and how much: told from when its blocks came.

The times that PortAudio gives for a block's first sample are no help: on ALSA's PulseAudio
device they leap by up to half a second where nothing is lost, and no overflow is flagged where
something is. The time at which a block comes is too late by whatever held it up, and never too
early. So the least lateness of some blocks is that of the sound itself, and it rises by exactly
what was lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_listen.sources.base import Gap

TOLERANCE = 0.2
"""Lateness in which nothing is suspected, in seconds: what a device may hold back. With eight busy
processes on two cores, a virtual microphone's blocks were up to 0.11 s late, the least late of
any five in a row up to 0.03 s."""

SETTLING = 0.5
"""Time in which blocks that were held up come in a burst, in seconds. Where lateness has not
fallen any more for so long, sound was lost."""

MEMORY = 10.0
"""Time from which the least lateness is taken, in seconds: long against any jitter, short against
the drift between two clocks (500 ppm, a bad one, make 5 ms of it)."""


@dataclass(frozen=True)
class Arrival:
    """A block as the device's callback got it."""

    samples: NDArray[np.float32]
    """Sound, float32 (n_samples,) or (n_samples, n_channels)."""

    time: float
    """When it came, in seconds of a clock that never goes back."""

    overflow: bool = False
    """Whether the device says that sound was lost before it."""

    dropped: int = 0
    """Samples that came before it and found no room in the queue."""


@dataclass(frozen=True)
class _Late:
    """A block, and how much later it came than its place in the stream says."""

    arrival: Arrival
    """The block."""

    seconds: float
    """Its lateness, counted from some moment that is the same for all blocks."""


class OverflowWatch:
    """Puts a gap among the blocks of one device, wherever sound was lost.

    What a full queue dropped is known to the sample. What was lost before it came is measured:
    a block that is late, or flagged by the device, waits until those after it show whether the
    sound was only held up. If so, all go on; if not, the gap stands before the first block that
    came after the loss.

    Where this process was too slow, blocks that were held up come in a burst before the loss. Where
    none did and nothing is flagged, the device itself paused, as a sound server's does for seconds
    when a stream is moved from one microphone to another.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Watch blocks at `sampling_rate` in Hz."""
        self._sampling_rate = sampling_rate
        self._received = 0
        self._recent: deque[tuple[float, float]] = deque()
        """When the last blocks came, and how late they were."""
        self._waiting: list[_Late] = []

    def push(self, arrival: Arrival) -> Iterator[NDArray[np.float32] | Gap]:
        """Take the next block, and yield the blocks and gaps that are certain."""
        self._received += arrival.dropped + len(arrival.samples)
        yield from self._take(_Late(arrival, arrival.time - self._received / self._sampling_rate))

    def finish(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield what still waits, after the last block: held up, unless the device says lost."""
        while any(late.arrival.overflow for late in self._waiting):
            yield from self._settle()
        for late in self._waiting:
            yield from self._release(late)
        self._waiting = []

    def _take(self, late: _Late) -> Iterator[NDArray[np.float32] | Gap]:
        self._waiting.append(late)
        flagged = any(waiting.arrival.overflow for waiting in self._waiting)
        if self._excess(late) <= TOLERANCE and not flagged:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                yield from self._release(each)
            return
        since = self._waiting[self._first_on_time()].arrival.time
        if late.arrival.time - since >= SETTLING:
            yield from self._settle()

    def _settle(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Let go of what waits, with a gap before the first block that came after a loss."""
        first = self._first_on_time()
        lost = self._excess(min(self._waiting, key=lambda late: late.seconds))
        before, after = self._waiting[:first], self._waiting[first:]
        self._waiting = []
        for late in before:
            yield from self._release(late)
        flagged = any(late.arrival.overflow for late in [*before, after[0]])
        if lost > TOLERANCE or flagged:
            held_up = bool(before) and before[0].seconds - after[0].seconds > TOLERANCE
            yield Gap(max(0.0, lost), "overflow" if flagged or held_up else "device")
        self._recent.clear()
        yield from self._release(after[0])
        for late in after[1:]:
            yield from self._take(late)

    def _release(self, late: _Late) -> Iterator[NDArray[np.float32] | Gap]:
        self._recent.append((late.arrival.time, late.seconds))
        while self._recent[0][0] < late.arrival.time - MEMORY:
            self._recent.popleft()
        if late.arrival.dropped:
            yield Gap(late.arrival.dropped / self._sampling_rate, "overflow")
        yield late.arrival.samples

    def _excess(self, late: _Late) -> float:
        """How much later a block is than the sound has been lately, in seconds."""
        if not self._recent:
            return 0.0
        return late.seconds - min(seconds for _, seconds in self._recent)

    def _first_on_time(self) -> int:
        """Index of the first waiting block that is about as little late as any."""
        least = min(late.seconds for late in self._waiting)
        return next(
            index
            for index, late in enumerate(self._waiting)
            if late.seconds <= least + TOLERANCE / 4
        )
