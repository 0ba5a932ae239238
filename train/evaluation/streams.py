"""Streams of several clips, as a microphone would have recorded them, and their true labels.

Clips are joined with the pauses of a quiet room, so that speech detection, windows and smoothing
work as they do in use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.corpus.recordings import Clip

PAUSE = (0.3, 1.5)
"""Seconds of silence between two clips, besides that at their own start and end: turns of telephone
conversations follow each other after 0.2 s, longer pauses are common (Heldner and Edlund 2010,
"Pauses, gaps and overlaps in conversations")."""

SPEECH_LEVEL = 0.3
"""Level at which speech starts and ends, as a fraction of the range in dB from a clip's background
(its 10th percentile) to its loudest frame: 1.4 s of a clip of 2.5 s are then speech."""

FRAME = 0.02
"""Length of a frame in which the level is measured, in seconds."""

ROOM = 10 ** (-66 / 20)
"""Root mean square of the noise in pauses: a quiet room and microphone, -66 dBFS."""


@dataclass(frozen=True)
class Turn:
    """One speaker's utterance."""

    start: float
    """Start of the speech, in seconds."""

    end: float
    """End of the speech, in seconds."""

    label: str
    """The acted emotion."""

    speaker: str | None = None
    """Who speaks; None if unknown."""


@dataclass(frozen=True)
class Stream:
    """Sound and its true turns."""

    samples: NDArray[np.float32]
    """Mono sound `(n_samples,)`."""

    turns: list[Turn]
    """In order of time."""


def join_turns(clips: Sequence[Clip], sampling_rate: int, generator: np.random.Generator) -> Stream:
    """Join `clips` in order, with a pause before, between and after them.

    Args:
        clips: one per turn, at `sampling_rate` in Hz.
        sampling_rate: of the clips, in Hz.
        generator: of the pauses.
    """
    pieces = [pause(sampling_rate, generator)]
    position = len(pieces[0])
    turns = []
    for clip in clips:
        begin, end = speech_bounds(clip.samples, sampling_rate)
        turns.append(
            Turn(
                (position + begin) / sampling_rate,
                (position + end) / sampling_rate,
                clip.label,
                clip.speaker,
            )
        )
        pieces += [clip.samples, pause(sampling_rate, generator)]
        position += len(pieces[-2]) + len(pieces[-1])
    return Stream(np.concatenate(pieces), turns)


def streams_of_speakers(clips: Sequence[Clip], sampling_rate: int, seed: int = 0) -> list[Stream]:
    """Make a stream of each speaker's clips, in random order; of each clip without a speaker, one.

    Args:
        clips: at `sampling_rate` in Hz.
        sampling_rate: of the clips, in Hz.
        seed: of the order and the pauses.
    """
    of_speaker: dict[str, list[Clip]] = defaultdict(list)
    alone = []
    for clip in clips:
        if clip.speaker is None:
            alone.append([clip])
        else:
            of_speaker[clip.speaker].append(clip)
    streams = []
    for number, group in enumerate([*(of_speaker[name] for name in sorted(of_speaker)), *alone]):
        generator = np.random.default_rng([seed, number])
        order = generator.permutation(len(group))
        streams.append(join_turns([group[i] for i in order], sampling_rate, generator))
    return streams


def pause(sampling_rate: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Noise of a quiet room between two turns, float32 `(n_samples,)`."""
    length = round(generator.uniform(*PAUSE) * sampling_rate)
    return (ROOM * generator.standard_normal(length)).astype(np.float32)


def speech_bounds(samples: NDArray[np.float32], sampling_rate: int) -> tuple[int, int]:
    """Index of the first sample of the speech in a clip, and the index after the last."""
    length = round(FRAME * sampling_rate)
    count = len(samples) // length
    power = np.square(samples[: count * length].reshape(count, length)).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)
    background = np.percentile(level, 10)
    loud = np.flatnonzero(level >= background + SPEECH_LEVEL * (level.max() - background))
    return int(loud[0]) * length, (int(loud[-1]) + 1) * length
