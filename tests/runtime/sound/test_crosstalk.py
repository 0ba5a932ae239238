"""Crosstalk is removed where a channel is a faint copy, and nothing else is changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from emo_listen.audio import load_audio
from emo_listen.sound.crosstalk import CrosstalkFilter

RATE = 16_000
FRAME = RATE // 50


@pytest.fixture(scope="module")
def voice(sample_file: Path) -> NDArray[np.float32]:
    return load_audio(sample_file, RATE)[: 14 * RATE]


def filtered(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    crosstalk = CrosstalkFilter(sound.shape[1], RATE)
    frames = [crosstalk.push(sound[i : i + FRAME]) for i in range(0, len(sound), FRAME)]
    return np.concatenate([*frames, crosstalk.finish()])


def level(samples: NDArray[np.float32]) -> float:
    return float(20 * np.log10(np.sqrt(np.square(samples).mean())))


@pytest.mark.parametrize("gain", [0.1, 0.25])
@pytest.mark.parametrize("delay", [0, 20, 100])
def test_a_copy_is_removed_and_its_source_is_not_changed(
    voice: NDArray[np.float32], gain: float, delay: int
) -> None:
    sound = np.column_stack([voice, np.roll(gain * voice, delay)])
    sound[:, 1] += np.random.default_rng(0).normal(0, 1e-4, len(voice)).astype(np.float32)
    result = filtered(sound)
    np.testing.assert_array_equal(result[:, 0], sound[:, 0])
    # From half a second on, after the copy is known.
    assert level(result[RATE // 2 :, 1]) < level(sound[RATE // 2 :, 1]) - 25


def test_other_voices_and_noise_stay(voice: NDArray[np.float32]) -> None:
    noise = np.random.default_rng(1).normal(0, 1e-3, len(voice)).astype(np.float32)
    other = np.roll(0.3 * voice, 5 * RATE)
    for second in (noise, other + noise):
        sound = np.column_stack([voice, second])
        assert abs(level(filtered(sound)[:, 1]) - level(second)) < 0.5


def test_a_channel_alone_and_equal_channels_stay(voice: NDArray[np.float32]) -> None:
    alone = voice[:, np.newaxis]
    np.testing.assert_array_equal(filtered(alone), alone)
    equal = np.column_stack([voice, 0.9 * voice])
    np.testing.assert_array_equal(filtered(equal), equal)


def test_a_third_channel_of_equal_power_does_not_hide_a_copy(voice: NDArray[np.float32]) -> None:
    sound = np.column_stack([voice, 0.9 * voice, 0.1 * voice])
    assert level(filtered(sound)[RATE:, 2]) < level(sound[RATE:, 2]) - 25


def test_silence_stays_silent() -> None:
    silence = np.zeros((RATE + 7, 3), np.float32)
    np.testing.assert_array_equal(filtered(silence), silence)
