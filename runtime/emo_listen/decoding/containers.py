"""Recognises the format of an audio file by its first bytes; anything else is raw PCM."""

from __future__ import annotations

import re

LONGEST_START = 4096
"""Bytes needed at most: two frames of MP3 or AAC."""

_STARTS = (
    (re.compile(rb"(RIFF|RF64|RIFX)....WAVE", re.DOTALL), "WAV"),
    (re.compile(rb"FORM....AIF[FC]", re.DOTALL), "AIFF"),
    (re.compile(rb"fLaC"), "FLAC"),
    (re.compile(rb"OggS\x00"), "Ogg"),
    (re.compile(rb"ID3[\x02-\x04].[\x00-\xf0]", re.DOTALL), "MP3"),
    (re.compile(rb"....ftyp", re.DOTALL), "MP4"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "WebM"),
    (re.compile(rb"#!AMR"), "AMR"),
    (re.compile(rb"caff\x00\x01"), "CAF"),
    (re.compile(rb"\.snd\x00\x00"), "AU"),
    (re.compile(rb"wvpk"), "WavPack"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), "WMA"),
    (re.compile(rb"riff\x2e\x91\xcf\x11"), "Wave64"),
)

_MP3_KBITS = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of layer 3 in kbit/s, for MPEG 1 (3), and for MPEG 2 and 2.5 (2)."""

_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sampling rates in Hz, by the two version bits of the header."""


def container_of(start: bytes) -> str | None:
    """Return the format of a stream, or None for raw PCM.

    Args:
        start: Its first `LONGEST_START` bytes, or all of a shorter stream.
    """
    for pattern, name in _STARTS:
        if pattern.match(start):
            return name
    # Raw PCM may start with the same twelve bits as these: only a second frame is proof.
    for name, length in (("MP3", _mp3_frame(start)), ("AAC", _aac_frame(start))):
        measure = _mp3_frame if name == "MP3" else _aac_frame
        if length and measure(start[length:]):
            return name
    return None


def may_be_frames(start: bytes) -> bool:
    """Return whether `start`, at least 2 bytes, may be MP3 or AAC, for which more is needed."""
    return start[0] == 0xFF and start[1] >= 0xE0


def _mp3_frame(head: bytes) -> int:
    """Return the length of the MP3 frame at the start of `head`, in bytes; 0 if there is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or not 1 <= kbits <= 14 or rate == 3:
        return 0
    bits = _MP3_KBITS[3 if version == 3 else 2][kbits - 1] * 1000
    samples = 144 if version == 3 else 72
    return samples * bits // _MP3_RATES[version][rate] + (head[2] >> 1 & 1)


def _aac_frame(head: bytes) -> int:
    """Return the length of the ADTS frame at the start of `head`, in bytes; 0 if there is none."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
