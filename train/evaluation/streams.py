"""Streams composed of clips: what a microphone would have heard of several turns, and the truth.

Clips are joined with the pauses of a quiet room, so that speech detection, windows and smoothing
work on them as they do in use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.corpus.recordings import Clip

PAUSE = (0.3, 1.5)
"""Seconds of silence between two clips, besides what the clips begin and end with: turns of
telephone conversations follow each other after 0.2 s, longer pauses are common (Heldner and
Edlund 2010, "Pauses, gaps and overlaps in conversations")."""

SPEECH_LEVEL = 0.3
"""How far up from a clip's background (its 10th percentile) to its loudest frame, in dB, speech
begins and ends: 1.4 s of a clip of 2.5 s then are speech."""

FRAME = 0.02
"""Seconds of a frame in which levels are compared."""

ROOM = 10 ** (-66 / 20)
"""Root mean square of the noise that fills pauses: a quiet room and microphone, -66 dBFS."""


@dataclass(frozen=True)
class Turn:
    """One speaker's utterance."""

    start: float
    """Where the speech begins, in seconds."""

    end: float
    """Where it ends, in seconds."""

    label: str
    """The emotion that was played."""

    speaker: str | None = None
    """Who speaks; None where that is not known."""


@dataclass(frozen=True)
class Stream:
    """Sound and what is true of it."""

    samples: NDArray[np.float32]
    """Mono sound `(n_samples,)`."""

    turns: list[Turn]
    """In their order."""


def join_turns(clips: Sequence[Clip], sampling_rate: int, generator: np.random.Generator) -> Stream:
    """Join `clips` in their order, with a pause before, between and after them.

    Args:
        clips: one for each turn, at `sampling_rate` in Hz.
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
    """Make a stream of each speaker's clips, in random order; of each clip where none is known.

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
    """First sample of the speech in a clip, and the index after its last."""
    length = round(FRAME * sampling_rate)
    count = len(samples) // length
    power = np.square(samples[: count * length].reshape(count, length)).mean(axis=1)
    level = 10 * np.log10(power + 1e-12)
    background = np.percentile(level, 10)
    loud = np.flatnonzero(level >= background + SPEECH_LEVEL * (level.max() - background))
    return int(loud[0]) * length, (int(loud[-1]) + 1) * length
