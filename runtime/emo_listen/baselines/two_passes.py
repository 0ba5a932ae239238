"""Analysis of one voice's recordings in two passes: first its baseline, then labels relative to it.

The network runs only in the first pass; the second reuses its outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.references import FixedReference
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.model import EmotionModel
from emo_listen.prediction import Output


class FirstPass:
    """A reference that uses the population's baseline and keeps the outputs of all windows."""

    def __init__(self, model: EmotionModel) -> None:
        """Start without any windows."""
        self.shift: NDArray[np.float64] = np.zeros(len(model.labels))
        self.seconds = 0.0
        self.unknown = 1.0
        self.windows: list[tuple[NDArray[np.float64], float]] = []
        """Logits (n_labels,) and seconds of new speech of each window."""

    def update(self, output: Output, seconds: float) -> None:
        """Keep the model's output for a window with `seconds` of new speech."""
        self.windows.append((output.logits, seconds))

    def outputs(self) -> Iterator[Output]:
        """Yield the model's output for each window."""
        for logits, _ in self.windows:
            yield Output(logits, None)


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

    def __init__(self, model: EmotionModel, recording: FirstPass) -> None:
        """Replay `recording` once; further windows run the network."""
        self.__dict__.update(model.__dict__)
        self._outputs = recording.outputs()

    def run(self, samples: NDArray[np.float32], sampling_rate: int) -> Output:
        """Return the next window's output."""
        output = next(self._outputs, None)
        return super().run(samples, sampling_rate) if output is None else output
