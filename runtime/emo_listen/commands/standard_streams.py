"""Standard streams that the caller closed, as `emo-listen <&- >&- 2>&-` does."""

from __future__ import annotations

import io
import os
import sys


def replace_closed_streams() -> None:
    """Put the null device where a standard stream is closed.

    Otherwise the next file that is opened takes its descriptor, and gets what libraries print.
    Standard output is opened for reading, so that what is written to it fails as it should.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor is taken, which is this one.
            os.open(os.devnull, os.O_RDONLY if descriptor < 2 else os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = _text(1)
    if sys.stderr is None:
        sys.stderr = _text(2)


def _text(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="utf-8")
