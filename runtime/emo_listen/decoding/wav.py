"""WAV files with no length or a wrong one in the header: read to the end of the data.

libsndfile reads nothing for a length of 0, which a killed recorder leaves, and needs a seekable
file, which a pipe is not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from emo_listen.decoding.base import MAX_CHANNELS, Block, block_length
from emo_listen.decoding.pcm import SAMPLE_BYTES, PcmFormat, pcm_samples

WAV_MAGIC = (b"RIFF", b"RF64")
"""The first four bytes; bytes 8 to 11 are `WAVE`."""

FORMS: dict[tuple[int, int], PcmFormat] = {
    (1, 8): "u8",
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
    (3, 64): "f64le",
}
"""PCM by format tag and bits per sample."""

EXTENSIBLE = 0xFFFE
"""Format tag of headers that have the real tag in a later field."""

NO_LENGTH = 0x7FFF0000
"""Length from which on a length means unknown: programs write such before they know it."""

LONGEST_HEADER = 1 << 20
"""Most bytes before the samples; pictures and cue lists of real files need less."""


@dataclass(frozen=True)
class WavHeader:
    """Contents of the header."""

    form: PcmFormat
    """Sample format."""

    sampling_rate: int
    """Sampling rate, in Hz."""

    channels: int
    """Number of channels, at least 1."""

    length: int | None
    """Bytes of samples; None to read to the end of the stream."""


def read_wav_header(read: Callable[[int], bytes]) -> WavHeader | None:
    """Read a stream up to its samples; return None if it is not WAV with PCM.

    Args:
        read: Returns as many bytes as requested, or fewer at the end.
    """
    start = read(12)
    if start[:4] not in WAV_MAGIC or start[8:12] != b"WAVE":
        return None
    form: tuple[PcmFormat, int, int] | None = None
    passed = 0
    while passed <= LONGEST_HEADER and len(head := read(8)) == 8:
        (size,) = struct.unpack("<I", head[4:])
        if head[:4] == b"data":
            length = size if 0 < size < NO_LENGTH else None
            return WavHeader(*form, length) if form is not None else None
        passed += size + size % 2
        if passed > LONGEST_HEADER:
            return None
        content = read(size + size % 2)
        if head[:4] == b"fmt ":
            form = _form(content)
            if form is None:
                return None
    return None


def _form(content: bytes) -> tuple[PcmFormat, int, int] | None:
    """Return sample format, rate in Hz and channels of a `fmt ` chunk; None if it is not PCM."""
    if len(content) < 16:
        return None
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
    if tag == EXTENSIBLE and len(content) >= 26:
        (tag,) = struct.unpack_from("<H", content, 24)
    form = FORMS.get((tag, bits))
    if form is None or not 1 <= channels <= MAX_CHANNELS or rate == 0:
        return None
    return form, rate, channels


def wav_blocks(header: WavHeader, read: Callable[[int], bytes]) -> Iterator[Block]:
    """Yield the samples after a header as they arrive, float32 (n_samples, n_channels).

    Args:
        header: Result of `read_wav_header`.
        read: Returns some bytes, at most as many as requested; none at the end.
    """
    frame = header.channels * SAMPLE_BYTES[header.form]
    most = frame * block_length(header.sampling_rate, header.channels)
    left = header.length
    rest = b""
    while left != 0 and (data := read(most if left is None else min(most, left))):
        if left is not None:
            left -= len(data)
        data = rest + data
        whole = len(data) - len(data) % frame
        rest = data[whole:]
        if whole:
            yield pcm_samples(data[:whole], header.form, header.channels)
