"""Clips that represent a user's own recordings, and folds of them by speaker."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from emo_listen.errors import CorpusError
from train.corpus.recordings import Clip

CLASSES = {
    "calm": ("neutral", "sadness"),
    "excited": ("fear", "happiness"),
    "irritated": ("anger", "disgust"),
}
"""Custom classes, in the order of training, and the corpus's emotions that they consist of."""

EMOTIONS = [emotion for emotions in CLASSES.values() for emotion in emotions]

FEWEST_FOLDS = 2


def choose_clips(clips: Sequence[Clip], n_clips: int, seed: int) -> list[Clip]:
    """Choose clips: equally many of each class, and of each speaker within one.

    Args:
        clips: a corpus that has `EMOTIONS`.
        n_clips: how many to choose.
        seed: random seed.

    Returns:
        The chosen clips, labelled with the custom classes.

    Raises:
        CorpusError: `n_clips` is not a multiple of the number of classes, or there are too few
            clips.
    """
    if n_clips < 1 or n_clips % len(CLASSES):
        raise CorpusError(f"--clips {n_clips}: give a multiple of {len(CLASSES)}")
    random = np.random.default_rng(seed)
    speakers = sorted({clip.speaker for clip in clips if clip.speaker is not None})
    if not speakers:
        raise CorpusError("the corpus names no speakers, which the folds need: use CREMA-D")
    random.shuffle(speakers)
    left = {
        (speaker, emotion): [c for c in clips if (c.speaker, c.label) == (speaker, emotion)]
        for speaker in speakers
        for emotion in EMOTIONS
    }
    chosen = []
    for index, name in enumerate(np.repeat(list(CLASSES), n_clips // len(CLASSES))):
        turn, place = divmod(index, len(speakers))
        emotions = CLASSES[name]
        emotion = emotions[(turn + place) % len(emotions)]
        takes = left[speakers[place], emotion]
        if not takes:
            raise CorpusError(
                f"speaker {speakers[place]} has too few clips of {emotion}: give fewer --clips "
                f"than {n_clips}, or use CREMA-D"
            )
        chosen.append(replace(takes.pop(int(random.integers(len(takes)))), label=str(name)))
    return chosen


def speaker_folds(clips: Sequence[Clip], n_folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Split speakers into folds with about equally many clips of each class.

    Returns:
        Indices of each fold's clips; each clip is in exactly one fold.

    Raises:
        CorpusError: there are too few speakers.
    """
    speakers = [clip.speaker for clip in clips]
    if not FEWEST_FOLDS <= n_folds <= len(set(speakers)):
        raise CorpusError(
            f"--folds {n_folds}: give {FEWEST_FOLDS} to {len(set(speakers))}, which is the number "
            "of speakers"
        )
    labels = [clip.label for clip in clips]
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return [test for _, test in splitter.split(labels, labels, groups=speakers)]


def write_clips(clips: Sequence[Clip], sampling_rate: int, folder: Path) -> list[Path]:
    """Write each clip to `class/speaker/number.wav` below `folder`; return the files."""
    files = []
    for number, clip in enumerate(clips):
        files.append(folder / clip.label / str(clip.speaker) / f"{number}.wav")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(files[-1], clip.samples, sampling_rate)
    return files


def write_training_table(clips: Sequence[Clip], files: Sequence[Path], table: Path) -> None:
    """Write a CSV of training clips, from which `finetune.py` takes validation speakers."""
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "speaker", "split"))
        for clip, path in zip(clips, files, strict=True):
            writer.writerow((path, clip.label, clip.speaker, "train"))
