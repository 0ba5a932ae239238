"""Labels are averaged, and change only after another has led for a while."""

from __future__ import annotations

import numpy as np
import pytest

from emo_listen.smoothing import MIN_LEAD, SWITCH_MARGIN, TIME_CONSTANT, Smoother


def logits(label: int, confidence: float = 0.8) -> np.ndarray:
    rest = np.full(4, (1 - confidence) / 3)
    rest[label] = confidence
    return np.log(rest)


def test_the_average_is_of_logarithms_and_forgets():
    smoother = Smoother()
    one, two = logits(0, 0.7), logits(1, 0.9)
    assert smoother.push(one, 1.0)
    np.testing.assert_allclose(smoother.probabilities, np.exp(one))
    smoother.push(two, 1.0 + TIME_CONSTANT)
    kept = np.exp(-1)
    expected = np.exp((kept * one + two) / (1 + kept))
    np.testing.assert_allclose(smoother.probabilities, expected / expected.sum())


def test_weights_count_as_repetitions():
    once, twice = Smoother(), Smoother()
    for _ in range(3):
        once.push(logits(0), 1.0)
    once.push(logits(1), 1.0)
    twice.push(logits(0), 1.0, weight=3.0)
    twice.push(logits(1), 1.0, weight=1.0)
    np.testing.assert_allclose(once.probabilities, twice.probabilities)


def test_one_odd_window_does_not_change_the_label():
    smoother = Smoother()
    for n in range(20):
        smoother.push(logits(1 if n == 10 else 0), 0.5 * n)
        assert smoother.label == 0


def test_a_lasting_change_takes_over_after_the_least_lead_and_is_dated():
    smoother = Smoother()
    for n in range(6):
        smoother.push(logits(0), 0.5 * n)
    times = [3.0 + 0.5 * n for n in range(12)]
    changed = [time for time in times if smoother.push(logits(2), time)]
    assert len(changed) == 1
    assert smoother.label == 2
    assert changed[0] - smoother.lead_start == pytest.approx(MIN_LEAD, abs=0.5)
    assert smoother.before_lead.argmax() == 0
    smoothed = smoother.probabilities
    assert smoothed[2] - smoothed[0] >= SWITCH_MARGIN


def test_certainty_of_one_window_rules_nothing_out():
    smoother = Smoother()
    smoother.push(np.array([0.0, -1e9]), 0.0)
    for n in range(1, 8):
        smoother.push(np.log([0.1, 0.9]), float(n))
    assert smoother.label == 1
    assert np.isfinite(smoother.probabilities).all()


def test_a_baseline_found_late_counts_for_all_that_was_heard():
    smoother = Smoother()
    for n in range(6):
        smoother.push(logits(0), 0.5 * n)
    smoother.shift = logits(0) - logits(2)
    np.testing.assert_allclose(smoother.probabilities, np.exp(logits(2)))
    smoother.push(logits(0), 3.0)
    assert smoother.label == 0  # Another label must lead for a while first.


def test_before_a_prediction_there_is_nothing():
    smoother = Smoother()
    assert smoother.label is None
    with pytest.raises(ValueError, match="no prediction"):
        _ = smoother.probabilities
    with pytest.raises(ValueError, match="no other label"):
        _ = smoother.before_lead
