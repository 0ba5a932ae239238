"""A microphone as a source. It reports lost audio, and reopens a device that was lost."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.errors import DeviceError
from emo_listen.sound.channel_choice import ChannelChoice, check_channels
from emo_listen.sound.mixing import MixDown
from emo_listen.sources.base import Gap
from emo_listen.sources.devices import (
    InputDevice,
    InputFormat,
    cannot_be_opened,
    choose_format,
    find_again,
    find_input,
    wanted_channels,
)
from emo_listen.sources.overflow import Arrival, OverflowWatch
from emo_listen.sources.portaudio import import_sounddevice, quiet, without_messages

MICROPHONE_LATENCY = 0.2
"""Latency requested from the device, in seconds."""

MICROPHONE_TIMEOUT = 5.0
"""Time without a block after which a microphone is considered lost, in seconds."""

MICROPHONE_BACKLOG = 10.0
"""Audio that can wait in the queue before new audio is dropped, in seconds."""

FIRST_RETRY = 0.5
"""Time from the loss of a device to the first attempt to reopen it, in seconds; it doubles with
each attempt."""

MAX_RETRY = 10.0
"""Longest time between attempts, in seconds."""

_log = logging.getLogger(__name__)

_portaudio = threading.RLock()
"""Held while PortAudio opens or closes a stream or restarts, which is not thread-safe."""

_open_streams: set[_Stream] = set()
"""The open streams, all of which would end if PortAudio were restarted."""


class Microphone:
    """The first channels of a PortAudio input device, at the device's own rate: two if mixed.

    If the device is lost (unplugged, its sound server restarted), a warning is logged, and it is
    reopened as soon as it is back. PortAudio finds a returned device only after a restart, which
    ends all other sounddevice streams of the process; it does not restart while another
    `Microphone` is open.
    """

    live = True

    def __init__(self, device: int | str | None = None, channels: ChannelChoice = "mix") -> None:
        """Find the device and its format.

        Args:
            device: Index, or part of the name; the system's default input if None. After a loss,
                the device with this index is found again by its name.
            channels: The channels that will be listened to.

        Raises:
            DeviceError: PortAudio is missing, no device or several match, or the device accepts no
                format or lacks a chosen channel.
        """
        self._sounddevice = import_sounddevice()
        self._chosen = device
        self._device = find_input(self._sounddevice, device)
        choice = check_channels(channels)
        self._wanted = wanted_channels(self._device, choice)
        self._format = choose_format(self._sounddevice, self._device, wanted=self._wanted)
        self._n_channels = min(self._format.channels, self._wanted)
        if not isinstance(choice, str) and self._n_channels < max(choice):
            raise DeviceError(
                f"{self._device.name} opens with {self._n_channels} channels only: choose others "
                "with --channels"
            )
        self.name = self._device.name
        self.sampling_rate = self._format.sampling_rate
        # Unlike Queue, SimpleQueue is reentrant: a signal handler may put while get is running.
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._stopped = False

    def __str__(self) -> str:
        return self.name

    def stop(self) -> None:
        """End the stream after the audio received so far; callable from a signal handler."""
        self._queue.put(None)

    def __iter__(self) -> Generator[NDArray[np.float32] | Gap, None, None]:
        """Yield blocks, float32 (n_samples, n_channels), until `stop` or until it is closed.

        The number of channels never changes. A gap marks lost audio and the time without device.

        Raises:
            DeviceError: The device cannot be opened at first, or delivers nothing.
        """
        self._stopped = False
        try:
            last_arrival = yield from self._sound(self._open(self._device, self._format), None)
            if last_arrival is None and not self._stopped:
                raise DeviceError(
                    f"{self.name} delivers no audio. Is it plugged in? Other devices: "
                    "emo-listen --list-devices"
                )
            while not self._stopped:
                last_arrival = yield from self._sound_again(last_arrival)
        finally:
            # The rest of the queue belongs to closed streams.
            self._queue = queue.SimpleQueue()

    def _sound_again(
        self, lost_at: float | None
    ) -> Generator[NDArray[np.float32] | Gap, None, float | None]:
        """Reopen the device, retrying until it delivers or `stop` is called; then as `_sound`."""
        last_arrival, delay = lost_at, FIRST_RETRY
        while last_arrival == lost_at and not self._stopped_within(delay):
            delay = min(2 * delay, MAX_RETRY)
            try:
                stream = self._open_again()
            except DeviceError as error:
                _log.debug("%s", error)
            else:
                last_arrival = yield from self._sound(stream, lost_at)
        return last_arrival

    def _sound(
        self, stream: _Stream, lost_at: float | None
    ) -> Generator[NDArray[np.float32] | Gap, None, float | None]:
        """Yield the blocks and gaps of one stream, until it is lost or stopped.

        Args:
            stream: The open stream.
            lost_at: Arrival time of the last block before this stream; None for the first stream.

        Returns:
            Arrival time of the last block; `lost_at` if there was none.
        """
        watch = OverflowWatch(stream.sampling_rate)
        converter = None
        if (stream.sampling_rate, stream.channels) != (self.sampling_rate, self._n_channels):
            converter = _Converter(stream, self.sampling_rate, self._n_channels)
        last_arrival = lost_at
        with contextlib.closing(self._arrivals(stream)) as arrivals:
            for arrival in arrivals:
                if lost_at is not None and last_arrival == lost_at:
                    away = arrival.time - len(arrival.samples) / stream.sampling_rate - lost_at
                    _log.warning("the microphone %s is back after %.1f s", self.name, away)
                    yield Gap(max(0.0, away), "device")
                last_arrival = arrival.time
                sound = watch.push(arrival)
                yield from sound if converter is None else converter.push(sound)
        yield from watch.finish() if converter is None else converter.push(watch.finish())
        if converter is not None:
            yield from converter.finish()
        return last_arrival

    def _arrivals(self, stream: _Stream) -> Generator[Arrival, None, None]:
        """Yield the callback's blocks until the device is lost or stopped; close the stream."""
        came = False
        with without_messages(), contextlib.closing(stream):
            with contextlib.suppress(queue.Empty):
                while isinstance(item := self._queue.get(timeout=MICROPHONE_TIMEOUT), Arrival):
                    came = True
                    yield item
                self._stopped = item is None
            if came and not self._stopped:
                # Before closing, which may block while a sound server hangs.
                _log.warning("the microphone %s is lost: trying to reopen it", self.name)
        while not self._stopped and not self._queue.empty():
            item = self._queue.get()
            self._stopped = item is None
            if isinstance(item, Arrival):
                yield item
        if stream.dropped and not self._stopped:
            empty = np.zeros((0, stream.channels), np.float32)
            yield Arrival(empty, time.monotonic(), dropped=stream.dropped)

    def _open(self, device: InputDevice, form: InputFormat) -> _Stream:
        """Open the device.

        Raises:
            DeviceError: It cannot be opened.
        """
        try:
            with quiet():
                return _Stream(self._sounddevice, device, form, self._wanted, self._queue)
        except self._sounddevice.PortAudioError as error:
            raise cannot_be_opened(device, error) from error

    def _open_again(self) -> _Stream:
        """Find the device in a new list of devices, and open it.

        Raises:
            DeviceError: It is not in the list, or cannot be opened.
        """
        with _portaudio:
            if not _open_streams:
                _restart(self._sounddevice)
            device = find_again(self._sounddevice, self._device, self._chosen)
            form = choose_format(self._sounddevice, device, self.sampling_rate, self._wanted)
            return self._open(device, form)

    def _stopped_within(self, seconds: float) -> bool:
        """Wait up to `seconds`; return whether `stop` was called."""
        with contextlib.suppress(queue.Empty):
            self._stopped = self._stopped or self._queue.get(timeout=seconds) is None
        return self._stopped


