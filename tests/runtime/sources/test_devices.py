"""Which device is meant, and in what form it is opened, where PortAudio lists several.

The list is that of a laptop with a USB microphone; `test_microphone.py` has a real one.
"""

from __future__ import annotations

from types import ModuleType

import pytest

from emo_listen.errors import DeviceError
from emo_listen.sources.devices import (
    InputFormat,
    choose_format,
    find_again,
    find_input,
    input_devices,
)


class Refused(Exception):
    """What sounddevice raises."""


class PortAudio(ModuleType):
    """Answers as sounddevice does, of devices that accept certain rates and channels."""

    PortAudioError = Refused

    def __init__(
        self, *names: str, rates: set[int] | None = None, channels: set[int] | None = None
    ):
        super().__init__("sounddevice")
        self.names = names
        self.in_use = False
        self.checks = 0
        self.rates = rates or {48000}
        self.channels = channels or {1, 2}

    def query_hostapis(self, _index: int) -> dict:
        return {"name": "ALSA"}

    def query_devices(self, kind: str | None = None) -> list[dict] | dict:
        devices = [
            {
                "index": index,
                "name": name,
                "hostapi": 0,
                "max_input_channels": max(self.channels),
                "default_samplerate": 44100.0,
            }
            for index, name in enumerate(self.names)
        ]
        return devices[0] if kind else devices

    def check_input_settings(self, *, device: int, channels: int, dtype: str, samplerate: int):
        assert dtype == "float32"
        self.checks += 1
        if self.in_use:
            raise Refused("Device unavailable", -9985)
        if samplerate not in self.rates:
            raise Refused("Invalid sample rate", -9997)
        if channels not in self.channels:
            raise Refused("Invalid number of channels", -9998)


@pytest.mark.parametrize(
    ("rates", "channels", "expected"),
    [
        ({44100, 48000}, {1, 2}, InputFormat(44100, 2)),
        ({48000, 96000}, {1, 2}, InputFormat(48000, 2)),
        ({16000}, {1}, InputFormat(16000, 1)),
        ({44100}, {1, 2, 8}, InputFormat(44100, 2)),
        ({44100}, {6}, InputFormat(44100, 6)),
    ],
)
def test_a_device_is_opened_as_it_accepts(
    rates: set[int], channels: set[int], expected: InputFormat
) -> None:
    portaudio = PortAudio("Microphone", rates=rates, channels=channels)
    (device,) = input_devices(portaudio)
    assert choose_format(portaudio, device) == expected


def test_the_rate_of_a_stream_is_kept_where_a_device_comes_back_with_another() -> None:
    portaudio = PortAudio("Microphone", rates={44100, 48000})
    (device,) = input_devices(portaudio)
    assert choose_format(portaudio, device, 48000) == InputFormat(48000, 2)
    assert choose_format(portaudio, device, 32000) == InputFormat(44100, 2)


def test_a_device_that_accepts_nothing_is_named_with_the_first_reason() -> None:
    portaudio = PortAudio("Microphone", rates={11025})
    (device,) = input_devices(portaudio)
    with pytest.raises(DeviceError, match=r"Microphone cannot be opened .*Invalid sample rate"):
        choose_format(portaudio, device)


def test_no_other_format_is_tried_of_a_device_in_use() -> None:
    portaudio = PortAudio("Microphone")
    (device,) = input_devices(portaudio)
    portaudio.in_use = True
    with pytest.raises(DeviceError, match="Device unavailable"):
        choose_format(portaudio, device)
    assert portaudio.checks == 1


def test_a_device_that_was_plugged_into_another_socket_is_found_again() -> None:
    before = PortAudio("default", "Built-in (hw:0,0)", "USB Audio (hw:1,0)")
    lost = find_input(before, "usb")
    assert lost.index == 2
    after = PortAudio("default", "Webcam (hw:1,0)", "Built-in (hw:0,0)", "USB Audio (hw:2,0)")
    for chosen in ("usb", 2):
        assert find_again(after, lost, chosen).name == "USB Audio (hw:2,0)"
    # The default is whatever is the default now.
    assert find_again(after, find_input(before, None), None).name == "default"
    with pytest.raises(DeviceError):
        find_again(PortAudio("default", "Built-in (hw:0,0)"), lost, 2)


def test_of_two_alike_the_one_at_its_place_is_found_again() -> None:
    portaudio = PortAudio("USB Audio", "USB Audio")
    for index in (0, 1):
        assert find_again(portaudio, find_input(portaudio, index), index).index == index
