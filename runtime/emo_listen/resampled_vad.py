"""Speech detection for streams of another rate than the detector's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.sound.background import VAD_RATE
from emo_listen.vad import SpeechDetector, SpeechEnd, SpeechStart


class ResampledDetector(SpeechDetector):
    """A detector whose stream is resampled for it; its indices are the stream's samples."""

    def __init__(self, sampling_rate: int) -> None:
        """Prepare for a stream of `sampling_rate` Hz."""
        super().__init__()
        self._rate = sampling_rate
        self._resampler = Resampler(sampling_rate, VAD_RATE)
        self._received = 0
        self._part = self._part_resampled = 0
        """Where the present part of the stream begins, in its samples and in resampled ones."""

    @property
    def taken(self) -> int:
        """Samples of the stream that are decided upon; resampling holds back the last."""
        return self._in_stream(super().taken)

    def push(self, samples: NDArray[np.float32]) -> Iterator[SpeechStart | SpeechEnd]:
        """Take `samples`, float32 (n,), and yield where speech begins and ends within them."""
        self._received += len(samples)
        for resampled in self._resampler.push(samples):
            for change in super().push(resampled):
                at, known = self._in_stream(change.at), self._in_stream(change.known)
                yield type(change)(at, known)

    def finish(self) -> SpeechEnd | None:
        """End the stream, or a part of it; return the end of speech that it cuts short."""
        cut_short = super().finish()
        self._resampler = Resampler(self._rate, VAD_RATE)
        self._part, self._part_resampled = self._received, super().taken
        return cut_short and SpeechEnd(self._received, known=self._received)

    def _in_stream(self, resampled: int) -> int:
        return self._part + (resampled - self._part_resampled) * self._rate // VAD_RATE
