"""A microphone that goes on: lost sound is told, and a device that vanished is sought again."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.errors import DeviceError
from emo_listen.sound.mixing import MixDown
from emo_listen.sources.base import Gap
from emo_listen.sources.devices import (
    MAX_CHANNELS,
    InputDevice,
    InputFormat,
    cannot_be_opened,
    choose_format,
    find_again,
    find_input,
)
from emo_listen.sources.overflow import Arrival, OverflowWatch
from emo_listen.sources.portaudio import import_sounddevice, quiet, without_messages

MICROPHONE_LATENCY = 0.2
"""Sound that the device may hold back before a block comes, in seconds."""

MICROPHONE_TIMEOUT = 5.0
"""Time without a block after which a microphone is held to be dead, in seconds."""

MICROPHONE_BACKLOG = 10.0
"""Sound that may wait for the model before new sound is lost, in seconds."""

FIRST_RETRY = 0.5
"""Time from the loss of a device to the first attempt to open it again, in seconds; it doubles
with each attempt."""

LONGEST_RETRY = 10.0
"""Where that doubling ends, in seconds."""

_log = logging.getLogger(__name__)

_portaudio = threading.RLock()
"""Held while PortAudio opens or closes a stream or starts anew, which no two threads may do."""

_open_streams: set[_Stream] = set()
"""The streams that are open, all of which would end if PortAudio were started anew."""


class Microphone:
    """An input device of PortAudio, at the device's own rate: its first two channels.

    Where the device vanishes (unplugged, its sound server restarted), a warning is logged, and it
    is opened again as soon as it is back. PortAudio sees devices that came back only when it is
    started anew, which ends whatever else the process does with sounddevice; as long as another
    microphone of this class is open, that does not happen.
    """

    live = True

    def __init__(self, device: int | str | None = None) -> None:
        """Find the device and the form in which it delivers sound.

        Args:
            device: Index, or part of the name; the system's default input where None. After a
                loss, an index stands for the name that it has now.

        Raises:
            DeviceError: PortAudio is missing, no device or more than one is meant, or it accepts
                no form of sound.
        """
        self._sounddevice = import_sounddevice()
        self._chosen = device
        self._device = find_input(self._sounddevice, device)
        self._format = choose_format(self._sounddevice, self._device)
        self.name = self._device.name
        self.sampling_rate = self._format.sampling_rate
        # Unlike Queue, SimpleQueue may be put into by a signal handler that interrupts its get.
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._stopped = False

    def __str__(self) -> str:
        return self.name

    def stop(self) -> None:
        """End the stream after the sound that has come; callable from a signal handler."""
        self._queue.put(None)

    def __iter__(self) -> Generator[NDArray[np.float32] | Gap, None, None]:
        """Yield blocks until `stop`; closing the generator ends it too.

        They are float32 (n_samples, n_channels), always as many channels as at first.

        A gap stands wherever sound was lost, and for the time that the device was gone.

        Raises:
            DeviceError: the device cannot be opened in the first place, or delivers nothing.
        """
        self._stopped = False
        try:
            heard = yield from self._sound(self._open(self._device, self._format), None)
            if heard is None and not self._stopped:
                raise DeviceError(
                    f"{self.name} delivers no sound. Is it plugged in? Other devices: "
                    "emo-listen --list-devices"
                )
            while not self._stopped:
                heard = yield from self._sound_again(heard)
        finally:
            # What is still in the queue belongs to streams that are closed.
            self._queue = queue.SimpleQueue()

    def _sound_again(
        self, lost: float | None
    ) -> Generator[NDArray[np.float32] | Gap, None, float | None]:
        """Try to open the device until it delivers or `stop` is called; then as `_sound`."""
        heard, delay = lost, FIRST_RETRY
        while heard == lost and not self._stopped_within(delay):
            delay = min(2 * delay, LONGEST_RETRY)
            try:
                stream = self._open_again()
            except DeviceError as error:
                _log.debug("%s", error)
            else:
                heard = yield from self._sound(stream, lost)
        return heard

    def _sound(
        self, stream: _Stream, lost: float | None
    ) -> Generator[NDArray[np.float32] | Gap, None, float | None]:
        """Yield what one opening of the device delivers, until it is lost or stopped.

        Args:
            stream: The open device.
            lost: When the last block before this opening came; None at the first opening.

        Returns:
            When the last block came; `lost` where none has.
        """
        watch = OverflowWatch(stream.sampling_rate)
        channels = min(self._format.channels, MAX_CHANNELS)
        adapter = None
        if (stream.sampling_rate, stream.channels) != (self.sampling_rate, channels):
            adapter = _Adapter(stream, self.sampling_rate, channels)
        heard = lost
        with contextlib.closing(self._arrivals(stream)) as arrivals:
            for arrival in arrivals:
                if lost is not None and heard == lost:
                    away = arrival.time - len(arrival.samples) / stream.sampling_rate - lost
                    _log.warning("the microphone %s is back after %.1f s", self.name, away)
                    yield Gap(max(0.0, away), "device")
                heard = arrival.time
                sound = watch.push(arrival)
                yield from sound if adapter is None else adapter.push(sound)
        yield from watch.finish() if adapter is None else adapter.push(watch.finish())
        if adapter is not None:
            yield from adapter.finish()
        return heard

    def _arrivals(self, stream: _Stream) -> Generator[Arrival, None, None]:
        """Yield what the callback got, until the device is lost or `stop` was called; close it."""
        came = False
        with without_messages(), contextlib.closing(stream):
            with contextlib.suppress(queue.Empty):
                while isinstance(item := self._queue.get(timeout=MICROPHONE_TIMEOUT), Arrival):
                    came = True
                    yield item
                self._stopped = item is None
            if came and not self._stopped:
                # Before closing, which may wait as long as a sound server hangs.
                _log.warning("the microphone %s is lost: trying to open it again", self.name)
        while not self._stopped and not self._queue.empty():
            item = self._queue.get()
            self._stopped = item is None
            if isinstance(item, Arrival):
                yield item
        if stream.dropped and not self._stopped:
            nothing = np.zeros((0, stream.channels), np.float32)
            yield Arrival(nothing, time.monotonic(), dropped=stream.dropped)

    def _open(self, device: InputDevice, form: InputFormat) -> _Stream:
        """Open the device.

        Raises:
            DeviceError: it cannot be opened.
        """
        try:
            with quiet():
                return _Stream(self._sounddevice, device, form, self._queue)
        except self._sounddevice.PortAudioError as error:
            raise cannot_be_opened(device, error) from error

    def _open_again(self) -> _Stream:
        """Find the device in a new list, and open it.

        Raises:
            DeviceError: it is not there, or cannot be opened.
        """
        with _portaudio:
            if not _open_streams:
                _restart(self._sounddevice)
            device = find_again(self._sounddevice, self._device, self._chosen)
            return self._open(device, choose_format(self._sounddevice, device, self.sampling_rate))

    def _stopped_within(self, seconds: float) -> bool:
        """Wait, and say whether `stop` was called before or meanwhile."""
        with contextlib.suppress(queue.Empty):
            self._stopped = self._stopped or self._queue.get(timeout=seconds) is None
        return self._stopped


class _Stream:
    """One opening of a device; puts an `Arrival` for each block into a queue, and an `_Ended`."""

    def __init__(
        self,
        sounddevice: ModuleType,
        device: InputDevice,
        form: InputFormat,
        arrivals: queue.SimpleQueue[_Item],
    ) -> None:
        """Open and start the device.

        Raises:
            sounddevice.PortAudioError: it cannot be opened.
        """
        self.sampling_rate = form.sampling_rate
        self.channels = min(form.channels, MAX_CHANNELS)
        self.dropped = 0
        """Samples that found no room since the last block that did."""
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
        """Close the device, whether or not it is still there."""
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
        samples = block[:, :MAX_CHANNELS].copy()
        self._arrivals.put(Arrival(samples, now, self._overflow, self.dropped))
        self._overflow, self.dropped = False, 0


@dataclass(frozen=True)
class _Ended:
    """Stands in the queue where a stream has ended."""


_Item = Arrival | _Ended | None
"""What a microphone's queue holds; None where `stop` was called."""


