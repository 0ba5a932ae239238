"""PortAudio's input devices: finds one by index or name, and its format."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from io import StringIO
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from emo_listen.errors import DeviceError
from emo_listen.sound.channel_choice import ChannelChoice
from emo_listen.sources.portaudio import import_sounddevice, quiet, readable

MAX_CHANNELS = 2
"""Number of channels used. Some microphones have the voice on only one of two channels, which the
mean of both includes; an interface with eight inputs has most of them empty."""

MAX_SEPARATE = 8
"""Number of channels up to which all of a device's are listened to separately, unless some are
chosen. Devices of sound servers claim 32, 64 or 128, of which most repeat others."""

COMMON_RATES = (48000, 44100, 16000, 32000, 96000)
"""Rates in Hz to try if a device refuses its default, the most common first."""

RETRY_WITH_OTHER_FORMAT = (-9997, -9998, -9999)
"""PortAudio's error codes for an invalid rate, an invalid number of channels, and a host error that
may mean either. After other errors, such as a device in use, no other format is tried."""

TABLE_WIDTH = 80
"""Width of `list_input_devices` in characters; longer names are wrapped."""

NO_DEVICE = "no input device: plug in a microphone, or give a file, as in emo-listen talk.wav"


@dataclass(frozen=True)
class InputDevice:
    """An input device in PortAudio's list."""

    index: int
    """Index in the list, which changes when devices are plugged or unplugged."""

    name: str
    """Name of the device in the system."""

    host_api: str
    """Audio interface of the system: ALSA, Core Audio, Windows WASAPI ..."""

    max_channels: int
    """Number of input channels."""

    default_rate: int
    """Default sampling rate, in Hz."""


@dataclass(frozen=True)
class InputFormat:
    """Format in which to open a device."""

    sampling_rate: int
    """Sampling rate, in Hz."""

    channels: int
    """Number of channels to open, of which the first are used."""


def input_devices(sounddevice: ModuleType) -> list[InputDevice]:
    """Return all input devices, ordered by index."""
    return [
        _described(sounddevice, info)
        for info in sounddevice.query_devices()
        if info["max_input_channels"] > 0
    ]


def default_input(sounddevice: ModuleType) -> InputDevice | None:
    """Return the system's default input, or None if there is none."""
    try:
        return _described(sounddevice, sounddevice.query_devices(kind="input"))
    except (sounddevice.PortAudioError, ValueError):
        return None


def find_input(sounddevice: ModuleType, device: int | str | None) -> InputDevice:
    """Find a device by index or name.

    Args:
        sounddevice: Result of `import_sounddevice`.
        device: Index, or part of the name; the system's default input if None.

    Raises:
        DeviceError: No device or several match.
    """
    devices = input_devices(sounddevice)
    if not devices:
        raise DeviceError("; ".join([NO_DEVICE, *_hints()]))
    if device is None:
        if (default := default_input(sounddevice)) is None:
            raise DeviceError(f"the system has no default input: {_choose(devices)}")
        return default
    if isinstance(device, int):
        for each in devices:
            if each.index == device:
                return each
        raise DeviceError(f"no input device {device}: {_choose(devices)}")
    named = _named(devices, device)
    if not named:
        raise DeviceError(
            f"'{readable(device)}' is neither a file nor part of an input device's name: "
            + _choose(devices)
        )
    if len(named) > 1:
        raise DeviceError(
            f"'{readable(device)}' is part of several names, give an index: {_choose(named)}"
        )
    return named[0]


def is_input(device: str, *, whole_name: bool) -> bool:
    """Return whether `device` is a name, or part of one, of an input device."""
    try:
        named = _named(input_devices(import_sounddevice()), device)
    except DeviceError:
        return False
    name = readable(device).casefold()
    return any(not whole_name or each.name.casefold() == name for each in named)


def find_again(sounddevice: ModuleType, lost: InputDevice, device: int | str | None) -> InputDevice:
    """Find a lost device in the current list, in which its index may have changed.

    Args:
        sounddevice: Result of `import_sounddevice`.
        lost: The device before it was lost.
        device: How it was chosen; after an index, it is found by its name.

    Raises:
        DeviceError: It is not in the list.
    """
    if device is None:
        return find_input(sounddevice, None)
    same = [each for each in input_devices(sounddevice) if each.name == lost.name]
    if same:
        # Of several with that name, the one nearest its old index.
        return min(same, key=lambda each: abs(each.index - lost.index))
    # ALSA's names end with a card number, which changes with the socket: "USB Audio (hw:1,0)".
    name = device if isinstance(device, str) else lost.name.rpartition(" (hw:")[0] or lost.name
    return find_input(sounddevice, name)


