"""A real `emo-listen serve` on the loopback interface, and clients for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

END = json.dumps({"type": "end"})


class Running:
    """A server process."""

    def __init__(self, process: subprocess.Popen[str], scheme: str, port: int) -> None:
        self.process = process
        self.port = port
        self.scheme = scheme

    @contextlib.contextmanager
    def stream(
        self, options: dict[str, Any] | None = None, **arguments: Any
    ) -> Iterator[ClientConnection]:
        """Connect, and send the options of a stream unless they are None."""
        with connect(f"ws://127.0.0.1:{self.port}/v1/stream", **arguments) as connection:
            if options is not None:
                with contextlib.suppress(ConnectionClosed):  # A refusal may come first.
                    connection.send(json.dumps(options))
            yield connection

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers in lower case, and body."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(client):
            client.request(method, path, body, headers or {})
            response = client.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return response.status, fields, response.read()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """Return a JSON response."""
        return json.loads(self.request(method, path, body)[2])

    def metrics(self) -> dict[str, float]:
        """Return the metrics by name and label."""
        text = self.request("GET", "/metrics")[2].decode()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("emo_listen_"): float(value) for name, value in rows}

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop by a signal; return exit code and the rest of standard error."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        rest = self.process.stderr.read()
        return self.process.wait(timeout=60), rest


@contextlib.contextmanager
def running_server(
    *options: str | Path,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Running]:
    """Run `emo-listen serve` on a free port, in a folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emo_listen.cli", "serve", "--port", "0", *map(str, options)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"at (https?)://\S+:(\d+)\.", line):
                break
        else:
            raise AssertionError("".join(lines))
        server = Running(process, found[1], int(found[2]))
        yield server
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def pcm16(samples: NDArray[np.float32]) -> bytes:
    """Raw 16-bit PCM."""
    return np.round(samples * 32767).astype("<i2").tobytes()


def send_in_blocks(connection: ClientConnection, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        connection.send(data[start : start + size])


def received(connection: ClientConnection) -> list[dict[str, Any]]:
    """Return the messages until the connection is closed, in whatever way."""
    messages = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(connection.recv(timeout=60)))
    return messages
