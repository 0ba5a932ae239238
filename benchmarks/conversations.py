"""Conversations composed of a corpus's clips, with what is true of them.

Nobody has recorded conversations whose every turn has a known emotion and that may be passed on,
so that this puts turns of several speakers one after the other, with pauses and everyday noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recordings import Clip

PAUSE = (0.3, 1.5)
"""Seconds of silence between two clips, besides what the clips begin and end with: turns of
telephone conversations follow each other after 0.2 s, longer pauses are common (Heldner and
Edlund 2010, "Pauses, gaps and overlaps in conversations")."""

SPEAKERS = (2, 4)
"""Fewest and most speakers of a conversation."""

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


@dataclass(frozen=True)
class Conversation:
    """Sound and what is true of it."""

    samples: NDArray[np.float32]
    """Mono sound `(n_samples,)`."""

    turns: list[Turn]
    """In their order."""


def compose(
    clips: Sequence[Clip],
    sampling_rate: int,
    n_turns: int,
    generator: np.random.Generator,
    noise: Sequence[NDArray[np.float32]] = (),
    snr: float | None = None,
) -> Conversation:
    """Make a conversation of `n_turns` clips, each used once, of a few speakers who alternate.

    Args:
        clips: to choose from.
        sampling_rate: of the clips and the noise, in Hz.
        n_turns: how many turns; fewer where the chosen speakers have not as many clips.
        generator: of all that is random.
        noise: recordings `(n_samples,)` to fill the background with, one after the other.
        snr: dB of the turns' mean power over the noise's; None: no noise.
    """
    of_speaker: dict[str | None, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_speaker[clip.speaker].append(clip)
    count = min(int(generator.integers(SPEAKERS[0], SPEAKERS[1] + 1)), len(of_speaker))
    names = sorted(of_speaker, key=str)
    talking = [names[i] for i in generator.choice(len(names), count, replace=False)]
    order = {name: iter(generator.permutation(len(of_speaker[name]))) for name in talking}
    pieces, turns, position = [pause(sampling_rate, generator)], [], 0
    position = len(pieces[0])
    last = None
    for _ in range(n_turns):
        others = [name for name in talking if name != last] or talking
        last = others[int(generator.integers(len(others)))]
        index = next(order[last], None)
        if index is None:
            break
        clip = of_speaker[last][int(index)]
        begin, end = speech_bounds(clip.samples, sampling_rate)
        turns.append(
            Turn((position + begin) / sampling_rate, (position + end) / sampling_rate, clip.label)
        )
        pieces += [clip.samples, pause(sampling_rate, generator)]
        position += len(pieces[-2]) + len(pieces[-1])
    samples = np.concatenate(pieces)
    if snr is not None:
        samples = samples + background(samples, turns, sampling_rate, generator, noise, snr)
    return Conversation(samples.astype(np.float32), turns)


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


def background(
    samples: NDArray[np.float32],
    turns: Sequence[Turn],
    sampling_rate: int,
    generator: np.random.Generator,
    noise: Sequence[NDArray[np.float32]],
    snr: float,
) -> NDArray[np.float32]:
    """Noise as long as `samples`, `snr` dB below the mean power of the turns."""
    pieces: list[NDArray[np.float32]] = []
    missing = len(samples)
    while missing > 0:
        piece = noise[int(generator.integers(len(noise)))]
        level = np.sqrt(np.square(piece).mean())
        if level == 0:
            continue
        pieces.append((piece / level)[:missing])
        missing -= len(pieces[-1])
    spoken = np.concatenate(
        [samples[round(t.start * sampling_rate) : round(t.end * sampling_rate)] for t in turns]
    )
    return np.concatenate(pieces) * np.sqrt(np.square(spoken).mean() / 10 ** (snr / 10))
