"""Order of an epoch, random windows, metrics."""

from __future__ import annotations

import math
import socket

import datasets
import numpy as np
import pytest
from transformers import EvalPrediction, Wav2Vec2FeatureExtractor

from train.evaluation.metrics import ClassifierMetrics
from train.trainer.clips import Clips, Collator, LengthGroupedBatches


def test_batches_have_similar_lengths_and_every_clip_once():
    lengths = np.random.default_rng(0).integers(10_000, 80_000, 1003)
    sampler = LengthGroupedBatches(lambda epoch: lengths, batch_size=8, seed=3)
    order = list(sampler)
    assert sorted(order) == list(range(1003))
    batches = [order[i : i + 8] for i in range(0, len(order), 8)]
    assert [len(batch) for batch in batches] == [8] * 125 + [3]
    spans = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in batches]
    assert np.mean(spans) < 5_000  # of 70,000
    starts = [lengths[batch[0]] for batch in batches]
    assert abs(np.corrcoef(starts, range(len(starts)))[0, 1]) < 0.3  # not long clips first
    assert list(sampler) == order
    sampler.set_epoch(1)
    assert list(sampler) != order


def clips_of(sounds: list[np.ndarray], window: tuple[float, float]) -> Clips:
    rows = datasets.Dataset.from_dict(
        {"samples": sounds, "length": [len(sound) for sound in sounds]}
        | {"digest": [""] * len(sounds), "label": ["x", *["y"] * (len(sounds) - 1)]},
        features=datasets.Features(
            {
                "samples": datasets.List(datasets.Value("int16")),
                "length": datasets.Value("int64"),
                "digest": datasets.Value("string"),
                "label": datasets.Value("string"),
            }
        ),
    )
    plain = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    return Clips(rows, {"x": 0, "y": 1}, plain, window=window)


def test_a_training_window_is_cut_at_random_places():
    sound = np.arange(1, 16_001, dtype=np.int16)
    clips = clips_of([sound, sound[:4000]], (0.5, 0.5))
    assert clips.lengths_in(0).tolist() == [8000, 4000]
    starts = set()
    for epoch in range(5):
        clips.set_epoch(epoch)
        cut = clips[0]["input_values"] * 32768
        np.testing.assert_array_equal(clips[0]["input_values"] * 32768, cut)
        assert len(cut) == 8000
        assert (np.diff(cut) == 1).all()
        starts.add(cut[0])
    assert len(starts) == 5
    batch = Collator()([clips[0], clips[1]])
    assert batch["input_values"].shape == (2, 8000)
    assert batch["attention_mask"].sum(dim=1).tolist() == batch["lengths"].tolist() == [8000, 4000]


def test_windows_of_many_lengths_differ_by_clip_and_epoch_and_fill_batches_of_their_own():
    sound = np.arange(1, 32_001, dtype=np.int16)
    clips = clips_of([sound] * 400, (0.5, 1.5))
    sampler = LengthGroupedBatches(clips.lengths_in, batch_size=8, seed=0)
    seen = []
    for epoch in range(2):
        clips.set_epoch(epoch)
        sampler.set_epoch(epoch)
        lengths = [len(clips[i]["input_values"]) for i in range(400)]
        assert lengths == clips.lengths_in(epoch).tolist()
        assert sorted(set(lengths)) == [8000, 12_000, 16_000, 20_000, 24_000]
        batches = np.asarray(lengths)[list(sampler)].reshape(-1, 8)
        assert np.mean(np.ptp(batches, axis=1) == 0) > 0.85
        seen.append(lengths)
    first, second = np.array(seen)
    assert np.mean(first == second) < 0.4


def test_metrics_by_hand_and_without_a_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the metrics asked for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    metrics = ClassifierMetrics(["a", "b", "c"])
    references = np.array([0, 0, 0, 0, 1, 1])
    logits = np.eye(3)[[0, 0, 0, 1, 1, 0]]
    scores = metrics(EvalPrediction(predictions=logits, label_ids=references))
    assert scores["accuracy"] == pytest.approx(4 / 6)
    assert scores["uar"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    f1 = [2 * 3 / (2 * 3 + 1 + 1), 2 * 1 / (2 * 1 + 1 + 1)]
    assert scores["macro_f1"] == pytest.approx(sum(f1) / 2)
    assert (scores["recall_a"], scores["recall_b"]) == (0.75, 0.5)
    assert "recall_c" not in scores
    assert all(math.isfinite(value) for value in scores.values())
