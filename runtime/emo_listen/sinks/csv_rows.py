"""CSV, for spreadsheets and statistics: a row for each segment or window."""

from __future__ import annotations

import csv
from typing import TextIO

from emo_listen.events import Event, LabelEvent, SegmentEvent, WindowEvent

LEADING_COLUMNS = ("start", "end", "label", "confidence", "baseline_seconds")
"""Columns before those of the scores, as the fields of a `LabelEvent`; times in seconds."""


class CsvSink:
    """Writes a header, then a row for each event that has a final label, and flushes it at once."""

    def __init__(self, stream: TextIO, labels: list[str]) -> None:
        """Write to `stream`; `labels` are those of the model, one column of scores for each."""
        self._stream = stream
        self._labels = labels
        self._writer = csv.writer(stream, lineterminator="\n")
        self._write([*LEADING_COLUMNS, *labels])

    def write(self, event: Event) -> None:
        """Write one row."""
        if isinstance(event, WindowEvent | SegmentEvent):
            self._write(label_row(event, self._labels))

    def close(self) -> None:
        """Leave the stream to whoever opened it."""

    def _write(self, row: list[str | float]) -> None:
        self._writer.writerow(row)
        self._stream.flush()


def label_row(event: LabelEvent, labels: list[str]) -> list[str | float]:
    """Return the values of `LEADING_COLUMNS`, and the score of each of `labels`."""
    return [
        event.start,
        event.end,
        event.label,
        event.confidence,
        event.baseline_seconds,
        *(event.scores[label] for label in labels),
    ]
