"""Replaces standard streams that the caller closed, as in `emo-listen <&- >&- 2>&-`."""

from __future__ import annotations

import io
import os
import sys


def replace_closed_streams() -> None:
    """Open the null device for each closed standard stream.

    Otherwise the next file opened would get its descriptor, and the output of libraries. Standard
    output is opened for reading only, so that writing to it still fails.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system assigns the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDONLY if descriptor < 2 else os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = _text(1)
    if sys.stderr is None:
        sys.stderr = _text(2)


def _text(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="utf-8")
