"""Corpora: from what `--data` names to one `datasets.Dataset` of labelled clips.

Every corpus comes out with the columns of `COLUMNS`: `audio` is where the sound lies (a path, or
the file's bytes), nothing is decoded here, and torchcodec is never needed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path

import datasets

from emo_listen.errors import CorpusError
from train.corpus.clip_table import (
    LABEL_COLUMNS,
    SPEAKER_COLUMNS,
    TABLE_SUFFIXES,
    USUAL_COLUMNS,
    Columns,
    class_names,
    read_table,
)
from train.corpus.emo_db import read_emo_db
from train.corpus.librispeech import read_librispeech
from train.corpus.sound_files import ClipRow, audio_files

COLUMNS = datasets.Features(
    {
        "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        "name": datasets.Value("string"),
        "label": datasets.Value("string"),
        "speaker": datasets.Value("string"),
        "split": datasets.Value("string"),
    }
)
"""What a corpus is: `speaker` and `split` are None where nothing tells them."""

CREMA_D_EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
CREMA_D_NAME = re.compile(r"(?P<actor>\d{4})_[A-Z]{3}_(?P<emotion>[A-Z]{3})_(LO|MD|HI|XX?)")
"""CREMA-D's file names: actor, sentence, emotion, level (one clip says `X` for `XX`)."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "eval": "test",
}
"""Other people's names of the three splits, in lower case, and ours."""

CREMA_D_SPLITS = Path(__file__).resolve().parent / "splits" / "crema_d.csv"
"""Split of each actor of CREMA-D: the EVAR benchmark's (nttcslab/eval-audio-repr)."""


def load_corpus(
    data: str, final: bool = False, columns: Columns = USUAL_COLUMNS
) -> datasets.Dataset:
    """Read the list of clips that `data` names.

    Args:
        data: a CREMA-D, LibriSpeech or EMO-DB folder; a folder with a sub-folder for each class;
            a table as `clip_table.read_table` takes it; a folder that `datasets` saved; or
            a hub dataset id.
        final: train on EMO-DB, as the final recipe does, rather than validate with it.
        columns: of a CSV.

    Returns:
        A dataset with the columns of `COLUMNS`, one row a clip, in a fixed order.

    Raises:
        CorpusError: nothing lies there, or it is none of these.
    """
    path = Path(data).expanduser()
    if path.is_file():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            raise CorpusError(f"{path} is a file but no CSV: give a folder, a CSV or a hub id.")
        return from_rows(read_table(path, columns))
    if path.is_dir():
        if crema_d := crema_d_files(path):
            return read_crema_d(path, crema_d)
        if rows := read_emo_db(path, final) or read_librispeech(path):
            return from_rows(rows)
        if any(path.glob("*.json")) or any(path.rglob("*.parquet")):
            return read_hub_dataset(str(path))
        return read_class_folders(path)
    if path.is_absolute() or data.startswith((".", "~")) or data.lower().endswith(TABLE_SUFFIXES):
        raise CorpusError(f"There is no folder or file {path}: give the corpus's place to --data.")
    return read_hub_dataset(data)


def crema_d_files(folder: Path) -> list[Path]:
    """CREMA-D clips in `folder`, its `audio/`, `AudioWAV/` or `AudioMP3/`; else an empty list."""
    for place in (folder / "audio", folder / "AudioWAV", folder / "AudioMP3", folder):
        if place.is_dir():
            files = [file for file in audio_files(place) if CREMA_D_NAME.fullmatch(file.stem)]
            if files:
                return files
    return []


def read_crema_d(folder: Path, files: list[Path]) -> datasets.Dataset:
    """CREMA-D from its file names.

    The splits are those of a `splits.csv` (actor, split) beside them, else `CREMA_D_SPLITS`.

    Raises:
        CorpusError: a name has an unknown emotion, or the table of splits lacks an actor.
    """
    splits: dict[str, str] = {}
    places = [place / "splits.csv" for place in (folder, files[0].parent, folder.parent)]
    places.append(CREMA_D_SPLITS)
    for place in places:
        if place.is_file():
            with place.open(encoding="utf-8-sig", newline="") as table:
                for row in csv.DictReader(table):
                    if not row.get("actor") or not row.get("split"):
                        raise CorpusError(f"{place} must have the columns actor,split.")
                    splits[row["actor"].strip()] = row["split"].strip()
            break
    rows = []
    for file in files:
        match = CREMA_D_NAME.fullmatch(file.stem)
        assert match is not None
        actor, emotion = match["actor"], match["emotion"]
        if emotion not in CREMA_D_EMOTIONS:
            raise CorpusError(f"{file}: unknown emotion {emotion!r} in the name.")
        if actor not in splits:
            raise CorpusError(f"{place} names no split for actor {actor} ({file.name}).")
        rows.append((file, CREMA_D_EMOTIONS[emotion], actor, splits[actor]))
    return from_rows(rows)


