"""Figures of a classifier: how often it is right, how far its confidence can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

from train.evaluation.calibration import Answers, above, calibration_error, reliability
from train.evaluation.metrics import ClassifierMetrics

RESAMPLES = 2000
"""Times that speakers are drawn again for an interval."""

SEED = 0
"""Of those draws."""

FEWEST_SPEAKERS = 3
"""Fewest speakers from which an interval is told."""

INTERVAL = "accuracy_95"
"""Name of the 95 % interval of the accuracy."""

NEUTRAL = "neutral"
"""Class of ordinary speech."""


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


def speaker_interval(answers: Answers, *, uar: bool = False) -> list[float] | None:
    """Interval that holds 95 % of the accuracies when whole speakers are drawn again.

    Clips of one speaker are alike, so that drawing clips would give too narrow an interval.

    Args:
        answers: of clips.
        uar: tell the interval of the unweighted average recall instead.

    Returns:
        Its low and high end, 0 to 1; None for fewer than `FEWEST_SPEAKERS` or unknown speakers.
    """
    if None in answers.speakers:
        return None
    names, of_row = np.unique(np.array(answers.speakers, str), return_inverse=True)
    if len(names) < FEWEST_SPEAKERS:
        return None
    classes = answers.classes if uar else np.zeros_like(answers.classes)
    shape = (len(names), int(classes.max()) + 1)
    right, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(right, (of_row, classes), answers.right)
    np.add.at(counts, (of_row, classes), 1)
    drawn = np.random.default_rng(SEED).integers(len(names), size=(RESAMPLES, len(names)))
    right, counts = right[drawn].sum(axis=1), counts[drawn].sum(axis=1)
    recalls = np.divide(right, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return [float(end) for end in np.percentile(np.nanmean(recalls, axis=1), [2.5, 97.5])]


def neutral_errors(answers: Answers, labels: list[str]) -> dict[str, float]:
    """Tell how often ordinary speech is called emotional, and emotional speech ordinary.

    Returns:
        Fractions: `neutral_called_emotional` and `emotional_called_neutral`; each is absent where
        there is no such speech, both are where the model has no class `neutral`.
    """
    if NEUTRAL not in labels:
        return {}
    neutral = labels.index(NEUTRAL)
    true, given = answers.classes == neutral, answers.logits.argmax(axis=1) == neutral
    told = {}
    if true.any():
        told["neutral_called_emotional"] = float((~given[true]).mean())
    if (~true).any():
        told["emotional_called_neutral"] = float(given[~true].mean())
    return told
