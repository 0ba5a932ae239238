"""`POST /v1/analyse`: a recording in the body, its events as JSON or as a stream of JSON Lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from emo_listen.server.audio_request import query_request
from emo_listen.server.limits import PART_SECONDS, UPLOAD_SECONDS
from emo_listen.server.processing import Part
from emo_listen.server.refusal import Refusal
from emo_listen.server.service import Service
from emo_listen.server.workers import TaskHandle

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
    with service.analysing(), service.workers.task() as task:
        body = await _body(request, service.limits.max_upload)
        await task.open(audio)
        parts = _parts(body, task, service)
        first = await anext(parts)  # Raises what is wrong from the start.
        accept = request.headers.get("accept", "")
        response: Response
        if JSON_LINES in accept or "application/jsonl" in accept:
            response = StreamingResponse(_lines(first, parts), media_type=JSON_LINES)
        else:
            response = await _document(first, parts, request)
        await response(request.scope, request.receive, send)


async def _document(first: Part, parts: AsyncIterator[Part], request: Request) -> Response:
    """Return all events as one JSON object."""
    events = list(first.events)
    seconds = first.seconds
    async for part in parts:
        if await request.is_disconnected():
            raise ClientDisconnect
        events += part.events
        seconds = part.seconds
    text = f'{{"type": "analysis", "seconds": {seconds}, "events": [{", ".join(events)}]}}'
    return Response(text, media_type="application/json")


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


async def _lines(first: Part, parts: AsyncIterator[Part]) -> AsyncGenerator[str, None]:
    """Yield events as JSON Lines, and how it ended."""
    seconds = first.seconds
    yield _text(first.events)
    try:
        async for part in parts:
            seconds = part.seconds
            if part.events:
                yield _text(part.events)
    except Refusal as refusal:
        yield _text([json.dumps(refusal.row())])
    else:
        yield _text([json.dumps({"type": "end", "seconds": seconds})])


def _text(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


async def _parts(body: bytes, task: TaskHandle, service: Service) -> AsyncGenerator[Part, None]:
    """Yield what comes of a recording, part by part.

    Raises:
        Refusal: The recording cannot be read, or only up to here.
    """
    service.metrics.analyses_total += 1
    part = await task.do(PART_SECONDS, "push", body)
    while True:
        service.metrics.count(part)
        if part.events or part.problem is None:
            yield part
        if part.problem is not None:
            raise Refusal(*part.problem)
        if part.seconds > service.limits.max_seconds:
            raise Refusal(
                "time_limit",
                f"the recording is longer than {service.limits.max_seconds:g} s: send it in "
                "parts, or raise --max-seconds",
            )
        if not part.more:
            break
        part = await task.do(PART_SECONDS, "go_on")
    part = await task.do(PART_SECONDS, "finish")
    service.metrics.count(part)
    yield part
    if part.problem is not None:
        raise Refusal(*part.problem)
