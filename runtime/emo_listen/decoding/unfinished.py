"""AU and AIFF files without a length in the header, as a killed recorder leaves them."""

from __future__ import annotations

import io
from typing import BinaryIO

FORMATS = ("AU", "AIFF")
"""Formats, with libsndfile's names, that `without_length` supports."""

_LONGEST_HEADER = 1 << 16
"""Bytes within which the samples of an AIFF file begin."""


def without_length(file: BinaryIO) -> BinaryIO:
    """Return a view of an AU or AIFF file that makes libsndfile read to the end of the file.

    libsndfile reads nothing for a length of 0, but to the end of the file for 0xFFFFFFFF in AU and
    for an empty sound chunk in AIFF. Closing the view closes `file`.
    """
    file.seek(0)
    head = file.read(_LONGEST_HEADER)
    at, length = 8, b"\xff" * 4
    if head.startswith(b"FORM"):
        at, length = head.find(b"SSND") + 4, bytes(4)
    return io.BufferedReader(_Patched(file, at, length))


class _Patched(io.RawIOBase):
    """A file with some bytes replaced."""

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
