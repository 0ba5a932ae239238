"""A stream whose channels are mixed to one, for one engine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler
from emo_listen.engine import Engine, ListenOptions
from emo_listen.events import Event
from emo_listen.model import EmotionModel
from emo_listen.sound.levels import LevelWatch
from emo_listen.sound.mixing import MixDown
from emo_listen.sources.base import Gap
from emo_listen.sources.valid_sound import ValidSound
from emo_listen.status_meter import StatusMeter


class MixedChannels:
    """One engine for all channels of a stream."""

    def __init__(self, model: EmotionModel, options: ListenOptions) -> None:
        """Prepare for a stream.

        Raises:
            AudioInputError: `window` or `hop` is out of range.
            BaselineError: `baseline` cannot be used with this model.
        """
        self._target_rate = model.sampling_rate
        self._engine = Engine(model, options)
        meter = StatusMeter(self._engine, model.sampling_rate)
        self._push_to_engine = meter.push if options.status else self._engine.push
        self._input: _Input | None = None

    @property
    def seconds(self) -> float:
        """Stream time processed so far, in seconds."""
        return self._engine.received / self._target_rate

    @property
    def windows(self) -> int:
        """Number of windows that the model was run on."""
        return self._engine.windows

    def push(self, block: NDArray[np.float32], sampling_rate: int) -> Iterator[Event]:
        """Process `block`, float32 (n_samples, n_channels), at a constant rate in Hz."""
        if self._input is None:
            self._input = _Input(sampling_rate, self._target_rate)
        for item in self._input.valid.push(block):
            yield from self._process(item)

    def gap(self, gap: Gap) -> Iterator[Event]:
        """End open speech, and report a gap."""
        yield from self._flush()
        yield from self._process(gap)

    def finish(self) -> Iterator[Event]:
        """Yield the last events of the stream."""
        yield from self._flush()
        yield from self._end_of_part()
        yield from self._engine.finish()

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
        """Convert from `sampling_rate` to `target_rate`, both in Hz."""
        self.sampling_rate = sampling_rate
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
