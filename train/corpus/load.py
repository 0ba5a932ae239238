"""Corpora: from the value of `--data` to one `datasets.Dataset` of labelled clips.

Every corpus gets the columns of `COLUMNS`. `audio` is a path or a file's bytes: nothing is decoded
here, and torchcodec is never needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from train.corpus.crema_d import read_crema_d
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
"""Columns of a corpus: `speaker` and `split` are None where they are not known."""

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
"""The names that corpora use for the three splits, in lower case, and ours."""

LAYOUTS: tuple[Callable[[Path, bool], list[ClipRow]], ...] = (
    read_crema_d,
    read_emo_db,
    read_librispeech,
)
"""Readers of corpora with a layout of their own; each returns an empty list for other folders."""


def load_corpus(
    data: str, final: bool = False, columns: Columns = USUAL_COLUMNS
) -> datasets.Dataset:
    """List the clips of a corpus.

    Args:
        data: a CREMA-D, LibriSpeech or EMO-DB folder; a folder with a sub-folder for each class;
            a table as `clip_table.read_table` takes it; a folder that `datasets` saved; or
            a hub dataset id.
        final: use EMO-DB for training, as the final recipe does, instead of for validation.
        columns: of a CSV.

    Returns:
        A dataset with the columns of `COLUMNS`, one row per clip, in a fixed order.

    Raises:
        CorpusError: nothing is there, or it is none of these.
    """
    path = Path(data).expanduser()
    if path.is_file():
        if path.suffix.lower() not in TABLE_SUFFIXES:
            raise CorpusError(
                f"{path} is not a CSV: pass a folder, a CSV or a hub dataset id to --data."
            )
        return from_rows(read_table(path, columns))
    if path.is_dir():
        for read in LAYOUTS:
            if rows := read(path, final):
                return from_rows(rows)
        if any(path.glob("*.json")) or any(path.rglob("*.parquet")):
            return read_hub_dataset(str(path))
        return read_class_folders(path)
    if path.is_absolute() or data.startswith((".", "~")) or data.lower().endswith(TABLE_SUFFIXES):
        raise CorpusError(
            f"There is no folder or file {path}: pass the path of the corpus to --data."
        )
    return read_hub_dataset(data)


def read_class_folders(folder: Path) -> datasets.Dataset:
    """Read a folder with a sub-folder for each class, `class/clip` or `class/speaker/clip`.

    The class folders may be inside a folder for each split (`train/class/clip`).

    Raises:
        CorpusError: no sub-folder contains a sound file.
    """
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    rows: list[ClipRow]
    if folders and all(entry.name.lower() in SPLIT_NAMES for entry in folders):
        rows = [(*row, entry.name) for entry in folders for row in class_rows(entry)]
    else:
        rows = [(*row, None) for row in class_rows(folder)]
    if not rows:
        raise CorpusError(
            f"{folder} is no known corpus and has no sub-folder with sound files: put the clips of "
            "each class into a sub-folder named after it, or pass a CSV with the columns "
            "file,label."
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
    """Translate a corpus's name of a split to ours.

    Raises:
        CorpusError: the name is not in `SPLIT_NAMES`.
    """
    if split is None:
        return None
    try:
        return SPLIT_NAMES[split.lower()]
    except KeyError:
        raise CorpusError(f"Unknown split {split!r}: use train, validation or test.") from None


def read_hub_dataset(data: str) -> datasets.Dataset:
    """Read a hub dataset, or a folder with Parquet files or from `save_to_disk`.

    Raises:
        CorpusError: it cannot be loaded, or has no audio or no label column.
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
    """Convert one split of a hub dataset to our columns; its sound stays encoded."""
    audio = [name for name, kind in part.features.items() if isinstance(kind, datasets.Audio)]
    label = [name for name in LABEL_COLUMNS if name in part.features]
    if not audio or not label:
        raise CorpusError(
            f"The dataset {data} has the columns {', '.join(part.column_names)}: it needs one of "
            f"type Audio and one named {' or '.join(LABEL_COLUMNS)}."
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
    others = datasets.Dataset.from_dict(
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
    return datasets.concatenate_datasets([sound, others], axis=1)
