"""What a network returns for one piece of sound, and the prediction that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Output:
    """Raw output of the network for one piece of sound."""

    logits: NDArray[np.float64]
    """(n_labels,), relative to the population's baseline, before the temperature."""

    embedding: NDArray[np.float32] | None
    """(n,) if the network has an output `embedding`, else None."""


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one piece of sound."""

    label: str
    """The most probable emotion, or `uncertain` if it is not probable enough."""

    top_label: str
    """The most probable emotion."""

    confidence: float
    """Probability of `top_label`, 0 to 1."""

    scores: dict[str, float]
    """Probability of every label, 0 to 1, in the model's order; sums to 1."""

    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """(n,), as `EmotionModel.embed` returns it; None if the network has no output `embedding`."""
