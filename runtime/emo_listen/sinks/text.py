"""Lines of text, for people."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.text import Text

from emo_listen.colours import OTHER_ON_TERMINAL, TERMINAL
from emo_listen.events import Event, GapEvent, LabelEvent, ProvisionalEvent, WarningEvent

BAR_LENGTH = 24
"""Characters of the bar that means a confidence of 1."""

GAP_REASONS = {
    "overflow": "this machine was too slow",
    "device": "the device was gone",
    "invalid": "the samples were no numbers",
}
"""What the reasons of a `GapEvent` mean."""

WARNING_REASONS = {
    "silent": "the input is silent: is the microphone muted?",
    "clipped": "the input is overdriven: turn the microphone down",
}
"""What the reasons of a `WarningEvent` mean."""


class TextSink:
    """Writes a line for each segment or window: when, which emotion, how sure.

    Gaps and warnings have lines too; what is provisional is left out.
    """

    def __init__(self, stream: TextIO, labels: list[str], *, colour: bool = True) -> None:
        """Write to `stream`; `labels` are those that may come; in colour where it is a terminal."""
        self._stream = stream
        self._console = Console(
            file=stream, highlight=False, soft_wrap=True, no_color=None if colour else True
        )
        self._label_width = max(len(label) for label in labels)

    def write(self, event: Event) -> None:
        """Write one line, and flush it at once."""
        if isinstance(event, ProvisionalEvent):
            return
        self._console.print(event_line(event, self._label_width))
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream to whoever opened it."""


def event_line(event: Event, label_width: int) -> Text:
    """Return one event as a line; `label_width` is the length of the longest label."""
    if isinstance(event, LabelEvent):
        colour = TERMINAL.get(event.label, OTHER_ON_TERMINAL)
        return Text.assemble(
            (f"{event.start:7.1f} - {event.end:5.1f} s  ", "dim"),
            (f"{event.label:<{label_width}}", f"bold {colour}"),
            f"  {event.confidence:4.0%}  ",
            ("━" * max(1, round(event.confidence * BAR_LENGTH)), colour),
        )
    if isinstance(event, GapEvent):
        reason = GAP_REASONS[event.reason]
        return Text(f"{event.time:7.1f} s  {event.seconds:.1f} s were lost: {reason}", "red")
    if isinstance(event, WarningEvent):
        reason = WARNING_REASONS[event.reason]
        return Text(f"{event.time:7.1f} s  for {event.seconds:.0f} s {reason}", "yellow")
    return Text(f"{event.time:7.1f} s  {event.level:.0f} dB", "dim")
