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
from emo_listen.sinks.base import Sink


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object: its type, then its other fields; no channel of None."""
    row = {"type": event.type, **dataclasses.asdict(event)}
    if event.channel is None:
        del row["channel"]
    return row


class JsonLinesSink(Sink):
    """Writes each event as one line of JSON, and flushes it."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, which the caller closes."""
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one line."""
        self._stream.write(json.dumps(event_row(event)) + "\n")
        self._stream.flush()


class RecordSink(Sink):
    """Appends events to a JSON Lines file, and flushes each; existing lines are never changed.

    Stream times start at 0 in every session, so each session begins with a line that says when it
    started and what it listened to:
    `{"type": "session", "started": "2025-01-31T09:30:00+01:00", "source": …, "model": …}`.
    """

    def __init__(self, path: Path, *, source: str, model: str) -> None:
        """Open or create the file, and start a session in it.

        Raises:
            OutputError: the file cannot be written, or is not a record of labels.
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
    """Refuse an existing file that does not begin with a session."""
    if not path.exists():
        return
    if not path.is_file():
        raise OutputError(f"{path} is not a regular file: choose another file for --record-labels")
    try:
        with path.open("rb") as file:
            first = file.readline()
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}") from error
    if first and not first.startswith(b'{"type": "session"'):
        raise OutputError(
            f"{path} exists and was not written by --record-labels: choose another file"
        )


def _ends_within_a_line(path: Path) -> bool:
    """Whether the last line is incomplete, for example after a power failure."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
