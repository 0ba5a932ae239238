"""The result of `emo-listen analyse` as JSON Lines, which is its own journal.

The first line tells what heard: `{"type": "analysis", "model": …, "sha256": …, …}`. Then, for
each file, stand its events, each with its `file`, closed by one line that makes them count:
`{"type": "file", "file": …, "size": …, "modified_ns": …, "seconds": …, "path": …}`, or for a file
that cannot be read `{"type": "error", "file": …, "error": …, "path": …}`. `path` is absolute and
without links, by which a later run knows the file that it calls by another name. What a killed run
leaves after the last such line is dropped by the next, which goes on from there.
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

from emo_listen.errors import OutputError


@dataclass(frozen=True)
class Entry:
    """Where one file's lines stand in the journal, and the line that closes them."""

    start: int
    """Offset of the first of its lines, in bytes."""

    end: int
    """Offset after its last line, in bytes."""

    closing: dict[str, Any]
    """The line of type `file` or `error`."""


class Journal:
    """A file of JSON Lines that grows by one sound file's events at a time."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Open the journal that an earlier run began, or begin one.

        Args:
            path: The file.
            header: The first line; that of an earlier run must be the same.

        Raises:
            OutputError: the file is none of ours, or another model or other options made it.
        """
        self.path = path
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}
        """What the file at a path was called."""
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
        """Return the line that closes a file's events, by whatever name; None if there is none."""
        entry = self._entries.get(self._names.get(os.path.realpath(file), file))
        return None if entry is None else entry.closing

    def append(self, events: Path | None, closing: dict[str, Any]) -> None:
        """Add a file's events, lines in the file `events`, and the line that makes them count."""
        start = self._file.tell()
        closing = {**closing, "path": os.path.realpath(closing["file"])}
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

    def drop_missing(self, except_for: set[str]) -> int:
        """Forget files that were deleted from folders that are still there; return their number.

        Where a folder is gone, too, a disk may only be away.
        """
        missing = [
            name
            for name, entry in self._entries.items()
            if name not in except_for and _is_deleted(entry.closing.get("path", name))
        ]
        for name in missing:
            del self._entries[name]
        return len(missing)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the events and errors of all files, in the order of their names; once finished."""
        with self.path.open("rb") as journal:
            for _, entry in sorted(self._entries.items()):
                journal.seek(entry.start)
                while journal.tell() < entry.end:
                    row = json.loads(journal.readline())
                    if row["type"] != "file":
                        yield row

    def finish(self) -> None:
        """Put the files into the order of their names, drop what was replaced, and close."""
        self._file.close()
        ordered = self.path.with_name(self.path.name + ".tmp")
        with self.path.open("rb") as journal, ordered.open("wb") as file:
            file.write(journal.readline())
            for name, entry in sorted(self._entries.items()):
                start = file.tell()
                journal.seek(entry.start)
                _copy(journal, file, entry.end - entry.start)
                self._entries[name] = Entry(start, file.tell(), entry.closing)
            file.flush()
            os.fsync(file.fileno())
        ordered.replace(self.path)

    def _check_header(self, header: dict[str, Any]) -> None:
        with self.path.open("rb") as file:
            line = file.readline()
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("type") != "analysis":
            raise OutputError(
                f"{self.path} holds something else than results, and is left as it is: "
                "give another --output"
            )
        changed = [name for name in header if found.get(name) != header[name]]
        if changed:
            raise OutputError(
                f"{self.path} was made with another {', '.join(changed)}: give another --output, "
                "or delete it"
            )

    def _read(self) -> int:
        """Find each file's lines; return the offset after the last line that counts."""
        with self.path.open("rb") as file:
            start = position = len(file.readline())
            for line in file:
                position += len(line)
                if not line.endswith(b"\n"):
                    break
                # Only whole lines are parsed, and of a long file's events only the type.
                if not line.startswith((b'{"type": "file"', b'{"type": "error"')):
                    continue
                closing = json.loads(line)
                self._enter(Entry(start, position, closing))
                start = position
        return start

    def _enter(self, entry: Entry) -> None:
        """Take an entry, in place of that of the same file, by whatever name."""
        name = entry.closing["file"]
        path = entry.closing.get("path", name)
        self._entries.pop(self._names.get(path, name), None)
        self._names[path] = name
        self._entries[name] = entry


class LinesOnStandardOutput:
    """The same lines on standard output, each file's as soon as it is done."""

    on_standard_output = True

    def __init__(self, header: dict[str, Any]) -> None:
        """Write the first line."""
        self._write(_line(header))

    def closing(self, file: str) -> None:
        """Return None: nothing was done before."""

    def append(self, events: Path | None, closing: dict[str, Any]) -> None:
        """Write a file's events, lines in the file `events`, and the line that closes them."""
        self._write((events.read_bytes() if events is not None else b"") + _line(closing))

    def _write(self, lines: bytes) -> None:
        sys.stdout.write(lines.decode())
        sys.stdout.flush()


def _is_deleted(path: str) -> bool:
    return not os.path.lexists(path) and os.path.isdir(os.path.dirname(os.path.abspath(path)))


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode()


def _copy(source: Any, target: Any, length: int) -> None:
    """Copy `length` bytes without holding them all."""
    while length:
        data = source.read(min(length, 1 << 20))
        target.write(data)
        length -= len(data)
