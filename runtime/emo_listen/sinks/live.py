"""The live view on a terminal: what is heard now, below the segments that have ended.

It is drawn in place with rich, not on the terminal's alternate screen, so that the segments
stay in the scrollback while it runs and after it. Each drawing is a single write.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from emo_listen.events import Event, GapEvent, SegmentEvent, WarningEvent
from emo_listen.sinks.live_view import LiveState, LiveView
from emo_listen.sinks.sink import EVENT_TYPES
from emo_listen.sinks.text import event_line

LIVE_TYPES = EVENT_TYPES["all"] | {"status"}
"""The types of event that the view is drawn from."""

REFRESHES_PER_SECOND = 8
"""How often the view is drawn."""


class LiveSink:
    """Shows the level, speech, probabilities and how the stream is doing, until it is closed."""

    def __init__(
        self, console: Console, *, title: str, labels: list[str], may_come: list[str]
    ) -> None:
        """Begin to draw.

        Args:
            console: A terminal that can move its cursor.
            title: What is listened to, and with which model.
            labels: The model's labels, each with a bar.
            may_come: The labels that a segment may have.
        """
        self._state = LiveState()
        self._title = title
        self._labels = labels
        self._label_width = max(len(label) for label in may_come)
        self._heard_at = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self._view,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)

    def write(self, event: Event) -> None:
        """Take one event; what is final becomes a line above the view."""
        self._heard_at = time.monotonic()
        self._state = self._state.after(event)
        if isinstance(event, SegmentEvent | GapEvent | WarningEvent):
            self._live.console.print(event_line(event, self._label_width), highlight=False)

    def close(self) -> None:
        """Remove the view; the lines above it stay."""
        self._live.stop()

    def _view(self) -> LiveView:
        stalled = time.monotonic() - self._heard_at
        return LiveView(self._state, self._title, self._labels, stalled)
