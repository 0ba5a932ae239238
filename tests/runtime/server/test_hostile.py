"""Clients that are too many, too fast, too slow, silent, or talk nonsense."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from emo_listen.audio import load_audio
from tests.support.server import END, Running, pcm16, received, running_server, send_in_blocks

RATE = 16_000


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    options = ("--max-streams", "2", "--workers", "1", "--idle-seconds", "2", "--max-seconds", "20")
    with running_server(*options) as running:
        yield running


@pytest.fixture(scope="module")
def speech(sample_file: Path) -> bytes:
    return pcm16(load_audio(sample_file, RATE)[: 3 * RATE])


def still_serves(server: Running, speech: bytes) -> None:
    with server.stream({}) as connection:
        send_in_blocks(connection, speech, 3200)
        connection.send(END)
        assert "segment" in {row["type"] for row in received(connection)}


def test_a_stream_too_many_is_refused_at_once(server: Running, speech: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            admitted = stack.enter_context(server.stream({}))
            assert json.loads(admitted.recv(timeout=60))["type"] == "ready"
        with server.stream() as refused:
            (error,) = received(refused)
        assert error["code"] == "busy"
        assert "all 2 streams are in use" in error["message"]
        assert refused.close_code == 1013
        assert server.metrics()["streams"] == 2
    still_serves(server, speech)


def test_a_stream_without_audio_is_ended_and_its_segment_finished(
    server: Running, speech: bytes
) -> None:
    with server.stream({}) as connection:
        send_in_blocks(connection, speech, 3200)
        *_, segment, error, end = received(connection)
    assert (segment["type"], error["code"], end["type"]) == ("segment", "idle", "end")
    assert connection.close_code == 1008


def test_a_stream_that_is_too_long_is_ended(server: Running, speech: bytes) -> None:
    with server.stream({}) as connection, pytest.raises(ConnectionClosed):
        for _ in range(20):
            send_in_blocks(connection, speech, 3200)
        *_, error, end = received(connection)
        assert (error["code"], end["type"]) == ("time_limit", "end")
        connection.send(b"")
    assert server.metrics()['dropped_total{code="time_limit"}'] == 1


def test_a_frame_that_is_too_large_ends_its_connection(server: Running, speech: bytes) -> None:
    with server.stream({}) as connection, pytest.raises(ConnectionClosed):
        connection.send(bytes(16 << 20))
        received(connection)
        connection.send(b"")
    still_serves(server, speech)


@pytest.mark.parametrize("message", [b"", b"\0\0"])
def test_a_flood_of_tiny_messages_is_ended(server: Running, speech: bytes, message: bytes) -> None:
    with server.stream({}) as connection, pytest.raises((ConnectionClosed, OSError)):
        for _ in range(100_000):
            connection.send(message)
    metrics = server.metrics()
    assert metrics['dropped_total{code="flood"}'] >= 1
    still_serves(server, speech)


def test_a_flood_of_pings_is_ended(server: Running, speech: bytes) -> None:
    with server.stream({}) as connection, pytest.raises((ConnectionClosed, OSError)):
        for _ in range(100_000):
            connection.ping()
    still_serves(server, speech)


def test_a_flood_of_audio_waits_and_others_are_served(server: Running, speech: bytes) -> None:
    with server.stream({"emit": "all"}) as flood:
        flood.send(10 * speech)
        still_serves(server, speech)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
        b"GET /v1/stream HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"POST /v1/analyse HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"\xff" * 100_000,
    ],
)
def test_garbage_costs_its_own_connection(server: Running, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(65536):
            pass
    assert server.json("GET", "/healthz") == {"status": "ok"}


def test_garbage_within_a_websocket_costs_its_own_connection(
    server: Running, speech: bytes
) -> None:
    with server.stream({}) as connection:
        assert json.loads(connection.recv(timeout=60))["type"] == "ready"
        connection.socket.sendall(b"\xff" * 1000)
        with pytest.raises(ConnectionClosedError):
            connection.recv(timeout=60)
    still_serves(server, speech)


def test_half_open_connections_do_not_keep_others_out(server: Running, speech: bytes) -> None:
    with ExitStack() as stack:
        for number in range(250):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            if number % 2:
                raw.sendall(b"GET /healthz HTTP/1.1\r\nHost")
        still_serves(server, speech)


def test_a_client_that_reads_nothing_is_held_back(server: Running, speech: bytes) -> None:
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", server.port))
    options = {"emit": "all", "status": True}
    with server.stream(options, sock=slow, max_queue=1, close_timeout=1) as stuck:
        stuck.send(speech)
        still_serves(server, speech)


def test_a_worker_that_crashes_is_started_again(server: Running, speech: bytes) -> None:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not children.exists():
        pytest.skip("needs /proc/PID/task/PID/children")
    with server.stream({}) as connection:
        assert json.loads(connection.recv(timeout=60))["type"] == "ready"
        for child in children.read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
        send_in_blocks(connection, speech, 3200)
        connection.send(END)
        *_, error, end = received(connection)
    assert (error["code"], end["type"]) == ("internal", "end")
    still_serves(server, speech)
