"""Microphone, AudioFile, PcmStream: iterators of float32 blocks at their own rate.

All sound is mono float32 (n_samples,), nominally within -1 to 1. Which block sizes come is the
source's affair; the rest of the runtime gives the same output for any.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from emo_listen.audio import open_audio_file, read_blocks
from emo_listen.errors import AudioInputError, DeviceError

MICROPHONE_LATENCY = 0.2
"""Sound that the device may hold back before a block comes, in seconds."""

MICROPHONE_TIMEOUT = 5.0
"""Time without a block after which a microphone is held to be dead, in seconds."""

MICROPHONE_BACKLOG = 10.0
"""Sound that may wait for the model before new sound is lost, in seconds."""


_FILE_SUFFIXES = {f".{name.casefold()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".oga",
    ".opus",
}
"""Ends of names that mean a sound file even where none has that name."""


@dataclass(frozen=True)
class Gap:
    """Stands among the blocks of a source where sound was lost."""

    seconds: float
    """How much, as far as the clocks tell."""

    reason: Literal["overflow", "device"]
    """`overflow`: the device or this process was too slow; `device`: the device was gone."""


class Source(Protocol):
    """Where sound comes from."""

    live: bool
    """Whether the stream goes on until the listener ends it."""

    sampling_rate: int
    """Rate of the blocks in Hz."""

    def __iter__(self) -> Iterator[NDArray[np.float32] | Gap]:
        """Yield blocks, float32 (n_samples,), and a gap wherever sound was lost."""
        ...


class AudioFile:
    """A file that soundfile reads, at its own rate, its channels mixed down."""

    live = False

    def __init__(self, path: str | Path) -> None:
        """Check that `path` can be read as sound.

        Raises:
            AudioFileError: the file is absent or no sound.
        """
        self._path = Path(path)
        with open_audio_file(path) as file:
            self.sampling_rate: int = file.samplerate

    def __str__(self) -> str:
        return str(self._path)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks, float32 (n_samples,), until the file ends.

        Raises:
            AudioFileError: the file is damaged.
        """
        with open_audio_file(self._path) as file:
            yield from read_blocks(file)


class PcmStream:
    """Raw mono PCM, signed 16-bit little-endian, as `arecord -t raw -f S16_LE` writes it."""

    live = False

    def __init__(self, stream: BinaryIO, sampling_rate: int) -> None:
        """Read from `stream`, which is unbuffered or buffered binary, at a rate in Hz."""
        self._stream = stream
        self.sampling_rate = sampling_rate

    def __str__(self) -> str:
        return f"PCM at {self.sampling_rate} Hz from standard input"

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks, float32 (n_samples,), as they come, until the stream ends."""
        read = getattr(self._stream, "read1", self._stream.read)
        rest = b""
        while data := read(self.sampling_rate):
            data = rest + data
            whole = len(data) - len(data) % 2
            rest = data[whole:]
            if whole:
                samples = np.frombuffer(data[:whole], dtype="<i2")
                yield samples.astype(np.float32) / np.float32(32768)


class Microphone:
    """An input device of PortAudio, at the device's own rate, its first channel."""

    live = True

    def __init__(self, device: int | str | None = None) -> None:
        """Find the device, without opening it.

        Args:
            device: Index, or part of the name; the system's default input where None.

        Raises:
            DeviceError: PortAudio is missing, or no device or more than one is meant.
        """
        self._sounddevice = _import_sounddevice()
        self._index, info = self._find(device)
        self.name: str = info["name"]
        self.sampling_rate = round(info["default_samplerate"])
        self.overflows = 0
        # Unlike Queue, SimpleQueue may be put into by a signal handler that interrupts its get.
        self._blocks: queue.SimpleQueue[tuple[NDArray[np.float32], int] | None]
        self._blocks = queue.SimpleQueue()

    def __str__(self) -> str:
        return self.name

    def stop(self) -> None:
        """End the stream after the sound that has come; callable from a signal handler."""
        self._blocks.put(None)

    def __iter__(self) -> Generator[NDArray[np.float32], None, None]:
        """Yield blocks, float32 (n_samples,), until `stop`; closing the generator ends it too.

        Raises:
            DeviceError: the device cannot be opened, or delivers nothing.
        """
        block_length = round(self.sampling_rate * MICROPHONE_LATENCY / 2)
        backlog = round(MICROPHONE_BACKLOG * self.sampling_rate / block_length)
        losses = 0

        def callback(block: NDArray[np.float32], _frames: int, _time: Any, status: Any) -> None:
            nonlocal losses
            losses += bool(status.input_overflow)
            if self._blocks.qsize() >= backlog:
                losses += 1
            else:
                self._blocks.put((block[:, 0].copy(), losses))

        try:
            with self._sounddevice.InputStream(
                device=self._index,
                samplerate=self.sampling_rate,
                blocksize=block_length,
                channels=1,
                dtype="float32",
                latency=MICROPHONE_LATENCY,
                callback=callback,
            ):
                while (item := self._blocks.get(timeout=MICROPHONE_TIMEOUT)) is not None:
                    block, self.overflows = item
                    yield block
        except self._sounddevice.PortAudioError as error:
            raise DeviceError(
                f"{self.name} cannot be opened ({error}). Is it in use, or access not allowed?"
            ) from error
        except queue.Empty as error:
            raise DeviceError(
                f"{self.name} has delivered no sound for {MICROPHONE_TIMEOUT:g} s: is it "
                "plugged in?"
            ) from error

    def _find(self, device: int | str | None) -> tuple[int, dict[str, Any]]:
        """Index and PortAudio's description of the device that is meant."""
        devices = _input_devices(self._sounddevice)
        if not devices:
            raise DeviceError("no input device: plug in a microphone, or give a sound file")
        if device is None:
            try:
                info = self._sounddevice.query_devices(kind="input")
            except (self._sounddevice.PortAudioError, ValueError) as error:
                raise DeviceError(
                    "the system has no default input: choose one of " + _names(devices)
                ) from error
            return info["index"], info
        if isinstance(device, int):
            if device not in devices:
                raise DeviceError(f"no input device {device}: there are " + _names(devices))
            return device, devices[device]
        named = {
            index: info
            for index, info in devices.items()
            if device.casefold() in info["name"].casefold()
        }
        exact = {i: info for i, info in named.items() if info["name"] == device}
        named = exact or named
        if not named:
            raise DeviceError(
                f"{device!r} is neither a file nor part of an input device's name: there are "
                + _names(devices)
            )
        if len(named) > 1:
            raise DeviceError(
                f"{device!r} is part of several names, give an index: " + _names(named)
            )
        return next(iter(named.items()))


