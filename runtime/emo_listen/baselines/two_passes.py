"""Recordings of one voice heard twice: first for its baseline, then relative to it.

The network runs in the first pass alone; the second takes what it returned then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.references import FixedReference
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.model import EmotionModel, Output


class FirstPass:
    """A reference that judges by the population's baseline, and keeps what it is given."""

    def __init__(self, model: EmotionModel) -> None:
        """Begin with nothing heard."""
        self.shift: NDArray[np.float64] = np.zeros(len(model.labels))
        self.seconds = 0.0
        self.unknown = 1.0
        self.windows: list[tuple[NDArray[np.float64], float]] = []
        """Logits (n_labels,) of each window, and its seconds of new speech."""

    def update(self, output: Output, seconds: float) -> None:
        """Take what the model returned for a window of which `seconds` of speech are new."""
        self.windows.append((output.logits, seconds))

    def outputs(self) -> Iterator[Output]:
        """Yield what the model returned, window by window."""
        for logits, _ in self.windows:
            yield Output(logits, None)


def voice_of(model: EmotionModel, heard: Iterable[FirstPass]) -> FixedReference:
    """Estimate the baseline of the one voice in all that was heard.

    Raises:
        BaselineError: the model takes no baseline.
    """
    estimate = RunningBaseline(model.require_head(), math.inf)
    for recording in heard:
        for logits, seconds in recording.windows:
            estimate.update(logits, seconds)
    return FixedReference(estimate.shift, estimate.seconds, estimate.unknown)


class SecondPass(EmotionModel):
    """A model that returns for each window what it returned in the first pass."""

    def __init__(self, model: EmotionModel, heard: FirstPass) -> None:
        """Go through `heard` once; windows beyond it are run."""
        self.__dict__.update(model.__dict__)
        self._outputs = heard.outputs()

    def run(self, samples: NDArray[np.float32], sampling_rate: int) -> Output:
        """Return the next window's output."""
        output = next(self._outputs, None)
        return super().run(samples, sampling_rate) if output is None else output
