"""PortAudio captures a virtual microphone: a PulseAudio server of our own, without hardware.

`paplay` plays a file into a null sink; a remapped source is the microphone that hears it. The
ALSA `file` plugin between PortAudio and PulseAudio keeps what the device delivered, so that
what was captured is known to the sample.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen.audio import load_audio

pytestmark = pytest.mark.audio_device

COMMAND = [sys.executable, "-m", "emo_listen.cli"]
RATE = 44100
"""Rate of the virtual microphone in Hz, which ALSA's PulseAudio device has by default."""


def events(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


@dataclass(frozen=True)
class VirtualMicrophone:
    """How to reach the server, and where the captured sound is kept."""

    environment: dict[str, str]
    captured: Path

    def delivered(self, output: str) -> np.ndarray:
        """What the device has delivered up to the end of the last line of `output`."""
        return np.fromfile(self.captured, np.float32)[: round(events(output)[-1]["end"] * RATE)]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def microphone() -> Iterator[VirtualMicrophone]:
    missing = [tool for tool in ("pulseaudio", "pactl", "paplay") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt install pulseaudio pulseaudio-utils")
    # A folder with a short path, because a socket's may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="mic") as name:
        folder = Path(name)
        socket, captured = folder / "native", folder / "captured.raw"
        alsa = folder / "asound.conf"
        alsa.write_text(
            "pcm.pulse { type pulse }\n"
            "ctl.pulse { type pulse }\n"
            f'pcm.!default {{ type file slave.pcm "pulse" file "{captured}" format "raw" }}\n'
            "ctl.!default { type pulse }\n"
        )
        microphone = VirtualMicrophone(
            {
                **os.environ,
                "ALSA_CONFIG_PATH": str(alsa),
                "HOME": name,
                "PULSE_SERVER": f"unix:{socket}",
                "XDG_RUNTIME_DIR": name,
            },
            captured,
        )
        modules = [
            f"module-native-protocol-unix socket={socket} auth-anonymous=1",
            f"module-null-sink sink_name=virt format=s16le rate={RATE} channels=1",
            "module-remap-source master=virt.monitor source_name=vmic",
        ]
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--disable-shm"]
        command += ["--exit-idle-time=-1", *(f"--load={module}" for module in modules)]
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(command, env=microphone.environment, stdout=log, stderr=log) as server,
        ):
            try:
                while microphone.run("pactl", "list", "short", "sources").returncode != 0:
                    if server.poll() is not None:
                        pytest.fail("PulseAudio ended: " + (folder / "log").read_text())
                    time.sleep(0.1)
                yield microphone
            finally:
                server.terminate()


def test_labels_streamed_from_the_microphone_are_those_of_the_file(
    microphone: VirtualMicrophone, sample_file: Path, tmp_path: Path
) -> None:
    played = np.round(load_audio(sample_file, RATE)[: 6 * RATE] * 32767).astype(np.int16)
    file = tmp_path / "speech.wav"
    soundfile.write(file, played, RATE, subtype="PCM_16")

    with subprocess.Popen(
        [*COMMAND, "--device", "mic"],
        env=microphone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stderr
        output = process.stdout.readline()
        assert output, process.stderr.read()
        playing = microphone.run("paplay", "--device=virt", file)
        assert playing.returncode == 0, playing.stderr
        sound = np.flatnonzero(played)
        heard = np.zeros(0, np.int64)
        while len(heard) == 0 or heard[-1] - heard[0] < sound[-1] - sound[0]:
            output += process.stdout.readline()
            assert output.count("\n") < 100, "the file that was played is not heard"
            heard = np.flatnonzero(microphone.delivered(output))
        process.send_signal(signal.SIGINT)
        output += process.stdout.read()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")
    streamed = events(output)

    # What was captured, up to the last sample reported, is silence, the file, silence.
    captured = microphone.delivered(output)
    assert len(captured) == round(streamed[-1]["end"] * RATE)
    start = heard[0] - sound[0]
    expected = np.zeros(len(captured), np.float32)
    expected[start : start + len(played)] = played / np.float32(32768)
    np.testing.assert_array_equal(captured, expected)

    # So the same file, after as much silence, gives the same lines to the last digit.
    padded = tmp_path / "padded.wav"
    soundfile.write(padded, expected, RATE, subtype="FLOAT")
    result = microphone.run(*COMMAND, "--device", padded)
    assert streamed == events(result.stdout)
    assert len(streamed) > 12


def test_devices_are_listed_and_found_by_name(microphone: VirtualMicrophone) -> None:
    listed = microphone.run(*COMMAND, "--list-devices")
    assert listed.returncode == 0
    (default,) = [line for line in listed.stdout.splitlines() if line.startswith("*")]
    assert "default" in default
    assert "pulse" in listed.stdout
    ambiguous = microphone.run(*COMMAND, "--device", "L")
    assert ambiguous.returncode == 2
    assert "DeviceError: 'L' is part of several names, give an index: " in ambiguous.stderr
    for absent in ("USB", "9999"):
        result = microphone.run(*COMMAND, "--device", absent)
        assert result.returncode == 2
        assert "DeviceError: " in result.stderr
        assert "pulse" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("by", ["index", "name"])
def test_a_device_can_be_chosen(microphone: VirtualMicrophone, by: str) -> None:
    listed = microphone.run(*COMMAND, "--list-devices").stdout
    (line,) = [line for line in listed.splitlines() if "pulse" in line]
    device = "PULS" if by == "name" else line.split()[0]
    with subprocess.Popen(
        [*COMMAND, "--device", device],
        env=microphone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr
        assert json.loads(process.stdout.readline())["end"] == 1
        process.terminate()
        process.stdout.read()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_sound_lost_to_a_slow_listener_is_reported(microphone: VirtualMicrophone) -> None:
    code = """
import time
from emo_listen import OverflowEvent, listen, sources
sources.MICROPHONE_BACKLOG = 0.5
for event in listen("mic"):
    if isinstance(event, OverflowEvent):
        print(event.type, event.time, event.count)
        break
    time.sleep(1.5)
"""
    result = microphone.run(sys.executable, "-c", code)
    kind, seconds, count = result.stdout.split()
    assert kind == "overflow"
    assert 1 < float(seconds) < 3
    assert int(count) >= 1


def test_a_server_that_is_gone_is_a_named_error(microphone: VirtualMicrophone) -> None:
    environment = {**microphone.environment, "PULSE_SERVER": "unix:/nowhere"}
    result = subprocess.run(
        [*COMMAND, "--device", "mic"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2
    assert "DeviceError: " in result.stderr
    assert "Traceback" not in result.stderr


def test_the_demo_listens_where_a_microphone_answers(microphone: VirtualMicrophone) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "emo_listen.demo"],
        env=microphone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert line.split()[:4] == ["0.0", "-", "1.0", "s"]
    assert errors.startswith("Listening to default with ")