def read_class_folders(folder: Path) -> datasets.Dataset:
    """Clips in a sub-folder for each class, `class/clip` or `class/speaker/clip`.

    The class folders may lie below one folder for each split (`train/class/clip`).

    Raises:
        CorpusError: no sub-folder holds a sound file.
    """
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    rows: list[ClipRow]
    if folders and all(entry.name.lower() in SPLIT_NAMES for entry in folders):
        rows = [(*row, entry.name) for entry in folders for row in class_rows(entry)]
    else:
        rows = [(*row, None) for row in class_rows(folder)]
    if not rows:
        raise CorpusError(
            f"{folder} holds no CREMA-D clips and no sub-folder with sound files: put each class "
            "into a sub-folder of its name, or give a CSV with the columns file,label."
        )
    return from_rows(rows)


def class_rows(folder: Path) -> Iterable[tuple[Path, str, str | None]]:
    """Yield (file, label, speaker) of the class folders below `folder`."""
    for class_folder in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        for file in audio_files(class_folder):
            yield file, class_folder.name, None
        for speaker in sorted(entry for entry in class_folder.iterdir() if entry.is_dir()):
            for file in audio_files(speaker):
                yield file, class_folder.name, speaker.name


def from_rows(rows: Iterable[ClipRow]) -> datasets.Dataset:
    """Build a dataset of `COLUMNS`."""
    return datasets.Dataset.from_list(
        [
            {
                "audio": {"bytes": None, "path": str(file)},
                "name": str(file),
                "label": label,
                "speaker": speaker,
                "split": known_split(split),
            }
            for file, label, speaker, split in rows
        ],
        features=COLUMNS,
    )


def known_split(split: str | None) -> str | None:
    """Our name of a split.

    Raises:
        CorpusError: the name is none of `SPLIT_NAMES`.
    """
    if split is None:
        return None
    try:
        return SPLIT_NAMES[split.lower()]
    except KeyError:
        raise CorpusError(f"Unknown split {split!r}: use train, validation or test.") from None


def read_hub_dataset(data: str) -> datasets.Dataset:
    """Clips of a hub dataset id, or of a folder with Parquet files or from `save_to_disk`.

    Raises:
        CorpusError: it cannot be had, or has no audio or no label column.
    """
    try:
        if Path(data).is_dir() and not any(Path(data).rglob("*.parquet")):
            loaded = datasets.load_from_disk(data)
        else:
            loaded = datasets.load_dataset(data)
    except (OSError, ValueError, RuntimeError) as error:
        raise CorpusError(f"The dataset {data} cannot be loaded: {error}") from error
    if isinstance(loaded, datasets.Dataset):
        return from_hub_split(data, loaded, None)
    parts = [from_hub_split(data, part, name) for name, part in loaded.items()]
    if len(parts) == 1:  # a hub dataset without splits calls everything `train`
        parts[0] = parts[0].remove_columns("split").add_column("split", [None] * len(parts[0]))
        parts[0] = parts[0].cast(COLUMNS)
    return datasets.concatenate_datasets(parts)


def from_hub_split(data: str, part: datasets.Dataset, split: str | None) -> datasets.Dataset:
    """One split of a hub dataset, in our columns; its sound stays encoded."""
    audio = [name for name, kind in part.features.items() if isinstance(kind, datasets.Audio)]
    label = [name for name in LABEL_COLUMNS if name in part.features]
    if not audio or not label:
        raise CorpusError(
            f"The dataset {data} has the columns {', '.join(part.column_names)}: one of type Audio "
            f"and one named {' or '.join(LABEL_COLUMNS)} are needed."
        )
    labels = part.features[label[0]]
    values = part.with_format(None).select_columns(label)[label[0]]
    if any(value in (None, -1, "") for value in values):
        raise CorpusError(f"The dataset {data} has clips without a label ({split or 'all'} split).")
    names = [labels.int2str(v) if isinstance(labels, datasets.ClassLabel) else v for v in values]
    speaker = next((name for name in SPEAKER_COLUMNS if name in part.features), None)
    voices = part[speaker] if speaker else [None] * len(part)
    speakers = [None if voice is None else str(voice) for voice in voices]
    sound = part.select_columns(audio[:1]).cast_column(audio[0], datasets.Audio(decode=False))
    told = datasets.Dataset.from_dict(
        {
            "name": [f"{data}/{split or 'all'}[{i}]" for i in range(len(part))],
            "label": class_names(names, f"the dataset {data}"),
            "speaker": speakers,
            "split": [known_split(split)] * len(part),
        },
        features=datasets.Features({k: v for k, v in COLUMNS.items() if k != "audio"}),
    )
    if audio[0] != "audio":
        sound = sound.rename_column(audio[0], "audio")
    sound = sound.cast_column("audio", COLUMNS["audio"])
    return datasets.concatenate_datasets([sound, told], axis=1)
