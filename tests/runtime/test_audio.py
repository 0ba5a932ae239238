"""Decoding, mixing down and resampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from emo_listen.audio import Resampler, load_audio, resample
from emo_listen.errors import AudioFileError
from emo_listen.sources.audio_file import AudioFile


def stream(samples: np.ndarray, source_rate: int, block_length: int) -> np.ndarray:
    resampler = Resampler(source_rate, 16000)
    parts = [
        part
        for start in range(0, len(samples), block_length)
        for part in resampler.push(samples[start : start + block_length])
    ]
    return np.concatenate([*parts, resampler.finish()])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_resampling_is_bit_identical_for_any_blocks(rate: int) -> None:
    samples = np.random.default_rng(0).standard_normal(rate + 17).astype(np.float32)
    whole = stream(samples, rate, len(samples))
    for block_length in (1, 7, 160, 1001):
        np.testing.assert_array_equal(stream(samples, rate, block_length), whole)
    assert len(whole) == round(len(samples) * 16000 / rate)
    np.testing.assert_array_equal(resample(samples, rate, 16000), whole)
    np.testing.assert_allclose(whole, soxr.resample(samples, rate, 16000), atol=1e-6)


def test_few_samples_survive_resampling() -> None:
    assert len(resample(np.ones(3, np.float32), 48000, 16000)) == 1
    assert len(resample(np.zeros(0, np.float32), 48000, 16000)) == 0


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_24"), ("flac", "PCM_16"), ("ogg", "VORBIS")]
)
def test_any_format_rate_and_channels(tmp_path: Path, suffix: str, subtype: str) -> None:
    time = np.arange(44100) / 44100
    left, right = 0.5 * np.sin(2 * np.pi * 440 * time), 0.3 * np.sin(2 * np.pi * 440 * time)
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([left, right], axis=1), 44100, subtype=subtype)
    samples = load_audio(path, 16000)
    assert samples.dtype == np.float32
    assert samples.shape == (16000,)
    expected = 0.4 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(samples[500:-500], expected[500:-500], atol=0.02)


@pytest.mark.parametrize("content", [b"", b"no sound at all " * 100, b"RIFF\x24\0\0\0WAVEfmt "])
def test_what_is_no_sound_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=r"talk\.wav cannot be decoded as audio"):
        load_audio(path, 16000)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_a_tone_resampled_in_odd_blocks_has_no_clicks(rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)).astype(np.float32)
    streamed = stream(tone, rate, 997)
    np.testing.assert_array_equal(streamed, resample(tone, rate, 16000))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(streamed)) / 16000)
    np.testing.assert_allclose(streamed[400:-400], expected[400:-400], atol=1e-4)


def damaged(path: Path, samples: np.ndarray) -> tuple[np.ndarray, str]:
    """Write `samples` to a FLAC file, cut it off, and return what comes before the error."""
    soundfile.write(path, samples, 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    blocks = []
    with pytest.raises(AudioFileError) as error:
        for block in AudioFile(path):
            blocks.append(block)
    samples = np.concatenate(blocks)
    assert (samples == samples[:, :1]).all()
    return samples[:, 0], str(error.value)


def test_the_sound_before_a_file_s_damage_comes_and_its_place_is_told(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-3000, 3000, 64000, dtype=np.int16)
    for channels in (samples, np.stack([samples, samples], axis=1)):
        decoded, message = damaged(tmp_path / "talk.flac", channels)
        # FLAC's frames have 4096 samples at most, and the file was cut in its middle.
        assert 32000 - 2 * 4096 < len(decoded) < 32000 + 2 * 4096
        np.testing.assert_array_equal(decoded, samples[: len(decoded)] / np.float32(32768))
        assert f"talk.flac is damaged {len(decoded) / 16000:.2f} s after its start" in message
    with pytest.raises(AudioFileError, match=r"talk\.flac is damaged"):
        load_audio(tmp_path / "talk.flac", 16000)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.wav"):
        with pytest.raises(AudioFileError, match=r"is not a file|is a folder"):
            load_audio(path, 16000)
