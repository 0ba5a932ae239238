"""Lines of text, for people."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.text import Text

from emo_listen.colours import OTHER_ON_TERMINAL, TERMINAL
from emo_listen.events import Event, GapEvent, LabelEvent, ProvisionalEvent, WarningEvent
from emo_listen.sinks.base import Sink

BAR_LENGTH = 24
"""Length of the bar for a confidence of 1, in characters."""

GAP_REASONS = {
    "overflow": "this machine was too slow",
    "device": "the device was unavailable",
    "invalid": "the samples were not finite numbers",
}
"""A description of each reason of a `GapEvent`."""

WARNING_TEXTS = {
    "silent": "input silent for {:.0f} s: is the microphone muted?",
    "clipped": "input clipping for {:.0f} s: turn the microphone down",
}
"""A line for each reason of a `WarningEvent`, with its seconds to be filled in."""


class TextSink(Sink):
    """Writes one line per segment or window: time, emotion and confidence.

    Gaps and warnings also get a line; provisional labels do not.
    """

    def __init__(self, stream: TextIO, labels: list[str], *, colour: bool = True) -> None:
        """Write to `stream`.

        Args:
            stream: Where to write; the caller closes it.
            labels: All labels that an event may have.
            colour: Whether to use colours if `stream` is a terminal.
        """
        self._stream = stream
        self._console = Console(
            file=stream, highlight=False, soft_wrap=True, no_color=None if colour else True
        )
        self._label_width = max(len(label) for label in labels)

    def write(self, event: Event) -> None:
        """Write one line and flush it."""
        if isinstance(event, ProvisionalEvent):
            return
        self._console.print(event_line(event, self._label_width))
        self._stream.flush()


def event_line(event: Event, label_width: int) -> Text:
    """Return one event as a line; `label_width` is the length of the longest label."""
    channel = Text("" if event.channel is None else f"{event.channel:>2} ", "bold")
    return Text.assemble(channel, _event_text(event, label_width))


def _event_text(event: Event, label_width: int) -> Text:
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
        return Text(f"{event.time:7.1f} s  lost {event.seconds:.1f} s of sound: {reason}", "red")
    if isinstance(event, WarningEvent):
        return Text(f"{event.time:7.1f} s  {warning_text(event)}", "yellow")
    return Text(f"{event.time:7.1f} s  {event.level:.0f} dB", "dim")


def warning_text(event: WarningEvent) -> str:
    """Return what is wrong with the input, for how long, and what to do."""
    return WARNING_TEXTS[event.reason].format(event.seconds)
