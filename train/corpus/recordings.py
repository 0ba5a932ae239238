"""Recordings to calibrate, verify and measure with: a split of a corpus, or the bundled sample.

train/, export/ and benchmarks/ all load them here, so that scores are of exactly the clips that
training set aside.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import load_audio
from emo_listen.errors import CorpusError
from emo_listen.samples import SAMPLE
from train.corpus.audio_cache import CACHE_DIR, to_float
from train.corpus.clip_table import USUAL_COLUMNS, Columns
from train.corpus.joined import corpus_names
from train.corpus.load import load_corpus
from train.corpus.prepare import prepare_corpus

TIMED_CLIPS = 24
"""Recordings of a corpus that are joined for timing."""


@dataclass
class Clip:
    """One recording of a corpus."""

    name: str
    """Its path, or its place in a hub dataset."""

    label: str
    """Class that it has in the corpus."""

    samples: NDArray[np.float32]
    """Mono sound `(n_samples,)` at the model's rate, full scale is 1."""

    speaker: str | None = None
    """Who speaks; None if unknown."""


def load_clips(
    data: str,
    split: str,
    sampling_rate: int,
    limit: int | None = None,
    cache_dir: Path = CACHE_DIR,
    columns: Columns = USUAL_COLUMNS,
) -> list[Clip]:
    """Decode one split of a corpus, or read it from the cache.

    Args:
        data: as `load.load_corpus`.
        split: `train`, `validation` or `test`.
        sampling_rate: of the model, in Hz.
        limit: about how many clips to take, equally many of each class, spread over the split.
        cache_dir: folder of decoded sound.
        columns: of a CSV.

    Returns:
        The clips, in the corpus's order.

    Raises:
        CorpusError: no such corpus or split, or no clip can be used.
    """
    corpus = load_corpus(data, columns=columns)
    clips = prepare_corpus(corpus, sampling_rate, cache_dir, only=split).splits[split]
    if limit is not None:
        clips = clips.select(_spread(clips["label"], limit))
    return [
        Clip(row["name"], row["label"], to_float(row["samples"]), row["speaker"])
        for row in clips.with_format("numpy")
    ]


def load_clips_of_all(
    data: list[str],
    split: str,
    sampling_rate: int,
    cache_dir: Path = CACHE_DIR,
    columns: Columns = USUAL_COLUMNS,
) -> list[Clip]:
    """Decode one split of several corpora, as `load_clips` does; speakers are `corpus/speaker`.

    Raises:
        CorpusError: a corpus cannot be read, has no such split or no clip that can be used.
    """
    clips = []
    for place, name in zip(data, corpus_names(data), strict=True):
        found = load_clips(place, split, sampling_rate, cache_dir=cache_dir, columns=columns)
        clips += [
            replace(clip, speaker=clip.speaker and f"{name}/{clip.speaker}") for clip in found
        ]
    return clips


def check_labels(clips: list[Clip], labels: list[str]) -> None:
    """Refuse recordings of classes that the model does not have.

    Raises:
        CorpusError: naming those classes.
    """
    unknown = sorted({clip.label for clip in clips} - set(labels))
    if unknown:
        raise CorpusError(
            f"the model does not know the corpus's {', '.join(unknown)}, only "
            f"{', '.join(labels)}: pass a corpus with the model's classes to --data"
        )


def join(clips: list[Clip]) -> NDArray[np.float32]:
    """Concatenate recordings, `(n_samples,)`."""
    return np.concatenate([clip.samples for clip in clips])


def speech_of(
    data: str | None, sampling_rate: int, cache_dir: Path = CACHE_DIR
) -> NDArray[np.float32]:
    """Read speech for timing, `(n_samples,)` at a rate in Hz.

    Some validation clips of the corpus `data`, joined; the bundled sample if None.

    Raises:
        CorpusError: no such corpus, or it has no validation split.
    """
    if data is None:
        return bundled_speech(sampling_rate)
    return join(load_clips(data, "validation", sampling_rate, TIMED_CLIPS, cache_dir))


def bundled_speech(sampling_rate: int) -> NDArray[np.float32]:
    """Read the bundled sample, a synthetic voice, `(n_samples,)` at `sampling_rate` in Hz."""
    return load_audio(SAMPLE, sampling_rate)


def _spread(labels: list[str], limit: int) -> list[int]:
    """Choose about `limit` positions, equally many of each label, evenly spread."""
    of_label: dict[str, list[int]] = defaultdict(list)
    for position, label in enumerate(labels):
        of_label[label].append(position)
    count = max(1, limit // len(of_label))
    chosen: set[int] = set()
    for positions in of_label.values():
        steps = np.linspace(0, len(positions) - 1, min(count, len(positions)))
        chosen.update(positions[round(step)] for step in steps)
    return sorted(chosen)
