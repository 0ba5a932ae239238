"""Runs a source through the engine: as an iterator, with callbacks, or in asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.baselines.references import BaselineChoice
from emo_listen.engine import Engine, ListenOptions
from emo_listen.errors import AudioInputError, ListenerError
from emo_listen.events import Emit, Event, StatusEvent
from emo_listen.model import MIN_SECONDS, EmotionModel
from emo_listen.sound.levels import LevelWatch, level_dbfs
from emo_listen.sound.mixing import MixDown
from emo_listen.sources.base import Gap, Source
from emo_listen.sources.blocks import channel_blocks, check_source
from emo_listen.sources.open import open_source
from emo_listen.sources.valid_sound import valid_sound

STATUS_INTERVAL = 0.1
"""Stream time between status events, in seconds."""

LOAD_INTERVALS = 20
"""Number of status events over which the load is averaged: two seconds."""

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
        baseline: BaselineChoice = "auto",
    ) -> None:
        """Load the model and open the source; arguments and errors are those of `listen`."""
        if not isinstance(model, EmotionModel):
            model = EmotionModel.load(model)
        options = ListenOptions(window, hop, vad, emit, baseline, status)
        self._engine = Engine(model, options)
        if isinstance(device, str | int | Path):
            device = open_source(device, sampling_rate=sampling_rate)
        check_source(device)
        self.model = model
        self.source = device
        self._status = options.status
        self._used = False
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def seconds(self) -> float:
        """Stream time processed so far, in seconds."""
        return self._engine.received / self.model.sampling_rate

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
        engine, source, rate = self._engine, self.source, self.model.sampling_rate
        resampler = Resampler(source.sampling_rate, rate)
        levels = LevelWatch(source.sampling_rate)
        mixing: MixDown | None = None
        meter = StatusMeter(engine, rate) if self._status else None

        def process(block: NDArray[np.float32]) -> Iterator[Event]:
            for samples in resampler.push(block):
                yield from engine.push(samples) if meter is None else meter.push(samples)

        for block in valid_sound(channel_blocks(source), source.sampling_rate):
            if self._stopped.is_set() and not source.live:
                return
            if isinstance(block, Gap):
                if mixing is not None:
                    yield from process(mixing.finish())
                yield from engine.push(resampler.finish())
                yield from engine.gap(block.seconds, block.reason)
                resampler = Resampler(source.sampling_rate, rate)
                continue
            if mixing is None:
                mixing = MixDown(block.shape[1], source.sampling_rate)
            yield from process(mixing.push(block))
            yield from levels.push(block)
        if self._stopped.is_set() and not source.live:
            return
        if mixing is not None:
            yield from process(mixing.finish())
        yield from engine.push(resampler.finish())
        if engine.received < MIN_SECONDS * rate and not source.live:
            raise AudioInputError(
                f"{source} contains {engine.received / rate:.3f} s of audio: at least "
                f"{MIN_SECONDS} s are needed"
            )
        yield from engine.finish()

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


class StatusMeter:
    """Passes samples to the engine, and adds a status event every `STATUS_INTERVAL`."""

    def __init__(self, engine: Engine, sampling_rate: int) -> None:
        """Measure `engine`, whose sampling rate is in Hz."""
        self._engine = engine
        self._rate = sampling_rate
        self._length = round(STATUS_INTERVAL * sampling_rate)
        self._blocks: list[np.ndarray] = []
        self._count = 0
        self._busy = 0.0
        self._load = 0.0

    def push(self, samples: np.ndarray) -> Iterator[Event]:
        """Process samples, float32 (n,); yield the engine's events and the status."""
        started = time.perf_counter()
        events = list(self._engine.push(samples))
        self._busy += time.perf_counter() - started
        yield from events
        self._blocks.append(samples)
        self._count += len(samples)
        if self._count < self._length:
            return
        load = self._busy / (self._count / self._rate)
        self._load += (load - self._load) / LOAD_INTERVALS
        yield StatusEvent(
            time=self._engine.received / self._rate,
            level=round(level_dbfs(np.concatenate(self._blocks)), 1),
            speech=self._engine.speaking,
            load=round(self._load, 4),
            latency=round(self._engine.latency, 4),
        )
        self._blocks, self._count, self._busy = [], 0, 0.0


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
    baseline: BaselineChoice = "auto",
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

    Returns:
        Events of `emo_listen.events`. Gaps and warnings are always included.

    Raises:
        BaselineError: The baseline is missing, damaged or of another model, or the model has no
            baseline.
        AudioFileError: The file is missing, damaged, or not audio.
        AudioInputError: `window` or `hop` is out of range, the source is invalid, or the audio is
            shorter than 0.1 s.
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
        )
    )
