"""CSV, for spreadsheets and statistics: one row per segment or window."""

from __future__ import annotations

import csv
from typing import TextIO

from emo_listen.events import Event, SegmentEvent, WindowEvent
from emo_listen.sinks.base import Sink

LEADING_COLUMNS = ("start", "end", "label", "confidence", "baseline_seconds")
"""Columns before those of the scores, named like the fields of a `LabelEvent`; times in seconds."""


def leading_columns(separate: bool) -> tuple[str, ...]:
    """Return the columns before the scores, with `channel` if channels are separate."""
    return ("channel", *LEADING_COLUMNS) if separate else LEADING_COLUMNS


class CsvSink(Sink):
    """Writes a header, then one row per final label, and flushes each row."""

    def __init__(self, stream: TextIO, labels: list[str], *, separate: bool = False) -> None:
        """Write to `stream`, with a score column for each of the model's `labels`.

        With `separate` channels, there is a column `channel`.
        """
        self._stream = stream
        self._labels = labels
        self._writer = csv.writer(stream, lineterminator="\n")
        self._columns = leading_columns(separate)
        self._write([*self._columns, *labels])

    def write(self, event: Event) -> None:
        """Write one row for a segment or window."""
        if isinstance(event, WindowEvent | SegmentEvent):
            scores = [event.scores[label] for label in self._labels]
            self._write([*(getattr(event, column) for column in self._columns), *scores])

    def _write(self, row: list[str | float]) -> None:
        self._writer.writerow(row)
        self._stream.flush()
