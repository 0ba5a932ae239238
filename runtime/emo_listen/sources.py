"""Where sound comes from: iterators of float32 blocks at their own rate.

All sound is mono float32 (n_samples,), nominally within -1 to 1. Which block sizes come is the
source's affair; the rest of the runtime gives the same output for any.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from emo_listen.audio import open_audio_file, read_blocks
from emo_listen.devices import list_input_devices
from emo_listen.errors import AudioInputError
from emo_listen.gaps import Gap
from emo_listen.microphone import Microphone
from emo_listen.rates import check_rate

__all__ = [
    "AudioFile",
    "Gap",
    "Microphone",
    "PcmStream",
    "Source",
    "list_input_devices",
    "open_source",
]

_FILE_SUFFIXES = {f".{name.casefold()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".oga",
    ".opus",
}
"""Ends of names that mean a sound file even where none has that name."""


class Source(Protocol):
    """Where sound comes from; a program may bring its own."""

    live: bool
    """Whether the stream goes on until `stop`: the sound that has come by then is still heard,
    where the rest of a recording is not."""

    sampling_rate: int
    """Rate of the blocks in Hz, 1,000 to 1,000,000."""

    def __iter__(self) -> Iterator[NDArray[Any] | Gap]:
        """Yield blocks, and a gap wherever sound was lost.

        A block is float32 (n_samples,) or (n_samples, n_channels), nominally within -1 to 1;
        int16 and int32 are scaled to that.
        """
        ...

    def stop(self) -> None:
        """End the stream soon, also while it waits for sound; called from any thread or signal."""
        ...


class AudioFile:
    """A file that soundfile reads, at its own rate, its channels mixed down."""

    live = False

    def __init__(self, path: str | Path) -> None:
        """Check that `path` can be read as sound.

        Raises:
            AudioFileError: the file is absent or no sound.
        """
        self._path = Path(path)
        self._stopped = False
        with open_audio_file(path) as file:
            self.sampling_rate: int = file.samplerate

    def __str__(self) -> str:
        return str(self._path)

    def stop(self) -> None:
        """End the stream after the block that is being decoded."""
        self._stopped = True

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks, float32 (n_samples,), until the file ends or `stop` is called.

        Raises:
            AudioFileError: the file is damaged.
        """
        with open_audio_file(self._path) as file:
            for block in read_blocks(file):
                if self._stopped:
                    return
                yield block


class PcmStream:
    """Raw mono PCM, signed 16-bit little-endian, as `arecord -t raw -f S16_LE` writes it."""

    live = False

    def __init__(self, stream: BinaryIO, sampling_rate: int) -> None:
        """Read from `stream`, which is unbuffered or buffered binary, at a rate in Hz."""
        self._stream = stream
        self._stopped = False
        self.sampling_rate = check_rate(sampling_rate)

    def __str__(self) -> str:
        return f"PCM at {self.sampling_rate} Hz from standard input"

    def stop(self) -> None:
        """End the stream before the next block."""
        self._stopped = True

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks, float32 (n_samples,), as they come, until the stream ends."""
        read = getattr(self._stream, "read1", self._stream.read)
        rest = b""
        while not self._stopped and (data := read(self.sampling_rate)):
            data = rest + data
            whole = len(data) - len(data) % 2
            rest = data[whole:]
            if whole:
                samples = np.frombuffer(data[:whole], dtype="<i2")
                yield samples.astype(np.float32) / np.float32(32768)


def open_source(
    device: str | int | Path, *, stdin: BinaryIO | None = None, sampling_rate: int = 16000
) -> Source:
    """Open what `--device` names.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of a
            sound file, or `-` for raw 16-bit PCM on `stdin`.
        stdin: Where `-` reads from; the process's standard input where None.
        sampling_rate: Rate of that PCM in Hz.

    Raises:
        AudioFileError: the file is absent or no sound.
        DeviceError: the device is absent or ambiguous, or PortAudio is missing.
    """
    if isinstance(device, int):
        return Microphone(device)
    if isinstance(device, Path):
        return AudioFile(device)
    if device == "mic":
        return Microphone()
    if device == "-":
        stdin = stdin or sys.stdin.buffer
        if stdin.isatty():
            raise AudioInputError(
                "standard input is a terminal: pipe raw 16-bit PCM into it, for example "
                "arecord -t raw -f S16_LE -r 16000 | emo-listen --device -"
            )
        return PcmStream(stdin, sampling_rate)
    if device.isdecimal():
        return Microphone(int(device))
    path = Path(device)
    if path.exists() or len(path.parts) > 1 or path.suffix.casefold() in _FILE_SUFFIXES:
        return AudioFile(path)
    return Microphone(device)
