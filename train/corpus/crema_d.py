"""CREMA-D: 91 English-speaking actors, six emotions; split by actor."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from emo_listen.errors import CorpusError
from train.corpus.sound_files import ClipRow, audio_files

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}

NAME = re.compile(r"(?P<actor>\d{4})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_(LO|MD|HI|XX?)")
"""CREMA-D's file names: actor, sentence, emotion, level (one clip has `X` instead of `XX`)."""

SPLITS_FILE = Path(__file__).resolve().parent / "splits" / "crema_d.csv"
"""Split of each actor: the EVAR benchmark's (nttcslab/eval-audio-repr)."""


def crema_d_files(folder: Path) -> list[Path]:
    """CREMA-D clips in `audio/`, `AudioWAV/` or `AudioMP3/` of `folder`, or directly in it."""
    for place in (folder / "audio", folder / "AudioWAV", folder / "AudioMP3", folder):
        if place.is_dir():
            files = [file for file in audio_files(place) if NAME.fullmatch(file.stem)]
            if files:
                return files
    return []


def read_crema_d(folder: Path, final: bool = False) -> list[ClipRow]:
    """List the clips of a CREMA-D folder; empty for any other folder.

    A `splits.csv` (columns actor, split) in or beside the folder replaces `SPLITS_FILE`.

    Raises:
        CorpusError: a file name has an unknown emotion, or an actor has no split.
    """
    files = crema_d_files(folder)
    if not files:
        return []
    places = [place / "splits.csv" for place in (folder, files[0].parent, folder.parent)]
    table = next((place for place in places if place.is_file()), SPLITS_FILE)
    splits = read_splits(table)
    rows: list[ClipRow] = []
    for file in files:
        match = NAME.fullmatch(file.stem)
        assert match is not None
        actor, emotion = match["actor"], match["emotion"]
        if emotion not in EMOTIONS:
            raise CorpusError(f"{file}: the file name has the unknown emotion {emotion!r}.")
        if actor not in splits:
            raise CorpusError(f"{table} has no split for actor {actor} ({file.name}).")
        rows.append((file, EMOTIONS[emotion], actor, splits[actor]))
    return rows


def read_splits(table: Path) -> dict[str, str]:
    """Split of each actor in a CSV with the columns actor and split."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not all(row.get("actor") and row.get("split") for row in rows):
        raise CorpusError(f"{table} needs the columns actor,split, filled in on every line.")
    return {row["actor"].strip(): row["split"].strip() for row in rows}
