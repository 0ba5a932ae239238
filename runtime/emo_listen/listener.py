"""Runs a source through the engine: as an iterator, with callbacks, or in asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from emo_listen.baselines.references import BaselineChoice, ChannelBaselines
from emo_listen.engine import ListenOptions
from emo_listen.errors import AudioInputError, ListenerError
from emo_listen.events import Emit, Event
from emo_listen.model import MIN_SECONDS, EmotionModel
from emo_listen.session import Session
from emo_listen.sound.channel_choice import ChannelChoice
from emo_listen.sources.base import Gap, Source
from emo_listen.sources.blocks import check_source
from emo_listen.sources.open import open_source

CLOSING_SECONDS = 0.2
"""Longest wait for the source to close after an `async for` was left early, in seconds: some
predictions take that long. A source that is still blocked then stays with its thread."""


class Listener:
    """Listens to one source, once: iterate over it, `async for` over it, or `start` it.

        for event in Listener("mic"): ...
        async for event in Listener("mic"): ...

        listener = Listener("mic")
        listener.start(on_event)
        listener.stop()
        listener.join()

    Attributes:
        source: The source of the audio.
        model: The model.
    """

    def __init__(
        self,
        device: str | int | Path | Source = "mic",
        *,
        model: EmotionModel | str | Path | None = None,
        window: float | None = None,
        hop: float | None = None,
        sampling_rate: int = 16000,
        vad: bool = True,
        emit: Emit = "segments",
        status: bool = False,
        baseline: BaselineChoice | ChannelBaselines = "auto",
        channels: ChannelChoice = "mix",
    ) -> None:
        """Load the model and open the source; arguments and errors are those of `listen`."""
        options = ListenOptions(window, hop, vad, emit, baseline, status, channels)
        self._session = Session(model, options)
        if isinstance(device, str | int | Path):
            device = open_source(device, sampling_rate=sampling_rate, channels=channels)
        check_source(device)
        self.model = self._session.model
        self.source = device
        self._used = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def seconds(self) -> float:
        """Stream time processed so far, in seconds."""
        return self._session.seconds

    def stop(self) -> None:
        """End the stream after the sound received so far; callable from any thread or signal."""
        self._stopped.set()
        self.source.stop()

    def __iter__(self) -> Generator[Event, None, None]:
        """Return an iterator of events; closing it closes the source.

        Raises:
            ListenerError: The listener was used before.
        """
        self._use()
        return self._events()

    def _use(self) -> None:
        if self._used:
            raise ListenerError(
                "a Listener can be used only once: create a new one for each stream"
            )
        self._used = True

    def _events(self) -> Generator[Event, None, None]:
        source, session = self.source, self._session
        for item in source:
            if self._stopped.is_set() and not source.live:
                return
            if isinstance(item, Gap):
                yield from session.gap(item.seconds, item.reason)
            else:
                yield from session.push(item, source.sampling_rate)
        if self._stopped.is_set() and not source.live:
            return
        events = session.finish()
        if self.seconds < MIN_SECONDS and not source.live:
            raise AudioInputError(
                f"{source} contains {self.seconds:.3f} s of audio: at least {MIN_SECONDS} s are "
                "needed"
            )
        yield from events

    def start(self, on_event: Callable[[Event], Any]) -> None:
        """Listen in a new thread, which calls `on_event` with each event.

        Raises:
            ListenerError: The listener was used before.
        """
        self._use()
        self._start(on_event)

    def _start(
        self, on_event: Callable[[Event], Any], *, on_end: Callable[[], Any] = lambda: None
    ) -> None:
        def run() -> None:
            try:
                for event in self._events():
                    on_event(event)
            except BaseException as error:  # Raised by `join`.
                self._error = error
            finally:
                on_end()

        self._thread = threading.Thread(target=run, name="emo-listen", daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait up to `timeout` seconds for the stream to end; raise the error that ended it."""
        if self._thread is not None:
            self._thread.join(timeout)
        if self._error is not None:
            raise self._error

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        """Return an asynchronous iterator of events, which come from a thread.

        Raises:
            ListenerError: The listener was used before.
        """
        self._use()
        return self._async_events()

    async def _async_events(self) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def enqueue(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # The event loop may be closed.
                loop.call_soon_threadsafe(queue.put_nowait, event)

        self._start(enqueue, on_end=lambda: enqueue(None))
        ended = False
        try:
            while (event := await queue.get()) is not None:
                yield event
            ended = True
            self.join()
        finally:
            self.stop()
            if not ended:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSING_SECONDS):
                        while await queue.get() is not None:
                            pass


def listen(
    device: str | int | Path | Source = "mic",
    *,
    model: EmotionModel | str | Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    sampling_rate: int = 16000,
    vad: bool = True,
    emit: Emit = "segments",
    status: bool = False,
    baseline: BaselineChoice | ChannelBaselines = "auto",
    channels: ChannelChoice = "mix",
) -> Iterator[Event]:
    """Listen to a device, file, pipe or `Source`, and yield events as soon as they are known.

    Files and pipes are processed as fast as possible. Closing the iterator closes the source.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of an
            audio file, `-` for raw 16-bit PCM or an audio file on standard input, or a `Source`.
        model: A loaded model, or its folder; the bundled model if None.
        window: Length of audio for one prediction, in seconds; the model's own if None.
        hop: Time from the end of one window to the end of the next, in seconds; the model's own
            if None.
        sampling_rate: Sampling rate of raw PCM on standard input, in Hz.
        vad: Whether to predict in speech only.
        emit: `segments`, with provisional labels while they last; `windows`, each with the
            model's prediction for it alone; or `all`.
        status: Whether to add a status event every 0.1 seconds.
        baseline: What the voice is judged relative to: `auto`, a running estimate of the current
            speaker's baseline; `off`, the population's baseline; a `Baseline`, or its path. With a
            model that has no baseline, `auto` and `off` are the same.
        channels: `mix` for all channels mixed to one; `separate` for each channel alone; or
            numbers of channels, from 1, for each of these alone: events then have a `channel`.

    Returns:
        Events of `emo_listen.events`. Gaps and warnings are always included.

    Raises:
        BaselineError: The baseline is missing, damaged or of another model, or the model has no
            baseline.
        AudioFileError: The file is missing, damaged, or not audio.
        AudioInputError: `window`, `hop` or `channels` is out of range, the source is invalid or
            lacks a channel, or the audio is shorter than 0.1 s.
        DeviceError: The device is missing, ambiguous, or does not respond.
        ModelError: The model cannot be loaded or run.
    """
    return iter(
        Listener(
            device,
            model=model,
            window=window,
            hop=hop,
            sampling_rate=sampling_rate,
            vad=vad,
            emit=emit,
            status=status,
            baseline=baseline,
            channels=channels,
        )
    )
