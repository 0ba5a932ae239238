"""Runs the server until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from emo_listen.errors import ServerError
from emo_listen.server.connections import connection_classes
from emo_listen.server.limits import GRACE_SECONDS, MAX_MESSAGE
from emo_listen.server.service import Service

POLL_SECONDS = 0.05
"""How often a stopping server looks whether its streams have finished, in seconds."""


def open_socket(host: str, port: int) -> socket.socket:
    """Bind an address; port 0 chooses a free one.

    Raises:
        ServerError: The address cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise ServerError(
            f"cannot serve on {host}:{port} ({error.strerror or error}): choose another --host or "
            "--port"
        ) from error


def is_loopback(bound: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def check_certificate(cert: Path, key: Path) -> None:
    """Refuse a certificate that cannot be used.

    Raises:
        ServerError: It, or its key, cannot be read, or they do not belong together.
    """
    try:
        # An encrypted key would otherwise be asked for on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ServerError(
            f"{cert} and {key} cannot be used for TLS ({error}): give a certificate and its "
            "unencrypted key, in PEM"
        ) from error


class Server(uvicorn.Server):
    """A server whose first signal lets open streams finish; a second one ends it at once."""

    def __init__(
        self, config: uvicorn.Config, service: Service, on_ready: Callable[[], None]
    ) -> None:
        """Serve `service` as `config` says; `on_ready` is called once signals are handled."""
        super().__init__(config)
        self._service = service
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; called by a signal."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._draining is not None:
            self.should_exit = self.force_exit = True
            return
        self._service.stop()
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                while not self._service.idle:
                    await asyncio.sleep(POLL_SECONDS)
        self.should_exit = True


def run_server(
    app: Starlette,
    service: Service,
    bound: socket.socket,
    on_ready: Callable[[], None],
    *,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Serve `app` on the socket until SIGINT or SIGTERM.

    Args:
        app: The application.
        service: What it serves.
        bound: A bound socket.
        on_ready: Called when clients can connect and a signal stops the server.
        tls: A certificate and its key.
    """
    http, websocket = connection_classes(service.limits, service.metrics)
    config = uvicorn.Config(
        app,
        http=http,
        ws=websocket,
        ws_max_size=MAX_MESSAGE,
        # A client whose audio waits for the server could not answer in time.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=None if tls is None else tls[0],
        ssl_keyfile=None if tls is None else tls[1],
    )
    Server(config, service, on_ready).run(sockets=[bound])
