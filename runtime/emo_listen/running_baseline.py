"""The baseline of whoever speaks, estimated from the stream while it is heard.

The state is the shift s (n_labels,) of this voice's ordinary speech in the space of the logits. A
window's logits, relative to the population's baseline, are

    z = bias + s + class_offsets[c] + noise,    s ~ N(0, speaker_covariance)

where c is the class that is being spoken. What of z is the voice and what the emotion is weighed by
Bayes' rule. For each class the filter keeps the probability that it is being spoken now and, given
that, a Gaussian over s: a switching Kalman filter, whose hypotheses are merged into one for each
class after every window. An emotion's offset is taken off before its speech counts as the voice's,
so that anger stays anger; a voice that is merely unlike the population's becomes ordinary.

Two things keep ten minutes of anger from being taken for an odd voice. Classes last, and the next
one is drawn from those that this voice has spoken as well as from the prior (a Polya urn), so that
long anger is one unlikely event and not hundreds. And the voice's shift has its own prior.

Another speaker may begin at any time: each class has a second hypothesis that starts from the
population's baseline. Evidence is weighed by seconds of new speech, so that windows may overlap,
and short ones weigh little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from emo_listen.head import Head

OUTLIER = 3.0
"""Distance of a turn from what a hypothesis expects, in standard deviations (root mean square over
the logits), beyond which more is neither learned nor evidence: noise, a cough, a door."""

TINY = 1e-12
"""Least probability of a hypothesis (no unit): none is ever given up for good."""


@dataclass(frozen=True)
class Dynamics:
    """How fast things change in a stream."""

    memory: float = 3600.0
    """Time constant with which a voice, room and microphone drift, in seconds of speech."""

    episode: float = 5.0
    """Mean time for which a class is spoken before the next is drawn, in seconds of speech."""

    concentration: float = 3.0
    """Episodes that the prior over classes counts for beside those heard in this stream."""

    speaker: float = 600.0
    """Mean time before another person speaks, in seconds of speech."""

    emotional_noise: float = 2.0
    """Factor of the noise of emotional speech where the shift is learned from it, 1 or more (no
    unit): speakers differ more in their emotions than in their ordinary speech."""


STEADY = Dynamics(memory=math.inf, speaker=math.inf)
"""Of recordings of one voice that are heard as a whole."""


class RunningBaseline:
    """Estimates the shift of the present speaker's ordinary speech."""

    def __init__(self, head: Head, window: float, dynamics: Dynamics | None = None) -> None:
        """Begin at the population's baseline.

        Args:
            head: What is known of speakers, classes and noise.
            window: Seconds of speech of which `head.noise_covariance` tells.
            dynamics: How fast things change.
        """
        classes = len(head.prior)
        ordinary = np.abs(head.class_offsets).sum(axis=1) == 0
        ridge = 1e-6 * np.trace(head.noise_covariance) / classes * np.eye(classes)
        self._window = window
        self._dynamics = dynamics or Dynamics()
        self._expected = head.bias + head.class_offsets
        self._prior = head.prior
        self._factor = np.where(ordinary, 1.0, self._dynamics.emotional_noise)
        self._noise = head.noise_covariance + ridge
        self._newcomer = _Hypotheses(
            weights=head.prior,
            means=np.zeros((classes, classes)),
            covariances=np.tile(head.speaker_covariance, (classes, 1, 1)),
            episodes=np.zeros((classes, classes)),
            seconds=np.zeros(classes),
        )
        self._settled = self._now = self._newcomer
        self._turn = np.zeros(classes)
        self._turn_seconds = 0.0

    @property
    def shift(self) -> NDArray[np.float64]:
        """The estimate (n_labels,), relative to the population's baseline."""
        return self._now.weights @ self._now.means

    @property
    def seconds(self) -> float:
        """Speech that it rests on, in seconds; emotional speech counts for less."""
        return float(self._now.weights @ self._now.seconds)

    @property
    def class_probabilities(self) -> NDArray[np.float64]:
        """Probability (n_labels,) of each class being spoken now."""
        return self._now.weights

    def update(self, logits: NDArray[np.floating], seconds: float) -> None:
        """Take a window.

        Args:
            logits: (n_labels,), relative to the population's baseline, finite.
            seconds: Speech in the window that no earlier one had.
        """
        if seconds <= 0:
            return
        self._turn_seconds += seconds
        self._turn = self._turn + (logits - self._turn) * (seconds / self._turn_seconds)
        self._now = self._after(self._turn, self._turn_seconds)
        if self._turn_seconds >= self._window:
            self.pause()

    def pause(self) -> None:
        """Take what has been heard since the last pause for one turn: nobody speaks any more.

        The windows of a turn, or of one window's length of it, are weighed as one: hypotheses that
        one short window speaks for would be lost in the merging.
        """
        self._settled = self._now
        self._turn_seconds = 0.0

    def _after(self, logits: NDArray[np.float64], seconds: float) -> _Hypotheses:
        """Return what follows from the mean logits (n_labels,) of `seconds` of speech."""
        same = math.exp(-seconds / self._dynamics.speaker)
        before = _joined(same, self._drifted(seconds), self._newcomer)
        logs, after = self._learned(before, logits, seconds)
        weights = np.exp(logs - logs.max())
        weights = np.maximum(weights / weights.sum(), TINY)
        return _merged(weights[:, None] * np.tile(np.eye(len(self._prior)), (2, 1)), after)

    def _drifted(self, seconds: float) -> _Hypotheses:
        """Let the class change, and the voice drift towards any other."""
        now, dynamics = self._settled, self._dynamics
        likely = dynamics.concentration * self._prior + now.episodes
        likely /= likely.sum(axis=1, keepdims=True)
        stay = math.exp(-seconds / dynamics.episode)
        change = stay * np.eye(len(likely)) + (1 - stay) * likely
        now = _merged(now.weights[:, None] * change, now)
        kept = math.exp(-seconds / dynamics.memory)
        return _Hypotheses(
            weights=now.weights,
            means=kept * now.means,
            covariances=kept**2 * now.covariances + (1 - kept**2) * self._newcomer.covariances,
            episodes=kept * now.episodes,
            seconds=kept * now.seconds,
        )

    def _learned(
        self, before: _Hypotheses, logits: NDArray[np.float64], seconds: float
    ) -> tuple[NDArray[np.float64], _Hypotheses]:
        """Learn from `logits` (n_labels,), each hypothesis as if it were true.

        Returns:
            Logarithm of each hypothesis's probability, up to a constant, and what follows from it.
        """
        repeats = len(before.weights) // len(self._prior)
        expected = np.tile(self._expected, (repeats, 1))
        factor = np.tile(self._factor, repeats)
        surprise = logits - expected - before.means
        noise = self._noise * (self._window / seconds)
        spread = before.covariances + noise
        distance = (surprise * np.linalg.solve(spread, surprise[..., None])[..., 0]).sum(-1)
        believed = np.minimum(distance, len(logits) * OUTLIER**2)
        with np.errstate(divide="ignore"):
            logs = np.log(before.weights) - 0.5 * (believed + np.linalg.slogdet(spread)[1])
        surprise = surprise * np.sqrt(believed / np.maximum(distance, TINY))[:, None]
        spread = before.covariances + noise * factor[:, None, None]
        gain = np.swapaxes(np.linalg.solve(spread, before.covariances), -1, -2)
        covariances = before.covariances - gain @ before.covariances
        spoken = np.tile(np.eye(len(self._prior)), (repeats, 1))
        return logs, _Hypotheses(
            weights=before.weights,
            means=before.means + (gain @ surprise[..., None])[..., 0],
            covariances=(covariances + np.swapaxes(covariances, -1, -2)) / 2,
            episodes=before.episodes + spoken * (seconds / self._dynamics.episode),
            seconds=before.seconds + seconds / factor,
        )


