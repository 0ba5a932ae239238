"""Checkpoints of other kinds: exported with parity, or refused with a clear error."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2FeatureExtractor

from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from emo_listen.model_folder.network import FP32
from export import to_onnx
from export.checkpoint import PyTorchModel
from export.graph import export_fp32
from tests.support import tiny_checkpoints as tiny
from train.backbones.kinds import BACKBONES
from train.corpus.recordings import bundled_speech

SPEECH = bundled_speech(16_000)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as train/finetune.py writes it, to be copied and changed."""
    return tiny.save(tiny.make_model(tiny.COMPACT), tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def change_config(folder: Path, **values) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("kind", "shape", "weighted"),
    [
        (kind, shape, weighted)
        for kind in BACKBONES
        for shape, weighted in ((tiny.LARGE, True), (tiny.BASE, False))
        if (kind, shape) != ("hubert", tiny.BASE)  # of other tests
    ],
)
def test_each_kind_is_exported_with_parity(tmp_path, kind, shape, weighted):
    model = tiny.make_kind(kind, shape, use_weighted_layer_sum=weighted)
    checkpoint = tmp_path / "checkpoint"
    model.save_pretrained(checkpoint)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=shape is tiny.LARGE)
    extractor.save_pretrained(checkpoint)
    export_fp32(checkpoint, tmp_path / "model")
    reference = PyTorchModel.load(checkpoint)
    runtime = EmotionModel.load(tmp_path / "model", file_name=FP32)
    for n_samples in (1600, 8000, 50_000):
        sound = SPEECH[:n_samples]
        # With the mask that the pipeline of transformers gives such a model.
        inputs = extractor(sound, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).logits.softmax(dim=-1)[0].numpy()
        np.testing.assert_allclose(reference.probabilities(sound), expected, atol=1e-5)
        scores = runtime.predict(sound, 16_000).scores
        np.testing.assert_allclose(list(scores.values()), expected, atol=1e-5)


def test_sharded_and_half_precision_weights_are_read(saved, folder, tmp_path):
    inputs = PyTorchModel.load(saved).input_values(SPEECH[:16_000])
    model = tiny.make_model(tiny.COMPACT)
    sharded = tmp_path / "sharded"
    tiny.save(model, sharded)
    (sharded / "model.safetensors").unlink()
    model.save_pretrained(sharded, max_shard_size="100KB")
    assert len(list(sharded.glob("model-*.safetensors"))) > 1
    expected = PyTorchModel.load(saved).logits(inputs)
    np.testing.assert_allclose(PyTorchModel.load(sharded).logits(inputs), expected, atol=1e-6)

    file = folder / "model.safetensors"
    save_file({n: w.half() for n, w in load_file(file).items()}, file, {"format": "pt"})
    change_config(folder, dtype="float16", torch_dtype="float16")
    half = PyTorchModel.load(folder)
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    np.testing.assert_allclose(half.logits(inputs), expected, atol=0.02)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"problem_type": "regression"}, "trained for regression .problem_type."),
        ({"problem_type": "multi_label_classification"}, "trained for multi_label_class"),
        ({"id2label": {"0": "arousal"}, "label2id": {"arousal": 0}}, "trained for regression"),
        ({"architectures": ["Wav2Vec2ForSpeechClassification"]}, "saved by the class Wav2Vec2For"),
        ({"architectures": None}, None),
        ({"problem_type": "single_label_classification"}, None),
        ({"model_type": "nothing-known"}, "is not an audio classifier: "),
    ],
)
def test_configs_of_another_task_or_head(folder, values, message):
    change_config(folder, **values)
    if message is None:
        PyTorchModel.load(folder)
        return
    with pytest.raises(ModelError, match=message):
        PyTorchModel.load(folder)


def test_custom_heads_are_refused_by_the_names_of_their_weights(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["classifier.dense.weight"] = weights.pop("projector.weight")
    save_file(weights, file, {"format": "pt"})
    message = r"no weights for projector\.weight; its weights classifier\.dense\.weight would not"
    with pytest.raises(ModelError, match=message):
        PyTorchModel.load(folder)


@pytest.mark.parametrize("present", [True, False])
def test_a_weight_that_only_training_uses_is_optional(folder, present):
    change_config(folder, mask_time_prob=0.0 if present else 0.05)
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = "hubert.masked_spec_embed"
    weights.pop(name, None)
    if present:
        weights[name] = torch.zeros(64)
    save_file(weights, file, {"format": "pt"})
    PyTorchModel.load(folder)


def test_missing_files_are_reported_with_what_to_do(folder, monkeypatch, capsys):
    def refusal(place: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["to_onnx.py", str(place), "--output", str(folder)])
        assert to_onnx.main() == 2
        return capsys.readouterr().err

    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "has only pickled weights (pytorch_model.bin), which can run code" in refusal(folder)
    (folder / "pytorch_model.bin").unlink()
    assert "lacks model.safetensors: give the folder that" in refusal(folder)
    (folder / "preprocessor_config.json").unlink()
    assert "lacks preprocessor_config.json: copy it from the base model" in refusal(folder)
    message = refusal("superb/hubert-base-superb-er")
    assert "`hf download superb/hubert-base-superb-er --local-dir hubert-base-superb-er`" in message
    assert "hf download" not in refusal(folder / "absent")


def test_a_model_of_spectrograms_is_refused(folder):
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({"feature_extractor_type": "WhisperFeatureExtractor"}))
    with pytest.raises(ModelError, match="takes input_features, not raw samples"):
        PyTorchModel.load(folder)
    file.write_text("{")
    with pytest.raises(ModelError, match="does not describe a feature extractor"):
        PyTorchModel.load(folder)


def test_the_runtime_explains_how_to_download_a_hub_model(tmp_path):
    with pytest.raises(ModelError, match="hf download superb/hubert-base-superb-er --local-dir"):
        EmotionModel.load("superb/hubert-base-superb-er")
    with pytest.raises(ModelError) as error:
        EmotionModel.load(tmp_path / "absent")
    assert "hf download" not in str(error.value)
