"""What the streams of a load send: continuous speech, or silence with an utterance now and then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.timing import Samples
from train.corpus.recordings import bundled_speech, load_clips
from train.evaluation.streams import ROOM, speech_bounds

BLOCK = 0.1
"""Length of a message in seconds, as of a browser's recorder."""

CLIPS = 48
"""Validation clips that are joined: a minute of speech."""

VOICES = 10
"""Different sounds of a load. Each begins at another place, so that windows and utterances of
several streams do not come together."""

PERIOD = 30.0
"""Seconds from one utterance of a mostly silent stream to the next."""

UTTERANCE = 3.0
"""Seconds of each: a tenth of the time."""


class Sound:
    """A stream of 16-bit mono audio that repeats; also a source for `listen`."""

    live = False

    def __init__(self, samples: NDArray[np.int16], sampling_rate: int, seconds: float) -> None:
        """Repeat `samples` `(n_samples,)` at a rate in Hz for `seconds`."""
        self.sampling_rate = sampling_rate
        self.length = round(seconds * sampling_rate)
        """Samples of the whole stream."""
        self.block = round(BLOCK * sampling_rate)
        """Samples of a block."""
        self._samples = samples

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        """Yield blocks `(n_samples,)`, the last of which may be shorter."""
        for start in range(0, self.length, self.block):
            stop = min(start + self.block, self.length)
            yield self._samples.take(np.arange(start, stop), mode="wrap")

    def stop(self) -> None:
        """Do nothing: the stream ends by itself."""

    def sent_after(self, end: float) -> float:
        """Return after how many seconds of the stream the block with its last sample is sent.

        Args:
            end: end of a window, in seconds.
        """
        last = max(0, round(end * self.sampling_rate) - 1)
        return min((last // self.block + 1) * self.block, self.length) / self.sampling_rate


def speech_without_pauses(data: str | None, sampling_rate: int, cache_dir: Path) -> Samples:
    """Join clips without the silence around their speech, `(n_samples,)` at a rate in Hz.

    Some validation clips of the corpus `data`; the bundled sample if None.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
    """
    if data is None:
        return bundled_speech(sampling_rate)
    clips = load_clips(data, "validation", sampling_rate, CLIPS, cache_dir)
    return np.concatenate(
        [clip.samples[slice(*speech_bounds(clip.samples, sampling_rate))] for clip in clips]
    )


def continuous(speech: Samples, sampling_rate: int, seconds: float) -> list[Sound]:
    """Make `VOICES` streams of `speech` `(n_samples,)`, each from another place on."""
    return _from_all_places(speech, sampling_rate, seconds)


def mostly_silent(speech: Samples, sampling_rate: int, seconds: float) -> list[Sound]:
    """Make `VOICES` streams of a quiet room, in which someone speaks a tenth of the time.

    In each tenth of `PERIOD`, one of the streams has an utterance, cut from `speech`
    `(n_samples,)`.
    """
    period, length = round(PERIOD * sampling_rate), round(UTTERANCE * sampling_rate)
    room = ROOM * np.random.default_rng(0).standard_normal(period)
    room[:length] += np.resize(speech, length)
    return _from_all_places(room.astype(np.float32), sampling_rate, seconds)


def _from_all_places(samples: Samples, sampling_rate: int, seconds: float) -> list[Sound]:
    pcm = (samples.clip(-1, 1) * 32767).astype(np.int16)
    return [
        Sound(np.roll(pcm, -(len(pcm) * voice // VOICES)), sampling_rate, seconds)
        for voice in range(VOICES)
    ]
