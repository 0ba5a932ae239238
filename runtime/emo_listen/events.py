"""What a listener yields: one frozen dataclass for each kind of event.

`dataclasses.asdict(event)` is the event's JSON Lines form. All times are seconds of stream time,
counted in samples; sound that was lost takes no stream time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LabelEvent:
    """The emotion heard in one stretch of sound; base of the events that carry a label."""

    start: float
    """Where the stretch begins, in seconds of stream time."""

    end: float
    """Where the stretch ends, in seconds of stream time."""

    label: str
    """The most probable emotion, or `uncertain` where it is not probable enough."""

    confidence: float
    """Probability of the most probable emotion, 0 to 1, rounded to four digits."""

    scores: dict[str, float]
    """Probability of every label, 0 to 1, rounded to four digits."""

    baseline_seconds: float = 0.0
    """Speech that the voice's baseline rests on, in seconds, rounded to tenths; 0 where the label
    is relative to the population's baseline, or the model has none."""


@dataclass(frozen=True, kw_only=True)
class WindowEvent(LabelEvent):
    """What the model says of one window alone."""

    type: Literal["window"] = field(default="window", init=False)
    """Kind of event."""


@dataclass(frozen=True, kw_only=True)
class ProvisionalEvent(LabelEvent):
    """What an unfinished segment is taken for: told with its first label and at every change."""

    type: Literal["provisional"] = field(default="provisional", init=False)
    """Kind of event."""


@dataclass(frozen=True, kw_only=True)
class SegmentEvent(LabelEvent):
    """A stretch of speech with one emotion, from its beginning to its end; final."""

    type: Literal["segment"] = field(default="segment", init=False)
    """Kind of event."""


@dataclass(frozen=True, kw_only=True)
class GapEvent:
    """Sound was lost. It takes no stream time: what follows is joined to what came before."""

    type: Literal["gap"] = field(default="gap", init=False)
    """Kind of event."""

    time: float
    """Where sound is missing, in seconds of stream time."""

    seconds: float
    """How much is missing, in seconds, as far as the clocks tell."""

    reason: Literal["overflow", "device", "invalid"]
    """`overflow`: the device or this process was too slow; `device`: the device was gone, paused or
    moved, and delivered nothing meanwhile; `invalid`: the samples were NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class WarningEvent:
    """The sound is such that labels cannot be trusted, or will not come."""

    type: Literal["warning"] = field(default="warning", init=False)
    """Kind of event."""

    time: float
    """Up to where it has been so, in seconds of stream time."""

    seconds: float
    """For how long it has been so, in seconds."""

    reason: Literal["silent", "clipped"]
    """`silent`: not even a microphone's own noise; `clipped`: overdriven."""


@dataclass(frozen=True, kw_only=True)
class StatusEvent:
    """How the stream is doing, ten times a second; for displays, on request only."""

    type: Literal["status"] = field(default="status", init=False)
    """Kind of event."""

    time: float
    """Up to where the stream has been heard, in seconds of stream time."""

    level: float
    """Root mean square of the last tenth of a second, in dB of full scale, at least -120."""

    speech: bool
    """Whether somebody speaks."""

    load: float
    """Time spent computing over stream time, 0 to 1 where the model keeps up, recent mean."""

    latency: float
    """Time that the last prediction took, in seconds; 0 before the first."""


Event = WindowEvent | ProvisionalEvent | SegmentEvent | GapEvent | WarningEvent | StatusEvent

Emit = Literal["windows", "segments", "all"]
"""Which events are wanted: of each window, of segments, or both."""
