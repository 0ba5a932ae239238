"""Levels, and warnings of an input that is silent or clipped for long."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import EmotionModel, WarningEvent, listen
from emo_listen.errors import AudioFileError
from emo_listen.sound.levels import LevelWatch, level_dbfs
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.base import Source
from emo_listen.sources.pcm_stream import PcmStream

RATE = 16000


def tone(seconds: float, amplitude: float) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * 220 * times)).astype(np.float32)


def overdriven(seconds: float) -> np.ndarray:
    return np.clip(tone(seconds, 4.0), -1, 1)


def warnings(*parts: np.ndarray, block_length: int = 1024) -> list[WarningEvent]:
    samples = np.concatenate([part if part.ndim == 2 else part[:, np.newaxis] for part in parts])
    watch = LevelWatch(RATE)
    return [
        warning
        for start in range(0, len(samples), block_length)
        for warning in watch.push(samples[start : start + block_length])
    ]


def test_levels_are_those_of_known_sounds() -> None:
    assert level_dbfs(tone(1, 1.0)) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(tone(1, 0.01)) == pytest.approx(-43.01, abs=0.01)
    assert level_dbfs(np.tile(np.array([1, -1], np.float32), 50)) == 0
    assert level_dbfs(tone(1, 0.01) + np.float32(0.3)) == pytest.approx(-43.01, abs=0.01)
    assert level_dbfs(np.ones(100, np.float32)) == -120
    assert level_dbfs(np.zeros(100, np.float32)) == -120
    assert level_dbfs(np.zeros(0, np.float32)) == -120


def test_silence_is_told_once_after_ten_seconds() -> None:
    muted = np.zeros(25 * RATE, np.float32)
    assert warnings(tone(3, 0.1), muted) == [WarningEvent(time=13, seconds=10, reason="silent")]
    # An offset is no sound, and the last place of 16 bits is no microphone's noise.
    last_place = np.random.default_rng(0).integers(-1, 2, 25 * RATE) / 32768
    for value in (0.2, 1.0):
        dead = (value - np.abs(last_place)).astype(np.float32)
        assert warnings(dead) == [WarningEvent(time=10, seconds=10, reason="silent")]


def test_a_quiet_microphone_or_a_pause_is_no_silence() -> None:
    hiss = np.random.default_rng(0).normal(0, 10 ** (-80 / 20), 30 * RATE).astype(np.float32)
    pause = np.zeros(round(9.8 * RATE), np.float32)
    assert warnings(hiss) == []
    assert warnings(tone(1, 0.1), pause, tone(1, 0.1), pause, tone(1, 0.1)) == []


def test_overdriven_sound_is_told_once() -> None:
    (warning,) = warnings(tone(20, 0.9), overdriven(30))
    assert warning.reason == "clipped"
    assert 20 < warning.time < 22
    assert warnings(tone(20, 0.9), overdriven(0.1), tone(20, 0.9)) == []


def test_an_offset_changes_no_warning() -> None:
    shifted = tone(20, 0.3) + np.float32(0.3)
    assert warnings(shifted) == []
    (warning,) = warnings(shifted, np.clip(overdriven(20) + np.float32(0.3), -1, 1))
    assert warning.reason == "clipped"


def test_a_clipped_channel_is_told_whatever_the_other_carries() -> None:
    stereo = np.stack([tone(30, 0.05), overdriven(30)], axis=1)
    assert warnings(stereo.mean(axis=1)) == []
    for channels in (stereo, stereo[:, ::-1]):
        (warning,) = warnings(channels)
        assert warning.reason == "clipped"
    # A channel stuck at full scale is dead; the other one is used.
    assert warnings(np.stack([tone(30, 0.05), np.ones(30 * RATE, np.float32)], axis=1)) == []


@pytest.mark.parametrize("source", ["file", "pipe"])
def test_a_listener_tells_of_one_clipped_channel(
    bundled_model: EmotionModel, tmp_path: Path, source: str
) -> None:
    stereo = np.stack([tone(15, 0.1), overdriven(15)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, RATE, subtype="FLOAT")
    device: Source = AudioFile(tmp_path / "stereo.wav")
    if source == "pipe":
        device = PcmStream((tmp_path / "stereo.wav").open("rb"), RATE)
    events = list(listen(device, model=bundled_model))
    assert [event.reason for event in events if isinstance(event, WarningEvent)] == ["clipped"]


def test_warnings_of_one_kind_become_rare() -> None:
    episode = [np.zeros(15 * RATE, np.float32), tone(5, 0.1)]
    times = [warning.time for warning in warnings(*episode * 60)]
    assert times == [10, 70, 190, 430, 910]
    # Another kind has its own pauses.
    both = warnings(np.zeros(15 * RATE, np.float32), overdriven(15))
    assert [warning.reason for warning in both] == ["silent", "clipped"]


@pytest.mark.parametrize("block_length", [1, 999, 48000])
def test_warnings_do_not_depend_on_the_blocks(block_length: int) -> None:
    parts = np.zeros(11 * RATE, np.float32), overdriven(2)
    assert warnings(*parts, block_length=block_length) == warnings(*parts)
    assert len(warnings(*parts)) == 2


@pytest.mark.corpus
def test_ordinary_recordings_raise_none(shared_dir: Path) -> None:
    clips = sorted((shared_dir / "crema-d" / "audio").iterdir())[::50]
    noises = sorted((shared_dir / "esc-10").glob("*.opus"))[::4]
    watch, seconds = LevelWatch(RATE), 0.0
    for path in [*clips, *noises]:
        # Of some, libsndfile reads the beginning only.
        with contextlib.suppress(AudioFileError):
            for block in AudioFile(path):
                assert watch.push(block) == [], path
                seconds += len(block) / RATE
    assert seconds > 600
