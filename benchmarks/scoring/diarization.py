"""Agreement of a stream's labels with the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emo_listen.model_settings import UNCERTAIN
from train.evaluation.streams import Turn

STEP = 0.01
"""Resolution at which labels are compared, in seconds."""


@dataclass
class Agreement:
    """Correct and incorrect time, in seconds; adds up over conversations."""

    speech: float = 0.0
    """Seconds of speech."""

    correct: float = 0.0
    """Of these, with the true emotion."""

    confused: float = 0.0
    """Of these, with another emotion."""

    missed: float = 0.0
    """Of these, without a label or `uncertain`."""

    false_alarm: float = 0.0
    """Seconds without speech, but with an emotion."""

    changes: int = 0
    """Number of label changes, ignoring `uncertain`."""

    true_changes: int = 0
    """Number of changes of the true emotion."""

    def __add__(self, other: Agreement) -> Agreement:
        """Return the sum."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Agreement(*(mine + theirs for mine, theirs in pairs))

    @property
    def accuracy(self) -> float:
        """Fraction of the speech time with the true emotion."""
        return self.correct / self.speech

    @property
    def error_rate(self) -> float:
        """Emotion diarization error rate: false alarms, misses and confusions per speech time.

        Wang, Ravanelli and Yacoubi 2023, "Speech emotion diarization: which emotion appears
        when?", equation 1.
        """
        return (self.false_alarm + self.missed + self.confused) / self.speech

    @property
    def changes_per_true_change(self) -> float:
        """Label changes per change of the true emotion."""
        return self.changes / max(self.true_changes, 1)


def agreement(turns: Sequence[Turn], predicted: Sequence[Turn], seconds: float) -> Agreement:
    """Compare predicted labels with the ground truth.

    Args:
        turns: the ground truth, in order.
        predicted: predicted labels, in order; later ones override earlier ones.
        seconds: length of the stream.
    """
    names = sorted({turn.label for turn in [*turns, *predicted]} - {UNCERTAIN})
    index = {name: number for number, name in enumerate(names)} | {UNCERTAIN: -1}
    true = on_grid(turns, index, seconds)
    label = on_grid(predicted, index, seconds)
    speech, labelled = true >= 0, label >= 0
    return Agreement(
        speech=STEP * int(speech.sum()),
        correct=STEP * int((speech & (true == label)).sum()),
        confused=STEP * int((speech & labelled & (true != label)).sum()),
        missed=STEP * int((speech & ~labelled).sum()),
        false_alarm=STEP * int((~speech & labelled).sum()),
        changes=count_changes(predicted),
        true_changes=count_changes(turns),
    )


def on_grid(turns: Sequence[Turn], index: dict[str, int], seconds: float) -> NDArray[np.int64]:
    """Class index of each `STEP` of `seconds`, -1 where there is none."""
    grid = np.full(round(seconds / STEP), -1)
    for turn in turns:
        grid[round(turn.start / STEP) : round(turn.end / STEP)] = index[turn.label]
    return grid


def count_changes(turns: Sequence[Turn]) -> int:
    """Count label changes between consecutive turns, ignoring `uncertain`."""
    labels = [turn.label for turn in turns if turn.label != UNCERTAIN]
    return sum(before != after for before, after in pairwise(labels))
