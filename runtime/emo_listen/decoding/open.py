"""Opens audio files with libsndfile, or else with a second decoder."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO

import numpy as np
import soundfile

from emo_listen.decoding.base import MAX_CHANNELS, Block, DamageError, Decoder, block_length, reason
from emo_listen.decoding.media import (
    MAX_DRIFT,
    conversion_hint,
    open_second_decoder,
)
from emo_listen.decoding.unfinished import FORMATS, without_length
from emo_listen.decoding.wav import read_wav_header, wav_blocks
from emo_listen.errors import AudioFileError
from emo_listen.sound.rates import MAX_RATE, MIN_RATE


def open_decoder(source: Path | BinaryIO, name: str) -> Decoder:
    """Open an audio file; the caller closes it.

    Args:
        source: A path, or a seekable binary file.
        name: Name of the file in messages.

    Raises:
        AudioFileError: The file cannot be opened or decoded, or its header has impossible values.
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
                f"{name} cannot be decoded as audio ({reason(error)}). Supported: WAV, FLAC, Ogg "
                f"Vorbis, Opus, MP3, AIFF. {conversion_hint(name)}"
            ) from error
    try:
        check_header(decoder.sampling_rate, decoder.channels, name)
    except AudioFileError:
        decoder.close()
        raise
    return decoder


def check_header(sampling_rate: int, channels: int, name: str) -> None:
    """Check the values in the header of the file `name`, which may be damaged.

    Raises:
        AudioFileError: The rate in Hz is outside `MIN_RATE` to `MAX_RATE`, or there are too many
            channels.
    """
    if not MIN_RATE <= sampling_rate <= MAX_RATE:
        raise AudioFileError(
            f"{name} has a sampling rate of {sampling_rate} Hz: only {MIN_RATE} to {MAX_RATE} Hz "
            "are supported"
        )
    if channels > MAX_CHANNELS:
        raise AudioFileError(
            f"{name} has {channels} channels: at most {MAX_CHANNELS} are supported. "
            f"{conversion_hint(name)}"
        )


def check_regular_file(path: Path) -> None:
    """Check that a path is a regular file: reading a pipe or a device might never end.

    Raises:
        AudioFileError: The path does not exist, is not a regular file, or cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        broken = "a link to a file that does not exist"
        absent = "not a file: check the path"
        raise AudioFileError(f"{path} is {broken if path.is_symlink() else absent}") from None
    except OSError as error:
        raise AudioFileError(f"{path} cannot be opened: {error.strerror}") from error
    except ValueError:  # A null byte.
        raise AudioFileError(f"{path!r} is not a file: check the path") from None
    if stat.S_ISDIR(mode):
        raise AudioFileError(
            f"{path} is a folder: for the sound files in it, run "
            f"emo-listen analyse {quote(str(path))}"
        )
    if not stat.S_ISREG(mode):
        raise AudioFileError(
            f"{path} is a pipe, a socket or a device, not a file: to read from it, run "
            f"emo-listen --device - < {quote(str(path))}"
        )


class LibsndfileDecoder:
    """Decodes with libsndfile: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and more."""

    def __init__(self, source: Path | BinaryIO, name: str) -> None:
        """Open a file; errors are those of soundfile."""
        self.name = name
        self._source = source
        place: str | bytes | BinaryIO
        if isinstance(source, Path):
            # soundfile itself encodes strictly, which fails for names that are not UTF-8.
            place = str(source) if sys.platform == "win32" else os.fsencode(source)
        else:
            source.seek(0)
            place = source
        self._file = _open_forward(place)
        self._opened: BinaryIO | None = None
        if self._file.frames == 0 and self._file.format in FORMATS:
            self._file.close()
            if isinstance(source, Path):
                source = self._opened = source.open("rb")
            self._file = _open_forward(without_length(source))
        self.sampling_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        frames: int = self._file.frames
        # If the header has no length, libsndfile returns 0 or the largest number.
        known = 0 < frames < 1 << 48
        self.duration = frames / self.sampling_rate if known else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._opened is not None:
            self._opened.close()

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, float32 (n_samples, n_channels); see `Decoder`."""
        if self._file.frames == 0 and self._file.format in ("WAV", "WAVEX", "RF64"):
            return _unfinished_wav(self._source)
        return self._blocks()

    def _blocks(self) -> Iterator[Block]:
        decoded = 0
        length = block_length(self.sampling_rate, self.channels)
        while True:
            # After an error, only the samples written show how many were decoded.
            block = np.full((length, self.channels), np.nan, np.float32)
            try:
                read = len(self._file.read(out=block))
            except (soundfile.SoundFileError, OSError) as error:
                written = np.flatnonzero(~np.isnan(block[:, 0]))
                if len(written):
                    yield block[: written[-1] + 1]
                raise DamageError(reason(error)) from error
            if read == 0:
                break
            decoded += read
            yield block[:read]
        # libsndfile does not report damaged Ogg pages.
        missing = (self.duration or 0.0) - decoded / self.sampling_rate
        if self._file.format == "OGG" and missing > MAX_DRIFT:
            raise DamageError(f"{missing:.2f} s of audio are missing")


def _open_forward(file: str | bytes | BinaryIO) -> Any:
    """Open a `soundfile.SoundFile` that never seeks.

    soundfile seeks after each block that it reads. libmpg123 then decodes MP3 again from a little
    before, which alters the sound slightly and puts a line on standard error each time.
    """
    opened = soundfile.SoundFile(file)
    opened.seekable = lambda: False
    return opened


def _unfinished_wav(source: Path | BinaryIO) -> Iterator[Block]:
    """Yield the audio of a WAV file whose recorder left a length of 0 in the header."""
    file = source.open("rb") if isinstance(source, Path) else source
    try:
        file.seek(0)
        header = read_wav_header(file.read)
        if header is not None:
            yield from wav_blocks(header, file.read)
    except OSError as error:
        raise DamageError(reason(error)) from error
    finally:
        if isinstance(source, Path):
            file.close()
