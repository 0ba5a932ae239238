"""The results of `emo-listen analyse` as JSON Lines, from which an interrupted run continues.

The first line holds the options: `{"type": "analysis", "model": …, "sha256": …, …}`. The events of
each file follow, each with its `file`, and then a closing line that makes them valid:
`{"type": "file", "file": …, "size": …, "modified_ns": …, "seconds": …, "path": …}`, or for a file
that cannot be read `{"type": "error", "file": …, "error": …, "path": …}`. `path` is absolute and
free of links, so a later run recognises a file under another name. Lines after the last closing
line come from a run that was killed; the next run removes them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_listen.commands.sound_files import real_path
from emo_listen.errors import OutputError
from emo_listen.sources.stored_file import is_stored, stored_exists


@dataclass(frozen=True)
class Entry:
    """The position of one file's lines in the journal, and their closing line."""

    start: int
    """Offset of the file's first line, in bytes."""

    end: int
    """Offset after the file's last line, in bytes."""

    closing: dict[str, Any]
    """The line of type `file` or `error`."""


class Journal:
    """A JSON Lines file to which the events of one sound file at a time are appended."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Open the journal of an earlier run, or create one.

        Args:
            path: The file.
            header: The first line; an earlier run must have written the same.

        Raises:
            OutputError: the file is not a journal, or was written with another model or options.
        """
        self.path = path
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        """The name of each file in the journal, by its path."""
        try:
            if path.exists() and path.stat().st_size:
                self._check_header(header)
                end = self._read()
                os.truncate(path, end)
            else:
                path.write_bytes(_line(header))
            self._file = path.open("ab")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    on_standard_output = False

    def closing(self, file: str) -> dict[str, Any] | None:
        """Return the closing line of a file, under any of its names; None if there is none."""
        entry = self._entries.get(self._names.get(real_path(file), file))
        return None if entry is None else entry.closing

    def append(self, events: Path | None, closing: dict[str, Any]) -> None:
        """Append a file's events, from the JSON Lines file `events`, and its closing line."""
        start = self._file.tell()
        closing = {**closing, "path": real_path(closing["file"])}
        try:
            if events is not None:
                with events.open("rb") as lines:
                    shutil.copyfileobj(lines, self._file)
            self._file.write(_line(closing))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error
        self._enter(Entry(start, self._file.tell(), closing))

    def drop_deleted(self, except_for: set[str]) -> int:
        """Remove deleted files from the results; return their number.

        Files whose folder is missing, too, are kept, as their disk may just not be mounted.
        """
        deleted = [
            name
            for name, entry in self._entries.items()
            if name not in except_for and _is_deleted(entry.closing.get("path", name))
        ]
        for name in deleted:
            del self._entries[name]
        return len(deleted)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield events and errors, sorted by file name; call `finish` first."""
        with self.path.open("rb") as journal:
            for _, entry in sorted(self._entries.items()):
                journal.seek(entry.start)
                while journal.tell() < entry.end:
                    row = json.loads(journal.readline())
                    if row["type"] != "file":
                        yield row

    def finish(self) -> None:
        """Sort the journal by file name, remove replaced lines, and close it."""
        self._file.close()
        temporary = self.path.with_name(self.path.name + ".tmp")
        with self.path.open("rb") as journal, temporary.open("wb") as file:
            file.write(journal.readline())
            for name, entry in sorted(self._entries.items()):
                start = file.tell()
                journal.seek(entry.start)
                _copy(journal, file, entry.end - entry.start)
                self._entries[name] = Entry(start, file.tell(), entry.closing)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def _check_header(self, header: dict[str, Any]) -> None:
        with self.path.open("rb") as file:
            line = file.readline()
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("type") != "analysis":
            raise OutputError(
                f"{self.path} exists and was not written by emo-listen analyse: choose another "
                "--output"
            )
        changed = [name for name in header if found.get(name) != header[name]]
        if changed:
            raise OutputError(
                f"{self.path} was written with another {', '.join(changed)}: choose another "
                "--output, or delete it"
            )

    def _read(self) -> int:
        """Find the lines of each file; return the offset after the last closing line."""
        with self.path.open("rb") as file:
            start = position = len(file.readline())
            for line in file:
                position += len(line)
                if not line.endswith(b"\n"):
                    break
                # Only closing lines are parsed: events may be many.
                if not line.startswith((b'{"type": "file"', b'{"type": "error"')):
                    continue
                closing = json.loads(line)
                self._enter(Entry(start, position, closing))
                start = position
        return start

    def _enter(self, entry: Entry) -> None:
        """Add an entry, replacing that of the same file under any name."""
        name = entry.closing["file"]
        path = entry.closing.get("path", name)
        self._entries.pop(self._names.get(path, name), None)
        self._names[path] = name
        self._entries[name] = entry


class LinesOnStandardOutput:
    """Writes the same lines to standard output, those of each file as soon as it is done."""

    on_standard_output = True

    def __init__(self, header: dict[str, Any]) -> None:
        """Write the first line."""
        self._write(_line(header))

    def closing(self, file: str) -> None:
        """Return None: there are no earlier results."""

    def append(self, events: Path | None, closing: dict[str, Any]) -> None:
        """Write a file's events, from the JSON Lines file `events`, and its closing line."""
        self._write((events.read_bytes() if events is not None else b"") + _line(closing))

    def _write(self, lines: bytes) -> None:
        sys.stdout.write(lines.decode())
        sys.stdout.flush()


def _is_deleted(path: str) -> bool:
    if is_stored(path):
        return not stored_exists(path)
    return not os.path.lexists(path) and os.path.isdir(os.path.dirname(os.path.abspath(path)))


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode()


def _copy(source: Any, target: Any, length: int) -> None:
    """Copy `length` bytes in blocks."""
    while length:
        data = source.read(min(length, 1 << 20))
        target.write(data)
        length -= len(data)
