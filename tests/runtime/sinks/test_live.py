"""The live view: its content at several sizes, and its effect on a real terminal."""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pyte
import pytest
import soundfile
from rich.console import Console

from emo_listen import (
    EmotionModel,
    Event,
    GapEvent,
    ProvisionalEvent,
    SegmentEvent,
    StatusEvent,
    WarningEvent,
    WindowEvent,
    listen,
)
from emo_listen.audio import load_audio
from emo_listen.sinks.live_view import STALLED_SECONDS, LanesView, LiveState, LiveView
from tests.support.virtual_microphone import RATE, VirtualMicrophone

LABELS = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
SCORES = dict(zip(LABELS, [0.05, 0.03, 0.02, 0.71, 0.13, 0.06], strict=True))
TITLE = "A Microphone · hubert-compact"


def status(time: float, *, speech: bool = True, level: float = -24.0) -> StatusEvent:
    return StatusEvent(time=time, level=level, speech=speech, load=0.06, latency=0.031)


def provisional(start: float, end: float) -> ProvisionalEvent:
    return ProvisionalEvent(start=start, end=end, label="happiness", confidence=0.71, scores=SCORES)


def segment(start: float, end: float) -> SegmentEvent:
    return SegmentEvent(start=start, end=end, label="happiness", confidence=0.71, scores=SCORES)


def after(*events: Event) -> LiveState:
    state = LiveState()
    for event in events:
        state = state.after(event)
    return state


def drawn(state: LiveState, width: int = 80, height: int = 24, stalled: float = 0.0) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(LiveView(state, TITLE, LABELS, stalled))
    return console.export_text().splitlines()


def test_speech_is_shown() -> None:
    lines = drawn(after(status(750.0), provisional(749.1, 751.0), status(751.5)))
    assert len(lines) == 10
    assert lines[0].startswith(TITLE) and lines[0].endswith(" 0:12:31")
    assert "-24 dB  ● speech" in lines[1]
    meter = lines[1][11 : lines[1].index(" dB") - 5]
    assert meter.count("━") == round(0.6 * len(meter))  # -24 dB of -60 to 0.
    assert lines[2].split() == ["now", "happiness", "71%", "for", "2.4", "s"]
    for line, (label, score) in zip(lines[3:9], SCORES.items(), strict=True):
        assert line.split()[0] == label and line.endswith(f"{score:.0%}")
        assert line.count("━") == round(score * (line.count("━") + line.count("─")))
    assert lines[9].startswith("latency 31 ms  load 6%  overflows 0  gaps 0")


def test_without_speech_no_label_is_shown() -> None:
    lines = drawn(after(provisional(0, 2), segment(0, 2), status(3.0, speech=False)))
    assert "○ no speech" in lines[1]
    assert lines[2].split() == ["now", "-"]
    assert all(line.endswith(" -") and "━" not in line for line in lines[3:9])
    # A pause does not end a segment.
    lines = drawn(after(provisional(0, 2), status(2.3, speech=False)))
    assert lines[2].split()[:2] == ["now", "happiness"]
    assert lines[6].endswith("71%")


def test_the_view_says_listening_before_the_first_label() -> None:
    assert drawn(after(status(0.3)))[2].split() == ["now", "listening…"]
    # Also before the next turn.
    events = (status(0.3), provisional(0, 2), segment(0, 2), status(3.0, speech=False), status(4.0))
    assert drawn(after(*events))[2].split() == ["now", "listening…"]


def test_windows_update_the_bars() -> None:
    window = WindowEvent(
        start=0,
        end=3,
        label="uncertain",
        confidence=0.5,
        scores={**SCORES, "anger": 0.5, "happiness": 0.26},
    )
    lines = drawn(after(status(3.0), provisional(0, 2), window))
    assert lines[3].endswith("50%") and lines[6].endswith("26%")


def test_the_baseline_is_shown_once_it_has_speech() -> None:
    assert "baseline" not in drawn(after(status(3.0), provisional(0, 2)))[-1]
    known = dataclasses.replace(provisional(0, 2), baseline_seconds=41.6)
    assert "  baseline 42 s  " in drawn(after(status(3.0), known, status(3.1)))[-1]


def test_losses_and_warnings_are_shown() -> None:
    clipped = WarningEvent(time=8.0, seconds=5.0, reason="clipped")
    state = after(
        status(5.0),
        GapEvent(time=5.0, seconds=3.2, reason="device"),
        GapEvent(time=6.0, seconds=0.3, reason="overflow"),
        clipped,
        status(9.0),
    )
    lines = drawn(state)
    assert "overflows 1  gaps 1  lost 3.5 s" in lines[-2]
    assert lines[-1] == "input clipping for 5 s: turn the microphone down"
    assert len(drawn(state.after(status(30.0)))) == len(lines) - 1  # The warning has expired.


