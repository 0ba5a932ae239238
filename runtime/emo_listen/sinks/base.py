"""What every sink has in common, and which events each is given."""

from __future__ import annotations

from typing import Protocol

from emo_listen.events import Emit, Event

EVENT_TYPES: dict[Emit, frozenset[str]] = {
    "segments": frozenset({"provisional", "segment", "gap", "warning"}),
    "windows": frozenset({"window", "gap", "warning"}),
    "all": frozenset({"window", "provisional", "segment", "gap", "warning"}),
}
"""The types of event that each choice of `--emit` brings."""


class Sink(Protocol):
    """Takes events as they come."""

    def write(self, event: Event) -> None:
        """Take one event, and hold nothing back."""
        ...

    def close(self) -> None:
        """Let go of what is held; nothing is written afterwards."""
        ...


class Outlets:
    """Several sinks, each with the types of event that it takes."""

    def __init__(self) -> None:
        self._sinks: list[tuple[Sink, frozenset[str]]] = []

    def add(self, sink: Sink, types: frozenset[str]) -> None:
        """Give `sink` the events of these types."""
        self._sinks.append((sink, types))

    @property
    def emit(self) -> Emit:
        """The labels that the listener must yield for all sinks together."""
        types = frozenset[str]().union(*(types for _, types in self._sinks))
        if "window" not in types:
            return "segments"
        return "all" if types & {"segment", "provisional"} else "windows"

    @property
    def status(self) -> bool:
        """Whether a sink wants to be told how the stream is doing."""
        return any("status" in types for _, types in self._sinks)

    def write(self, event: Event) -> None:
        """Hand one event to every sink that takes its type."""
        for sink, types in self._sinks:
            if event.type in types:
                sink.write(event)

    def close(self) -> None:
        """Close the sinks, the last first, also where one fails."""
        while self._sinks:
            sink, _ = self._sinks.pop()
            try:
                sink.close()
            except Exception:
                self.close()
                raise
