"""The clone's checkpoint: packed, exported, compared with the bundled model."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emo_listen import EmotionModel
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings, file_sha256
from export import bundle, pack_checkpoint, to_onnx
from export.against_bundled import against_bundled
from export.checkpoint import PyTorchModel
from export.speech import speech_windows
from tests.support import tiny_checkpoints as tiny
from train.backbones.load import load_with_new_head
from train.corpus.places import BUNDLED_CHECKPOINT
from train.corpus.recordings import bundled_speech
from train.evaluation.scoring import score_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder: a checkpoint with a card, settings and other files of training."""
    folder = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path_factory.mktemp("runs") / "run")
    (folder / "README.md").write_text("# A tiny model\n\n![curves](curves.png)\n")
    (folder / "curves.png").write_bytes(b"a picture")
    (folder / "training_args.bin").write_bytes(b"a pickle")
    ModelSettings(window=2.0, origin={"data": "none"}).write(folder)
    return folder


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "hubert-compact"
    assert pack_checkpoint.main([str(run), "--output", str(folder)]) == 0
    return folder


def export(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["to_onnx.py", *map(str, arguments)])
    return to_onnx.main()


@pytest.fixture(scope="module")
def exported(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert export(monkeypatch, packed, "--output", folder) == 0
    return folder


@pytest.fixture(scope="module")
def inputs(packed):
    reference = PyTorchModel.load(packed)
    return [reference.input_values(w) for w in speech_windows(bundled_speech(16_000), 16_000, 2)]


def test_linear_layers_are_halved_and_the_rest_is_unchanged(run, packed):
    before, after = load_file(run / WEIGHTS), load_file(packed / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        if tensor.dim() == 2:
            assert after[name].dtype == torch.float16
        else:
            assert torch.equal(after[name], tensor)
    assert (packed / WEIGHTS).stat().st_size < 0.75 * (run / WEIGHTS).stat().st_size
    assert not (packed / "training_args.bin").exists()
    assert (packed / "curves.png").read_bytes() == b"a picture"
    settings = ModelSettings.read(packed)
    assert (settings.window, settings.origin["data"]) == (2.0, "none")
    assert settings.sha256 == {
        name: file_sha256(packed / name)
        for name in ("config.json", "preprocessor_config.json", WEIGHTS)
    }


def test_its_logits_are_those_of_the_run(run, packed, inputs, capsys):
    one, other = PyTorchModel.load(run), PyTorchModel.load(packed)
    differences = [abs(one.logits(x) - other.logits(x)).max() for x in inputs]
    assert 0 < max(differences) < 0.01
    assert pack_checkpoint.main([str(run), "--output", str(packed)]) == 0
    assert "largest logit difference" in capsys.readouterr().out


def test_it_is_loaded_in_fp32(packed):
    models = [PyTorchModel.load(packed).model, load_with_new_head(str(packed), ["calm", "loud"])]
    for model in models:
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert score_checkpoint(str(packed), {}, tiny.LABELS, torch.device("cpu")) == {}


def test_other_folders_and_large_checkpoints_are_refused_and_nothing_is_replaced(
    run, tmp_path, monkeypatch, capsys
):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    assert pack_checkpoint.main([str(tmp_path), "--output", str(tmp_path / "target")]) == 2
    assert "lacks config.json" in capsys.readouterr().err
    monkeypatch.setattr(pack_checkpoint, "LARGEST", 1000)
    assert pack_checkpoint.main([str(run), "--output", str(tmp_path / "target")]) == 2
    assert "above 0 MB" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target" / "old").exists()


def test_the_export_without_arguments_is_the_bundled_model_byte_for_byte(
    packed, exported, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(to_onnx, "BUNDLED_CHECKPOINT", packed)
    monkeypatch.setattr(to_onnx, "BUNDLED_MODEL", exported)
    monkeypatch.chdir(tmp_path)
    assert export(monkeypatch) == 0
    out = capsys.readouterr().out
    assert f"{FP32}: identical to the bundled model" in out
    assert f"{INT8}: identical to the bundled model" in out
    assert "python train/get_crema_d.py --output data/crema-d" in out
    assert EmotionModel.load(tmp_path / "runs/onnx/hubert-compact").labels == tiny.LABELS


def test_the_difference_from_another_model_is_reported(exported, inputs, tmp_path):
    bundled = shutil.copytree(exported, tmp_path / "bundled")
    (bundled / FP32).unlink()
    settings = ModelSettings.read(bundled)
    shutil.copyfile(exported / FP32, bundled / INT8)
    settings.sha256 = {}
    settings.write(bundled)
    fp32, int8 = against_bundled(exported, inputs, bundled)
    assert fp32.endswith("differs from the bundled model, whose graph is not here to compare")
    assert float(int8.split()[-1]) > 0
    assert "logits by up to" in int8


def test_bundling_puts_both_into_the_clone_only_where_they_are_one_model(
    packed, exported, tmp_path, monkeypatch, capsys
):
    place = tmp_path / "checkpoints" / "hubert-compact"
    monkeypatch.setattr(bundle, "BUNDLED_CHECKPOINT", place)
    command = [str(exported), "--target", str(tmp_path / "target"), "--checkpoint"]
    other = shutil.copytree(packed, tmp_path / "other")
    tensors = load_file(other / WEIGHTS)
    tensors["classifier.bias"] += 1
    save_file(tensors, other / WEIGHTS)
    assert bundle.main([*command, str(other)]) == 2
    assert "was not exported from" in capsys.readouterr().err
    assert not place.exists()
    assert not (tmp_path / "target").exists()
    assert bundle.main([*command, str(packed)]) == 0
    assert file_sha256(place / WEIGHTS) == file_sha256(packed / WEIGHTS)


def test_the_clones_checkpoint_is_the_one_that_the_bundled_model_was_exported_from():
    if not BUNDLED_CHECKPOINT.is_dir():
        pytest.skip(f"{BUNDLED_CHECKPOINT} is absent")
    settings = ModelSettings.read(BUNDLED_CHECKPOINT)
    for name in ("config.json", "preprocessor_config.json", WEIGHTS):
        assert settings.sha256[name] == file_sha256(BUNDLED_CHECKPOINT / name)
    assert (BUNDLED_CHECKPOINT / WEIGHTS).stat().st_size < 50_000_000
    made = ModelSettings.read(BUNDLED_MODEL).origin["export"]
    assert made["weights_sha256"] == {WEIGHTS: settings.sha256[WEIGHTS]}
    reference, graph = PyTorchModel.load(BUNDLED_CHECKPOINT), EmotionModel.load()
    speech = bundled_speech(reference.sampling_rate)[: 3 * reference.sampling_rate]
    scores = graph.predict(speech, graph.sampling_rate).scores
    given = reference.probabilities(speech, graph.settings.temperature)
    np.testing.assert_allclose(list(scores.values()), given, atol=0.25)  # int8 on a synthetic voice
