"""What calibration computes: a temperature, how far to trust a confidence, what to call certain.

Everything here works on arrays, one row or element for each window or segment of sound.
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
"""Bins of equal width in which confidence and accuracy are compared."""

TEMPERATURES = (0.05, 20.0)
"""Range that is searched (no unit)."""

THRESHOLDS = np.arange(100) / 100
"""Confidences below which a label may be called uncertain (probability, 0 to below 1)."""

FEWEST = 50
"""Fewest segments from which the accuracy above a threshold is told."""


@dataclass
class Answers:
    """What a model said of stretches of sound whose class is known: windows, segments or clips."""

    logits: Floats
    """Scores `(n, n_classes)` before the softmax, up to a constant for each row (no unit)."""

    classes: Integers
    """Indices of the true classes `(n,)`."""

    speakers: list[str | None]
    """Who speaks in each of the n stretches, where that is known."""

    @property
    def right(self) -> Booleans:
        """Whether the most probable class is the true one, `(n,)`."""
        return self.logits.argmax(axis=1) == self.classes

    def confidences(self, temperature: float) -> Floats:
        """Probability of the most probable class at `temperature`, `(n,)`, 0 to 1."""
        return softmax(self.logits / temperature, axis=1).max(axis=1)

    def select(self, rows: Booleans) -> Answers:
        """Take the stretches where `rows` `(n,)` is true."""
        speakers = [self.speakers[i] for i in np.flatnonzero(rows)]
        return Answers(self.logits[rows], self.classes[rows], speakers)

    def without_each_speaker(self) -> Iterator[tuple[Booleans, Answers]]:
        """Yield, for each speaker, where the stretches `(n,)` are that speaker's, and the others.

        Yields nothing where a speaker is unknown, or where there is only one.
        """
        names = sorted({name for name in self.speakers if name is not None})
        if None in self.speakers or len(names) < 2:
            return
        for name in names:
            of_speaker = np.array([speaker == name for speaker in self.speakers])
            yield of_speaker, self.select(~of_speaker)


@dataclass
class HeldOut:
    """What is to be expected of speakers who were not calibrated on."""

    expected_calibration_error: float
    """ECE of windows, 0 to 1."""

    coverage: float
    """Fraction of the segments that are certain, 0 to 1."""

    accuracy: float
    """Fraction of those that are right, 0 to 1; NaN where none is certain."""


def fit_temperature(logits: Floats, classes: Integers) -> float:
    """Find the temperature that makes `classes` most likely.

    Args:
        logits: `(n, n_classes)`, up to a constant for each window.
        classes: true class indices `(n,)`.
    """
    rows = np.arange(len(classes))

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, classes].mean())

    bounds = tuple(np.log(TEMPERATURES))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds, bounds=bounds).x))


def reliability(confidences: Floats, right: Booleans) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and count in each bin of `BINS` that is not empty.

    Args:
        confidences: `(n,)`, probability of the label that is given.
        right: `(n,)`, whether that label is the true one.
    """
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return [
        (float(confidences[bins == b].mean()), float(right[bins == b].mean()), int(n))
        for b in range(BINS)
        if (n := (bins == b).sum())
    ]


def calibration_error(rows: list[tuple[float, float, int]]) -> float:
    """Return the expected calibration error (ECE, 0 to 1) of what `reliability` gives."""
    total = sum(count for _, _, count in rows)
    return sum(count * abs(confidence - right) for confidence, right, count in rows) / total


def above(confidences: Floats, right: Booleans, threshold: float) -> tuple[float, float]:
    """Tell what remains at `threshold`: its fraction of all, and its accuracy (NaN for none)."""
    certain = confidences >= threshold
    return float(certain.mean()), float(right[certain].mean()) if certain.any() else float("nan")


def choose_threshold(confidences: Floats, right: Booleans, rate: float) -> float | None:
    """Find the smallest of `THRESHOLDS` above which what remains is right at `rate` or better.

    At it and at every higher one that leaves `FEWEST` segments: an accuracy that is reached once
    and lost again above is no rate to rely on.

    Args:
        confidences: `(n,)`, probability of the label that is given.
        right: `(n,)`, whether that label is the true one.
        rate: accuracy that is asked for, 0 to 1.

    Returns:
        The threshold, 0 where all segments may remain, None where no threshold is enough.
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
    """Fit and choose on all speakers but one, and apply it to that one; each in turn.

    Args:
        windows: to fit the temperature on.
        segments: of the same speakers, to choose the threshold on.
        rate: as `choose_threshold`; where no threshold is enough, all of a speaker is certain.

    Returns:
        What is found in all speakers together; None where speakers are unknown or too few.
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
