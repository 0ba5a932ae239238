"""The live view on a terminal: what is heard now, below the segments that have ended.

It is drawn in place with rich, not on the terminal's alternate screen, so that the segments
stay in the scrollback while it runs and after it. Each drawing is a single write. What libraries
in C write to a terminal as standard error (ALSA does, when a device vanishes) would tear the
view, and is dropped while it is there; redirect standard error to a file to keep it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque

from rich.console import Console
from rich.live import Live
from rich.text import Text

from emo_listen.events import Event, GapEvent, SegmentEvent, WarningEvent
from emo_listen.sinks.base import EVENT_TYPES
from emo_listen.sinks.live_view import LINES_BESIDE_BARS, LiveState, LiveView
from emo_listen.sinks.text import event_line

LIVE_TYPES = EVENT_TYPES["all"] | {"status"}
"""The types of event that the view is drawn from."""

REFRESHES_PER_SECOND = 8
"""How often the view is drawn."""

LINES_KEPT = 100
"""Lines above the view that are written anew where the terminal's size has changed."""

STANDARD_ERROR = 2
"""Number of the file that C libraries write their messages to."""


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
        self._console = console
        self._size = console.size
        self._state = LiveState()
        self._title = title
        self._labels = labels
        self._label_width = max(len(label) for label in may_come)
        self._heard_at = time.monotonic()
        self._lines: deque[Text] = deque(maxlen=LINES_KEPT)
        self._standard_error = _silence_standard_error()
        self._live = self._begin()

    def write(self, event: Event) -> None:
        """Take one event; what is final becomes a line above the view."""
        self._heard_at = time.monotonic()
        self._state = self._state.after(event)
        if self._console.size != self._size:
            self._begin_anew()
        if isinstance(event, SegmentEvent | GapEvent | WarningEvent):
            self._lines.append(event_line(event, self._label_width))
            self._console.print(self._lines[-1], highlight=False)

    def close(self) -> None:
        """Remove the view; the lines above it stay."""
        self._live.stop()
        if self._standard_error is not None:
            os.dup2(self._standard_error, STANDARD_ERROR)
            os.close(self._standard_error)
            self._standard_error = None

    def _begin(self) -> Live:
        live = Live(
            console=self._console,
            get_renderable=self._view,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
            redirect_stderr=self._standard_error is not None,
        )
        live.start(refresh=True)
        return live

    def _begin_anew(self) -> None:
        """Clear a terminal whose size has changed: some wrap old lines anew, and some do not."""
        self._live.stop()
        self._size = self._console.size
        self._console.clear()
        room = self._size.height - len(self._labels) - LINES_BESIDE_BARS
        for line in list(self._lines)[-max(room, 1) :]:
            self._console.print(line, highlight=False)
        self._live = self._begin()

    def _view(self) -> LiveView:
        stalled = time.monotonic() - self._heard_at
        return LiveView(self._state, self._title, self._labels, stalled)


def _silence_standard_error() -> int | None:
    """Let C libraries write to nowhere; return where they wrote to, None if it is no terminal."""
    sys.stderr.flush()
    if not os.isatty(STANDARD_ERROR):
        return None
    saved = os.dup(STANDARD_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_ERROR)
    os.close(nowhere)
    return saved
