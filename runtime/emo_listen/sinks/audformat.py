r"""A folder in audformat, which audb and the openSMILE tools read: a table of segments.

The table `emotion` has a row for each segment, indexed by file, start and end, with the columns
`label`, `baseline_seconds`, `confidence` and one for each score. Files are named as they were
given, bytes of a name that are not UTF-8 as `\xe9`.
https://audeering.github.io/audformat/
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from emo_listen.errors import OutputError
from emo_listen.events import LabelEvent
from emo_listen.extras import import_extra
from emo_listen.model_settings import UNCERTAIN

TABLE = "emotion"
"""Name of the table."""


def check_audformat_folder(folder: Path) -> None:
    """Refuse, before any work is done, what `write_audformat` would refuse.

    Raises:
        OutputError: `folder` is a file, or holds something else than an audformat database.
        MissingExtraError: the extra `audformat` is not installed.
    """
    import_extra("audformat")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "db.yaml").is_file():
        raise OutputError(f"{folder} holds other files: give a new folder")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and audformat is a folder: give a new one")


def write_audformat(
    folder: Path, rows: Iterable[tuple[str, LabelEvent]], *, labels: list[str], model: str
) -> None:
    """Write a database; one that is there already is replaced.

    Args:
        folder: Where to.
        rows: Each file with one of its segments (or windows).
        labels: The model's labels.
        model: Name of the model.

    Raises:
        OutputError: `folder` cannot be written.
        MissingExtraError: the extra `audformat` is not installed.
    """
    audformat = import_extra("audformat")
    files, events = [], []
    for file, event in rows:
        files.append(_utf_8(Path(file).as_posix()))
        events.append(event)
    database = audformat.Database(
        name="emo-listen", description=f"Emotions heard by emo-listen with the model {model}"
    )
    database.schemes["emotion"] = audformat.Scheme(labels=[*labels, UNCERTAIN])
    database.schemes["probability"] = audformat.Scheme("float", minimum=0, maximum=1)
    database.schemes["seconds"] = audformat.Scheme("float", minimum=0)
    index = audformat.segmented_index(
        files, [f"{event.start}s" for event in events], [f"{event.end}s" for event in events]
    )
    table = database[TABLE] = audformat.Table(index, description="Labels by file, start and end")
    table["label"] = audformat.Column(scheme_id="emotion")
    table["label"].set([event.label for event in events])
    table["baseline_seconds"] = audformat.Column(
        scheme_id="seconds", description="Speech that the voice's baseline rests on"
    )
    table["baseline_seconds"].set([event.baseline_seconds for event in events])
    for name in ("confidence", *labels):
        table[name] = audformat.Column(scheme_id="probability")
        table[name].set(
            [event.confidence if name == "confidence" else event.scores[name] for event in events]
        )
    try:
        database.save(str(folder), storage_format="csv")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error


def _utf_8(file: str) -> str:
    """Escape what is not UTF-8, which audformat could not write."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