class _Stream:
    """An open device. It puts an `Arrival` into a queue for each block, and `_Ended` at the end."""

    def __init__(
        self,
        sounddevice: ModuleType,
        device: InputDevice,
        form: InputFormat,
        wanted: int,
        arrivals: queue.SimpleQueue[_Item],
    ) -> None:
        """Open and start the device, and use its first `wanted` channels.

        Raises:
            sounddevice.PortAudioError: It cannot be opened.
        """
        self.sampling_rate = form.sampling_rate
        self.channels = min(form.channels, wanted)
        self.dropped = 0
        """Samples dropped since the last block that fitted into the queue."""
        self._arrivals = arrivals
        self._overflow = False
        block_length = round(form.sampling_rate * MICROPHONE_LATENCY / 2)
        self._backlog = round(MICROPHONE_BACKLOG * form.sampling_rate / block_length)
        with _portaudio:
            self._stream = sounddevice.InputStream(
                device=device.index,
                samplerate=form.sampling_rate,
                blocksize=block_length,
                channels=form.channels,
                dtype="float32",
                latency=MICROPHONE_LATENCY,
                callback=self._receive,
                finished_callback=lambda: arrivals.put(_Ended()),
            )
            try:
                self._stream.start()
            except sounddevice.PortAudioError:
                self._stream.close()
                raise
            _open_streams.add(self)

    def close(self) -> None:
        """Close the device, even if it is gone."""
        with _portaudio:
            _open_streams.discard(self)
            self._stream.abort()
            self._stream.close()

    def _receive(self, block: NDArray[np.float32], frames: int, _time: Any, status: Any) -> None:
        now = time.monotonic()
        self._overflow = self._overflow or bool(status.input_overflow)
        if self._arrivals.qsize() >= self._backlog:
            self.dropped += frames
            return
        samples = block[:, : self.channels].copy()
        self._arrivals.put(Arrival(samples, now, self._overflow, self.dropped))
        self._overflow, self.dropped = False, 0