class _Adapter:
    """Brings what a device gives after it came back to the rate and channels of before."""

    def __init__(self, stream: _Stream, sampling_rate: int, channels: int) -> None:
        """Adapt the sound of `stream`, mixed down, to a rate in Hz and equal channels."""
        self._mixing = MixDown(stream.channels, stream.sampling_rate)
        self._resampler = Resampler(stream.sampling_rate, sampling_rate)
        self._channels = channels

    def push(
        self, sound: Iterator[NDArray[np.float32] | Gap]
    ) -> Iterator[NDArray[np.float32] | Gap]:
        """Adapt blocks (n_samples, n_channels); a gap comes after the sound before it."""
        for item in sound:
            if isinstance(item, Gap):
                yield from self._adapted(self._mixing.finish())
                yield item
            else:
                yield from self._adapted(self._mixing.push(item))

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rest."""
        yield from self._adapted(self._mixing.finish())
        yield self._in_channels(self._resampler.finish())

    def _adapted(self, mixed: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        for samples in self._resampler.push(mixed):
            yield self._in_channels(samples)

    def _in_channels(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.repeat(samples[:, np.newaxis], self._channels, axis=1)


def _restart(sounddevice: ModuleType) -> None:
    """Start PortAudio anew, which is the only way to make it look for devices again.

    sounddevice offers no public function for that; its author names these two for it
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
