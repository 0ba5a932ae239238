"""How well labelled stretches of a stream agree with what is true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emo_listen.model_settings import UNCERTAIN
from train.evaluation.streams import Turn

STEP = 0.01
"""Seconds of the grid on which labels are compared."""


@dataclass
class Agreement:
    """What was right and wrong, in seconds; adds up over conversations."""

    speech: float = 0.0
    """Seconds in which somebody spoke."""

    right: float = 0.0
    """Of these, with the emotion that was played."""

    confused: float = 0.0
    """Of these, with another."""

    missed: float = 0.0
    """Of these, with none, or `uncertain`."""

    false_alarm: float = 0.0
    """Seconds in which nobody spoke, with an emotion."""

    changes: int = 0
    """How often the emotion that is told changes, `uncertain` left out."""

    true_changes: int = 0
    """How often that which was played does."""

    def __add__(self, other: Agreement) -> Agreement:
        """Sum of both."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Agreement(*(mine + theirs for mine, theirs in pairs))

    @property
    def accuracy(self) -> float:
        """Fraction of the speech's time that has the right emotion."""
        return self.right / self.speech

    @property
    def error_rate(self) -> float:
        """Emotion diarization error rate: false alarms, misses and confusions over the speech.

        Wang, Ravanelli and Yacoubi 2023, "Speech emotion diarization: which emotion appears
        when?", equation 1.
        """
        return (self.false_alarm + self.missed + self.confused) / self.speech

    @property
    def changes_per_true_change(self) -> float:
        """Label changes told for each true one."""
        return self.changes / max(self.true_changes, 1)


def agreement(turns: Sequence[Turn], told: Sequence[Turn], seconds: float) -> Agreement:
    """Compare what was told with what is true.

    Args:
        turns: what is true, in order.
        told: what was told, in order; a later one overrides an earlier one.
        seconds: length of the sound.
    """
    names = sorted({turn.label for turn in [*turns, *told]} - {UNCERTAIN})
    index = {name: number for number, name in enumerate(names)} | {UNCERTAIN: -1}
    true, heard = on_grid(turns, index, seconds), on_grid(told, index, seconds)
    spoken, claimed = true >= 0, heard >= 0
    return Agreement(
        speech=STEP * int(spoken.sum()),
        right=STEP * int((spoken & (true == heard)).sum()),
        confused=STEP * int((spoken & claimed & (true != heard)).sum()),
        missed=STEP * int((spoken & ~claimed).sum()),
        false_alarm=STEP * int((~spoken & claimed).sum()),
        changes=count_changes(told),
        true_changes=count_changes(turns),
    )


def on_grid(stretches: Sequence[Turn], index: dict[str, int], seconds: float) -> NDArray[np.int64]:
    """Class of each `STEP` of `seconds`, -1 where there is none."""
    grid = np.full(round(seconds / STEP), -1)
    for stretch in stretches:
        grid[round(stretch.start / STEP) : round(stretch.end / STEP)] = index[stretch.label]
    return grid


def count_changes(stretches: Sequence[Turn]) -> int:
    """How often the label changes from one stretch to the next, `uncertain` left out."""
    labels = [stretch.label for stretch in stretches if stretch.label != UNCERTAIN]
    return sum(before != after for before, after in pairwise(labels))
