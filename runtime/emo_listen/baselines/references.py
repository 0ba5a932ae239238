"""What a stream is judged relative to: nothing, a baseline, or a running estimate of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.baseline import Baseline
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.model import EmotionModel, Output


@runtime_checkable
class Reference(Protocol):
    """The shift that a stream's logits are judged relative to."""

    @property
    def shift(self) -> NDArray[np.float64]:
        """Logits (n_labels,) to take off."""
        ...

    @property
    def seconds(self) -> float:
        """Speech that it rests on, in seconds; 0 for the population's baseline."""
        ...

    @property
    def unknown(self) -> float:
        """Share, 0 to 1, of what voices differ by that is still unknown of this one."""
        ...

    def update(self, output: Output, seconds: float) -> None:
        """Take what the model returned for a window of which `seconds` of speech are new."""
        ...


BaselineChoice = Baseline | Path | str | Reference
"""`auto` for a running estimate of whoever speaks, `off` for the population's baseline, a baseline
or the path of one, or a reference of one's own."""


@dataclass(frozen=True)
class FixedReference:
    """A shift that stays as it is; by default that of a voice of which nothing is known."""

    shift: NDArray[np.float64]
    seconds: float = 0.0
    unknown: float = 1.0

    def update(self, output: Output, seconds: float) -> None:
        """Learn nothing."""


class RunningReference:
    """The running estimate of whoever speaks."""

    def __init__(self, estimate: RunningBaseline) -> None:
        """Follow `estimate`."""
        self._estimate = estimate

    @property
    def shift(self) -> NDArray[np.float64]:
        """Logits (n_labels,) to take off."""
        return self._estimate.shift

    @property
    def seconds(self) -> float:
        """Speech that it rests on, in seconds."""
        return self._estimate.seconds

    @property
    def unknown(self) -> float:
        """Share, 0 to 1, of what voices differ by that is still unknown of this one."""
        return self._estimate.unknown

    def update(self, output: Output, seconds: float) -> None:
        """Take what the model returned for a window of which `seconds` of speech are new."""
        self._estimate.update(output.logits, seconds)


def open_reference(model: EmotionModel, choice: BaselineChoice) -> Reference:
    """Return what `choice` means for a stream that `model` hears.

    Raises:
        BaselineError: the baseline is absent, damaged, or of another model, or the model takes
            none. `auto` means `off` for a model that takes none.
    """
    if isinstance(choice, Reference):
        return choice
    if choice == "auto" and model.head is not None:
        return RunningReference(RunningBaseline(model.head))
    if choice in ("auto", "off"):
        return FixedReference(np.zeros(len(model.labels)))
    baseline = choice if isinstance(choice, Baseline) else Baseline.load(choice)
    return FixedReference(model.shift(baseline), baseline.seconds, unknown=0.0)
