"""Which device or file a name means, whatever characters it has and whatever the folder holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.virtual_microphone import VirtualMicrophone

pytestmark = pytest.mark.audio_device

COMMAND = [sys.executable, "-m", "emo_listen.cli"]
DEVICES = (b"USB", b"USB/Front", b"caf\xe9", "Größe".encode())
OPENED = """
import os, sys
from emo_listen.errors import EmoListenError
from emo_listen.sources.open import open_source

os.chdir(sys.argv[1])
for name in sys.argv[2:]:
    try:
        source = open_source(name)
    except EmoListenError as error:
        print(type(error).__name__, error)
    else:
        print(type(source).__name__, source)
"""
HEARD = """
import sys
from emo_listen import EmotionModel, listen

model = EmotionModel.load()
for name in sys.argv[1:]:
    print(next(listen(name, model=model, vad=False, emit="windows")).end)
"""


@pytest.fixture(scope="module")
def microphone() -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone(devices=DEVICES) as virtual:
        yield virtual


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "utf-8"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_any_name_is_listed_on_any_terminal(
    microphone: VirtualMicrophone, environment: dict[str, str]
) -> None:
    listed = microphone.run(*COMMAND, "--list-devices", **environment)
    assert (listed.returncode, listed.stderr) == (0, "")
    names = [line[1:].split()[1] for line in listed.stdout.splitlines()[1:]]
    assert {r"caf\xe9", "USB/Front"} < set(names)
    assert {"Größe", r"Gr\xf6\xdfe"} & set(names)
    unknown = microphone.run(*COMMAND, "--device", "nothing", **environment)
    assert unknown.returncode == 2
    assert "DeviceError: 'nothing' is neither" in unknown.stderr
    assert r"(caf\xe9)" in unknown.stderr


def test_the_doctor_reports_any_name_on_an_ascii_terminal(microphone: VirtualMicrophone) -> None:
    report = microphone.run(*COMMAND, "doctor", PYTHONIOENCODING="ascii")
    assert (report.returncode, report.stderr) == (1, "")  # The microphone is silent.
    assert r"Gr\xf6\xdfe" in report.stdout


def test_any_name_can_be_listened_to(microphone: VirtualMicrophone) -> None:
    names: list[str | bytes] = [b"caf\xe9", r"caf\xe9", "größe", "Gr", "USB/Front", "USB"]
    heard = microphone.run(sys.executable, "-c", HEARD, *names)
    assert (heard.stdout.split(), heard.stderr) == (["1.0"] * len(names), "")


def test_what_stands_in_the_folder_hides_no_device(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    for folder in ("USB", "recordings"):
        (tmp_path / folder).mkdir()
    for file in ("PULSE", "puls"):
        (tmp_path / file).write_text("not sound")
    meant = {
        "USB": "Microphone USB",
        "usb/front": "Microphone USB/Front",
        "Front": "Microphone USB/Front",
        "PULSE": "Microphone pulse",
        "./USB": "AudioFileError USB is a folder: for the sound files in it, run emo-listen",
        "./PULSE": "AudioFileError PULSE cannot be decoded as audio",
        "puls": "AudioFileError puls cannot be decoded as audio",
        "USB/talk": "AudioFileError USB/talk is not a file",
        "recordings": "AudioFileError recordings is a folder",
        "US": "DeviceError 'US' is part of several names, give an index: ",
        "9" * 5000: "DeviceError '999",
        "a" * 5000: "DeviceError 'aaa",
    }
    opened = microphone.run(sys.executable, "-c", OPENED, tmp_path, *meant)
    assert opened.stderr == ""
    for line, start in zip(opened.stdout.splitlines(), meant.values(), strict=True):
        assert line.startswith(start)
