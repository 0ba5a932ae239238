"""Samples that are no sound, and samples that are scaled as integers."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import EmotionModel, GapEvent, SegmentEvent, listen
from emo_listen.audio import load_audio
from emo_listen.sources.base import Gap
from emo_listen.sources.valid_sound import ValidSound

RATE = 16000
FRAME = 320


def judged(samples: np.ndarray, block_length: int) -> list[np.ndarray | Gap]:
    """What comes of blocks of a length: gaps, and the sound between them joined."""
    column = samples[:, np.newaxis]
    blocks = [column[i : i + block_length] for i in range(0, len(samples), block_length)]
    joined: list[np.ndarray | Gap] = []
    frames = ValidSound(RATE)
    found_items = [item for block in blocks for item in frames.push(block)] + [*frames.finish()]
    for found in found_items:
        item = found if isinstance(found, Gap) else found[:, 0]
        if not isinstance(item, Gap) and joined and not isinstance(joined[-1], Gap):
            joined[-1] = np.concatenate([joined[-1], item])
        else:
            joined.append(item)
    return joined


@pytest.mark.parametrize("block_length", [1, 7, 320, 1001, 16000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_sound_is_a_gap(block_length: int, bad: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8 * FRAME + 100).astype(np.float32)
    samples = noise.copy()
    samples[3 * FRAME - 1] = bad
    samples[3 * FRAME + 5 : 4 * FRAME] = bad
    samples[-3] = bad
    before, gap, after, last = judged(samples, block_length)
    np.testing.assert_array_equal(before, noise[: 2 * FRAME])
    assert gap == Gap(2 * FRAME / RATE, "invalid")
    np.testing.assert_array_equal(after, noise[4 * FRAME : 8 * FRAME])
    assert last == Gap(100 / RATE, "invalid")


@pytest.mark.parametrize("block_length", [1, 7, 320, 1001, 16000])
def test_samples_scaled_as_integers_are_scaled_back(
    block_length: int, caplog: pytest.LogCaptureFixture
) -> None:
    voice = np.random.default_rng(0).normal(0, 0.05, 8 * FRAME).astype(np.float32)
    voice[: 2 * FRAME] = 0
    with caplog.at_level(logging.WARNING):
        (samples,) = judged(voice * 32768, block_length)
    np.testing.assert_array_equal(samples, voice)
    assert [record.getMessage() for record in caplog.records] == [
        "the samples are in the range of 16-bit integers: they are divided by 32,768"
    ]


def test_overdriven_sound_is_left_as_it_is() -> None:
    loud = np.random.default_rng(0).normal(0, 10, 8 * FRAME).astype(np.float32)
    (samples,) = judged(loud, 1000)
    np.testing.assert_array_equal(samples, loud)


def test_a_file_goes_on_after_samples_that_are_no_numbers(
    tmp_path: Path, sample_file: Path, bundled_model: EmotionModel
) -> None:
    voice = load_audio(sample_file, RATE)[: 8 * RATE]
    stereo = np.stack([voice, voice], axis=1)
    stereo[3 * RATE : 4 * RATE, 1] = np.nan
    path = tmp_path / "talk.wav"
    soundfile.write(path, stereo, RATE, subtype="FLOAT")
    events = list(listen(path, model=bundled_model))
    (gap,) = (event for event in events if isinstance(event, GapEvent))
    assert (gap.time, gap.seconds, gap.reason) == (3.0, 1.0, "invalid")
    ends = [event.end for event in events if isinstance(event, SegmentEvent)]
    assert min(ends) <= 3.0 < max(ends)


def test_a_file_scaled_as_integers_is_heard_as_it_should_be(
    tmp_path: Path, sample_file: Path, bundled_model: EmotionModel
) -> None:
    voice = load_audio(sample_file, RATE)[: 6 * RATE]
    for name, scale in (("right", 1), ("scaled", 32768)):
        soundfile.write(tmp_path / f"{name}.wav", voice * scale, RATE, subtype="FLOAT")
    right, scaled = (
        [e for e in listen(tmp_path / f"{name}.wav", model=bundled_model)]
        for name in ("right", "scaled")
    )
    assert [e.type for e in right] == [e.type for e in scaled]
    assert [getattr(e, "label", None) for e in right] == [getattr(e, "label", None) for e in scaled]
