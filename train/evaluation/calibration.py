"""Calibration: temperature, reliability, and the threshold of `uncertain`.

Everything here works on arrays, one row or element per window or segment of sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

BINS = 10
"""Bins of equal width for comparing confidence and accuracy."""

TEMPERATURES = (0.05, 20.0)
"""Range of the search (no unit)."""

THRESHOLDS = np.arange(100) / 100
"""Candidates for the confidence below which a label is uncertain (0 to below 1)."""

FEWEST = 50
"""Fewest segments above a threshold for which an accuracy is reported."""


@dataclass
class Answers:
    """A model's predictions of sound whose class is known: windows, segments or clips."""

    logits: Floats
    """Scores `(n, n_classes)` before the softmax, up to a constant for each row (no unit)."""

    classes: Integers
    """Indices of the true classes `(n,)`."""

    speakers: list[str | None]
    """Speaker of each of the n rows; None if unknown."""

    @property
    def right(self) -> Booleans:
        """Whether the most probable class is correct, `(n,)`."""
        return self.logits.argmax(axis=1) == self.classes

    def confidences(self, temperature: float) -> Floats:
        """Probability of the most probable class at `temperature`, `(n,)`, 0 to 1."""
        return softmax(self.logits / temperature, axis=1).max(axis=1)

    def select(self, rows: Booleans) -> Answers:
        """Select the rows where `rows` `(n,)` is true."""
        speakers = [self.speakers[i] for i in np.flatnonzero(rows)]
        return Answers(self.logits[rows], self.classes[rows], speakers)

    def without_each_speaker(self) -> Iterator[tuple[Booleans, Answers]]:
        """Yield for each speaker a mask `(n,)` of the speaker's rows, and the other rows.

        Yields nothing if a speaker is unknown, or if there is only one.
        """
        names = sorted({name for name in self.speakers if name is not None})
        if None in self.speakers or len(names) < 2:
            return
        for name in names:
            of_speaker = np.array([speaker == name for speaker in self.speakers])
            yield of_speaker, self.select(~of_speaker)


@dataclass
class HeldOut:
    """Expected figures for speakers that were not used to calibrate."""

    expected_calibration_error: float
    """ECE of windows, 0 to 1."""

    coverage: float
    """Fraction of the segments that are certain, 0 to 1."""

    accuracy: float
    """Accuracy of those, 0 to 1; NaN if none is certain."""


def fit_temperature(logits: Floats, classes: Integers) -> float:
    """Find the temperature that maximises the likelihood of `classes`.

    Args:
        logits: `(n, n_classes)`, up to a constant for each row.
        classes: true class indices `(n,)`.
    """
    rows = np.arange(len(classes))

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, classes].mean())

    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds, bounds=bounds).x))


def reliability(confidences: Floats, right: Booleans) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and count in each of `BINS` bins that is not empty.

    Args:
        confidences: `(n,)`, probability of the predicted label.
        right: `(n,)`, whether that label is correct.
    """
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return [
        (float(confidences[bins == b].mean()), float(right[bins == b].mean()), int(n))
        for b in range(BINS)
        if (n := (bins == b).sum())
    ]


def calibration_error(rows: list[tuple[float, float, int]]) -> float:
    """Return the expected calibration error (ECE, 0 to 1) of the rows of `reliability`."""
    total = sum(count for _, _, count in rows)
    return sum(count * abs(confidence - right) for confidence, right, count in rows) / total


def above(confidences: Floats, right: Booleans, threshold: float) -> tuple[float, float]:
    """Coverage and accuracy (NaN if there are none) of confidences from `threshold` on."""
    certain = confidences >= threshold
    return float(certain.mean()), float(right[certain].mean()) if certain.any() else float("nan")


def choose_threshold(confidences: Floats, right: Booleans, rate: float) -> float | None:
    """Find the smallest of `THRESHOLDS` with an accuracy of at least `rate` above it.

    The accuracy must also hold at every higher threshold that leaves `FEWEST` segments: one that is
    reached and then lost again at higher confidences is not reliable.

    Args:
        confidences: `(n,)`, probability of the predicted label.
        right: `(n,)`, whether that label is correct.
        rate: required accuracy, 0 to 1.

    Returns:
        The threshold; 0 if all segments reach the rate, None if no threshold does.
    """
    chosen = None
    for threshold in THRESHOLDS[::-1]:
        if (confidences >= threshold).sum() < FEWEST:
            continue
        if above(confidences, right, threshold)[1] < rate:
            break
        chosen = float(threshold)
    return chosen


def held_out(windows: Answers, segments: Answers, rate: float) -> HeldOut | None:
    """Calibrate on all speakers but one, and evaluate on that one, for each in turn.

    Args:
        windows: for fitting the temperature.
        segments: of the same speakers, for choosing the threshold.
        rate: as for `choose_threshold`; if no threshold reaches it, all of a speaker's segments
            are certain.

    Returns:
        Figures of all speakers together; None if speakers are unknown or too few.
    """
    right = segments.right
    confidences, certain = np.zeros(len(windows.classes)), np.zeros(len(right), bool)
    folds = 0
    for of_speaker, others in windows.without_each_speaker():
        temperature = fit_temperature(others.logits, others.classes)
        confidences[of_speaker] = windows.select(of_speaker).confidences(temperature)
        name = windows.speakers[int(np.flatnonzero(of_speaker)[0])]
        theirs = np.array([speaker == name for speaker in segments.speakers])
        at = segments.confidences(temperature)
        threshold = choose_threshold(at[~theirs], right[~theirs], rate)
        certain[theirs] = at[theirs] >= (threshold or 0.0)
        folds += 1
    if not folds:
        return None
    return HeldOut(
        expected_calibration_error=calibration_error(reliability(confidences, windows.right)),
        coverage=float(certain.mean()),
        accuracy=float(right[certain].mean()) if certain.any() else float("nan"),
    )
