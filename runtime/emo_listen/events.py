"""What a listener yields: one frozen dataclass for each kind of event.

`dataclasses.asdict(event)` is the event's JSON Lines form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class WindowEvent:
    """The emotion heard in one window of sound."""

    type: Literal["window"] = field(default="window", init=False)
    """Kind of event."""

    start: float
    """Where the window begins, in seconds of stream time."""

    end: float
    """Where the window ends, in seconds of stream time."""

    label: str
    """The most probable emotion, or `uncertain` where it is not probable enough."""

    confidence: float
    """Probability of the most probable emotion, 0 to 1, rounded to four digits."""

    scores: dict[str, float]
    """Probability of every label, 0 to 1, rounded to four digits."""


@dataclass(frozen=True, kw_only=True)
class OverflowEvent:
    """Sound was lost before it could be read: the device or this process was too slow."""

    type: Literal["overflow"] = field(default="overflow", init=False)
    """Kind of event."""

    time: float
    """Where sound is missing, in seconds of stream time (lost sound takes no stream time)."""

    count: int
    """Losses since the stream began, this one included."""


Event = WindowEvent | OverflowEvent
