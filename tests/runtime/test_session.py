"""Audio that a program pushes gets the events that `listen` gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emo_listen import (
    EmotionModel,
    Event,
    Gap,
    GapEvent,
    ListenOptions,
    Session,
    StatusEvent,
    listen,
)
from emo_listen.audio import load_audio, resample
from emo_listen.errors import AudioInputError, ListenerError

RATE = 16_000


class Blocks:
    """A source of given blocks and gaps."""

    live = False

    def __init__(self, items: list[Any], sampling_rate: int) -> None:
        self.items = items
        self.sampling_rate = sampling_rate

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def stop(self) -> None:
        """End the stream."""


@pytest.fixture(scope="module")
def speech(sample_file: Any) -> NDArray[np.float32]:
    return load_audio(sample_file, RATE)[: 14 * RATE]


def pushed(session: Session, samples: NDArray[Any], rate: int, length: int) -> list[Event]:
    events: list[Event] = []
    for start in range(0, len(samples), length):
        events += session.push(samples[start : start + length], rate)
    return events + session.finish()


@pytest.mark.parametrize("length", [77, 320, 4410, 10**9])
@pytest.mark.parametrize("emit", ["segments", "all"])
def test_pushed_audio_has_the_events_of_listen(
    bundled_model: EmotionModel, speech: NDArray[np.float32], length: int, emit: Any
) -> None:
    expected = list(listen(Blocks([speech], RATE), model=bundled_model, emit=emit))
    session = Session(bundled_model, ListenOptions(emit=emit))
    assert pushed(session, speech, RATE, length) == expected
    assert session.seconds == len(speech) / RATE
    assert len(expected) > 5


def test_channels_types_and_rates_are_those_of_listen(
    bundled_model: EmotionModel, speech: NDArray[np.float32]
) -> None:
    fast = resample(speech, RATE, 44_100)
    stereo = (np.column_stack([fast, 0.1 * fast]) * 32767).astype(np.int16)
    expected = list(listen(Blocks([stereo], 44_100), model=bundled_model))
    assert pushed(Session(bundled_model), stereo, 44_100, 1000) == expected


def test_gaps_are_those_of_listen(bundled_model: EmotionModel, speech: NDArray[np.float32]) -> None:
    half = len(speech) // 2 + 5  # in the middle of a frame
    items = [speech[:half], Gap(1.5, "device"), speech[half:]]
    expected = list(listen(Blocks(items, RATE), model=bundled_model))
    session = Session(bundled_model)
    events = session.push(speech[:half], RATE) + session.gap(1.5, "device")
    assert events + session.push(speech[half:], RATE) + session.finish() == expected
    assert [event.type for event in expected].count("gap") == 1


def test_a_gap_may_come_first(bundled_model: EmotionModel) -> None:
    (event,) = Session(bundled_model).gap(2.0)
    assert isinstance(event, GapEvent)
    assert (event.time, event.seconds, event.reason) == (0.0, 2.0, "overflow")


def test_reset_forgets_the_stream_and_the_voice(
    bundled_model: EmotionModel, speech: NDArray[np.float32]
) -> None:
    session = Session(bundled_model)
    first = pushed(session, speech, RATE, 5000)
    session.reset()
    assert session.seconds == 0
    assert pushed(session, speech, RATE, 5000) == first


def test_status_is_reported_on_request(
    bundled_model: EmotionModel, speech: NDArray[np.float32]
) -> None:
    session = Session(bundled_model, ListenOptions(status=True))
    status = [e for e in session.push(speech[: 2 * RATE], RATE) if isinstance(e, StatusEvent)]
    assert [event.time for event in status] == pytest.approx(np.arange(1, 21) / 10)


def test_misuse_is_named(bundled_model: EmotionModel) -> None:
    session = Session(bundled_model)
    with pytest.raises(AudioInputError, match="sampling rate"):
        session.push(np.zeros(100, np.float32), 10)
    session.push(np.zeros(1600, np.float32), RATE)
    with pytest.raises(AudioInputError, match="changed from 16000 to 48000 Hz"):
        session.push(np.zeros(1600, np.float32), 48_000)
    with pytest.raises(AudioInputError, match="2 channels after blocks with 1"):
        session.push(np.zeros((1600, 2), np.float32), RATE)
    with pytest.raises(AudioInputError, match="not supported"):
        session.push(np.zeros(1600, complex), RATE)
    assert session.finish() == []  # the stream is as it was before the errors
    for call in (session.finish, lambda: session.push(np.zeros(9, np.float32), RATE)):
        with pytest.raises(ListenerError, match="reset the session"):
            call()
