"""Composes conversations with known emotions from a corpus's clips.

There are no freely available recordings of conversations in which the emotion of every turn is
known, so this joins turns of several speakers, with pauses and everyday noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.corpus.recordings import Clip
from train.evaluation.streams import Stream, join_turns

SPEAKERS = (2, 4)
"""Smallest and largest number of speakers of a conversation."""


def compose(
    clips: Sequence[Clip],
    sampling_rate: int,
    n_turns: int,
    generator: np.random.Generator,
    noise: Sequence[NDArray[np.float32]] = (),
    snr: float | None = None,
) -> Stream:
    """Compose a conversation of `n_turns` clips, each used once, of a few alternating speakers.

    Args:
        clips: to choose from.
        sampling_rate: of the clips and the noise, in Hz.
        n_turns: number of turns; fewer if the chosen speakers have fewer clips.
        generator: makes all random choices.
        noise: recordings `(n_samples,)` for the background.
        snr: mean power of the turns over that of the noise, in dB; None for no noise.
    """
    of_speaker: dict[str | None, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_speaker[clip.speaker].append(clip)
    count = min(int(generator.integers(SPEAKERS[0], SPEAKERS[1] + 1)), len(of_speaker))
    names = sorted(of_speaker, key=str)
    talking = [names[i] for i in generator.choice(len(names), count, replace=False)]
    order = {name: iter(generator.permutation(len(of_speaker[name]))) for name in talking}
    chosen = []
    last = None
    for _ in range(n_turns):
        others = [name for name in talking if name != last] or talking
        last = others[int(generator.integers(len(others)))]
        index = next(order[last], None)
        if index is None:
            break
        chosen.append(of_speaker[last][int(index)])
    stream = join_turns(chosen, sampling_rate, generator)
    return with_noise(stream, sampling_rate, generator, noise, snr)


def with_noise(
    stream: Stream,
    sampling_rate: int,
    generator: np.random.Generator,
    noise: Sequence[NDArray[np.float32]],
    snr: float | None,
) -> Stream:
    """Add random recordings of noise, `snr` dB below the mean power of the turns; None for none."""
    if snr is None:
        return stream
    pieces: list[NDArray[np.float32]] = []
    missing = len(stream.samples)
    while missing > 0:
        piece = noise[int(generator.integers(len(noise)))]
        level = np.sqrt(np.square(piece).mean())
        if level == 0:
            continue
        pieces.append((piece / level)[:missing])
        missing -= len(pieces[-1])
    speech = np.concatenate(
        [
            stream.samples[round(turn.start * sampling_rate) : round(turn.end * sampling_rate)]
            for turn in stream.turns
        ]
    )
    added = np.concatenate(pieces) * np.sqrt(np.square(speech).mean() / 10 ** (snr / 10))
    return Stream((stream.samples + added).astype(np.float32), stream.turns)
