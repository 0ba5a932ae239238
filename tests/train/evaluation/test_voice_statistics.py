"""Statistics of voices, from logits of known composition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emo_listen import EmotionModel
from emo_listen.head import Head
from emo_listen.model_settings import ModelSettings
from tests.support.tiny_models import write_head_model
from train.corpus.recordings import Clip
from train.evaluation.voice_statistics import measure, prior, statistics, with_population

LABELS = ["anger", "neutral", "sadness"]
NEUTRAL = 1
OFFSETS = np.array([[3.0, -2.0, 0.0], [0.0, 0.0, 0.0], [0.0, -2.0, 2.0]])
POPULATION = np.array([-1.0, 2.0, 0.5])


def measured(actors: int = 40, readers: int = 40, clips: int = 30) -> dict[str, Any]:
    random = np.random.default_rng(0)
    rows = []
    for speaker in range(actors + readers):
        shift = random.normal(0, 0.5, 3)
        labels = [0, 1, 2] if speaker < actors else [NEUTRAL]
        rows += [
            (POPULATION + shift + OFFSETS[label] + random.normal(0, 0.7, 3), label, f"{speaker}")
            for label in labels
            for _ in range(clips)
        ]
    logits, classes, speakers = zip(*rows, strict=True)
    return statistics(np.array(logits), np.array(classes), np.array(speakers), NEUTRAL)


def test_what_was_put_in_is_found():
    found = measured()
    np.testing.assert_allclose(found["population_logits"], POPULATION, atol=0.3)
    np.testing.assert_allclose(found["class_offsets"], OFFSETS, atol=0.15)
    assert not np.any(found["class_offsets"][NEUTRAL])
    np.testing.assert_allclose(np.diag(found["speaker_covariance"]), 0.25, atol=0.12)
    np.testing.assert_allclose(np.diag(found["noise_covariance"]), 0.49, atol=0.05)


def test_the_graphs_logits_stay_what_they_are():
    random = np.random.default_rng(1)
    weight, bias, embedding = (
        random.normal(size=(3, 8)),
        random.normal(size=3),
        random.normal(size=8),
    )
    voices = {**measured(), "prior": prior(LABELS)}
    given = {"weight": weight.tolist(), "bias": bias.tolist()}
    first = with_population(given, voices)
    for head in (first, with_population(first, voices)):
        read = Head.from_json(head, LABELS)
        logits = read.weight @ (embedding - read.population) + read.bias
        np.testing.assert_allclose(logits, weight @ embedding + bias)
        np.testing.assert_allclose(read.bias, voices["population_logits"])
    assert sum(prior(LABELS)) == pytest.approx(1, abs=1e-5)


def test_too_few_voices_leave_what_was_stored(tmp_path, capsys):
    folder = write_head_model(tmp_path / "model")
    before = ModelSettings.read(folder).head
    clips = [Clip("1", "neutral", np.ones(16000, np.float32), "one")]
    assert not measure(folder, EmotionModel.load(folder), clips)
    assert ModelSettings.read(folder).head == before
    assert "only 1 speakers have neutral clips" in capsys.readouterr().out
