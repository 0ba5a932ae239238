"""Counters of the server, in Prometheus's text format."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emo_listen.server.processing import Part

LATENCY_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper limits of the latency histogram, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Type of the format."""


class Metrics:
    """What happened since the server started. Used only in the event loop's thread."""

    def __init__(self) -> None:
        self.streams_total = 0
        """Streams that were admitted."""
        self.analyses_total = 0
        """Recordings that were analysed."""
        self.audio_seconds = 0.0
        """Audio processed, in seconds."""
        self.windows = 0
        """Runs of the model."""
        self.events = 0
        """Events sent."""
        self.refused: Counter[str] = Counter()
        """Requests and streams that never began, by code."""
        self.dropped: Counter[str] = Counter()
        """Streams that the server ended, by code."""
        self._latencies = [0] * (len(LATENCY_BUCKETS) + 1)
        self._latency_sum = 0.0

    def count(self, part: Part) -> None:
        """Count what came of a part of audio."""
        self.windows += part.windows
        self.audio_seconds += part.new_seconds
        self.events += len(part.events)

    def observe_latency(self, seconds: float, labels: int) -> None:
        """Count labels that were sent `seconds` after their audio came."""
        self._latencies[bisect_left(LATENCY_BUCKETS, seconds)] += labels
        self._latency_sum += labels * seconds

    def text(self, gauges: Iterable[tuple[str, str, float]], busy_seconds: float) -> str:
        """Return all metrics.

        Args:
            gauges: (name, help, current value) of what goes up and down.
            busy_seconds: Computing time of all workers so far.
        """
        lines: list[str] = []

        def add(name: str, kind: str, text: str, rows: Iterable[tuple[str, float]]) -> None:
            lines.append(f"# HELP emo_listen_{name} {text}")
            lines.append(f"# TYPE emo_listen_{name} {kind}")
            lines.extend(f"emo_listen_{name}{suffix} {value:.10g}" for suffix, value in rows)

        for name, text, value in gauges:
            add(name, "gauge", text, [("", value)])
        for name, text, value in (
            ("streams_total", "Streams admitted.", self.streams_total),
            ("analyses_total", "Recordings analysed.", self.analyses_total),
            ("audio_seconds_total", "Audio processed, in seconds.", self.audio_seconds),
            ("busy_seconds_total", "Computing time of all workers.", busy_seconds),
            ("windows_total", "Runs of the model.", self.windows),
            ("events_total", "Events sent.", self.events),
        ):
            add(name, "counter", text, [("", value)])
        for name, text, codes in (
            ("refused_total", "Requests and streams that never began.", self.refused),
            ("dropped_total", "Streams that the server ended.", self.dropped),
        ):
            rows = [(f'{{code="{code}"}}', count) for code, count in sorted(codes.items())]
            add(name, "counter", text, rows)
        add("latency_seconds", "histogram", "From audio to its label.", self._latency_rows())
        return "\n".join(lines) + "\n"

    def _latency_rows(self) -> list[tuple[str, float]]:
        rows: list[tuple[str, float]] = []
        count = 0
        for limit, number in zip((*LATENCY_BUCKETS, "+Inf"), self._latencies, strict=True):
            count += number
            rows.append((f'_bucket{{le="{limit}"}}', count))
        return [*rows, ("_sum", self._latency_sum), ("_count", count)]
