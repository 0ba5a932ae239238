"""A stream that a program pushes: audio in, events out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.engine import Engine, ListenOptions
from emo_listen.errors import AudioInputError, ListenerError
from emo_listen.events import Event
from emo_listen.model import EmotionModel
from emo_listen.sound.levels import LevelWatch
from emo_listen.sound.mixing import MixDown
from emo_listen.sound.rates import check_rate
from emo_listen.sources.base import Gap, GapReason
from emo_listen.sources.blocks import ChannelBlocks
from emo_listen.sources.valid_sound import ValidSound
from emo_listen.status_meter import StatusMeter


class Session:
    """One stream of audio that a program pushes.

        session = Session()
        for block in blocks:
            for event in session.push(block, 48000):
                ...
        session.finish()

    The events are those of `listen` for the same audio, whatever the size of the blocks. A session
    belongs to one thread at a time; several sessions can share a model.

    Attributes:
        model: The model in use.
        options: How the session listens.
    """

    def __init__(
        self, model: EmotionModel | str | Path | None = None, options: ListenOptions | None = None
    ) -> None:
        """Prepare for a stream.

        Args:
            model: A loaded model, or the folder of one; the bundled model where None.
            options: How to listen.

        Raises:
            AudioInputError: `window` or `hop` is out of range.
            BaselineError: `baseline` cannot be used with this model.
            ModelError: The model cannot be loaded.
        """
        self.model = model if isinstance(model, EmotionModel) else EmotionModel.load(model)
        self.options = options or ListenOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the stream, including what was learned about voices, and start a new one."""
        self._engine = Engine(self.model, self.options)
        meter = StatusMeter(self._engine, self.model.sampling_rate)
        self._push_to_engine = meter.push if self.options.status else self._engine.push
        self._input: _Input | None = None
        self._finished = False

    @property
    def seconds(self) -> float:
        """Stream time processed so far, in seconds."""
        return self._engine.received / self.model.sampling_rate

    @property
    def windows(self) -> int:
        """Number of windows that the model was run on."""
        return self._engine.windows

    def push(self, samples: Any, sampling_rate: int) -> list[Event]:
        """Process a block of audio, and return the events up to its end.

        Up to 40 ms of it may wait for the next block.

        Args:
            samples: float32 within -1 to 1, int16 or int32, of shape `(n_samples,)` or
                `(n_samples, n_channels)`; channels are mixed to one.
            sampling_rate: In Hz, 1,000 to 1,000,000; the same for all blocks of a stream.

        Raises:
            AudioInputError: The block is not audio, or its rate or number of channels changed.
            ListenerError: The stream was finished.
            ModelError: The model cannot be run.
        """
        self._check_open()
        if self._input is None:
            self._input = _Input(sampling_rate, self.model.sampling_rate)
        if sampling_rate != self._input.sampling_rate:
            raise AudioInputError(
                f"the sampling rate changed from {self._input.sampling_rate} to {sampling_rate} "
                "Hz: finish the stream and reset the session first"
            )
        block = self._input.blocks.check(samples)
        return [event for item in self._input.valid.push(block) for event in self._process(item)]

    def gap(self, seconds: float, reason: GapReason = "overflow") -> list[Event]:
        """Report that audio was lost here, and return the events up to here.

        A gap takes no stream time, and no segment spans it.

        Args:
            seconds: How much was lost.
            reason: Why: see `GapEvent`.

        Raises:
            ListenerError: The stream was finished.
        """
        self._check_open()
        return [*self._flush(), *self._process(Gap(seconds, reason))]

    def finish(self) -> list[Event]:
        """End the stream, and return its last events.

        Raises:
            ListenerError: The stream was finished before.
        """
        self._check_open()
        events = [*self._flush(), *self._end_of_part(), *self._engine.finish()]
        self._finished = True
        return events

    def _check_open(self) -> None:
        if self._finished:
            raise ListenerError("the stream was finished: reset the session to start another")

    def _flush(self) -> Iterator[Event]:
        """Process the samples that wait for the rest of a frame."""
        if self._input is not None:
            for item in self._input.valid.finish():
                yield from self._process(item)

    def _process(self, item: NDArray[np.float32] | Gap) -> Iterator[Event]:
        if isinstance(item, Gap):
            yield from self._end_of_part()
            yield from self._engine.gap(item.seconds, item.reason)
            return
        assert self._input is not None
        yield from self._push(self._input.mono(item))
        yield from self._input.levels.push(item)

    def _end_of_part(self) -> Iterator[Event]:
        """Process what mixing and resampling still hold."""
        if self._input is not None:
            yield from self._push(self._input.rest())

    def _push(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[Event]:
        """Pass mono blocks, float32 (n,), at the model's rate to the engine."""
        for samples in blocks:
            yield from self._push_to_engine(samples)


class _Input:
    """From the blocks of a stream to mono audio at the model's rate."""

    def __init__(self, sampling_rate: int, target_rate: int) -> None:
        """Convert from `sampling_rate` to `target_rate`, both in Hz.

        Raises:
            AudioInputError: `sampling_rate` is out of range.
        """
        check_rate(sampling_rate)
        self.sampling_rate = sampling_rate
        self.blocks = ChannelBlocks()
        self.valid = ValidSound(sampling_rate)
        self.levels = LevelWatch(sampling_rate)
        self._target_rate = target_rate
        self._mixing: MixDown | None = None
        self._resampler = Resampler(sampling_rate, target_rate)

    def mono(self, block: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield what is ready, float32 (n,), of `block`, float32 (n_samples, n_channels)."""
        if self._mixing is None:
            self._mixing = MixDown(block.shape[1], self.sampling_rate)
        yield from self._resampler.push(self._mixing.push(block))

    def rest(self) -> Iterator[NDArray[np.float32]]:
        """Yield what is left, float32 (n,), before a gap or the end."""
        if self._mixing is not None:
            yield from self._resampler.push(self._mixing.finish())
        yield self._resampler.finish()
        self._resampler = Resampler(self.sampling_rate, self._target_rate)
