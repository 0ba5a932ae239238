"""The ASGI application: which path is served by what."""

from __future__ import annotations

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from emo_listen.server.analysis import analyse
from emo_listen.server.documents import asyncapi, openapi
from emo_listen.server.guard import Guard
from emo_listen.server.metrics import CONTENT_TYPE
from emo_listen.server.refusal import Refusal
from emo_listen.server.service import Service
from emo_listen.server.stream import serve_stream


def create_app(
    service: Service, *, token: str | None = None, origins: Collection[str] = ()
) -> Starlette:
    """Return the application.

    Args:
        service: What the connections share.
        token: The token that clients must send; None if none is needed.
        origins: Origins of web pages that may connect, besides local ones.
    """
    metrics = service.metrics

    def refused(_request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            known = error.status_code == 405
            error = Refusal(
                "method_not_allowed" if known else "not_found",
                "GET or POST as /openapi.json says" if known else "nothing here: see /openapi.json",
            )
        assert isinstance(error, Refusal)
        metrics.refused[error.code] += 1
        # Whatever is left of the body is not read.
        return JSONResponse(error.row(), error.status, {"Connection": "close"})

    class Analyse:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await analyse(Request(scope, receive, send), service, send)

    async def stream(socket: WebSocket) -> None:
        await serve_stream(socket, service)

    def models(_request: Request) -> Response:
        return JSONResponse({"models": [service.workers.model_row]})

    def health(_request: Request) -> Response:
        if service.stopping:
            raise Refusal("stopping", "the server is stopping")
        return JSONResponse({"status": "ok"})

    def show_metrics(_request: Request) -> Response:
        return Response(service.metrics_text(), media_type=CONTENT_TYPE)

    def show_openapi(_request: Request) -> Response:
        return JSONResponse(openapi())

    def show_asyncapi(_request: Request) -> Response:
        return JSONResponse(asyncapi())

    return Starlette(
        routes=[
            WebSocketRoute("/v1/stream", stream),
            Route("/v1/analyse", Analyse(), methods=["POST"]),
            Route("/v1/models", models),
            Route("/healthz", health),
            Route("/metrics", show_metrics),
            Route("/openapi.json", show_openapi),
            Route("/asyncapi.json", show_asyncapi),
        ],
        middleware=[Middleware(Guard, token=token, origins=origins, metrics=metrics)],
        exception_handlers={
            Refusal: refused,
            HTTPException: refused,
            ClientDisconnect: lambda _request, _error: Response(),
        },
    )
