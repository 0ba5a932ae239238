"""A running estimate of the current speaker's baseline.

The state is the shift s (n_labels,) of the voice's ordinary speech in the space of the logits. The
logits of a window are modelled as

    bias + s + class_offsets[c] + noise

where c is the spoken class. From the current estimate of s and its uncertainty follows the
probability of each class, and from that the expected offset of the emotion. It is subtracted, and
the rest updates the mean. An angry voice therefore stays angry, while a voice that just differs
from the population becomes neutral.
(This is online expectation maximisation for a mixture of Gaussians whose means are known except
for a common shift; Cappé and Moulines 2009, "On-line expectation-maximization algorithm for latent
data models".)

Chosen on EMO-DB, CREMA-D's validation actors and LibriSpeech's validation readers, where it was
better than a switching Kalman filter with the same model of speech (train/EXPERIMENTS.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emo_listen.head import Head
from emo_listen.smoothing import softmax

POPULATION_SECONDS = 3.0
"""Weight of the population's baseline relative to the voice's speech, in seconds of speech. From 1
to 8, recalls differ by 4 points on EMO-DB, where 3 is best, and not at all on CREMA-D."""

UNKNOWN_SECONDS = 10.0
"""Seconds of speech after which half of the variation between voices still counts as unknown.
If nothing counted as unknown, a voice far from the population would keep an emotional label: for
0.32 of the time on LibriSpeech's readers with a model trained only on CREMA-D, against 0.09 with
5 s and 0.08 with 20 s. It costs two points of the emotions' recall on EMO-DB."""

MAX_SECONDS = 30.0
"""Maximum weight of past speech, in seconds: older speech is forgotten, so a new speaker is
followed. From 20 to 60, recalls hardly differ. With 20, 30 and 60, a new speaker's ordinary speech
gets an emotional label in 0.08 of the first 20 s and later in 0.04, 0.06 and 0.07, and of 400 s of
happiness 0.39, 0.51 and 0.54 are recognised (EMO-DB)."""

MAX_RESIDUAL = 6.0
"""Maximum deviation of a window's logits from the expected ones, so that noise changes the mean
little; larger than the largest measured class offset (3.9)."""


class RunningBaseline:
    """Estimates the shift of the current speaker's ordinary speech."""

    def __init__(self, head: Head, max_seconds: float = MAX_SECONDS) -> None:
        """Start at the population's baseline.

        Args:
            head: The statistics of classes, voices and noise.
            max_seconds: Maximum weight of past speech, in seconds; infinite for a single voice.
        """
        self._head = head
        self._max_seconds = max_seconds
        classes = len(head.prior)
        ridge = 1e-3 * np.trace(head.noise_covariance) / classes * np.eye(classes)
        self._noise = head.noise_covariance + ridge
        with np.errstate(divide="ignore"):
            self._prior = np.log(head.prior)
        self._sum = np.zeros(classes)
        self._probabilities = head.prior
        self._seconds = 0.0

    @property
    def shift(self) -> NDArray[np.float64]:
        """The estimate (n_labels,), relative to the population's baseline."""
        return self._sum / (self._seconds + POPULATION_SECONDS)

    @property
    def seconds(self) -> float:
        """Speech that the estimate is based on, in seconds, at most `max_seconds`."""
        return self._seconds

    @property
    def unknown(self) -> float:
        """Share of the variation between voices that is unknown for this one, 0 to 1."""
        return UNKNOWN_SECONDS / (UNKNOWN_SECONDS + self._seconds)

    @property
    def class_probabilities(self) -> NDArray[np.float64]:
        """Probability (n_labels,) of each class in the last window; the prior before the first."""
        return self._probabilities

    def update(self, logits: NDArray[np.floating], seconds: float) -> None:
        """Update the estimate with a window.

        Args:
            logits: (n_labels,), relative to the population's baseline, finite.
            seconds: New speech in the window, which no earlier one contained.
        """
        if seconds <= 0:
            return
        shift = self.shift
        relative = np.clip(logits - self._head.bias - shift, -MAX_RESIDUAL, MAX_RESIDUAL)
        residuals = relative - self._head.class_offsets
        expected = self._noise + self.unknown * self._head.speaker_covariance
        distances = (residuals * np.linalg.solve(expected, residuals.T).T).sum(axis=1)
        self._probabilities = softmax(self._prior - distances / 2)
        emotion = self._probabilities @ self._head.class_offsets
        self._sum += seconds * (shift + relative - emotion)
        self._seconds += seconds
        if self._seconds > self._max_seconds:
            self._sum *= self._max_seconds / self._seconds
            self._seconds = self._max_seconds
