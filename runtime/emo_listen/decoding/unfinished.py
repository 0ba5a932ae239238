"""AU and AIFF files whose header tells no length, as a recorder leaves them that was killed."""

from __future__ import annotations

import io
from typing import BinaryIO

FORMATS = ("AU", "AIFF")
"""Formats, as libsndfile names them, in which `without_length` makes it read to the end."""

_LONGEST_HEADER = 1 << 16
"""Bytes within which the sound of an AIFF file begins."""


def without_length(file: BinaryIO) -> BinaryIO:
    """Return a view of an AU or AIFF file whose header leaves the length open.

    libsndfile takes a length of 0 at its word, but reads to the end of the file where AU says
    0xFFFFFFFF, and where the sound chunk of AIFF is empty. Closing the view closes `file`.
    """
    file.seek(0)
    head = file.read(_LONGEST_HEADER)
    at, length = 8, b"\xff" * 4
    if head.startswith(b"FORM"):
        at, length = head.find(b"SSND") + 4, bytes(4)
    return io.BufferedReader(_Patched(file, at, length))


class _Patched(io.RawIOBase):
    """A file with other bytes at one place."""

    def __init__(self, file: BinaryIO, at: int, patch: bytes) -> None:
        self._file = file
        self._at = at
        self._patch = patch
        file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        place = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for i, byte in enumerate(self._patch, self._at - place):
            if 0 <= i < len(data):
                data[i] = byte
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
