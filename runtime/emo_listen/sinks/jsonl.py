"""JSON Lines, for programs: on a stream, or appended to a file."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from emo_listen.errors import OutputError
from emo_listen.events import Event


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as an object of JSON: its type, then its other fields."""
    return {"type": event.type, **dataclasses.asdict(event)}


class JsonLinesSink:
    """Writes each event as one line of JSON, and flushes it at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one line."""
        self._stream.write(json.dumps(event_row(event)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream to whoever opened it."""


class RecordSink:
    """Appends events to a file of JSON Lines, each on the disk's way at once.

    Nothing that stands in the file is ever lost. Since stream time begins anew with every
    session, each begins with a line that tells when it began and what was listened to:
    `{"type": "session", "started": "2025-01-31T09:30:00+01:00", "source": …, "model": …}`.
    """

    def __init__(self, path: Path, *, source: str, model: str) -> None:
        """Open or make the file, and begin a session in it.

        Raises:
            OutputError: it cannot be written, or holds something else.
        """
        _check_record(path)
        self._path = path
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error
        if _ends_within_a_line(path):
            self._file.write(b"\n")
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._append({"type": "session", "started": started, "source": source, "model": model})

    def write(self, event: Event) -> None:
        """Append one line."""
        self._append(event_row(event))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, row: dict[str, Any]) -> None:
        try:
            self._file.write((json.dumps(row) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._path} cannot be written: {error.strerror}") from error


def _check_record(path: Path) -> None:
    """Refuse a file that no earlier session has begun."""
    if not path.exists():
        return
    if not path.is_file():
        raise OutputError(f"{path} is not a file: give another one for the labels")
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from error
    if first and not first.startswith(b'{"type": "session"'):
        raise OutputError(f"{path} is no record of labels, and is left as it is: give another file")


def _ends_within_a_line(path: Path) -> bool:
    """Whether the last line was cut short, as by a loss of power."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