def list_input_devices() -> str:
    """Return a line for each input device: index, name, channels, rate; `*` at the default.

    Raises:
        DeviceError: PortAudio is missing, or there is no input device.
    """
    sounddevice = _import_sounddevice()
    devices = _input_devices(sounddevice)
    if not devices:
        raise DeviceError("no input device: plug in a microphone")
    default = sounddevice.default.device[0]
    return "\n".join(
        f"{'*' if index == default else ' '} {index:3d}  {info['name']}  "
        f"({info['max_input_channels']} channels, {info['default_samplerate']:g} Hz)"
        for index, info in devices.items()
    )


def open_source(
    device: str | int | Path, *, stdin: BinaryIO | None = None, sampling_rate: int = 16000
) -> Source:
    """Open what `--device` names.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of a
            sound file, or `-` for raw 16-bit PCM on `stdin`.
        stdin: Where `-` reads from; the process's standard input where None.
        sampling_rate: Rate of that PCM in Hz.

    Raises:
        AudioFileError: the file is absent or no sound.
        DeviceError: the device is absent or ambiguous, or PortAudio is missing.
    """
    if isinstance(device, int):
        return Microphone(device)
    if isinstance(device, Path):
        return AudioFile(device)
    if device == "mic":
        return Microphone()
    if device == "-":
        stdin = stdin or sys.stdin.buffer
        if stdin.isatty():
            raise AudioInputError(
                "standard input is a terminal: pipe raw 16-bit PCM into it, for example "
                "arecord -t raw -f S16_LE -r 16000 | emo-listen --device -"
            )
        return PcmStream(stdin, sampling_rate)
    if device.isdecimal():
        return Microphone(int(device))
    path = Path(device)
    if path.exists() or len(path.parts) > 1 or path.suffix.casefold() in _FILE_SUFFIXES:
        return AudioFile(path)
    return Microphone(device)


def _import_sounddevice() -> ModuleType:
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            f"{error}; a microphone needs it. Install it with `sudo apt install libportaudio2` "
            "(Debian, Ubuntu, Raspberry Pi OS), `sudo dnf install portaudio` (Fedora) or "
            "`sudo pacman -S portaudio` (Arch)."
        ) from error
    return sounddevice


def _input_devices(sounddevice: ModuleType) -> dict[int, dict[str, Any]]:
    """PortAudio's description of each device that has an input, by index."""
    return {
        info["index"]: info
        for info in sounddevice.query_devices()
        if info["max_input_channels"] > 0
    }


def _names(devices: dict[int, dict[str, Any]]) -> str:
    return ", ".join(f"{index} ({info['name']})" for index, info in devices.items())
