"""Collecting one voice's ordinary speech, and telling whether it was ordinary."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.baseline import Baseline
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.head import NEUTRAL
from emo_listen.model import EmotionModel, Output

ENOUGH = 20.0
"""Seconds of speech that an enrolment asks for."""

LEAST = 5.0
"""Seconds of speech below which there is no baseline."""

FARTHEST = 3.0
"""Distance from the mean of speakers, in standard deviations between them (root mean square over
the logits), above which ordinary speech is unlikely to have been heard."""

MOST_EMOTIONAL = 0.3
"""Share of the speech in one emotion above which it was not ordinary."""

MOST_VARIED = 2.5
"""Variance of the windows, in variances of speech of one voice and class, above which the speech
was not of one kind."""


class Enrolment:
    """A reference that judges by the population's baseline, and keeps what it is given."""

    def __init__(self, model: EmotionModel) -> None:
        """Begin with no speech.

        Raises:
            BaselineError: the model takes no baseline.
        """
        self.model = model
        self._head = model.require_head()
        self._total = np.zeros(self._head.size)
        self._windows: list[tuple[NDArray[np.float64], float]] = []
        self.shift: NDArray[np.float64] = np.zeros(len(model.labels))
        self.seconds = 0.0
        self.unknown = 1.0

    def update(self, output: Output, seconds: float) -> None:
        """Take what the model returned for a window of which `seconds` of speech are new."""
        assert output.embedding is not None
        self._total += seconds * output.embedding
        self._windows.append((output.logits, seconds))
        self.seconds += seconds

    def baseline(self) -> Baseline:
        """Return the mean of what was heard; there must have been speech."""
        return Baseline.of(self.model, self._total / self.seconds, self.seconds)

    def warnings(self) -> Iterator[str]:
        """Yield what speaks against this being a voice's ordinary speech."""
        if self.seconds < ENOUGH:
            yield (
                f"{self.seconds:.1f} s of speech is little: a baseline of {ENOUGH:.0f} s is better"
            )
        estimate = RunningBaseline(self._head, math.inf)
        shares = np.zeros(len(self.model.labels))
        for logits, seconds in self._windows:
            estimate.update(logits, seconds)
            shares += seconds * estimate.class_probabilities / self.seconds
        for label, share in zip(self.model.labels, shares, strict=True):
            if label != NEUTRAL and share > MOST_EMOTIONAL:
                yield f"this sounded like {label} rather than like ordinary speech: enroll again"
        shift = self._head.shift(self._total / self.seconds)
        if _mean_square(shift[None], self._head.speaker_covariance)[0] > FARTHEST**2:
            yield (
                "this is far from the ordinary speech of the voices that the model knows: speak "
                "as usual, and see to it that the microphone hears nothing else"
            )
        if self._variance() > MOST_VARIED:
            yield "this varied more than one person's ordinary speech does: enroll again"

    def _variance(self) -> float:
        """Variance of the windows' logits about their mean, in that of one voice and class."""
        logits = np.array([z for z, _ in self._windows])
        weights = np.array([seconds for _, seconds in self._windows]) / self.seconds
        apart = logits - weights @ logits
        return float(weights @ _mean_square(apart, self._head.noise_covariance))


def _mean_square(
    vectors: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean square (n,) of `vectors` (n, n_labels) over the logits, in units of `covariance`."""
    classes = len(covariance)
    ridge = 1e-3 * np.trace(covariance) / classes * np.eye(classes)
    solved = np.linalg.solve(covariance + ridge, vectors.T).T
    return (vectors * solved).mean(axis=1)
