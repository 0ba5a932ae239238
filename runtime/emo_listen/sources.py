"""Where sound comes from: iterators of float32 blocks at their own rate.

All sound is float32 (n_samples, n_channels), nominally within -1 to 1. Which block sizes come is
the source's affair; the rest of the runtime gives the same output for any.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import open_audio_file
from emo_listen.decoders import SOUND_SUFFIXES
from emo_listen.devices import is_input, list_input_devices
from emo_listen.errors import AudioFileError, AudioInputError
from emo_listen.gaps import Gap
from emo_listen.microphone import Microphone
from emo_listen.pcm import PcmFormat
from emo_listen.pcm_stream import PcmStream

__all__ = [
    "AudioFile",
    "Gap",
    "Microphone",
    "PcmStream",
    "Source",
    "list_input_devices",
    "open_source",
]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How an address on a network begins."""


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


def open_source(
    device: str | int | Path,
    *,
    stdin: BinaryIO | None = None,
    sampling_rate: int = 16000,
    pcm_format: PcmFormat = "s16le",
    channels: int = 1,
) -> Source:
    """Open what `--device` names.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of a
            sound file, or `-` for raw PCM on `stdin`.
        stdin: Where `-` reads from; the process's standard input where None.
        sampling_rate: Rate of that PCM in Hz.
        pcm_format: How its samples are written.
        channels: Its channels, which are mixed down.

    Raises:
        AudioFileError: the file cannot be opened, or holds no sound that is understood.
        AudioInputError: standard input is closed or a terminal, or `device` is the address of a
            stream.
        DeviceError: the device is absent or ambiguous, or PortAudio is missing.
    """
    if isinstance(device, int):
        return Microphone(device)
    if isinstance(device, Path):
        return AudioFile(device)
    if device == "mic":
        return Microphone()
    if device == "-":
        return PcmStream(stdin or _standard_input(), sampling_rate, pcm_format, channels)
    if (scheme := _URL.match(device)) is not None:
        raise AudioInputError(
            f"{scheme[0]} addresses cannot be opened, since emo-listen does not use the network. "
            "Pipe the sound in: ffmpeg -i URL -f s16le -ac 1 -ar 16000 - | emo-listen --device -"
        )
    if device.isdecimal() and len(device) < 10:
        return Microphone(int(device))
    if not _names_a_file(device):
        return Microphone(device)
    if not os.path.lexists(device):
        raise AudioFileError(
            f"{device} is not a file: check the path, or list the microphones with "
            "emo-listen --list-devices"
        )
    return AudioFile(device)


def _names_a_file(device: str) -> bool:
    """Return whether a file is meant, not a device: a folder `USB` does not hide a device `USB`."""
    path = Path(device)
    if path.suffix.casefold() in SOUND_SUFFIXES:
        return True
    if os.path.isfile(device):
        return len(path.parts) > 1 or not is_input(device, whole_name=True)
    may_be_a_path = len(path.parts) > 1 or os.path.lexists(device)
    return may_be_a_path and not is_input(device, whole_name=False)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise AudioInputError("standard input is closed: pipe sound into it")
    if sys.stdin.isatty():
        raise AudioInputError(
            "standard input is a terminal: pipe raw 16-bit PCM into it, for example "
            "arecord -t raw -f S16_LE -r 16000 | emo-listen --device -"
        )
    return sys.stdin.buffer
