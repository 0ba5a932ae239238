"""An audio file as a source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import AudioReader, open_audio_file


class AudioFile:
    """An audio file, at its own sampling rate."""

    live = False

    def __init__(self, path: str | Path) -> None:
        """Check that the file at `path` can be decoded.

        Raises:
            AudioFileError: The file cannot be opened or decoded.
        """
        self._name = str(path)
        self._stopped = False
        self.position = 0.0
        """Audio decoded so far, in seconds."""
        with self._open() as file:
            self.sampling_rate: int = file.sampling_rate
            self.duration = file.duration
            """Duration by the header, in seconds; None if it has none."""

    def __str__(self) -> str:
        return self._name

    def _open(self) -> AbstractContextManager[AudioReader]:
        return open_audio_file(self._name)

    def stop(self) -> None:
        """End the stream after the current block."""
        self._stopped = True

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks, float32 (n_samples, n_channels), until the file ends or `stop` is called.

        Raises:
            AudioFileError: The file is damaged.
        """
        with self._open() as file:
            for block in file.blocks():
                if self._stopped:
                    return
                self.position = file.position
                yield block
