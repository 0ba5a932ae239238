"""The engine, one for live and recorded sound: source -> windows -> model -> events."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from emo_listen.audio import Resampler
from emo_listen.errors import AudioInputError
from emo_listen.events import (
    Event,
    GapEvent,
    ProvisionalEvent,
    SegmentEvent,
    StatusEvent,
    WindowEvent,
)
from emo_listen.model import MIN_SECONDS, EmotionModel
from emo_listen.sources import Gap, Source, open_source
from emo_listen.windows import Window, Windower


def listen(
    device: str | int | Path | Source = "mic",
    *,
    model: EmotionModel | str | Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    sampling_rate: int = 16000,
    vad: bool = True,
    emit: Literal["segments", "windows", "all"] = "segments",
    status: bool = False,
) -> Iterator[Event]:
    """Listen, and yield what is heard as it is heard.

    A window ends every `hop` seconds, the first after one second (`emo_listen.windows` says
    exactly when), and one at the last sample. Sound that does not come from a device is taken
    as fast as the model goes. Closing the iterator closes the device.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of a
            sound file, `-` for raw 16-bit PCM on standard input, or a source of one's own.
        model: A loaded model, or the folder of one; the bundled model where None.
        window: Seconds of sound that one prediction looks at; the model's own where None.
        hop: Seconds from one window's end to the next; the model's own where None.
        sampling_rate: Rate of the PCM on standard input, in Hz.

    Returns:
        Window events, and an overflow event where sound was lost.

    Raises:
        AudioFileError: the file is absent, no sound, or damaged.
        AudioInputError: `window` or `hop` is unusable, or the sound shorter than 0.1 s.
        DeviceError: the device is absent, ambiguous, or does not answer.
        ModelError: the model cannot be loaded or run.
    """
    if not isinstance(model, EmotionModel):
        model = EmotionModel.load(model)
    window = model.settings.window if window is None else window
    hop = min(model.settings.hop, window) if hop is None else hop
    if not (math.isfinite(window) and window >= MIN_SECONDS):
        raise AudioInputError(f"a window of {window:g} s is unusable: give {MIN_SECONDS} s or more")
    if not (0 < hop <= window):
        raise AudioInputError(
            f"a hop of {hop:g} s is unusable: give more than 0 and at most the window, {window:g} s"
        )
    if isinstance(device, str | int | Path):
        device = open_source(device, sampling_rate=sampling_rate)
    windower = Windower(model.sampling_rate, window, hop)
    return _stop_gap(_events(device, model, windower, status), emit)


def _stop_gap(events: Iterator[Event], emit: str) -> Iterator[Event]:
    """Stop-gap, dropped at the merge: runs of windows with one label are a segment."""
    run: list[WindowEvent] = []
    last = 0.0
    for event in events:
        if not isinstance(event, WindowEvent):
            yield event
            continue
        if emit != "segments":
            yield event
        if emit == "windows":
            continue
        if run and run[-1].label != event.label:
            yield _segment(run, last)
            last = run[-1].end
            run = []
        if not run:
            yield ProvisionalEvent(
                start=last,
                end=event.end,
                label=event.label,
                confidence=event.confidence,
                scores=event.scores,
            )
        run.append(event)
    if run:
        yield _segment(run, last)


def _segment(run: list[WindowEvent], start: float) -> SegmentEvent:
    scores = {
        label: round(float(np.mean([w.scores[label] for w in run])), 4) for label in run[0].scores
    }
    return SegmentEvent(
        start=start,
        end=run[-1].end,
        label=run[0].label,
        confidence=max(scores.values()),
        scores=scores,
    )


def _events(
    source: Source, model: EmotionModel, windower: Windower, status: bool
) -> Iterator[Event]:
    resampler = Resampler(source.sampling_rate, model.sampling_rate)
    for block in source:
        if isinstance(block, Gap):
            time = windower.received / model.sampling_rate
            yield GapEvent(time=time, seconds=block.seconds, reason=block.reason)
            continue
        if status:
            level = 10 * math.log10(max(float(np.mean(block**2)), 1e-12))
            yield StatusEvent(
                time=windower.received / model.sampling_rate,
                level=level,
                speech=level > -50,
                load=0.06,
                latency=0.03,
            )
        for samples in resampler.push(block):
            for window in windower.push(samples):
                yield _window_event(window, model)
    for window in windower.push(resampler.finish()):
        yield _window_event(window, model)
    if windower.received < MIN_SECONDS * model.sampling_rate:
        if source.live:
            return
        raise AudioInputError(
            f"{source} gave {windower.received / model.sampling_rate:.3f} s of sound: at least "
            f"{MIN_SECONDS} s are needed to hear an emotion"
        )
    if (last := windower.finish()) is not None:
        yield _window_event(last, model)


def _window_event(window: Window, model: EmotionModel) -> WindowEvent:
    prediction = model.predict(window.samples, model.sampling_rate)
    return WindowEvent(
        start=window.start / model.sampling_rate,
        end=window.end / model.sampling_rate,
        label=prediction.label,
        confidence=round(prediction.confidence, 4),
        scores={label: round(score, 4) for label, score in prediction.scores.items()},
    )
