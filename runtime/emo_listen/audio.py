"""Decode, mix down, resample to the model's rate."""

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


def mixed_down(blocks: Iterable[Block], sampling_rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield decoded blocks, float32 (n_samples, n_channels), as mono float32 (n,).

    Raises:
        AudioFileError, DamageError: what decodes them raises it; all sound before has come by then.
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


class AudioReader:
    """An open sound file, decoded once from its beginning to its end.

    Attributes:
        sampling_rate: in Hz.
        duration: length that the header claims, in seconds; None where it claims none.
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

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    @property
    def position(self) -> float:
        """Sound decoded so far, in seconds."""
        return self._decoded / self.sampling_rate

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield its channels mixed down, float32 (n_samples,); see `blocks`."""
        return mixed_down(self.blocks(), self.sampling_rate)

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of a second at most, float32 (n_samples, n_channels), all as the first.

        Where the file is damaged, all that can be decoded before comes first. What the first
        decoder cannot read, and a second one can, is no damage.

        Raises:
            AudioFileError: the file is damaged; the message tells where.
        """
        try:
            for block in self._alike(self._decoder):
                self._decoded += len(block)
                yield block
        except DamageError as error:
            try:
                yield from self._alike(self._rest())
            except DamageError:
                raise AudioFileError(
                    f"{self._name} is damaged {self.position:.2f} s from its beginning "
                    f"({error}). {conversion_hint(self._name)}"
                ) from error

    def _alike(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield blocks with as many channels as the first; of others, the mean in each channel."""
        for block in blocks:
            self._channels = self._channels or block.shape[1]
            if block.shape[1] != self._channels:
                block = np.repeat(block.mean(axis=1, keepdims=True), self._channels, axis=1)
            yield block

    def _rest(self) -> Iterator[Block]:
        """Yield what follows the sound decoded so far, from a second decoder, in one channel.

        Raises:
            DamageError: there is none, or the file is damaged.
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
    """Yield a decoder's sound, mixed down, at `sampling_rate` in Hz, float32 (n,)."""
    resampler = Resampler(decoder.sampling_rate, sampling_rate)
    for samples in mixed_down(decoder, decoder.sampling_rate):
        yield from resampler.push(samples)
    yield resampler.finish()


def open_audio_file(source: str | Path | BinaryIO, name: str | None = None) -> AudioReader:
    """Open a file for decoding, as a context manager that closes it.

    Args:
        source: A path, or a seekable binary file.
        name: What messages call it; the path where None.

    Raises:
        AudioFileError: it cannot be opened, or holds no sound that is understood.
    """
    if isinstance(source, str):
        source = Path(source)
    return AudioReader(source, str(source) if name is None else name)


def load_audio(
    source: str | Path | BinaryIO, sampling_rate: int, name: str | None = None
) -> NDArray[np.float32]:
    """Decode a whole file, mixed down and resampled to `sampling_rate` in Hz.

    Returns:
        float32 (n_samples,), nominally within -1 to 1; empty where the file holds no sound.

    Raises:
        AudioFileError: the file cannot be opened, is not sound, or damaged.
    """
    with open_audio_file(source, name) as file:
        blocks = [np.zeros(0, np.float32), *file]
        return resample(np.concatenate(blocks), file.sampling_rate, sampling_rate)
