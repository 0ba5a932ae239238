"""Voice activity detection in streams of another sampling rate than the detector's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.sound.background import VAD_RATE
from emo_listen.vad import SpeechDetector, SpeechEnd, SpeechStart


class ResampledDetector(SpeechDetector):
    """A detector that resamples its stream; all positions are samples of the stream."""

    def __init__(self, sampling_rate: int) -> None:
        """Prepare for a stream with a sampling rate in Hz."""
        super().__init__()
        self._rate = sampling_rate
        self._resampler = Resampler(sampling_rate, VAD_RATE)
        self._received = 0
        self._part_start = self._resampled_part_start = 0
        """Start of the stream, or of the part after the last gap, in both rates."""

    @property
    def processed(self) -> int:
        """Number of samples processed so far; resampling delays the latest ones."""
        return self._in_stream(super().processed)

    def push(self, samples: NDArray[np.float32]) -> Iterator[SpeechStart | SpeechEnd]:
        """Process `samples`, float32 (n,), and yield each start and end of speech."""
        self._received += len(samples)
        for resampled in self._resampler.push(samples):
            for change in super().push(resampled):
                yield type(change)(self._in_stream(change.at), self._in_stream(change.detected_at))

    def finish(self) -> SpeechEnd | None:
        """End the stream, or the part before a gap; return the end of speech that it cuts short."""
        cut_short = super().finish()
        self._resampler = Resampler(self._rate, VAD_RATE)
        self._part_start, self._resampled_part_start = self._received, super().processed
        return cut_short and SpeechEnd(self._received, detected_at=self._received)

    def _in_stream(self, resampled: int) -> int:
        since_start = resampled - self._resampled_part_start
        return self._part_start + since_start * self._rate // VAD_RATE
