"""The base class of all sinks, and the group of sinks that one stream is written to."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from emo_listen.errors import OutputError
from emo_listen.events import Emit, Event

EVENT_TYPES: dict[Emit, frozenset[str]] = {
    "segments": frozenset({"provisional", "segment", "gap", "warning"}),
    "windows": frozenset({"window", "gap", "warning"}),
    "all": frozenset({"window", "provisional", "segment", "gap", "warning"}),
}
"""The event types of each choice of `--emit`."""


def require_parent_folder(path: Path) -> None:
    """Check that the folder of a file to be written exists.

    Raises:
        OutputError: it does not.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder: create it first")


class Sink:
    """Receives the events of one stream. Only `write` must be implemented.

    The constructor checks its arguments and opens files and connections, so that errors come
    before any audio is processed.
    """

    def write(self, event: Event) -> None:
        """Handle one event immediately."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what needs the whole stream. Called only if the stream ended without an error."""

    def close(self) -> None:
        """Release files and connections. Always called, after `finish`."""


class SinkGroup:
    """Passes events to several sinks, each with the event types that it takes.

    A context manager: it closes the sinks on exit, and finishes them first unless an exception
    ended the stream.
    """

    def __init__(self) -> None:
        self._sinks: list[tuple[Sink, frozenset[str]]] = []

    def add(self, sink: Sink, types: frozenset[str]) -> None:
        """Pass events of these types to `sink`."""
        self._sinks.append((sink, types))

    @property
    def emit(self) -> Emit:
        """The labels that the listener must emit to serve all sinks."""
        types = frozenset[str]().union(*(types for _, types in self._sinks))
        if "window" not in types:
            return "segments"
        return "all" if types & {"segment", "provisional"} else "windows"

    @property
    def status(self) -> bool:
        """Whether any sink takes status events."""
        return any("status" in types for _, types in self._sinks)

    def write(self, event: Event) -> None:
        """Pass one event to every sink that takes its type."""
        for sink, types in self._sinks:
            if event.type in types:
                sink.write(event)

    def finish(self) -> None:
        """Finish all sinks, in the order in which they were added."""
        for sink, _ in self._sinks:
            sink.finish()

    def close(self) -> None:
        """Close all sinks, last added first, even if closing one of them fails."""
        while self._sinks:
            sink, _ = self._sinks.pop()
            try:
                sink.close()
            except Exception:
                self.close()
                raise

    def __enter__(self) -> SinkGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()
