"""Recordings of minutes among short clips: cut into windows, and scored as wholes."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import soundfile
import torch
from scipy.special import softmax
from transformers import EvalPrediction, Wav2Vec2FeatureExtractor

from emo_listen.model import normalize
from export.checkpoint import PyTorchModel
from tests.support import tiny_checkpoints as tiny
from train.corpus import long_recordings
from train.corpus.audio_cache import decode_corpus, to_float
from train.corpus.load import load_corpus
from train.corpus.long_recordings import cut_long, logits_by_recording, print_cut, windows_of
from train.evaluation import scoring
from train.evaluation.metrics import ClassifierMetrics
from train.soft_labels import recording_probabilities
from train.trainer.clips import Clips, Collator

RATE = 16_000


@pytest.fixture(scope="module")
def decoded(tmp_path_factory) -> datasets.Dataset:
    """Twelve minutes of noise with 20 s of silence in it, between two short clips."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    sound = 0.1 * random.normal(size=12 * 60 * RATE + 7)
    sound[15 * RATE : 35 * RATE] = 0
    for name, samples in (("a/1", sound[:RATE]), ("a/2", sound), ("b/3", sound[RATE : 3 * RATE])):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", samples, RATE)
    return decode_corpus(load_corpus(str(folder)), RATE, folder / "cache")[0]


def test_a_recording_of_minutes_becomes_windows_of_one_length(decoded, tmp_path, capsys):
    rows, recordings = cut_long(decoded, RATE, tmp_path / "cache")
    assert recordings.tolist() == [0, 2] + [1] * 72  # of 73 windows one is silent
    assert list(rows["label"]) == ["a", "b"] + ["a"] * 72
    lengths = np.array(rows["length"])
    assert len(set(lengths[2:])) == 1
    assert 0.98 * RATE * long_recordings.LONGEST < lengths[2] <= RATE * long_recordings.LONGEST
    assert len(set(rows["digest"])) == len(rows)
    whole = np.array(decoded[1]["samples"])
    np.testing.assert_array_equal(rows[2]["samples"], whole[: lengths[2]])
    np.testing.assert_array_equal(rows[-1]["samples"], whole[-lengths[2] :])
    print_cut({"train": decoded}, {"train": (rows, recordings)})
    assert "1 of 3 recordings are longer than 10 s and were cut into 72" in capsys.readouterr().out

    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    clips = Clips(rows, {"a": 0, "b": 1}, extractor, recordings=recordings)
    batch = Collator()([clips[i] for i in range(len(clips))])
    assert batch["input_values"].shape == (74, lengths[2])
    files = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert cut_long(decoded, RATE, tmp_path / "cache")[0]["digest"][:] == rows["digest"][:]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == files


def test_short_clips_stay_the_very_rows_that_they_were(decoded, tmp_path):
    short = decoded.select([0, 2])
    rows, recordings = cut_long(short, RATE, tmp_path / "cache")
    assert rows is short
    assert recordings.tolist() == [0, 1]
    assert not list((tmp_path / "cache").glob("windows-*"))
    logits = np.zeros((2, 3))
    assert logits_by_recording(logits, recordings) is logits
    sound = np.zeros(10 * RATE, np.float32)
    assert windows_of(sound, RATE)[0] is sound


@pytest.mark.parametrize("n_samples", [160_001, 320_000, 320_001, 654_321])
def test_windows_cover_all_samples(n_samples):
    windows = windows_of(np.arange(n_samples, dtype=np.int32), RATE)
    assert len({len(window) for window in windows}) == 1
    assert len(windows[0]) <= 160_000
    assert np.unique(np.concatenate(windows)).size == n_samples
    assert sum(map(len, windows)) - n_samples <= len(windows)


def test_a_recording_is_scored_by_the_mean_of_its_windows_probabilities():
    logits = np.log([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    recordings = np.array([1, 0, 1, 0])
    expected = [[0.25, 0.75], [0.65, 0.35]]
    np.testing.assert_allclose(softmax(logits_by_recording(logits, recordings), axis=1), expected)
    metrics = ClassifierMetrics(["x", "y"], recordings)
    labels = np.array([0, 1, 0, 1])
    scores = metrics(EvalPrediction(predictions=logits, label_ids=labels))
    assert scores["accuracy"] == 1  # of windows, one of four is wrong


def test_a_checkpoint_and_soft_labels_take_long_recordings_as_wholes(decoded, tmp_path):
    folder = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path / "checkpoint")
    model = PyTorchModel.load(folder)
    pcm = np.array(decoded[1]["samples"][-25 * RATE :])
    samples = to_float(pcm)
    windows = windows_of(samples, RATE)
    assert len(windows) == 3
    logits = np.concatenate([model.logits(normalize(window)[None]) for window in windows])
    mean = softmax(logits.astype(np.float64), axis=1).mean(axis=0)
    assert model.predict_label(samples) == tiny.LABELS[mean.argmax()]

    long = decoded.select([1, 2]).remove_columns(["samples", "length", "digest", "label"])
    sound = {"samples": [pcm, decoded[2]["samples"]]}
    sound |= {"length": [25 * RATE, 2 * RATE], "digest": ["x", "y"], "label": ["anger", "fear"]}
    features = datasets.Features({k: decoded.features[k] for k in sound})
    rows = datasets.concatenate_datasets(
        [long, datasets.Dataset.from_dict(sound, features=features)], axis=1
    )
    rows, recordings = cut_long(rows, RATE, tmp_path / "cache")
    label2id = {label: i for i, label in enumerate(tiny.LABELS)}
    clips = Clips(rows, label2id, model.feature_extractor, recordings=recordings)
    device = torch.device("cpu")
    soft = recording_probabilities(model.model, clips, 1.0, device)
    np.testing.assert_allclose(soft[0], mean, atol=1e-4)
    score = scoring.score(model.model, clips, tiny.LABELS, device, "test")
    assert (score.n_clips, score.confusion.sum()) == (2, 2)
