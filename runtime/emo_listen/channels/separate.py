"""A stream whose channels are listened to one by one, each with an engine of its own.

All channels advance together, in frames of 20 ms, so that the order of their events does not depend
on the size of blocks. Times are the stream's, the same in all channels: invalid audio in one
channel is a gap there, and silence of that length, so that channels stay in step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emo_listen.audio import Resampler, frame_length
from emo_listen.baselines.references import ChannelBaselines, channel_baseline, open_reference
from emo_listen.engine import Engine, ListenOptions
from emo_listen.events import Event, GapEvent
from emo_listen.model import EmotionModel
from emo_listen.sound.channel_choice import chosen_channels
from emo_listen.sound.crosstalk import CrosstalkFilter
from emo_listen.sound.levels import LevelWatch
from emo_listen.sources.base import Gap
from emo_listen.sources.valid_sound import ValidSound
from emo_listen.status_meter import StatusMeter


class SeparateChannels:
    """One engine for each chosen channel of a stream."""

    def __init__(self, model: EmotionModel, options: ListenOptions) -> None:
        """Prepare for a stream.

        Raises:
            AudioInputError: `window` or `hop` is out of range.
            BaselineError: `baseline` cannot be used with this model.
        """
        options.window_and_hop(model.settings)
        if not isinstance(options.baseline, ChannelBaselines):
            open_reference(model, options.baseline)
        self._model = model
        self._options = options
        self._received = 0
        self._columns: list[int] = []
        self._pending = np.zeros((0, 0), np.float32)
        self._lanes: list[_Lane] = []

    @property
    def seconds(self) -> float:
        """Stream time processed so far, in seconds."""
        return self._received / self._model.sampling_rate

    @property
    def windows(self) -> int:
        """Number of windows that the model was run on."""
        return sum(lane.windows for lane in self._lanes)

    def push(self, block: NDArray[np.float32], sampling_rate: int) -> Iterator[Event]:
        """Process `block`, float32 (n_samples, n_channels), at a constant rate in Hz.

        Raises:
            AudioInputError: A chosen channel does not exist.
        """
        if not self._lanes:
            self._open(block.shape[1], sampling_rate)
        samples = np.concatenate([self._pending, block[:, self._columns]])
        whole = len(samples) - len(samples) % self._frame_length
        self._pending = samples[whole:]
        for start in range(0, whole, self._frame_length):
            yield from self._push_frame(samples[start : start + self._frame_length])

    def gap(self, gap: Gap) -> Iterator[Event]:
        """End open speech in all channels, and report a gap of the stream, once."""
        yield from self.finish()
        yield GapEvent(time=self.seconds, seconds=round(gap.seconds, 3), reason=gap.reason)

    def finish(self) -> Iterator[Event]:
        """Yield the events of audio that waits, and of speech that is open at the end."""
        if not self._lanes:
            return
        rest, self._pending = self._pending, self._pending[:0]
        if len(rest):
            yield from self._push_frame(rest)
        for lane in self._lanes:
            yield from lane.finish_gap()
        yield from self._push_resampled([lane.rest() for lane in self._lanes])
        yield from self._push_to_lanes(self._crosstalk.finish())
        for lane in self._lanes:
            yield from lane.finish()

    def _open(self, n_channels: int, sampling_rate: int) -> None:
        channels = chosen_channels(self._options.channels, n_channels)
        self._columns = [channel - 1 for channel in channels]
        self._lanes = [
            _Lane(self._model, self._options, sampling_rate, channel) for channel in channels
        ]
        self._crosstalk = CrosstalkFilter(len(channels), self._model.sampling_rate)
        self._frame_length = frame_length(sampling_rate)
        self._pending = np.zeros((0, len(channels)), np.float32)

    def _push_frame(self, frame: NDArray[np.float32]) -> Iterator[Event]:
        resampled = []
        for lane, samples in zip(self._lanes, frame.T, strict=True):
            valid, events = lane.validate(samples[:, np.newaxis])
            yield from events
            resampled.append(lane.resample(valid))
        yield from self._push_resampled(resampled)

    def _push_resampled(self, resampled: list[NDArray[np.float32]]) -> Iterator[Event]:
        """Process audio of each channel at the model's rate, float32 (n,), all of one length."""
        if len(resampled[0]):
            yield from self._push_to_lanes(self._crosstalk.push(np.column_stack(resampled)))

    def _push_to_lanes(self, frame: NDArray[np.float32]) -> Iterator[Event]:
        self._received += len(frame)
        if len(frame):
            for lane, samples in zip(self._lanes, frame.T, strict=True):
                yield from lane.push(np.ascontiguousarray(samples))


class _Lane:
    """One channel: its validity, its level, its engine. Its events have its number."""

    def __init__(
        self, model: EmotionModel, options: ListenOptions, sampling_rate: int, channel: int
    ) -> None:
        self._channel = channel
        self._sampling_rate, self._target_rate = sampling_rate, model.sampling_rate
        baseline = channel_baseline(options.baseline, channel)
        self._engine = Engine(model, replace(options, baseline=baseline))
        meter = StatusMeter(self._engine, model.sampling_rate)
        self._push_to_engine = meter.push if options.status else self._engine.push
        self._frame_length = frame_length(sampling_rate)
        self._valid = ValidSound(sampling_rate)
        self._levels = LevelWatch(sampling_rate)
        self._resampler = Resampler(sampling_rate, model.sampling_rate)
        self._invalid = False
        self._gap_start = 0.0

    @property
    def windows(self) -> int:
        """Number of windows that the model was run on."""
        return self._engine.windows

    def validate(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[Event]]:
        """Return a frame, float32 (n, 1), silent if it is invalid, and its events."""
        items = list(self._valid.push(samples))
        if len(samples) < self._frame_length:
            items += self._valid.finish()
        valid = [item for item in items if not isinstance(item, Gap)]
        events: list[Event] = []
        if not valid and not self._invalid:
            self._invalid = True
            self._gap_start = self._engine.received / self._target_rate
            events += self._own(self._engine.finish())
        events += [self._gap(item) for item in items if isinstance(item, Gap)]
        samples = valid[0] if valid else np.zeros_like(samples)
        return samples[:, 0], [*events, *self._own(self._levels.push(samples))]

    def finish_gap(self) -> Iterator[Event]:
        """Report a gap that is open at the end."""
        for item in self._valid.finish():
            if isinstance(item, Gap):
                yield self._gap(item)

    def _gap(self, gap: Gap) -> GapEvent:
        self._invalid = False
        return GapEvent(
            time=self._gap_start,
            seconds=round(gap.seconds, 3),
            reason=gap.reason,
            channel=self._channel,
        )

    def resample(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is ready of a frame, float32 (n,), at the model's rate."""
        return np.concatenate([np.zeros(0, np.float32), *self._resampler.push(samples)])

    def rest(self) -> NDArray[np.float32]:
        """Return the rest, float32 (n,), before a gap or the end."""
        rest = self._resampler.finish()
        self._resampler = Resampler(self._sampling_rate, self._target_rate)
        return rest

    def push(self, samples: NDArray[np.float32]) -> Iterator[Event]:
        """Process audio, float32 (n,), at the model's rate."""
        yield from self._own(self._push_to_engine(samples))

    def finish(self) -> Iterator[Event]:
        """End open speech."""
        yield from self._own(self._engine.finish())

    def _own(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            yield replace(event, channel=self._channel)
