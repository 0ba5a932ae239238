"""Decode, mix down, resample to the model's rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from emo_listen.errors import AudioFileError
from emo_listen.mixing import MixDown

FRAMES_PER_SECOND = 50
"""Frames in which `Resampler` works on each second of sound."""


class Resampler:
    """Brings a stream of mono blocks from one sampling rate to another.

    Whatever size the blocks have, they are re-cut into frames of 20 ms before anything is
    computed, so that the output is bit-identical for the same samples in any blocks, and comes
    in 20 ms frames also where no resampling is needed.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Convert from `source_rate` to `target_rate`, both in Hz."""
        self._frame_length = max(1, source_rate // FRAMES_PER_SECOND)
        self._pending: list[NDArray[np.float32]] = []
        self._pending_length = 0
        self._stream = (
            soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32")
            if source_rate != target_rate
            else None
        )

    def push(self, block: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take `block`, float32 (n_samples,), and yield what is ready, float32 (n,)."""
        self._pending.append(block)
        self._pending_length += len(block)
        if self._pending_length < self._frame_length:
            return
        samples = np.concatenate(self._pending)
        whole = len(samples) - len(samples) % self._frame_length
        self._pending = [samples[whole:]]
        self._pending_length = len(samples) - whole
        for start in range(0, whole, self._frame_length):
            frame = samples[start : start + self._frame_length]
            yield self._stream.resample_chunk(frame) if self._stream else frame

    def finish(self) -> NDArray[np.float32]:
        """Return the rest of the stream, float32 (n,), after its last block."""
        rest = np.concatenate([np.zeros(0, np.float32), *self._pending])
        return self._stream.resample_chunk(rest, last=True) if self._stream else rest


def resample(
    samples: NDArray[np.float32], source_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Convert mono `samples`, float32 (n_samples,), between rates in Hz, as a stream would be."""
    if source_rate == target_rate:
        return samples
    resampler = Resampler(source_rate, target_rate)
    return np.concatenate([*resampler.push(samples), resampler.finish()])


def open_audio_file(path: str | Path) -> soundfile.SoundFile:
    """Open a file for decoding; the caller closes it.

    Raises:
        AudioFileError: there is no such file, or it is no sound that libsndfile reads.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioFileError(f"{path} is not a file")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioFileError(
            f"{path} cannot be read as sound ({_reason(error)}). "
            "WAV, FLAC, Ogg Vorbis, Opus, MP3 and AIFF can; convert other formats first."
        ) from error


def read_blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    """Decode `file` from where it stands into mono blocks of a second, float32 (n_samples,).

    Where the file is damaged, all that can be decoded before comes first.

    Raises:
        AudioFileError: the file is damaged; the message tells where.
    """
    decoded = 0
    mixing = MixDown(file.channels, file.samplerate)
    while True:
        # libsndfile does not say how many samples it decoded before it failed: those it wrote.
        block = np.full((file.samplerate, file.channels), np.nan, np.float32)
        try:
            length = len(file.read(out=block))
        except soundfile.SoundFileError as error:
            written = np.flatnonzero(~np.isnan(block[:, 0]))
            length = written[-1] + 1 if len(written) else 0
            yield mixing.push(block[:length])
            yield mixing.finish()
            raise AudioFileError(
                f"{file.name} is damaged {(decoded + length) / file.samplerate:.2f} s from its "
                f"beginning ({_reason(error)}). If it plays elsewhere, convert it, for example "
                "with ffmpeg, to WAV or FLAC."
            ) from error
        if length == 0:
            yield mixing.finish()
            return
        decoded += length
        yield mixing.push(block[:length])


def load_audio(path: str | Path, sampling_rate: int) -> NDArray[np.float32]:
    """Decode a whole file, mixed down and resampled to `sampling_rate` in Hz.

    Returns:
        float32 (n_samples,), nominally within -1 to 1; empty where the file holds no sound.

    Raises:
        AudioFileError: the file is absent, not sound, or damaged.
    """
    with open_audio_file(path) as file:
        blocks = [np.zeros(0, np.float32), *read_blocks(file)]
        return resample(np.concatenate(blocks), file.samplerate, sampling_rate)


def _reason(error: Exception) -> str:
    """Return what libsndfile says, without the path, which our own messages name."""
    text = str(error).strip().rstrip(".")
    return text.rsplit(": ", 1)[-1] if ": " in text else text
