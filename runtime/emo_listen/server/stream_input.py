"""The bytes of a stream into parts that are processed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from emo_listen.decoding.base import Block, DamageError
from emo_listen.decoding.pcm import SAMPLE_BYTES, PcmFormat, pcm_samples
from emo_listen.decoding.pushed_media import OPUS_RATE, PushedOpus
from emo_listen.errors import MissingExtraError
from emo_listen.server.audio_request import PCM_FORMATS, AudioRequest
from emo_listen.server.limits import PART_SECONDS
from emo_listen.server.refusal import Refusal

OPUS_BYTES_PER_SECOND = 16_000
"""Bytes of a second of Opus that limits are based on: the 128 kbit/s of browsers."""


class StreamInput(Protocol):
    """Decodes a stream in parts."""

    sampling_rate: int
    """In Hz."""

    def push(self, data: bytes) -> Iterator[Block]:
        """Take bytes; yield blocks, float32 (n_samples, n_channels), of `PART_SECONDS` at most.

        Raises:
            Refusal: They cannot be decoded.
        """
        ...

    def finish(self) -> Iterator[Block]:
        """Yield the blocks that are left at the end.

        Raises:
            Refusal: The stream ends early.
        """
        ...

    def close(self) -> None:
        """Free what decoding holds."""
        ...


def bytes_per_second(request: AudioRequest) -> int:
    """Return the bytes of a second of audio."""
    for form in PCM_FORMATS:
        if form == request.format:
            return SAMPLE_BYTES[form] * request.channels * request.sampling_rate
    return OPUS_BYTES_PER_SECOND


def open_input(request: AudioRequest) -> StreamInput:
    """Return the decoder for a stream.

    Raises:
        Refusal: The server cannot decode the format.
    """
    for form in PCM_FORMATS:
        if form == request.format:
            return PcmInput(form, request.sampling_rate, request.channels)
    return OpusInput()


class PcmInput:
    """Raw PCM, cut into frames and parts."""

    def __init__(self, form: PcmFormat, sampling_rate: int, channels: int) -> None:
        """Decode `form` at `sampling_rate` in Hz."""
        self.sampling_rate = sampling_rate
        self._form = form
        self._channels = channels
        self._frame = SAMPLE_BYTES[form] * channels
        self._rest = b""

    def push(self, data: bytes) -> Iterator[Block]:
        """Yield whole frames; see `StreamInput`."""
        data = self._rest + data
        whole = len(data) - len(data) % self._frame
        self._rest = data[whole:]
        part = self._frame * int(PART_SECONDS * self.sampling_rate)
        for start in range(0, whole, part):
            yield pcm_samples(data[start : min(start + part, whole)], self._form, self._channels)

    def finish(self) -> Iterator[Block]:
        """Refuse half a frame; see `StreamInput`."""
        if self._rest:
            raise Refusal(
                "bad_audio",
                f"the stream ends within a frame of {self._frame} bytes: check format and channels",
            )
        return iter(())

    def close(self) -> None:
        """Do nothing."""


class OpusInput:
    """Opus in Ogg or WebM."""

    sampling_rate = OPUS_RATE

    def __init__(self) -> None:
        """Open a decoder.

        Raises:
            Refusal: PyAV is not installed.
        """
        try:
            self._decoder = PushedOpus()
        except MissingExtraError as error:
            raise Refusal(
                "unsupported",
                "this server cannot decode Opus: send PCM, or install emo-listen[media] there",
            ) from error

    def push(self, data: bytes) -> Iterator[Block]:
        """Yield what can be decoded; see `StreamInput`."""
        return _refused(self._decoder.push(data))

    def finish(self) -> Iterator[Block]:
        """Yield the last frames; see `StreamInput`."""
        return _refused(self._decoder.finish())

    def close(self) -> None:
        """End the decoder."""
        self._decoder.close()


def _refused(blocks: Iterator[Block]) -> Iterator[Block]:
    try:
        yield from blocks
    except DamageError as error:
        raise Refusal("bad_audio", f"the stream cannot be decoded: {error}") from error
