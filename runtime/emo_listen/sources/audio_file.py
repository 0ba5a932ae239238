"""A sound file as a source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import open_audio_file


class AudioFile:
    """A file of sound, at its own rate."""

    live = False

    def __init__(self, path: str | Path) -> None:
        """Check that `path` can be read as sound.

        Raises:
            AudioFileError: the file cannot be opened, or holds no sound that is understood.
        """
        self._path = Path(path)
        self._stopped = False
        self.position = 0.0
        """Sound decoded so far, in seconds."""
        with open_audio_file(self._path) as file:
            self.sampling_rate: int = file.sampling_rate
            self.duration = file.duration
            """Length that the header claims, in seconds; None where it claims none."""

    def __str__(self) -> str:
        return str(self._path)

    def stop(self) -> None:
        """End the stream after the block that is being decoded."""
        self._stopped = True

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks, float32 (n_samples, n_channels), until the file ends or `stop` is called.

        Raises:
            AudioFileError: the file is damaged.
        """
        with open_audio_file(self._path) as file:
            for block in file.blocks():
                if self._stopped:
                    return
                self.position = file.position
                yield block
