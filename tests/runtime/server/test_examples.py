"""The clients of `examples/serve`, run as their comments describe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from emo_listen import EmotionModel, listen
from emo_listen.audio import load_audio
from emo_listen.sinks.jsonl import event_row
from tests.support.server import Running, running_server

TOKEN = "a-token-of-examples"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    environment = {"EMO_LISTEN_TOKEN": TOKEN}
    with running_server("--max-streams", "2", "--workers", "1", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def wav(sample_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "talk.wav"
    soundfile.write(path, load_audio(sample_file, 16_000)[: 5 * 16_000], 16_000, "PCM_16")
    return path


@pytest.fixture(scope="module")
def events(wav: Path, bundled_model: EmotionModel) -> list[dict[str, Any]]:
    return [event_row(event) for event in listen(wav, model=bundled_model)]


def run(*command: str | Path, token: str = TOKEN, data: bytes = b"") -> tuple[int, str]:
    """Run a client; return its exit code and output."""
    result = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "EMO_LISTEN_TOKEN": token},
        input=data,
        capture_output=True,
        timeout=60,
    )
    return result.returncode, result.stdout.decode()


def test_python(repository: Path, server: Running, wav: Path, events: list[dict[str, Any]]) -> None:
    script = repository / "examples" / "serve" / "client.py"
    address = f"ws://127.0.0.1:{server.port}/v1/stream"
    code, output = run(sys.executable, script, address, wav)
    ready, *rows, end = map(json.loads, output.splitlines())
    assert (code, ready["type"], end["type"]) == (0, "ready", "end")
    assert rows == events
    assert run(sys.executable, script, address, wav, token="a-wrong-token-here")[0] != 0


def test_javascript(
    repository: Path, server: Running, wav: Path, events: list[dict[str, Any]]
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    major = int(version.removeprefix("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"node {version} has no WebSocket")
    command: list[str | Path] = [node, *(["--experimental-websocket"] if major < 22 else [])]
    command += [repository / "examples" / "serve" / "client.mjs"]
    command += [f"ws://127.0.0.1:{server.port}/v1/stream"]
    data = wav.read_bytes()[44:]
    code, output = run(*command, data=data)
    ready, *rows, end = map(json.loads, output.splitlines())
    assert (code, ready["type"], end["type"]) == (0, "ready", "end")
    assert rows == events
    assert run(*command, data=data, token="a-wrong-token-here") == (1, "")


def test_shell(repository: Path, server: Running, wav: Path, events: list[dict[str, Any]]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    script = repository / "examples" / "serve" / "analyse.sh"
    address = f"http://127.0.0.1:{server.port}"
    code, output = run("sh", script, address, wav)
    *rows, end = map(json.loads, output.splitlines())
    assert (code, end["type"]) == (0, "end")
    assert rows == events
    code, output = run("sh", script, address, wav, token="a-wrong-token-here")
    assert (code != 0, json.loads(output)["code"]) == (True, "unauthorized")


@pytest.mark.parametrize("name", ["client.py", "client.mjs", "analyse.sh"])
def test_clients_are_short(repository: Path, name: str) -> None:
    text = (repository / "examples" / "serve" / name).read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 25
