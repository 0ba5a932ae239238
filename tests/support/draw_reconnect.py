"""Make the picture of a lost microphone that comes back, `runtime/pictures/reconnect.svg`.

The bundled sample is played into a virtual microphone, whose server is killed and restarted while
the command runs.

    python tests/support/draw_reconnect.py
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
from rich.console import Console
from rich.text import Text

from emo_listen.audio import load_audio
from emo_listen.samples import SAMPLE
from make_pictures import PICTURES, save
from tests.support.virtual_microphone import RATE, VirtualMicrophone

ABSENCE = 4.0
"""Time without a server, in seconds."""

PORTAUDIO = "Expression '"
"""Start of lines that Debian's PortAudio prints when a device is lost; they are removed."""


def main() -> None:
    """Play, kill the server, restart it, play again; draw the command's output."""
    played = np.round(load_audio(SAMPLE, RATE)[: 6 * RATE] * 32767).astype(np.int16)
    with (
        VirtualMicrophone() as microphone,
        subprocess.Popen(
            [sys.executable, "-u", "-m", "emo_listen.cli", "--format", "text"],
            env={**microphone.capture().environment, "FORCE_COLOR": "1", "COLUMNS": "80"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as command,
    ):
        assert command.stdout
        printed = command.stdout.readline()
        time.sleep(3)
        microphone.play(played)
        microphone.kill()
        time.sleep(ABSENCE)
        microphone.start()
        time.sleep(ABSENCE)
        microphone.play(played)
        time.sleep(2)
        command.send_signal(signal.SIGINT)
        printed += command.communicate()[0]
    lines = [line for line in printed.splitlines() if not line.startswith(PORTAUDIO)]
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(Text.from_ansi(os.linesep.join(["$ emo-listen --format text", *lines])))
    save(console, PICTURES / "reconnect.svg")


if __name__ == "__main__":
    main()
