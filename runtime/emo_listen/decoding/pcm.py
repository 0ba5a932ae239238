"""Converts raw PCM bytes to samples."""

from __future__ import annotations

from typing import Literal

import numpy as np

from emo_listen.decoding.base import Block

PcmFormat = Literal["u8", "s16le", "s24le", "s32le", "f32le", "f64le"]
"""Sample format, with ffmpeg's name."""

SAMPLE_BYTES: dict[PcmFormat, int] = {
    "u8": 1,
    "s16le": 2,
    "s24le": 3,
    "s32le": 4,
    "f32le": 4,
    "f64le": 8,
}
"""Bytes per sample."""


def pcm_samples(data: bytes, form: PcmFormat, channels: int) -> Block:
    """Convert whole frames of interleaved PCM to float32 (n_samples, n_channels), -1 to 1."""
    if form == "u8":
        samples = (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    elif form == "s16le":
        samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(1 << 15)
    elif form == "s24le":
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples = (padded.view("<i4")[:, 0] / float(1 << 31)).astype(np.float32)
    elif form == "s32le":
        samples = (np.frombuffer(data, "<i4") / float(1 << 31)).astype(np.float32)
    else:
        with np.errstate(over="ignore"):
            samples = np.frombuffer(data, "<f4" if form == "f32le" else "<f8").astype(np.float32)
    return samples.reshape(-1, channels)
