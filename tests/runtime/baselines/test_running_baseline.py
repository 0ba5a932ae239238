"""The running baseline, on streams sampled from the model that it assumes."""

from __future__ import annotations

import numpy as np
import pytest

from emo_listen.baselines.running_baseline import MAX_SECONDS, RunningBaseline
from emo_listen.head import Head

LABELS = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
ANGER, NEUTRAL, SADNESS = 0, 4, 5
WINDOW = 3.0
HOP = 1.5

HEAD = Head.from_json(
    {
        "weight": np.eye(6).tolist(),
        "bias": [-0.8, -0.5, -0.5, -0.2, 2.0, 0.0],
        "population": [0.0] * 6,
        "noise_covariance": (0.7**2 * np.eye(6)).tolist(),
        "speaker_covariance": np.diag([0.8, 0.4, 0.8, 0.4, 1.5, 0.5]).tolist(),
    },
    LABELS,
)
"""Numbers like those of the bundled model on voices that it was not trained on."""

ODD = np.array([1.0, -0.2, 1.2, 0.3, -1.8, -0.2])
"""Shift of a voice whose ordinary speech looks like fear without a baseline."""


class Voice:
    """Samples turns of one voice; all windows of a turn have the same logits, as they overlap."""

    def __init__(self, shift: np.ndarray, seed: int = 0) -> None:
        self.shift = shift
        self._random = np.random.default_rng(seed)

    def turn(self, label: int, seconds: float = WINDOW) -> list[tuple[np.ndarray, float]]:
        noise = self._random.multivariate_normal(np.zeros(6), HEAD.noise_covariance)
        logits = HEAD.bias + self.shift + HEAD.class_offsets[label] + noise
        return [(logits, HOP)] * round(seconds / HOP)

    def turns(self, labels: list[int]) -> list[tuple[np.ndarray, float]]:
        return [window for label in labels for window in self.turn(label)]

    def mixed(self, count: int, share_of_neutral: float = 2 / 3) -> list[int]:
        emotions = [label for label in range(6) if label != NEUTRAL]
        return [
            NEUTRAL
            if self._random.random() < share_of_neutral
            else int(self._random.choice(emotions))
            for _ in range(count)
        ]


