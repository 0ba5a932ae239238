"""LibriSpeech: read speech, all of it `neutral`, and the split of each reader.

`splits/librispeech.csv` has the split of each reader of `train-clean-100` and of ten of
`test-other`. It was made once with `rule`, which also splits all other readers.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from train.corpus.sound_files import ClipRow, audio_files

NAME = re.compile(r"(?P<reader>\d+)-\d+-\d{4}")
"""LibriSpeech's file names: reader, chapter, utterance."""

SUBSETS = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
"""Names of the subsets' folders, in LibriSpeech and Mini LibriSpeech."""

LABEL = "neutral"
"""Class of every clip: volunteers reading books aloud, without acting an emotion."""

SPLITS_FILE = Path(__file__).resolve().parent / "splits" / "librispeech.csv"

VALIDATION_BELOW = 0.16
"""Readers of a training subset with a smaller hash are for validation: 42 of 251."""

TEST_BELOW = 0.28
"""Those with a hash from there to below this are for the test: 32 of 251, beside ten of
`test-other`."""


def read_librispeech(folder: Path, final: bool = False) -> list[ClipRow]:
    """List the clips of a LibriSpeech folder; empty for any other folder.

    Args:
        folder: has `audio/` and a `clips.csv` with the columns `file`, `speaker`, `subset`; or is
            `LibriSpeech/` as distributed, its parent, or one of its subsets.
        final: changes nothing.
    """
    splits = read_splits()
    return [
        (file, LABEL, reader, splits.get(reader) or rule(reader, subset))
        for file, reader, subset in [*listed_clips(folder), *distributed_clips(folder)]
    ]


def listed_clips(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield file, reader and subset of a folder with `audio/` and `clips.csv`."""
    table = folder / "clips.csv"
    if not (table.is_file() and (folder / "audio").is_dir()):
        return
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if {"file", "speaker", "subset"} <= set(reader.fieldnames or ()):
            for row in reader:
                yield folder / "audio" / row["file"], row["speaker"], row["subset"]


def distributed_clips(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield file, reader and subset of the distributed layout `SUBSET/READER/CHAPTER/`."""
    if SUBSETS.fullmatch(folder.resolve().name):
        subsets = [folder]
    else:
        places = [place for place in (folder, folder / "LibriSpeech") if place.is_dir()]
        subsets = [s for p in places for s in sorted(p.iterdir()) if SUBSETS.fullmatch(s.name)]
    for subset in subsets:
        for chapter in sorted(subset.glob("[0-9]*/[0-9]*/")):
            for file in audio_files(chapter):
                if match := NAME.fullmatch(file.stem):
                    yield file, match["reader"], subset.resolve().name


def read_splits() -> dict[str, str]:
    """Split of each reader in `splits/librispeech.csv`."""
    with SPLITS_FILE.open(encoding="utf-8", newline="") as file:
        return {row["speaker"]: row["split"] for row in csv.DictReader(file)}


def rule(reader: str, subset: str) -> str:
    """Split of a reader: that of a `test` or `dev` subset, else by the hash of the reader's id."""
    if subset.startswith("test"):
        return "test"
    if subset.startswith("dev"):
        return "validation"
    fraction = int(hashlib.sha256(reader.encode()).hexdigest()[:8], 16) / 2**32
    if fraction < VALIDATION_BELOW:
        return "validation"
    return "test" if fraction < TEST_BELOW else "train"
