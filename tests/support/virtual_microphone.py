"""A microphone without hardware: a private PulseAudio server, which can be killed.

`paplay` plays a file into a null sink; a remapped source is the microphone that hears it. The
ALSA `file` plugin between PortAudio and PulseAudio keeps what the device delivered, one file
for each time that it was opened, so that what was captured is known to the sample.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

RATE = 44100
"""Rate of the virtual microphone in Hz, which ALSA's PulseAudio device has by default."""

CHANNELS = 2
"""Channels in which it is opened; both hold the null sink's, where it has only one."""

CAPTURED = "EMO_LISTEN_CAPTURED"
"""Variable of the environment with the path at which ALSA keeps what a process captures."""

DEADLINE = 60.0
"""Seconds after which the server or a command counts as hung; a passing test never waits for it."""


class VirtualMicrophone:
    """The server, how to reach it, and what it has delivered; a context manager."""

    def __init__(self, sink_channels: int = 1, devices: Sequence[bytes] = ()) -> None:
        """Prepare a server; `devices` are names by which ALSA lists the microphone, too."""
        self._sink_channels = sink_channels
        missing = [tool for tool in ("pulseaudio", "pactl", "paplay") if shutil.which(tool) is None]
        if missing:
            pytest.skip(f"{', '.join(missing)} not found: apt install pulseaudio pulseaudio-utils")
        # A folder with a short path, because a socket's may have 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="mic"))
        alsa = self._folder / "asound.conf"
        configuration = (
            "pcm.pulse { type pulse }\n"
            "ctl.pulse { type pulse }\n"
            'pcm.!default { type file slave.pcm "pulse" format "raw" truncate 0 '
            f'file {{ @func getenv vars [ {CAPTURED} ] default "none" }} }}\n'
            "ctl.!default { type pulse }\n"
        )
        others = (
            b'pcm."%s" { type pulse hint { show on description "microphone" } }\n' % name
            for name in devices
        )
        alsa.write_bytes(b"".join([configuration.encode(), *others]))
        self._socket = self._folder / "native"
        self._captures = 0
        self._environment = {
            **os.environ,
            "ALSA_CONFIG_PATH": str(alsa),
            "HOME": str(self._folder),
            "PULSE_SERVER": f"unix:{self._socket}",
            "XDG_RUNTIME_DIR": str(self._folder),
        }
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> VirtualMicrophone:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._socket.unlink(missing_ok=True)
        modules = [
            f"module-native-protocol-unix socket={self._socket} auth-anonymous=1",
            f"module-null-sink sink_name=virt format=s16le rate={RATE} "
            f"channels={self._sink_channels}",
            "module-remap-source master=virt.monitor source_name=vmic",
        ]
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--disable-shm"]
        command += ["--exit-idle-time=-1", *(f"--load={module}" for module in modules)]
        log = self._folder / "log"
        with log.open("w") as file:
            self._server = subprocess.Popen(
                command, env=self._environment, stdout=file, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + DEADLINE
        while self.run("pactl", "list", "short", "sources").returncode != 0:
            if self._server.poll() is not None or time.monotonic() > deadline:
                pytest.fail("PulseAudio does not answer: " + log.read_text())
            time.sleep(0.1)

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def capture(self) -> Capture:
        """Where another process may capture."""
        self._captures += 1
        folder = self._folder / f"capture{self._captures}"
        folder.mkdir()
        return Capture(folder, {**self._environment, CAPTURED: str(folder / "raw")})

    def play(self, samples: NDArray[np.int16]) -> None:
        """Play `samples` into the microphone, and wait until they end.

        They are int16 (n_samples,) or, for a sink with channels, (n_samples, n_channels).
        """
        file = self._folder / "played.wav"
        soundfile.write(file, samples, RATE, subtype="PCM_16")
        playing = self.run("paplay", "--device=virt", file)
        assert playing.returncode == 0, playing.stderr

    def run(
        self, *command: str | bytes | Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that reaches this server, and wait until it ends."""
        return subprocess.run(
            command,
            env={**self.capture().environment, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )


@dataclass(frozen=True)
class Capture:
    """What one process captures from the microphone."""

    folder: Path
    """Where the sound is kept: one file each time the device was opened."""

    environment: dict[str, str]
    """The process's environment, by which it reaches the server."""

    def openings(self) -> list[NDArray[np.float32]]:
        """What the device delivered each time that it was opened, float32 (n_samples,).

        The mean of its channels; not where it was only opened to see whether that works.
        """
        parts = [np.fromfile(file, np.float32) for file in sorted(self.folder.iterdir())]
        whole = [part[: len(part) - len(part) % CHANNELS] for part in parts if len(part)]
        return [part.reshape(-1, CHANNELS).mean(axis=1, dtype=np.float32) for part in whole]

    def delivered(self) -> NDArray[np.float32]:
        """What a device that was opened once has delivered so far, float32 (n_samples,)."""
        openings = self.openings()
        assert len(openings) <= 1
        return openings[0] if openings else np.zeros(0, np.float32)
