"""Mixing channels down keeps a voice that only one channel has, or that two have inverted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import SegmentEvent, listen
from emo_listen.audio import load_audio
from emo_listen.sound.levels import level_dbfs
from emo_listen.sound.mixing import FRAMES_PER_SECOND, MixDown, mix_down

RATE = 16000
FRAME = RATE // FRAMES_PER_SECOND


@pytest.fixture(scope="module")
def speech(sample_file: Path) -> np.ndarray:
    return load_audio(sample_file, RATE)


def channels(*sounds: np.ndarray) -> np.ndarray:
    return np.column_stack(sounds).astype(np.float32)


def noise(length: int, seed: int, level: float = 1e-3) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(length)


def test_the_same_sound_in_all_channels_is_that_sound(speech):
    np.testing.assert_array_equal(mix_down(channels(speech, speech), RATE), speech)
    np.testing.assert_array_equal(mix_down(speech[:, None], RATE), speech)
    np.testing.assert_allclose(mix_down(channels(*[speech] * 6), RATE), speech, atol=1e-6)


def test_unrelated_noise_is_averaged(speech):
    left, right = noise(RATE * 5, 0, 0.1), noise(RATE * 5, 1, 0.1)
    mixed = mix_down(channels(left, right), RATE)
    assert level_dbfs(mixed) == pytest.approx(-23, abs=0.4)
    both = mix_down(channels(speech + left[0], speech + right[0]), RATE)
    np.testing.assert_allclose(both, speech + (left[0] + right[0]) / 2, atol=1e-5)


@pytest.mark.parametrize("n_channels", [2, 6])
def test_a_voice_in_one_channel_keeps_its_level(speech, n_channels):
    sounds = [noise(len(speech), seed) for seed in range(n_channels)]
    sounds[1] = sounds[1] + speech
    mixed = mix_down(channels(*sounds), RATE)
    assert level_dbfs(mixed) == pytest.approx(level_dbfs(speech), abs=0.6)


@pytest.mark.parametrize("hum", [0.0, 0.1])
def test_channels_in_opposite_phase_do_not_cancel(speech, hum):
    shared = hum * np.sin(2 * np.pi * 50 * np.arange(len(speech)) / RATE)
    left, right = noise(len(speech), 0), noise(len(speech), 1)
    mixed = mix_down(channels(speech + shared + left, -0.9 * speech + shared + right), RATE)
    assert level_dbfs(mixed - shared) == pytest.approx(level_dbfs(speech), abs=0.6)
    assert np.corrcoef(mixed - shared, speech)[0, 1] > 0.94


def test_a_hum_in_one_channel_does_not_hide_a_voice_in_the_other(speech):
    hum = 0.3 * np.sin(2 * np.pi * 100 * np.arange(len(speech)) / RATE)
    mixed = mix_down(channels(hum, speech), RATE)
    voice = mixed - np.dot(mixed, hum) / np.dot(hum, hum) * hum
    assert level_dbfs(voice) > level_dbfs(speech) - 6.1


def test_weights_glide(speech):
    """Two talkers, each in a channel, one after the other: no leap at the change."""
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    silent = np.zeros(2 * RATE)
    sound = channels(np.r_[tone, silent, tone], np.r_[silent, tone, -tone])
    mixed = mix_down(sound, RATE)
    assert np.abs(np.diff(mixed)).max() < 1.2 * np.abs(np.diff(tone)).max()
    for part in (slice(0, 2 * RATE), slice(2 * RATE, 4 * RATE), slice(4 * RATE, 6 * RATE)):
        assert level_dbfs(mixed[part]) == pytest.approx(level_dbfs(tone), abs=0.6)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_blocks_of_any_size_give_the_same_sound(rate):
    generator = np.random.default_rng(0)
    sound = generator.standard_normal((rate + 17, 2)).astype(np.float32)
    sound[rate // 2 :, 1] = -sound[rate // 2 :, 0]
    whole = mix_down(sound, rate)
    assert len(whole) == len(sound)
    for length in (1, 7, 441, 5000):
        mixing = MixDown(2, rate)
        parts = [mixing.push(sound[i : i + length]) for i in range(0, len(sound), length)]
        np.testing.assert_array_equal(np.concatenate([*parts, mixing.finish()]), whole)


def test_samples_that_are_no_numbers_do_not_spoil_what_follows(speech):
    sound = channels(speech, -speech)
    sound[RATE : RATE + 10] = np.nan
    mixed = mix_down(sound, RATE)
    assert np.isfinite(mixed[RATE + FRAME :]).all()
    assert level_dbfs(mixed[2 * RATE :]) == pytest.approx(level_dbfs(speech[2 * RATE :]), abs=0.2)


def test_files_in_opposite_phase_are_heard(speech, tmp_path, bundled_model):
    labels = {}
    for name, right in (("same", speech), ("opposite", -speech), ("absent", 0 * speech)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, channels(speech, right), RATE, subtype="FLOAT")
        segments = [e for e in listen(path, model=bundled_model) if isinstance(e, SegmentEvent)]
        labels[name] = [(event.end, event.label) for event in segments]
    assert len(labels["same"]) >= 4
    assert labels["opposite"] == labels["absent"] == labels["same"]
