"""An HTTP server on loopback that serves files, and fails on request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class StandIn(ThreadingHTTPServer):
    """Serves `files` by path; a path in `cut_after` is cut off once for each number there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut_after: dict[str, list[int]] = {}
        self.answers: dict[str, list[int]] = {}  # status codes sent before the file
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []  # path and Range header

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        asked = self.headers.get("Range")
        self.server.asked.append((path, asked))
        if self.server.answers.get(path):
            self.send_error(self.server.answers[path].pop(0))
            return
        if path not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[path]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        partial = bool(start) and self.server.ranges
        content = content[start:] if partial else content
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cut_after.get(path):
            content = content[: self.server.cut_after[path].pop(0)]
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serve() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
