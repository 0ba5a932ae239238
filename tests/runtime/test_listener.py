"""Listening: any source, in blocks of any size, gives the same events, in three ways."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emo_listen import (
    EmotionModel,
    GapEvent,
    Listener,
    StatusEvent,
    WarningEvent,
    WindowEvent,
    listen,
)
from emo_listen.audio import load_audio
from emo_listen.engine import ListenOptions
from emo_listen.errors import AudioFileError, AudioInputError, ListenerError
from emo_listen.events import Event, LabelEvent
from emo_listen.model_settings import ModelSettings
from emo_listen.sources.base import Gap
from emo_listen.sources.pcm_stream import PcmStream


class Blocks:
    """Samples cut into blocks of one length; sound is missing before block `lost_at`."""

    def __init__(
        self,
        samples: np.ndarray,
        sampling_rate: int,
        block_length: int,
        lost_at: int | None = None,
        live: bool = False,
    ) -> None:
        self.samples = samples
        self.sampling_rate = sampling_rate
        self.block_length = block_length
        self.lost_at = lost_at
        self.live = live
        self.closed = False
        self.stopped = False

    def __str__(self) -> str:
        return "blocks"

    def __iter__(self) -> Iterator[np.ndarray | Gap]:
        try:
            for index, start in enumerate(range(0, len(self.samples), self.block_length)):
                if index == self.lost_at:
                    yield Gap(0.4, "overflow")
                if self.stopped:
                    return
                yield self.samples[start : start + self.block_length]
        finally:
            self.closed = True

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_blocks_of_any_size_give_identical_events(
    bundled_model: EmotionModel, sample_file: Path, rate: int
) -> None:
    samples = load_audio(sample_file, rate)[int(2.5 * rate) : int(5.27 * rate)]
    whole = list(listen(Blocks(samples, rate, len(samples)), model=bundled_model, emit="all"))
    assert {event.type for event in whole} == {"window", "provisional", "segment"}
    for block_length in (1, 7, 1000, rate):
        blocks = Blocks(samples, rate, block_length)
        assert list(listen(blocks, model=bundled_model, emit="all")) == whole


def test_a_stereo_file_equals_its_samples(
    bundled_model: EmotionModel, sample_file: Path, tmp_path: Path
) -> None:
    samples = load_audio(sample_file, 48000)[: 48000 * 4]
    stereo = np.stack([samples * 0.25, samples * 0.75], axis=1)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, stereo, 48000, subtype="FLOAT")
    assert list(listen(path, model=bundled_model)) == list(
        listen(Blocks(stereo, 48000, 480), model=bundled_model)
    )


def test_an_uncertain_label_leaves_the_scores(sample_file: Path) -> None:
    certain = windows_of(listen(sample_file, model=with_threshold(0.0), emit="windows"))
    third, fourth = sorted(event.confidence for event in certain)[2:4]
    threshold = (third + fourth) / 2
    uncertain = listen(sample_file, model=with_threshold(threshold), emit="windows")
    for event, before in zip(windows_of(uncertain), certain, strict=True):
        label = "uncertain" if before.confidence < threshold else before.label
        assert event == dataclasses.replace(before, label=label)
        assert before.label == max(before.scores, key=before.scores.__getitem__)


def windows_of(events: Iterator[Event]) -> list[WindowEvent]:
    return [event for event in events if isinstance(event, WindowEvent)]


def with_threshold(uncertain_below: float) -> EmotionModel:
    model = EmotionModel.load()
    model.settings.uncertain_below = uncertain_below
    return model


def test_window_and_hop_can_be_chosen(bundled_model: EmotionModel, sample_file: Path) -> None:
    events = windows_of(
        listen(sample_file, model=bundled_model, window=1, hop=0.75, vad=False, emit="windows")
    )
    spans = [(event.start, event.end) for event in events]
    assert spans[:3] == [(0, 1), (0.75, 1.75), (1.5, 2.5)]


@pytest.mark.parametrize(
    ("window", "hop"), [(0.05, 0.05), (float("nan"), 0.5), (1, 0), (1, -1), (1, 1.5)]
)
def test_unusable_windows_are_refused(
    bundled_model: EmotionModel, sample_file: Path, window: float, hop: float
) -> None:
    with pytest.raises(AudioInputError, match=r"window|hop"):
        listen(sample_file, model=bundled_model, window=window, hop=hop)


def test_a_sound_shorter_than_a_hop_gives_one_window(bundled_model: EmotionModel) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2000).astype(np.float32)
    blocks = Blocks(noise, 16000, 100)
    (event,) = listen(blocks, model=bundled_model, vad=False, emit="windows")
    assert isinstance(event, WindowEvent)
    assert (event.start, event.end) == (0, 0.125)


@pytest.mark.parametrize("n_samples", [0, 1599])
def test_too_short_a_sound_is_named(bundled_model: EmotionModel, n_samples: int) -> None:
    events = listen(Blocks(np.zeros(n_samples, np.float32), 16000, 100), model=bundled_model)
    with pytest.raises(AudioInputError, match=r"blocks contains 0\.\d+ s of audio"):
        list(events)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_lost_sound_is_marked_where_it_is_missing(bundled_model: EmotionModel, rate: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2 * rate).astype(np.float32)
    blocks = Blocks(noise, rate, rate // 10, lost_at=12)
    events = list(listen(blocks, model=bundled_model, vad=False, emit="windows"))
    (gap,) = [event for event in events if isinstance(event, GapEvent)]
    assert dataclasses.replace(gap, time=1.2) == GapEvent(time=1.2, seconds=0.4, reason="overflow")
    assert gap.time == pytest.approx(1.2, abs=1 / 16000)
    windows = windows_of(iter(events))
    assert [event.end for event in windows if event.end <= gap.time] == [1.0, gap.time]
    assert all(event.start >= gap.time for event in windows[2:])
    assert windows[-1].end == pytest.approx(2, abs=2 / 16000)


def test_a_muted_input_is_warned_of(bundled_model: EmotionModel) -> None:
    blocks = Blocks(np.zeros(12 * 16000, np.float32), 16000, 1600)
    (warning,) = listen(blocks, model=bundled_model)
    assert isinstance(warning, WarningEvent)
    assert warning.reason == "silent"


def test_the_status_comes_ten_times_a_second(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    events = list(listen(sample_file, model=bundled_model, status=True))
    status = [event for event in events if isinstance(event, StatusEvent)]
    assert [event.time for event in status[:3]] == [0.1, 0.2, 0.3]
    assert abs(len(status) - 10 * status[-1].time) <= 1
    assert {event.speech for event in status} == {True, False}
    assert all(-120 <= event.level <= 0 for event in status)
    assert status[-1].latency > 0 and status[-1].load > 0
    rest = [event for event in events if not isinstance(event, StatusEvent)]
    assert rest == list(listen(sample_file, model=bundled_model))


def test_a_listener_in_a_thread_calls_back(bundled_model: EmotionModel, sample_file: Path) -> None:
    received: list[tuple[str, Event]] = []
    listener = Listener(sample_file, model=bundled_model)
    listener.start(lambda event: received.append((threading.current_thread().name, event)))
    with pytest.raises(ListenerError, match="create a new one"):
        listener.start(print)
    listener.join()
    assert [event for _, event in received] == list(listen(sample_file, model=bundled_model))
    assert {name for name, _ in received} == {"emo-listen"}


def test_what_ends_a_thread_is_raised_where_it_is_joined(bundled_model: EmotionModel) -> None:
    listener = Listener(Blocks(np.zeros(10, np.float32), 16000, 10), model=bundled_model)
    listener.start(print)
    with pytest.raises(AudioInputError, match="of audio"):
        listener.join()


def test_asyncio_goes_on_while_a_listener_is_awaited(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    async def collect() -> list[Event]:
        ticking = asyncio.create_task(tick())
        events = [event async for event in Listener(sample_file, model=bundled_model)]
        ticking.cancel()
        return events

    assert asyncio.run(collect()) == list(listen(sample_file, model=bundled_model))
    assert ticks > 10


def test_leaving_an_async_loop_early_closes_the_source(bundled_model: EmotionModel) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 60 * 16000).astype(np.float32)
    blocks = Blocks(noise, 16000, 1600)

    async def first() -> Event:
        listener = Listener(blocks, model=bundled_model, vad=False, emit="windows")
        events = aiter(listener)
        event = await anext(events)
        await events.aclose()
        return event

    assert asyncio.run(first()).type == "window"
    assert blocks.closed


def test_a_stopped_listener_ends(bundled_model: EmotionModel) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 60 * 16000).astype(np.float32)
    listener = Listener(Blocks(noise, 16000, 1600), model=bundled_model, vad=False, emit="windows")
    ends = []
    for event in listener:
        assert isinstance(event, LabelEvent)
        ends.append(event.end)
        listener.stop()
    assert ends[0] == 1.0 and len(ends) < 4


def test_what_is_wrong_is_said_before_the_first_event(bundled_model: EmotionModel) -> None:
    with pytest.raises(AudioFileError, match="is not a file"):
        listen("absent.flac", model=bundled_model)


@pytest.mark.corpus
def test_real_speech_in_odd_blocks(bundled_model: EmotionModel, shared_dir: Path) -> None:
    clips = sorted((shared_dir / "crema-d" / "audio").glob("1002_*_HAP_*"))[:3]
    assert clips
    for clip in clips:
        samples = load_audio(clip, 16000)
        assert list(listen(clip, model=bundled_model)) == list(
            listen(Blocks(samples, 16000, 331), model=bundled_model)
        )


def spoken(sample_file: Path) -> np.ndarray:
    """4 s of speech at 16 kHz, float32 (n_samples,)."""
    return load_audio(sample_file, 16000)[: 4 * 16000]


@pytest.mark.parametrize(
    "convert",
    [
        lambda samples: samples.astype(np.float64),
        lambda samples: samples[:, np.newaxis],
        lambda samples: np.stack([samples, samples], axis=1),
        lambda samples: (samples * 32768).astype(np.int16),
        lambda samples: (samples * 32768).astype(">i2")[:, np.newaxis],
        lambda samples: samples.astype(np.float64) * 2**31,
    ],
)
def test_blocks_of_other_types_and_shapes_are_converted(
    bundled_model: EmotionModel, sample_file: Path, convert: Any
) -> None:
    samples = np.round(spoken(sample_file) * 32768) / np.float32(32768)
    converted = convert(samples)
    if np.abs(converted).max() > 40000:
        converted = converted.astype(np.int32)
    expected = list(listen(Blocks(samples, 16000, 1000), model=bundled_model))
    assert any(isinstance(event, LabelEvent) for event in expected)
    assert list(listen(Blocks(converted, 16000, 1000), model=bundled_model)) == expected


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (np.zeros((1, 1600), np.float32), r"a block has the shape \(1, 1600\): give float32"),
        (np.zeros((4, 4, 4), np.float32), r"a block has the shape \(4, 4, 4\)"),
        (np.float32(0), r"a block has the shape \(\)"),
        (np.zeros(100, np.int64), "samples of type int64 are not supported"),
        (np.zeros(100, bool), "samples of type bool are not supported"),
        (b"raw bytes", "are not supported: give float32"),
        ([[1.0], [1.0, 2.0]], "list is not audio"),
        (None, "samples of type object are not supported"),
        (np.zeros((100, 2), np.float32), "a block has 2 channels after blocks with 1"),
    ],
)
def test_blocks_that_are_not_sound_are_refused(
    bundled_model: EmotionModel, block: Any, error: str
) -> None:
    class Source(Blocks):
        def __iter__(self) -> Iterator[Any]:
            yield np.zeros((100, 1), np.float32)
            yield block

    source = Source(np.zeros(0), 16000, 1)
    with pytest.raises(AudioInputError, match=error):
        list(listen(source, model=bundled_model))


@pytest.mark.parametrize("rate", [0, -16000, 16000.5, float("nan"), "16000", None, True, 10**9])
def test_a_source_at_an_unusable_rate_is_refused(bundled_model: EmotionModel, rate: Any) -> None:
    blocks = Blocks(np.zeros(0, np.float32), rate, 1)
    with pytest.raises(AudioInputError, match=r"the sampling rate .* is not valid: give a whole"):
        listen(blocks, model=bundled_model)


class WithoutStop:
    live = True
    sampling_rate = 16000

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(())


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (b"talk.wav", "live, sampling_rate, stop"),
        (1.5, "live, sampling_rate, __iter__, stop"),
        (np.zeros(16000, np.float32), "live, sampling_rate, stop"),
        (WithoutStop(), "stop"),
    ],
)
def test_what_is_not_a_source_is_refused(
    bundled_model: EmotionModel, source: Any, missing: str
) -> None:
    with pytest.raises(AudioInputError, match=rf"is not a source: it has no {missing}\."):
        listen(source, model=bundled_model)


def test_a_live_source_that_is_stopped_gives_the_labels_so_far(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    blocks = Blocks(spoken(sample_file), 16000, 1600, live=True)
    listener = Listener(blocks, model=bundled_model)
    events = []
    for event in listener:
        events.append(event)
        listener.stop()
    assert [event.type for event in events] == ["provisional", "segment"]
    assert blocks.closed
    assert listener.seconds < 4


def test_a_listener_is_used_once(bundled_model: EmotionModel, sample_file: Path) -> None:
    listener = Listener(Blocks(spoken(sample_file), 16000, 1600), model=bundled_model)
    assert list(listener)
    for use in (iter, aiter, lambda again: again.start(print)):
        with pytest.raises(ListenerError, match="create a new one"):
            use(listener)


class Stalled:
    """A source that waits for sound which never comes, and cannot be stopped."""

    live, sampling_rate = True, 16000

    def __init__(self) -> None:
        self.never = threading.Event()

    def __iter__(self) -> Iterator[np.ndarray]:
        yield np.zeros(1600, np.float32)
        self.never.wait()

    def stop(self) -> None:
        pass


def test_an_async_loop_with_a_time_out_returns_while_its_source_is_stalled(
    bundled_model: EmotionModel,
) -> None:
    async def consume(source: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                async for _ in Listener(source, model=bundled_model):
                    pass

    source = Stalled()
    reader, writer = os.pipe()

    def let_go() -> None:
        source.never.set()
        os.close(writer)

    watchdog = threading.Timer(60, let_go)
    watchdog.start()
    with os.fdopen(reader, "rb") as pipe:
        asyncio.run(consume(source))
        asyncio.run(consume(PcmStream(pipe, 16000)))
        waits = watchdog.is_alive()
        watchdog.cancel()
        if waits:
            let_go()
    assert waits


def test_a_stalled_pipe_can_be_stopped(bundled_model: EmotionModel) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb"), os.fdopen(reader, "rb", buffering=0) as pipe:
        listener = Listener(PcmStream(pipe, 16000), model=bundled_model)
        listener.start(print)
        listener.stop()
        listener.join(timeout=60)
        assert not any(thread.name == "emo-listen" for thread in threading.enumerate())


def test_listen_and_listener_take_the_same_options() -> None:
    options = {field.name: field.default for field in dataclasses.fields(ListenOptions)}
    for function in (listen, Listener):
        parameters = inspect.signature(function).parameters
        taken = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
        assert taken == {"model": None, "sampling_rate": 16000} | options


def test_options_not_given_are_the_models() -> None:
    settings = ModelSettings(window=2.0, hop=0.5)
    assert ListenOptions().window_and_hop(settings) == (2.0, 0.5)
    assert ListenOptions(window=0.3).window_and_hop(settings) == (0.3, 0.3)
    assert ListenOptions(hop=0.1).window_and_hop(settings) == (2.0, 0.1)
