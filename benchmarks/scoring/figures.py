"""Figures of a classifier: accuracy, calibration and confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluation.calibration import Answers, above, calibration_error, reliability
from train.evaluation.metrics import ClassifierMetrics

RESAMPLES = 2000
"""Bootstrap samples of an interval."""

SEED = 0
"""Seed of the bootstrap."""

FEWEST_SPEAKERS = 3
"""Fewest speakers for which an interval is given."""

INTERVAL = "accuracy_95"
"""Key of the 95 % interval of the accuracy."""

NEUTRAL = "neutral"
"""Class of ordinary speech."""


def figures(answers: Answers, labels: list[str], uncertain_below: float) -> dict[str, Any]:
    """Compute all figures of `answers`, whose logits are logarithms of calibrated probabilities.

    Returns:
        Fractions: `accuracy`, `accuracy_95` (low, high; absent if `speaker_interval` is None),
        `uar`, `macro_f1`, `recall_*` of each class that occurs, `expected_calibration_error` and,
        if labels can be `uncertain`, `certain` (the fraction of labels that are not) and
        `accuracy_certain` (of those; None if there are none).
    """
    right, confidences = answers.right, answers.confidences(1.0)
    scores = ClassifierMetrics(labels).score(answers.logits.argmax(axis=1), answers.classes)
    found: dict[str, Any] = {"accuracy": scores.pop("accuracy")}
    if (interval := speaker_interval(answers)) is not None:
        found[INTERVAL] = interval
    found |= scores
    found["expected_calibration_error"] = calibration_error(reliability(confidences, right))
    if uncertain_below:
        coverage, accuracy = above(confidences, right, uncertain_below)
        found["certain"] = coverage
        found["accuracy_certain"] = accuracy if coverage else None
    return found


def speaker_interval(answers: Answers, *, uar: bool = False) -> list[float] | None:
    """Compute the 95 % interval of the accuracy by a bootstrap over speakers.

    Clips of one speaker are similar, so a bootstrap over clips would give too narrow an interval.

    Args:
        answers: answers for clips.
        uar: compute the interval of the unweighted average recall instead.

    Returns:
        Low and high end, 0 to 1; None for fewer than `FEWEST_SPEAKERS` or unknown speakers.
    """
    if None in answers.speakers or len(set(answers.speakers)) < FEWEST_SPEAKERS:
        return None
    names, of_row = np.unique(np.array(answers.speakers, str), return_inverse=True)
    classes = answers.classes if uar else np.zeros_like(answers.classes)
    shape = (len(names), int(classes.max()) + 1)
    right, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(right, (of_row, classes), answers.right)
    np.add.at(counts, (of_row, classes), 1)
    return bootstrap_interval(right, counts)


def bootstrap_interval(part: NDArray[np.float64], whole: NDArray[np.float64]) -> list[float] | None:
    """Compute the 95 % interval of a mean ratio by a bootstrap over speakers.

    Args:
        part: `(n_speakers, n_classes)`.
        whole: of which `part` is a part; the same shape.

    Returns:
        Low and high end, 0 to 1, of the mean ratio over the classes that occur; None for fewer than
        `FEWEST_SPEAKERS`.
    """
    count = len(whole)
    if count < FEWEST_SPEAKERS:
        return None
    samples = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count))
    part, whole = part[samples].sum(axis=1), whole[samples].sum(axis=1)
    ratios = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    means = ratios.sum(axis=1) / np.maximum((whole > 0).sum(axis=1), 1)
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]


def neutral_errors(answers: Answers, labels: list[str]) -> dict[str, float]:
    """Compute how often neutral speech is labelled emotional, and the reverse.

    Returns:
        Fractions: `neutral_called_emotional` and `emotional_called_neutral`; each is absent if
        there is no such speech, and both if the model has no class `neutral`.
    """
    if NEUTRAL not in labels:
        return {}
    neutral = labels.index(NEUTRAL)
    true, given = answers.classes == neutral, answers.logits.argmax(axis=1) == neutral
    found = {}
    if true.any():
        found["neutral_called_emotional"] = float((~given[true]).mean())
    if (~true).any():
        found["emotional_called_neutral"] = float(given[~true].mean())
    return found
