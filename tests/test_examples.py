"""The examples, as their first lines say how to run them, on the bundled voice."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from pythonosc.osc_message import OscMessage

from emo_listen import EmotionModel, SegmentEvent, WindowEvent, listen
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
