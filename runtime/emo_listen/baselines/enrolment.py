"""Collects a voice's ordinary speech for a baseline, and checks that it was ordinary."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emo_listen.baselines.baseline import Baseline
from emo_listen.baselines.running_baseline import RunningBaseline
from emo_listen.head import NEUTRAL
from emo_listen.model import EmotionModel
from emo_listen.prediction import Output

TARGET_SECONDS = 20.0
"""Recommended amount of speech, in seconds."""

MIN_SECONDS = 5.0
"""Amount of speech below which no baseline is made, in seconds."""

MAX_DISTANCE = 3.0
"""Distance from the mean speaker above which speech is unlikely to be ordinary, in standard
deviations between speakers (root mean square over the logits)."""

MAX_EMOTIONAL_SHARE = 0.3
"""Share of one emotion in the speech above which it is not ordinary."""

MAX_VARIANCE = 2.5
"""Variance of the windows above which the speech varies too much, relative to the variance within
one voice and class."""


class Enrolment:
    """A reference that uses the population's baseline and collects the speech."""

    def __init__(self, model: EmotionModel) -> None:
        """Start without any speech.

        Raises:
            BaselineError: the model does not support baselines.
        """
        self.model = model
        self._head = model.require_head()
        self._total = np.zeros(self._head.size)
        self._windows: list[tuple[NDArray[np.float64], float]] = []
        self.shift: NDArray[np.float64] = np.zeros(len(model.labels))
        self.seconds = 0.0
        self.unknown = 1.0

    def update(self, output: Output, seconds: float) -> None:
        """Add the model's output for a window with `seconds` of new speech."""
        assert output.embedding is not None
        self._total += seconds * output.embedding
        self._windows.append((output.logits, seconds))
        self.seconds += seconds

    def baseline(self) -> Baseline:
        """Return the mean of the speech, of which there must be some."""
        return Baseline.of(self.model, self._total / self.seconds, self.seconds)

    def warnings(self) -> Iterator[str]:
        """Yield the reasons why this may not be the ordinary speech of one voice."""
        if self.seconds < TARGET_SECONDS:
            yield f"only {self.seconds:.1f} s of speech: {TARGET_SECONDS:.0f} s are recommended"
        estimate = RunningBaseline(self._head, math.inf)
        shares = np.zeros(len(self.model.labels))
        for logits, seconds in self._windows:
            estimate.update(logits, seconds)
            shares += seconds * estimate.class_probabilities / self.seconds
        for label, share in zip(self.model.labels, shares, strict=True):
            if label != NEUTRAL and share > MAX_EMOTIONAL_SHARE:
                yield f"this sounded like {label}, not like ordinary speech: enroll again"
        shift = self._head.shift(self._total / self.seconds)
        if _mean_square(shift[None], self._head.speaker_covariance)[0] > MAX_DISTANCE**2:
            yield (
                "this is very different from the ordinary speech of the voices that the model "
                "knows: speak as usual, without background noise, and enroll again"
            )
        if self._variance() > MAX_VARIANCE:
            yield "this varied more than the ordinary speech of one person: enroll again"

    def _variance(self) -> float:
        """Return the variance of the windows' logits, relative to that of one voice and class."""
        logits = np.array([z for z, _ in self._windows])
        weights = np.array([seconds for _, seconds in self._windows]) / self.seconds
        deviations = logits - weights @ logits
        return float(weights @ _mean_square(deviations, self._head.noise_covariance))


def _mean_square(
    vectors: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean square (n,) of `vectors` (n, n_labels), in units of `covariance`."""
    classes = len(covariance)
    ridge = 1e-3 * np.trace(covariance) / classes * np.eye(classes)
    solved = np.linalg.solve(covariance + ridge, vectors.T).T
    squares: NDArray[np.float64] = (vectors * solved).mean(axis=1)
    return squares