def labels_of(estimate: RunningBaseline, windows: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Return the label of each window, after the estimate was updated with it."""
    labels = []
    for logits, seconds in windows:
        estimate.update(logits, seconds)
        labels.append(int((logits - estimate.shift).argmax()))
    return np.array(labels)


def test_it_starts_at_the_population() -> None:
    estimate = RunningBaseline(HEAD)
    assert not estimate.shift.any() and estimate.seconds == 0
    estimate.update(np.ones(6), 0.0)  # A window without new speech.
    assert not estimate.shift.any()


@pytest.mark.parametrize("seed", range(2))
def test_an_odd_voice_becomes_ordinary(seed: int) -> None:
    voice = Voice(ODD, seed)
    estimate = RunningBaseline(HEAD)
    found = labels_of(estimate, voice.turns([NEUTRAL] * 20))
    assert (HEAD.bias + ODD).argmax() != NEUTRAL  # It would be fear without a baseline.
    assert (found[20:] == NEUTRAL).mean() > 0.8
    assert np.abs(estimate.shift - ODD).max() < 0.6
    assert estimate.seconds == MAX_SECONDS


@pytest.mark.parametrize("seed", range(2))
def test_emotions_among_ordinary_turns_are_recognised_and_change_it_little(seed: int) -> None:
    voice = Voice(ODD, seed)
    estimate = RunningBaseline(HEAD)
    labels = voice.mixed(60)
    found = labels_of(estimate, voice.turns(labels))
    right = found == np.repeat(labels, 2)
    assert right[40:].mean() > 0.85
    assert np.abs(estimate.shift - ODD).max() < 0.8


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("before", [0, 10])
@pytest.mark.parametrize("emotion", [ANGER, SADNESS])
def test_ten_minutes_of_one_emotion_keep_their_label(emotion: int, before: int, seed: int) -> None:
    voice = Voice(np.array([0.3, 0.1, -0.2, 0.2, -0.5, 0.1]), seed)
    estimate = RunningBaseline(HEAD)
    labels_of(estimate, voice.turns([NEUTRAL] * before))
    found = labels_of(estimate, voice.turns([emotion] * 200))
    assert (found[-80:] == emotion).mean() > 0.8


@pytest.mark.parametrize("seed", range(2))
def test_a_new_speaker_is_followed_within_some_turns(seed: int) -> None:
    estimate = RunningBaseline(HEAD)
    labels_of(estimate, Voice(-ODD / 4, seed).turns([NEUTRAL] * 200))
    found = labels_of(estimate, Voice(ODD / 2, seed + 100).turns([NEUTRAL] * 20))
    assert (found[20:] == NEUTRAL).mean() > 0.8
    assert np.abs(estimate.shift - ODD / 2).max() < 0.6


def test_two_speakers_in_turn() -> None:
    estimate = RunningBaseline(HEAD)
    voices = Voice(ODD, 1), Voice(-ODD / 2, 2)
    windows = [w for n in range(60) for w in voices[n % 2].turn(NEUTRAL)]
    without = np.mean([logits.argmax() == NEUTRAL for logits, _ in windows])
    assert (labels_of(estimate, windows) == NEUTRAL).mean() > without


def test_it_stays_bounded_and_adapts_after_hours() -> None:
    estimate = RunningBaseline(HEAD)
    voice = Voice(ODD)
    for label in voice.mixed(2400, 0.9):  # Two hours of speech.
        estimate.update(voice.turn(label)[0][0], WINDOW)
    assert np.abs(estimate.shift - ODD).max() < 0.8
    assert estimate.seconds < 3600
    found = labels_of(estimate, Voice(np.zeros(6), 5).turns([NEUTRAL] * 20))
    assert (found[20:] == NEUTRAL).mean() > 0.8


def test_outliers_change_it_little() -> None:
    estimate = RunningBaseline(HEAD)
    voice = Voice(ODD)
    labels_of(estimate, voice.turns([NEUTRAL] * 20))
    before = estimate.shift
    for logits in (np.full(6, 1e6), 1e6 * np.eye(6)[0], -1e6 * np.eye(6)[4]):
        estimate.update(logits, HOP)
    assert np.isfinite(estimate.shift).all()
    assert np.abs(estimate.shift - before).max() < 1
    labels_of(estimate, voice.turns([NEUTRAL] * 10))
    assert np.abs(estimate.shift - ODD).max() < 0.8


def test_overlapping_windows_count_only_their_new_speech() -> None:
    voice = Voice(ODD)
    turn = voice.turn(NEUTRAL)
    whole, parts = RunningBaseline(HEAD), RunningBaseline(HEAD)
    for logits, seconds in turn:
        parts.update(logits, seconds)
    whole.update(turn[0][0], WINDOW)
    assert parts.seconds == whole.seconds == WINDOW
    np.testing.assert_allclose(parts.shift, whole.shift, atol=0.15)


@pytest.mark.parametrize("labels", [["calm", "loud"], ["neutral", "anger"], ["neutral"]])
def test_any_labels_work(labels: list[str]) -> None:
    n = len(labels)
    head = Head.from_json(
        {
            "weight": np.eye(n).tolist(),
            "bias": [0.0] * n,
            "population": [0.0] * n,
            "speaker_covariance": np.diag([1.0] + [0.0] * (n - 1)).tolist(),
            "noise_covariance": np.diag([1.0] + [0.0] * (n - 1)).tolist(),
        },
        labels,
    )
    estimate = RunningBaseline(head)
    for _ in range(50):
        estimate.update(np.arange(n, dtype=float), 1.0)
    assert np.isfinite(estimate.shift).all()
    assert estimate.class_probabilities.sum() == pytest.approx(1)
