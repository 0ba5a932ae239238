"""Batches that contain, with each clip, ordinary speech of the same speaker.

A classifier that judges speech relative to a speaker's baseline must be trained on several clips of
one speaker at once, including ordinary ones. In each epoch a speaker's clips are divided into
groups: one clip of every emotion and `ORDINARY` clips of the neutral class; speakers with only
neutral clips get groups of those. `augment.Augmentation` gives all clips of a group the same room,
microphone and line. All clips of a batch have one length, so that none is padded; a shorter clip
has silence around it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from transformers import SequenceFeatureExtractor

from emo_listen.errors import CorpusError
from train.corpus.audio_cache import to_float
from train.trainer.augment import Augmentation
from train.trainer.clips import WINDOW_STEP, column, cut, with_soft_labels

ORDINARY = 3
"""Neutral clips in a group: two are a baseline for the third. Own choice: three of eight clips,
since CREMA-D has as many neutral clips per speaker as clips of each emotion."""

PLAIN = 4
"""Windows in a group of a speaker with only neutral clips."""

PLAIN_GROUPS = 1
"""Groups of such a speaker per epoch: with CREMA-D and LibriSpeech's training readers, a twelfth of
all clips are then plain speech."""

UNCHANGED = 0.35
"""Probability that a group is not augmented. If every augmentation of the bundled model's recipe
were drawn for each group, one in twenty would be unchanged."""

SHORTENED = 0.15
"""Probability that a clip is cut to a part of its batch's length, with silence around it. Own
choice: the listener's windows begin up to a second before the speech."""

SHORTEST = 1.0
"""Shortest such part, in seconds."""


@dataclass(frozen=True)
class Place:
    """One clip's place in an epoch."""

    clip: int
    """Index of the clip."""

    voice: int
    """Index of its group in the epoch."""

    steps: int
    """Length of its batch, in steps of `clips.WINDOW_STEP`."""


