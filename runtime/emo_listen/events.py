"""Events of a stream, one frozen dataclass for each kind.

`dataclasses.asdict(event)`, without a `channel` of None, is the event's JSON; `type` is its kind.
Times are seconds of stream time, counted in samples. Lost audio takes no stream time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """Base of all events."""

    channel: int | None = None
    """Channel that the event belongs to, from 1, if channels are listened to separately; None for
    the mix, and for gaps of the whole stream. It is not part of the JSON if None."""


@dataclass(frozen=True, kw_only=True)
class LabelEvent(StreamEvent):
    """The emotion in a stretch of audio; base of all events with a label."""

    start: float
    """Start of the stretch, in seconds of stream time."""

    end: float
    """End of the stretch, in seconds of stream time."""

    label: str
    """The most probable emotion, or `uncertain` if its probability is too low."""

    confidence: float
    """Probability of the most probable emotion, 0 to 1, rounded to four digits."""

    scores: dict[str, float]
    """Probability of every label, 0 to 1, rounded to four digits."""

    baseline_seconds: float = 0.0
    """Speech used for the voice's baseline, in seconds, rounded to tenths; 0 if the label is
    relative to the population's baseline or the model has none."""


@dataclass(frozen=True, kw_only=True)
class WindowEvent(LabelEvent):
    """The model's prediction for one window."""

    type: Literal["window"] = field(default="window", init=False)
    """Kind of event."""


@dataclass(frozen=True, kw_only=True)
class ProvisionalEvent(LabelEvent):
    """The current label of a segment that has not ended: its first label, and each change."""

    type: Literal["provisional"] = field(default="provisional", init=False)
    """Kind of event."""


@dataclass(frozen=True, kw_only=True)
class SegmentEvent(LabelEvent):
    """A finished stretch of speech with one emotion. Its label is final."""

    type: Literal["segment"] = field(default="segment", init=False)
    """Kind of event."""


@dataclass(frozen=True, kw_only=True)
class GapEvent(StreamEvent):
    """Audio was lost here. It takes no stream time: the audio on both sides is joined."""

    type: Literal["gap"] = field(default="gap", init=False)
    """Kind of event."""

    time: float
    """Position of the gap, in seconds of stream time."""

    seconds: float
    """Estimated duration of the lost audio, in seconds."""

    reason: Literal["overflow", "device", "invalid"]
    """`overflow`: the device or this process was too slow; `device`: the device was gone, paused or
    moved; `invalid`: samples were NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class WarningEvent(StreamEvent):
    """The input has been silent or clipped for long: labels will be missing or unreliable."""

    type: Literal["warning"] = field(default="warning", init=False)
    """Kind of event."""

    time: float
    """End of the silent or clipped audio so far, in seconds of stream time."""

    seconds: float
    """Its duration so far, in seconds."""

    reason: Literal["silent", "clipped"]
    """`silent`: every channel is below a microphone's own noise; `clipped`: a channel is
    overdriven."""


@dataclass(frozen=True, kw_only=True)
class StatusEvent(StreamEvent):
    """State of the stream, ten times a second; for displays, only on request."""

    type: Literal["status"] = field(default="status", init=False)
    """Kind of event."""

    time: float
    """Stream time processed so far, in seconds."""

    level: float
    """RMS level of the last 0.1 seconds, in dBFS, at least -120."""

    speech: bool
    """Whether someone is speaking."""

    load: float
    """Computing time divided by stream time, recent mean; below 1 if the model keeps up."""

    latency: float
    """Duration of the last prediction, in seconds; 0 before the first."""


Event = WindowEvent | ProvisionalEvent | SegmentEvent | GapEvent | WarningEvent | StatusEvent

Emit = Literal["windows", "segments", "all"]
"""Which events with labels are emitted: windows, segments, or both."""
