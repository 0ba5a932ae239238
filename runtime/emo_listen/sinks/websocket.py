"""Events as JSON to any number of clients of a websocket.

A server of the `websockets` library runs in a thread of its own. The listener only leaves a
message with it, and never waits: each client has a queue of its own, and one that is too slow
loses the oldest messages and is told how many, `{"type": "lost", "count": 12}`.

A page that a browser has open anywhere could connect to a port of this machine, so that only
pages of this machine are served; programs, which name no origin, always are.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import deque
from collections.abc import Coroutine
from typing import Any

from emo_listen.errors import OutputError
from emo_listen.events import Event
from emo_listen.extras import import_extra
from emo_listen.sinks.jsonl import event_row

QUEUE_LENGTH = 256
"""Messages that wait for a client at most."""

WRITE_LIMIT = 4096
"""Bytes that may wait in a connection's buffer before messages wait in its queue."""

LONGEST_REQUEST = 1024
"""Bytes of the longest message that a client may send; what it sends is ignored."""

CLOSING_SECONDS = 1.0
"""How long closing waits for clients to take what is left, in seconds."""

LOCAL_PAGE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Origins of the pages that may connect."""


class WebsocketSink:
    """Serves events to websocket clients until it is closed."""

    def __init__(self, host: str, port: int) -> None:
        """Begin to serve; any free port is taken where `port` is 0.

        Raises:
            OutputError: the address cannot be had.
            MissingExtraError: the extra `websocket` is not installed.
        """
        self._websockets = import_extra("websocket")
        server_module = import_extra("websocket", "websockets.asyncio.server")
        self._clients: set[_Client] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="websocket", daemon=True
        )
        self._thread.start()

        async def start() -> Any:
            return await server_module.serve(
                self._serve,
                host,
                port,
                origins=[None, LOCAL_PAGE],
                write_limit=WRITE_LIMIT,
                max_size=LONGEST_REQUEST,
                open_timeout=CLOSING_SECONDS,
                close_timeout=CLOSING_SECONDS,
                compression=None,
            )

        try:
            self._server = self._run(start())
        except OSError as error:
            self._stop_loop()
            raise OutputError(
                f"no websocket can be served on {host}:{port} ({error.strerror or error}): "
                "give another --websocket port"
            ) from error
        self.port: int = self._server.sockets[0].getsockname()[1]

    def write(self, event: Event) -> None:
        """Leave one event for every client."""
        self._loop.call_soon_threadsafe(self._broadcast, json.dumps(event_row(event)))

    def close(self) -> None:
        """Let clients have what waits for them, for a second at most, and end; idempotent."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._stop_loop()

    async def _serve(self, connection: Any) -> None:
        """Send what comes until the client or the server ends the connection."""
        client = _Client(connection)
        self._clients.add(client)
        receiver = asyncio.create_task(_ignore(connection))
        try:
            await client.send_all()
        except self._websockets.ConnectionClosed:
            pass  # The client has gone, which is its right.
        finally:
            self._clients.discard(client)
            receiver.cancel()

    def _broadcast(self, message: str) -> None:
        for client in self._clients:
            client.put(message)

    async def _end(self) -> None:
        self._server.close(close_connections=False)
        for client in self._clients:
            client.finish()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._server.wait_closed()
        except TimeoutError:
            for client in self._clients:
                client.connection.transport.abort()
            await self._server.wait_closed()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Client:
    """One connection, and what waits for it. Used in the server's thread alone."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._messages: deque[str] = deque()
        self._lost = 0
        self._finished = False
        self._news = asyncio.Event()

    def put(self, message: str) -> None:
        """Add a message, at the cost of the oldest where too many wait."""
        if len(self._messages) == QUEUE_LENGTH:
            self._messages.popleft()
            self._lost += 1
        self._messages.append(message)
        self._news.set()

    def finish(self) -> None:
        """Let `send_all` return once nothing waits."""
        self._finished = True
        self._news.set()

    async def send_all(self) -> None:
        """Send messages as fast as the client takes them, until `finish`."""
        while True:
            while self._messages:
                if self._lost:
                    lost, self._lost = self._lost, 0
                    await self.connection.send(json.dumps({"type": "lost", "count": lost}))
                    continue
                await self.connection.send(self._messages.popleft())
            if self._finished:
                return
            self._news.clear()
            await self._news.wait()


async def _ignore(connection: Any) -> None:
    """Take what a client sends, so that its pings and its goodbye are seen."""
    async for _ in connection:
        pass
