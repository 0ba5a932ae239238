"""Who may connect, and how the server starts and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from emo_listen.audio import load_audio
from emo_listen.cli import main
from tests.support.server import END, Running, pcm16, received, running_server, send_in_blocks

TOKEN = "a-token.that~nobody_guesses"

FAST_START = ("--max-streams", "2", "--workers", "1")
"""Options without which the capacity is measured."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    options = (*FAST_START, "--allow-origin", "https://example.org", "--allow-origin", "null")
    with running_server(*options, environment={"EMO_LISTEN_TOKEN": TOKEN}) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer(TOKEN[:-1]),
        bearer(TOKEN + "a"),
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
    ],
)
def test_http_needs_the_token(guarded: Running, path: str, headers: dict[str, str]) -> None:
    status, fields, body = guarded.request("GET", path, headers=headers)
    assert (status, json.loads(body)["code"]) == (401, "unauthorized")
    assert fields["www-authenticate"] == "Bearer"
    assert TOKEN.encode() not in body


def test_the_token_opens(guarded: Running) -> None:
    assert guarded.request("GET", "/v1/models", headers=bearer(TOKEN))[0] == 200
    assert guarded.request("GET", f"/v1/models?token={TOKEN}")[0] == 401
    assert guarded.request("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("arguments", "served"),
    [
        ({}, False),
        ({"additional_headers": bearer(TOKEN)}, True),
        ({"additional_headers": bearer("b" * 20)}, False),
        ({"subprotocols": ["emo-listen", f"bearer.{TOKEN}"]}, True),
        ({"subprotocols": ["emo-listen", "bearer.wrong"]}, False),
        ({"subprotocols": ["emo-listen"]}, False),
    ],
)
def test_streams_need_the_token(guarded: Running, arguments: dict[str, Any], served: bool) -> None:
    if served:
        with guarded.stream({}, **arguments) as connection:
            assert json.loads(connection.recv(timeout=60))["type"] == "ready"
            named = Subprotocol("emo-listen") if "subprotocols" in arguments else None
            assert connection.subprotocol == named
    else:
        with pytest.raises(InvalidStatus, match="401"), guarded.stream({}, **arguments):
            pass


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://example.org", True),
        ("null", True),
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("https://example.com", False),
        ("https://sub.example.org", False),
        ("http://localhost.example.com", False),
        ("http://localhost:3000.example.com", False),
    ],
)
def test_origins_are_checked(guarded: Running, origin: str, allowed: bool) -> None:
    status, fields, body = guarded.request(
        "GET", "/v1/models", headers={**bearer(TOKEN), "Origin": origin}
    )
    assert fields.get("access-control-allow-origin") == (origin if allowed else None)
    assert status == (200 if allowed else 403)
    assert allowed or json.loads(body)["code"] == "forbidden_origin"
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    status, fields, _ = guarded.request("OPTIONS", "/v1/analyse", headers=preflight)
    assert status == (204 if allowed else 403)
    arguments: dict[str, Any] = {"origin": origin, "additional_headers": bearer(TOKEN)}
    if allowed:
        assert "Authorization" in fields["access-control-allow-headers"]
        with guarded.stream({}, **arguments) as connection:
            assert json.loads(connection.recv(timeout=60))["type"] == "ready"
    else:
        with pytest.raises(InvalidStatus, match="403"), guarded.stream({}, **arguments):
            pass


def test_what_cannot_start_is_named(
    guarded: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(*options: str | Path) -> str:
        assert main(["serve", *map(str, options)]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    port = str(guarded.port)
    assert f"ServerError: cannot serve on 127.0.0.1:{port} " in failed("--port", port)
    assert "ServerError: cannot serve on no.invalid" in failed("--host", "no.invalid")
    assert "other machines can reach 0.0.0.0: set a token" in failed(
        *("--host", "0.0.0.0", "--port", "0")
    )
    short = failed("--token", "too-short")
    assert "16 to 256" in short and "too-short" not in short
    pem = tmp_path / "a.pem"
    pem.write_text("nonsense")
    assert "cannot be used for TLS" in failed("--tls-cert", pem, "--tls-key", pem)
    assert "ModelError" in failed("--port", "0", "--model", tmp_path)
    assert "hop is 2" in failed("--port", "0", "--window", "1", "--hop", "2")
    with pytest.raises(SystemExit):
        main(["serve", "--tls-cert", "a.pem"])
    assert "need each other" in capsys.readouterr().err


def test_capacity_is_measured_and_nothing_is_logged_of_clients(sample_file: Path) -> None:
    options = ("--workers", "1", "--host", "0.0.0.0", "--token", TOKEN)
    with running_server(*options) as server:
        headers = bearer(TOKEN)
        assert server.request("GET", f"/v1/models?token={TOKEN}", headers=headers)[0] == 200
        metrics = server.request("GET", "/metrics", headers=headers)[2].decode()
        assert int(metrics.split("\nemo_listen_streams_limit ")[1].split()[0]) >= 1
        with server.stream({}, additional_headers=headers) as connection:
            connection.send(b"\0\0")
        code, log = server.stop()
    assert code == 0
    assert "unencrypted" in log
    assert TOKEN not in log and "Traceback" not in log and "/v1" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_signal_finishes_open_segments(
    sample_file: Path, send: Callable[[int, int], None], number: signal.Signals
) -> None:
    with running_server(*FAST_START) as server, server.stream({}) as connection:
        send_in_blocks(connection, pcm16(load_audio(sample_file, 16_000)[:24_000]), 3200)
        assert [json.loads(connection.recv(timeout=60))["type"] for _ in range(2)] == [
            "ready",
            "provisional",
        ]
        send(server.process.pid, number)  # As a terminal, or systemd, does to the whole group.
        segment, error, end = received(connection)
        assert (segment["type"], error["code"]) == ("segment", "stopping")
        assert end == {"type": "end", "seconds": 1.5}
        assert connection.close_code == 1001
        assert server.process.wait(timeout=60) == 0


def test_nothing_is_stored(sample_file: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    with running_server(*FAST_START, environment=environment, folder=tmp_path) as server:
        assert server.request("POST", "/v1/analyse", sample_file.read_bytes())[0] == 200
        with server.stream({}) as connection:
            send_in_blocks(connection, pcm16(load_audio(sample_file, 16_000)[:16_000]), 3200)
            connection.send(END)
            assert received(connection)[-1]["type"] == "end"
        assert server.stop()[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    with running_server(*FAST_START, "--tls-cert", cert, "--tls-key", key) as server:
        assert server.scheme == "https"
        trusted = ssl.create_default_context(cafile=str(cert))
        address = f"wss://127.0.0.1:{server.port}/v1/stream"
        with connect(address, ssl=trusted) as connection:
            connection.send("{}")
            assert json.loads(connection.recv(timeout=60))["type"] == "ready"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert not plain.recv(1000).startswith(b"HTTP")
