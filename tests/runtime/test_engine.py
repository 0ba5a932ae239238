"""The engine: speech alone is heard, labels do not flicker, times are exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emo_listen import EmotionModel, GapEvent, ProvisionalEvent, SegmentEvent, WindowEvent
from emo_listen.audio import load_audio
from emo_listen.engine import FIRST_WINDOW, MIN_SEGMENT, Engine, ListenOptions
from emo_listen.errors import AudioInputError
from emo_listen.events import Event, LabelEvent
from emo_listen.prediction import Output
from emo_listen.sound.background import CHUNK
from emo_listen.vad import MIN_SILENCE, SpeechDetector, SpeechEnd, SpeechStart
from tests.support.speech import record_network_calls, sentences
from tests.support.tiny_models import write_head_model

RATE = 16000


@pytest.fixture(scope="module")
def speech(sample_file: Path) -> np.ndarray:
    """Sentences of a synthetic voice with pauses of at least half a second."""
    return load_audio(sample_file, RATE)


@pytest.fixture(scope="module")
def sentence(speech: np.ndarray) -> np.ndarray:
    """The longest of them, with a fifth of a second of silence before and after it."""
    return np.pad(max(sentences(speech, RATE), key=len), RATE // 5)


def events_of(engine: Engine, samples: np.ndarray, block: int = 320) -> list[Event]:
    events: list[Event] = []
    for start in range(0, len(samples), block):
        events += engine.push(samples[start : start + block])
    return events + list(engine.finish())


def engine_of(model: EmotionModel, **options) -> Engine:
    return Engine(model, ListenOptions(**{"window": 3.0, "hop": 0.5, **options}))


def of_kind(events: Sequence[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_speech_is_found_where_it_is(speech):
    words = max(sentences(speech, RATE), key=len)
    places = [(RATE, RATE + len(words)), (5 * RATE, 5 * RATE + len(words))]
    stream = np.zeros(9 * RATE, np.float32)
    for start, end in places:
        stream[start:end] = words
    detector = SpeechDetector()
    changes: list[SpeechStart | SpeechEnd] = []
    for start in range(0, len(stream), 320):
        changes += detector.push(stream[start : start + 320])
    assert [type(change) for change in changes] == [SpeechStart, SpeechEnd] * 2
    for (start, end), found_start, found_end in zip(
        places, changes[::2], changes[1::2], strict=True
    ):
        assert start - 0.1 * RATE - CHUNK <= found_start.at <= start + 0.1 * RATE
        assert abs(found_end.at - end) < 0.15 * RATE
    assert not detector.speaking
    assert detector.finish() is None


def test_speech_that_the_stream_cuts_short_ends_with_it(speech):
    detector = SpeechDetector()
    stream = max(sentences(speech, RATE), key=len)[: round(1.2 * RATE) + 100]
    assert [type(change) for change in detector.push(stream)] == [SpeechStart]
    assert detector.finish() == SpeechEnd(len(stream), detected_at=len(stream))
    # The detector starts again, and continues to count.
    (start,) = detector.push(stream)
    assert start.at >= len(stream)


def test_an_uncertain_first_label_is_replaced_at_once(bundled_model, monkeypatch):
    """A wrong first label is not kept for the minimum duration of a label."""
    order = list(bundled_model.labels)
    answers = iter(["fear", *["neutral"] * 20])

    def answer(self, samples, sampling_rate):
        logits = np.zeros(len(order))
        logits[order.index(next(answers))] = 3.0
        return Output(logits, None)

    monkeypatch.setattr(EmotionModel, "run", answer)
    engine = engine_of(bundled_model, vad=False, emit="all", baseline="off")
    events = events_of(engine, np.zeros(4 * RATE, np.float32))
    first, second = of_kind(events, ProvisionalEvent)
    assert (first.label, second.label) == ("fear", "neutral")
    assert second.end - first.end <= 0.5


def test_silence_and_noise_are_not_predicted(bundled_model, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the model was run")

    monkeypatch.setattr(EmotionModel, "run", refuse)
    hiss = (1e-2 * np.random.default_rng(0).standard_normal(20 * RATE)).astype(np.float32)
    for samples in (np.zeros(20 * RATE, np.float32), hiss):
        assert events_of(engine_of(bundled_model), samples) == []


def test_steady_noise_costs_nothing_and_hides_no_speech(speech, monkeypatch):
    words = max(sentences(speech, RATE), key=len)
    hiss = (3e-3 * np.random.default_rng(0).standard_normal(12 * RATE)).astype(np.float32)
    noisy = hiss.copy()
    noisy[8 * RATE : 8 * RATE + len(words)] += words
    detector = SpeechDetector()
    calls = record_network_calls(monkeypatch)
    assert list(detector.push(noisy[: 3 * RATE])) == []
    learning = len(calls)
    assert list(detector.push(noisy[3 * RATE : 7 * RATE])) == []
    # The network takes 3.5 % of a core.
    assert len(calls) - learning < 0.25 * 4 * RATE / CHUNK
    start, end = detector.push(noisy[7 * RATE :])
    assert isinstance(start, SpeechStart) and isinstance(end, SpeechEnd)
    assert abs(start.at - 8 * RATE) < 0.2 * RATE
    assert abs(end.at - 8 * RATE - len(words)) < 0.2 * RATE


def test_segments_follow_the_speech(bundled_model, speech):
    engine = engine_of(bundled_model)
    timed: list[tuple[float, Event]] = []
    for start in range(0, len(speech), 320):
        for event in engine.push(speech[start : start + 320]):
            timed.append((engine.received / RATE, event))
    timed += [(engine.received / RATE, event) for event in engine.finish()]
    segments = of_kind([event for _, event in timed], SegmentEvent)
    assert len(segments) >= 4
    for before, after in pairwise(segments):
        assert before.end <= after.start
    for segment in segments:
        assert segment.end - segment.start >= MIN_SEGMENT
        assert segment.confidence == max(segment.scores.values())
        assert sum(segment.scores.values()) == pytest.approx(1, abs=1e-3)
    chunk = CHUNK / RATE
    for at, event in timed:
        if isinstance(event, ProvisionalEvent):
            assert event.start + FIRST_WINDOW - chunk <= at <= event.end + 2 * chunk
        elif isinstance(event, SegmentEvent) and event is not segments[-1]:
            assert at - event.end <= MIN_SILENCE + 2 * chunk
    # Each segment that is long enough had a provisional label.
    for segment in segments:
        if segment.end - segment.start > FIRST_WINDOW + chunk:
            assert any(
                isinstance(event, ProvisionalEvent) and event.start == segment.start
                for _, event in timed
            )


def test_windows_are_the_models_predictions(bundled_model, speech):
    engine = engine_of(bundled_model, emit="windows", baseline="off")
    windows = of_kind(events_of(engine, speech), WindowEvent)
    assert len(windows) > 10
    for event in windows[::4]:
        samples = speech[round(event.start * RATE) : round(event.end * RATE)]
        alone = list(bundled_model.predict(samples, RATE).scores.values())
        expected = np.array(alone) * bundled_model.require_head().prior
        expected /= expected.sum()
        assert list(event.scores.values()) == pytest.approx(expected.tolist(), abs=6e-5)


def test_without_vad_windows_end_after_a_second_and_then_every_hop(bundled_model, speech):
    events = events_of(
        engine_of(bundled_model, vad=False, emit="all", hop=0.75), speech[: 5 * RATE]
    )
    windows = of_kind(events, WindowEvent)
    assert [event.end for event in windows] == [1.0, 1.75, 2.5, 3.25, 4.0, 4.75, 5.0]
    assert [event.start for event in windows] == [0, 0, 0, 0.25, 1.0, 1.75, 2.0]
    segments = of_kind(events, SegmentEvent)
    assert (segments[0].start, segments[-1].end) == (0, 5)


def test_what_is_emitted_can_be_chosen(bundled_model, speech):
    kinds = {
        emit: {type(event) for event in events_of(engine_of(bundled_model, emit=emit), speech)}
        for emit in ("windows", "segments", "all")
    }
    assert kinds["windows"] == {WindowEvent}
    assert kinds["segments"] == {ProvisionalEvent, SegmentEvent}
    assert kinds["all"] == {WindowEvent, ProvisionalEvent, SegmentEvent}


@pytest.mark.parametrize("vad", [True, False])
def test_blocks_of_any_size_give_the_same_segments(bundled_model, speech, vad):
    samples = speech[: 5 * RATE]
    expected = events_of(engine_of(bundled_model, vad=vad), samples)
    assert expected
    for block in (64, 517, 16000):
        found = of_kind(events_of(engine_of(bundled_model, vad=vad), samples, block), SegmentEvent)
        assert found == of_kind(expected, SegmentEvent)


def test_a_gap_ends_speech_and_no_window_spans_it(bundled_model, sentence):
    sentence = sentence[: 2 * RATE]
    engine = engine_of(bundled_model, emit="all")
    before = [*engine.push(sentence), *engine.gap(2.5, "device")]
    after = [*engine.push(sentence), *engine.finish()]
    gap = before[-1]
    assert gap == GapEvent(time=len(sentence) / RATE, seconds=2.5, reason="device")
    assert isinstance(before[-2], SegmentEvent)
    assert before[-2].end == gap.time
    labelled = [event for event in after if isinstance(event, LabelEvent)]
    assert labelled
    assert all(event.start >= gap.time for event in labelled)


def test_times_stay_exact_after_hours(tmp_path):
    rate, hours = 8000, 12
    model = EmotionModel.load(write_head_model(tmp_path / "model", sampling_rate=rate))
    engine = engine_of(model, window=60.0, hop=60.0, vad=False, emit="windows", baseline="off")
    minute = np.zeros(60 * rate, np.float32)
    events = [event for _ in range(hours * 60) for event in engine.push(minute)]
    ends = [event.end for event in of_kind(events, WindowEvent)]
    assert ends == [1.0, *(1.0 + 60 * n for n in range(1, hours * 60))]


def test_the_same_sentence_again_is_the_same_segments_later(bundled_model, sentence):
    engine = engine_of(bundled_model, baseline="off")
    first = of_kind([*engine.push(sentence), *engine.finish()], SegmentEvent)
    again = of_kind([*engine.push(sentence), *engine.finish()], SegmentEvent)
    shift = len(sentence) / RATE
    assert len(first) == len(again) > 0
    for early, late in zip(first, again, strict=True):
        assert round((late.end - early.end - shift) * RATE) == 0
        assert dataclasses.replace(late, start=early.start, end=early.end) == early


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0.05}, "window is 0.05: it must be a number from 0.1 to 60"),
        ({"window": float("nan")}, "window is nan"),
        ({"hop": 0.0}, "hop is 0.0: it must be a number from 0.05 to 60"),
        ({"hop": 4.0}, "hop is 4: it must be at most the window, 3 s"),
    ],
)
def test_unusable_options_are_named(bundled_model, options, message):
    with pytest.raises(AudioInputError, match=message):
        engine_of(bundled_model, **options)
