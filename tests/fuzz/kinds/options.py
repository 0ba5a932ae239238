"""Options of `emo-listen`, on a short file."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from random import Random

import soundfile

from emo_listen import cli
from tests.fuzz.checks import RATE, SOUND
from tests.fuzz.kinds.model_json import prepare as prepare_model
from tests.fuzz.mutations import NUMBERS, STRINGS

RUN = ("--window", "--hop", "--threads", "--rate", "--channels", "--emit", "--format", "--baseline")
"""Options with which a file is heard."""

PARSED = ("--osc", "--websocket")
"""Options that are read alone: they would reach for the network."""


def prepare(folder: Path) -> None:
    """Make a model and a sound file."""
    prepare_model(folder)
    soundfile.write(folder / "sound.wav", SOUND, RATE)


def attempt(random: Random, folder: Path) -> str:
    """Give one to three options odd values."""
    if random.random() < 0.3:
        host = random.choice([*STRINGS, "a" * 64, "a." * 200 + "a", "[::1]", "..", "localhost"])
        return _parse([random.choice(PARSED), f"{host}:{_value(random)}"])
    command = ["--device", str(folder / "sound.wav"), "--model", str(folder), "--no-vad"]
    for _ in range(random.choice([1, 2, 3])):
        command.append(f"{random.choice(RUN)}={_value(random)}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()) as told:
        code: object
        try:
            code = cli.main(command)
        except SystemExit as end:
            code = end.code
    if code == 0:
        if not any(o.startswith("--format=") for o in command):
            for line in printed.getvalue().splitlines():
                json.loads(line, parse_constant=_refuse)
        return "taken"
    assert code == 2, (code, command)
    assert told.getvalue(), command
    assert not printed.getvalue(), command
    return "refused"


def _value(random: Random) -> str:
    fitting = ["0.05", "0.1", "1", "2", "60", "16000", "all", "windows", "text", "csv", "off"]
    return str(random.choice([*NUMBERS, *STRINGS, *fitting * 8])).replace("\0", "")


def _parse(command: list[str]) -> str:
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.parse_args([part.replace("\0", "") for part in command])
        except SystemExit as end:
            assert end.code == 2
            return "refused"
    return "taken"


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
