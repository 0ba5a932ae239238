"""Analysis of one voice's recordings in two passes: first its baseline, then labels relative to it.

The network runs only in the first pass; the second reuses its outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.references import FixedReference, Reference
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.model import EmotionModel
from emo_listen.prediction import Output


class FirstPass:
    """A reference that uses the population's baseline and keeps the outputs of all windows."""

    def __init__(self, model: EmotionModel, outputs: list[NDArray[np.float64]]) -> None:
        """Start without any windows; logits are also appended to `outputs`."""
        self._outputs = outputs
        self.shift: NDArray[np.float64] = np.zeros(len(model.labels))
        self.seconds = 0.0
        self.unknown = 1.0
        self.windows: list[tuple[NDArray[np.float64], float]] = []
        """Logits (n_labels,) and seconds of new speech of each window."""

    def update(self, output: Output, seconds: float) -> None:
        """Keep the model's output for a window with `seconds` of new speech."""
        self._outputs.append(output.logits)
        self.windows.append((output.logits, seconds))


class FirstPasses:
    """The first pass of a recording: a reference for each channel, or for the mix."""

    def __init__(self, model: EmotionModel) -> None:
        """Start without any windows."""
        self._model = model
        self._outputs: list[NDArray[np.float64]] = []
        self.channels: dict[int | None, FirstPass] = {}
        """The first pass of each channel, from 1; of the mix, that of None."""

    def of_channel(self, channel: int | None) -> FirstPass:
        """Return the reference of a channel, from 1; of the mix if None."""
        return self.channels.setdefault(channel, FirstPass(self._model, self._outputs))

    def outputs(self) -> Iterator[Output]:
        """Yield the model's output for each window of all channels, in order."""
        for logits in self._outputs:
            yield Output(logits, None)


class ChannelVoices:
    """The baseline of each channel's voice, estimated from all recordings of a group."""

    def __init__(self, model: EmotionModel, recordings: Iterable[FirstPasses]) -> None:
        """Use the first passes of all recordings, in which a channel is one voice."""
        self._model = model
        self._recordings = list(recordings)
        self._references: dict[int | None, Reference] = {}

    def of_channel(self, channel: int | None) -> Reference:
        """Return the reference of a channel, from 1; of the mix if None."""
        if channel not in self._references:
            passes = [recording.channels.get(channel) for recording in self._recordings]
            known = [each for each in passes if each is not None]
            self._references[channel] = voice_reference(self._model, known)
        return self._references[channel]


def voice_reference(model: EmotionModel, recordings: Iterable[FirstPass]) -> FixedReference:
    """Estimate the baseline of the one voice in all recordings.

    Raises:
        BaselineError: the model does not support baselines.
    """
    estimate = RunningBaseline(model.require_head(), math.inf)
    for recording in recordings:
        for logits, seconds in recording.windows:
            estimate.update(logits, seconds)
    return FixedReference(estimate.shift, estimate.seconds, estimate.unknown)


class SecondPass(EmotionModel):
    """A model that returns the outputs of the first pass instead of running the network."""

    def __init__(self, model: EmotionModel, recording: FirstPasses) -> None:
        """Replay `recording` once; further windows run the network."""
        self.__dict__.update(model.__dict__)
        self._outputs = recording.outputs()

    def run(self, samples: NDArray[np.float32], sampling_rate: int) -> Output:
        """Return the next window's output."""
        output = next(self._outputs, None)
        return super().run(samples, sampling_rate) if output is None else output
