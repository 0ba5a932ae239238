"""A real `emo-listen serve` apart from the client's process, and what it uses."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from emo_listen.errors import ServerError

READY = re.compile(r"serving up to (\d+) streams at (http\S+)\. ")
"""What the server says once it listens."""

STOP_SECONDS = 20.0
"""Time for the server to stop, in seconds."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    """Of its streams, as a WebSocket's URL."""

    max_streams: int
    """Streams that it admits."""

    process: psutil.Process
    """The process that started its workers."""

    @property
    def resident_mib(self) -> float:
        """Resident memory of all its processes, in MiB; what they share counts for each of them."""
        return float(sum(one.memory_info().rss for one in self._processes())) / 2**20

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, in seconds."""
        return sum(cpu_seconds(one) for one in self._processes())

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process so far, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def running_server(model: Path, *options: str) -> Iterator[Server]:
    """Run `emo-listen serve` on a free port of the loopback interface, until the block ends.

    Raises:
        ServerError: it did not start; its own message says why.
    """
    command = [sys.executable, "-m", "emo_listen.cli", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--model", str(model), *options], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := READY.search(line):
                break
        else:
            raise ServerError(f"emo-listen serve did not start: {''.join(said).strip()}")
        address = found[2].replace("http", "ws", 1) + "/v1/stream"
        yield Server(address, int(found[1]), psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def default_streams(model: Path) -> int:
    """Return how many streams the server admits where nothing else is asked for.

    Raises:
        ServerError: it did not start.
    """
    with running_server(model) as server:
        return server.max_streams
