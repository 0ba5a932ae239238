"""What all connections share: the workers, the limits and the counters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from emo_listen.server.limits import Limits
from emo_listen.server.metrics import Metrics
from emo_listen.server.refusal import Refusal
from emo_listen.server.workers import Workers

RETRY = "try again later, or raise"


class OpenStream(Protocol):
    """A stream that was admitted."""

    @property
    def lag(self) -> float:
        """Audio that was received and is not processed yet, in seconds."""
        ...

    def stop(self) -> None:
        """Let the stream finish, since the server stops."""
        ...


class Service:
    """The state of a running server. Used only in the event loop's thread.

    Attributes:
        workers: The processes that run the model.
        limits: What clients may cost.
        metrics: The counters.
        stopping: Whether the server is about to stop.
    """

    def __init__(self, workers: Workers, limits: Limits) -> None:
        """Serve with `workers`, within `limits`."""
        self.workers = workers
        self.limits = limits
        self.metrics = Metrics()
        self.stopping = False
        self._streams: set[OpenStream] = set()
        self._analyses = 0
        self._reserved = 0

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place for a stream.

        Raises:
            Refusal: All places are taken, or the server stops.
        """
        self._check_running()
        if self._reserved >= self.limits.max_streams:
            raise Refusal(
                "busy",
                f"all {self.limits.max_streams} streams are in use: {RETRY} --max-streams",
            )
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    @contextlib.contextmanager
    def running(self, stream: OpenStream) -> Iterator[None]:
        """Count an admitted stream, and have it finish when the server stops."""
        self._check_running()
        self.metrics.streams_total += 1
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)

    @contextlib.contextmanager
    def analysing(self) -> Iterator[None]:
        """Hold a place for the analysis of a recording.

        Raises:
            Refusal: All places are taken, or the server stops.
        """
        self._check_running()
        if self._analyses >= self.limits.max_analyses:
            raise Refusal(
                "busy",
                f"{self.limits.max_analyses} recordings are being analysed: {RETRY} --workers",
            )
        self._analyses += 1
        try:
            yield
        finally:
            self._analyses -= 1

    def stop(self) -> None:
        """Admit nothing more, and let open streams finish."""
        self.stopping = True
        for stream in list(self._streams):
            stream.stop()

    @property
    def idle(self) -> bool:
        """Whether nothing is open."""
        return not self._reserved and not self._analyses

    def metrics_text(self) -> str:
        """Return the metrics in Prometheus's format."""
        lags = [stream.lag for stream in self._streams]
        return self.metrics.text(
            [
                ("streams", "Open streams.", len(lags)),
                ("streams_limit", "Streams that are admitted.", self.limits.max_streams),
                ("analyses", "Recordings being analysed.", self._analyses),
                ("lag_seconds", "Audio waiting, of the stream with most.", max(lags, default=0)),
                ("workers", "Processes that run the model.", self.workers.count),
            ],
            self.workers.busy_seconds,
        )

    def _check_running(self) -> None:
        if self.stopping:
            raise Refusal("stopping", "the server is stopping: connect to another, or try later")
