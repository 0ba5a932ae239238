"""`train/finetune.py` from sound files to a checkpoint, on tiny models that learn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForAudioClassification,
    HubertConfig,
    HubertModel,
    Wav2Vec2FeatureExtractor,
)

from emo_listen.model_settings import ModelSettings
from train import finetune, soft_labels
from train.backbones.load import load_with_new_head
from train.corpus import long_recordings
from train.trainer.emotion_trainer import ClipTrainer, ClipTrainingArguments, mixed_targets
from train.trainer.finetune_options import chosen_options
from train.trainer.frozen_trunk import freeze
from train.trainer.weight_average import WEIGHTS_FILE

RATE = 16_000
SPEAKERS = 6
CLIPS_EACH = 10


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Low and high tones and noise, as six speakers of different pitch and loudness make them."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("corpus")
    lines = ["file,label,speaker"]
    for speaker in range(SPEAKERS):
        for label in ("high", "low", "noise"):
            for clip in range(CLIPS_EACH):
                time = np.arange(int(RATE * random.uniform(0.5, 0.9))) / RATE
                pitch = random.uniform(0.8, 1.25) * {"high": 2000, "low": 250, "noise": 0}[label]
                sound = np.sin(2 * np.pi * pitch * time) + 0.1 * random.normal(size=len(time))
                if label == "noise":
                    sound = 0.7 * random.normal(size=len(time))
                name = f"{label}_{speaker}_{clip}.wav"
                soundfile.write(folder / name, sound * random.uniform(0.05, 0.4), RATE)
                lines.append(f"{name},{label},s{speaker}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder / "clips.csv"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A bare HubertModel of 2 layers, width 32, with random weights."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(32, 32, 32, 32),
        conv_kernel=(10, 8, 4, 4),  # short filters hear broad bands, so that they generalise
        conv_stride=(5, 8, 4, 2),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=64,
        mask_time_prob=0.0,
        hidden_dropout=0.0,
        feat_proj_dropout=0.0,
        attention_dropout=0.1,  # something random for the runs that must be repeatable
        activation_dropout=0.0,
        layerdrop=0.0,
    )
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture
def options(corpus, base, tmp_path) -> list[str]:
    """Options of a quick run, which a test adds to or overrides."""
    return [
        *("--data", str(corpus), "--base-model", str(base)),
        *("--output_dir", str(tmp_path / "run"), "--cache_dir", str(tmp_path / "cache")),
        *("--trainable_layers", "-1", "--use_cpu", "--disable_tqdm", "true"),
        *("--per_device_train_batch_size", "10", "--gradient_accumulation_steps", "1"),
        *("--num_train_epochs", "2", "--learning_rate", "3e-3"),
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path, tolerance: float) -> None:
    mine, theirs = weights(one), weights(other)
    assert set(mine) == set(theirs)
    for name in mine:
        torch.testing.assert_close(mine[name], theirs[name], rtol=0, atol=tolerance, msg=name)


def test_a_run_learns_and_leaves_everything(options, base, tmp_path, capsys):
    options += ["--num_train_epochs", "10", "--per_device_train_batch_size", "5"]
    assert finetune.main(options) == 0
    out = capsys.readouterr().out
    run = tmp_path / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["clips"] == CLIPS_EACH * 3
    assert metrics["test"]["accuracy"] > 0.8
    assert metrics["test"]["uar"] == pytest.approx(
        np.mean([metrics["test"][f"recall_{name}"] for name in ("high", "low", "noise")])
    )
    confusion = np.array(metrics["test"]["confusion_matrix"])
    assert confusion.trace() / confusion.sum() == pytest.approx(metrics["test"]["accuracy"])

    assert "Optimizer steps: 240" in out  # 120 training clips, 5 a step, 10 epochs
    total = sum(
        p.numel() for p in AutoModelForAudioClassification.from_pretrained(run).parameters()
    )
    assert f"of {total:,}" in out

    config = json.loads((run / "config.json").read_text())
    assert config["id2label"] == {"0": "high", "1": "low", "2": "noise"}
    assert (
        config["hidden_dropout"] == json.loads((base / "config.json").read_text())["hidden_dropout"]
    )
    settings = ModelSettings.read(run)
    assert settings.scores["test"]["pytorch"]["uar"] == metrics["test"]["uar"]
    for file in ("config.json", "preprocessor_config.json", "model.safetensors"):
        assert file in settings.sha256
        settings.verify(run, run / file)
    for picture in ("confusion_matrix.png", "learning_curves.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")
        assert f"({picture})" in (run / "README.md").read_text()
    assert f"| {metrics['test']['accuracy']:.3f} |" in (run / "README.md").read_text()

    before, after = weights(base), weights(run)
    for name, value in before.items():
        if name.startswith("feature_extractor."):
            torch.testing.assert_close(after[f"hubert.{name}"], value, rtol=0, atol=0)
    assert not torch.equal(
        after["hubert.feature_projection.projection.weight"],
        before["feature_projection.projection.weight"],
    )


@pytest.mark.parametrize("layers", ["-1", "1", "0"])
def test_training_on_stored_outputs_gives_the_same_model(options, tmp_path, layers):
    # Adam would turn the rounding of a gradient near zero into a step of full size.
    options = [*options, "--optim", "sgd", "--learning_rate", "0.3", "--seed", "1"]
    options += ["--trainable_layers", layers, "--test_at_end", "false", "--max_grad_norm", "0"]
    assert finetune.main([*options, "--output_dir", str(tmp_path / "stored")]) == 0
    assert list((tmp_path / "cache").glob("trunk-*.arrow"))
    options += ["--cache_trunk", "false"]
    assert finetune.main([*options, "--output_dir", str(tmp_path / "sound")]) == 0
    assert_same_weights(tmp_path / "stored", tmp_path / "sound", tolerance=5e-4)
    scored = json.loads((tmp_path / "stored/metrics.json").read_text())
    assert "test" not in scored


@pytest.mark.parametrize("kind", ["hubert", "wav2vec2"])
def test_a_weighted_layer_sum_begins_even_and_is_trained(options, base, tmp_path, kind):
    other = tmp_path / "base"
    shutil.copytree(base, other)
    document = json.loads((base / "config.json").read_text())
    document |= {"model_type": kind, "architectures": None, "problem_type": "regression"}
    (other / "config.json").write_text(json.dumps(document))
    begun = load_with_new_head(str(other), ["a", "b", "c"], weighted_layer_sum=True)
    assert begun.config.model_type == kind
    assert begun.config.problem_type is None
    torch.testing.assert_close(begun.layer_weights.detach(), torch.full((3,), 1 / 3))
    options += ["--base-model", str(other), "--weighted_layer_sum", "true"]
    options += ["--num_train_epochs", "1", "--trainable_layers", "2"]
    assert finetune.main(options) == 0
    assert list((tmp_path / "cache").glob("trunk-*.arrow"))
    trained = weights(tmp_path / "run")["layer_weights"]
    assert (trained - 1 / 3).abs().max() > 1e-3
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["use_weighted_layer_sum"]


def test_an_augmented_run_caches_validation_alone_and_can_be_resumed(options, tmp_path):
    noise = tmp_path / "noise"
    noise.mkdir()
    soundfile.write(noise / "hiss.wav", np.random.default_rng(1).normal(0, 0.1, RATE), RATE)
    options = [*options, "--trainable_layers", "2", "--save_steps", "8", "--save_total_limit", "9"]
    options += ["--augment", "speed", "noise", "time_mask", "--noise_dir", str(noise)]
    assert finetune.main(options) == 0
    assert len(list((tmp_path / "cache").glob("trunk-*.arrow"))) == 1
    whole, cut, plain = (tmp_path / name for name in ("run", "cut", "plain"))
    shutil.copytree(whole / "checkpoint-16", cut / "checkpoint-16")
    resumed = [*options, "--output_dir", str(cut), "--resume_from_checkpoint", "last"]
    assert finetune.main(resumed) == 0
    # Step 16 is in the second epoch, which ends with step 24.
    assert_same_weights(whole / "checkpoint-24", cut / "checkpoint-24", tolerance=1e-6)
    unvaried = options[: options.index("--augment")]
    assert finetune.main([*unvaried, "--output_dir", str(plain)]) == 0
    name = "classifier.weight"
    assert not torch.equal(weights(plain)[name], weights(whole)[name])


def test_averaged_weights_are_kept_and_resumed(options, tmp_path):
    options = [*options, "--trainable_layers", "2", "--save_steps", "8", "--save_total_limit", "9"]
    options += ["--average_decay", "0.9", "--load_best_model_at_end", "false"]
    assert finetune.main(options) == 0
    whole, cut = tmp_path / "run", tmp_path / "cut"
    assert_same_weights(whole / "checkpoint-24", whole, tolerance=0)
    raw = load_file(whole / "checkpoint-24" / WEIGHTS_FILE)
    assert not any(torch.equal(raw[name], weights(whole)[name]) for name in raw)
    state = json.loads((whole / "trainer_state.json").read_text())
    last = [entry["eval_uar"] for entry in state["log_history"] if "eval_uar" in entry][-1]
    scored = json.loads((whole / "metrics.json").read_text())
    assert scored["validation"]["uar"] == pytest.approx(last)
    assert "- options: " in (whole / "README.md").read_text()

    shutil.copytree(whole / "checkpoint-8", cut / "checkpoint-8")
    options += ["--output_dir", str(cut), "--resume_from_checkpoint", "last"]
    assert finetune.main(options) == 0
    assert_same_weights(whole, cut, tolerance=1e-6)


def test_a_run_is_resumed_with_averaging_as_it_began(options, capsys):
    options += ["--num_train_epochs", "1", "--test_at_end", "false"]
    assert finetune.main(options) == 0
    options = [*options, "--resume_from_checkpoint", "last", "--average_decay", "0.9"]
    assert finetune.main(options) == 2
    assert "was trained without --average_decay" in capsys.readouterr().err


def test_runs_of_two_seeds_are_averaged(options, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    options += ["--load_best_model_at_end", "false", "--test_at_end", "false"]
    options += ["--num_train_epochs", "1"]
    assert finetune.main([*options, "--output_dir", str(first)]) == 0
    shutil.copytree(first, tmp_path / "kept")
    seed_1 = [*options, "--seed", "1", "--output_dir", str(second)]
    assert finetune.main([*seed_1, "--average_with", str(tmp_path / "kept")]) == 0
    newest = max(second.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    runs = [weights(folder) for folder in (first, newest, second)]
    assert any((a != b).any() for a, b in zip(runs[0].values(), runs[1].values(), strict=True))
    for name, mean in runs[2].items():
        torch.testing.assert_close(mean, (runs[0][name] + runs[1][name]) / 2)
    assert "--average_with kept" in (second / "README.md").read_text(encoding="utf-8")

    assert finetune.main([*options, "--average_with", str(tmp_path / "nowhere")]) == 2
    assert "give the --output_dir of finished runs" in capsys.readouterr().err


@pytest.mark.parametrize("cached", ["true", "false"])
def test_soft_labels_are_learnt_beside_the_labels(corpus, options, tmp_path, capsys, cached):
    assert finetune.main([*options, "--num_train_epochs", "1"]) == 0
    soft = tmp_path / "made" / "soft.csv"
    made = [str(tmp_path / "run"), "--data", str(corpus), "--output", str(soft), "--device", "cpu"]
    assert soft_labels.main([*made, "--cache_dir", str(tmp_path / "cache")]) == 0
    lines = soft.read_text().splitlines()
    assert lines[0] == "name,high,low,noise"
    assert len(lines) == 121  # 120 training clips
    # All training clips are "noise" to this teacher, but for those that it leaves to their labels.
    rows = [f"{line.split(',')[0]},0,0,1" for line in lines[1:] if not line.startswith("low")]
    soft.write_text("\n".join([lines[0], *rows]) + "\n")
    options += ["--soft_labels", str(soft), "--soft_label_weight", "1", "--cache_trunk", cached]
    options += ["--output_dir", str(tmp_path / "student"), "--num_train_epochs", "8"]
    assert finetune.main(options) == 0
    assert "Soft labels: 80 of 120 training clips" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "student" / "metrics.json").read_text())["test"]
    assert metrics["recall_high"] < 0.3
    assert metrics["recall_noise"] > 0.7 and metrics["recall_low"] > 0.7


def test_mixed_targets_give_the_mean_of_both_losses():
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
    labels = torch.tensor([2, 1])
    soft = torch.tensor([[0.7, 0.2, 0.1], [float("nan")] * 3])
    targets = mixed_targets(labels, soft, weight=0.3, smoothing=0.1)
    cross_entropy = torch.nn.functional.cross_entropy
    found = cross_entropy(logits, targets, reduction="none")
    hard = cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
    both = 0.7 * hard[0] + 0.3 * cross_entropy(logits[:1], soft[:1])
    torch.testing.assert_close(found, torch.stack([both, hard[1]]))


def optimizer_of(base: Path, tmp_path: Path, layers: int, **more) -> tuple:
    model = load_with_new_head(str(base), ["a", "b", "c"])
    freeze(model, layers)
    given: dict = {"learning_rate": 0.1, "weight_decay": 0.01, "use_cpu": True}
    given |= {"eval_strategy": "no", "load_best_model_at_end": False}
    args = ClipTrainingArguments(output_dir=str(tmp_path / "run"), **{**given, **more})
    return model, ClipTrainer(model=model, args=args).create_optimizer()


def test_learning_rates_of_head_and_layers(base, tmp_path):
    model, optimizer = optimizer_of(base, tmp_path, -1, head_learning_rate=1.0, layer_decay=0.5)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {names[p]: group for group in optimizer.param_groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in optimizer.param_groups)
    assert found.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    assert optimizer.param_groups[0]["lr"] == 0.1  # the Trainer logs this one
    expected = {
        "classifier.weight": (1.0, 0.01),
        "projector.bias": (1.0, 0.0),
        "hubert.encoder.layer_norm.weight": (0.1, 0.0),
        "hubert.encoder.layers.1.attention.q_proj.weight": (0.1, 0.01),
        "hubert.encoder.layers.0.attention.q_proj.weight": (0.05, 0.01),
        "hubert.encoder.layers.0.final_layer_norm.weight": (0.05, 0.0),
        "hubert.encoder.pos_conv_embed.conv.bias": (0.025, 0.0),
        "hubert.feature_projection.projection.weight": (0.025, 0.01),
    }
    for name, wanted in expected.items():
        assert (found[name]["lr"], found[name]["weight_decay"]) == wanted, name

    _, plain = optimizer_of(base, tmp_path, 1)
    assert [(g["lr"], g["weight_decay"]) for g in plain.param_groups] == [(0.1, 0.01), (0.1, 0.0)]
    _, head_only = optimizer_of(base, tmp_path, 0, head_learning_rate=0.3)
    assert {group["lr"] for group in head_only.param_groups} == {0.3}


def test_a_run_with_learning_rates_of_its_own_can_be_resumed(options, tmp_path):
    options = [*options, "--head_learning_rate", "1e-2", "--layer_decay", "0.7"]
    options += ["--save_steps", "8", "--save_total_limit", "9", "--trainable_layers", "2"]
    assert finetune.main(options) == 0
    whole, cut = tmp_path / "run", tmp_path / "cut"
    shutil.copytree(whole / "checkpoint-8", cut / "checkpoint-8")
    options += ["--output_dir", str(cut), "--resume_from_checkpoint", "last"]
    assert finetune.main(options) == 0
    assert_same_weights(whole / "checkpoint-24", cut / "checkpoint-24", tolerance=1e-6)


def test_a_resumed_run_ends_as_an_uninterrupted_one(options, tmp_path, capsys):
    options = [*options, "--save_steps", "8", "--save_total_limit", "9"]
    assert finetune.main(options) == 0  # 24 steps; step 8 is in the middle of an epoch
    whole, cut = tmp_path / "run", tmp_path / "cut"
    assert sorted(path.name for path in whole.glob("checkpoint-*")) == [
        "checkpoint-16",
        "checkpoint-24",
        "checkpoint-8",
    ]
    cut.mkdir()
    shutil.copytree(whole / "checkpoint-8", cut / "checkpoint-8")
    options += ["--output_dir", str(cut)]
    assert finetune.main(options) == 2
    assert "has checkpoints of another run" in capsys.readouterr().err
    assert finetune.main([*options, "--resume_from_checkpoint", "last"]) == 0
    assert_same_weights(whole / "checkpoint-24", cut / "checkpoint-24", tolerance=1e-6)
    assert_same_weights(whole, cut, tolerance=1e-6)


def test_save_steps_beyond_the_end_still_leaves_a_checkpoint(options, tmp_path, capsys):
    assert finetune.main([*options, "--save_steps", "500", "--num_train_epochs", "1"]) == 0
    assert "--save_steps 500 exceeds the run's 12 steps" in capsys.readouterr().out
    assert (tmp_path / "run" / "checkpoint-12" / "model.safetensors").is_file()


def test_the_card_tells_what_a_recipe_chose(repository, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data: x\nuse_cpu: true\ntrain_window: [1.0, 3.0]\naugment: [speed, noise]\nnoise_dir: "
        + str(tmp_path)
        + "\n"
        "head_learning_rate: 1.0e-3\nlearning_rate: 1.0e-4\nweighted_layer_sum: true\n"
        "lr_scheduler_type: cosine\nlicences: []\n"
    )
    assert chosen_options(*finetune.parse_args([str(recipe)])) == {
        "weighted_layer_sum": "true",
        "train_window": "1.0 3.0",
        "augment": "speed noise",
        "noise_dir": tmp_path.name,
        "head_learning_rate": "0.001",
        "lr_scheduler_type": "cosine",
    }
    assert chosen_options(*finetune.parse_args(["--data", "x", "--use_cpu"])) == {}
    recipes = repository / "train" / "recipes"
    for own in recipes.glob("*.yaml"):  # every recipe can be described
        given = [str(own), "--data", "x", "--use_cpu", "--bf16", "false"]
        described = chosen_options(*finetune.parse_args(given))
        assert all(isinstance(value, str) for value in described.values())


def test_long_recordings_among_short_clips_are_cut_and_scored_as_wholes(
    options, corpus, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(long_recordings, "LONGEST", 1.0)
    table = tmp_path / "clips.csv"
    lines = corpus.read_text().splitlines()
    places = [
        f"{corpus.parent}/{line},{('train', 'validation')[i % 2]}"
        for i, line in enumerate(line.rsplit(",", 1)[0] for line in lines[1:])
    ]
    for seed, split in enumerate(("train", "validation")):
        sound = 0.2 * np.random.default_rng(seed).normal(size=20 * RATE)
        soundfile.write(tmp_path / f"{split}.wav", sound, RATE)
        places.append(f"{split}.wav,noise,{split}")
    table.write_text("\n".join(["file,label,split", *places]) + "\n")
    options += ["--data", str(table), "--num_train_epochs", "1"]
    assert finetune.main(options) == 0
    out = capsys.readouterr().out
    assert "train: 1 of 91 recordings are longer than 1 s and were cut into 20 windows." in out
    assert "Optimizer steps: 11" in out  # 90 clips and 20 windows, 10 a step
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["validation"]["clips"] == 91
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    logged = [entry["eval_uar"] for entry in state["log_history"] if "eval_uar" in entry]
    assert logged == [pytest.approx(metrics["validation"]["uar"])]


def test_early_stopping_ends_with_the_best_checkpoint(options, tmp_path):
    options += ["--num_train_epochs", "9", "--early_stopping_patience", "1"]
    options += ["--metric_for_best_model", "loss", "--learning_rate", "0.5"]
    assert finetune.main(options) == 0
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert len(losses) < 9
    assert state["best_metric"] == min(losses)
    best = Path(state["best_model_checkpoint"])
    assert_same_weights(best, tmp_path / "run", tolerance=0)


def test_recipe_file_with_overrides(tmp_path, repository):
    recipe = repository / "train" / "recipes" / "crema_d.yaml"
    own, args = finetune.parse_args([str(recipe), "--num_train_epochs", "3", "--use_cpu"])
    assert (own.base_model, own.trainable_layers) == ("facebook/hubert-base-ls960", 2)
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 128
    assert args.num_train_epochs == 3
    _, whole = finetune.parse_args([str(recipe), "--use_cpu"])
    assert whole.num_train_epochs == 5
    plain, defaults = finetune.parse_args(["--data", *own.data, "--use_cpu"])
    assert (plain.base_model, plain.trainable_layers) == (None, own.trainable_layers)
    for name in ("num_train_epochs", "learning_rate", "warmup_ratio", "metric_for_best_model"):
        assert getattr(defaults, name) == getattr(whole, name)
    _, steps = finetune.parse_args([str(recipe), "--save_steps=40", "--use_cpu"])
    assert (steps.save_strategy, steps.eval_strategy, steps.eval_steps) == ("steps", "steps", 40)
    as_json = tmp_path / "recipe.json"
    as_json.write_text(json.dumps({"data": "x", "learning_rate": 2e-5, "bf16": True}))
    own, args = finetune.parse_args([str(as_json), "--report_to", "none", "--use_cpu"])
    assert (own.data, args.learning_rate, args.bf16, args.report_to) == (["x"], 2e-5, True, [])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "no/such/folder.csv"], "There is no folder or file"),
        (["--base-model", "./no-such-model"], "cannot be loaded"),
        (["--trainable_layers", "3"], "has 2 encoder layers"),
        (["--no_such_option", "1"], "no_such_option"),
        (["--resume_from_checkpoint", "last"], "no checkpoint to resume from"),
        (
            ["--early_stopping_patience", "2", "--load_best_model_at_end", "false"],
            "needs --load_best_model_at_end",
        ),
        (["--save_strategy", "steps", "--eval_strategy", "epoch"], "Wrong options"),
        (["--augment", "noise"], "needs --noise_dir"),
        (["--average_decay", "1"], "--average_decay 1.0 must be at least 0 and below 1"),
        (["--soft_labels", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--soft_label_weight", "2"], "--soft_label_weight 2.0 must be 0 to 1"),
        (["--train_window", "3", "1"], "--train_window 3.0 1.0: give one length in seconds"),
        (["--train_window", "1", "2", "3"], "--train_window 1.0 2.0 3.0: give one"),
        (["--report_to", "wandb"], "--report_to wandb cannot be used: "),
        (["--report_to", "nosuch"], "--report_to nosuch is unknown: use none, all, or some of"),
        (["--metric_for_best_model", "nosuch"], "nosuch is not computed: use one of uar,"),
        (["--metric_for_best_model", "recall_joy"], "recall_high, recall_low, recall_noise."),
        (["--layer_decay", "0"], "--layer_decay 0.0 must be above 0"),
    ],
)
def test_wrong_options_are_one_line_and_code_2(options, more, message, capsys, tmp_path):
    assert finetune.main([*options, *more]) == 2
    assert not (tmp_path / "cache").exists()  # nothing was decoded
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("error: ")
    assert message in captured.err


def test_pickled_weights_are_refused(options, base, tmp_path, capsys):
    pickled = tmp_path / "pickled"
    shutil.copytree(base, pickled)
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    assert finetune.main([*options, "--base-model", str(pickled)]) == 2
    assert "has only pickled weights (pytorch_model.bin), which can run" in capsys.readouterr().err


def test_wrong_recipe(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text("- a\n- b\n")
    assert finetune.main([str(tmp_path / "recipe.yaml")]) == 2
    assert "must be a mapping" in capsys.readouterr().err


def test_two_processes(options, repository, tmp_path):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", "0"]
    command += [str(repository / "train" / "finetune.py"), *options, "--num_train_epochs", "10"]
    command += ["--per_device_train_batch_size", "3"]
    command += ["--average_decay", "0.9", "--augment", "time_mask"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Clips (speakers)") == 1
    assert done.stdout.count("Processes: 2, device: cpu, clips per step: 6") == 1
    assert "Optimizer steps: 200" in done.stdout  # 120 clips, 6 a step, 10 epochs
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.5