@dataclass(frozen=True)
class _Hypotheses:
    """For each class, that it is being spoken now: how probable, and what would follow."""

    weights: NDArray[np.float64]
    """(n_labels,): probability."""

    means: NDArray[np.float64]
    """(n_labels, n_labels): mean shift, a row for each class."""

    covariances: NDArray[np.float64]
    """(n_labels, n_labels, n_labels): of the shift."""

    episodes: NDArray[np.float64]
    """(n_labels, n_labels): episodes of each class that this voice has spoken, a row for each."""

    seconds: NDArray[np.float64]
    """(n_labels,): speech that the shift rests on."""


def _joined(same: float, known: _Hypotheses, newcomer: _Hypotheses) -> _Hypotheses:
    """Both sets of hypotheses, one after the other, of which the first has the chance `same`."""
    chances = {"weights": (same * known.weights, (1 - same) * newcomer.weights)}
    return _Hypotheses(
        **{
            field.name: np.concatenate(
                chances.get(field.name, (getattr(known, field.name), getattr(newcomer, field.name)))
            )
            for field in fields(_Hypotheses)
        }
    )


def _merged(joint: NDArray[np.float64], before: _Hypotheses) -> _Hypotheses:
    """Merge, for each class, the hypotheses that lead to it into one.

    Args:
        joint: (n, n_labels): probability of a hypothesis before (row) and a class after (column).
        before: the n hypotheses before.
    """
    weights = joint.sum(axis=0)
    shares = (joint / np.maximum(weights, TINY)).T
    means = shares @ before.means
    apart = before.means[None] - means[:, None]
    spread = np.einsum("ab,abi,abj->aij", shares, apart, apart)
    return _Hypotheses(
        weights=weights,
        means=means,
        covariances=np.tensordot(shares, before.covariances, 1) + spread,
        episodes=shares @ before.episodes,
        seconds=shares @ before.seconds,
    )