def test_a_stalled_source_is_shown() -> None:
    assert "waiting for sound" in drawn(LiveState())[1]
    assert "no sound" not in drawn(after(status(1.0)), stalled=STALLED_SECONDS)[1]
    assert "no sound for 4 s" in drawn(after(status(1.0)), stalled=4.2)[1]


@pytest.mark.parametrize("width", [200, 80, 60, 40, 24])
@pytest.mark.parametrize("height", [50, 24, 10])
def test_the_view_fits_every_terminal_size(width: int, height: int) -> None:
    warning = WarningEvent(time=750.0, seconds=12.0, reason="silent")
    gap = GapEvent(time=700.0, seconds=3.2, reason="device")
    lines = drawn(after(status(750.0), provisional(700, 750), gap, warning), width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height - 4  # There is room for segments above it.
    assert any("happ" in line for line in lines)
    assert len(lines) == (11 if height >= 24 else 5)


def test_segments_and_the_cursor_stay_on_the_terminal(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    segments = [e for e in listen(sample_file, model=bundled_model) if e.type == "segment"]
    code = (
        "from rich.console import Console; from emo_listen import EmotionModel, listen\n"
        "from emo_listen.sinks.live import LiveSink\n"
        "model = EmotionModel.load()\n"
        "sink = LiveSink(Console(), title='a voice', labels=model.labels,"
        " possible_labels=model.labels)\n"
        "try:\n"
        f"    for e in listen({str(sample_file)!r}, model=model, emit='all', status=True):\n"
        "        sink.write(e)\n"
        "    raise KeyboardInterrupt\n"
        "except KeyboardInterrupt: sink.close()\n"
    )
    with Terminal([sys.executable, "-c", code], dict(os.environ)) as terminal:
        terminal.read_to_end()
    assert b"\x1b[2J" not in terminal.sent  # The screen is never cleared as a whole.
    assert b"latency" in terminal.sent
    assert not terminal.screen.cursor.hidden
    for line, event in zip(terminal.lines(), segments, strict=True):
        assert line.split()[:3] == [f"{event.start:.1f}", "-", f"{event.end:.1f}"]


@pytest.mark.audio_device
def test_the_view_survives_a_lost_microphone(sample_file: Path, tmp_path: Path) -> None:
    voice = tmp_path / "voice.wav"
    soundfile.write(voice, load_audio(sample_file, RATE)[: 6 * RATE], RATE)
    with VirtualMicrophone() as microphone:
        command = [sys.executable, "-m", "emo_listen.cli"]
        with Terminal(command, microphone.capture().environment) as terminal:
            terminal.read_until("no speech")
            assert microphone.run("paplay", "--device=virt", voice).returncode == 0
            terminal.read_until("%  ━")  # A segment's bar comes after its confidence.
            microphone.kill()
            terminal.read_until("default is lost: trying to reopen it")
            terminal.read_until("no sound for")
            microphone.start()
            terminal.read_until("s of sound: the device was unavailable")
            terminal.read_until("gaps 1")
            shown = terminal.lines()
            assert [line.startswith("latency") for line in shown].count(True) == 1
            assert shown[-10].startswith("default · hubert-compact")
            terminal.process.send_signal(signal.SIGINT)
            terminal.read_to_end()
    lines = terminal.lines()
    assert lines == shown[:-10]
    assert [line for line in lines if "neutral" in line]
    assert not terminal.screen.cursor.hidden


class Terminal:
    """Runs a command on a terminal of 80 columns and 24 rows; a context manager."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.screen = pyte.Screen(80, 24)
        self.sent = b""
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            command, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm-256color"}
        )
        os.close(theirs)
        self._timer = threading.Timer(120, self.process.kill)
        self._timer.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def lines(self) -> list[str]:
        """Return the visible lines that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def read_until(self, pattern: str) -> None:
        """Wait until a visible line matches a regular expression."""
        while not any(re.search(pattern, line) for line in self.lines()):
            assert self._read(), "\n".join([f"no {pattern!r}:", *self.lines()])

    def read_to_end(self) -> None:
        """Wait until the command has ended without error."""
        while self._read():
            pass
        assert self.process.wait() == 0

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False  # On Linux: the other end is closed.
        self.sent += data
        self._stream.feed(data)
        return bool(data)


def test_separate_channels_have_lanes() -> None:
    states = {
        1: after(dataclasses.replace(status(12.0), channel=1), provisional(10.0, 11.0)),
        2: after(status(12.0, speech=False, level=-55.0)),
    }
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=False)
    console.print(
        LanesView(states, after(GapEvent(time=1, seconds=2, reason="device")), TITLE, LABELS)
    )
    output = console.file.getvalue()  # type: ignore[attr-defined]
    lines = output.rstrip("\n").split("\n")
    assert all(len(line) <= 80 for line in lines)
    assert TITLE in lines[0]
    assert lines[1].startswith(" 1  level") and "speech" in lines[1]
    assert "happiness  71%" in lines[2]
    assert lines[3].startswith(" 2  level") and "no speech" in lines[3]
    assert "gaps 1" in lines[5] and "lost 2.0 s" in lines[5]
