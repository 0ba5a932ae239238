"""The baseline of whoever speaks, estimated from the stream while it is heard.

The state is the shift s (n_labels,) of this voice's ordinary speech in the space of the logits. A
window's logits, relative to the population's baseline, are

    z = s + class_offsets[c] + noise,    s ~ N(0, speaker_covariance)

where the class c is as a rule neutral, and lasts. Which part of z is the voice and which the
emotion is weighed by Bayes' rule: for each class the filter keeps a Gaussian over s, given that
this class is being spoken now, and the probability of that. So an angry voice stays angry (its
anger is taken off before it counts as the voice), and a voice that is merely unlike the population
becomes ordinary. A switching Kalman filter; after each window the hypotheses of one class are
merged into one Gaussian (the second-order generalised pseudo-Bayesian method).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_listen.head import Head


@dataclass(frozen=True)
class Dynamics:
    """How fast things change in a stream; all in seconds of speech."""

    memory: float = 3600.0
    """Time constant with which a voice, room and microphone drift from what they were."""

    emotion: float = 300.0
    """Mean time before a class gives way to another one, drawn from the prior."""

    speaker: float = 600.0
    """Mean time before another person speaks."""

    emotional_noise: float = 3.0
    """Factor of the noise covariance of classes other than neutral (no unit): speakers differ more
    in their anger than in their ordinary speech."""


class RunningBaseline:
    """Estimates the shift of the present speaker's ordinary speech."""

    def __init__(self, head: Head, window: float, dynamics: Dynamics | None = None) -> None:
        """Begin at the population's baseline.

        Args:
            head: What is known of speakers, classes and noise.
            window: Seconds of speech of which `head.noise_covariance` tells.
            dynamics: How fast things change.
        """
        dynamics = dynamics or Dynamics()
        self._window = window
        self._dynamics = dynamics
        self._offsets = head.class_offsets
        self._prior = head.prior
        self._speaker = head.speaker_covariance
        classes = len(head.prior)
        ordinary = np.abs(head.class_offsets).sum(axis=1) == 0
        self._factor = np.where(ordinary, 1.0, dynamics.emotional_noise)
        ridge = 1e-6 * np.trace(head.noise_covariance) / classes * np.eye(classes)
        self._noise = head.noise_covariance + ridge
        self._weights = head.prior.copy()
        self._means = np.zeros((classes, classes))
        self._covariances = np.tile(head.speaker_covariance, (classes, 1, 1))
        self._seconds = np.zeros(classes)

    @property
    def shift(self) -> NDArray[np.float64]:
        """The estimate (n_labels,), relative to the population's baseline."""
        return self._weights @ self._means

    @property
    def seconds(self) -> float:
        """Speech that it rests on, in seconds; emotional speech counts for less."""
        return float(self._weights @ self._seconds)

    @property
    def class_probabilities(self) -> NDArray[np.float64]:
        """Probability (n_labels,) of each class being spoken now."""
        return self._weights

    def update(self, logits: NDArray[np.floating], seconds: float) -> None:
        """Take a window.

        Args:
            logits: (n_labels,), relative to the population's baseline, finite.
            seconds: Speech in the window that no earlier one had.
        """
        if seconds <= 0:
            return
        self._drift(seconds)
        self._observe(logits.astype(np.float64), seconds)

    def _drift(self, seconds: float) -> None:
        """Let classes change, and the voice drift towards any other."""
        stay = math.exp(-seconds / self._dynamics.emotion)
        weights = np.stack((stay * self._weights, (1 - stay) * self._prior))
        mean, covariance, heard = _merge(
            self._weights, self._means, self._covariances, self._seconds
        )
        self._weights, self._means, self._covariances, self._seconds = _merge_pairs(
            weights,
            np.stack((self._means, np.broadcast_to(mean, self._means.shape))),
            np.stack((self._covariances, np.broadcast_to(covariance, self._covariances.shape))),
            np.stack((self._seconds, np.broadcast_to(heard, self._seconds.shape))),
        )
        kept = math.exp(-seconds / self._dynamics.memory)
        self._means = kept * self._means
        self._covariances = kept**2 * self._covariances + (1 - kept**2) * self._speaker
        self._seconds = kept * self._seconds

    def _observe(self, logits: NDArray[np.float64], seconds: float) -> None:
        """Weigh, for each class, the same speaker against a new one by what was heard."""
        same = math.exp(-seconds / self._dynamics.speaker)
        weights = np.stack((same * self._weights, (1 - same) * self._weights))
        means = np.stack((self._means, np.zeros_like(self._means)))
        covariances = np.stack(
            (self._covariances, np.broadcast_to(self._speaker, self._covariances.shape))
        )
        heard = np.stack((self._seconds, np.zeros_like(self._seconds)))
        noise = self._noise * (self._factor * self._window / seconds)[:, None, None]
        expected = covariances + noise
        gains = np.swapaxes(np.linalg.solve(expected, covariances), -1, -2)
        surprise = (logits - self._offsets) - means
        solved = np.linalg.solve(expected, surprise[..., None])[..., 0]
        distance = (surprise * solved).sum(-1)
        likelihood = -0.5 * (distance + np.linalg.slogdet(expected)[1])
        with np.errstate(divide="ignore"):
            logs = np.log(weights) + likelihood
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        means = means + (gains @ surprise[..., None])[..., 0]
        covariances = covariances - gains @ covariances
        covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
        heard = heard + seconds / self._factor
        self._weights, self._means, self._covariances, self._seconds = _merge_pairs(
            weights, means, covariances, heard
        )


def _merge(
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    seconds: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean, covariance and mean seconds of a mixture of Gaussians along the first axis."""
    mean = weights @ means
    apart = means - mean
    spread = (weights[:, None, None] * (apart[:, :, None] * apart[:, None, :])).sum(0)
    return mean, np.tensordot(weights, covariances, 1) + spread, float(weights @ seconds)


def _merge_pairs(
    weights: NDArray[np.float64],
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    seconds: NDArray[np.float64],
) -> tuple[NDArray[np.float64], ...]:
    """For each class merge two Gaussians, along the first axis, into one."""
    total = weights.sum(0)
    # Where both weigh nothing, the first stays as it is.
    shares = np.where(total > 0, weights / np.maximum(total, 1e-300), [[1.0], [0.0]])
    mean = (shares[..., None] * means).sum(0)
    apart = means - mean
    covariance = (
        shares[..., None, None] * (covariances + apart[..., :, None] * apart[..., None, :])
    ).sum(0)
    return total, mean, covariance, (shares * seconds).sum(0)
