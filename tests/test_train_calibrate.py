"""Calibration: the temperature is found, stored, and used by the runtime."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import calibrate
from calibrate import calibration_error, fit_temperature, reliability
from emo_listen import EmotionModel
from emo_listen.audio import load_audio
from emo_listen.model import BUNDLED_MODEL
from emo_listen.settings import ModelSettings


def test_a_known_temperature_is_found():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20000, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (probabilities.cumsum(axis=1) < random.random((20000, 1))).sum(axis=1)
    assert fit_temperature(logits, classes) == pytest.approx(1, abs=0.03)
    assert fit_temperature(2.5 * logits + 7, classes) == pytest.approx(2.5, abs=0.08)


def test_calibration_error_is_the_weighted_gap():
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0])
    right = np.array([True, True, True, False, True, False, True])
    rows = reliability(confidences, right)
    assert [count for _, _, count in rows] == [2, 5]
    gap = 2 * abs(0.55 - 0.5) + 5 * abs(0.96 - 0.8)
    assert calibration_error(rows) == pytest.approx(gap / 7)
    assert calibration_error(reliability(np.full(4, 0.75), np.arange(4) < 3)) == 0


@pytest.fixture
def corpus(tmp_path, bundled_model, sample_file):
    """Cuts of the synthetic voice; each label is the model's own, but for every third."""
    rate = bundled_model.sampling_rate
    speech = load_audio(sample_file, rate)
    rows = [("file", "label", "speaker", "split")]
    for n in range(24):
        cut = speech[n * rate // 2 :][: 2 * rate]
        label = bundled_model.predict(cut, rate).label if n % 3 else "sadness"
        soundfile.write(tmp_path / f"{n}.wav", cut, rate)
        # A corpus must have two training clips of a class; calibration does not hear them.
        for split in ("train", "train", "validation"):
            rows.append((f"{n}.wav", label, f"{split} speaker {n % 4}", split))
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "clips.csv"


def run(model: Path, corpus: Path) -> int:
    cache = corpus.parent / "cache"
    return calibrate.main([str(model), "--data", str(corpus), "--cache_dir", str(cache)])


def test_a_model_is_calibrated_in_place(corpus, tmp_path, bundled_model):
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED_MODEL, folder)
    assert run(folder, corpus) == 0
    settings = ModelSettings.read(folder)
    # It is right in two thirds of these cuts, and surer than that before.
    assert settings.temperature > bundled_model.settings.temperature
    told = settings.origin["calibration"]
    assert told["clips"] == 24
    assert told["network"] == "onnx/model_quantized.onnx"
    error = told["expected_calibration_error"]
    assert 0 <= error["after"] < error["before"] <= 1
    assert (folder / calibrate.PICTURE).read_bytes().startswith(b"\x89PNG")
    card = (folder / "README.md").read_text()
    assert card.count(calibrate.HEADING) == 1
    assert "## ONNX" in card

    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    before, after = (m.predict(samples, 16000) for m in (bundled_model, EmotionModel.load(folder)))
    assert after.label == before.label
    assert after.confidence < before.confidence

    # Calibrating again starts from the logits, not from what was stored.
    assert run(folder, corpus) == 0
    assert ModelSettings.read(folder).temperature == pytest.approx(settings.temperature, rel=1e-2)
    assert (folder / "README.md").read_text().count(calibrate.HEADING) == 1


def test_classes_that_the_model_does_not_know_are_refused(corpus, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED_MODEL, folder)
    before = json.loads((folder / "emo_listen.json").read_text())
    corpus.write_text(corpus.read_text().replace("sadness", "boredom"))
    assert run(folder, corpus) == 2
    assert "does not know boredom" in capsys.readouterr().err
    assert json.loads((folder / "emo_listen.json").read_text()) == before
