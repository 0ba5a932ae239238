"""Everyday noises of ESC-10, without the classes that contain a human voice."""

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
    """File name."""

    kind: str
    """Class of ESC-10."""

    fold: int
    """Fold of ESC-10, 1 to 5."""

    samples: NDArray[np.float32]
    """Mono samples `(n_samples,)`."""

    truncated: bool = False
    """Whether the file is damaged, and everything after the damage is missing."""


def load_noises(folder: Path, sampling_rate: int) -> list[Noise]:
    """Read the recordings in `folder`, named `KIND-FOLD-ID-TAKE`, at a rate in Hz.

    A damaged file is read up to the damage.

    Raises:
        CorpusError: there is none.
    """
    noises = []
    for path, kind, fold in noise_files(folder):
        blocks = [np.zeros(0, np.float32)]
        truncated = False
        with open_audio_file(path) as file:
            try:
                blocks.extend(file)
            except AudioFileError as error:
                print(error)
                truncated = True
            samples = resample(np.concatenate(blocks), file.sampling_rate, sampling_rate)
        noises.append(Noise(path.name, kind, fold, samples, truncated))
    if not noises:
        raise CorpusError(
            f"{folder} has no recordings of ESC-10, such as rain-1-17367-A.opus: give its folder "
            "with --noise"
        )
    return noises
