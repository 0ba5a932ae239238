"""Loads the recordings that several benchmarks add to speech."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common.noises import load_noises
from benchmarks.common.timing import Samples
from train.corpus.esc_10 import TEST_FOLDS
from train.corpus.recordings import load_clips


def noise_recordings(folder: Path, rate: int) -> list[Samples]:
    """Read the noise that is not used in training, at `rate` Hz.

    Raises:
        CorpusError: there is none.
    """
    return [noise.samples for noise in load_noises(folder, rate) if noise.fold in TEST_FOLDS]


def ordinary_recordings(data: str, split: str, rate: int, cache_dir: Path) -> list[Samples]:
    """Read one split of a corpus of ordinary speech, at `rate` Hz.

    Raises:
        CorpusError: no such corpus or split.
    """
    return [clip.samples for clip in load_clips(data, split, rate, cache_dir=cache_dir)]
