"""`/v1/stream`: audio in binary messages of a WebSocket, events back as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from emo_listen.server.audio_request import AudioRequest, stream_request
from emo_listen.server.guard import SUBPROTOCOL
from emo_listen.server.inbox import Inbox
from emo_listen.server.limits import (
    BACKLOG_BYTES,
    BACKLOG_SECONDS,
    PART_SECONDS,
    REQUEST_SECONDS,
    MessageRate,
)
from emo_listen.server.processing import Part
from emo_listen.server.refusal import Refusal
from emo_listen.server.service import Service
from emo_listen.server.stream_input import bytes_per_second
from emo_listen.server.workers import TaskHandle


async def serve_stream(socket: WebSocket, service: Service) -> None:
    """Serve one connection from its handshake to its end."""
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    try:
        with service.admitted():
            request = await _first_message(socket)
            with service.workers.task() as task:
                await task.open(request)
                stream = Stream(socket, service, task, bytes_per_second(request))
                with service.running(stream):
                    await stream.run()
    except Refusal as refusal:
        service.metrics.refused[refusal.code] += 1
        with contextlib.suppress(WebSocketDisconnect):
            await _send(socket, refusal.row())
            await socket.close(refusal.close_code)
    except WebSocketDisconnect:
        pass  # The client has gone, and with it whoever wanted the events.


async def _first_message(socket: WebSocket) -> AudioRequest:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            message = await _receive(socket)
    except TimeoutError:
        raise Refusal(
            "idle", f"no message came within {REQUEST_SECONDS:.0f} s: send the options first"
        ) from None
    if isinstance(message, bytes):
        raise Refusal("bad_request", "the first message must be text: send the options as JSON")
    return stream_request(message)


async def _receive(socket: WebSocket) -> str | bytes:
    """Return the next message.

    Raises:
        WebSocketDisconnect: The client closed the connection.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text, data = message.get("text"), message.get("bytes")
    return text if text is not None else data or b""


async def _send(socket: WebSocket, row: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(row))


class Stream:
    """One admitted stream."""

    def __init__(self, socket: WebSocket, service: Service, task: TaskHandle, rate: int) -> None:
        """Prepare for audio of `rate` bytes a second, which `task` processes."""
        self._socket = socket
        self._service = service
        self._task = task
        self._rate = rate
        self._inbox = Inbox(min(round(BACKLOG_SECONDS * rate), BACKLOG_BYTES))
        self._problem: Refusal | None = None
        self._seconds = 0.0

    @property
    def lag(self) -> float:
        """Audio that was received and is not processed yet, in seconds."""
        return self._inbox.size / self._rate

    def stop(self) -> None:
        """Finish, since the server stops."""
        self._interrupt(
            Refusal("stopping", "the server is stopping: connect to another, or try later")
        )

    def _interrupt(self, problem: Refusal) -> None:
        """End the stream unless it is about to end."""
        if not self._inbox.ended:
            self._end(problem)

    async def run(self) -> None:
        """Process the stream until it ends, and close the connection.

        Raises:
            WebSocketDisconnect: The client has gone.
        """
        limits = self._service.limits
        await _send(
            self._socket,
            {
                "type": "ready",
                **self._service.workers.model_row,
                "idle_seconds": limits.idle_seconds,
                "max_seconds": limits.max_seconds,
            },
        )
        receiver = asyncio.create_task(self._receive_all())
        timer = asyncio.get_running_loop().call_later(
            limits.max_seconds, self._interrupt, self._too_long()
        )
        try:
            await self._process_all(receiver)
        finally:
            timer.cancel()
            receiver.cancel()

    def _end(self, problem: Refusal | None) -> None:
        """Process what was received, and no more; `problem` is why, unless the client asked."""
        self._problem = self._problem or problem
        self._inbox.end()

    def _too_long(self) -> Refusal:
        return Refusal(
            "time_limit",
            f"the stream lasted {self._service.limits.max_seconds:g} s, which is the server's "
            "limit: open another",
        )

    async def _receive_all(self) -> None:
        """Queue the client's audio until the stream ends.

        Raises:
            WebSocketDisconnect: The client closed the connection.
        """
        idle_seconds = self._service.limits.idle_seconds
        rate = MessageRate(time.monotonic())
        try:
            while not self._inbox.ended:
                try:
                    async with asyncio.timeout(idle_seconds):
                        message = await _receive(self._socket)
                except TimeoutError:
                    raise Refusal("idle", f"no audio came for {idle_seconds:g} s") from None
                now = time.monotonic()
                if rate.exceeded(now):
                    raise Refusal("flood", "too many messages: send blocks of 20 ms or longer")
                if isinstance(message, str):
                    _check_end(message)
                    self._end(None)
                elif not self._inbox.ended:
                    await self._inbox.put(message, now)
        except Refusal as refusal:
            self._end(refusal)
        finally:
            self._inbox.end()

    async def _process_all(self, receiver: asyncio.Task[None]) -> None:
        most = max(1, round(PART_SECONDS * self._rate))
        while True:
            data, came = await self._inbox.take(most)
            if receiver.done() and receiver.exception() is not None:
                receiver.result()
            if not data:
                break
            try:
                await self._process(data, came)
            except Refusal as refusal:
                self._end(refusal)
                break
        try:
            await self._take(await self._task.do(0.0, "finish"), None)
        except Refusal as refusal:
            self._end(refusal)
        await self._close()

    async def _process(self, data: bytes, came: float) -> None:
        """Process bytes that came at `came`, in parts.

        Raises:
            Refusal: They cannot be processed; what could be is.
        """
        seconds = len(data) / self._rate
        part = await self._task.do(seconds, "push", data)
        await self._take(part, came)
        while part.more:
            part = await self._task.do(seconds, "go_on")
            await self._take(part, came)

    async def _take(self, part: Part, came: float | None) -> None:
        """Send the events of audio that came at `came`, if it did just now.

        Raises:
            Refusal: No more can be processed.
        """
        metrics = self._service.metrics
        metrics.count(part)
        for event in part.events:
            await self._socket.send_text(event)
        if came is not None and part.labels:
            metrics.observe_latency(time.monotonic() - came, part.labels)
        self._seconds = max(part.seconds, self._seconds)
        if part.problem is not None:
            raise Refusal(*part.problem)
        if part.seconds > self._service.limits.max_seconds:
            raise self._too_long()

    async def _close(self) -> None:
        problem = self._problem
        if problem is not None:
            self._service.metrics.dropped[problem.code] += 1
            await _send(self._socket, problem.row())
            if problem.code == "flood":
                return  # The connection then ends without reading on, as a handshake would.
        await _send(self._socket, {"type": "end", "seconds": self._seconds})
        await self._socket.close(1000 if problem is None else problem.close_code)


def _check_end(text: str) -> None:
    """Refuse a text message that does not end the stream."""
    try:
        if json.loads(text[:100]) == {"type": "end"}:
            return
    except ValueError:
        pass
    raise Refusal("bad_request", 'after the options, only {"type": "end"} may be text')