@dataclass(frozen=True)
class _Ended:
    """Marks the end of a stream in the queue."""


_Item = Arrival | _Ended | None
"""Item of a microphone's queue; None for `stop`."""


class _Converter:
    """Converts the audio of a reopened device to its previous rate and number of channels.

    If the number differs, each channel gets the mix of the device's.
    """

    def __init__(self, stream: _Stream, sampling_rate: int, channels: int) -> None:
        """Convert `stream` to a rate in Hz and a number of channels."""
        self._mixing: MixDown | None = None
        if stream.channels != channels:
            self._mixing = MixDown(stream.channels, stream.sampling_rate)
        converted = 1 if self._mixing else channels
        self._resamplers = [
            Resampler(stream.sampling_rate, sampling_rate) for _ in range(converted)
        ]
        self._copies = channels // converted

    def push(
        self, sound: Iterator[NDArray[np.float32] | Gap]
    ) -> Iterator[NDArray[np.float32] | Gap]:
        """Convert blocks (n_samples, n_channels); gaps stay in their place."""
        for item in sound:
            if isinstance(item, Gap):
                yield from self._rest_of_mix()
                yield item
            elif self._mixing is None:
                yield from self._converted(item)
            else:
                yield from self._converted(self._mixing.push(item)[:, np.newaxis])

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rest."""
        yield from self._rest_of_mix()
        yield self._in_channels([resampler.finish() for resampler in self._resamplers])

    def _rest_of_mix(self) -> Iterator[NDArray[np.float32]]:
        if self._mixing is not None:
            yield from self._converted(self._mixing.finish()[:, np.newaxis])

    def _converted(self, block: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        frames = [
            list(resampler.push(samples))
            for resampler, samples in zip(self._resamplers, block.T, strict=True)
        ]
        for frame in zip(*frames, strict=True):
            yield self._in_channels(frame)

    def _in_channels(self, samples: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.repeat(np.column_stack(samples), self._copies, axis=1)


def _restart(sounddevice: ModuleType) -> None:
    """Restart PortAudio, which is the only way to update its list of devices.

    sounddevice has no public function for it; its author recommends these two
    (github.com/spatialaudio/python-sounddevice/issues/125).

    Raises:
        DeviceError: PortAudio does not start.
    """
    try:
        while sounddevice._initialized:
            sounddevice._terminate()
        sounddevice._initialize()
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"PortAudio does not start ({error})") from error
