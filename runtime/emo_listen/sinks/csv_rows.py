"""CSV, for spreadsheets and statistics: one row per segment or window."""

from __future__ import annotations

import csv
from typing import TextIO

from emo_listen.events import Event, LabelEvent, SegmentEvent, WindowEvent
from emo_listen.sinks.base import Sink

LEADING_COLUMNS = ("start", "end", "label", "confidence", "baseline_seconds")
"""Columns before those of the scores, named like the fields of a `LabelEvent`; times in seconds."""


class CsvSink(Sink):
    """Writes a header, then one row per final label, and flushes each row."""

    def __init__(self, stream: TextIO, labels: list[str]) -> None:
        """Write to `stream`, with a score column for each of the model's `labels`."""
        self._stream = stream
        self._labels = labels
        self._writer = csv.writer(stream, lineterminator="\n")
        self._write([*LEADING_COLUMNS, *labels])

    def write(self, event: Event) -> None:
        """Write one row for a segment or window."""
        if isinstance(event, WindowEvent | SegmentEvent):
            self._write(label_row(event, self._labels))

    def _write(self, row: list[str | float]) -> None:
        self._writer.writerow(row)
        self._stream.flush()


def label_row(event: LabelEvent, labels: list[str]) -> list[str | float]:
    """Return the values of `LEADING_COLUMNS`, then the score of each of `labels`."""
    return [
        event.start,
        event.end,
        event.label,
        event.confidence,
        event.baseline_seconds,
        *(event.scores[label] for label in labels),
    ]
