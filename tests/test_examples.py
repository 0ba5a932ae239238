"""The examples, run on the bundled sample as their docstrings describe."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from pythonosc.osc_message import OscMessage

from emo_listen import EmotionModel, ProvisionalEvent, SegmentEvent, WindowEvent, listen
from emo_listen.events import LabelEvent


def run(script: Path, *arguments: object) -> str:
    result = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_lamp_colour(repository: Path, sample_file: Path, bundled_model: EmotionModel) -> None:
    lines = run(repository / "examples" / "lamp_colour.py", sample_file).splitlines()
    events = list(listen(sample_file, model=bundled_model))
    labels = [event.label for event in events if isinstance(event, LabelEvent)]
    assert [line.split()[1] for line in lines] == labels
    colours = {line.split()[0] for line in lines}
    assert len(colours) > 2
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_osc_avatar(repository: Path, sample_file: Path, bundled_model: EmotionModel) -> None:
    windows = [
        event
        for event in listen(sample_file, model=bundled_model, emit="windows")
        if isinstance(event, WindowEvent)
    ]
    with socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.settimeout(60)
        port = receiver.getsockname()[1]
        run(repository / "examples" / "osc_avatar.py", sample_file, "127.0.0.1", port)
        messages = [OscMessage(receiver.recv(1024)) for _ in range(5 * len(windows))]
    assert messages[0].address == "/VMC/Ext/Blend/Val"
    assert messages[4].address == "/VMC/Ext/Blend/Apply"
    joy = [message.params[1] for message in messages[1::5]]
    assert [round(value, 4) for value in joy] == [w.scores["happiness"] for w in windows]


def test_csv_logger(
    repository: Path, sample_file: Path, bundled_model: EmotionModel, tmp_path: Path
) -> None:
    day = tmp_path / "day.csv"
    for _ in range(2):
        run(repository / "examples" / "csv_logger.py", sample_file, day)
    rows = [line.split(",") for line in day.read_text().splitlines()]
    events = list(listen(sample_file, model=bundled_model))
    labels = [event.label for event in events if isinstance(event, SegmentEvent)]
    assert [row[2] for row in rows] == 2 * labels
    for start, end, _ in rows:
        assert datetime.fromisoformat(start) <= datetime.fromisoformat(end)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """Port of an MQTT broker on the loopback interface."""
    mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if mosquitto is None:
        pytest.skip("mosquitto is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def test_mqtt_publisher(
    repository: Path, sample_file: Path, bundled_model: EmotionModel, broker: int
) -> None:
    script = repository / "examples" / "mqtt_publisher.py"
    received: queue.Queue[dict[str, Any]] = queue.Queue()
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: received.put(json.loads(message.payload))
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", broker)
    client.subscribe("kitchen/emotion", qos=1)
    client.loop_start()
    try:
        assert subscribed.wait(60)
        run(script, sample_file, "127.0.0.1", broker, "kitchen/emotion")
        events = [
            asdict(event)
            for event in listen(sample_file, model=bundled_model)
            if isinstance(event, ProvisionalEvent | SegmentEvent)
        ]
        assert [received.get(timeout=60) for _ in events] == events
    finally:
        client.disconnect()
        client.loop_stop()
