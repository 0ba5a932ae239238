"""uvicorn's connections, bounded in number, time and what a client leaves unread.

A client that never completes a request, does not read, or floods costs its own connection only. If
there are too many connections, the one is ended that has waited longest for a request.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from emo_listen.server.limits import (
    CLOSING_SECONDS,
    MESSAGE_BURST,
    REQUEST_SECONDS,
    STALLED_SECONDS,
    Limits,
    MessageRate,
)
from emo_listen.server.metrics import Metrics

SLICE = 1 << 14
"""Bytes that are parsed before messages are counted: 2,700 of the shortest messages, 30 ms."""


def connection_classes(
    limits: Limits, metrics: Metrics
) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """Return the classes of HTTP and WebSocket connections for `uvicorn.Config`."""
    waiting: dict[HttpConnection, None] = {}  # In the order in which they came.

    class HttpConnection(H11Protocol):
        """A connection that must send whole requests in time."""

        _header_timer: asyncio.TimerHandle | None = None
        _stall_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                metrics.refused["busy"] += 1
                oldest = next(iter(waiting), self)
                oldest.transport.abort()
                if oldest is self:
                    return
            self._await_header()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._await_header()
            else:
                self._stop_waiting()

        def _await_header(self) -> None:
            """End the connection unless the rest of a request's header comes in time."""
            if self._header_timer is None:
                self._header_timer = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)
                waiting[self] = None

        def _stop_waiting(self) -> None:
            _cancel(self._header_timer)
            self._header_timer = None
            waiting.pop(self, None)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stall_timer = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._stall_timer)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_waiting()
            _cancel(self._stall_timer)

    class StreamConnection(WebSocketsSansIOProtocol):
        """A connection whose messages are counted."""

        _stall_timer: asyncio.TimerHandle | None = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pings = MessageRate(time.monotonic())

        def data_received(self, data: bytes) -> None:
            for start in range(0, len(data), SLICE):
                if self.transport.is_closing():
                    return
                super().data_received(data[start : start + SLICE])
                if max(self.queue.qsize(), len(self.frames)) > MESSAGE_BURST:
                    self._flooded()

        def handle_ping(self) -> None:
            if self._pings.exceeded(time.monotonic()):
                self._flooded()
            else:
                super().handle_ping()

        def _flooded(self) -> None:
            metrics.dropped["flood"] += 1
            self.transport.abort()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stall_timer = self.loop.call_later(STALLED_SECONDS, self._stalled)

        def _stalled(self) -> None:
            metrics.dropped["stalled"] += 1
            self.transport.abort()

        def resume_writing(self) -> None:
            super().resume_writing()
            _cancel(self._stall_timer)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            _cancel(self._stall_timer)

        async def run_asgi(self) -> None:
            try:
                await super().run_asgi()
            finally:
                self.loop.call_later(CLOSING_SECONDS, self.transport.abort)

    return HttpConnection, StreamConnection


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
