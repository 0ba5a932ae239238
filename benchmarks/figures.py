"""Figures of a classifier: how often it is right, how far its confidence can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration import Answers, above, calibration_error, reliability
from metrics import ClassifierMetrics

RESAMPLES = 2000
"""Times that speakers are drawn again for an interval."""

SEED = 0
"""Of those draws."""

FEWEST_SPEAKERS = 3
"""Fewest speakers from which an interval is told."""

INTERVAL = "accuracy_95"
"""Name of the 95 % interval of the accuracy."""


def figures(answers: Answers, labels: list[str], uncertain_below: float) -> dict[str, Any]:
    """Tell all figures of `answers`, whose logits are logarithms of calibrated probabilities.

    Returns:
        Fractions: `accuracy`, `accuracy_95` (low, high; absent where `speaker_interval` is),
        `uar`, `macro_f1`, `recall_*` of each class that occurs, `expected_calibration_error` and,
        where some labels are `uncertain`, `certain` (the fraction of labels that are not) and
        `accuracy_certain` (in those; None where there are none).
    """
    right, confidences = answers.right, answers.confidences(1.0)
    scores = ClassifierMetrics(labels).score(answers.logits.argmax(axis=1), answers.classes)
    told: dict[str, Any] = {"accuracy": scores.pop("accuracy")}
    if (interval := speaker_interval(answers)) is not None:
        told[INTERVAL] = interval
    told |= scores
    told["expected_calibration_error"] = calibration_error(reliability(confidences, right))
    if uncertain_below:
        coverage, accuracy = above(confidences, right, uncertain_below)
        told["certain"] = coverage
        told["accuracy_certain"] = accuracy if coverage else None
    return told


def speaker_interval(answers: Answers) -> list[float] | None:
    """Interval that holds 95 % of the accuracies when whole speakers are drawn again.

    Clips of one speaker are alike, so that drawing clips would give too narrow an interval.

    Returns:
        Its low and high end, 0 to 1; None for fewer than `FEWEST_SPEAKERS` or unknown speakers.
    """
    if None in answers.speakers:
        return None
    names, of_row = np.unique(np.array(answers.speakers, str), return_inverse=True)
    if len(names) < FEWEST_SPEAKERS:
        return None
    right = np.bincount(of_row, weights=answers.right)
    counts = np.bincount(of_row)
    drawn = np.random.default_rng(SEED).integers(len(names), size=(RESAMPLES, len(names)))
    accuracies = right[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return [float(end) for end in np.percentile(accuracies, [2.5, 97.5])]
