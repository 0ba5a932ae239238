"""What a stream's labels are relative to: the population, a baseline, or a running estimate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.baseline import Baseline
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.model import EmotionModel
from emo_listen.prediction import Output


@runtime_checkable
class Reference(Protocol):
    """The shift that is subtracted from a stream's logits."""

    @property
    def shift(self) -> NDArray[np.float64]:
        """Logits (n_labels,) to subtract."""
        ...

    @property
    def seconds(self) -> float:
        """Speech that the shift is based on, in seconds; 0 for the population's baseline."""
        ...

    @property
    def unknown(self) -> float:
        """Share of the variation between voices that is unknown for this one, 0 to 1."""
        ...

    def update(self, output: Output, seconds: float) -> None:
        """Process the model's output for a window with `seconds` of new speech."""
        ...


BaselineChoice = Baseline | Path | str | Reference
"""`auto` for a running estimate of the current speaker, `off` for the population's baseline, a
baseline, the path of a baseline file, or a custom reference."""


@dataclass(frozen=True)
class FixedReference:
    """A constant shift; by default, of an unknown voice."""

    shift: NDArray[np.float64]
    seconds: float = 0.0
    unknown: float = 1.0

    def update(self, output: Output, seconds: float) -> None:
        """Ignore the window."""


class RunningReference:
    """A running estimate of the current speaker's baseline."""

    def __init__(self, estimate: RunningBaseline) -> None:
        """Use and update `estimate`."""
        self._estimate = estimate

    @property
    def shift(self) -> NDArray[np.float64]:
        """Logits (n_labels,) to subtract."""
        return self._estimate.shift

    @property
    def seconds(self) -> float:
        """Speech that the shift is based on, in seconds."""
        return self._estimate.seconds

    @property
    def unknown(self) -> float:
        """Share of the variation between voices that is unknown for this one, 0 to 1."""
        return self._estimate.unknown

    def update(self, output: Output, seconds: float) -> None:
        """Process the model's output for a window with `seconds` of new speech."""
        self._estimate.update(output.logits, seconds)


@runtime_checkable
class ChannelBaselines(Protocol):
    """A baseline for each channel that is listened to separately."""

    def of_channel(self, channel: int | None) -> BaselineChoice:
        """Return the baseline of a channel, from 1; of the mix if None."""
        ...


def channel_baseline(
    choice: BaselineChoice | ChannelBaselines, channel: int | None
) -> BaselineChoice:
    """Return the baseline of a channel, from 1, or of the mix."""
    return choice.of_channel(channel) if isinstance(choice, ChannelBaselines) else choice


def open_reference(model: EmotionModel, choice: BaselineChoice) -> Reference:
    """Return the reference for a stream; `auto` is `off` if the model does not support baselines.

    Raises:
        BaselineError: the baseline does not exist, is damaged, or belongs to another model, or the
            model does not support baselines.
    """
    if isinstance(choice, Reference):
        return choice
    if choice == "auto" and model.head is not None:
        return RunningReference(RunningBaseline(model.head))
    if choice in ("auto", "off"):
        return FixedReference(np.zeros(len(model.labels)))
    baseline = choice if isinstance(choice, Baseline) else Baseline.load(choice)
    return FixedReference(model.shift(baseline), baseline.seconds, unknown=0.0)
