"""Blocks of any size -> overlapping windows, with stream times.

A window ends at each multiple of the hop once a second of sound has come (or one window's
length, where that is shorter). It begins one window's length before its end, or at the
beginning of the stream: the first windows grow, so that the first label comes after one
second and not after three. Where the stream ends between two hops, one more window ends at
its last sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_WINDOW_SECONDS = 1.0
"""Length of sound after which the first window may end."""


@dataclass(frozen=True)
class Window:
    """A stretch of the stream."""

    start: int
    """Index of the first sample in the stream."""

    samples: NDArray[np.float32]
    """The sound, float32 (n_samples,)."""

    @property
    def end(self) -> int:
        """Index after the last sample in the stream."""
        return self.start + len(self.samples)


class Windower:
    """Cuts one stream of mono samples into overlapping windows."""

    def __init__(self, sampling_rate: int, window: float, hop: float) -> None:
        """Cut windows of `window` seconds every `hop` seconds at `sampling_rate` in Hz."""
        self._length = max(1, round(window * sampling_rate))
        self._hop = max(1, round(hop * sampling_rate))
        first = min(self._length, round(FIRST_WINDOW_SECONDS * sampling_rate))
        self._next_end = -(-first // self._hop) * self._hop
        self._last_end = 0
        self._received = 0
        self._recent = np.zeros(0, np.float32)

    @property
    def received(self) -> int:
        """Samples taken so far."""
        return self._received

    def push(self, samples: NDArray[np.float32]) -> Iterator[Window]:
        """Take `samples`, float32 (n,), and yield the windows that end within them."""
        self._recent = np.concatenate((self._recent, samples))
        self._received += len(samples)
        while self._next_end <= self._received:
            yield self._window(self._next_end)
            self._next_end += self._hop
        self._recent = self._recent[-self._length :]

    def finish(self) -> Window | None:
        """Return the window that ends at the last sample, unless it has been yielded."""
        return self._window(self._received) if self._received > self._last_end else None

    def _window(self, end: int) -> Window:
        self._last_end = end
        start = max(0, end - self._length)
        offset = self._received - len(self._recent)
        return Window(start, self._recent[start - offset : end - offset])
