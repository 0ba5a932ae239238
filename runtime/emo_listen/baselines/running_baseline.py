"""The baseline of whoever speaks, estimated from the stream while it is heard.

The state is the shift s (n_labels,) of this voice's ordinary speech in the space of the logits. A
window's logits are taken for

    bias + s + class_offsets[c] + noise

where c is the class that is being spoken. How probable each class is, by the present estimate of s
and how sure that is, tells what the emotion adds on average; that is taken off, and what remains
counts towards the mean. So an angry voice stays angry, and a voice that is merely unlike the
population's becomes ordinary.
(The online form of the expectation-maximisation algorithm for a mixture of Gaussians whose means
are known but for one common shift; Cappé and Moulines 2009, "On-line expectation-maximization
algorithm for latent data models".)

Chosen on EMO-DB, CREMA-D's validation actors and LibriSpeech's validation readers, where it was
better than a switching Kalman filter over the same model of speech (train/EXPERIMENTS.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emo_listen.head import Head
from emo_listen.smoothing import softmax

POPULATION_SECONDS = 3.0
"""Seconds of speech that the population's baseline counts for beside the voice's own. With 1 to 8
the recalls differ by 4 points on EMO-DB, best with 3, and not on CREMA-D."""

UNKNOWN_SECONDS = 10.0
"""Seconds of speech after which half of what voices differ by still counts as unknown of this one.
Where nothing is unknown, a voice far from the population keeps being taken for an emotion:
LibriSpeech's readers, heard by a model that was trained on CREMA-D alone, for 0.32 of the time,
with 5 s for 0.09 and with 20 s for 0.08. Emotions lose two points of recall by it on EMO-DB."""

MOST_SECONDS = 30.0
"""Seconds of speech that what was heard counts for at most: what is older is forgotten, so that a
new speaker is followed. From 20 to 60 recalls hardly differ; a new speaker's ordinary speech is
taken for an emotion in 0.08 of the first 20 s, later in 0.04 with 20, 0.06 with 30 and 0.07 with
60; of 400 s of happiness 0.39, 0.51 and 0.54 are told (EMO-DB)."""

FARTHEST = 6.0
"""Logits by which one window may lie from what is expected, so that a noise moves the mean little:
above the largest offset of a class that was measured (3.9)."""


class RunningBaseline:
    """Estimates the shift of the present speaker's ordinary speech."""

    def __init__(self, head: Head, most_seconds: float = MOST_SECONDS) -> None:
        """Begin at the population's baseline.

        Args:
            head: What is known of classes, voices and noise.
            most_seconds: Seconds of speech that what was heard counts for at most; infinite where
                all is of one voice.
        """
        self._head = head
        self._most_seconds = most_seconds
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
        """Speech that it rests on, in seconds, at most that which it remembers."""
        return self._seconds

    @property
    def unknown(self) -> float:
        """Share, 0 to 1, of what voices differ by that is still unknown of this one."""
        return UNKNOWN_SECONDS / (UNKNOWN_SECONDS + self._seconds)

    @property
    def class_probabilities(self) -> NDArray[np.float64]:
        """Probability (n_labels,) of each class in the last window; at first the prior."""
        return self._probabilities

    def update(self, logits: NDArray[np.floating], seconds: float) -> None:
        """Take a window.

        Args:
            logits: (n_labels,), relative to the population's baseline, finite.
            seconds: Speech in the window that no earlier one had.
        """
        if seconds <= 0:
            return
        shift = self.shift
        relative = np.clip(logits - self._head.bias - shift, -FARTHEST, FARTHEST)
        apart = relative - self._head.class_offsets
        expected = self._noise + self.unknown * self._head.speaker_covariance
        distance = (apart * np.linalg.solve(expected, apart.T).T).sum(axis=1)
        self._probabilities = softmax(self._prior - distance / 2)
        emotion = self._probabilities @ self._head.class_offsets
        self._sum += seconds * (shift + relative - emotion)
        self._seconds += seconds
        if self._seconds > self._most_seconds:
            self._sum *= self._most_seconds / self._seconds
            self._seconds = self._most_seconds
