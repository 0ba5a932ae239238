"""Conversations composed of a corpus's clips, with what is true of them.

Nobody has recorded conversations whose every turn has a known emotion and that may be passed on,
so that this puts turns of several speakers one after the other, with pauses and everyday noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.corpus.recordings import Clip
from train.evaluation.streams import Stream, Turn, join_turns

SPEAKERS = (2, 4)
"""Fewest and most speakers of a conversation."""


def compose(
    clips: Sequence[Clip],
    sampling_rate: int,
    n_turns: int,
    generator: np.random.Generator,
    noise: Sequence[NDArray[np.float32]] = (),
    snr: float | None = None,
) -> Stream:
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
    chosen = []
    last = None
    for _ in range(n_turns):
        others = [name for name in talking if name != last] or talking
        last = others[int(generator.integers(len(others)))]
        index = next(order[last], None)
        if index is None:
            break
        chosen.append(of_speaker[last][int(index)])
    made = join_turns(chosen, sampling_rate, generator)
    if snr is None:
        return made
    under = background(made.samples, made.turns, sampling_rate, generator, noise, snr)
    return Stream((made.samples + under).astype(np.float32), made.turns)


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
