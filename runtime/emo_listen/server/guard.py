"""Who may use the server: the origins of web pages, and the token."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from emo_listen.server.metrics import Metrics
from emo_listen.server.refusal import Refusal

SUBPROTOCOL = "emo-listen"
"""The WebSocket subprotocol. Browsers, which cannot set headers, offer it with `TOKEN_PREFIX`."""

TOKEN_PREFIX = "bearer."
"""Begins the offered subprotocol that holds the token."""

TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")
"""Tokens that can be a header and a subprotocol, and cannot be guessed."""

LOCAL_PAGE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Origins that are always allowed: pages of the machine that their browser runs on."""

OPEN_PATHS = ("/healthz",)
"""Paths that need no token."""


class Guard:
    """ASGI middleware that refuses foreign web pages, and clients without the token.

    Any page in a browser can connect to a local port. Its origin is checked before anything else is
    done, for HTTP as well as for WebSockets.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, origins: Collection[str], metrics: Metrics
    ) -> None:
        """Protect `app`.

        Args:
            app: What to protect.
            token: The token that clients must send; None if none is needed.
            origins: Allowed origins besides local pages.
            metrics: Counts refusals.
        """
        self._app = app
        self._token = None if token is None else sha256(token.encode()).digest()
        self._origins = frozenset(origins)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        refusal: Refusal | None = None
        if origin is not None and not self._allows(origin):
            refusal = Refusal(
                "forbidden_origin",
                f"pages from {origin[:200]} may not use this server: start it with "
                "--allow-origin and this origin",
            )
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            await _allow_methods(origin)(scope, receive, send)
            return
        elif not (scope["path"] in OPEN_PATHS or self._has_token(scope, headers)):
            refusal = Refusal(
                "unauthorized",
                "send the server's token: as the header `Authorization: Bearer TOKEN`, or from a "
                f"browser as the WebSocket subprotocols `{SUBPROTOCOL}` and `{TOKEN_PREFIX}TOKEN`",
            )
        if refusal is None:
            await self._app(scope, receive, _with_origin(send, origin))
            return
        self._metrics.refused[refusal.code] += 1
        response = JSONResponse(refusal.row(), refusal.status)
        if refusal.code == "unauthorized":
            response.headers["WWW-Authenticate"] = "Bearer"
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(response)
        else:
            response.headers["Connection"] = "close"  # The body is not read.
            await response(scope, receive, send)

    def _allows(self, origin: str) -> bool:
        return origin in self._origins or LOCAL_PAGE.fullmatch(origin) is not None

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        """Whether the token was sent; the time it takes says nothing about it."""
        if self._token is None:
            return True
        kind, _, sent = headers.get("authorization", "").partition(" ")
        given = [sent.strip()] if kind.lower() == "bearer" else []
        for name in scope.get("subprotocols", ()):
            if name.startswith(TOKEN_PREFIX):
                given.append(name.removeprefix(TOKEN_PREFIX))
        return any(
            [hmac.compare_digest(sha256(one.encode()).digest(), self._token) for one in given]
        )


def _allow_methods(origin: str | None) -> Response:
    """Return the answer to a browser that asks whether a page may send a request."""
    response = Response(status_code=204)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "GET, POST"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Vary"] = "Origin"
    return response


def _with_origin(send: Send, origin: str | None) -> Send:
    """Let an allowed page read the response."""
    if origin is None:
        return send

    async def send_with_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Vary"] = "Origin"
        await send(message)

    return send_with_origin
