"""The engine for live and recorded audio: samples -> speech -> windows -> labels -> events.

Samples come at the model's rate, in blocks of any size, which do not affect the events. In speech,
the first window ends `FIRST_WINDOW` seconds after the speech began (`FIRST_WINDOW_WITHOUT_VAD`
without speech detection), the next ones every hop, and the last when the end of speech is detected.
A window starts one window length before its end, but at most `PRE_ROLL` before the speech. Each
window's logits update the voice's baseline and are then shifted by it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.references import (
    BaselineChoice,
    ChannelBaselines,
    channel_baseline,
    open_reference,
)
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
from emo_listen.sound.channel_choice import ChannelChoice
from emo_listen.sources.base import GapReason
from emo_listen.vad import SpeechDetector, SpeechEnd, SpeechStart

FIRST_WINDOW = 0.75
"""Seconds of speech after which the first window ends; one window length if that is shorter. In
conversations of validation clips, the first label then comes 0.69 s after a turn begins (1.18 s at
the 95th percentile) with an accuracy of 0.53; with 1.0 s, after 0.94 s (1.42 s) with 0.63. The
accuracy of final labels is the same."""

FIRST_WINDOW_WITHOUT_VAD = 1.0
"""Seconds of audio after which the first window ends without speech detection."""

MIN_SEGMENT = 0.5
"""Shortest speech that gets a label, in seconds: less is too little to recognise an emotion, and
is how long noises last that are mistaken for speech."""

PRE_ROLL = 1.0
"""Seconds before speech that windows include, but never earlier speech. Models learn from whole
clips, with the silence around the speech: on CREMA-D's validation clips, cut to the speech,
accuracy was 0.67 with 0.1 s of it, 0.74 with 0.5 s, 0.78 with 1 s."""

SWITCH_LAG = 1.75
"""Seconds from a change of emotion until the new one leads in the smoothed probabilities: the
median of 40 changes without a pause, spliced from validation clips (quartiles 1.2 and 2.3)."""

HYSTERESIS = 0.1
"""Probability by which the confidence must fall below `uncertain_below` before an emotion that was
already reported becomes `uncertain` again."""


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

    baseline: BaselineChoice | ChannelBaselines = "auto"
    """What the voice is judged relative to."""

    status: bool = False
    """Whether to add a status event every 0.1 seconds."""

    channels: ChannelChoice = "mix"
    """Which channels to listen to: all mixed to one, or some or all of them, each alone."""

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


class SpeechRegion:
    """Speech that has not ended yet. Positions are samples of the stream."""

    def __init__(self, start: int, context_start: int, first_end: int) -> None:
        """Start at `start`, with windows from `context_start` on, the first until `first_end`."""
        self.start = start
        self.context_start = context_start
        self.next_end = first_end
        self.last_end = start
        self.smoother = Smoother()
        self.segment_start = start
        self.reported_label: str | None = None


class Engine:
    """Turns one stream of mono samples into events."""

    def __init__(self, model: EmotionModel, options: ListenOptions | None = None) -> None:
        """Prepare for a stream.

        Args:
            model: The model, whose sampling rate the samples have.
            options: How to listen; all but `status` and `channels` is used.

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
        self._first_window = min(self._window, round(first * self._rate))
        self._emit = options.emit
        self._reference = open_reference(model, channel_baseline(options.baseline, None))
        self._detector: SpeechDetector | None = None
        if options.vad and self._rate == VAD_RATE:
            self._detector = SpeechDetector()
        elif options.vad:
            self._detector = ResampledDetector(self._rate)
        self._blocks: deque[NDArray[np.float32]] = deque()
        self._buffered = 0
        self._min_buffered = self._window + round((FIRST_WINDOW + PRE_ROLL) * self._rate)
        self._received = 0
        self._region: SpeechRegion | None = None
        self._last_speech_end = 0
        self._latency = 0.0
        self._windows = 0

    @property
    def windows(self) -> int:
        """Number of windows that the model was run on."""
        return self._windows

    @property
    def latency(self) -> float:
        """Duration of the last prediction, in seconds; 0 before the first."""
        return self._latency

    @property
    def received(self) -> int:
        """Number of samples received so far."""
        return self._received

    @property
    def speaking(self) -> bool:
        """Whether someone is speaking; always true without speech detection."""
        return self._detector is None or self._detector.speaking

    def push(self, samples: NDArray[np.float32]) -> Iterator[Event]:
        """Process `samples`, float32 (n,), and yield the events up to their end."""
        self._buffer(samples)
        if self._detector is None:
            if self._region is None and len(samples):
                self._start_region(self._received - len(samples))
            yield from self._due_windows(self._received)
            return
        for change in self._detector.push(samples):
            if isinstance(change, SpeechStart):
                self._start_region(change.at)
            else:
                yield from self._end_region(change)
        yield from self._due_windows(self._detector.processed)

    def _buffer(self, samples: NDArray[np.float32]) -> None:
        """Append `samples`, and drop those that no window can include any more."""
        self._blocks.append(samples)
        self._buffered += len(samples)
        self._received += len(samples)
        while self._buffered - len(self._blocks[0]) >= self._min_buffered + len(samples):
            self._buffered -= len(self._blocks.popleft())

    def gap(self, seconds: float, reason: GapReason) -> Iterator[Event]:
        """End open speech and report a gap; no window spans it."""
        yield from self.finish()
        yield GapEvent(time=self._received / self._rate, seconds=round(seconds, 3), reason=reason)

    def finish(self) -> Iterator[Event]:
        """Yield the events of speech that is open at the end of the stream."""
        end: SpeechEnd | None = SpeechEnd(self._received, detected_at=self._received)
        if self._detector is not None:
            end = self._detector.finish()
        if end is not None and self._region is not None:
            yield from self._end_region(end)
        self._last_speech_end = self._received

    def _start_region(self, start: int) -> None:
        context_start = max(self._last_speech_end, start - round(PRE_ROLL * self._rate))
        self._region = SpeechRegion(start, context_start, start + self._first_window)

    def _end_region(self, end: SpeechEnd) -> Iterator[Event]:
        """Yield the last windows of the region, and its last segment."""
        yield from self._due_windows(end.detected_at)
        region, self._region = self._region, None
        assert region is not None
        self._last_speech_end = end.at
        shortest = MIN_SECONDS if self._detector is None else MIN_SEGMENT
        if end.at - region.start < min(shortest * self._rate, self._window):
            return
        if region.last_end < end.detected_at:
            yield from self._predict(region, end.detected_at)
        yield from self._end_segment(region, end.at, region.smoother.probabilities)

    def _due_windows(self, until: int) -> Iterator[Event]:
        region = self._region
        while region is not None and region.next_end <= until:
            yield from self._predict(region, region.next_end)
            region.next_end += self._hop

    def _predict(self, region: SpeechRegion, end: int) -> Iterator[Event]:
        """Run the model on the window that ends at `end`, and update the region's label."""
        offset = self._received - self._buffered
        start = max(region.context_start, end - self._window, offset)
        samples = np.concatenate(self._blocks)[start - offset : end - offset]
        started = time.perf_counter()
        output = self._model.run(samples, self._rate)
        self._latency = time.perf_counter() - started
        self._windows += 1
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
                **self._label_fields(probabilities, self._model.settings.uncertain_below),
            )
        smoother = region.smoother
        smoother.shift, smoother.flatten = shift, flatten
        had_label = smoother.label is not None
        changed = smoother.push(logits, end / self._rate, len(samples) / self._window)
        if changed and had_label:
            boundary = round((smoother.lead_start - SWITCH_LAG) * self._rate)
            if boundary >= region.segment_start + round(MIN_LEAD * self._rate):
                yield from self._end_segment(region, boundary, smoother.before_lead)
        yield from self._provisional(region, end)

    def _end_segment(
        self, region: SpeechRegion, end: int, probabilities: NDArray[np.float64]
    ) -> Iterator[Event]:
        if self._emit != "windows":
            yield SegmentEvent(
                start=region.segment_start / self._rate,
                end=end / self._rate,
                **self._label_fields(probabilities, self._model.settings.uncertain_below),
            )
        region.segment_start = end
        region.reported_label = None

    def _provisional(self, region: SpeechRegion, end: int) -> Iterator[Event]:
        """Yield the label of the open segment if it differs from the one last reported."""
        if self._emit == "windows":
            return
        threshold = self._model.settings.uncertain_below
        if region.reported_label not in (None, UNCERTAIN):
            threshold -= HYSTERESIS
        smoother = region.smoother
        fields = self._label_fields(smoother.probabilities, threshold, smoother.label)
        if fields["label"] == UNCERTAIN:
            fields = self._label_fields(smoother.probabilities, threshold)
        if fields["label"] == region.reported_label:
            return
        region.reported_label = fields["label"]
        yield ProvisionalEvent(
            start=region.segment_start / self._rate, end=end / self._rate, **fields
        )

    def _label_fields(
        self, probabilities: NDArray[np.float64], threshold: float, label: int | None = None
    ) -> dict[str, Any]:
        """Return fields of a `LabelEvent`, for the index `label` or else the most probable one."""
        best = int(probabilities.argmax()) if label is None else label
        confidence = float(probabilities[best])
        return {
            "label": UNCERTAIN if confidence < threshold else self._labels[best],
            "confidence": round(confidence, 4),
            "scores": {
                name: round(float(p), 4)
                for name, p in zip(self._labels, probabilities, strict=True)
            },
            "baseline_seconds": round(self._reference.seconds, 1),
        }
