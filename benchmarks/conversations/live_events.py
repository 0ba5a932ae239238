"""Runs the engine on a stream as a live listener, and measures the delays of its labels."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emo_listen import EmotionModel, SegmentEvent, WindowEvent
from emo_listen.baselines.references import BaselineChoice
from emo_listen.engine import Engine, ListenOptions
from emo_listen.events import Emit, Event, ProvisionalEvent
from train.evaluation.streams import Turn

BLOCK = 0.02
"""Seconds of audio passed to the engine at a time, which limits the precision of delays."""

NEAR = 0.5
"""Largest distance, in seconds, between the end of a turn and the end of its segment."""

TimedEvent = tuple[Event, float]
"""An event, and when a live listener would have it, in seconds of stream time."""


def timed_events(
    model: EmotionModel,
    samples: NDArray[np.float32],
    baseline: BaselineChoice = "auto",
    *,
    vad: bool = True,
    emit: Emit = "segments",
) -> list[TimedEvent]:
    """Return all events of a stream with their times.

    The time is the stream time received by the engine plus the time of its computation.

    Args:
        model: to listen with.
        samples: mono samples `(n_samples,)` at the model's rate.
        baseline: what the voice is judged relative to.
        vad: whether to detect speech; if False, all of the stream is classified.
        emit: as for `emo_listen.listen`.
    """
    engine = Engine(model, ListenOptions(vad=vad, emit=emit, baseline=baseline))
    events = []
    length = round(BLOCK * model.sampling_rate)
    for start in range(0, len(samples), length):
        begin = time.perf_counter()
        for event in engine.push(samples[start : start + length]):
            elapsed = time.perf_counter() - begin
            events.append((event, engine.received / model.sampling_rate + elapsed))
    end = len(samples) / model.sampling_rate
    return events + [(event, end) for event in engine.finish()]


def windows_as_turns(events: Sequence[Event], hop: float) -> list[Turn]:
    """Return each window's label as a turn from its end, when it is emitted, to the next one's."""
    return [
        Turn(event.end, event.end + hop, event.label)
        for event in events
        if isinstance(event, WindowEvent)
    ]


def segments_as_turns(events: Sequence[SegmentEvent]) -> list[Turn]:
    """Return each segment as a turn."""
    return [Turn(event.start, event.end, event.label) for event in events]


def delays_of_final_labels(turns: Sequence[Turn], events: Sequence[TimedEvent]) -> list[float]:
    """Seconds from the end of each turn to the segment that ends nearest to it."""
    segments = [(e.end, at) for e, at in events if isinstance(e, SegmentEvent)]
    delays = []
    for turn in turns:
        near = [(abs(end - turn.end), at) for end, at in segments if abs(end - turn.end) < NEAR]
        if near:
            delays.append(min(near)[1] - turn.end)
    return delays


def delays_of_first_labels(turns: Sequence[Turn], events: Sequence[TimedEvent]) -> list[float]:
    """Seconds from the start of each turn to the first label within it, if there is one."""
    labels = [(e, at) for e, at in events if isinstance(e, ProvisionalEvent | SegmentEvent)]
    delays = []
    for turn in turns:
        within = [at for e, at in labels if e.start < turn.end and turn.start < at <= turn.end]
        if within:
            delays.append(min(within) - turn.start)
    return delays
