"""A model of another rate than the speech detector's: its sound is resampled for the detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emo_listen import EmotionModel, SegmentEvent
from emo_listen.audio import load_audio
from emo_listen.engine import Engine, ListenOptions
from emo_listen.events import Event
from tests.support.tiny_models import write_head_model


def events_of(model: EmotionModel, samples: np.ndarray, block: int) -> list[Event]:
    """Events of `samples` with a gap in their middle, given in blocks."""
    engine = Engine(model, ListenOptions(2.0, 0.5, emit="all", baseline="off"))
    events: list[Event] = []
    for part in np.array_split(samples, 2):
        for start in range(0, len(part), block):
            events += engine.push(part[start : start + block])
        events += engine.gap(1.0, "device")
    return events + list(engine.finish())


def segments(events: list[Event]) -> list[SegmentEvent]:
    return [event for event in events if isinstance(event, SegmentEvent)]


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_speech_is_found_where_it_is_at_16_khz_whatever_the_blocks(
    tmp_path: Path, sample_file: Path, rate: int
) -> None:
    model = EmotionModel.load(write_head_model(tmp_path / "own", sampling_rate=rate))
    at_16_khz = EmotionModel.load(write_head_model(tmp_path / "16k"))
    sound = load_audio(sample_file, rate)
    events = events_of(model, sound, len(sound))
    assert events_of(model, sound, 137) == events
    expected = segments(events_of(at_16_khz, load_audio(sample_file, 16_000), 1600))
    found = segments(events)
    # The last word of the sample is too faint without what lies above 4 kHz.
    assert len(expected) - 1 <= len(found) <= len(expected)
    for mine, theirs in zip(found, expected, strict=False):
        assert abs(mine.start - theirs.start) < 0.11
        assert abs(mine.end - theirs.end) < 0.07
    assert all(event.end <= len(sound) / rate for event in found)


def test_silence_gets_no_label(tmp_path: Path) -> None:
    model = EmotionModel.load(write_head_model(tmp_path / "own", sampling_rate=8000))
    assert not segments(events_of(model, np.zeros(10 * 8000, np.float32), 800))
