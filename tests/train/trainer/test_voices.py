"""Batches of voices, and the loss relative to each voice's own ordinary speech."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2FeatureExtractor

from emo_listen.errors import CorpusError
from tests.support import tiny_checkpoints as tiny
from train import finetune
from train.evaluation.relative_metrics import relative_logits
from train.trainer.relative_loss import Population, relative_loss
from train.trainer.voices import ORDINARY, PLAIN, Voices, framed

RATE = 16_000
LABELS = ["anger", "fear", "neutral", "sadness"]
NEUTRAL = 2
BATCH = 12


def rows(speakers: dict[str, list[str]], seconds: float = 0.6) -> datasets.Dataset:
    """Noise clips of speakers, each label as often as it is named."""
    random = np.random.default_rng(0)
    clips = [(speaker, label) for speaker, labels in speakers.items() for label in labels]
    return datasets.Dataset.from_dict(
        {
            "samples": [
                (1000 * random.standard_normal(round(seconds * RATE))).astype(np.int16)
                for _ in clips
            ],
            "label": [label for _, label in clips],
            "speaker": [speaker for speaker, _ in clips],
        },
        features=datasets.Features(
            {
                "samples": datasets.List(datasets.Value("int16")),
                "label": datasets.Value("string"),
                "speaker": datasets.Value("string"),
            }
        ),
    )


ACTORS = {f"actor{n}": LABELS * 4 for n in range(3)}
READERS = {f"reader{n}": ["neutral"] * 2 for n in range(6)}


def voices(speakers: dict[str, list[str]], **options) -> Voices:
    given = {"window": (0.5, 1.0), "batch_size": BATCH, **options}
    return Voices(
        rows(speakers),
        {label: i for i, label in enumerate(LABELS)},
        "neutral",
        Wav2Vec2FeatureExtractor(return_attention_mask=False),
        **given,
    )


def test_a_group_is_one_voice_with_every_emotion_and_ordinary_speech():
    found = voices(ACTORS | READERS)
    speakers = list(rows(ACTORS | READERS)["speaker"])
    groups: dict[int, list[int]] = defaultdict(list)
    for place in found.group_epoch(0):
        groups[place.voice].append(place.clip)
    kinds: Counter[str] = Counter()
    for clips in groups.values():
        assert len({speakers[clip] for clip in clips}) == 1
        labels = Counter(found.labels[clip] for clip in clips)
        if set(labels) == {NEUTRAL}:
            assert labels[NEUTRAL] == PLAIN
            kinds["plain"] += 1
        else:
            assert labels == {0: 1, 1: 1, 3: 1, NEUTRAL: ORDINARY}
            kinds["acted"] += 1
    assert kinds["acted"] >= 10 and kinds["plain"] >= 4


def test_batches_are_whole_and_of_one_length_and_differ_by_epoch():
    found = voices(ACTORS | READERS)
    places = found.group_epoch(0)
    assert len(places) == len(found)
    for epoch in (0, 1):
        found.set_epoch(epoch)
        batch = [found[i] for i in range(BATCH // 2)]
        assert len({len(item["input_values"]) for item in batch}) == 1
    assert found.group_epoch(0) == places
    assert found.group_epoch(1) != places
    assert {place.steps for place in places} <= {2, 3, 4}


def test_every_emotional_clip_is_heard_in_an_epoch():
    found = voices(ACTORS, batch_size=6)
    used = {place.clip for place in found.group_epoch(0)}
    emotional = {i for i, label in enumerate(found.labels) if label != NEUTRAL}
    assert emotional <= used


def test_class_shares():
    np.testing.assert_allclose(voices(ACTORS).class_shares(), [1 / 6, 1 / 6, 3 / 6, 1 / 6])


@pytest.mark.parametrize(
    ("speakers", "options", "message"),
    [
        ({"a": ["anger", "fear"] * 3}, {}, "no training speaker has such clips"),
        (ACTORS, {"batch_size": 4}, "needs at least 6"),
    ],
)
def test_what_cannot_be_grouped_is_refused(speakers, options, message):
    with pytest.raises(CorpusError, match=message):
        voices(speakers, **options)


def test_framed():
    random = np.random.default_rng(0)
    sound = np.arange(1, 101, dtype=np.float32)
    part = framed(sound, 40, random)
    assert len(part) == 40 and part[0] + 39 == part[-1]
    padded = framed(sound, 150, random)
    assert len(padded) == 150 and padded.sum() == sound.sum()


def loss_of(logits: torch.Tensor, population: Population | None = None) -> float:
    labels = torch.tensor([0, 1, 3, 2, 2, 2])
    torch.manual_seed(0)
    return float(
        relative_loss(
            logits,
            labels,
            torch.nn.functional.one_hot(labels, 4).float(),
            torch.zeros(6, dtype=torch.long),
            NEUTRAL,
            population or Population(torch.tensor([0.0, 0.0, 2.0, 0.0])),
            torch.full((4,), 0.25),
        )
    )


def test_the_loss_sees_past_what_a_voice_has_in_common():
    """A shift of a whole voice costs half as much as one that the baseline cannot explain."""
    logits = 4 * torch.eye(4)[[0, 1, 3, 2, 2, 2]]
    shift = torch.tensor([3.0, 0.0, -3.0, 0.0])
    alone = logits.clone()
    alone[3:] += shift  # Ordinary speech alone is off: its emotions then are off as well.
    assert loss_of(logits) < loss_of(logits + shift) < loss_of(alone)


def test_a_plain_voice_counts_less_the_better_it_is_known():
    labels = torch.full((4,), NEUTRAL)
    population = Population(torch.tensor([0.0, 0.0, 2.0, 0.0]))
    targets = torch.nn.functional.one_hot(labels, 4).float()
    common = (
        targets,
        torch.zeros(4, dtype=torch.long),
        NEUTRAL,
        population,
        torch.full((4,), 0.25),
    )
    sure = relative_loss(torch.tensor([[0.0, 0.0, 3.0, 0.0]] * 4), labels, *common)
    wrong = relative_loss(torch.tensor([[3.0, 0.0, 0.0, 0.0]] * 4), labels, *common)
    assert 0 < 50 * float(sure) < float(wrong)
    torch.testing.assert_close(population.mean, torch.tensor([0.0, 0.0, 2.0, 0.0]))


def test_relative_logits_take_off_the_others_of_the_speaker():
    logits = np.array([[1.0, 5.0], [1.0, 3.0], [9.0, 3.0], [0.0, 0.0]], np.float32)
    labels = np.array([1, 1, 0, 1])
    speakers = np.array(["a", "a", "a", "b"])
    shifted = relative_logits(logits, labels, speakers, neutral=1)
    population = (np.array([1.0, 4.0]) + np.array([0.0, 0.0])) / 2
    np.testing.assert_allclose(shifted[0], logits[0] - logits[1] + population)
    np.testing.assert_allclose(shifted[2], logits[2] - [1.0, 4.0] + population)
    assert np.isnan(shifted[3]).all()


def test_finetune_relative_to_neutral(tmp_path: Path):
    """A real Trainer on a tiny HuBERT: resumes, and scores corpora with and without a baseline."""
    random = np.random.default_rng(1)
    for speaker in range(8):
        for label in LABELS:
            folder = tmp_path / "voices" / label / f"speaker{speaker}"
            folder.mkdir(parents=True)
            for take in range(3):
                sound = 0.1 * random.standard_normal(RATE // 2)
                soundfile.write(folder / f"{take}.wav", sound, RATE)
    base = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path / "tiny")
    options = [
        "--data", str(tmp_path / "voices"),
        "--base_model", str(base),
        "--output_dir", str(tmp_path / "run"),
        "--cache_dir", str(tmp_path / "cache"),
        "--relative_to", "neutral",
        "--train_window", "0.5", "1.0",
        "--per_device_train_batch_size", "6",
        "--trainable_layers", "-1",
        "--num_train_epochs", "1",
        "--load_best_model_at_end", "false",
        "--test_at_end", "false",
        "--use_cpu",
    ]  # fmt: skip
    assert finetune.main(options) == 0
    log = (tmp_path / "run" / "trainer_state.json").read_text(encoding="utf-8")
    assert "eval_voices_uar_relative" in log and "eval_voices_false_emotion" in log
    assert "--relative_to" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")

    soft = tmp_path / "soft.csv"
    clips = (tmp_path / "voices").rglob("*.wav")
    names = [clip.relative_to(tmp_path / "voices").with_suffix("").as_posix() for clip in clips]
    sure = ",".join("1" if label == LABELS[0] else "0" for label in sorted(LABELS))
    rows = [f"{name},{sure}" for name in names]
    soft.write_text("\n".join(["name," + ",".join(sorted(LABELS)), *rows]) + "\n")
    learnt = ["--soft_labels", str(soft), "--soft_label_weight", "1", "--learning_rate", "0.01"]
    learnt += ["--output_dir", str(tmp_path / "soft"), "--num_train_epochs", "4"]
    assert finetune.main([*options, *learnt]) == 0
    scores = json.loads((tmp_path / "soft" / "metrics.json").read_text())["validation"]
    assert scores[f"recall_{LABELS[0]}"] == 1

    without_window = [o for o in options if o not in ("--train_window", "0.5", "1.0")]
    assert finetune.main(without_window) == 2
