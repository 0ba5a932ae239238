"""A websocket server that sends events as JSON to any number of clients.

The server (library `websockets`) runs in its own thread, and `write` never waits for it. Each
client has a queue; a client that is too slow loses the oldest messages and receives their number
as `{"type": "lost", "count": 12}`.

Any web page open in a browser could connect to a local port, so only pages from this machine are
accepted. Programs, which send no origin, always are.
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
from emo_listen.sinks.base import Sink
from emo_listen.sinks.jsonl import event_row

QUEUE_LENGTH = 256
"""Maximum number of messages queued for a client."""

WRITE_LIMIT = 4096
"""Size of a connection's send buffer, in bytes; further messages stay in the queue."""

MAX_REQUEST_BYTES = 1024
"""Maximum size of a message from a client; its content is ignored."""

CLOSING_SECONDS = 1.0
"""How long closing waits for clients to receive their queued messages, in seconds."""

LOCAL_PAGE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Origins of pages that may connect."""


class WebsocketSink(Sink):
    """Serves events to websocket clients until it is closed."""

    def __init__(self, host: str, port: int) -> None:
        """Start the server; port 0 chooses a free port, which `self.port` then holds.

        Raises:
            OutputError: the address cannot be used.
            MissingExtraError: the extra `websocket` is not installed.
        """
        self._websockets = import_extra("websocket", "websockets")
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
                max_size=MAX_REQUEST_BYTES,
                open_timeout=CLOSING_SECONDS,
                close_timeout=CLOSING_SECONDS,
                compression=None,
            )

        try:
            self._server = self._run(start())
        except OSError as error:
            self._stop_loop()
            raise OutputError(
                f"cannot start a websocket server on {host}:{port} ({error.strerror or error}): "
                "choose another address for --websocket"
            ) from error
        self.port: int = self._server.sockets[0].getsockname()[1]

    def write(self, event: Event) -> None:
        """Queue one event for every client."""
        self._loop.call_soon_threadsafe(self._broadcast, json.dumps(event_row(event)))

    def close(self) -> None:
        """Send the queued messages, for at most `CLOSING_SECONDS`, and stop; idempotent."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._stop_loop()

    async def _serve(self, connection: Any) -> None:
        """Send messages until the client or the server ends the connection."""
        client = _Client(connection)
        self._clients.add(client)
        receiver = asyncio.create_task(_discard(connection))
        try:
            await client.send_all()
        except self._websockets.ConnectionClosed:
            pass  # The client disconnected.
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
    """A connection and its queue. Used only in the server's thread."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._messages: deque[str] = deque()
        self._lost = 0
        self._finished = False
        self._changed = asyncio.Event()

    def put(self, message: str) -> None:
        """Queue a message; drop the oldest one if the queue is full."""
        if len(self._messages) == QUEUE_LENGTH:
            self._messages.popleft()
            self._lost += 1
        self._messages.append(message)
        self._changed.set()

    def finish(self) -> None:
        """Make `send_all` return once the queue is empty."""
        self._finished = True
        self._changed.set()

    async def send_all(self) -> None:
        """Send messages as fast as the client receives them, until `finish`."""
        while True:
            while self._messages:
                if self._lost:
                    lost, self._lost = self._lost, 0
                    await self.connection.send(json.dumps({"type": "lost", "count": lost}))
                    continue
                await self.connection.send(self._messages.popleft())
            if self._finished:
                return
            self._changed.clear()
            await self._changed.wait()


async def _discard(connection: Any) -> None:
    """Read and discard a client's messages, which also handles its pings and its closing."""
    async for _ in connection:
        pass
