"""Decoding, mixing down and resampling of audio files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from emo_listen.decoding.base import Block, DamageError, Decoder
from emo_listen.decoding.media import MAX_DRIFT, conversion_hint, open_second_decoder
from emo_listen.decoding.open import open_decoder
from emo_listen.errors import AudioFileError
from emo_listen.sound.mixing import MixDown

FRAMES_PER_SECOND = 50
"""Number of frames per second in which `Resampler` processes audio."""


def frame_length(sampling_rate: int) -> int:
    """Return the number of samples of a frame of 20 ms, at a sampling rate in Hz."""
    return max(1, sampling_rate // FRAMES_PER_SECOND)


class Resampler:
    """Resamples a stream of mono blocks.

    Blocks of any size are cut into frames of 20 ms first, so that the output is bit-identical for
    the same samples in any blocks. It comes in 20 ms frames even if the rates are equal.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Convert from `source_rate` to `target_rate`, both in Hz."""
        self._frame_length = frame_length(source_rate)
        self._pending: list[NDArray[np.float32]] = []
        self._pending_length = 0
        self._stream = (
            soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32")
            if source_rate != target_rate
            else None
        )

    def push(self, block: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Add `block`, float32 (n_samples,), and yield the frames that are ready, float32 (n,)."""
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
        """Return the rest of the stream, float32 (n,)."""
        rest = np.concatenate([np.zeros(0, np.float32), *self._pending])
        return self._stream.resample_chunk(rest, last=True) if self._stream else rest


def resample(
    samples: NDArray[np.float32], source_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Resample mono `samples`, float32 (n_samples,), between rates in Hz, like a stream."""
    if source_rate == target_rate:
        return samples
    resampler = Resampler(source_rate, target_rate)
    return np.concatenate([*resampler.push(samples), resampler.finish()])


def mixed_down(blocks: Iterable[Block], sampling_rate: int) -> Iterator[NDArray[np.float32]]:
    """Mix decoded blocks, float32 (n_samples, n_channels), down to mono float32 (n,).

    Raises:
        AudioFileError, DamageError: Raised by the decoder, and passed on after all audio before.
    """
    mixing: MixDown | None = None
    n_channels = 0
    damage: DamageError | AudioFileError | None = None
    blocks = iter(blocks)
    while damage is None:
        try:
            block = next(blocks, None)
        except (DamageError, AudioFileError) as error:
            block, damage = None, error
        if mixing is not None and (block is None or block.shape[1] != n_channels):
            yield mixing.finish()
            mixing = None
        if block is None:
            break
        if mixing is None:
            n_channels = block.shape[1]
            mixing = MixDown(n_channels, sampling_rate)
        yield mixing.push(block)
    if damage is not None:
        raise damage


def resampled_channels(
    blocks: Iterable[Block], source_rate: int, target_rate: int
) -> Iterator[Block]:
    """Resample each channel of blocks, float32 (n_samples, n_channels), between rates in Hz."""
    resamplers: list[Resampler] = []
    for block in blocks:
        resamplers = resamplers or [
            Resampler(source_rate, target_rate) for _ in range(block.shape[1])
        ]
        frames = [
            list(each.push(channel)) for each, channel in zip(resamplers, block.T, strict=True)
        ]
        for frame in zip(*frames, strict=True):
            yield np.column_stack(frame)
    if resamplers:
        yield np.column_stack([resampler.finish() for resampler in resamplers])


class AudioReader:
    """An open audio file, decoded once from start to end.

    Attributes:
        sampling_rate: Sampling rate, in Hz.
        duration: Duration by the header, in seconds; None if it has none.
        channels: Number of channels.
    """

    def __init__(self, source: Path | BinaryIO, name: str) -> None:
        """Open `source`; see `open_audio_file`."""
        self._source = source
        self._name = name
        self._decoder = open_decoder(source, name)
        self._decoded = 0
        self._channels = 0
        self.sampling_rate = self._decoder.sampling_rate
        self.duration = self._decoder.duration
        self.channels = self._decoder.channels

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    @property
    def position(self) -> float:
        """Audio decoded so far, in seconds."""
        return self._decoded / self.sampling_rate

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the audio mixed down, float32 (n_samples,); see `blocks`."""
        return mixed_down(self.blocks(), self.sampling_rate)

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of up to a second, float32 (n_samples, n_channels), of constant n_channels.

        If the decoder fails, a second decoder continues. All audio before a damage is yielded.

        Raises:
            AudioFileError: The file is damaged; the message says where.
        """
        try:
            for block in self._same_channels(self._decoder):
                self._decoded += len(block)
                yield block
        except DamageError as error:
            try:
                yield from self._same_channels(self._rest())
            except DamageError:
                raise AudioFileError(
                    f"{self._name} is damaged {self.position:.2f} s after its start "
                    f"({error}). {conversion_hint(self._name)}"
                ) from error

    def _same_channels(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield blocks with as many channels as the first; others get the mean in each channel."""
        for block in blocks:
            self._channels = self._channels or block.shape[1]
            if block.shape[1] != self._channels:
                block = np.repeat(block.mean(axis=1, keepdims=True), self._channels, axis=1)
            yield block

    def _rest(self) -> Iterator[Block]:
        """Yield the audio after the current position from a second decoder, mixed down.

        Raises:
            DamageError: There is no second decoder, or the file is damaged.
        """
        decoder = open_second_decoder(self._source, self._name, strict=True)
        if decoder is None:
            raise DamageError("no decoder can read it")
        with contextlib.closing(decoder):
            skip = self._decoded
            for samples in _resampled(decoder, self.sampling_rate):
                rest = samples[skip:]
                skip -= len(samples) - len(rest)
                if len(rest):
                    self._decoded += len(rest)
                    yield rest[:, np.newaxis]
        if skip or self.position < (self.duration or 0.0) - MAX_DRIFT:
            raise DamageError("it ends early")


def _resampled(decoder: Decoder, sampling_rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield decoded audio, mixed down and resampled to a rate in Hz, float32 (n,)."""
    resampler = Resampler(decoder.sampling_rate, sampling_rate)
    for samples in mixed_down(decoder, decoder.sampling_rate):
        yield from resampler.push(samples)
    yield resampler.finish()


def open_audio_file(source: str | Path | BinaryIO, name: str | None = None) -> AudioReader:
    """Open an audio file, as a context manager.

    Args:
        source: A path, or a seekable binary file.
        name: Name of the file in messages; the path if None.

    Raises:
        AudioFileError: The file cannot be opened or decoded.
    """
    if isinstance(source, str):
        source = Path(source)
    return AudioReader(source, str(source) if name is None else name)


def load_audio(
    source: str | Path | BinaryIO, sampling_rate: int, name: str | None = None
) -> NDArray[np.float32]:
    """Decode a whole file, mixed down and resampled to `sampling_rate` in Hz.

    Returns:
        float32 (n_samples,), nominally within -1 to 1; empty if the file contains no samples.

    Raises:
        AudioFileError: The file cannot be opened or decoded, or is damaged.
    """
    with open_audio_file(source, name) as file:
        blocks = [np.zeros(0, np.float32), *file]
        return resample(np.concatenate(blocks), file.sampling_rate, sampling_rate)
