"""The command export/to_onnx.py: what it writes, and what it refuses to write."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import TensorProto, numpy_helper
from optimum.onnxruntime import ORTModelForAudioClassification

from emo_listen import EmotionModel
from emo_listen.errors import CorpusError, ModelError
from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings, file_sha256
from export import quantize_int8, to_onnx
from export.checkpoint import PyTorchModel
from export.precision_scores import accuracy_drop
from export.speech import speech_windows
from tests.support import tiny_checkpoints as tiny
from train.corpus.recordings import Clip, bundled_speech, check_labels, load_clips

SPEECH = bundled_speech(16_000)
CARD = "---\nlicense: apache-2.0\n---\n\n# A tiny model\n\n![curves](curves.png)\n"


def export(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["to_onnx.py", *map(str, arguments)])
    return to_onnx.main()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tiny.save(
        tiny.make_model(tiny.COMPACT, use_weighted_layer_sum=True),
        tmp_path_factory.mktemp("checkpoint"),
    )
    (folder / "README.md").write_text(CARD)
    (folder / "curves.png").write_bytes(b"a picture")
    ModelSettings(window=2.0, origin={"data": "none"}, scores={"test": {"pytorch": {}}}).write(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(quantize_int8, "LARGE", 5000)
        assert export(monkeypatch, checkpoint, "--output", folder) == 0
    return folder


def test_it_writes_the_hubs_layout_and_nothing_else(exported):
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*.*")}
    assert files == {
        "README.md",
        "config.json",
        "curves.png",
        "emo_listen.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "preprocessor_config.json",
    }
    assert [path.name for path in exported.parent.iterdir()] == ["tiny"]


def test_the_settings_are_the_checkpoints_completed(exported):
    settings = ModelSettings.read(exported)
    assert settings.window == 2.0
    assert settings.origin["data"] == "none"
    made = settings.origin["export"]
    assert made["command"].startswith("python export/to_onnx.py ")
    assert made["versions"]["onnxruntime"]
    assert made["largest_logit_difference"]["fp32"] < 1e-4
    assert set(settings.sha256) == {
        "config.json",
        "preprocessor_config.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
    }
    for name, sha256 in settings.sha256.items():
        assert file_sha256(exported / name) == sha256


def test_the_model_card_is_carried_over_and_extended_once(
    checkpoint, exported, tmp_path, monkeypatch
):
    card = (exported / "README.md").read_text()
    assert card.startswith(CARD)
    assert card.count("## ONNX") == 1
    assert "`onnx/model_quantized.onnx` (int8)" in card

    again = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path / "again")
    (again / "README.md").write_text(card)
    assert export(monkeypatch, again, "--output", again) == 0
    assert (again / "README.md").read_text().count("## ONNX") == 1
    assert EmotionModel.load(again).labels == tiny.LABELS


@pytest.mark.parametrize("seconds", [0.1, 0.73, 3.0, 8.0])
def test_the_runtime_gives_pytorchs_probabilities(checkpoint, exported, seconds):
    reference = PyTorchModel.load(checkpoint)
    fp32 = EmotionModel.load(exported, file_name=FP32)
    int8 = EmotionModel.load(exported, file_name=INT8)
    assert fp32.labels == int8.labels == reference.labels
    for window in speech_windows(SPEECH, round(seconds * 16_000), 3):
        logits = torch.from_numpy(reference.logits(reference.input_values(window)))
        expected = logits.softmax(dim=-1)[0].numpy()
        for model, tolerance in ((fp32, 1e-5), (int8, 0.02)):
            scores = model.predict(window, 16_000).scores
            np.testing.assert_allclose(list(scores.values()), expected, atol=tolerance)


@pytest.mark.parametrize(
    ("file_name", "tolerance"), [("model.onnx", 1e-4), ("model_quantized.onnx", 0.1)]
)
def test_optimum_loads_the_result(checkpoint, exported, file_name, tolerance):
    model = ORTModelForAudioClassification.from_pretrained(
        exported, subfolder="onnx", file_name=file_name
    )
    reference = PyTorchModel.load(checkpoint)
    input_values = reference.input_values(SPEECH[:40_000])
    logits = model(input_values=torch.from_numpy(input_values)).logits.numpy()
    np.testing.assert_allclose(logits, reference.logits(input_values), atol=tolerance)
    assert list(model.config.id2label.values()) == tiny.LABELS


def test_what_int8_stores_as_int8(exported):
    graph = onnx.load(exported / INT8).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    operators = [node.op_type for node in graph.node]
    # Query, key, value, output and two feed-forward layers in each of 2 layers; the features'
    # projection. That of the pooled states is of one frame.
    assert operators.count("MatMulInteger") == 13
    # Attention, two products of activations in each layer; the projector and the classifier.
    assert operators.count("MatMul") == 6
    assert "ConvInteger" not in operators
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            weight = constants[node.input[1]]
            assert weight.data_type == TensorProto.INT8
            # 255 * (64 + 64) fits the 16 bits in which processors without VNNI add.
            assert np.abs(numpy_helper.to_array(weight).astype(int)).max() <= 64
    in_fp32 = [
        list(constants[node.input[1]].dims)
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    ]
    # Those with one input channel and the small ones, by the fixture's measure of small.
    assert in_fp32 == [[32, 1, 400], [32, 32, 1], [48, 32, 3]]
    assert sum(name.endswith("_int8") for name in constants) == 2


def test_a_wrong_fp32_graph_is_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    model = tiny.make_model(tiny.COMPACT)
    with torch.no_grad():
        # Logits of a million: single precision then carries errors above 1e-4.
        model.classifier.weight *= 1e6
    checkpoint = tiny.save(model, tmp_path / "checkpoint")
    assert export(monkeypatch, checkpoint, "--output", tmp_path / "model") == 2
    message = capsys.readouterr().err
    assert "logits differ from PyTorch's by up to" in message
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.fixture(scope="module")
def labelled_speech(tmp_path_factory):
    """A corpus that a certain tiny checkpoint scores 100 % on, by construction."""
    folder = tmp_path_factory.mktemp("corpus")
    # Exact in 16 bits: the sample's silence is digital, and rounding noise alone sways a random
    # model there.
    exact = (np.rint(SPEECH * 32768) / 32768).astype(np.float32)
    windows = speech_windows(exact, 16_000, 60)
    model = tiny.make_model(tiny.COMPACT)
    labels = tiny.balance(model, windows)
    with (folder / "clips.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "split"])
        for index, (window, label) in enumerate(zip(windows, labels, strict=True)):
            soundfile.write(folder / f"{index}.wav", window, 16_000)
            rows.writerow([f"{index}.wav", label, "validation"])
    return model, folder / "clips.csv"


def test_int8_that_loses_too_much_is_refused_and_fp32_kept(
    labelled_speech, tmp_path, monkeypatch, capsys
):
    model, clips = labelled_speech
    checkpoint, output = tmp_path / "checkpoint", tmp_path / "model"
    arguments = (
        *("--output", output, "--data", clips, "--max-accuracy-drop", 20),
        *("--cache_dir", tmp_path / "cache"),
    )

    def scores_of(model):
        tiny.save(model, checkpoint)
        code = export(monkeypatch, checkpoint, *arguments)
        return code, ModelSettings.read(output).scores["validation"]

    # As it is, and with one channel a thousand times larger than the others.
    for changed in (model, tiny.rescaled(model, 1000.0)):
        code, scores = scores_of(changed)
        assert code == 0
        assert scores["pytorch"]["accuracy"] == 1
        assert scores["int8"]["accuracy"] >= 0.8
        assert (output / INT8).is_file()
    capsys.readouterr()

    # With one weight in each row a thousand times larger, which leaves the others no step.
    code, scores = scores_of(tiny.rescaled(model, 0.001))
    assert code == 2
    assert "int8 loses" in capsys.readouterr().err
    assert scores["pytorch"]["accuracy"] == scores["fp32"]["accuracy"] == 1
    assert "int8" not in scores
    assert not (output / INT8).exists()
    assert INT8 not in ModelSettings.read(output).sha256
    assert EmotionModel.load(output).file.name == "model.onnx"


def test_the_allowed_drop_counts_in_percentage_points():
    def scores(int8):
        return {"pytorch": {"accuracy": 0.75}, "int8": {"accuracy": int8}}

    assert accuracy_drop(scores(0.80), 0.0) is None
    assert accuracy_drop(scores(0.74), 1.0) is None
    assert "1.10 percentage points" in str(accuracy_drop(scores(0.739), 1.0))


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json"])
def test_a_folder_that_is_no_checkpoint_is_refused(checkpoint, tmp_path, monkeypatch, missing):
    for file in checkpoint.iterdir():
        if file.name != missing:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=f"lacks {missing}"):
        PyTorchModel.load(tmp_path)


def test_pickled_weights_are_refused(checkpoint, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    torch.save(tiny.make_model(tiny.COMPACT).state_dict(), folder / "pytorch_model.bin")
    assert export(monkeypatch, folder, "--output", tmp_path / "model") == 2
    assert "Only safetensors are supported" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_base_model_without_a_head_is_refused(checkpoint, tmp_path):
    tiny.make_model(tiny.COMPACT).hubert.save_pretrained(tmp_path)
    name = "preprocessor_config.json"
    (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    with pytest.raises(ModelError, match=r"no weights for classifier\.bias"):
        PyTorchModel.load(tmp_path)


def test_a_corpus_of_other_classes_is_refused():
    clips = [Clip("a.wav", "boredom", SPEECH[:1600])]
    with pytest.raises(CorpusError, match="does not know the corpus's boredom"):
        check_labels(clips, tiny.LABELS)


def test_a_limit_takes_equally_many_clips_of_each_class(tmp_path):
    table = tmp_path / "clips.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "split"])
        for count, label in enumerate(tiny.LABELS, start=3):
            for number in range(count):
                name = f"{label}-{number}.wav"
                soundfile.write(tmp_path / name, SPEECH[16_000:24_000], 16_000)
                rows.writerow([name, label, "validation"])
    clips = load_clips(str(table), "validation", 16_000, limit=18, cache_dir=tmp_path / "cache")
    counts = {label: sum(clip.label == label for clip in clips) for label in tiny.LABELS}
    assert counts == dict.fromkeys(tiny.LABELS, 3)
    assert all(np.abs(clip.samples).max() > 0.001 for clip in clips)


def test_scores_are_json_numbers(exported):
    json.loads((exported / "emo_listen.json").read_text(), parse_constant=pytest.fail)
