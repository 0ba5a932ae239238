"""Where events go: JSON Lines for programs, lines of text for people."""

from __future__ import annotations

import dataclasses
import json
from typing import Protocol, TextIO

from rich.console import Console
from rich.text import Text

from emo_listen.events import Event, GapEvent, LabelEvent
from emo_listen.settings import UNCERTAIN

COLOURS = {
    "anger": "red",
    "disgust": "green",
    "fear": "magenta",
    "happiness": "yellow",
    "neutral": "default",
    "sadness": "blue",
    UNCERTAIN: "bright_black",
}
"""Colour of each label that we know; others are shown in cyan."""

BAR_LENGTH = 24
"""Characters of the bar that means a confidence of 1."""


class Sink(Protocol):
    """Takes events as they come."""

    def write(self, event: Event) -> None:
        """Take one event, and hold nothing back."""
        ...


class JsonLinesSink:
    """Writes each event as one line of JSON, and flushes it at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one line."""
        self._stream.write(json.dumps(dataclasses.asdict(event)) + "\n")
        self._stream.flush()


class TextSink:
    """Writes each event as one line: when, which emotion, how sure; coloured on a terminal."""

    def __init__(self, stream: TextIO, labels: list[str]) -> None:
        """Write to `stream`; `labels` are those that may come."""
        self._stream = stream
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._label_width = max(len(label) for label in labels)

    def write(self, event: Event) -> None:
        """Write one line, and flush it at once."""
        if isinstance(event, LabelEvent):
            self._console.print(self._window(event))
        elif isinstance(event, GapEvent):
            self._console.print(f"{event.time:7.1f} s  {event.seconds:.1f} s of sound were lost")
        self._stream.flush()

    def _window(self, event: LabelEvent) -> Text:
        colour = COLOURS.get(event.label, "cyan")
        return Text.assemble(
            (f"{event.start:7.1f} - {event.end:5.1f} s  ", "dim"),
            (f"{event.label:<{self._label_width}}", f"bold {colour}"),
            f"  {event.confidence:4.0%}  ",
            ("━" * max(1, round(event.confidence * BAR_LENGTH)), colour),
        )