def choose_format(
    sounddevice: ModuleType,
    device: InputDevice,
    preferred_rate: int | None = None,
    wanted: int = MAX_CHANNELS,
) -> InputFormat:
    """Return the best format that a device accepts: its default rate, and the wanted channels.

    Args:
        sounddevice: Result of `import_sounddevice`.
        device: The device, which is opened briefly.
        preferred_rate: Sampling rate in Hz to try first.
        wanted: Number of channels to open if possible.

    Raises:
        DeviceError: It accepts no format; the message says why its default was refused.
    """
    rates = dict.fromkeys(
        rate for rate in (preferred_rate, device.default_rate, *COMMON_RATES) if rate
    )
    channels = dict.fromkeys([min(wanted, device.max_channels), 1, device.max_channels])
    if wanted > MAX_CHANNELS:
        channels = dict.fromkeys([min(wanted, device.max_channels), device.max_channels])
    refusals = []
    for rate, count in product(rates, channels):
        try:
            with quiet():
                sounddevice.check_input_settings(
                    device=device.index, channels=count, dtype="float32", samplerate=rate
                )
            return InputFormat(rate, count)
        except sounddevice.PortAudioError as error:
            refusals.append(error)
            if error.args[1] not in RETRY_WITH_OTHER_FORMAT:
                break
    raise cannot_be_opened(device, refusals[0]) from refusals[0]


def wanted_channels(device: InputDevice, choice: ChannelChoice) -> int:
    """Return how many of a device's channels to use, for the channels to listen to.

    Raises:
        DeviceError: The device lacks a chosen channel.
    """
    if choice == "mix":
        return MAX_CHANNELS
    if choice == "separate":
        n_channels = device.max_channels
        return n_channels if n_channels <= MAX_SEPARATE else MAX_CHANNELS
    last = max(int(channel) for channel in choice)
    if last > device.max_channels:
        raise DeviceError(
            f"{device.name} has no channel {last}, only {device.max_channels}: choose others with "
            "--channels"
        )
    return last


def cannot_be_opened(device: InputDevice, reason: Exception) -> DeviceError:
    """Return the error for a device that PortAudio does not open."""
    return DeviceError(
        f"{device.name} cannot be opened ({reason}). Is it in use, or access denied? Check which "
        "devices open: emo-listen --list-devices"
    )


def list_input_devices() -> str:
    """Return a table of the input devices, with `*` for the default and whether each one opens.

    Raises:
        DeviceError: PortAudio is missing, or there is no input device.
    """
    sounddevice = import_sounddevice()
    devices = input_devices(sounddevice)
    if not devices:
        raise DeviceError("; ".join([NO_DEVICE, *_hints()]))
    default = default_input(sounddevice)
    table = _table()
    refusals = []
    for device in devices:
        opens = "yes"
        try:
            found = choose_format(sounddevice, device)
            if found.sampling_rate != device.default_rate:
                opens = f"{found.sampling_rate} Hz"
        except DeviceError as error:
            opens = "no"
            refusals.append(f"{device.index}: {error}")
        table.add_row(
            "*" if device == default else "",
            str(device.index),
            Text(device.name),
            device.host_api,
            str(device.max_channels),
            str(device.default_rate),
            opens,
        )
    return "\n".join([*_rendered(table), *refusals, *_hints()])


def _named(devices: list[InputDevice], device: str) -> list[InputDevice]:
    """Return the devices with this name, or else those whose name contains it."""
    name = readable(device)
    named = [each for each in devices if name.casefold() in each.name.casefold()]
    return [each for each in named if each.name == name] or named


def _described(sounddevice: ModuleType, info: dict[str, Any]) -> InputDevice:
    return InputDevice(
        index=info["index"],
        name=info["name"],
        host_api=sounddevice.query_hostapis(info["hostapi"])["name"],
        max_channels=info["max_input_channels"],
        default_rate=round(info["default_samplerate"]),
    )


def _choose(devices: list[InputDevice]) -> str:
    """Return a request to choose one of these devices."""
    names = ", ".join(f"{device.index} ({device.name})" for device in devices)
    return f"there are {names}. For example: emo-listen --device {devices[0].index}"


def _table() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", width=1)
    table.add_column("index", justify="right", no_wrap=True)
    table.add_column("name", min_width=16)
    table.add_column("host API", no_wrap=True)
    table.add_column("channels", justify="right", no_wrap=True)
    table.add_column("Hz", justify="right", no_wrap=True)
    table.add_column("opens", no_wrap=True)
    return table


def _rendered(table: Table) -> list[str]:
    """Return the lines of a table; long names take several."""
    output = StringIO()
    Console(width=TABLE_WIDTH, file=output, color_system=None).print(table)
    return [line.rstrip() for line in output.getvalue().splitlines()]


def _hints() -> list[str]:
    """Return hints if PortAudio cannot reach the Linux sound server in use."""
    names = {device.name for device in input_devices(import_sounddevice())}
    if not sys.platform.startswith("linux") or names & {"pulse", "pipewire", "default"}:
        return []
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    if (runtime / "pipewire-0").exists():
        server, package = "PipeWire", "pipewire-alsa"
    elif "PULSE_SERVER" in os.environ or (runtime / "pulse" / "native").exists():
        server, package = "PulseAudio", "libasound2-plugins"
    else:
        return []
    return [f"PortAudio does not reach {server}: is it running, and {package} installed?"]
