r"""A folder in audformat, which audb and the openSMILE tools read: a table of segments.

The table `emotion` has one row per segment, indexed by file, start and end, with the columns
`label`, `baseline_seconds`, `confidence` and one per score, and `channel` if channels are separate.
Files are named as they were given; bytes of a name that are not UTF-8 are escaped, as in `\xe9`.
https://audeering.github.io/audformat/
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from emo_listen.errors import OutputError
from emo_listen.events import Event, LabelEvent, SegmentEvent, WindowEvent
from emo_listen.extras import import_extra
from emo_listen.model_settings import UNCERTAIN
from emo_listen.sinks.base import Sink
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.base import Source

TABLE = "emotion"
"""Name of the table."""


class AudformatSink(Sink):
    """Writes a sound file's final labels as a database once the file has ended."""

    def __init__(self, folder: Path, source: Source, *, labels: list[str], model: str) -> None:
        """Check that the database can be written.

        Args:
            folder: Where to write the database.
            source: The sound file that the labels belong to.
            labels: The model's labels.
            model: Name of the model.

        Raises:
            OutputError: `source` is not a file, or `folder` is in use for something else.
            MissingExtraError: the extra `audformat` is not installed.
        """
        if not isinstance(source, AudioFile):
            raise OutputError("--format audformat needs a sound file: give its path as DEVICE")
        check_audformat_folder(folder)
        self._folder = folder
        self._file = str(source)
        self._labels = labels
        self._model = model
        self._events: list[LabelEvent] = []

    def write(self, event: Event) -> None:
        """Keep a segment or window."""
        if isinstance(event, WindowEvent | SegmentEvent):
            self._events.append(event)

    def finish(self) -> None:
        """Write the database.

        Raises:
            OutputError: it cannot be written.
        """
        rows = ((self._file, event) for event in self._events)
        write_audformat(self._folder, rows, labels=self._labels, model=self._model)


def check_audformat_folder(folder: Path) -> None:
    """Refuse a folder that `write_audformat` could not write, or that holds other files.

    Raises:
        OutputError: `folder` is a file, or holds something other than an audformat database.
        MissingExtraError: the extra `audformat` is not installed.
    """
    import_extra("audformat", "audformat")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "db.yaml").is_file():
        raise OutputError(f"{folder} contains other files: choose a new folder for --output")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder: choose a new folder for --output")


def write_audformat(
    folder: Path, rows: Iterable[tuple[str, LabelEvent]], *, labels: list[str], model: str
) -> None:
    """Write a database, replacing an existing one.

    Args:
        folder: Where to write it.
        rows: File name and segment (or window) of each row.
        labels: The model's labels.
        model: Name of the model.

    Raises:
        OutputError: `folder` cannot be written.
        MissingExtraError: the extra `audformat` is not installed.
    """
    audformat = import_extra("audformat", "audformat")
    files, events = [], []
    for file, event in rows:
        files.append(_utf_8(Path(file).as_posix()))
        events.append(event)
    database = audformat.Database(
        name="emo-listen", description=f"Emotions recognised by emo-listen with the model {model}"
    )
    database.schemes["emotion"] = audformat.Scheme(labels=[*labels, UNCERTAIN])
    database.schemes["probability"] = audformat.Scheme("float", minimum=0, maximum=1)
    database.schemes["seconds"] = audformat.Scheme("float", minimum=0)
    index = audformat.segmented_index(
        files, [f"{event.start}s" for event in events], [f"{event.end}s" for event in events]
    )
    table = database[TABLE] = audformat.Table(index, description="Labels by file, start and end")
    if any(event.channel is not None for event in events):
        database.schemes["channel"] = audformat.Scheme("int", minimum=1)
        table["channel"] = audformat.Column(scheme_id="channel", description="From 1")
        table["channel"].set([event.channel for event in events])
    table["label"] = audformat.Column(scheme_id="emotion")
    table["label"].set([event.label for event in events])
    table["baseline_seconds"] = audformat.Column(
        scheme_id="seconds", description="Speech in the voice's baseline"
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
    """Escape bytes of a file name that are not UTF-8, which audformat cannot write."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")
