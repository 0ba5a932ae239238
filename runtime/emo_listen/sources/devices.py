"""The input devices that PortAudio finds: which one is meant, and what it can deliver."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from emo_listen.errors import DeviceError
from emo_listen.sources.portaudio import import_sounddevice, quiet, readable

MAX_CHANNELS = 2
"""Channels that are listened to. Some microphones have the voice on one of two channels only, and
their mean never misses it; of an interface with eight inputs, most are empty."""

COMMON_RATES = (48000, 44100, 16000, 32000, 96000)
"""Rates in Hz tried where a device refuses its default, the most usual first."""

OTHER_FORMATS_MAY_DO = (-9997, -9998, -9999)
"""PortAudio's codes for an invalid rate, an invalid number of channels, and an error of the host
that may be about either; after any other, as for a device in use, no other format is tried."""

TABLE_WIDTH = 80
"""Characters that a line of `list_input_devices` has, unless more than the name is long."""

NO_DEVICE = "no input device: plug in a microphone, or give a sound file, as in emo-listen talk.wav"


@dataclass(frozen=True)
class InputDevice:
    """One entry of PortAudio's list."""

    index: int
    """Place in the list, which changes when devices come and go."""

    name: str
    """Name as the system gives it."""

    host_api: str
    """The system's interface that it belongs to: ALSA, Core Audio, Windows WASAPI ..."""

    max_channels: int
    """Channels that it has."""

    default_rate: int
    """The rate that it prefers, in Hz."""


@dataclass(frozen=True)
class InputFormat:
    """In what form a device delivers sound."""

    sampling_rate: int
    """Rate in Hz."""

    channels: int
    """Channels to open; no more than `MAX_CHANNELS` of them are listened to."""


def input_devices(sounddevice: ModuleType) -> list[InputDevice]:
    """Return all devices with an input, in the order of their indices."""
    return [
        _described(sounddevice, info)
        for info in sounddevice.query_devices()
        if info["max_input_channels"] > 0
    ]


def default_input(sounddevice: ModuleType) -> InputDevice | None:
    """Return the system's default input, or None where it has none."""
    try:
        return _described(sounddevice, sounddevice.query_devices(kind="input"))
    except (sounddevice.PortAudioError, ValueError):
        return None


def find_input(sounddevice: ModuleType, device: int | str | None) -> InputDevice:
    """Find the device that is meant.

    Args:
        sounddevice: What `import_sounddevice` returns.
        device: Index, or part of the name; the system's default input where None.

    Raises:
        DeviceError: no device or more than one is meant.
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
    """Return whether an input device has this name, or a part of it; False without PortAudio."""
    try:
        named = _named(input_devices(import_sounddevice()), device)
    except DeviceError:
        return False
    name = readable(device).casefold()
    return any(not whole_name or each.name.casefold() == name for each in named)


def find_again(sounddevice: ModuleType, lost: InputDevice, device: int | str | None) -> InputDevice:
    """Find the device that was lost in a new list, where its index may be another.

    Args:
        sounddevice: What `import_sounddevice` returns.
        lost: The device as it was.
        device: How it was chosen: an index counts for the name it then had.

    Raises:
        DeviceError: it is not there.
    """
    if device is None:
        return find_input(sounddevice, None)
    same = [each for each in input_devices(sounddevice) if each.name == lost.name]
    if same:
        # Of two alike, the one at its old place.
        return min(same, key=lambda each: abs(each.index - lost.index))
    # ALSA's names end in a card number, which changes with the socket: "USB Audio (hw:1,0)".
    name = device if isinstance(device, str) else lost.name.rpartition(" (hw:")[0] or lost.name
    return find_input(sounddevice, name)


def choose_format(
    sounddevice: ModuleType, device: InputDevice, preferred_rate: int | None = None
) -> InputFormat:
    """Return the best format that a device accepts: its own rate, two channels if it has them.

    Args:
        sounddevice: What `import_sounddevice` returns.
        device: The device, which this opens for a moment.
        preferred_rate: Rate in Hz to try before its own.

    Raises:
        DeviceError: it accepts none; the message tells why its own was refused.
    """
    rates = dict.fromkeys(
        rate for rate in (preferred_rate, device.default_rate, *COMMON_RATES) if rate
    )
    channels = dict.fromkeys([min(MAX_CHANNELS, device.max_channels), 1, device.max_channels])
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
            if error.args[1] not in OTHER_FORMATS_MAY_DO:
                break
    raise cannot_be_opened(device, refusals[0]) from refusals[0]


def cannot_be_opened(device: InputDevice, reason: Exception) -> DeviceError:
    """Make the error that tells why PortAudio does not open a device."""
    return DeviceError(
        f"{device.name} cannot be opened ({reason}). Is it in use, or access not allowed? Which "
        "devices open: emo-listen --list-devices"
    )


def list_input_devices() -> str:
    """Return a table of the input devices: `*` at the default, and whether each one opens.

    Raises:
        DeviceError: PortAudio is missing, or there is no input device.
    """
    sounddevice = import_sounddevice()
    devices = input_devices(sounddevice)
    if not devices:
        raise DeviceError("; ".join([NO_DEVICE, *_hints()]))
    default = default_input(sounddevice)
    rows = [("", "index", "name", "host API", "channels", "Hz", "opens")]
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
        rows.append(
            (
                "*" if device == default else "",
                str(device.index),
                device.name,
                device.host_api,
                str(device.max_channels),
                str(device.default_rate),
                opens,
            )
        )
    return "\n".join([*_table(rows), *refusals, *_hints()])


def _named(devices: list[InputDevice], device: str) -> list[InputDevice]:
    """Those with this name, or where there are none, those with this part of a name."""
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
    """Ask to choose one of these."""
    names = ", ".join(f"{device.index} ({device.name})" for device in devices)
    return f"there are {names}. For example: emo-listen --device {devices[0].index}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines with a column for each entry; the name's is shortened to what the width leaves."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[0] = 1
    others = sum(widths) - widths[2] + 2 * (len(widths) - 1)
    widths[2] = min(widths[2], max(16, TABLE_WIDTH - others))
    lines = []
    for row in rows:
        name = row[2] if len(row[2]) <= widths[2] else row[2][: widths[2] - 1] + "…"
        cells = [
            row[0].ljust(widths[0]),
            row[1].rjust(widths[1]),
            name.ljust(widths[2]),
            row[3].ljust(widths[3]),
            row[4].rjust(widths[4]),
            row[5].rjust(widths[5]),
            row[6],
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _hints() -> list[str]:
    """Say what may be missing where a Linux sound server is in use that PortAudio cannot reach."""
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
