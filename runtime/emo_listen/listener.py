"""Listening to a source: its blocks through the engine, as an iterator, callbacks or asyncio."""

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
"""Seconds of stream time from one status event to the next."""

LOAD_INTERVALS = 20
"""Status events over which the load is averaged: two seconds."""

CLOSING_SECONDS = 0.2
"""Longest wait for a source to close where an `async for` is left, in seconds of the wall clock:
some predictions take so long. A source that is still stuck then is left to its thread."""


class Listener:
    """Listens to one source, once: iterate over it, `async for` over it, or `start` it.

        for event in Listener("mic"): ...
        async for event in Listener("mic"): ...

        listener = Listener("mic")
        listener.start(on_event)
        listener.stop()
        listener.join()

    Attributes:
        source: where the sound comes from.
        model: what tells the emotions.
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
        """Open the source and the model; takes, and raises, what `listen` does."""
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
        """Stream time heard so far, in seconds."""
        return self._engine.received / self.model.sampling_rate

    def stop(self) -> None:
        """End the stream after the sound received so far; callable from any thread or signal."""
        self._stopped.set()
        self.source.stop()

    def __iter__(self) -> Generator[Event, None, None]:
        """Return events as they are heard; closing the iterator closes the source.

        Raises:
            ListenerError: the listener has been used before.
        """
        self._use()
        return self._events()

    def _use(self) -> None:
        if self._used:
            raise ListenerError(
                "a Listener can be started or iterated over once: make another for each stream"
            )
        self._used = True

    def _events(self) -> Generator[Event, None, None]:
        engine, source, rate = self._engine, self.source, self.model.sampling_rate
        resampler = Resampler(source.sampling_rate, rate)
        levels = LevelWatch(source.sampling_rate)
        mixing: MixDown | None = None
        meter = Meter(engine, rate) if self._status else None

        def hear(block: NDArray[np.float32]) -> Iterator[Event]:
            for samples in resampler.push(block):
                yield from engine.push(samples) if meter is None else meter.push(samples)

        for block in valid_sound(channel_blocks(source), source.sampling_rate):
            if self._stopped.is_set() and not source.live:
                return
            if isinstance(block, Gap):
                if mixing is not None:
                    yield from hear(mixing.finish())
                yield from engine.push(resampler.finish())
                yield from engine.gap(block.seconds, block.reason)
                resampler = Resampler(source.sampling_rate, rate)
                continue
            if mixing is None:
                mixing = MixDown(block.shape[1], source.sampling_rate)
            yield from hear(mixing.push(block))
            yield from levels.push(block)
        if self._stopped.is_set() and not source.live:
            return
        if mixing is not None:
            yield from hear(mixing.finish())
        yield from engine.push(resampler.finish())
        if engine.received < MIN_SECONDS * rate and not source.live:
            raise AudioInputError(
                f"{source} gave {engine.received / rate:.3f} s of sound: at least "
                f"{MIN_SECONDS} s are needed to hear an emotion"
            )
        yield from engine.finish()

    def start(self, on_event: Callable[[Event], Any]) -> None:
        """Listen in a thread of its own, which calls `on_event` with each event.

        Raises:
            ListenerError: the listener has been used before.
        """
        self._use()
        self._start(on_event)

    def _start(
        self, on_event: Callable[[Event], Any], *, at_end: Callable[[], Any] = lambda: None
    ) -> None:
        def listen_on() -> None:
            try:
                for event in self._events():
                    on_event(event)
            except BaseException as error:  # Raised by `join`.
                self._error = error
            finally:
                at_end()

        self._thread = threading.Thread(target=listen_on, name="emo-listen", daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the stream has ended, at most `timeout` seconds; raise what ended it."""
        if self._thread is not None:
            self._thread.join(timeout)
        if self._error is not None:
            raise self._error

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        """Return events as they are heard, from a thread, so that the event loop goes on.

        Raises:
            ListenerError: the listener has been used before.
        """
        self._use()
        return self._async_events()

    async def _async_events(self) -> AsyncGenerator[Event, None]:
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Event | None] = asyncio.Queue()

        def tell(event: Event | None) -> None:
            with contextlib.suppress(RuntimeError):  # The loop may be closed by now.
                loop.call_soon_threadsafe(heard.put_nowait, event)

        self._start(tell, at_end=lambda: tell(None))
        ended = False
        try:
            while (event := await heard.get()) is not None:
                yield event
            ended = True
            self.join()
        finally:
            self.stop()
            if not ended:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSING_SECONDS):
                        while await heard.get() is not None:
                            pass


class Meter:
    """Passes samples on to the engine, with a status event every tenth of a second."""

    def __init__(self, engine: Engine, sampling_rate: int) -> None:
        """Serve `engine`, whose samples come at `sampling_rate` in Hz."""
        self._engine = engine
        self._rate = sampling_rate
        self._length = round(STATUS_INTERVAL * sampling_rate)
        self._pieces: list[np.ndarray] = []
        self._count = 0
        self._busy = 0.0
        self._load = 0.0

    def push(self, samples: np.ndarray) -> Iterator[Event]:
        """Take samples float32 (n,) for the engine; yield its events and the status."""
        begun = time.perf_counter()
        events = list(self._engine.push(samples))
        self._busy += time.perf_counter() - begun
        yield from events
        self._pieces.append(samples)
        self._count += len(samples)
        if self._count < self._length:
            return
        load = self._busy / (self._count / self._rate)
        self._load += (load - self._load) / LOAD_INTERVALS
        yield StatusEvent(
            time=self._engine.received / self._rate,
            level=round(level_dbfs(np.concatenate(self._pieces)), 1),
            speech=self._engine.speaking,
            load=round(self._load, 4),
            latency=round(self._engine.latency, 4),
        )
        self._pieces, self._count, self._busy = [], 0, 0.0


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
    """Listen, and yield what is heard as it is heard.

    Sound that does not come from a device is taken as fast as the model goes. Closing the
    iterator closes the device.

    Args:
        device: `mic` (the default input), a device's index or part of its name, the path of a
            sound file, `-` for raw 16-bit PCM or a piped sound file, or a source of one's own.
        model: A loaded model, or the folder of one; the bundled model where None.
        window: Seconds of sound that one prediction looks at; the model's own where None.
        hop: Seconds from one window's end to the next; the model's own where None.
        sampling_rate: Rate of the PCM on standard input, in Hz.
        vad: Whether to compute and claim only where somebody speaks.
        emit: `segments` with a provisional label while someone speaks, `windows` as the model
            hears each alone, or `all`.
        status: Whether to add a status event each tenth of a second.
        baseline: What the voice is judged relative to: `auto`, a running estimate of whoever
            speaks; `off`, the population's baseline; a `Baseline`, or the path of one. Models
            without a baseline run the same with `auto` and `off`.

    Returns:
        Events of `emo_listen.events`; gaps and warnings always.

    Raises:
        BaselineError: the baseline is absent, damaged or of another model, or the model takes
            none.
        AudioFileError: the file is absent, no sound, or damaged.
        AudioInputError: `window` or `hop` is unusable, the sound shorter than 0.1 s, or the
            model's rate not the speech detector's.
        DeviceError: the device is absent, ambiguous, or does not answer.
        ModelError: the model cannot be loaded or run.
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
