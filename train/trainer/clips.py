"""Clips for the Trainer: read from the cache one at a time, then padded into a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from transformers import SequenceFeatureExtractor

from train.corpus.audio_cache import to_float

WINDOW_STEP = 0.25
"""Windows' lengths are multiples of this many seconds: few lengths mean little padding."""


def column(row: Any, name: str) -> np.ndarray:
    """Return a list column of a one-row Arrow table as a numpy array, without a copy."""
    return row[name].combine_chunks().values.to_numpy(zero_copy_only=False)


class Vary(Protocol):
    """Changes a clip's sound, as `augment.Augmentation` does."""

    longest: float
    """Length of a clip divided by that of the shortest that it may become."""

    def __call__(self, samples: np.ndarray, epoch: int, clip: int) -> np.ndarray:
        """Return the samples of clip number `clip` in this epoch."""


class Clips(Dataset):
    """Clips of one split: sound, normalised for the base model, and the class.

    Each clip is normalised alone at its true length, so that padding does not affect it.
    """

    def __init__(
        self,
        decoded: datasets.Dataset,
        label2id: dict[str, int],
        feature_extractor: SequenceFeatureExtractor,
        window: tuple[float, float] | None = None,
        vary: Vary | None = None,
        seed: int = 0,
        recordings: np.ndarray | None = None,
    ) -> None:
        """Wrap the rows of `audio_cache.decode_corpus`.

        Args:
            decoded: rows with `samples`, `length` and `label`.
            label2id: class index of each label.
            feature_extractor: the base model's.
            window: shortest and longest, in seconds; in each epoch a clip gets a length between
                them, and if it is longer is cut to a random part. None for whole clips.
            vary: applied to the sound before it is normalised.
            seed: of the places at which clips are cut.
            recordings: index of each row's recording (n_clips,), from
                `long_recordings.cut_long`; None if each row is one.
        """
        self.rows = decoded.select_columns(["samples"]).with_format("arrow")
        self.labels = [label2id[label] for label in decoded["label"]]
        self.digests = list(decoded["digest"])
        self.extractor = feature_extractor
        self.window = window
        self.whole_lengths = np.asarray(decoded["length"])
        self.vary = vary
        self.seed = seed
        self.recordings = np.arange(len(decoded)) if recordings is None else recordings
        self.soft_labels: np.ndarray | None = None
        """Probabilities float32 (n_clips, n_classes) to learn with the labels, NaN for none."""
        self.epoch = torch.zeros((), dtype=torch.long).share_memory_()  # worker processes see it

    def set_epoch(self, epoch: int) -> None:
        """Choose the windows and augmentations of this epoch, counted from 0."""
        self.epoch.fill_(epoch)

    def lengths_in(self, epoch: int) -> np.ndarray:
        """Return the samples (n_clips,) of each clip in an epoch, before augmentation."""
        if self.window is None:
            return self.whole_lengths
        return np.minimum(self.whole_lengths, self.window_lengths(epoch))

    def window_lengths(self, epoch: int) -> np.ndarray:
        """Largest number of samples (n_clips,) of each clip in an epoch."""
        assert self.window is not None
        shortest, longest = (round(seconds / WINDOW_STEP) for seconds in self.window)
        random = np.random.default_rng([self.seed, epoch])
        steps = random.integers(shortest, longest, size=len(self), endpoint=True)
        return (steps * WINDOW_STEP * self.extractor.sampling_rate).astype(int)

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `input_values` float32 (n_samples,), `length` (samples) and `labels`.

        Also `soft_labels` (n_classes,) if there are any.
        """
        samples = to_float(column(self.rows[index], "samples"))
        epoch = int(self.epoch)
        places = np.random.default_rng([self.seed, epoch, index])
        length = int(self.window_lengths(epoch)[index]) if self.window else None
        if self.vary:
            if length:
                samples = cut(samples, int(np.ceil(length * self.vary.longest)), places)
            samples = self.vary(samples, epoch, index)
        if length:
            samples = cut(samples, length, places)
        values = self.extractor(samples, sampling_rate=self.extractor.sampling_rate)
        item = {
            "input_values": values["input_values"][0],
            "length": len(samples),
            "labels": self.labels[index],
        }
        return with_soft_labels(item, self.soft_labels, index)


def with_soft_labels(
    item: dict[str, Any], soft_labels: np.ndarray | None, index: int
) -> dict[str, Any]:
    """Add row `index` of `soft_labels` (n_clips, n_classes) to a clip, if there are any."""
    return item if soft_labels is None else {**item, "soft_labels": soft_labels[index]}


def cut(samples: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    """Cut to at most `length` samples, at a random place."""
    start = int(generator.integers(max(len(samples) - length, 0) + 1))
    return samples[start : start + length]


class Collator:
    """Pads clips, or their trunk outputs, to the longest of a batch."""

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Make a batch.

        Args:
            items: of `Clips`, `Voices` or `frozen_trunk.TrunkOutputs`.

        Returns:
            `input_values` (n, n_samples), or (n, n_frames, width) for trunk outputs, padded with
            zeros at the end; `attention_mask` (n, n_samples), also for base models trained
            without one, whose trunk runs without padding; `labels` (n,);
            `lengths` (n,), true lengths along axis 1 of `input_values`; `soft_labels`
            (n, n_classes) and `voices` (n,) if the clips have any.
        """
        values = [torch.from_numpy(np.asarray(item["input_values"])) for item in items]
        batch = {
            "input_values": torch.nn.utils.rnn.pad_sequence(values, batch_first=True),
            "attention_mask": sample_mask([item["length"] for item in items]),
            "labels": torch.tensor([item["labels"] for item in items]),
            "lengths": torch.tensor([len(value) for value in values]),
        }
        if "soft_labels" in items[0]:
            rows = np.stack([item["soft_labels"] for item in items])
            batch["soft_labels"] = torch.from_numpy(rows)
        if "voices" in items[0]:
            batch["voices"] = torch.tensor([item["voices"] for item in items])
        return batch


def sample_mask(lengths: list[int]) -> torch.Tensor:
    """Attention mask (n, longest), 1 where a clip has a sample; `lengths` in samples."""
    longest = torch.arange(max(lengths))
    return (longest[None, :] < torch.tensor(lengths)[:, None]).long()


def rows_by_length(lengths: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield each length in `lengths` (n,), and the rows that have it."""
    for length in lengths.unique().tolist():
        yield length, (lengths == length).nonzero()[:, 0]


class LengthGroupedBatches(Sampler[int]):
    """Order of an epoch with clips of similar length in each batch, and shuffled batches.

    Unlike in transformers' sampler, the order depends only on the seed and the epoch (so it is the
    same in a resumed run and in every process), and the longest clips are not all first.
    """

    CHUNK = 50
    """Batches whose clips are sorted by length together."""

    def __init__(self, lengths_in: Callable[[int], np.ndarray], batch_size: int, seed: int) -> None:
        """Order clips for batches of `batch_size`; `lengths_in` returns their samples by epoch."""
        self.lengths_in = lengths_in
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch; the training loop calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.lengths_in(self.epoch))

    def __iter__(self) -> Iterator[int]:
        """Yield clip indices."""
        random = np.random.default_rng([self.seed, self.epoch])
        lengths = self.lengths_in(self.epoch)
        order = random.permutation(len(lengths))
        size = self.CHUNK * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
            batches += np.split(chunk, range(self.batch_size, len(chunk), self.batch_size))
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        for i in [*random.permutation(len(full)), *range(len(full), len(batches))]:
            yield from (full + rest)[i].tolist()
