"""Second decoders, for files that libsndfile cannot read: PyAV (the extra `media`) or ffmpeg.

They decode recordings of phones and meetings (m4a, webm, mp4, amr), and Opus files that libsndfile
considers malformed.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from emo_listen.decoding.base import Block, DamageError, Decoder, reason
from emo_listen.decoding.wav import read_wav_header, wav_blocks

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,caf,eac3,flac,matroska,mov,mp3,mpegts,ogg,w64,wav,wv"
)
"""Containers that may be opened. Others, such as playlists, refer to further files and URLs."""

MAX_DRIFT = 0.1
"""Difference between a packet's time and the audio decoded before it above which audio is missing,
in seconds. It is 0.01 in intact Opus files that libsndfile considers malformed."""


def open_second_decoder(
    source: Path | BinaryIO, name: str, *, strict: bool = False
) -> Decoder | None:
    """Open a file with PyAV or ffmpeg; return None if neither is installed or can decode it.

    Args:
        source: A path, or a seekable binary file.
        name: Name of the file in messages.
        strict: Whether audio missing within the file is an error.
    """
    with contextlib.suppress(DamageError):
        if find_spec("av"):
            return PyAvDecoder(source, name, strict=strict)
        if shutil.which("ffmpeg") and isinstance(source, Path):
            return FfmpegDecoder(source, name, strict=strict)
    return None


def conversion_hint(name: str) -> str:
    """Return advice on how to convert the file `name`."""
    if "://" in name:  # ffmpeg needs a copy on this machine.
        name = name.rpartition("/")[2]
    path = Path(name)
    target = path.with_suffix(".flac" if path.suffix.casefold() == ".wav" else ".wav")
    command = f"ffmpeg -i {shlex.quote(name)} -ac 1 -ar 16000 {shlex.quote(str(target))}"
    if find_spec("av") or shutil.which("ffmpeg"):
        return f"If it plays elsewhere, convert it: {command}"
    return f"For more formats: pip install 'emo-listen[media]'; or convert it: {command}"


class PyAvDecoder:
    """Decodes with the FFmpeg libraries, through PyAV."""

    def __init__(self, source: Path | BinaryIO, name: str, *, strict: bool = False) -> None:
        """Open a file; arguments are those of `open_second_decoder`.

        Raises:
            DamageError: The file contains no audio that can be decoded.
        """
        av: Any = import_module("av")
        self.name = name
        self._strict = strict
        self._errors = (av.FFmpegError, OSError, ValueError)
        with contextlib.ExitStack() as stack:
            try:
                # A Python file, since PyAV rejects names that are not UTF-8.
                file: Any = source
                if isinstance(source, Path):
                    file = stack.enter_context(source.open("rb"))
                file.seek(0)
                self._container = stack.enter_context(
                    av.open(_SafeFile(file), options={"format_whitelist": CONTAINERS})
                )
                streams = self._container.streams.audio
                if not streams or streams[0].codec_context is None:
                    raise DamageError("it contains no audio that can be decoded")
                self._stream = streams[0]
                self.sampling_rate: int = self._stream.codec_context.sample_rate
                self.channels: int = self._stream.codec_context.channels
            except self._errors as error:
                raise DamageError(reason(error)) from error
            self._opened = stack.pop_all()
        length = self._container.duration
        self.duration = length / 1_000_000 if length and length > 0 else None

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, float32 (n_samples, n_channels); see `Decoder`."""
        decoded, first = 0, None
        try:
            for frame in self._container.decode(self._stream):
                if frame.sample_rate != self.sampling_rate:
                    raise DamageError("its sampling rate changes")
                if self._strict:
                    time = np.nan if frame.time is None else frame.time
                    first = time if first is None else first
                    if not abs(time - first - decoded / self.sampling_rate) <= MAX_DRIFT:
                        raise DamageError("audio is missing")
                decoded += frame.samples
                yield frame_block(frame)
        except self._errors as error:
            raise DamageError(reason(error)) from error


class _SafeFile:
    """A binary file for PyAV, which prints a traceback if seeking fails in a damaged file."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.tell = file.tell
        self._seek = file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):
            return -1


class FfmpegDecoder:
    """Decodes with the ffmpeg command."""

    duration: float | None = None

    def __init__(self, source: Path, name: str, *, strict: bool = False) -> None:
        """Start ffmpeg; arguments are those of `open_second_decoder`.

        Raises:
            DamageError: The file contains no audio that can be decoded.
        """
        self.name = name
        strictness = ["-xerror", "-err_detect", "explode"] if strict else []
        self._process = subprocess.Popen(
            [
                *("ffmpeg", "-nostdin", "-v", "quiet", *strictness),
                *("-protocol_whitelist", "file", "-format_whitelist", CONTAINERS),
                *("-i", f"file:{source}", "-map", "0:a:0", "-f", "wav", "-c:a", "pcm_f32le", "-"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._read = self._process.stdout.read
        header = read_wav_header(self._read)
        if header is None:
            self.close()
            raise DamageError("ffmpeg finds no audio in it")
        self._header = header
        self.sampling_rate = header.sampling_rate
        self.channels = header.channels

    def close(self) -> None:
        """Terminate ffmpeg."""
        self._process.kill()
        self._process.communicate()

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, float32 (n_samples, n_channels); see `Decoder`."""
        yield from wav_blocks(self._header, self._read)
        if self._process.wait() != 0:
            raise DamageError("ffmpeg cannot decode the rest")


def frame_block(frame: Any) -> Block:
    """Convert a frame of PyAV to float32 (n_samples, n_channels), -1 to 1."""
    samples = frame.to_ndarray()
    channels = frame.layout.nb_channels
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / np.float32(128)
    elif np.issubdtype(samples.dtype, np.integer):
        samples = samples / (float(np.iinfo(samples.dtype).max) + 1)
    return np.asarray(samples, np.float32)
