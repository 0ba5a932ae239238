"""The benchmark of fine-tuning on own recordings."""

from __future__ import annotations

import csv
import json
from collections import Counter

import numpy as np
import pytest
import soundfile
import yaml
from transformers import HubertConfig

from benchmarks import own_recordings
from benchmarks.common.own_clips import CLASSES, EMOTIONS, choose_clips, speaker_folds
from benchmarks.common.training_cost import training_cost
from emo_listen.errors import CorpusError, ModelError
from tests.support import tiny_checkpoints as tiny
from tests.support.scripts import run_script
from train.corpus.load import load_corpus
from train.corpus.recordings import Clip
from train.trainer.finetune_options import FinetuneArguments, parse_args

RATE = 16_000


def clips_of(n_speakers: int, takes: int) -> list[Clip]:
    """Silent clips of every emotion by every speaker."""
    return [
        Clip(f"{speaker}-{emotion}-{take}", emotion, np.zeros(1, np.float32), str(speaker))
        for speaker in range(n_speakers)
        for emotion in EMOTIONS
        for take in range(takes)
    ]


def check_choice(clips: list[Clip], n_clips: int, n_speakers: int) -> None:
    """Check that clips are distributed equally, each once."""
    assert len({clip.name for clip in clips}) == len(clips) == n_clips
    assert set(Counter(clip.label for clip in clips).values()) == {n_clips // len(CLASSES)}
    counts = Counter(clip.speaker for clip in clips)
    assert len(counts) == n_speakers
    assert max(counts.values()) - min(counts.values()) <= 1


def check_folds(clips: list[Clip], folds: list[np.ndarray]) -> None:
    """Check that each clip is in one fold, and no speaker in two."""
    assert sorted(np.concatenate(folds)) == list(range(len(clips)))
    speakers = [{clips[i].speaker for i in fold} for fold in folds]
    assert sum(map(len, speakers)) == len(set().union(*speakers))


def test_clips_and_folds_are_chosen_by_the_seed():
    clips = clips_of(7, 4)
    chosen = choose_clips(clips, 60, 0)
    check_choice(chosen, 60, 7)
    for clip in chosen:
        assert clip.name.split("-")[1] in CLASSES[clip.label]
    assert [c.name for c in chosen] == [c.name for c in choose_clips(clips, 60, 0)]
    assert [c.name for c in chosen] != [c.name for c in choose_clips(clips, 60, 1)]
    folds = speaker_folds(chosen, 5, 0)
    check_folds(chosen, folds)
    assert [list(fold) for fold in folds] == [list(fold) for fold in speaker_folds(chosen, 5, 0)]


def test_impossible_choices_are_refused():
    with pytest.raises(CorpusError, match="--clips 10: give a multiple of 3"):
        choose_clips(clips_of(7, 4), 10, 0)
    with pytest.raises(CorpusError, match=r"too few clips of .*: give fewer --clips than 90"):
        choose_clips(clips_of(3, 4), 90, 0)
    with pytest.raises(CorpusError, match="names no speakers"):
        choose_clips([Clip("a", "anger", np.zeros(1, np.float32))], 3, 0)
    with pytest.raises(
        CorpusError, match="--folds 4: give 2 to 3, which is the number of speakers"
    ):
        speaker_folds(choose_clips(clips_of(3, 4), 30, 0), 4, 0)


@pytest.mark.corpus
@pytest.mark.parametrize(("split", "n_speakers"), [("test", 19), ("validation", 9)])
def test_the_corpus_gives_own_recordings(shared_dir, split, n_speakers):
    rows = load_corpus(str(shared_dir / "crema-d")).filter(lambda row: row["split"] == split)
    silence = np.zeros(1, np.float32)
    columns = zip(rows["name"], rows["label"], rows["speaker"], strict=True)
    found = [Clip(name, label, silence, speaker) for name, label, speaker in columns]
    clips = choose_clips(found, 90, 0)
    check_choice(clips, 90, n_speakers)
    folds = speaker_folds(clips, 5, 0)
    check_folds(clips, folds)
    for fold in folds:
        assert {clips[i].label for i in fold} == set(CLASSES)


def test_counted_costs_are_those_of_the_formula():
    """One attention layer of width w and t frames: 4 t w^2 + 2 t^2 w + 2 t w f."""
    deep, deeper = (
        HubertConfig(**{**tiny.NARROW, **tiny.COMPACT, "num_hidden_layers": n}) for n in (2, 3)
    )
    recipe = FinetuneArguments(data=[], trainable_layers=0)
    frozen, more = (training_cost(config, recipe, 1.0) for config in (deep, deeper))
    frames, width, inner = 47, 64, 128
    layer = 4 * frames * width**2 + 2 * frames**2 * width + 2 * frames * width * inner
    assert more.trunk - frozen.trunk == layer
    assert frozen.stored and frozen.of_epochs(5) == frozen.trunk + 5 * frozen.rest
    trained = training_cost(deep, FinetuneArguments(data=[], trainable_layers=1), 1.0)
    assert frozen.trunk - trained.trunk == layer
    assert trained.rest > frozen.rest + 2 * layer
    cut = FinetuneArguments(data=[], trainable_layers=1, train_window=[0.5])
    half = training_cost(deep, cut, 1.0)
    assert not half.stored and half.of_epochs(5) == 5 * (half.trunk + half.rest)
    assert half.trunk < 0.6 * trained.trunk


def test_hubert_base_is_counted_without_its_weights():
    own, _ = parse_args([str(own_recordings.HUBERT_BASE_RECIPE)])
    cost = training_cost(HubertConfig(), own, 1.0)
    assert cost.stored
    assert cost.trunk == pytest.approx(6.2e9, rel=0.05)


@pytest.fixture
def corpus(tmp_path):
    """Every emotion by six speakers, as noise of different levels."""
    random = np.random.default_rng(0)
    table = tmp_path / "corpus.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "speaker", "split"))
        for speaker in range(6):
            for level, emotion in enumerate(EMOTIONS, 1):
                for take in range(2):
                    name = f"{speaker}-{emotion}-{take}.wav"
                    noise = random.normal(0, 0.02 * level, RATE // 2)
                    soundfile.write(tmp_path / name, noise, RATE)
                    writer.writerow((name, emotion, speaker, "test"))
    return table


@pytest.fixture
def recipe(tmp_path):
    """The recipe, of two steps."""
    options = yaml.safe_load(own_recordings.RECIPE.read_text())
    options["max_steps"] = 2
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(options))
    return path


def run(repository, *arguments):
    return run_script(repository / "benchmarks" / "own_recordings.py", *arguments)


def test_the_command_trains_and_scores_each_fold(repository, corpus, recipe, tmp_path):
    checkpoint = tiny.save(tiny.make_model(tiny.COMPACT, mask_time_prob=0.0), tmp_path / "tiny")
    output = tmp_path / "out"
    options = ["--data", corpus, "--clips", 30, "--folds", 2, "--output", output]
    options += ["--base_model", checkpoint, "--recipe", recipe, "--cache_dir", tmp_path / "cache"]
    done = run(repository, *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == "own_recordings"
    assert (document["clips"], document["speakers"], document["split"]) == (30, 6, "test")
    assert [fold["clips"] for fold in document["folds"]] == [15, 15]
    assert all(fold["seconds"] > fold["training_s"] > 0 for fold in document["folds"])
    fine_tuned, untrained, chance, estimate = document["results"]
    for row in (fine_tuned, untrained):
        low, high = row["uar_95"]
        assert 0 <= low <= row["uar"] <= high <= 1
    right = sum(fold["clips"] * fold["accuracy"] for fold in document["folds"]) / 30
    assert fine_tuned["accuracy"] == pytest.approx(right)
    assert chance["accuracy"] == pytest.approx(1 / 3)
    assert set(estimate) == {"model", "fold_s"}
    costs = document["gmac_a_clip"]
    ratio = costs["hubert_base"] / costs["own"]
    seconds = [f["seconds"] + f["training_s"] * (ratio - 1) for f in document["folds"]]
    assert estimate["fold_s"] == pytest.approx(np.median(seconds))
    assert ratio > 1
    assert "HuBERT-base, estimate" in done.stdout
    assert (output / "own_recordings.png").stat().st_size > 10_000


def test_a_failed_training_is_reported(corpus, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("trainable_layers: 9")
    with pytest.raises(ModelError, match=r"finetune.py failed: error: .*--trainable_layers 9"):
        own_recordings.fine_tune(recipe, "bundled", corpus, tmp_path)


def test_an_unknown_emotion_is_refused(repository, corpus, recipe, tmp_path):
    labels = {0: "calm", 1: "loud"}
    model = tiny.make_model(
        tiny.COMPACT, id2label=labels, label2id={v: k for k, v in labels.items()}
    )
    checkpoint = tiny.save(model, tmp_path / "tiny")
    options = ["--data", corpus, "--clips", 30, "--base_model", checkpoint]
    done = run(repository, *options, "--recipe", recipe, "--cache_dir", tmp_path / "cache")
    assert done.returncode == 2
    assert "the model does not know the corpus's anger" in done.stderr
