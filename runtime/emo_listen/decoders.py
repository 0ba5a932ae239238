"""Open a sound file with the first decoder that can read it: libsndfile, else a second one."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import BinaryIO

import numpy as np
import soundfile

from emo_listen.decoder import MAX_CHANNELS, Block, DamageError, Decoder, block_length, reason
from emo_listen.errors import AudioFileError
from emo_listen.media import MAX_DRIFT, MEDIA_SUFFIXES, conversion_hint, open_second_decoder
from emo_listen.rates import MAX_RATE, MIN_RATE
from emo_listen.wav import read_wav_header, wav_blocks

SOUND_SUFFIXES = {f".{name.casefold()}" for name in soundfile.available_formats()} | {
    *(".aif", ".aifc", ".oga", ".opus"),
    *MEDIA_SUFFIXES,
}
"""Ends of names that mean sound."""


def open_decoder(source: Path | BinaryIO, name: str) -> Decoder:
    """Open a sound file; the caller closes it.

    Args:
        source: A path, or a seekable binary file.
        name: What messages call it.

    Raises:
        AudioFileError: it cannot be opened, holds no sound that is understood, or its header claims
            what cannot be.
    """
    if isinstance(source, Path):
        check_regular_file(source)
    decoder: Decoder | None
    try:
        decoder = LibsndfileDecoder(source, name)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        decoder = open_second_decoder(source, name)
        if decoder is None:
            raise AudioFileError(
                f"{name} cannot be read as sound ({reason(error)}). WAV, FLAC, Ogg Vorbis, Opus, "
                f"MP3 and AIFF can. {conversion_hint(name)}"
            ) from error
    try:
        check_header(decoder.sampling_rate, decoder.channels, name)
    except AudioFileError:
        decoder.close()
        raise
    return decoder


def check_header(sampling_rate: int, channels: int, name: str) -> None:
    """Refuse what no recorder writes, but a damaged header of the file `name` may claim.

    Raises:
        AudioFileError: the rate in Hz is outside `MIN_RATE` to `MAX_RATE`, or there are too many
            channels.
    """
    if not MIN_RATE <= sampling_rate <= MAX_RATE:
        raise AudioFileError(
            f"{name} claims a sampling rate of {sampling_rate} Hz: only {MIN_RATE} to {MAX_RATE} "
            "Hz can be read"
        )
    if channels > MAX_CHANNELS:
        raise AudioFileError(
            f"{name} claims {channels} channels: only {MAX_CHANNELS} can be read. "
            f"{conversion_hint(name)}"
        )


def check_regular_file(path: Path) -> None:
    """Refuse what is not a regular file: reading a pipe or a device might never end.

    Raises:
        AudioFileError: nothing is there, it is not a regular file, or it cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        broken = "a link to a file that does not exist" if path.is_symlink() else "not a file"
        raise AudioFileError(f"{path} is {broken}") from None
    except OSError as error:
        raise AudioFileError(f"{path} cannot be opened: {error.strerror}") from error
    except ValueError:  # A null byte.
        raise AudioFileError(f"{path!r} is not a file") from None
