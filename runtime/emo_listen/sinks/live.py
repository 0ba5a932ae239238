"""The live view on a terminal: the current state, below the finished segments.

rich draws it in place, not on the terminal's alternate screen, so segments stay in the scrollback.
Each update is a single write. C libraries that write to standard error (ALSA does when a device
disappears) would corrupt the view, so their output is dropped while the view is shown, unless
standard error is redirected to a file.
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
from emo_listen.sinks.base import EVENT_TYPES, Sink
from emo_listen.sinks.live_view import LINES_BESIDE_BARS, LanesView, LiveState, LiveView
from emo_listen.sinks.text import event_line

LIVE_TYPES = EVENT_TYPES["all"] | {"status"}
"""The event types that the view needs."""

REFRESHES_PER_SECOND = 8
"""How often the view is redrawn."""

LINES_KEPT = 100
"""Lines above the view that are printed again after the terminal was resized."""

STANDARD_ERROR = 2
"""File descriptor of standard error."""


class LiveSink(Sink):
    """Shows the level, speech, probabilities and the state of the stream until it is closed."""

    def __init__(
        self, console: Console, *, title: str, labels: list[str], possible_labels: list[str]
    ) -> None:
        """Show the view.

        Args:
            console: A terminal that can move its cursor.
            title: Names of the source and the model.
            labels: The model's labels, each with a bar.
            possible_labels: All labels that a segment may have.
        """
        self._console = console
        self._size = console.size
        self._states: dict[int | None, LiveState] = {}
        self._title = title
        self._labels = labels
        self._label_width = max(len(label) for label in possible_labels)
        self._updated_at = time.monotonic()
        self._lines: deque[Text] = deque(maxlen=LINES_KEPT)
        self._standard_error = _silence_standard_error()
        self._live = self._start()

    def write(self, event: Event) -> None:
        """Update the view; segments, gaps and warnings become a line above it."""
        self._updated_at = time.monotonic()
        state = self._states.get(event.channel, LiveState())
        self._states[event.channel] = state.after(event)
        if self._console.size != self._size:
            self._restart()
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

    def _start(self) -> Live:
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

    def _restart(self) -> None:
        """Redraw after a resize, on a cleared screen: only some terminals rewrap old lines."""
        self._live.stop()
        self._size = self._console.size
        self._console.clear()
        room = self._size.height - len(self._labels) - LINES_BESIDE_BARS
        for line in list(self._lines)[-max(room, 1) :]:
            self._console.print(line, highlight=False)
        self._live = self._start()

    def _view(self) -> LiveView | LanesView:
        stalled = time.monotonic() - self._updated_at
        channels = {
            channel: state for channel, state in self._states.items() if channel is not None
        }
        mix = self._states.get(None, LiveState())
        if channels:
            return LanesView(channels, mix, self._title, self._labels, stalled)
        return LiveView(mix, self._title, self._labels, stalled)


def _silence_standard_error() -> int | None:
    """Redirect standard error to the null device if it is a terminal.

    Returns:
        A duplicate of the old descriptor; None if nothing was redirected.
    """
    sys.stderr.flush()
    if not os.isatty(STANDARD_ERROR):
        return None
    saved = os.dup(STANDARD_ERROR)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STANDARD_ERROR)
    os.close(null)
    return saved
