"""Cut recordings that are too long for one batch into windows.

A batch is padded to its longest clip, and attention needs memory by the square of the length: one
recording of minutes among short clips would use all of it. Training uses each window as a clip;
evaluation averages the probabilities of a recording's windows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from train.corpus.audio_cache import FULL_SCALE, SILENT_BELOW

LONGEST = 10.0
"""Seconds above which a recording is cut. Own choice: above every clip of CREMA-D (5.1 s) and most
turns of speech, and below 15.6 s, the longest input of HuBERT and wav2vec 2.0 in pre-training."""

FORMAT = 1
"""Increased whenever cutting changes, so that old caches are not used."""

WINDOWS = datasets.Features(
    {
        "samples": datasets.List(datasets.Value("int16")),
        "length": datasets.Value("int64"),
        "digest": datasets.Value("string"),
        "source": datasets.Value("int64"),
    }
)


def windows_of(samples: NDArray[Any], sampling_rate: int) -> list[NDArray[Any]]:
    """Cut sound into as few windows of equal length as `LONGEST` allows.

    Args:
        samples: `(n_samples,)`.
        sampling_rate: of `samples`, in Hz.

    Returns:
        `samples` itself if it is short enough; else windows that cover it evenly, neighbours
        overlapping by less than one sample for each window.
    """
    count = -(-len(samples) // round(LONGEST * sampling_rate))
    if count <= 1:
        return [samples]
    length = -(-len(samples) // count)
    starts = np.linspace(0, len(samples) - length, count).astype(int)
    return [samples[start : start + length] for start in starts]


def cut_long(
    clips: datasets.Dataset, sampling_rate: int, cache_dir: Path
) -> tuple[datasets.Dataset, NDArray[np.int64]]:
    """Replace the long recordings of one split by their windows, except silent ones.

    Args:
        clips: rows of `audio_cache.decode_corpus`.
        sampling_rate: of their sound, in Hz.
        cache_dir: folder of caches.

    Returns:
        The rows, and the index of each one's recording in `clips`; `clips` itself if no recording
        is long.
    """
    is_long = np.asarray(clips["length"]) > round(LONGEST * sampling_rate)
    if not is_long.any():
        return clips, np.arange(len(clips))
    long, short = np.flatnonzero(is_long), np.flatnonzero(~is_long)
    recordings = clips.select(long)
    key = cache_key(recordings, sampling_rate)
    windows = (
        recordings.select_columns(["samples"])
        .with_format("numpy")
        .map(
            cut_row,
            with_indices=True,
            batched=True,
            batch_size=1,
            fn_kwargs={"sampling_rate": sampling_rate},
            remove_columns=["samples"],
            features=WINDOWS,
            cache_file_name=str(cache_dir / f"windows-{key}.arrow"),
            load_from_cache_file=True,
            new_fingerprint=key,
            writer_batch_size=100,
            desc="Cutting",
        )
        .with_format(None)
    )
    source = long[np.asarray(windows["source"])]
    sound = windows.remove_columns("source")
    others = clips.remove_columns(sound.column_names)
    repeated = datasets.Dataset.from_dict(others.select(source)[:], features=others.features)
    cut = datasets.concatenate_datasets([repeated, sound], axis=1)
    rows = datasets.concatenate_datasets(
        [clips.select(short), cut.select_columns(clips.column_names)]
    )
    return rows, np.concatenate([short, source])


def cut_row(batch: dict[str, Any], indices: list[int], sampling_rate: int) -> dict[str, list[Any]]:
    """Cut a batch of one recording into rows of `WINDOWS`."""
    windows = [
        window
        for window in windows_of(np.asarray(batch["samples"][0]), sampling_rate)
        if np.abs(window.astype(int)).max() >= SILENT_BELOW * FULL_SCALE
    ]
    return {
        "samples": windows,
        "length": [len(window) for window in windows],
        "digest": [
            hashlib.blake2b(window.tobytes(), digest_size=16).hexdigest() for window in windows
        ],
        "source": indices * len(windows),
    }


def cache_key(recordings: datasets.Dataset, sampling_rate: int) -> str:
    """Hash of everything that cutting depends on, 32 hex digits."""
    state = [FORMAT, LONGEST, sampling_rate, list(recordings["digest"])]
    return hashlib.blake2b(json.dumps(state).encode(), digest_size=16).hexdigest()


def first_windows(recordings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the first window of each recording, by `recordings` `(n_windows,)`."""
    return np.unique(recordings, return_index=True)[1]


def logits_by_recording(
    logits: NDArray[np.floating], recordings: NDArray[np.int64]
) -> NDArray[np.floating]:
    """Logits of recordings: their softmax is the mean of the windows' probabilities.

    Args:
        logits: `(n_windows, n_classes)`.
        recordings: index of each window's recording `(n_windows,)`.

    Returns:
        `(n_recordings, n_classes)`; `logits` itself if each recording has one window.
    """
    if np.array_equal(recordings, np.arange(len(recordings))):
        return logits
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    return np.array(
        [
            logsumexp(log_probabilities[recordings == recording], axis=0)
            - np.log((recordings == recording).sum())
            for recording in np.unique(recordings)
        ]
    )


def over_windows(
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]], sampling_rate: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Extend `predict`, samples to probabilities `(n_classes,)`, to recordings of any length."""

    def mean(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        windows = windows_of(samples, sampling_rate)
        return np.stack([predict(window) for window in windows]).mean(axis=0)

    return mean


def print_cut(
    splits: dict[str, datasets.Dataset],
    windows: dict[str, tuple[datasets.Dataset, NDArray[np.int64]]],
) -> None:
    """Print how many recordings of each split were cut, and into how many windows."""
    for name, clips in splits.items():
        counts = np.bincount(windows[name][1])
        if (counts > 1).any():
            print(
                f"{name}: {(counts > 1).sum()} of {len(clips)} recordings are longer than "
                f"{LONGEST:g} s and were cut into {counts[counts > 1].sum()} windows."
            )
