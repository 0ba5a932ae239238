"""What all connections share: the model, the workers, the limits and the counters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

from emo_listen.engine import ListenOptions
from emo_listen.model import EmotionModel
from emo_listen.server.limits import Limits
from emo_listen.server.metrics import Metrics
from emo_listen.server.refusal import Refusal
from emo_listen.server.workers import Workers

T = TypeVar("T")

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
        model: The model of all streams.
        options: Window and hop of all streams.
        limits: What clients may cost.
        workers: The threads that run the model.
        metrics: The counters.
        stopping: Whether the server is about to stop.
    """

    def __init__(self, model: EmotionModel, options: ListenOptions, limits: Limits) -> None:
        """Serve `model`; `max_analyses` of the limits is also the number of threads."""
        self.model = model
        self.options = options
        self.limits = limits
        self.workers = Workers(limits.max_analyses)
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

    async def work(self, due: float, function: Callable[..., T], *args: Any) -> T:
        """Run a function in a worker thread; `due` in seconds of `time.monotonic`."""
        result: Awaitable[T] = asyncio.wrap_future(self.workers.submit(due, function, *args))
        return await result

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
                ("workers", "Threads that run the model.", self.workers.count),
            ],
            self.workers.busy_seconds,
        )

    def _check_running(self) -> None:
        if self.stopping:
            raise Refusal("stopping", "the server is stopping: connect to another, or try later")
