"""Sound from a pipe: raw PCM, or a file that somebody piped in."""

from __future__ import annotations

import contextlib
import io
import select
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler, mixed_down, open_audio_file
from emo_listen.decoding.base import MAX_CHANNELS, Block
from emo_listen.decoding.containers import LONGEST_START, container_of, may_be_frames
from emo_listen.decoding.open import check_header
from emo_listen.decoding.pcm import PcmFormat
from emo_listen.decoding.wav import WavHeader, read_wav_header, wav_blocks
from emo_listen.errors import AudioInputError
from emo_listen.sound.rates import check_rate

NAME = "standard input"
"""What messages call the stream."""

SHORTEST_START = 12
"""Bytes in which a format shows itself, but for those that need `LONGEST_START`."""

MOST_BYTES = 1 << 28
"""Bytes of a piped file that are held, as those formats cannot be decoded as they come: 256 MiB, 4
hours of MP3 at 128 kbit/s."""

LONGEST_WAIT = 0.1
"""Time in seconds after which a stream that waits for bytes looks whether it was stopped."""


class PcmStream:
    """Raw PCM, as `arecord -t raw -f S16_LE` writes it, or a sound file that was piped in.

    What begins as a sound file does is read as one, and brought to the stream's sampling rate:
    WAV as it comes, other formats once the stream has ended.
    """

    live = False

    def __init__(
        self,
        stream: BinaryIO,
        sampling_rate: int,
        pcm_format: PcmFormat = "s16le",
        channels: int = 1,
    ) -> None:
        """Read from a binary stream.

        Args:
            stream: Unbuffered or buffered, blocking or not.
            sampling_rate: Rate of raw PCM, and of the blocks, in Hz.
            pcm_format: How the samples of raw PCM are written.
            channels: Its channels.

        Raises:
            AudioInputError: the rate or the channels are out of range.
        """
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioInputError(f"{channels} channels cannot be read: give 1 to {MAX_CHANNELS}")
        self._bytes = _Bytes(stream)
        self._raw = WavHeader(pcm_format, sampling_rate, channels, None)
        self.sampling_rate = check_rate(sampling_rate)

    def __str__(self) -> str:
        return f"PCM at {self.sampling_rate} Hz from standard input"

    def stop(self) -> None:
        """End the stream before the next block, also while it waits for one."""
        self._bytes.stopped = True

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks as they come, until the stream ends: float32 (n_samples, n_channels).

        What is brought to another rate is mixed down before, float32 (n_samples,).

        Raises:
            AudioInputError: the stream cannot be read, or a file in it is too long.
            AudioFileError: a file in it cannot be read as sound, or is damaged.
        """
        start = self._bytes.peek(SHORTEST_START)
        if len(start) == SHORTEST_START and may_be_frames(start):
            start = self._bytes.peek(LONGEST_START)
        form = container_of(start)
        if form is None:
            yield from self._blocks(self._raw)
        elif form == "WAV" and (header := self._wav_header()):
            yield from self._at_own_rate(self._blocks(header), header.sampling_rate)
        else:
            whole = self._whole(form)
            if self._bytes.stopped:
                return
            with open_audio_file(io.BytesIO(whole), NAME) as file:
                yield from self._at_own_rate(file.blocks(), file.sampling_rate)

    def _blocks(self, header: WavHeader) -> Iterator[Block]:
        for block in wav_blocks(header, self._bytes.some):
            if self._bytes.stopped:
                return
            yield block

    def _at_own_rate(
        self, blocks: Iterable[Block], sampling_rate: int
    ) -> Iterator[NDArray[np.float32]]:
        if sampling_rate == self.sampling_rate:
            yield from blocks
            return
        resampler = Resampler(sampling_rate, self.sampling_rate)
        for samples in mixed_down(blocks, sampling_rate):
            yield from resampler.push(samples)
        yield resampler.finish()

    def _wav_header(self) -> WavHeader | None:
        """Read up to the sound; where it is not PCM, return None and leave the stream as it was."""
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
            if len(data) > MOST_BYTES:
                raise AudioInputError(
                    f"standard input holds more than {MOST_BYTES >> 20} MiB of {form}: give the "
                    "file as --device, or pipe PCM into it (ffmpeg … -f s16le -ac 1 -ar 16000 -)"
                )
        return bytes(data)


class _Bytes:
    """A binary stream that can be looked ahead in, waited for, and stopped meanwhile."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stopped = False
        """Set from any thread to end the stream."""
        self._read = getattr(stream, "read1", stream.read)
        self._ahead = b""
        self._poll: select.poll | None = None
        # What is not a file of the system cannot be waited for, nor can a pipe on Windows.
        with contextlib.suppress(AttributeError, OSError):
            poll = select.poll()
            poll.register(stream.fileno(), select.POLLIN)
            self._poll = poll

    def some(self, size: int) -> bytes:
        """Return some bytes, at most `size`, as soon as there are any; none at the end or stop."""
        if self.stopped:
            return b""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        try:
            # A stream that does not block would otherwise seem to end at a pause.
            while self._poll is not None and not self._poll.poll(LONGEST_WAIT * 1000):
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
        """Return the next `size` bytes, or fewer at the end, and leave them."""
        data = self.exactly(size)
        self.put_back(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Let `data` come again."""
        self._ahead = data + self._ahead
