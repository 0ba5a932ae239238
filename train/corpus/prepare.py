"""From a listed corpus to clips for training: decoded, checked, split, long ones cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
from numpy.typing import NDArray

from emo_listen.errors import CorpusError
from train.corpus.audio_cache import decode_corpus, print_faults
from train.corpus.long_recordings import cut_long
from train.corpus.splits import drop_ambiguous, split_corpus


@dataclass(frozen=True)
class PreparedCorpus:
    """The usable clips of a corpus, by split."""

    splits: dict[str, datasets.Dataset]
    """Rows of `audio_cache.decode_corpus` by split."""

    label_names: list[str]
    """Classes of all usable clips, sorted."""

    sampling_rate: int
    """Of the sound, in Hz."""

    cache_dir: Path
    """Folder of caches."""

    def windows(self, split: str) -> tuple[datasets.Dataset, NDArray[np.int64]]:
        """Clips of a split, long ones cut, and each one's recording; see `cut_long`."""
        return cut_long(self.splits[split], self.sampling_rate, self.cache_dir)


def prepare_corpus(
    corpus: datasets.Dataset,
    sampling_rate: int,
    cache_dir: Path,
    *,
    without_ambiguous: bool = False,
    only: str | None = None,
) -> PreparedCorpus:
    """Decode a corpus, print which clips cannot be used, and split the others.

    Args:
        corpus: as `load.load_corpus` or `joined.load_corpora` lists it.
        sampling_rate: of the model, in Hz.
        cache_dir: folder of caches.
        without_ambiguous: drop ambiguous training clips, and print them; see `drop_ambiguous`.
        only: the one split that is needed; if the corpus names it, no other is decoded.

    Raises:
        CorpusError: no clip can be used, the corpus cannot be split, or has no split `only`.
    """
    named = only is not None and only in corpus["split"]
    if named:
        corpus = corpus.select([i for i, name in enumerate(corpus["split"]) if name == only])
    clips, faults = decode_corpus(corpus, sampling_rate, cache_dir)
    print_faults(faults)
    label_names = sorted(set(clips["label"]))
    splits = {str(only): clips} if named else split_corpus(clips)
    if only is not None and only not in splits:
        raise CorpusError(f"There is no {only} split, only {', '.join(splits)}.")
    if without_ambiguous:
        splits, lines = drop_ambiguous(splits)
        print("\n".join(lines), end="\n" if lines else "")
    return PreparedCorpus(splits, label_names, sampling_rate, cache_dir)