class Voices(Dataset):
    """The clips of an epoch in the order of its batches."""

    def __init__(
        self,
        decoded: datasets.Dataset,
        label2id: dict[str, int],
        neutral: str,
        feature_extractor: SequenceFeatureExtractor,
        window: tuple[float, float],
        batch_size: int,
        vary: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        """Wrap the rows of `audio_cache.decode_corpus`.

        Args:
            decoded: rows with `samples`, `label` and `speaker`.
            label2id: class index of each label.
            neutral: label of ordinary speech.
            feature_extractor: the base model's.
            window: shortest and longest length of a batch, in seconds.
            batch_size: clips in a batch; a group's size divides it.
            vary: applied to the sound before it is normalised.
            seed: of the grouping and the places at which clips are cut.

        Raises:
            CorpusError: speakers are unknown, no speaker has ordinary speech, or a batch is too
                small for a group.
        """
        if neutral not in label2id:
            raise CorpusError(
                f"--relative_to {neutral}: the corpus has no such class, only "
                f"{', '.join(sorted(label2id))}."
            )
        if None in decoded["speaker"]:
            raise CorpusError(
                "--relative_to needs the speaker of every clip: add a `speaker` column, or use "
                "class/speaker/clip folders."
            )
        self.rows = decoded.select_columns(["samples"]).with_format("arrow")
        self.labels = [label2id[label] for label in decoded["label"]]
        self.neutral = label2id[neutral]
        self.extractor = feature_extractor
        self.window = window
        self.vary = vary
        self.seed = seed
        self.soft_labels: np.ndarray | None = None
        self.batch_size = batch_size
        self.group = len(label2id) - 1 + ORDINARY
        if batch_size < self.group:
            raise CorpusError(
                f"--per_device_train_batch_size {batch_size}: --relative_to needs at least "
                f"{self.group}, for one clip of each emotion and {ORDINARY} ordinary ones."
            )
        self.clips_of: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for clip, (speaker, label) in enumerate(zip(decoded["speaker"], self.labels, strict=True)):
            self.clips_of[speaker][label].append(clip)
        if not any(self.neutral in clips for clips in self.clips_of.values()):
            raise CorpusError(f"--relative_to {neutral}: no training speaker has such clips.")
        self.epoch = torch.zeros((), dtype=torch.long).share_memory_()  # worker processes see it
        self._current: tuple[int, list[Place]] = (-1, [])

    def set_epoch(self, epoch: int) -> None:
        """Choose the groups of this epoch, counted from 0."""
        self.epoch.fill_(epoch)

    def __len__(self) -> int:
        """Count the places of an epoch, the same for each."""
        return len(self.group_epoch(0))

    def lengths_in(self, epoch: int) -> np.ndarray:
        """Return the samples (n_places,) of each place of an epoch."""
        steps = np.array([place.steps for place in self.group_epoch(epoch)])
        return np.rint(steps * WINDOW_STEP * self.extractor.sampling_rate).astype(int)

    def class_shares(self) -> np.ndarray:
        """Share (n_classes,) of each class in the groups of speakers with emotional clips."""
        shares = np.ones(self.group - ORDINARY + 1)
        shares[self.neutral] = ORDINARY
        return shares / shares.sum()

    def group_epoch(self, epoch: int) -> list[Place]:
        """Places of an epoch, in complete batches; all clips of a batch have one length."""
        random = np.random.default_rng([self.seed, epoch])
        units: list[list[list[int]]] = []
        plain: list[list[int]] = []
        for clips in self.clips_of.values():
            if set(clips) == {self.neutral}:
                windows = clips[self.neutral]
                plain += [list(random.choice(windows, PLAIN)) for _ in range(PLAIN_GROUPS)]
            else:
                units += [[group] for group in self._groups(clips, random)]
        order = random.permutation(len(plain))
        together = max(1, self.group // PLAIN)
        units += [
            [plain[i] for i in order[start : start + together]]
            for start in range(0, len(order) - together + 1, together)
        ]
        places: list[Place] = []
        shortest, longest = (round(seconds / WINDOW_STEP) for seconds in self.window)
        in_batch = self.batch_size // self.group
        order = random.permutation(len(units))
        voice = 0
        for start in range(0, len(order) - in_batch + 1, in_batch):
            steps = int(random.integers(shortest, longest, endpoint=True))
            for unit in order[start : start + in_batch]:
                for group in units[unit]:
                    places += [Place(int(clip), voice, steps) for clip in group]
                    voice += 1
        return places

    def _groups(
        self, clips: dict[int, list[int]], random: np.random.Generator
    ) -> Iterator[list[int]]:
        """Group a speaker's clips: all emotional ones, rarer classes repeated; random neutral."""
        emotions = {label: random.permutation(of) for label, of in clips.items()}
        ordinary = emotions.pop(self.neutral, np.zeros(0, int))
        for turn in range(max(len(of) for of in emotions.values())):
            group = [of[turn % len(of)] for of in emotions.values()]
            short = self.group - len(group)
            if len(ordinary):
                group += list(random.choice(ordinary, short, replace=len(ordinary) < short))
            yield group

    def places(self) -> list[Place]:
        """Places of the current epoch."""
        epoch = int(self.epoch)
        if self._current[0] != epoch:
            self._current = epoch, self.group_epoch(epoch)
        return self._current[1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `input_values` float32 (n_samples,), `length`, `labels` and `voices`.

        Also `soft_labels` (n_classes,) if there are any.
        """
        epoch = int(self.epoch)
        place = self.places()[index]
        random = np.random.default_rng([self.seed, epoch, index])
        rate = self.extractor.sampling_rate
        length = round(place.steps * WINDOW_STEP * rate)
        samples = to_float(column(self.rows[place.clip], "samples"))
        longest = length if self.vary is None else int(np.ceil(length * self.vary.longest))
        if random.random() < SHORTENED:
            shortest = min(SHORTEST * rate, longest)
            samples = cut(samples, int(random.uniform(shortest, longest)), random)
        samples = framed(samples, longest, random)
        of_group = np.random.default_rng([self.seed, epoch, place.voice, 1])
        if self.vary is not None and of_group.random() >= UNCHANGED:
            samples = self.vary(samples, epoch, index, place.voice)
        samples = framed(samples, length, random)
        values = self.extractor(samples, sampling_rate=rate)["input_values"][0]
        item = {
            "input_values": values,
            "length": length,
            "labels": self.labels[place.clip],
            "voices": place.voice,
        }
        return with_soft_labels(item, self.soft_labels, place.clip)


def framed(samples: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """Cut or pad to `length` samples: a random part, or silence around at a random place."""
    samples = cut(samples, length, random)
    before = int(random.integers(length - len(samples) + 1))
    return np.pad(samples, (before, length - len(samples) - before))


class InOrder(Sampler[int]):
    """The places of an epoch in their order."""

    def __init__(self, voices: Voices) -> None:
        """Sample the places of `voices`."""
        self.voices = voices

    def __len__(self) -> int:
        """Count the places."""
        return len(self.voices)

    def __iter__(self) -> Iterator[int]:
        """Yield places."""
        return iter(range(len(self.voices)))
