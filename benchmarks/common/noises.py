"""Everyday noises of ESC-10, without the kinds that have a human voice in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import open_audio_file, resample
from emo_listen.errors import AudioFileError, CorpusError
from train.corpus.esc_10 import noise_files


@dataclass(frozen=True)
class Noise:
    """One recording."""

    name: str
    """Its file's name."""

    kind: str
    """What is heard, as ESC-10 calls it."""

    fold: int
    """The owners' fold, 1 to 5."""

    samples: NDArray[np.float32]
    """Mono sound `(n_samples,)`."""

    shortened: bool = False
    """Whether the file is damaged, and what follows the damage is missing."""


def load_noises(folder: Path, sampling_rate: int) -> list[Noise]:
    """Read the recordings in `folder`, named `KIND-FOLD-ID-TAKE`, at a rate in Hz.

    Of a damaged file, what comes before the damage is taken.

    Raises:
        CorpusError: there is none.
    """
    noises = []
    for path, kind, fold in noise_files(folder):
        blocks = [np.zeros(0, np.float32)]
        shortened = False
        with open_audio_file(path) as file:
            try:
                blocks.extend(file)
            except AudioFileError as error:
                print(error)
                shortened = True
            samples = resample(np.concatenate(blocks), file.sampling_rate, sampling_rate)
        noises.append(Noise(path.name, kind, fold, samples, shortened))
    if not noises:
        raise CorpusError(f"{folder} holds no recordings of ESC-10, such as rain-1-17367-A.opus")
    return noises
