"""A stream that a program pushes: audio in, events out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from emo_listen.channels.mixed import MixedChannels
from emo_listen.channels.separate import SeparateChannels
from emo_listen.engine import ListenOptions
from emo_listen.errors import AudioInputError, ListenerError
from emo_listen.events import Event
from emo_listen.model import EmotionModel
from emo_listen.sound.channel_choice import check_channels
from emo_listen.sound.rates import check_rate
from emo_listen.sources.base import Gap, GapReason
from emo_listen.sources.blocks import ChannelBlocks


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
            AudioInputError: `window`, `hop` or `channels` is out of range.
            BaselineError: `baseline` cannot be used with this model.
            ModelError: The model cannot be loaded.
        """
        self.model = model if isinstance(model, EmotionModel) else EmotionModel.load(model)
        options = options or ListenOptions()
        self.options = replace(options, channels=check_channels(options.channels))
        self.reset()

    def reset(self) -> None:
        """Forget the stream, including what was learned about voices, and start a new one."""
        kind = MixedChannels if self.options.channels == "mix" else SeparateChannels
        self._stream: MixedChannels | SeparateChannels = kind(self.model, self.options)
        self._blocks = ChannelBlocks()
        self._sampling_rate: int | None = None
        self._finished = False

    @property
    def seconds(self) -> float:
        """Stream time processed so far, in seconds."""
        return self._stream.seconds

    @property
    def windows(self) -> int:
        """Number of windows that the model was run on."""
        return self._stream.windows

    def push(self, samples: Any, sampling_rate: int) -> list[Event]:
        """Process a block of audio, and return the events up to its end.

        Up to 40 ms of it may wait for the next block.

        Args:
            samples: float32 within -1 to 1, int16 or int32, of shape `(n_samples,)` or
                `(n_samples, n_channels)`; channels are mixed to one, unless
                `options.channels` says otherwise.
            sampling_rate: In Hz, 1,000 to 1,000,000; the same for all blocks of a stream.

        Raises:
            AudioInputError: The block is not audio, its rate or number of channels changed, or a
                chosen channel does not exist.
            ListenerError: The stream was finished.
            ModelError: The model cannot be run.
        """
        self._check_open()
        if self._sampling_rate is None:
            self._sampling_rate = check_rate(sampling_rate)
        if sampling_rate != self._sampling_rate:
            raise AudioInputError(
                f"the sampling rate changed from {self._sampling_rate} to {sampling_rate} "
                "Hz: finish the stream and reset the session first"
            )
        return list(self._stream.push(self._blocks.check(samples), sampling_rate))

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
        return list(self._stream.gap(Gap(seconds, reason)))

    def finish(self) -> list[Event]:
        """End the stream, and return its last events.

        Raises:
            ListenerError: The stream was finished before.
        """
        self._check_open()
        events = list(self._stream.finish())
        self._finished = True
        return events

    def _check_open(self) -> None:
        if self._finished:
            raise ListenerError("the stream was finished: reset the session to start another")
