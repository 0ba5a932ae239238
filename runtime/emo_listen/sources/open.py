"""Opens the source for a value of `--device`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import BinaryIO

from emo_listen.decoding.pcm import PcmFormat
from emo_listen.decoding.suffixes import SOUND_SUFFIXES
from emo_listen.errors import AudioFileError, AudioInputError
from emo_listen.sound.channel_choice import ChannelChoice
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.base import Source
from emo_listen.sources.devices import is_input
from emo_listen.sources.microphone import Microphone
from emo_listen.sources.pcm_stream import PcmStream

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""Start of a URL."""


def open_source(
    device: str | int | Path,
    *,
    stdin: BinaryIO | None = None,
    sampling_rate: int = 16000,
    pcm_format: PcmFormat = "s16le",
    pcm_channels: int = 1,
    channels: ChannelChoice = "mix",
) -> Source:
    """Open the source for a value of `--device`.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of an
            audio file, or `-` for raw PCM or an audio file on `stdin`.
        stdin: Stream for `-`; standard input if None.
        sampling_rate: Sampling rate of raw PCM, in Hz.
        pcm_format: Sample format of raw PCM.
        pcm_channels: Number of channels of raw PCM.
        channels: The channels that will be listened to.

    Raises:
        AudioFileError: The file cannot be opened or decoded.
        AudioInputError: Standard input is closed or a terminal, or `device` is a URL.
        DeviceError: The device is missing or ambiguous, or PortAudio is missing.
    """
    if isinstance(device, int):
        return Microphone(device, channels)
    if isinstance(device, Path):
        return AudioFile(device)
    if device == "mic":
        return Microphone(channels=channels)
    if device == "-":
        stream = stdin or _standard_input()
        separate = channels != "mix"
        return PcmStream(stream, sampling_rate, pcm_format, pcm_channels, separate=separate)
    if (scheme := _URL.match(device)) is not None:
        raise AudioInputError(
            f"{scheme[0]} URLs are not opened: emo-listen does not use the network. "
            "Pipe the audio in: ffmpeg -i URL -f s16le -ac 1 -ar 16000 - | emo-listen --device -"
        )
    if device.isdecimal() and len(device) < 10:
        return Microphone(int(device), channels)
    if not _names_a_file(device):
        return Microphone(device, channels)
    if not os.path.lexists(device):
        raise AudioFileError(
            f"{device} is not a file: check the path, or list the microphones with "
            "emo-listen --list-devices"
        )
    return AudioFile(device)


def _names_a_file(device: str) -> bool:
    """Return whether a file is meant: a folder `USB` must not hide a device `USB`."""
    path = Path(device)
    if path.suffix.casefold() in SOUND_SUFFIXES:
        return True
    if os.path.isfile(device):
        return len(path.parts) > 1 or not is_input(device, whole_name=True)
    may_be_a_path = len(path.parts) > 1 or os.path.lexists(device)
    return may_be_a_path and not is_input(device, whole_name=False)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise AudioInputError("standard input is closed: pipe audio into it")
    if sys.stdin.isatty():
        raise AudioInputError(
            "standard input is a terminal: pipe raw 16-bit PCM into it, for example "
            "arecord -t raw -f S16_LE -r 16000 | emo-listen --device -"
        )
    return sys.stdin.buffer
