"""`POST /v1/analyse`: a recording in the body, its events as JSON or as a stream of JSON Lines."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from emo_listen.audio import open_audio_file
from emo_listen.decoding.base import Block
from emo_listen.errors import EmoListenError
from emo_listen.events import Event
from emo_listen.server.audio_request import AudioRequest, query_request
from emo_listen.server.limits import PART_SECONDS, UPLOAD_SECONDS
from emo_listen.server.refusal import Refusal, as_refusal
from emo_listen.server.service import Service
from emo_listen.server.stream_input import open_input
from emo_listen.server.workers import Turn
from emo_listen.session import Session
from emo_listen.sinks.jsonl import event_row

JSON_LINES = "application/x-ndjson"
"""Type of JSON Lines; `application/jsonl` is accepted, too."""


async def analyse(request: Request, service: Service, send: Send) -> None:
    """Answer a request with the events of the recording in its body.

    Raises:
        Refusal: The request or the recording cannot be used.
    """
    audio = query_request(request.query_params)
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Refusal(
            "unsupported", "send the file itself as the body, not a form: curl --data-binary @FILE"
        )
    with service.analysing():
        rows = _rows(await _body(request, service.limits.max_upload), audio, service)
        first = await anext(rows)  # Raises what is wrong from the start.
        accept = request.headers.get("accept", "")
        response: Response
        if JSON_LINES in accept or "application/jsonl" in accept:
            response = StreamingResponse(_lines(first, rows), media_type=JSON_LINES)
        else:
            response = await _document(first, rows, request)
        await response(request.scope, request.receive, send)


async def _document(
    first: list[dict[str, Any]], rows: AsyncIterator[list[dict[str, Any]]], request: Request
) -> Response:
    """Return all events as one JSON object."""
    events = list(first)
    async for more in rows:
        if await request.is_disconnected():
            raise ClientDisconnect
        events += more
    end = events.pop()
    return JSONResponse({"type": "analysis", "seconds": end["seconds"], "events": events})


async def _body(request: Request, limit: int) -> bytes:
    """Read the body, of `limit` bytes at most."""
    length = request.headers.get("content-length", "0")
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            if int(length) <= limit:
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > limit:
                        break
    except TimeoutError:
        raise Refusal("idle", f"the body did not come within {UPLOAD_SECONDS:.0f} s") from None
    if len(data) > limit or int(length) > limit:
        raise Refusal(
            "too_large",
            f"the body is larger than {limit >> 20} MiB: send it in parts or as a stream, or "
            "raise --max-upload",
        )
    return bytes(data)


async def _lines(
    first: list[dict[str, Any]], rows: AsyncIterator[list[dict[str, Any]]]
) -> AsyncGenerator[str, None]:
    """Yield rows as JSON Lines."""
    yield _text(first)
    try:
        async for some in rows:
            yield _text(some)
    except Refusal as refusal:
        yield _text([refusal.row()])


def _text(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


async def _rows(
    body: bytes, audio: AudioRequest, service: Service
) -> AsyncGenerator[list[dict[str, Any]], None]:
    """Yield the events of a recording in the order of time; the last row is its end.

    Raises:
        Refusal: The recording cannot be read, or only up to here.
    """
    session = Session(service.model, audio.options(service.options))
    parts = _parts(body, audio, session)
    turn = Turn()
    metrics = service.metrics
    metrics.analyses_total += 1
    while True:
        windows, before = session.windows, session.seconds
        try:
            events = await service.work(turn.next(PART_SECONDS), next, parts, None)
        except EmoListenError as error:
            raise as_refusal(error) from error
        metrics.windows += session.windows - windows
        metrics.audio_seconds += session.seconds - before
        if events is None:
            break
        if session.seconds > service.limits.max_seconds:
            raise Refusal(
                "time_limit",
                f"the recording is longer than {service.limits.max_seconds:g} s: send it in "
                "parts, or raise --max-seconds",
            )
        metrics.events += len(events)
        if events:
            yield [event_row(event) for event in events]
    yield [{"type": "end", "seconds": session.seconds}]


def _parts(body: bytes, audio: AudioRequest, session: Session) -> Iterator[list[Event]]:
    """Yield the events of one part after the other; run in workers."""
    if audio.format == "file":
        with open_audio_file(io.BytesIO(body), "recording") as file:
            yield from _pushed(file.blocks(), file.sampling_rate, session)
    else:
        pcm = open_input(audio)
        yield from _pushed(pcm.push(body), pcm.sampling_rate, session)
        yield from _pushed(pcm.finish(), pcm.sampling_rate, session)
    yield session.finish()


def _pushed(blocks: Iterator[Block], sampling_rate: int, session: Session) -> Iterator[list[Event]]:
    length = max(1, int(PART_SECONDS * sampling_rate))
    for block in blocks:
        for start in range(0, len(block), length):
            yield session.push(block[start : start + length], sampling_rate)
