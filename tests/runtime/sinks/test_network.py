"""Websocket and OSC through real sockets: several clients, slow ones, ports in use."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pythonosc.osc_message import OscMessage
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from emo_listen import EmotionModel, ProvisionalEvent, SegmentEvent, StatusEvent, WindowEvent
from emo_listen.cli import main
from emo_listen.errors import OutputError
from emo_listen.sinks.osc import OscSink
from emo_listen.sinks.websocket import QUEUE_LENGTH, WebsocketSink

SCORES = {"anger": 0.75, "very happy": 0.25}


def window(start: int) -> WindowEvent:
    return WindowEvent(start=start, end=start + 3, label="anger", confidence=0.75, scores=SCORES)


@pytest.fixture
def server() -> Iterator[WebsocketSink]:
    sink = WebsocketSink("127.0.0.1", 0)
    yield sink
    sink.close()


def client(server: WebsocketSink, **options: Any) -> AbstractContextManager[ClientConnection]:
    return connect(f"ws://127.0.0.1:{server.port}", **options)


def test_every_client_gets_every_event(server: WebsocketSink) -> None:
    with client(server) as one, client(server) as other:
        for start in range(3):
            server.write(window(start))
        server.close()
        for connection in (one, other):
            rows = [json.loads(connection.recv(timeout=60)) for _ in range(3)]
            assert [row["start"] for row in rows] == [0, 1, 2]
            assert next(iter(rows[0])) == "type" and rows[0]["scores"] == SCORES
            with pytest.raises(ConnectionClosedOK):
                connection.recv(timeout=60)


def test_a_slow_client_loses_the_oldest_messages_and_gets_their_number(
    server: WebsocketSink,
) -> None:
    total = 30_000
    # A small receive buffer, so that the kernel buffers little.
    slow_socket = socket.socket()
    slow_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow_socket.connect(("127.0.0.1", server.port))
    with (
        client(server, sock=slow_socket, max_queue=1, close_timeout=1) as slow,
        client(server) as fast,
    ):
        rows: list[dict] = []
        reader = threading.Thread(
            target=lambda: rows.extend(json.loads(message) for message in fast)
        )
        reader.start()
        for start in range(total):
            server.write(window(start))
            while start - len(rows) > QUEUE_LENGTH // 2:
                time.sleep(0.001)  # Wait for the fast client only.
        last = received = lost = 0
        while last != total - 1:
            row = json.loads(slow.recv(timeout=60))
            if row["type"] == "lost":
                lost += row["count"]
            else:
                assert row["start"] >= last
                last, received = row["start"], received + 1
        assert lost > 0
        assert received + lost == total
        server.close()
        reader.join()
    assert [row["start"] for row in rows] == list(range(total))


def test_a_client_that_never_reads_delays_neither_writing_nor_closing(
    server: WebsocketSink,
) -> None:
    with client(server, max_queue=1, close_timeout=1) as stuck:
        for start in range(50_000):
            server.write(window(start))
        server.close()
        assert stuck.recv(timeout=60)


def test_clients_can_connect_and_disconnect(server: WebsocketSink) -> None:
    with client(server):
        pass
    with client(server) as left, client(server) as stays:
        left.socket.close()  # Without a closing handshake.
        stays.send("what clients say is ignored")
        server.write(window(0))
        server.write(window(1))
        assert [json.loads(stays.recv(timeout=60))["start"] for _ in range(2)] == [0, 1]


@pytest.mark.parametrize(
    ("origin", "served"),
    [
        ("http://localhost:8000", True),
        ("http://127.0.0.1:3000", True),
        ("https://example.org", False),
        ("http://localhost.example.org", False),
        ("null", False),
    ],
)
def test_only_pages_from_this_machine_are_accepted(
    server: WebsocketSink, origin: str, served: bool
) -> None:
    if served:
        with client(server, origin=origin):
            pass
    else:
        with pytest.raises(InvalidStatus, match="403"), client(server, origin=origin):
            pass


def test_a_port_in_use_is_reported(server: WebsocketSink, sample_file: Path) -> None:
    with pytest.raises(OutputError, match=f"127.0.0.1:{server.port} "):
        WebsocketSink("127.0.0.1", server.port)
    assert main(["--device", str(sample_file), "--websocket", str(server.port)]) == 2


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        yield receiver


def received(receiver: socket.socket, count: int) -> list[tuple]:
    messages = [OscMessage(receiver.recv(1024)) for _ in range(count)]
    return [(message.address, *message.params) for message in messages]


def test_osc_has_its_documented_addresses(receiver: socket.socket) -> None:
    sink = OscSink("localhost", receiver.getsockname()[1])
    quiet = StatusEvent(time=0.1, level=-70, speech=False, load=0, latency=0)
    speech = StatusEvent(time=0.2, level=-20, speech=True, load=0, latency=0)
    for status in (quiet, quiet, speech, speech):
        sink.write(status)
    assert received(receiver, 2) == [("/emo/speech", 0), ("/emo/speech", 1)]
    sink.write(ProvisionalEvent(start=0, end=1, label="anger", confidence=0.75, scores=SCORES))
    segment = SegmentEvent(
        start=0, end=2, label="uncertain", confidence=0.5, scores=SCORES, baseline_seconds=2.5
    )
    sink.write(segment)
    assert received(receiver, 8) == [
        ("/emo/scores/anger", 0.75),
        ("/emo/scores/very_happy", 0.25),
        ("/emo/baseline", 0.0),
        ("/emo/label", "anger", 0.75),
        ("/emo/scores/anger", 0.75),
        ("/emo/scores/very_happy", 0.25),
        ("/emo/baseline", 2.5),
        ("/emo/label", "uncertain", 0.5),
    ]
    receiver.close()
    sink.write(speech)  # The receiver has gone, which is not an error.
    sink.write(quiet)
    sink.close()


def test_the_command_sends_osc(
    receiver: socket.socket, sample_file: Path, bundled_model: EmotionModel
) -> None:
    port = receiver.getsockname()[1]
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    assert main(["--device", str(sample_file), "--osc", f"127.0.0.1:{port}"]) == 0
    receiver.setblocking(False)
    messages: list[tuple] = []
    try:
        while True:
            messages += received(receiver, 1)
    except BlockingIOError:
        pass
    addresses = {address for address, *_ in messages}
    assert addresses == {
        "/emo/speech",
        "/emo/label",
        "/emo/baseline",
        *(f"/emo/scores/{label}" for label in bundled_model.labels),
    }
