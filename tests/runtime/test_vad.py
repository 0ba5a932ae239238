"""The high-pass filter and the background noise in front of Silero's network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emo_listen.audio import load_audio
from emo_listen.sound.background import (
    BANDS,
    CHUNK,
    FLOOR_DBFS,
    HEADROOM,
    VAD_RATE,
    Background,
    band_levels,
)
from emo_listen.sound.high_pass import CUT_OFF, HighPass
from emo_listen.vad import SpeechDetector, SpeechEnd, SpeechStart
from tests.support.speech import record_network_calls, sentences

A_SECOND = VAD_RATE // CHUNK
"""Chunks in about a second."""


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * VAD_RATE)) / VAD_RATE
    return np.sin(2 * np.pi * frequency * times).astype(np.float32)


def filtered(samples: np.ndarray) -> np.ndarray:
    high_pass = HighPass(VAD_RATE, CHUNK)
    whole = len(samples) // CHUNK * CHUNK
    return np.concatenate([high_pass.filter(c) for c in samples[:whole].reshape(-1, CHUNK)])


@pytest.mark.parametrize(
    ("frequency", "decibels"),
    [(0, -120), (50, -12.3), (CUT_OFF, -3.0), (200, -0.3), (1000, 0), (7000, 0)],
)
def test_the_filter_takes_off_what_lies_below_100_hz(frequency: float, decibels: float) -> None:
    through = filtered(tone(frequency) if frequency else np.full(VAD_RATE, 0.7, np.float32))
    level = 20 * np.log10(np.abs(through[VAD_RATE // 2 :]).max() + 1e-6)
    assert level == pytest.approx(decibels, abs=0.2)


def test_an_offset_does_not_click_where_the_stream_begins() -> None:
    assert np.abs(filtered(np.full(VAD_RATE, 0.3, np.float32))).max() < 1e-6
    voice = tone(440)
    np.testing.assert_allclose(filtered(voice + 0.3), filtered(voice), atol=1e-5)


def test_bands_have_the_level_of_what_is_in_them() -> None:
    levels = band_levels(tone(1125)[:CHUNK] * 0.1)
    assert int(levels.argmax()) == 3
    assert levels.max() == pytest.approx(-23, abs=0.5)
    np.testing.assert_array_equal(band_levels(np.zeros(CHUNK)), np.full(BANDS, FLOOR_DBFS))


def test_the_background_falls_at_once_and_rises_slowly() -> None:
    background = Background()
    loud, quiet = np.full(BANDS, -30.0), np.full(BANDS, -70.0)
    assert background.covers(np.full(BANDS, FLOOR_DBFS))
    assert not background.covers(quiet)
    for _ in range(5 * A_SECOND):
        background.learn(loud)
    assert background.covers(loud)
    background.fall_to(quiet)
    assert not background.covers(quiet + HEADROOM + 3)
    for _ in range(A_SECOND):
        background.learn(loud)
    assert not background.covers(loud)


def test_only_loud_rumble_is_filtered_out() -> None:
    detector = SpeechDetector()
    quiet, loud = 0.02 * tone(50, 3), 0.2 * tone(50, 3)
    voice = 0.1 * tone(440, 3)
    for hum, expected in ((quiet, voice + quiet), (loud, voice)):
        given = np.concatenate(
            [
                detector._without_rumble(chunk)
                for chunk in (voice + hum).astype(np.float32)[: 90 * CHUNK].reshape(-1, CHUNK)
            ]
        )
        last = slice(60 * CHUNK, 90 * CHUNK)
        assert np.sqrt(np.square(given[last] - expected[last]).mean()) < 0.06


def changes(samples: np.ndarray, block: int) -> list[SpeechStart | SpeechEnd]:
    detector = SpeechDetector()
    found: list[SpeechStart | SpeechEnd] = []
    for start in range(0, len(samples), block):
        found += detector.push(samples[start : start + block])
    return found


def test_blocks_of_any_size_give_the_same_regions(sample_file: Path) -> None:
    words = max(sentences(load_audio(sample_file, VAD_RATE), VAD_RATE), key=len)
    speech = np.pad(words, VAD_RATE // 2)
    sound = speech + 0.1 + 0.1 * tone(50, len(speech) / VAD_RATE)
    whole = changes(sound, len(sound))
    assert len(whole) == 2
    for block in (1, 517):
        assert changes(sound, block) == whole


@pytest.mark.parametrize(
    "background",
    [
        np.zeros(8 * VAD_RATE, np.float32),
        np.full(8 * VAD_RATE, 0.3, np.float32),
        np.random.default_rng(0).integers(-1, 2, 8 * VAD_RATE).astype(np.float32) / 32768,
        0.1 * tone(50, 8) + 0.05 * tone(100, 8),
        1e-3 * np.random.default_rng(0).standard_normal(8 * VAD_RATE).astype(np.float32),
    ],
    ids=["zeros", "offset", "last place", "hum", "hiss"],
)
def test_the_network_does_not_run_on_steady_noise(
    background: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = SpeechDetector()
    calls = record_network_calls(monkeypatch)
    assert list(detector.push(background[: 3 * VAD_RATE])) == []
    learning = len(calls)
    assert list(detector.push(background[3 * VAD_RATE :])) == []
    # The network takes 3.5 % of a core.
    assert len(calls) - learning < 0.25 * 5 * A_SECOND
    if np.ptp(background) < 1e-4:
        assert calls == []
