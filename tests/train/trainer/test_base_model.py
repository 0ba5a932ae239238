"""Which model fine-tuning starts from where no hub can be reached."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from emo_listen.errors import ModelError
from export import pack_checkpoint
from tests.support import tiny_checkpoints as tiny
from train import finetune
from train.trainer import base_model
from train.trainer.base_model import choose_base_model

RATE = 16_000


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """The clone's checkpoint: six classes, packed."""
    model = tiny.make_model(tiny.COMPACT, mask_time_prob=0.0)
    folder = tmp_path / "checkpoints" / "hubert-compact"
    pack_checkpoint.pack(tiny.save(model, tmp_path / "made"), folder)
    monkeypatch.setattr(base_model, "BUNDLED_CHECKPOINT", folder)
    return folder


@pytest.fixture
def recordings(tmp_path):
    """Three classes, in folders of class and speaker."""
    random = np.random.default_rng(0)
    for label in ("calm", "glad", "loud"):
        for speaker in "abc":
            folder = tmp_path / "recordings" / label / speaker
            folder.mkdir(parents=True)
            for i in range(2):
                soundfile.write(folder / f"{i}.wav", random.normal(0, 0.1, RATE // 2), RATE)
    return tmp_path / "recordings"


@pytest.fixture
def no_hub(monkeypatch):
    def unreachable(name):
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(base_model.AutoConfig, "from_pretrained", unreachable)


def test_what_is_named_is_taken(bundled):
    assert choose_base_model("some/hub-id") == "some/hub-id"
    assert choose_base_model("bundled") == str(bundled)


def test_hubert_base_is_the_default_where_a_hub_answers(bundled, monkeypatch):
    monkeypatch.setattr(base_model.AutoConfig, "from_pretrained", lambda name: object())
    assert choose_base_model(None) == base_model.HUBERT_BASE


def test_the_clones_checkpoint_is_the_default_without_a_hub(bundled, no_hub, capsys):
    assert choose_base_model(None) == str(bundled)
    assert "starting from the bundled model's checkpoint" in capsys.readouterr().out


def test_a_clone_without_a_checkpoint_says_so(bundled, no_hub):
    (bundled / "config.json").unlink()
    for named in (None, "bundled"):
        with pytest.raises(ModelError, match=r"checkpoint is not in .*set --base_model"):
            choose_base_model(named)


def test_own_recordings_are_learnt_from_the_clones_checkpoint(
    bundled, recordings, tmp_path, capsys
):
    command = ["--data", str(recordings), "--base_model", "bundled", "--use_cpu"]
    command += ["--output_dir", str(tmp_path / "run"), "--cache_dir", str(tmp_path / "cache")]
    command += ["--max_steps", "2", "--per_device_train_batch_size", "4", "--disable_tqdm", "true"]
    assert finetune.main(command) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert list(config["id2label"].values()) == ["calm", "glad", "loud"]
    begun, made = (load_file(f / "model.safetensors") for f in (bundled, tmp_path / "run"))
    frozen = "hubert.feature_extractor.conv_layers.0.conv.weight"
    assert torch.equal(begun[frozen], made[frozen])
    assert {tensor.dtype for tensor in made.values()} == {torch.float32}
    assert "hubert-compact" in (tmp_path / "run" / "README.md").read_text()
