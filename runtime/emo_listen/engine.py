"""The engine, one for live and recorded sound: samples -> speech -> windows -> labels -> events.

Samples come at the model's rate, in pieces of any size; events depend on the samples only. While
somebody speaks, a window ends `FIRST_WINDOW` seconds after the beginning and then every hop;
without speech detection it is `FIRST_WINDOW_WITHOUT_VAD`. It looks back over one window's length,
at most to `PRE_ROLL` before the speech. One more ends when the speech is known to be over. Each
window's logits first inform the voice's baseline, and are then judged relative to it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.references import BaselineChoice, open_reference
from emo_listen.errors import AudioInputError
from emo_listen.events import (
    Emit,
    Event,
    GapEvent,
    ProvisionalEvent,
    SegmentEvent,
    WindowEvent,
)
from emo_listen.head import voice_temperature
from emo_listen.model import MIN_SECONDS, EmotionModel
from emo_listen.model_settings import UNCERTAIN, ModelSettings, check_window_and_hop
from emo_listen.resampled_vad import ResampledDetector
from emo_listen.smoothing import MIN_LEAD, Smoother, softmax
from emo_listen.sound.background import VAD_RATE
from emo_listen.sources.base import GapReason
from emo_listen.vad import SpeechDetector, SpeechEnd, SpeechStart

FIRST_WINDOW = 0.75
"""Seconds of speech after which the first window ends (one window's length, where shorter). In
conversations of validation clips the first label then comes 0.69 s after a turn begins (1.18 s at
the 95th percentile) and is right in 0.53 of them; with 1.0 s, 0.94 s (1.42 s) and 0.63. Final
labels are as good with either."""

FIRST_WINDOW_WITHOUT_VAD = 1.0
"""Seconds of sound after which the first window ends where nobody is known to have begun."""

MIN_SEGMENT = 0.5
"""Seconds of speech below which nothing is claimed: too little to tell an emotion from, and what
short noises that pass for speech last."""

PRE_ROLL = 1.0
"""Seconds before the speech back to which windows look, though not into earlier speech. Models
learn from whole clips, with the silence around the speech: on CREMA-D's validation clips, cut to
the speech, 0.67 were right with 0.1 s before it, 0.74 with 0.5 s, 0.78 with 1 s."""

SWITCH_LAG = 1.75
"""Seconds by which a change of emotion precedes its lead in the smoothed probabilities: the median
of 40 changes without a pause, spliced from validation clips (quartiles 1.2 and 2.3)."""

RELAPSE = 0.1
"""Probability by which the confidence must fall short before a label becomes `uncertain` again."""


@dataclass(frozen=True)
class ListenOptions:
    """How to listen to a stream: the keyword arguments of `listen`, `Listener` and the commands."""

    window: float | None = None
    """Length of sound for one prediction, in seconds, 0.1 to 60; the model's own where None."""

    hop: float | None = None
    """Time from the end of one window to the end of the next, in seconds, 0.05 to the window; the
    model's own where None, or the window where that is shorter."""

    vad: bool = True
    """Whether to predict in speech only."""

    emit: Emit = "segments"
    """Which events with labels to emit."""

    baseline: BaselineChoice = "auto"
    """What the voice is judged relative to."""

    status: bool = False
    """Whether to add a status event every 0.1 seconds."""

    def window_and_hop(self, settings: ModelSettings) -> tuple[float, float]:
        """Return window and hop in seconds, with a model's `settings` for those not given.

        Raises:
            AudioInputError: one is out of range, or the hop is longer than the window.
        """
        window = settings.window if self.window is None else self.window
        hop = min(settings.hop, window) if self.hop is None else self.hop
        try:
            check_window_and_hop(window, hop)
        except ValueError as error:
            raise AudioInputError(str(error)) from error
        return window, hop


class Region:
    """A stretch of speech that has not ended, and what is known of it."""

    def __init__(self, start: int, context: int, first_end: int) -> None:
        """Begin at sample `start`, with windows back to `context`, the first to `first_end`."""
        self.start = start
        self.context = context
        self.next_end = first_end
        self.last_end = start
        self.smoother = Smoother()
        self.segment_start = start
        self.shown: str | None = None


class Engine:
    """Turns one stream of mono samples into events."""

    def __init__(self, model: EmotionModel, options: ListenOptions | None = None) -> None:
        """Prepare for a stream.

        Args:
            model: The model, whose sampling rate the samples have.
            options: How to listen; all but `status` is used.

        Raises:
            BaselineError: `baseline` cannot be used with this model.
            AudioInputError: `window` or `hop` is out of range.
        """
        options = options or ListenOptions()
        window, hop = options.window_and_hop(model.settings)
        self._model = model
        self._rate = model.sampling_rate
        self._labels = model.labels
        self._window = round(window * self._rate)
        self._hop = max(1, round(hop * self._rate))
        first = FIRST_WINDOW if options.vad else FIRST_WINDOW_WITHOUT_VAD
        self._first = min(self._window, round(first * self._rate))
        self._emit = options.emit
        self._reference = open_reference(model, options.baseline)
        self._detector: SpeechDetector | None = None
        if options.vad and self._rate == VAD_RATE:
            self._detector = SpeechDetector()
        elif options.vad:
            self._detector = ResampledDetector(self._rate)
        self._pieces: deque[NDArray[np.float32]] = deque()
        self._held = 0
        self._kept = self._window + round((FIRST_WINDOW + PRE_ROLL) * self._rate)
        self._received = 0
        self._region: Region | None = None
        self._heard_until = 0
        self._latency = 0.0

    @property
    def latency(self) -> float:
        """Time that the last prediction took, in seconds; 0 before the first."""
        return self._latency

    @property
    def received(self) -> int:
        """Samples taken so far."""
        return self._received

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks; always, where nobody asks the detector."""
        return self._detector is None or self._detector.speaking

    def push(self, samples: NDArray[np.float32]) -> Iterator[Event]:
        """Take `samples`, float32 (n,), and yield what is heard by their end."""
        self._keep(samples)
        if self._detector is None:
            if self._region is None and len(samples):
                self._begin(self._received - len(samples))
            yield from self._due_windows(self._received)
            return
        for change in self._detector.push(samples):
            yield from self._take(change)
        yield from self._due_windows(self._detector.taken)

    def _keep(self, samples: NDArray[np.float32]) -> None:
        """Hold `samples`, and let go of what no window will look back to."""
        self._pieces.append(samples)
        self._held += len(samples)
        self._received += len(samples)
        while self._held - len(self._pieces[0]) >= self._kept + len(samples):
            self._held -= len(self._pieces.popleft())

    def gap(self, seconds: float, reason: GapReason) -> Iterator[Event]:
        """End what is open, and mark that sound is missing here; nothing is heard across it."""
        yield from self.finish()
        yield GapEvent(time=self._received / self._rate, seconds=round(seconds, 3), reason=reason)

    def finish(self) -> Iterator[Event]:
        """Yield what is still open at the end of the stream."""
        end: SpeechEnd | None = SpeechEnd(self._received, known=self._received)
        if self._detector is not None:
            end = self._detector.finish()
        if end is not None and self._region is not None:
            yield from self._end(end)
        self._heard_until = self._received

    def _take(self, change: SpeechStart | SpeechEnd) -> Iterator[Event]:
        if isinstance(change, SpeechStart):
            self._begin(change.at)
        else:
            yield from self._end(change)

    def _begin(self, at: int) -> None:
        context = max(self._heard_until, at - round(PRE_ROLL * self._rate))
        self._region = Region(at, context, at + self._first)

    def _end(self, end: SpeechEnd) -> Iterator[Event]:
        """Yield the windows up to the end of speech, and the segment that ends with it."""
        yield from self._due_windows(end.known)
        region, self._region = self._region, None
        assert region is not None
        self._heard_until = end.at
        least = MIN_SECONDS if self._detector is None else MIN_SEGMENT
        if end.at - region.start < min(least * self._rate, self._window):
            return
        if region.last_end < end.known:
            yield from self._hear(region, end.known)
        yield from self._close_segment(region, end.at, region.smoother.probabilities)

    def _due_windows(self, until: int) -> Iterator[Event]:
        region = self._region
        while region is not None and region.next_end <= until:
            yield from self._hear(region, region.next_end)
            region.next_end += self._hop

    def _hear(self, region: Region, end: int) -> Iterator[Event]:
        """Predict the window that ends at `end`, and take it into the region's label."""
        offset = self._received - self._held
        start = max(region.context, end - self._window, offset)
        samples = np.concatenate(self._pieces)[start - offset : end - offset]
        begun = time.perf_counter()
        output = self._model.run(samples, self._rate)
        self._latency = time.perf_counter() - begun
        new_speech = (end - max(start, region.last_end)) / self._rate
        region.last_end = end
        self._reference.update(output, new_speech)
        temperature = self._model.settings.temperature
        logits = output.logits / temperature
        flatten = voice_temperature(self._reference.unknown)
        shift = self._reference.shift / (temperature * flatten) - self._model.log_prior
        if self._emit != "segments":
            probabilities = softmax(logits / flatten - shift)
            yield WindowEvent(
                start=start / self._rate,
                end=end / self._rate,
                **self._told(probabilities, self._model.settings.uncertain_below),
            )
        smoother = region.smoother
        smoother.shift, smoother.flatten = shift, flatten
        had = smoother.label is not None
        if smoother.push(logits, end / self._rate, len(samples) / self._window) and had:
            boundary = round((smoother.rival_since - SWITCH_LAG) * self._rate)
            if boundary >= region.segment_start + round(MIN_LEAD * self._rate):
                yield from self._close_segment(region, boundary, smoother.before_lead)
        yield from self._provisional(region, end)

    def _close_segment(
        self, region: Region, end: int, probabilities: NDArray[np.float64]
    ) -> Iterator[Event]:
        if self._emit != "windows":
            yield SegmentEvent(
                start=region.segment_start / self._rate,
                end=end / self._rate,
                **self._told(probabilities, self._model.settings.uncertain_below),
            )
        region.segment_start = end
        region.shown = None

    def _provisional(self, region: Region, end: int) -> Iterator[Event]:
        """Yield what the open segment is taken for, where that differs from what was said."""
        if self._emit == "windows":
            return
        needed = self._model.settings.uncertain_below
        if region.shown not in (None, UNCERTAIN):
            needed -= RELAPSE
        smoother = region.smoother
        told = self._told(smoother.probabilities, needed, smoother.label)
        if told["label"] == UNCERTAIN:
            told = self._told(smoother.probabilities, needed)
        if told["label"] == region.shown:
            return
        region.shown = told["label"]
        yield ProvisionalEvent(
            start=region.segment_start / self._rate, end=end / self._rate, **told
        )

    def _told(
        self, probabilities: NDArray[np.float64], needed: float, label: int | None = None
    ) -> dict[str, Any]:
        best = int(probabilities.argmax()) if label is None else label
        confidence = float(probabilities[best])
        return {
            "label": UNCERTAIN if confidence < needed else self._labels[best],
            "confidence": round(confidence, 4),
            "scores": {
                name: round(float(p), 4)
                for name, p in zip(self._labels, probabilities, strict=True)
            },
            "baseline_seconds": round(self._reference.seconds, 1),
        }
