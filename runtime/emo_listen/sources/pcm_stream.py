"""Audio from a pipe: raw PCM or an audio file."""

from __future__ import annotations

import contextlib
import io
import select
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler, mixed_down, open_audio_file, resampled_channels
from emo_listen.decoding.base import MAX_CHANNELS, Block
from emo_listen.decoding.containers import LONGEST_START, container_of, may_be_frames
from emo_listen.decoding.open import check_header
from emo_listen.decoding.pcm import PcmFormat
from emo_listen.decoding.wav import WavHeader, read_wav_header, wav_blocks
from emo_listen.errors import AudioInputError
from emo_listen.sound.rates import check_rate

NAME = "standard input"
"""Name of the stream in messages."""

SHORT_START = 12
"""Bytes by which most formats are recognised; the others need `LONGEST_START`."""

MAX_FILE_BYTES = 1 << 28
"""Largest piped file of a format that must be read as a whole: 256 MiB, 4 hours of MP3 at 128
kbit/s."""

POLL_SECONDS = 0.1
"""Time between checks for `stop` while waiting for bytes, in seconds."""


class PcmStream:
    """Raw PCM, as from `arecord -t raw -f S16_LE`, or an audio file.

    An audio file is recognised by its first bytes and resampled to the stream's rate. WAV is
    processed as it arrives, other formats after the end of the stream.
    """

    live = False

    def __init__(
        self,
        stream: BinaryIO,
        sampling_rate: int,
        pcm_format: PcmFormat = "s16le",
        channels: int = 1,
        *,
        separate: bool = False,
    ) -> None:
        """Read from a binary stream.

        Args:
            stream: Buffered or unbuffered, blocking or not.
            sampling_rate: Sampling rate of raw PCM and of the blocks, in Hz.
            pcm_format: Sample format of raw PCM.
            channels: Number of channels of raw PCM.
            separate: Whether a file's channels are resampled one by one, not mixed down first.

        Raises:
            AudioInputError: The rate or the number of channels is out of range.
        """
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioInputError(f"{channels} channels cannot be read: give 1 to {MAX_CHANNELS}")
        self._bytes = _Bytes(stream)
        self._separate = separate
        self._raw = WavHeader(pcm_format, sampling_rate, channels, None)
        self.sampling_rate = check_rate(sampling_rate)

    def __str__(self) -> str:
        return f"PCM at {self.sampling_rate} Hz from standard input"

    def stop(self) -> None:
        """End the stream before the next block, even if it is waiting for one."""
        self._bytes.stopped = True

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks as they arrive, float32 (n_samples, n_channels).

        Resampled audio is mixed down first, float32 (n_samples,), unless channels are separate.

        Raises:
            AudioInputError: The stream cannot be read, or the file in it is too large.
            AudioFileError: The file in it cannot be decoded or is damaged.
        """
        start = self._bytes.peek(SHORT_START)
        if len(start) == SHORT_START and may_be_frames(start):
            start = self._bytes.peek(LONGEST_START)
        form = container_of(start)
        if form is None:
            yield from self._blocks(self._raw)
        elif form == "WAV" and (header := self._wav_header()):
            yield from self._resampled(self._blocks(header), header.sampling_rate)
        else:
            whole = self._whole(form)
            if self._bytes.stopped:
                return
            with open_audio_file(io.BytesIO(whole), NAME) as file:
                yield from self._resampled(file.blocks(), file.sampling_rate)

    def _blocks(self, header: WavHeader) -> Iterator[Block]:
        for block in wav_blocks(header, self._bytes.some):
            if self._bytes.stopped:
                return
            yield block

    def _resampled(
        self, blocks: Iterable[Block], sampling_rate: int
    ) -> Iterator[NDArray[np.float32]]:
        if sampling_rate == self.sampling_rate:
            yield from blocks
            return
        if self._separate:
            yield from resampled_channels(blocks, sampling_rate, self.sampling_rate)
            return
        resampler = Resampler(sampling_rate, self.sampling_rate)
        for samples in mixed_down(blocks, sampling_rate):
            yield from resampler.push(samples)
        yield resampler.finish()

    def _wav_header(self) -> WavHeader | None:
        """Read up to the samples; return None and restore the stream if they are not PCM."""
        header_bytes = b""

        def read(size: int) -> bytes:
            nonlocal header_bytes
            data = self._bytes.exactly(size)
            header_bytes += data
            return data

        header = read_wav_header(read)
        if header is None:
            self._bytes.put_back(header_bytes)
        else:
            check_header(header.sampling_rate, header.channels, NAME)
        return header

    def _whole(self, form: str) -> bytes:
        data = bytearray()
        while part := self._bytes.some(1 << 20):
            data += part
            if len(data) > MAX_FILE_BYTES:
                raise AudioInputError(
                    f"standard input has more than {MAX_FILE_BYTES >> 20} MiB of {form}: give the "
                    "file as --device, or pipe raw PCM (ffmpeg … -f s16le -ac 1 -ar 16000 -)"
                )
        return bytes(data)


class _Bytes:
    """A binary stream with look-ahead, which can be stopped while it waits."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stopped = False
        """Set to True, from any thread, to end the stream."""
        self._read = getattr(stream, "read1", stream.read)
        self._ahead = b""
        self._poll: select.poll | None = None
        # Python objects cannot be polled, nor can pipes on Windows.
        with contextlib.suppress(AttributeError, OSError):
            poll = select.poll()
            poll.register(stream.fileno(), select.POLLIN)
            self._poll = poll

    def some(self, size: int) -> bytes:
        """Wait for bytes and return at most `size`; none at the end or after a stop."""
        if self.stopped:
            return b""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        try:
            # Without it, a non-blocking stream would seem to end at a pause.
            while self._poll is not None and not self._poll.poll(POLL_SECONDS * 1000):
                if self.stopped:
                    return b""
            data = self._read(size)
        except OSError as error:
            raise AudioInputError(f"{NAME} cannot be read: {error.strerror}") from error
        return data or b""

    def exactly(self, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        data = b""
        while len(data) < size and (part := self.some(size - len(data))):
            data += part
        return data

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, or fewer at the end, without consuming them."""
        data = self.exactly(size)
        self.put_back(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Put `data` back in front of the stream."""
        self._ahead = data + self._ahead
