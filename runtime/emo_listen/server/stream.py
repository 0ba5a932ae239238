"""`/v1/stream`: audio in binary messages of a WebSocket, events back as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from emo_listen.decoding.base import Block
from emo_listen.errors import EmoListenError
from emo_listen.events import Event, LabelEvent
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
from emo_listen.server.models import model_row
from emo_listen.server.refusal import Refusal, as_refusal
from emo_listen.server.service import Service
from emo_listen.server.stream_input import open_input
from emo_listen.server.workers import Turn
from emo_listen.session import Session
from emo_listen.sinks.jsonl import event_row


async def serve_stream(socket: WebSocket, service: Service) -> None:
    """Serve one connection from its handshake to its end."""
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    try:
        with service.admitted():
            stream = Stream(socket, service, await _first_message(socket))
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

    def __init__(self, socket: WebSocket, service: Service, request: AudioRequest) -> None:
        """Prepare for audio.

        Raises:
            Refusal: The request cannot be served.
        """
        self._socket = socket
        self._service = service
        self._input = open_input(request)
        self._session = Session(service.model, request.options(service.options))
        rate = self._input.bytes_per_second
        self._inbox = Inbox(min(round(BACKLOG_SECONDS * rate), BACKLOG_BYTES))
        self._part = max(1, round(PART_SECONDS * rate))
        self._turn = Turn()
        self._pieces: Iterator[Block] = iter(())
        self._events: list[Event] = []
        self._problem: Refusal | None = None

    @property
    def lag(self) -> float:
        """Audio that was received and is not processed yet, in seconds."""
        return self._inbox.size / self._input.bytes_per_second

    def stop(self) -> None:
        """Finish, since the server stops."""
        self._end(Refusal("stopping", "the server is stopping: connect to another, or try later"))

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
                **model_row(self._service),
                "idle_seconds": limits.idle_seconds,
                "max_seconds": limits.max_seconds,
            },
        )
        receiver = asyncio.create_task(self._receive_all())
        timer = asyncio.get_running_loop().call_later(
            limits.max_seconds, self._end, self._too_long()
        )
        try:
            await self._process_all(receiver)
        finally:
            timer.cancel()
            receiver.cancel()
            self._input.close()

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
        last = False
        while not last:
            data, came = await self._inbox.take(self._part)
            if receiver.done() and not receiver.cancelled() and receiver.exception() is not None:
                receiver.result()
            last = not data
            try:
                self._pieces = self._input.finish() if last else self._input.push(data)
                await self._process(len(data) / self._input.bytes_per_second, came)
            except Refusal as refusal:
                self._end(refusal)
                last = True
        finish = self._service.work(self._turn.next(0), self._session.finish)
        await self._send_events(await finish, None)
        await self._close()

    async def _process(self, seconds: float, came: float) -> None:
        """Process `self._pieces`, of about `seconds`, which came at `came`.

        Raises:
            Refusal: They cannot be processed; what could be is.
        """
        metrics, session = self._service.metrics, self._session
        more = True
        problem: EmoListenError | None = None
        while more:
            windows, before = session.windows, session.seconds
            try:
                more = await self._service.work(self._turn.next(seconds), self._work)
            except EmoListenError as error:
                problem, more = error, False
            metrics.windows += session.windows - windows
            metrics.audio_seconds += session.seconds - before
            events, self._events = self._events, []
            await self._send_events(events, came)
            if session.seconds > self._service.limits.max_seconds:
                raise self._too_long()
        if problem is not None:
            raise as_refusal(problem)

    def _work(self) -> bool:
        """Decode and process a part, in a worker; return whether there is more."""
        count = 0
        for block in self._pieces:
            self._events += self._session.push(block, self._input.sampling_rate)
            count += len(block)
            if count > PART_SECONDS * self._input.sampling_rate:
                return True
        return False

    async def _send_events(self, events: Iterable[Event], came: float | None) -> None:
        metrics = self._service.metrics
        for event in events:
            await _send(self._socket, event_row(event))
            metrics.events += 1
            if came is not None and isinstance(event, LabelEvent):
                metrics.observe_latency(time.monotonic() - came)

    async def _close(self) -> None:
        problem = self._problem
        if problem is not None:
            self._service.metrics.dropped[problem.code] += 1
            await _send(self._socket, problem.row())
            if problem.code == "flood":
                return  # The connection then ends without reading on, as a handshake would.
        await _send(self._socket, {"type": "end", "seconds": self._session.seconds})
        await self._socket.close(1000 if problem is None else problem.close_code)


def _check_end(text: str) -> None:
    """Refuse a text message that does not end the stream."""
    try:
        if json.loads(text[:100]) == {"type": "end"}:
            return
    except ValueError:
        pass
    raise Refusal("bad_request", 'after the options, only {"type": "end"} may be text')
